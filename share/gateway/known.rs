//! Answers of OpenNebula that were turned into a list before. OpenNebula is asked each time; only if its answer is the same,
//! byte for byte, the list that was made of it is given again.
//!
//! Kept are digests of answers and the lists, which hold nothing that may not be shown to whom OpenNebula gives that answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use opennebula::Client;
use opennebula::transport::{Transport, TransportError};
use opennebula::xmlrpc;
use sha2::{Digest, Sha256};

use crate::fault::Fault;
use crate::listing::{List, Pool};

/// Lists that are kept.
const LISTS: usize = 16;

/// Largest list that is kept, bytes.
const LARGEST: usize = 2 * 1024 * 1024;

/// Lists by the answer that they were made of.
#[derive(Default)]
pub struct Known {
    lists: Mutex<VecDeque<(Pool, Answer, Arc<List>)>>,
}

/// The digest of an answer.
type Answer = [u8; 32];

impl Known {
    /// Reads a list, or finds that it is known.
    ///
    /// # Errors
    /// The call.
    pub fn list(
        &self,
        pool: Pool,
        transport: Arc<dyn Transport>,
        client: impl FnOnce(Arc<dyn Transport>) -> Client,
        read: impl FnOnce(Client) -> Result<List, Fault>,
    ) -> Result<Arc<List>, Fault> {
        let known = match pool {
            Pool::Clusters | Pool::Metrics => lock(&self.lists)
                .iter()
                .filter(|(of, ..)| *of == pool)
                .map(|(_, answer, list)| (*answer, list.clone()))
                .collect(),
            // They are made of the profiles as well.
            Pool::Groups => Vec::new(),
        };
        let listening = Arc::new(Listening {
            transport,
            known,
            heard: Mutex::default(),
        });
        let list = read(client(listening.clone()));
        let mut heard = std::mem::take(&mut *lock(&listening.heard));
        // A list that came in several pages is not kept.
        let only = heard.pop().filter(|_| heard.is_empty());
        match only {
            Some((_, Some(known))) => Ok(known),
            Some((answer, None)) if pool != Pool::Groups => {
                let list = Arc::new(list?);
                if list.size() <= LARGEST {
                    let mut lists = lock(&self.lists);
                    lists.push_back((pool, answer, list.clone()));
                    while lists.len() > LISTS {
                        lists.pop_front();
                    }
                }
                Ok(list)
            }
            _ => list.map(Arc::new),
        }
    }
}

/// A way on which answers are recognised.
struct Listening {
    transport: Arc<dyn Transport>,
    known: Vec<(Answer, Arc<List>)>,
    /// The answers, each with the list that is known for it.
    heard: Mutex<Vec<(Answer, Option<Arc<List>>)>>,
}

impl Transport for Listening {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let text = self.transport.post(body)?;
        let answer: Answer = Sha256::digest(text.as_bytes()).into();
        let known = self
            .known
            .iter()
            .find(|(of, _)| *of == answer)
            .map(|(_, list)| list.clone());
        let found = known.is_some();
        lock(&self.heard).push((answer, known));
        // What was read before is not read again: in its place stands a list of nothing.
        Ok(if found {
            xmlrpc::encode_response(&[true.into(), "<DOCUMENT_POOL></DOCUMENT_POOL>".into(), 0.into()])
        } else {
            text
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in it is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use opennebula::{Secret, Session};

    use super::*;

    /// Answers with this document pool.
    struct Says(Mutex<String>);

    impl Transport for Says {
        fn post(&self, _: &str) -> Result<String, TransportError> {
            Ok(xmlrpc::encode_response(&[
                true.into(),
                self.0.lock().unwrap().as_str().into(),
                0.into(),
            ]))
        }
    }

    fn pool(names: &[&str]) -> String {
        let document = |(id, name): (usize, &&str)| {
            format!(
                "<DOCUMENT><ID>{id}</ID><UID>0</UID><GID>0</GID><UNAME>a</UNAME><GNAME>b</GNAME><NAME>{name}</NAME>\
                 <TYPE>120</TYPE><PERMISSIONS></PERMISSIONS><TEMPLATE></TEMPLATE></DOCUMENT>"
            )
        };
        let all: String = names.iter().enumerate().map(document).collect();
        format!("<DOCUMENT_POOL>{all}</DOCUMENT_POOL>")
    }

    #[test]
    fn the_same_answer_is_the_same_list_and_another_is_another() {
        let says = Arc::new(Says(Mutex::new(pool(&["x"]))));
        let known = Known::default();
        let reads = Mutex::new(0);
        let ask = |pool: Pool| {
            let client = |t: Arc<dyn Transport>| Client::new(t, Session::new("a", &Secret::new("b")));
            let read = |client: Client| {
                let list = pool.read(&client, oneks_core::profile::Catalog::default)?;
                *reads.lock().unwrap() += usize::from(list.size() > 2);
                Ok(list)
            };
            let list = known.list(pool, says.clone(), client, read).unwrap();
            String::from_utf8(list.whole().to_vec()).unwrap()
        };
        let first = ask(Pool::Clusters);
        assert!(first.contains("\"NAME\":\"x\""), "{first}");
        assert_eq!(ask(Pool::Clusters), first);
        assert_eq!(*reads.lock().unwrap(), 1);
        // Another list of the same documents is not that list.
        assert!(ask(Pool::Metrics).contains("oneks_clusters"));
        assert!(ask(Pool::Groups).contains("GROUP_BODY"));
        *says.0.lock().unwrap() = pool(&["x", "y"]);
        assert!(ask(Pool::Clusters).contains("\"NAME\":\"y\""));
        *says.0.lock().unwrap() = pool(&[]);
        assert_eq!(ask(Pool::Clusters), "[]");
        *says.0.lock().unwrap() = pool(&["x"]);
        assert_eq!(ask(Pool::Clusters), first);
    }
}
