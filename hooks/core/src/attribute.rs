//! The attributes of virtual machines that are ours, by the way they begin.
//!
//! Hooks tell foreign machines by this beginning, before anything is parsed: an attribute without which a machine would be
//! nobody's must begin so. `ONEKS` itself is the tag of a cluster's machine, the others are those of handles and templates.

/// How their names begin.
pub const OURS: &str = "ONEKS";

/// Does an attribute's name begin so? OpenNebula does not tell upper case from lower.
pub fn is_ours(name: &str) -> bool {
    name.get(..OURS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::{REPLACES, SHOWN, TAG};

    #[test]
    fn what_makes_a_machine_ours_begins_so() {
        for name in [TAG, SHOWN, REPLACES, "ONEKS", "oneks_handle"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["", "ONEK", "XONEKS", "ONE_KS", "ÖNEKS"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
