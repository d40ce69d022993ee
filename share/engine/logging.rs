//! Logs: one line per action taken, to the log file and, for the hook manager's record, to standard error.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use log::LevelFilter;

/// Starts logging. A log file that can't be opened is told on standard error and is no reason to stop.
pub fn start(level: LevelFilter, file: &Path, hook: &'static str) {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let problem = opened.as_ref().err().map(ToString::to_string);
    let target = Tee { file: opened.ok() };
    let result = env_logger::Builder::new()
        .filter_level(level)
        // The wire log of the HTTP library would show sessions.
        .filter_module(opennebula::http::WIRE_LOG_TARGET, LevelFilter::Off)
        .format(move |out, record| {
            let text = record.args().to_string();
            // One record, one line, whatever an error message brings along.
            let text = text.replace(['\n', '\r'], " ");
            writeln!(
                out,
                "{} [{}][{}] {text}",
                out.timestamp_seconds(),
                hook,
                letter(record.level())
            )
        })
        .target(env_logger::Target::Pipe(Box::new(target)))
        .try_init();
    if result.is_ok()
        && let Some(problem) = problem
    {
        log::warn!("the log file {} can't be written: {problem}", file.display());
    }
}

fn letter(level: log::Level) -> char {
    match level {
        log::Level::Error => 'E',
        log::Level::Warn => 'W',
        log::Level::Info => 'I',
        log::Level::Debug => 'D',
        log::Level::Trace => 'T',
    }
}

/// Writes each line to both places. A line goes out in one write, so that hooks that run side by side don't mix theirs.
struct Tee {
    file: Option<File>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            // A full disk must not stop a hook.
            let _ = file.write_all(bytes);
        }
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
