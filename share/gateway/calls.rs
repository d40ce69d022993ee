//! Calls to OpenNebula block, so they run on threads of their own, few enough to leave oned connections for others.
//!
//! A user has only some of the threads, so that one whose calls are slow doesn't stop the others. Requests for the same
//! list with the same credentials that come while one is being read are answered together, by one call that begins after
//! all of them have come: each sees what was there when it asked, or later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::StatusCode;
use opennebula::transport::{Transport, TransportError};
use opennebula::{Client, Session};
use tokio::sync::{Mutex as Gate, OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::auth::Key;
use crate::fault::Fault;
use crate::known::Known;
use crate::listing::{List, Pool};

/// Calls at once. oned serves 15 connections as shipped, and hooks need some.
const THREADS: usize = 8;

/// Calls at once of one user.
const THREADS_OF_ONE: usize = 4;

/// Requests that wait for a thread. More are turned away.
const WAITING: usize = 256;

/// Users and lists that are remembered before those that nobody uses are forgotten.
const REMEMBERED: usize = 256;

/// The ways to OpenNebula.
pub struct Calls {
    transport: Arc<dyn Transport>,
    threads: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    users: Mutex<HashMap<Key, Arc<Semaphore>>>,
    lists: Mutex<HashMap<(Key, Pool), Queue>>,
    known: Arc<Known>,
}

/// Requests for a list that are answered together.
type Batch = OnceCell<Result<Arc<List>, Fault>>;

/// Those who want a list with certain credentials.
#[derive(Default)]
struct Queue {
    /// Held while it is being read.
    gate: Arc<Gate<()>>,
    /// Those who come now.
    next: Arc<Batch>,
}

/// What is held while a call is made.
type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Calls {
    /// Calls by this way.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            threads: Arc::new(Semaphore::new(THREADS)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            users: Mutex::default(),
            lists: Mutex::default(),
            known: Arc::default(),
        }
    }

    /// Runs something that calls OpenNebula as a user. Calls that would begin after `end` are not made.
    ///
    /// # Errors
    /// Too much is under way.
    pub async fn run<T: Send + 'static>(
        &self,
        key: Key,
        session: Session,
        end: Instant,
        work: impl FnOnce(Client) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        self.at(key, end, |transport| work(Client::new(transport, session)))
            .await
    }

    /// The same with the way to OpenNebula itself.
    async fn at<T: Send + 'static>(
        &self,
        key: Key,
        end: Instant,
        work: impl FnOnce(Arc<dyn Transport>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.place(key).await?;
        let transport = self.transport.clone();
        let until = Arc::new(Until { transport, end });
        let task = tokio::task::spawn_blocking(move || {
            // Held until the work is over, even if nobody waits for it any more.
            let _place = place;
            work(until)
        });
        task.await
            .map_err(|_| Fault::new(StatusCode::BAD_GATEWAY, "the answer of OpenNebula can't be used"))
    }

    /// A list, read by one call for all who want it now.
    ///
    /// # Errors
    /// The call, or too much is under way.
    pub async fn list(
        &self,
        key: Key,
        session: &Session,
        end: Instant,
        pool: Pool,
        read: impl FnOnce(Client) -> Result<List, Fault> + Send + 'static,
    ) -> Result<Arc<List>, Fault> {
        let (gate, batch) = {
            let mut lists = lock(&self.lists);
            if lists.len() > REMEMBERED {
                lists.retain(|_, q| Arc::strong_count(&q.gate) > 1 || Arc::strong_count(&q.next) > 1);
            }
            let queue = lists.entry((key, pool)).or_default();
            (queue.gate.clone(), queue.next.clone())
        };
        let read = async {
            let _gate = gate.lock().await;
            // Whoever comes from here on gets another call.
            if let Some(queue) = lock(&self.lists).get_mut(&(key, pool))
                && Arc::ptr_eq(&queue.next, &batch)
            {
                queue.next = Arc::default();
            }
            let (known, session) = (self.known.clone(), session.clone());
            self.at(key, end, move |transport| {
                let client = |transport| Client::new(transport, session);
                known.list(pool, transport, client, read)
            })
            .await?
        };
        batch.get_or_init(|| read).await.clone()
    }

    async fn place(&self, key: Key) -> Result<Place, Fault> {
        let busy = || Fault::busy("too many requests are under way; try again");
        let _waiting = self.waiting.clone().try_acquire_owned().map_err(|_| busy())?;
        let user = {
            let mut users = lock(&self.users);
            if users.len() > REMEMBERED {
                users.retain(|_, user| Arc::strong_count(user) > 1);
            }
            let user = users.entry(key);
            user.or_insert_with(|| Arc::new(Semaphore::new(THREADS_OF_ONE)))
                .clone()
        };
        // Neither is ever closed.
        let user = user.acquire_owned().await.map_err(|_| busy())?;
        let thread = self.threads.clone().acquire_owned().await.map_err(|_| busy())?;
        Ok((user, thread))
    }
}

/// A way that is closed at some time: nobody waits for what would be found later.
struct Until {
    transport: Arc<dyn Transport>,
    end: Instant,
}

impl Transport for Until {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        if Instant::now() >= self.end {
            return Err(TransportError::Timeout {
                endpoint: "OpenNebula".to_owned(),
                sent: false,
            });
        }
        self.transport.post(body)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in it is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use opennebula::Secret;

    use super::*;

    struct Nowhere;

    impl Transport for Nowhere {
        fn post(&self, _: &str) -> Result<String, TransportError> {
            panic!("nothing is called here")
        }
    }

    fn calls() -> Arc<Calls> {
        Arc::new(Calls::new(Arc::new(Nowhere)))
    }

    fn session() -> Session {
        Session::new("alice", &Secret::new("pw"))
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn those_who_ask_together_are_answered_by_one_call_that_begins_later() {
        let calls = calls();
        let (reads, (release, held)) = (Arc::new(AtomicUsize::new(0)), std::sync::mpsc::channel::<()>());
        let held = Arc::new(Mutex::new(held));
        let ask = |key: Key| {
            let (calls, reads, held) = (calls.clone(), reads.clone(), held.clone());
            tokio::spawn(async move {
                let read = move |_: Client| {
                    held.lock().unwrap().recv().unwrap();
                    let n = reads.fetch_add(1, Ordering::SeqCst);
                    Ok(List::numbered(n))
                };
                let list = calls.list(key, &session(), later(), Pool::Clusters, read).await;
                list.unwrap().number()
            })
        };
        let first = ask([1; 32]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The first call is under way; these come too late for it.
        let others: Vec<_> = (0..5).map(|_| ask([1; 32])).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let stranger = ask([2; 32]);
        for _ in 0..3 {
            release.send(()).unwrap();
        }
        let mut numbers = vec![first.await.unwrap(), stranger.await.unwrap()];
        for other in others {
            numbers.push(other.await.unwrap());
        }
        assert_eq!(reads.load(Ordering::SeqCst), 3);
        assert!(numbers[2..].iter().all(|n| *n == numbers[2]), "{numbers:?}");
        assert_ne!(numbers[0], numbers[2]);
        assert_ne!(numbers[1], numbers[2]);
    }

    #[tokio::test]
    async fn one_whose_calls_are_slow_leaves_room_for_others() {
        let calls = calls();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let slow: Vec<_> = (0..20)
            .map(|_| {
                let (calls, held) = (calls.clone(), held.clone());
                tokio::spawn(async move {
                    let work = move |_| held.lock().unwrap().recv().is_err();
                    calls.run([1; 32], session(), later(), work).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(calls.run([2; 32], session(), later(), |_| 7).await.unwrap(), 7);
        drop(release);
        for task in slow {
            assert!(task.await.unwrap().is_ok());
        }
    }

    #[test]
    fn nothing_is_called_when_nobody_waits_any_more() {
        let until = Until {
            transport: Arc::new(Nowhere),
            end: Instant::now(),
        };
        assert!(matches!(
            until.post(""),
            Err(TransportError::Timeout { sent: false, .. })
        ));
    }
}
