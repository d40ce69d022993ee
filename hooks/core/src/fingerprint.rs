//! Short fingerprints, by which a later pass sees whether something is still the same.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Fingerprint of a text: 16 hexadecimal digits. Two texts that differ have different ones for all practical purposes;
/// it is no protection against somebody who looks for a collision, and guards nothing.
pub fn of_text(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let word = digest
        .iter()
        .take(8)
        .fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    format!("{word:016x}")
}

/// Fingerprint of a value, by its JSON.
pub fn of<T: Serialize>(value: &T) -> String {
    of_text(&serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_the_same_over_releases() {
        assert_eq!(of_text(""), "e3b0c44298fc1c14");
        assert_eq!(of(&("a", 1)), of_text(r#"["a",1]"#));
    }
}
