//! Lists: what the user may see, by one call, and the part of it that was asked for.

use bytes::{BufMut, Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{HeaderName, LINK};
use oneks::orders::cluster::Cluster;
use oneks_core::profile::Catalog;
use opennebula::Client;
use opennebula::calls::PoolFilter;
use std::fmt::Write as _;

use crate::body;
use crate::fault::Fault;
use crate::metrics;
use crate::reply::Reply;
use crate::request::Query;
use crate::routes::LAST_PAGE;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// Clusters.
    Clusters,
    /// Groups of all clusters.
    Groups,
    /// Figures about the clusters.
    Metrics,
}

/// A list, ready to be sent.
#[derive(Debug)]
pub struct List {
    rows: Vec<Row>,
    /// All of it.
    whole: Bytes,
}

/// One entry.
#[derive(Debug)]
struct Row {
    name: String,
    state: String,
    json: Bytes,
}

/// Most entries of a page.
const LARGEST_PAGE: usize = 1000;

/// Entries of a page unless another number is asked for.
const PAGE: usize = 100;

impl Pool {
    /// Reads the list.
    ///
    /// # Errors
    /// The call.
    pub fn read(self, client: &Client, catalog: impl FnOnce() -> Catalog) -> Result<List, Fault> {
        // Newest first, as OpenNebula has it.
        let mut clusters = Cluster::pool(client, PoolFilter::All)?;
        clusters.reverse();
        let mut rows = Vec::with_capacity(clusters.len());
        match self {
            Self::Clusters => {
                for cluster in &clusters {
                    let json = body::cluster(cluster, None);
                    rows.push(Row::new(cluster.name(), &cluster.state(), &json));
                }
            }
            Self::Groups => {
                let catalog = catalog();
                for cluster in &clusters {
                    let mut groups = body::members(cluster);
                    groups.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
                    for (id, group) in groups {
                        let json = body::group(cluster, &group, id, &catalog);
                        rows.push(Row::new(group.name(), group.state(), &json));
                    }
                }
            }
            Self::Metrics => {
                let text = metrics::text(&clusters);
                return Ok(List {
                    rows,
                    whole: Bytes::from(text),
                });
            }
        }
        let whole = array(rows.iter());
        Ok(List { rows, whole })
    }
}

impl List {
    /// All of it, as it stands.
    pub fn whole(&self) -> Bytes {
        self.whole.clone()
    }

    /// Its size, bytes.
    pub fn size(&self) -> usize {
        self.whole.len()
    }

    /// The part that was asked for.
    ///
    /// # Errors
    /// The page is no number.
    pub fn reply(&self, path: &str, query: &Query) -> Result<Reply, Fault> {
        let page = query.number("page", LAST_PAGE)?;
        let size = query.number("per_page", LARGEST_PAGE)?;
        let (name, state) = (query.get("name"), query.get("state"));
        if page.is_none() && size.is_none() && name.is_none() && state.is_none() {
            return Ok(Reply::bytes(StatusCode::OK, self.whole()));
        }
        let states: Vec<String> = state
            .iter()
            .flat_map(|s| s.split(','))
            .map(|s| s.trim().to_ascii_uppercase())
            .collect();
        let found: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| name.is_none_or(|name| row.name == name))
            .filter(|row| state.is_none() || states.contains(&row.state))
            .collect();
        let total = HeaderName::from_static("x-total-count");
        if page.is_none() && size.is_none() {
            let all = array(found.iter().copied());
            return Ok(Reply::bytes(StatusCode::OK, all).with(total, &found.len().to_string()));
        }
        let (page, size) = (page.unwrap_or(1), size.unwrap_or(PAGE));
        let pages = found.len().div_ceil(size).max(1);
        let part = found.iter().skip((page - 1).saturating_mul(size)).take(size);
        let reply = Reply::bytes(StatusCode::OK, array(part.copied()));
        let mut links = Vec::new();
        for (relation, number) in [
            ("first", Some(1)),
            ("prev", (page > 1).then(|| (page - 1).min(pages))),
            ("next", (page < pages).then_some(page + 1)),
            ("last", Some(pages)),
        ] {
            if let Some(number) = number {
                links.push(format!(
                    "<{path}?page={number}&per_page={size}{}>; rel=\"{relation}\"",
                    filters(name, state)
                ));
            }
        }
        Ok(reply
            .with(total, &found.len().to_string())
            .with(LINK, &links.join(", ")))
    }

    #[cfg(test)]
    pub fn numbered(n: usize) -> Self {
        let whole = Bytes::from(n.to_string());
        Self {
            rows: Vec::new(),
            whole,
        }
    }

    #[cfg(test)]
    pub fn number(&self) -> usize {
        std::str::from_utf8(&self.whole).unwrap().parse().unwrap()
    }
}

impl Row {
    fn new(name: &str, state: &str, json: &serde_json::Value) -> Self {
        Self {
            name: name.to_owned(),
            state: state.to_owned(),
            json: Bytes::from(json.to_string()),
        }
    }
}

fn array<'a>(rows: impl Iterator<Item = &'a Row>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(b'[');
    for (i, row) in rows.enumerate() {
        if i > 0 {
            bytes.put_u8(b',');
        }
        bytes.put_slice(&row.json);
    }
    bytes.put_u8(b']');
    bytes.freeze()
}

/// The filters as they stand in a link to another page.
fn filters(name: Option<&str>, state: Option<&str>) -> String {
    let mut text = String::new();
    for (parameter, value) in [("name", name), ("state", state)] {
        let Some(value) = value else { continue };
        let _ = write!(text, "&{parameter}=");
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn list() -> List {
        let rows: Vec<Row> = (0..25)
            .map(|i| {
                let state = if i % 5 == 0 { "WARNING" } else { "RUNNING" };
                Row::new(&format!("c{i}"), state, &json!(i))
            })
            .collect();
        let whole = array(rows.iter());
        List { rows, whole }
    }

    fn part(query: &str) -> (Vec<u64>, String, String) {
        let reply = list().reply("/api/v1/clusters", &Query::parse(query)).unwrap();
        let mut response = reply.response();
        let bytes = futures_lite(response.body_mut());
        let values: Value = serde_json::from_slice(&bytes).unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map_or("", |v| v.to_str().unwrap()).to_owned()
        };
        let values = values
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_u64().unwrap())
            .collect();
        (values, header("x-total-count"), header("link"))
    }

    /// The bytes of a body that is there already.
    fn futures_lite(body: &mut crate::reply::Content) -> Bytes {
        match body {
            crate::reply::Content::Whole(bytes) => bytes.take().unwrap(),
            crate::reply::Content::Pieces(_) => panic!("a stream"),
        }
    }

    #[test]
    fn pages_and_filters_give_the_part_that_was_asked_for() {
        assert_eq!(part("").0.len(), 25);
        let (values, total, links) = part("page=2&per_page=10");
        assert_eq!((values, total.as_str()), ((10..20).collect(), "25"));
        for wanted in [
            "page=1&per_page=10>; rel=\"prev\"",
            "page=3&per_page=10>; rel=\"next\"",
        ] {
            assert!(links.contains(wanted), "{links}");
        }
        assert_eq!(part("page=9&per_page=10").0, [0_u64; 0]);
        assert_eq!(part("state=warning").0, [0, 5, 10, 15, 20]);
        assert_eq!(part("state=WARNING,RUNNING").0.len(), 25);
        assert_eq!(part("name=c7&state=RUNNING").0, [7]);
        let (values, total, links) = part("state=WARNING&page=2&per_page=2&name=c%26");
        assert_eq!((values.len(), total.as_str()), (0, "0"));
        assert!(links.contains("&name=c%26&state=WARNING>"), "{links}");
        for wrong in ["page=0", "page=x", "per_page=0", "per_page=1001", "page=-1"] {
            assert!(list().reply("", &Query::parse(wrong)).is_err(), "{wrong}");
        }
    }
}
