//! How long a credential lives, when it is replaced, and when people are told.

use crate::status::Credential;

/// Shortest life of a credential that is replaced without an order, seconds. Shorter ones would be replaced all the
/// time.
pub(super) const LEAST_LIFE: u64 = 900;

/// How long a credential lives in all, seconds.
pub(super) fn life(credential: &Credential) -> Option<u64> {
    Some(credential.expires?.saturating_sub(credential.issued))
}

pub(super) fn half(credential: &Credential) -> Option<u64> {
    Some(life(credential)? / 2)
}

/// When a credential is to be replaced: with a third of its life left.
pub(super) fn renew_at(credential: &Credential) -> Option<u64> {
    let life = life(credential).filter(|l| *l >= LEAST_LIFE)?;
    Some(credential.expires?.saturating_sub(life / 3))
}

/// When people are to be told: with a sixth of its life left.
pub(super) fn warn_at(credential: &Credential) -> Option<u64> {
    Some(credential.expires?.saturating_sub(life(credential)? / 6))
}
