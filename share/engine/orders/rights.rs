//! Permission bits as people write them.

use opennebula::calls::{AccessChange, PermissionChange};

/// Reads `640`: the rights of owner, group and others, each the sum of 4 USE, 2 MANAGE and 1 ADMIN.
///
/// # Errors
/// The text is not three digits from 0 to 7.
pub fn octet(text: &str) -> Result<PermissionChange, String> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(8)).collect();
    let [owner, group, other] = digits[..] else {
        return Err("expected three digits from 0 to 7, such as 640".to_owned());
    };
    if text.chars().count() != 3 {
        return Err("expected three digits from 0 to 7, such as 640".to_owned());
    }
    let access = |digit: u32| AccessChange {
        r#use: Some(digit & 4 != 0),
        manage: Some(digit & 2 != 0),
        admin: Some(digit & 1 != 0),
    };
    Ok(PermissionChange {
        owner: access(owner),
        group: access(group),
        other: access(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_read() {
        let change = octet("640").unwrap();
        assert_eq!(
            (change.owner.r#use, change.owner.manage, change.owner.admin),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(
            (change.group.r#use, change.group.manage),
            (Some(true), Some(false))
        );
        assert_eq!(change.other.r#use, Some(false));
        for wrong in ["", "64", "6400", "648", "u+r", "64x0", "６４０"] {
            assert!(octet(wrong).is_err(), "{wrong}");
        }
    }
}
