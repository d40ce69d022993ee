//! `oneks events` and `oneks logs`.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks_core::status::Entry;
use serde_json::json;

use crate::app::App;
use crate::complete;
use crate::failure::{Failure, with_path};
use crate::{select, time};
use oneks::orders::cluster::Cluster;

/// `oneks events`.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// Show what happened to a cluster, oldest first
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks events cluster web\n  oneks events cluster web -j")]
    Cluster(EventArgs),
}

/// `oneks logs`.
#[derive(Debug, Subcommand)]
pub enum Logs {
    /// Show what the hooks wrote about a cluster, on the front-end
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks logs cluster web --all")]
    Cluster(LogArgs),
}

/// What `events cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct EventArgs {
    /// The cluster, by id or name
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    cluster: String,
    /// Go on showing what happens, until the cluster is gone
    #[arg(short, long)]
    follow: bool,
    /// Write one JSON object a line
    #[arg(short, long)]
    json: bool,
}

/// What `logs cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// The cluster, by id or name; the id also of one that is gone
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    cluster: String,
    /// Show all lines, not only the last 100
    #[arg(short, long)]
    all: bool,
    /// Go on showing what is written
    #[arg(short, long)]
    follow: bool,
}

/// Lines that are shown unless all are wanted.
const LINES: usize = 100;

/// Time between two looks while following.
const PAUSE: Duration = Duration::from_secs(2);

impl Events {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let id = select::cluster(&client, &args.cluster)?;
        let mut shown: Vec<Entry> = Vec::new();
        loop {
            let cluster = match Cluster::fetch(&client, id).map_err(Failure::from) {
                Err(Failure::NotFound(_)) if args.follow && !shown.is_empty() => return Ok(()),
                result => result?,
            };
            let history = cluster.status.map(|s| s.history).unwrap_or_default();
            for entry in new_entries(&shown, &history) {
                let line = if args.json {
                    json!({"time": entry.at, "text": entry.text}).to_string()
                } else {
                    format!(
                        "{}  {}",
                        time::long(entry.at),
                        crate::table::one_line(&entry.text)
                    )
                };
                app.out.line(&line)?;
            }
            shown = history;
            if !args.follow {
                return Ok(());
            }
            (app.pace.sleep)(PAUSE);
        }
    }
}

/// What came after the last look. History is a ring: its oldest entries get lost.
fn new_entries<'a>(shown: &[Entry], history: &'a [Entry]) -> &'a [Entry] {
    let Some(last) = shown.last() else { return history };
    let after = history
        .iter()
        .rposition(|entry| entry == last)
        .map_or(0, |at| at + 1);
    &history[after..]
}

impl Logs {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let id = match args.cluster.parse() {
            Ok(id) => id,
            Err(_) => select::cluster(&app.client()?, &args.cluster)?,
        };
        let path = app.layout().log;
        let file = File::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Failure::Other(format!(
                "{}: {e}; logs are for administrators on the front-end, `oneks events cluster {id}` shows what \
                 happened from anywhere",
                path.display()
            )),
            _ => with_path(&path)(e),
        })?;
        let mut reader = BufReader::new(file);
        let mut lines = about(&mut reader, id, &path)?;
        if !args.all {
            lines.drain(..lines.len().saturating_sub(LINES));
        }
        loop {
            for line in &lines {
                app.out.line(line)?;
            }
            if !args.follow {
                return Ok(());
            }
            (app.pace.sleep)(PAUSE);
            // A file that has become shorter was begun anew.
            let at = reader.stream_position().map_err(with_path(&path))?;
            if std::fs::metadata(&path).is_ok_and(|about| about.len() < at) {
                reader = BufReader::new(File::open(&path).map_err(with_path(&path))?);
                reader.seek(SeekFrom::Start(0)).map_err(with_path(&path))?;
            }
            lines = about(&mut reader, id, &path)?;
        }
    }
}

/// The lines from here on that are about the cluster.
fn about(reader: &mut impl BufRead, id: u32, path: &Path) -> Result<Vec<String>, Failure> {
    let needle = format!("cluster {id}: ");
    let mut lines = Vec::new();
    loop {
        let mut bytes = Vec::new();
        if reader.read_until(b'\n', &mut bytes).map_err(with_path(path))? == 0 {
            return Ok(lines);
        }
        let line = String::from_utf8_lossy(&bytes);
        if line.contains(&needle) {
            lines.push(crate::table::one_line(line.trim_end()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(texts: &[&str]) -> Vec<Entry> {
        (0..)
            .zip(texts)
            .map(|(at, text)| Entry {
                at,
                text: (*text).to_owned(),
            })
            .collect()
    }

    #[test]
    fn only_what_is_new_is_shown() {
        let all = entries(&["a", "b", "c"]);
        assert_eq!(new_entries(&[], &all), all);
        assert_eq!(new_entries(&all[..1], &all), &all[1..]);
        assert_eq!(new_entries(&all, &all), []);
        assert_eq!(new_entries(&entries(&["long ago"]), &all), all);
    }

    #[test]
    fn lines_of_other_clusters_are_left_out() {
        let log = "x cluster 2: a\nx cluster 24: b\ncluster 2: c \u{1b}[1m\n";
        let lines = about(&mut log.as_bytes(), 2, Path::new("log")).unwrap();
        assert_eq!(lines, ["x cluster 2: a", "cluster 2: c  [1m"]);
    }
}
