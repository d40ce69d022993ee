//! For whom a cluster's objects were made, where neither STATUS nor the notes of this front-end can be believed.
//!
//! Whoever owns a document can write its STATUS, and locks and notes do not outlive a start of the machine or a fail-over.
//! So each VM template that is made for a cluster carries a proof: who it was made for, authenticated with the server
//! credential. It is good for one cluster and one owner, who must own the template as well; copies, shared templates and
//! forged tags prove nothing. One that was given a document finds by it that there is a cluster already.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use oneks_core::names::Names;
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::error::Error;
use sha2::Sha256;

use crate::service::Service;

/// Attribute of the proof.
pub const ATTRIBUTE: &str = "ONEKS_MADE_FOR";

/// Bytes of the proof.
const LENGTH: usize = 16;

/// The proof that a cluster's objects are made for this user.
pub fn proof(key: &[u8], cluster: u32, uid: u32) -> String {
    format!("{uid}-{}", mac(key, &format!("oneks made for {cluster} {uid}")))
}

/// What only who has the key can make of this text.
pub(crate) fn mac(key: &[u8], about: &str) -> String {
    let mut text = String::new();
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        mac.update(about.as_bytes());
        for byte in mac.finalize().into_bytes().iter().take(LENGTH) {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// The other user for whom a cluster's objects were made. `None` if there are none, or those of `uid` as well.
///
/// # Errors
/// OpenNebula can't be reached or read.
pub fn other(service: &Service, cluster: u32, uid: u32) -> Result<Option<u32>, Error> {
    let names = Names::new(cluster);
    let all = service
        .admin
        .templatepool_info(PoolFilter::All, PoolRange::default())?;
    let mut other = None;
    for template in all.items.iter().filter(|t| names.owns(&t.name)) {
        let said = template.template.get(ATTRIBUTE);
        if said.is_none_or(|said| said != service.made_for(cluster, template.uid)) {
            continue;
        }
        if template.uid == uid {
            return Ok(None);
        }
        other = Some(template.uid);
    }
    Ok(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_cluster_one_user_and_one_installation() {
        let one = proof(b"key", 7, 2);
        assert!(one.starts_with("2-") && one.len() == 2 + 2 * LENGTH, "{one}");
        assert_eq!(one, proof(b"key", 7, 2));
        for other in [
            proof(b"key", 72, 2),
            proof(b"key", 7, 3),
            proof(b"key", 7, 22),
            proof(b"yek", 7, 2),
        ] {
            assert_ne!(one, other);
        }
    }
}
