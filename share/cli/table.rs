//! Tables: columns by name, filters, and a width that fits the terminal.

mod filter;
mod layout;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};

pub use layout::{one_line, wrap};

use crate::failure::Failure;
use crate::out::Out;
use filter::Filter;

/// A column of a table.
pub struct Column<T> {
    name: &'static str,
    about: &'static str,
    value: fn(&T) -> String,
    style: fn(&T) -> Style,
    right: bool,
    least: usize,
    spare: u8,
    wraps: bool,
}

impl<T> Column<T> {
    /// A column with its name, as `-l` takes it, what it shows, as `--describe` says it, and its value.
    pub const fn new(name: &'static str, about: &'static str, value: fn(&T) -> String) -> Self {
        Self {
            name,
            about,
            value,
            style: plain,
            right: false,
            least: 0,
            spare: 0,
            wraps: false,
        }
    }

    /// Its values are numbers.
    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// On a terminal it may be shortened to this width.
    pub const fn least(self, least: usize) -> Self {
        Self { least, ..self }
    }

    /// On a narrow terminal it may be left out, the greatest number first. Columns that are chosen with `-l` all stay.
    pub const fn spare(self, spare: u8) -> Self {
        Self { spare, ..self }
    }

    /// It is shown only if it is asked for.
    pub const fn extra(self) -> Self {
        Self { spare: EXTRA, ..self }
    }

    /// The last column: what does not fit on a terminal's line goes on below.
    pub const fn wraps(self) -> Self {
        Self {
            wraps: true,
            least: 24,
            ..self
        }
    }

    /// The colour of its values.
    pub const fn style(self, style: fn(&T) -> Style) -> Self {
        Self { style, ..self }
    }
}

/// [`Column::spare`] of columns that are shown only when they are asked for.
const EXTRA: u8 = u8::MAX;

/// Options of everything that lists.
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub struct TableArgs {
    /// Columns to show, such as ID,NAME,STATE; --describe names them all
    #[arg(short = 'l', long, value_name = "COLUMNS", value_delimiter = ',')]
    pub list: Vec<String>,
    /// Only rows that match, such as STATE=RUNNING or NAME~web; operators are = != < <= > >= ~
    #[arg(short = 'f', long, value_name = "FILTER", value_delimiter = ',')]
    pub filter: Vec<String>,
    /// How several filters go together
    #[arg(long, value_name = "AND|OR", default_value = "AND", ignore_case = true)]
    pub operator: filter::Operator,
    /// Write comma-separated values
    #[arg(long)]
    pub csv: bool,
    /// What separates the values of --csv
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    pub csv_del: String,
    /// Leave out the line with the names of the columns
    #[arg(long)]
    pub no_header: bool,
    /// Describe the columns and end
    #[arg(long)]
    pub describe: bool,
}

/// Shows rows as a table.
///
/// # Errors
/// A column that there is not, a filter that makes no sense, or nobody reads the output.
pub fn show<T>(out: &mut Out, columns: &[Column<T>], args: &TableArgs, rows: &[T]) -> Result<(), Failure> {
    let chosen = chosen(columns, &args.list)?;
    if args.csv {
        return csv(out, &chosen, args, rows);
    }
    let widths = layout::widths(&chosen, rows, out.width(), args.list.is_empty());
    let shown: Vec<(&Column<T>, usize)> = chosen
        .into_iter()
        .zip(widths)
        .filter_map(|(column, width)| Some((column, width?)))
        .collect();
    let colour = out.colour();
    if !args.no_header {
        let style = if colour {
            Style::new().bold().underline()
        } else {
            Style::new()
        };
        line(out, &shown, |column| (column.name.to_owned(), style))?;
    }
    for row in rows {
        line(out, &shown, |column| {
            let style = if colour { (column.style)(row) } else { Style::new() };
            (layout::one_line(&(column.value)(row)), style)
        })?;
    }
    Ok(())
}

/// One row, over several lines if its last value wraps.
fn line<T>(
    out: &mut Out,
    columns: &[(&Column<T>, usize)],
    value: impl Fn(&Column<T>) -> (String, Style),
) -> Result<(), Failure> {
    let mut text = String::new();
    let mut indent = 0;
    let last = columns.len().saturating_sub(1);
    for (i, (column, width)) in columns.iter().enumerate() {
        let (value, style) = value(column);
        if i == last && column.wraps && out.width().is_some() {
            let separator = format!("\n{}", " ".repeat(indent));
            text.push_str(&layout::wrap(&value, *width).join(&separator));
        } else {
            text.push_str(&layout::cell(&value, *width, column.right, i == last, style));
        }
        text.push(' ');
        indent += width + 1;
    }
    out.line(text.trim_end())
}

/// Keeps the rows that the options ask for.
///
/// # Errors
/// A filter that makes no sense.
pub fn filter<T>(columns: &[Column<T>], args: &TableArgs, rows: Vec<T>) -> Result<Vec<T>, Failure> {
    let filter = Filter::parse(columns, &args.filter, args.operator)?;
    Ok(rows
        .into_iter()
        .filter(|row| filter.keeps(columns, row))
        .collect())
}

/// Says what the columns show.
///
/// # Errors
/// Nobody reads the output.
pub fn describe<T>(out: &mut Out, columns: &[Column<T>]) -> Result<(), Failure> {
    let width = columns.iter().map(|c| c.name.len()).max().unwrap_or_default();
    for column in columns {
        out.line(&format!("{:width$}  {}", column.name, column.about))?;
    }
    Ok(())
}

fn csv<T>(out: &mut Out, columns: &[&Column<T>], args: &TableArgs, rows: &[T]) -> Result<(), Failure> {
    let quote = |text: &str| {
        if text.contains(&args.csv_del) || text.contains(['"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    if !args.no_header {
        let names: Vec<String> = columns.iter().map(|c| quote(c.name)).collect();
        out.line(&names.join(&args.csv_del))?;
    }
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|c| quote(&(c.value)(row))).collect();
        out.line(&cells.join(&args.csv_del))?;
    }
    Ok(())
}

/// The columns with these names, all if none is named.
fn chosen<'a, T>(columns: &'a [Column<T>], names: &[String]) -> Result<Vec<&'a Column<T>>, Failure> {
    if names.is_empty() {
        return Ok(columns.iter().filter(|c| c.spare < EXTRA).collect());
    }
    names.iter().map(|name| column(columns, name)).collect()
}

fn column<'a, T>(columns: &'a [Column<T>], name: &str) -> Result<&'a Column<T>, Failure> {
    columns
        .iter()
        .find(|c| c.name.eq_ignore_ascii_case(name.trim()))
        .ok_or_else(|| {
            let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
            Failure::Usage(format!(
                "there is no column {name}; there are {}",
                names.join(", ")
            ))
        })
}

/// No colour.
fn plain<T>(_: &T) -> Style {
    Style::new()
}

/// The colour of a state.
pub fn state_style(state: &str) -> Style {
    let colour = match state {
        "RUNNING" | "READY" => AnsiColor::Green,
        "WARNING" => AnsiColor::Yellow,
        "DONE" | "GONE" => AnsiColor::BrightBlack,
        _ if state.ends_with("FAILURE") || state == "FAILED" => AnsiColor::Red,
        _ => AnsiColor::Cyan,
    };
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(u32, &'static str, &'static str);

    const COLUMNS: &[Column<Row>] = &[
        Column::new("ID", "The id", |r: &Row| r.0.to_string()).right(),
        Column::new("NAME", "The name", |r: &Row| r.1.into()).least(6),
        Column::new("WHY", "Why", |r: &Row| r.2.into()).least(8).spare(1),
    ];

    fn rows() -> Vec<Row> {
        vec![
            Row(7, "web", "says \"no\", again"),
            Row(1200, "a-rather-long-name", ""),
        ]
    }

    fn shown(width: Option<usize>, args: &TableArgs) -> String {
        let (mut out, stdout, _) = Out::captured(width);
        let args = TableArgs {
            csv_del: ",".into(),
            ..args.clone()
        };
        let kept = filter(COLUMNS, &args, rows()).unwrap();
        show(&mut out, COLUMNS, &args, &kept).unwrap();
        stdout.text()
    }

    #[test]
    fn what_is_piped_is_never_cut() {
        assert_eq!(
            shown(None, &TableArgs::default()),
            "  ID NAME               WHY\n   7 web                says \"no\", again\n1200 a-rather-long-name\n"
        );
    }

    #[test]
    fn a_narrow_terminal_shortens_and_then_drops() {
        assert_eq!(
            shown(Some(30), &TableArgs::default()),
            "  ID NAME         WHY\n   7 web          says \"no\", …\n1200 a-rather-lo…\n"
        );
        assert_eq!(
            shown(Some(16), &TableArgs::default()),
            "  ID NAME\n   7 web\n1200 a-rather-l…\n"
        );
    }

    #[test]
    fn chosen_columns_stay_on_any_terminal() {
        let args = TableArgs {
            list: vec!["why".into(), "id".into()],
            ..TableArgs::default()
        };
        assert_eq!(
            shown(Some(5), &args),
            "WHY        ID\nsays \"n…    7\n         1200\n"
        );
        let wrong = TableArgs {
            list: vec!["SIZE".into()],
            ..TableArgs::default()
        };
        let (mut out, ..) = Out::captured(None);
        let error = show(&mut out, COLUMNS, &wrong, &rows()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no column SIZE; there are ID, NAME, WHY"
        );
    }

    #[test]
    fn a_text_in_the_last_column_goes_on_below() {
        let columns: &[Column<Row>] = &[
            Column::new("ID", "The id", |r: &Row| r.0.to_string()).right(),
            Column::new("TEXT", "The text", |r: &Row| r.2.into()).wraps(),
        ];
        let row = Row(7, "", "a text that is longer than one line of the terminal");
        let (mut out, stdout, _) = Out::captured(Some(30));
        show(&mut out, columns, &TableArgs::default(), &[row]).unwrap();
        assert_eq!(
            stdout.text(),
            "ID TEXT\n 7 a text that is longer than\n   one line of the terminal\n"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let args = TableArgs {
            csv: true,
            ..TableArgs::default()
        };
        assert_eq!(
            shown(Some(10), &args),
            "ID,NAME,WHY\n7,web,\"says \"\"no\"\", again\"\n1200,a-rather-long-name,\n"
        );
    }

    #[test]
    fn filters_keep_rows() {
        for (filters, operator, ids) in [
            (vec!["ID>100"], filter::Operator::And, vec!["1200"]),
            (vec!["NAME=web"], filter::Operator::And, vec!["7"]),
            (vec!["NAME!=web"], filter::Operator::And, vec!["1200"]),
            (vec!["name~LONG"], filter::Operator::And, vec!["1200"]),
            (vec!["ID<=7", "NAME~a"], filter::Operator::And, vec![]),
            (vec!["ID<=7", "NAME~a"], filter::Operator::Or, vec!["7", "1200"]),
        ] {
            let args = TableArgs {
                filter: filters.iter().map(|f| (*f).to_owned()).collect(),
                operator,
                list: vec!["ID".into()],
                no_header: true,
                ..TableArgs::default()
            };
            let text = shown(None, &args);
            assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ids, "{filters:?}");
        }
    }
}
