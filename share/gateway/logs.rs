//! What happened to a cluster: its history, and what the hooks wrote about it on this front-end.
//!
//! The log file is that of all clusters, and may be large: only its end is read. History is in the document, so there is
//! always something to show.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use hyper::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use oneks::orders::cluster::Cluster;
use oneks_core::status::Entry;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::Ask;
use crate::routes::LAST_PAGE;

/// Bytes of the end of the log file that are read.
const END: u64 = 4 * 1024 * 1024;

/// Lines of a page unless another number is asked for.
const PAGE: usize = 100;

/// Most lines of a page.
const LARGEST_PAGE: usize = 10_000;

/// Longest line that is shown, characters.
const LONGEST: usize = 2000;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// Seconds since the epoch.
    at: i64,
    level: char,
    from: String,
    text: String,
}

/// Shows the lines, a page at a time; page 1 is the newest. Whoever may use the cluster's document may read them.
pub fn show(ask: &Ask) -> Result<Reply, Fault> {
    let page = ask.query.number("page", LAST_PAGE)?.unwrap_or(1);
    let size = ask.query.number("per_page", LARGEST_PAGE)?.unwrap_or(PAGE);
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    let history = cluster.status.iter().flat_map(|s| &s.history);
    let file = &ask.site.layout.log;
    let end = end(file).unwrap_or_else(|e| {
        log::debug!("{}: {e}", file.display());
        String::new()
    });
    let lines = lines(history, &end, cluster.id());
    let body = if ask.query.flag("all") {
        json!({"meta": {"mode": "all", "total_lines": lines.len()}, "lines": shape(&lines)})
    } else {
        let (pages, part) = part(&lines, page, size);
        let meta = json!({
            "page": page.min(pages.max(1)), "per_page": size, "total_pages": pages, "total_lines": lines.len(),
        });
        json!({"meta": meta, "lines": shape(part)})
    };
    Ok(Reply::json(StatusCode::OK, &body).tagged(ask.known.as_deref()))
}

/// How many pages there are, and a page; each from its oldest to its newest line.
fn part(lines: &[Line], page: usize, size: usize) -> (usize, &[Line]) {
    let pages = lines.len().div_ceil(size);
    let page = page.min(pages.max(1));
    let last = lines.len().saturating_sub((page - 1).saturating_mul(size));
    (
        pages,
        lines.get(last.saturating_sub(size)..last).unwrap_or_default(),
    )
}

/// The lines about a cluster, oldest first. What the hooks also wrote into the log stands there once.
fn lines<'a>(history: impl Iterator<Item = &'a Entry>, log: &str, cluster: u32) -> Vec<Line> {
    let mut lines: Vec<Line> = log.lines().filter_map(|line| read(line, cluster)).collect();
    for entry in history {
        let at = i64::try_from(entry.at).unwrap_or(i64::MAX);
        let text = tidy(&entry.text);
        // The log has it from the pass that noted it, which began at that time.
        let told = lines
            .iter()
            .any(|l| l.text == text && (0..=60).contains(&(l.at - at)));
        if !told {
            lines.push(Line {
                at,
                level: level(&text),
                from: "history".to_owned(),
                text,
            });
        }
    }
    lines.sort_by_key(|line| line.at);
    lines
}

/// A line of the log, if it is about the cluster. It has to say so at its beginning: what stands further on are texts of
/// users and guests.
fn read(line: &str, cluster: u32) -> Option<Line> {
    let (time, rest) = line.split_once(" [")?;
    let (from, rest) = rest.split_once("][")?;
    let (level, rest) = rest.split_once("] ")?;
    let text = rest
        .strip_prefix("cluster ")?
        .strip_prefix(&cluster.to_string())?;
    let text = text.strip_prefix(": ")?;
    Some(Line {
        at: time.parse::<Timestamp>().ok()?.as_second(),
        level: level.chars().next().filter(|_| level.len() == 1)?,
        from: tidy(from),
        text: tidy(text),
    })
}

/// History doesn't say how bad something is.
fn level(text: &str) -> char {
    if text.contains("_FAILURE") {
        'E'
    } else if text.contains("WARNING") || text.contains("refused") {
        'W'
    } else {
        'I'
    }
}

fn tidy(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
}

fn shape(lines: &[Line]) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            let time = Timestamp::from_second(line.at).unwrap_or_default();
            let time = time
                .to_zoned(TimeZone::system())
                .strftime("%a %b %e %H:%M:%S %Y")
                .to_string();
            let level = match line.level {
                'E' => "error",
                'W' => "warn",
                'I' => "info",
                _ => "debug",
            };
            json!({
                "level": level,
                "text": format!("{time} [{}] [{}]: {}", line.level, line.from, line.text),
            })
        })
        .collect();
    Value::Array(lines)
}

/// The end of a file, from the beginning of a line.
fn end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(END);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if skipped == 0 {
        return Ok(text);
    }
    Ok(text
        .split_once('\n')
        .map(|(_, rest)| rest.to_owned())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LOG: &str = "\
2026-11-22T13:31:51Z [document][I] cluster 24: SPEC accepted
2026-11-22T13:31:51Z [document][I] cluster 2: not this one
2026-11-22T13:31:52Z [vm_state][W] cluster 24: VM web: cluster 25: nothing of another
2026-11-22T13:31:53Z [document][I] document 7: cluster 25: not at the beginning
2026-11-22T13:31:54Z [sweep][E] cluster 24: a\u{1b}[1m
garbage cluster 24: x
2026-11-22T13:31:55Z [document][I] cluster 240: not this one
";

    fn entry(at: u64, text: &str) -> Entry {
        Entry {
            at,
            text: text.to_owned(),
        }
    }

    #[test]
    fn only_lines_about_the_cluster_are_shown_and_each_once() {
        let at = u64::try_from("2026-11-22T13:31:50Z".parse::<Timestamp>().unwrap().as_second()).unwrap();
        let history = [entry(at - 100, "cluster: A → B"), entry(at, "SPEC accepted")];
        let found = lines(history.iter(), LOG, 24);
        let texts: Vec<(&str, char)> = found.iter().map(|l| (l.text.as_str(), l.level)).collect();
        assert_eq!(
            texts,
            [
                ("cluster: A → B", 'I'),
                ("SPEC accepted", 'I'),
                ("VM web: cluster 25: nothing of another", 'W'),
                ("a [1m", 'E'),
            ]
        );
        assert_eq!(lines([].iter(), LOG, 25), []);
    }

    #[test]
    fn page_one_is_the_newest_and_all_pages_are_the_whole() {
        let all: Vec<Line> = (0..23)
            .map(|at| Line {
                at,
                level: 'I',
                from: String::new(),
                text: String::new(),
            })
            .collect();
        let at = |page| -> Vec<i64> { part(&all, page, 5).1.iter().map(|l| l.at).collect() };
        assert_eq!(at(1), [18, 19, 20, 21, 22]);
        assert_eq!(at(5), [0, 1, 2]);
        assert_eq!(at(99), [0, 1, 2]);
        let together: usize = (1..=5).map(|page| at(page).len()).sum();
        assert_eq!((together, part(&all, 1, 5).0), (23, 5));
        assert_eq!(part(&[], 1, 5), (0, &[][..]));
    }

    #[test]
    fn of_a_large_file_only_the_end_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..6000 {
            file.write_all(line.as_bytes()).unwrap();
        }
        file.write_all(b"last\n").unwrap();
        let text = end(file.path()).unwrap();
        assert!(text.len() as u64 <= END && text.ends_with("x\nlast\n"));
        assert!(text.starts_with(&line));
        assert!(end(Path::new("/nonexistent")).is_err());
    }
}
