//! A request as handlers see it.

use std::sync::Arc;

use oneks::layout::Layout;
use oneks_core::profile::Catalog;
use opennebula::Client;
use opennebula::objects::User;
use serde_json::Value;

use crate::fault::Fault;
use crate::schema;

/// What all requests have in common.
pub struct Site {
    /// Where the installed files lie.
    pub layout: Layout,
}

impl Site {
    /// The profiles of this machine. They are read anew for each request that needs them.
    pub fn catalog(&self) -> Catalog {
        let (catalog, errors) = oneks::catalog::load(&self.layout.profiles);
        for error in errors {
            log::warn!("profile {error}");
        }
        catalog
    }
}

/// A request of a user, with everything that an answer needs.
pub struct Ask {
    /// What all requests have in common.
    pub site: Arc<Site>,
    /// OpenNebula, as the user who asks.
    pub client: Client,
    /// What stands in the path's places, in their order.
    pub places: Vec<String>,
    /// What stands behind the question mark.
    pub query: Query,
    /// The body, `Null` without one. It has the fields that the route asks for.
    pub body: Value,
    /// The contents that the client has already.
    pub known: Option<String>,
}

impl Ask {
    /// The id of the cluster in the path.
    ///
    /// # Errors
    /// What stands there is no id, so there is no such cluster.
    pub fn cluster(&self) -> Result<u32, Fault> {
        let text = self.places.first().map_or("", String::as_str);
        number(text).ok_or_else(|| Fault::from(oneks::orders::cluster::not_found(&shown(text))))
    }

    /// The user who asks.
    ///
    /// # Errors
    /// The call.
    pub fn user(&self) -> Result<User, Fault> {
        Ok(self.client.user_info(None, false)?)
    }
}

/// An id in a path.
pub fn number(text: &str) -> Option<u32> {
    schema::id(&Value::from(text))
}

/// A text of the request as it may be shown again.
pub fn shown(text: &str) -> String {
    let short: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if short.is_empty() { "''".to_owned() } else { short }
}

/// What stands behind the question mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// Most parameters that are looked at.
const PARAMETERS: usize = 100;

impl Query {
    /// Takes it apart.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty()).take(PARAMETERS);
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Is the parameter there more than once? Which is meant, nobody knows.
    pub fn repeats(&self, name: &str) -> bool {
        self.0.iter().filter(|(n, _)| n == name).count() > 1
    }

    /// Is the parameter there, and not said to be off?
    pub fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| !["false", "no", "off", "0"].contains(&v.to_ascii_lowercase().as_str()))
    }

    /// A number from 1 on.
    ///
    /// # Errors
    /// The parameter is something else.
    pub fn number(&self, name: &str, most: usize) -> Result<Option<usize>, Fault> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Fault::field(name, format!("must be a number from 1 to {most}"))),
        }
    }
}

/// Takes `%41` for `A`, and, in a query, `+` for a blank. What is no UTF-8 becomes replacement characters.
pub fn decode(text: &str, query: bool) -> String {
    let bytes = text.as_bytes();
    let hex = |b: Option<&u8>| {
        b.and_then(|b| char::from(*b).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) if query => out.push(b' '),
            _ => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_taken_apart() {
        let query = Query::parse("expand&name=a%20b+c&page=2&per_page=x&force=false&%=1&state");
        assert!(query.flag("expand") && query.flag("state") && !query.flag("force") && !query.flag("all"));
        assert_eq!(query.get("name"), Some("a b c"));
        assert!(Query::parse("a=1&b=2&a=1").repeats("a") && !query.repeats("name") && !query.repeats("none"));
        assert_eq!(query.number("page", 9).unwrap(), Some(2));
        assert!(query.number("per_page", 9).is_err() && query.number("page", 1).is_err());
        assert_eq!(query.number("none", 9).unwrap(), None);
        assert_eq!(Query::parse(""), Query::default());
        assert_eq!(decode("a%2", false), "a%2");
        assert_eq!(decode("%ff%41+", false), "\u{fffd}A+");
    }
}
