//! `oneks.conf`: few settings, each with a default that fits an ordinary OpenNebula.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// XML-RPC address of OpenNebula. Empty: as every OpenNebula tool finds it.
    pub one_xmlrpc: String,
    /// XML-RPC address of OpenNebula as the clusters' VMs reach it through the transparent proxy.
    pub one_xmlrpc_tproxy: String,
    /// File with the server credential, by which the hooks act as a cluster's owner. Empty: `oneks_auth` of oneadmin.
    pub server_auth: PathBuf,
    /// How long a session as a cluster's owner is valid, seconds.
    pub session_seconds: u64,
    /// How long a driver may take for an answer, seconds.
    pub driver_timeout: u64,
    /// How often a cluster at rest is asked whether its nodes are ready, seconds; 0 for never.
    pub probe_every: u64,
    /// Which lines the log gets: error, warn, info, debug or trace.
    pub log_level: log::LevelFilter,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            one_xmlrpc: String::new(),
            one_xmlrpc_tproxy: "http://169.254.16.9:2633/RPC2".to_owned(),
            server_auth: PathBuf::new(),
            session_seconds: 300,
            driver_timeout: 20,
            probe_every: 1800,
            log_level: log::LevelFilter::Info,
        }
    }
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file says something that is not understood.
    #[error("{}{}: {reason}", path.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<u64>,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl Config {
    /// Reads the file. Without one, everything has its default.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the file's text.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |line, reason: String| ConfigError::Invalid {
            path: path.to_owned(),
            line,
            reason,
        };
        if text
            .lines()
            .all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'))
        {
            return Ok(Self::default());
        }
        let config: Self = oneks_core::yaml::from_str(text).map_err(|e| {
            let line = e.line();
            let key = line
                .and_then(|l| text.lines().nth(usize::try_from(l).ok()?.checked_sub(1)?))
                .and_then(|l| l.split_once(':'))
                .map(|(key, _)| key.trim());
            let reason = match key {
                Some(key) if !e.reason().contains(key) => format!("{key}: {}", e.reason()),
                _ => e.reason().to_owned(),
            };
            invalid(line, reason)
        })?;
        if config.session_seconds < 30 {
            return Err(invalid(
                line_of(text, "session_seconds"),
                "session_seconds must be at least 30".to_owned(),
            ));
        }
        if config.driver_timeout == 0 {
            return Err(invalid(
                line_of(text, "driver_timeout"),
                "driver_timeout must be at least 1".to_owned(),
            ));
        }
        if (1..300).contains(&config.probe_every) {
            return Err(invalid(
                line_of(text, "probe_every"),
                "probe_every must be at least 300, or 0 for never".to_owned(),
            ));
        }
        Ok(config)
    }

    /// What the plan depends on.
    pub const fn settings(&self) -> oneks_core::observed::Settings {
        oneks_core::observed::Settings {
            probe_every: self.probe_every,
        }
    }
}

fn line_of(text: &str, key: &str) -> Option<u64> {
    let index = text.lines().position(|l| l.trim_start().starts_with(key))?;
    u64::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("oneks.conf")).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        assert_eq!(parse(""), Ok(Config::default()));
        assert_eq!(parse("# only words\n"), Ok(Config::default()));
        let config = parse("log_level: debug\nsession_seconds: 60\n").unwrap();
        assert_eq!(
            (config.log_level, config.session_seconds),
            (log::LevelFilter::Debug, 60)
        );
    }

    #[test]
    fn the_installed_file_shows_every_setting_with_its_default() {
        let text = include_str!("../etc/oneks.conf");
        assert_eq!(parse(text), Ok(Config::default()), "as it is installed");
        let is_setting = |line: &str| {
            line.split_once(": ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        };
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| is_setting(line))
            .collect();
        assert_eq!(lines.len(), 7, "{lines:?}");
        assert_eq!(parse(&lines.join("\n")), Ok(Config::default()));
        // Each has a sentence above it.
        for line in lines {
            let before = text.split(&format!("# {line}")).next().unwrap_or_default();
            assert!(before.trim_end().ends_with('.'), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line, what) in [
            ("# a\nsesion_seconds: 60\n", ":2:", "sesion_seconds"),
            ("session_seconds: soon\n", ":1:", "session_seconds: invalid"),
            ("driver_timeout: 5\nsession_seconds: 3\n", ":2:", "at least 30"),
            ("driver_timeout: 0\n", ":1:", "at least 1"),
            ("\nprobe_every: 60\n", ":2:", "at least 300"),
            ("log_level: loud\n", ":1:", "loud"),
            ("log_level: [\n", "oneks.conf", ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(line) && error.contains(what), "{text:?}: {error}");
        }
    }
}
