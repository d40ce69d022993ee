//! Is this front-end alone, or one of several that share a database?

use std::path::Path;

/// The front-ends of this zone, as far as this one knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// This one alone. The gate's locks keep passes apart.
    Alone,
    /// Several, of which the leader acts. The gate's locks don't reach the others.
    Several,
}

impl Zone {
    /// Reads `SERVER_ID` of `FEDERATION` in `oned.conf`, as oned does when it starts: −1, or no such setting, is a
    /// front-end that is alone. A file that is there but can't be read leaves it open, so several are assumed: that
    /// costs a few calls and is always right.
    pub fn read(oned_conf: &Path) -> Self {
        match std::fs::read_to_string(oned_conf) {
            Ok(text) => Self::parse(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Self::Alone,
            Err(e) => {
                log::warn!(
                    "{}: {e}; taken for one of several front-ends",
                    oned_conf.display()
                );
                Self::Several
            }
        }
    }

    fn parse(text: &str) -> Self {
        let plain = text.lines().map(|l| l.split('#').next().unwrap_or_default());
        let plain = plain.collect::<Vec<_>>().join("\n");
        // A later setting replaces an earlier one.
        let federation = plain.rsplit_once("FEDERATION").map_or("", |(_, rest)| rest);
        let federation = federation.split(']').next().unwrap_or_default();
        let id = federation
            .split_once("SERVER_ID")
            .and_then(|(_, rest)| rest.trim_start().strip_prefix('='))
            .map_or("-1", |rest| rest.trim_start().trim_start_matches('"'));
        if id.starts_with('-') {
            Self::Alone
        } else {
            Self::Several
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_whether_there_are_others() {
        for (text, zone) in [
            ("", Zone::Alone),
            ("DB = [ BACKEND = \"sqlite\" ]\n", Zone::Alone),
            (
                "FEDERATION = [\n    MODE = \"STANDALONE\",\n    ZONE_ID = 0,\n    SERVER_ID = -1, # 0 for HA\n    MASTER_ONED = \"\"\n]\n",
                Zone::Alone,
            ),
            (
                "FEDERATION = [ MODE = \"STANDALONE\", SERVER_ID = 0 ]",
                Zone::Several,
            ),
            ("FEDERATION=[SERVER_ID=\"2\"]", Zone::Several),
            ("#FEDERATION=[SERVER_ID=2]\n", Zone::Alone),
            (
                "FEDERATION = [ ZONE_ID = 1 ]\nOTHER = [ SERVER_ID = 3 ]",
                Zone::Alone,
            ),
            ("FEDERATION=[SERVER_ID=2]\nFEDERATION=[SERVER_ID=-1]", Zone::Alone),
        ] {
            assert_eq!(Zone::parse(text), zone, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_taken_for_several() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Zone::read(&folder.path().join("none")), Zone::Alone);
        assert_eq!(Zone::read(folder.path()), Zone::Several);
    }
}
