//! Times as people read them, and lengths of time as they write them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `11/22 14:39:45`, as OpenNebula's lists have it.
pub fn short(epoch: u64) -> String {
    format(epoch, "%m/%d %H:%M:%S")
}

/// `2026-11-22 14:39:45`.
pub fn long(epoch: u64) -> String {
    format(epoch, "%Y-%m-%d %H:%M:%S")
}

/// `14:39:45`.
pub fn clock(epoch: u64) -> String {
    format(epoch, "%H:%M:%S")
}

fn format(epoch: u64, pattern: &str) -> String {
    let timestamp = i64::try_from(epoch)
        .ok()
        .and_then(|s| Timestamp::from_second(s).ok());
    timestamp.map_or_else(
        || "-".to_owned(),
        |t| t.to_zoned(TimeZone::system()).strftime(pattern).to_string(),
    )
}

/// `3d 4h`, `2h 10m`, `5m`, `12s`: the two largest units.
pub fn length(seconds: u64) -> String {
    let units = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        if rest >= size {
            parts.push(format!("{}{name}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Reads `90`, `90s`, `30m`, `2h`, `1h30m`.
///
/// # Errors
/// What would be right.
pub fn parse_length(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; write seconds, or 30m, 2h, 1h30m");
    let mut total: u64 = 0;
    let mut digits = String::new();
    for letter in text.trim().chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit: u64 = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        total = number
            .checked_mul(unit)
            .and_then(|n| total.checked_add(n))
            .ok_or_else(wrong)?;
        digits.clear();
    }
    if !digits.is_empty() {
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|n| total.checked_add(n))
            .ok_or_else(wrong)?;
    } else if text.trim().is_empty() {
        return Err(wrong());
    }
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written() {
        for (seconds, text) in [
            (0, "0s"),
            (12, "12s"),
            (60, "1m"),
            (75, "1m 15s"),
            (3605, "1h"),
            (7800, "2h 10m"),
            (273_600, "3d 4h"),
        ] {
            assert_eq!(length(seconds), text);
        }
    }

    #[test]
    fn lengths_are_read() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("30m", 1800),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1m5", 65),
        ] {
            assert_eq!(parse_length(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "1x", "-1", "1.5h", "99999999999999999999"] {
            assert!(parse_length(text).is_err(), "{text}");
        }
    }
}
