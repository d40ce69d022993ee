//! Kubernetes versions and the rules between two of them.

use std::fmt;

/// A Kubernetes version such as `v1.34.2`. What may stand behind the patch number (`+rke2r1`) is the driver's
/// business and not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 1.
    pub major: u32,
    /// 34.
    pub minor: u32,
    /// 2.
    pub patch: u32,
}

impl Version {
    /// Reads `v1.34.2`; a build such as `+rke2r1` behind it is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.strip_prefix('v')?;
        let core = core.split_once('+').map_or(core, |(core, _)| core);
        let mut parts = core.split('.');
        let mut number = || {
            let part = parts.next()?;
            let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            if plain { part.parse().ok() } else { None }
        };
        let version = Self {
            major: number()?,
            minor: number()?,
            patch: number()?,
        };
        if parts.next().is_some() {
            None
        } else {
            Some(version)
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// May a cluster that runs `from` go to `to`? Never down, one minor version at a time: the rule of Kubernetes for
/// API servers. The error says why not and what would be allowed.
pub fn may_upgrade(from: &str, to: &str, offered: &[String]) -> Result<(), String> {
    let (Some(old), Some(new)) = (Version::parse(from), Version::parse(to)) else {
        return Err(format!("{to:?} or {from:?} is not a version like v1.34.2"));
    };
    if new < old {
        return Err(format!("a cluster of {from} can't go back to {to}"));
    }
    if new.major != old.major || new.minor > old.minor.saturating_add(1) {
        let step = offered
            .iter()
            .filter_map(|o| Version::parse(o))
            .filter(|o| o.major == old.major && Some(o.minor) == old.minor.checked_add(1))
            .max();
        let hint = step.map_or_else(String::new, |s| format!("; go to {s} first"));
        return Err(format!(
            "from {from} to {to} is more than one minor version{hint}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(
            Version::parse("v1.34.2"),
            Some(Version {
                major: 1,
                minor: 34,
                patch: 2
            })
        );
        assert_eq!(Version::parse("v1.34.2+rke2r1"), Version::parse("v1.34.2"));
        for text in [
            "",
            "1.34.2",
            "v1.34",
            "v1.34.2.1",
            "v1.034.2",
            "v1.-3.2",
            "v1.34.x",
            "v1.34.2-rc1",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_minor_at_a_time_and_never_back() {
        let offered: Vec<String> = ["v1.32.9", "v1.33.1", "v1.33.7", "v1.34.2"]
            .map(str::to_owned)
            .into();
        for (from, to, ok) in [
            ("v1.33.7", "v1.33.7", true),
            ("v1.33.1", "v1.33.7", true),
            ("v1.33.7", "v1.34.2", true),
            ("v1.32.9", "v1.34.2", false),
            ("v1.34.2", "v1.33.7", false),
            ("v1.33.7", "v1.33.1", false),
            ("v1.33.7", "v2.33.7", false),
        ] {
            assert_eq!(may_upgrade(from, to, &offered).is_ok(), ok, "{from} {to}");
        }
        assert!(
            may_upgrade("v1.32.9", "v1.34.2", &offered)
                .unwrap_err()
                .contains("go to v1.33.7 first")
        );
    }
}
