//! Who asks: HTTP Basic with a user's name and his password or login token. Both go to OpenNebula and nowhere else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use opennebula::{Secret, Session};
use sha2::{Digest, Sha256};

use crate::fault::Fault;

/// Longest name or password that is passed on.
const LONGEST: usize = 1024;

/// Credentials as they came. What they are worth, OpenNebula says.
pub struct Credentials {
    /// The session that OpenNebula is called with.
    pub session: Session,
    /// Tells credentials apart without holding them.
    pub key: Key,
}

/// Equal for equal credentials only.
pub type Key = [u8; 32];

/// The credentials of a request.
///
/// # Errors
/// There are none, or they can't be read.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials, Fault> {
    let missing = || Fault::unauthorized("a user name and a password or token must be given (HTTP Basic)");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, encoded) = text.trim().split_once(' ').ok_or_else(missing)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("basic") {
        return Err(missing());
    }
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| missing())?;
    let text = String::from_utf8(bytes).map_err(|_| missing())?;
    let (user, password) = text.split_once(':').ok_or_else(missing)?;
    let unfit = |text: &str| text.is_empty() || text.len() > LONGEST || text.contains(char::is_control);
    // A blank ends the session as oned reads it.
    if unfit(user) || unfit(password) || text.contains(char::is_whitespace) {
        return Err(missing());
    }
    Ok(Credentials {
        session: Session::new(user, &Secret::new(password)),
        key: Sha256::digest(text.as_bytes()).into(),
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn read(header: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        credentials(&headers).ok().map(|c| c.session.expose().to_owned())
    }

    #[test]
    fn only_a_name_and_a_secret_are_credentials() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&basic("alice:pw")).as_deref(), Some("alice:pw"));
        assert_eq!(read(&basic("alice:a:b")).as_deref(), Some("alice:a:b"));
        assert_eq!(
            read(&format!("bAsIc  {}", STANDARD.encode("a:b"))).as_deref(),
            Some("a:b")
        );
        for wrong in [
            basic("alice"),
            basic("alice:"),
            basic(":pw"),
            basic("alice:p\nw"),
            basic("al ice:pw"),
            basic(&format!("alice:{}", "x".repeat(2000))),
            "Basic".to_owned(),
            "Basic %%%".to_owned(),
            "Bearer YTpi".to_owned(),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        assert!(credentials(&HeaderMap::new()).is_err());
    }

    #[test]
    fn keys_differ_with_the_credentials() {
        let key = |text: &str| {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", STANDARD.encode(text));
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
            credentials(&headers).unwrap().key
        };
        assert_eq!(key("a:b"), key("a:b"));
        assert_ne!(key("a:b"), key("a:c"));
        assert_ne!(key("a:b:c"), key("a:bc"));
    }
}
