//! The connections there are. When there are too many, the one goes that has been without a request for longest: clients
//! that hang keep nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The connections.
#[derive(Default)]
pub struct Connections {
    open: Mutex<Open>,
    /// Told when one has ended.
    pub ended: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: BTreeMap<u64, Arc<Connection>>,
}

/// A connection.
pub struct Connection {
    number: u64,
    /// Requests under way, and since when that number is what it is.
    requests: Mutex<(usize, Instant)>,
    /// Told when it has to end.
    pub end: Notify,
    among: Arc<Connections>,
}

/// Something that is held while a connection is open.
pub struct Held(Arc<Connection>);

/// Something that is held while a request is under way.
pub struct Busy(Arc<Connection>);

impl Connections {
    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.open).all.len()
    }

    /// Adds one. If there are `most` already, another one that rests is ended for it; if none rests, there is no room.
    pub fn add(self: &Arc<Self>, most: usize) -> Option<Held> {
        let mut open = lock(&self.open);
        if open.all.len() >= most {
            let resting = open.all.values().find(|c| c.resting().is_some())?.clone();
            open.all.remove(&resting.number);
            resting.end.notify_one();
        }
        open.next += 1;
        let connection = Arc::new(Connection {
            number: open.next,
            requests: Mutex::new((0, Instant::now())),
            end: Notify::new(),
            among: self.clone(),
        });
        open.all.insert(connection.number, connection.clone());
        Some(Held(connection))
    }
}

impl Connection {
    /// For how long it has been without a request, if it is.
    pub fn resting(&self) -> Option<Duration> {
        let (count, since) = *lock(&self.requests);
        (count == 0).then(|| since.elapsed())
    }

    /// A request begins.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.change(|count| count + 1);
        Busy(self.clone())
    }

    fn change(&self, change: impl Fn(usize) -> usize) {
        let mut requests = lock(&self.requests);
        *requests = (change(requests.0), Instant::now());
    }
}

impl Held {
    /// The connection.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.0.among.open).all.remove(&self.0.number);
        self.0.among.ended.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|count| count.saturating_sub(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in it is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_rests_longest_makes_room() {
        let all = Arc::new(Connections::default());
        let first = all.add(2).unwrap();
        let second = all.add(2).unwrap();
        let request = first.connection().busy();
        let third = all.add(2).unwrap();
        assert_eq!(all.count(), 2);
        let request_of_third = third.connection().busy();
        assert!(all.add(2).is_none());
        drop((request, request_of_third));
        assert!(all.add(2).is_some());
        drop((first, second, third));
        assert_eq!(all.count(), 0);
    }
}
