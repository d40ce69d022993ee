//! Sessions: who calls, and the proof. Secrets can only be read by asking for them by name.

use std::fmt::{self, Write};

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Text that must not be shown. `Debug` prints `REDACTED`; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Guards `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Not for messages, logs or command lines.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("REDACTED")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A user with a password or a token: what OpenNebula calls a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    user: String,
    text: Secret,
}

/// A credential has not the form `user:password`. Never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one line user:password")]
pub struct SessionError;

impl Session {
    /// A session with a password or a login token.
    pub fn new(user: &str, secret: &Secret) -> Self {
        Self {
            user: user.to_owned(),
            text: Secret(format!("{user}:{}", secret.expose())),
        }
    }

    /// Reads `user:password`, as it stands in `one_auth`.
    ///
    /// # Errors
    /// There is no colon, no user, or a second line.
    pub fn parse(text: &str) -> Result<Self, SessionError> {
        let (user, password) = split(text)?;
        Ok(Self::new(user, &Secret::new(password)))
    }

    /// The user on whose behalf calls are made.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The text that goes into a call. Not for messages, logs or command lines.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

/// The credential of a server user (driver `server_cipher`), which can act as any other user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCredential {
    user: String,
    /// Hex digest of the password: key and initial vector are its first characters.
    digest: Secret,
}

impl ServerCredential {
    /// Reads `serveradmin:password`, as it stands in a `*_auth` file of oneadmin.
    ///
    /// # Errors
    /// There is no colon, no user, or a second line.
    pub fn parse(text: &str) -> Result<Self, SessionError> {
        let (user, password) = split(text)?;
        let mut digest = String::with_capacity(64);
        for byte in Sha256::digest(password.as_bytes()) {
            // Writing to a string can't fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Ok(Self {
            user: user.to_owned(),
            digest: Secret(digest),
        })
    }

    /// A session as `target_user`, optionally confined to one of its groups, until `expiry_epoch` (Unix seconds).
    ///
    /// oned checks the expiry only, and caches an accepted session for 15 minutes (`SESSION_EXPIRATION_TIME`). A
    /// session that leaks works for *any* target until it expires, so keep the expiry short.
    pub fn session_for(&self, target_user: &str, group: Option<u32>, expiry_epoch: u64) -> Session {
        let user = &self.user;
        let token = self.encrypt(&format!("{user}:{target_user}:{expiry_epoch}"));
        let text = match group {
            Some(group) => format!("{user}:{target_user}:{group}:{token}"),
            None => format!("{user}:{target_user}:{token}"),
        };
        Session {
            user: target_user.to_owned(),
            text: Secret(text),
        }
    }

    /// AES-256-CBC in base64. The driver takes characters of the hex digest as key bytes.
    fn encrypt(&self, text: &str) -> String {
        let digest = self.digest.expose().as_bytes();
        let mut key = [0; 32];
        let mut iv = [0; 16];
        key.copy_from_slice(&digest[..32]);
        iv.copy_from_slice(&digest[..16]);
        let cipher = cbc::Encryptor::<aes::Aes256>::new(&key.into(), &iv.into());
        STANDARD.encode(cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes()))
    }
}

fn split(text: &str) -> Result<(&str, &str), SessionError> {
    let text = text.trim_end();
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !text.contains('\n') => {
            Ok((user, password))
        }
        _ => Err(SessionError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delegation_matches_the_authentication_driver() {
        let server = ServerCredential::parse("serveradmin:0123456789abcdef\n").unwrap();
        let session = server.session_for("alice", None, 1_800_000_000);
        assert_eq!(session.user(), "alice");
        assert_eq!(
            session.expose(),
            "serveradmin:alice:6Er/hDVypNMFCpnCbNsA7MkidQqxB8y4ksGf6NYoTBA="
        );
        let grouped = server.session_for("alice", Some(100), 1_800_000_000);
        assert_eq!(
            grouped.expose(),
            "serveradmin:alice:100:6Er/hDVypNMFCpnCbNsA7MkidQqxB8y4ksGf6NYoTBA="
        );
    }

    #[test]
    fn a_session_is_user_and_password() {
        let session = Session::parse("alice:pass:word\n").unwrap();
        assert_eq!((session.user(), session.expose()), ("alice", "alice:pass:word"));
        for text in ["", "alice", ":secret", "alice:", "alice:a\nbob:b"] {
            assert_eq!(Session::parse(text), Err(SessionError), "{text:?}");
            assert_eq!(ServerCredential::parse(text), Err(SessionError), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_shown() {
        let session = Session::parse("alice:hunter2").unwrap();
        let server = ServerCredential::parse("serveradmin:hunter2").unwrap();
        let shown = format!(
            "{session:?} {server:?} {:?}",
            server.session_for("alice", None, 1)
        );
        assert!(shown.contains("alice") && shown.contains("REDACTED"), "{shown}");
        for secret in [
            "hunter2",
            server.digest.expose(),
            server.session_for("alice", None, 1).expose(),
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
