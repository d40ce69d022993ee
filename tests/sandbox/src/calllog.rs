//! How often the cloud was asked, by method and user.

use std::collections::BTreeMap;

/// Calls that came through [`Sandbox::call`](crate::Sandbox::call) since the last reset, failed ones included; calls
/// of guests are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallLog {
    /// Each call, in order.
    pub calls: Vec<CallRecord>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// When, epoch seconds.
    pub time: u64,
    /// Name of the user; empty if the session was not valid.
    pub user: String,
    /// Method.
    pub method: String,
    /// The first integer parameter: in most methods, the object.
    pub object: Option<i64>,
    /// oned's error code, 0 for success, -1 for a fault of the XML-RPC library.
    pub code: i64,
    /// Bytes of the request's and the answer's body.
    pub bytes: usize,
}

impl CallLog {
    /// Number of calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether nobody asked.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Number of calls of a method.
    pub fn count(&self, method: &str) -> usize {
        self.calls.iter().filter(|call| call.method == method).count()
    }

    /// Number of calls by method.
    pub fn by_method(&self) -> BTreeMap<&str, usize> {
        self.count_by(|call| call.method.as_str())
    }

    /// Number of calls by user.
    pub fn by_user(&self) -> BTreeMap<&str, usize> {
        self.count_by(|call| call.user.as_str())
    }

    /// Calls that were refused.
    pub fn failed(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter().filter(|call| call.code != 0)
    }

    fn count_by<'a>(&'a self, key: impl Fn(&'a CallRecord) -> &'a str) -> BTreeMap<&'a str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(key(call)).or_default() += 1;
        }
        counts
    }
}
