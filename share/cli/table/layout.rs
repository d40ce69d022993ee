//! Widths of columns.

use clap::builder::styling::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Column;

/// The width of each column; `None` for one that is left out.
///
/// Elsewhere than on a terminal every column is as wide as its widest value. On a terminal columns that may be shortened
/// give way, the widest first, and if that is not enough and `may_drop`, spare columns are left out.
pub fn widths<T>(
    columns: &[&Column<T>],
    rows: &[T],
    terminal: Option<usize>,
    may_drop: bool,
) -> Vec<Option<usize>> {
    let natural: Vec<usize> = columns
        .iter()
        .map(|c| {
            rows.iter()
                .map(|r| one_line(&(c.value)(r)).width())
                .chain([c.name.width()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(terminal) = terminal else { return widths };
    let least = |i: usize| match columns[i].least {
        0 => natural[i],
        least => least.max(columns[i].name.width()).min(natural[i]),
    };
    // A column that says nothing goes before any that does.
    let silent = |i: usize| {
        rows.iter()
            .all(|r| matches!((columns[i].value)(r).as_str(), "" | "-"))
    };
    while may_drop && total((0..columns.len()).filter(|i| widths[*i].is_some()).map(least)) > terminal {
        let spare = (0..columns.len()).filter(|i| widths[*i].is_some() && columns[*i].spare > 0);
        let Some(first) = spare.max_by_key(|i| (silent(*i), columns[*i].spare)) else {
            break;
        };
        widths[first] = None;
    }
    while total(widths.iter().flatten().copied()) > terminal {
        let shrinkable = (0..columns.len()).filter(|i| widths[*i].is_some_and(|w| w > least(*i)));
        let Some(widest) = shrinkable.max_by_key(|i| widths[*i]) else {
            break;
        };
        widths[widest] = widths[widest].map(|w| w - 1);
    }
    widths
}

/// The width of a line: one blank between two columns.
fn total(widths: impl Iterator<Item = usize>) -> usize {
    let (sum, count) = widths.fold((0, 0), |(sum, count), w| (sum + w, count + 1));
    sum + usize::saturating_sub(count, 1)
}

/// A value in its place. The last of a line is not filled up.
pub fn cell(text: &str, width: usize, right: bool, last: bool, style: Style) -> String {
    let text = cut(text, width);
    let fill = " ".repeat(width.saturating_sub(text.width()));
    let text = if style == Style::new() {
        text
    } else {
        format!("{style}{text}{style:#}")
    };
    match (right, last) {
        (true, _) => format!("{fill}{text}"),
        (false, true) => text,
        (false, false) => format!("{text}{fill}"),
    }
}

/// The text, shortened if it is too wide.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used < width
        })
        .collect();
    kept.push('…');
    kept
}

/// The text in lines of at most this width, broken between words where that is possible.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The text on one line and without control characters, which could do anything to a terminal.
pub fn one_line(text: &str) -> String {
    if text.contains(char::is_control) {
        text.split(char::is_control)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "…");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
