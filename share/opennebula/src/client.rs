//! The client: one OpenNebula, one session.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::{Error, ErrorCode};
use crate::objects::{Element, ObjectError, Pool, read_pool};
use crate::session::Session;
use crate::transport::Transport;
use crate::xmlrpc::{self, Response, Value};

/// Calls OpenNebula as one user. Cheap to clone.
///
/// The methods are named after OpenNebula's: `one.vm.info` is [`vm_info`](Self::vm_info). Templates are given as text,
/// in either syntax, see [`template`](crate::template).
///
/// A call that only reads is repeated when the connection fails, one that makes no difference when it is carried out
/// twice only when it was certainly not sent, any other never. There are at most two repetitions, within 200 ms.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    session: Session,
    sleep: Arc<dyn Fn(Duration) + Send + Sync>,
}

/// What a repetition of a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing: it only reads.
    Reads,
    /// Nothing more than the first time, but others may have acted in between.
    Idempotent,
    /// The same once more.
    Acts,
}

/// Waits before the repetitions. Shorter than what any caller notices, longer than a restart of the listening socket.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];

impl Client {
    /// A client that calls through `transport`: an [`HttpTransport`](crate::http::HttpTransport), a `Box<dyn
    /// Transport>`, an `Arc<dyn Transport>` …
    pub fn new(transport: impl Transport + 'static, session: Session) -> Self {
        Self {
            transport: Arc::new(transport),
            session,
            sleep: Arc::new(thread::sleep),
        }
    }

    /// The same OpenNebula as another user.
    #[must_use]
    pub fn with_session(&self, session: Session) -> Self {
        Self {
            session,
            ..self.clone()
        }
    }

    /// Waits with `sleep` before repetitions, instead of blocking the thread.
    #[must_use]
    pub fn with_sleep(self, sleep: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self {
            sleep: Arc::new(sleep),
            ..self
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Calls any method. The session is put in front of `params`. Never repeated.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn call_raw(&self, method: &str, params: Vec<Value>) -> Result<Value, Error> {
        self.call(method, params, Repeat::Acts)
    }

    pub(crate) fn call(&self, method: &str, mut params: Vec<Value>, repeat: Repeat) -> Result<Value, Error> {
        params.insert(0, self.session.expose().into());
        let body = xmlrpc::encode_call(method, &params)?;
        let mut pauses = PAUSES.iter();
        loop {
            let error = match self.send(method, &body) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Error::Unreachable { sent, .. } = &error else {
                return Err(error);
            };
            let again = match repeat {
                Repeat::Reads => true,
                Repeat::Idempotent => !sent,
                Repeat::Acts => false,
            };
            match pauses.next() {
                Some(pause) if again => (self.sleep)(*pause),
                _ => return Err(error),
            }
        }
    }

    fn send(&self, method: &str, body: &str) -> Result<Value, Error> {
        log::trace!("{method}: as {}, {} bytes", self.session.user(), body.len());
        let answered = self
            .transport
            .post(body)
            .map_err(|error| Error::from_transport(method, error));
        let answer = answered.inspect_err(|error| log::trace!("{error}"))?;
        let response = xmlrpc::decode_response(&answer);
        let outcome = match &response {
            Ok(Response::Success { .. }) => "done",
            Ok(Response::Failure { .. }) => "refused",
            Ok(Response::Fault { .. }) => "fault",
            Err(_) => "unreadable",
        };
        log::trace!("{method}: {outcome}, {} bytes", answer.len());
        let method = method.to_owned();
        match response {
            Ok(Response::Success { value }) => Ok(value),
            Ok(Response::Failure {
                message,
                code,
                object,
                ..
            }) => Err(Error::Call {
                method,
                code: ErrorCode::from_number(code),
                message,
                object,
            }),
            Ok(Response::Fault { code, message }) => Err(Error::Fault {
                method,
                code,
                message,
            }),
            Err(error) => Err(Error::Reply {
                method,
                what: error.to_string(),
            }),
        }
    }

    /// A call whose result does not matter, such as the id that went in.
    pub(crate) fn done(&self, method: &str, params: Vec<Value>, repeat: Repeat) -> Result<(), Error> {
        self.call(method, params, repeat).map(drop)
    }

    /// A call that returns the id of a new object.
    pub(crate) fn new_id(&self, method: &str, params: Vec<Value>) -> Result<u32, Error> {
        let value = self.call(method, params, Repeat::Acts)?;
        value
            .as_int()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| unexpected(method, "no id"))
    }

    /// A call that returns text.
    pub(crate) fn text(&self, method: &str, params: Vec<Value>, repeat: Repeat) -> Result<String, Error> {
        match self.call(method, params, repeat)? {
            Value::String(text) => Ok(text),
            _ => Err(unexpected(method, "no text")),
        }
    }

    /// A call that returns an object.
    pub(crate) fn object<T>(
        &self,
        method: &str,
        params: Vec<Value>,
        read: fn(&str) -> Result<T, ObjectError>,
    ) -> Result<T, Error> {
        let xml = self.text(method, params, Repeat::Reads)?;
        read(&xml).map_err(|error| Error::from_object(method, &error))
    }

    /// A call that returns a pool.
    pub(crate) fn pool<T: Element>(&self, method: &str, params: Vec<Value>) -> Result<Pool<T>, Error> {
        self.object(method, params, read_pool)
    }
}

fn unexpected(method: &str, what: &str) -> Error {
    Error::Reply {
        method: method.to_owned(),
        what: format!("it holds {what}"),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{UpdateMode, VmAction};
    use crate::transport::TransportError;
    use std::sync::Mutex;

    /// Fails in the given ways, then answers with an id.
    struct Failing {
        failures: Mutex<Vec<TransportError>>,
        posts: Mutex<usize>,
    }

    impl Transport for Failing {
        fn post(&self, _: &str) -> Result<String, TransportError> {
            *self.posts.lock().unwrap() += 1;
            match self.failures.lock().unwrap().pop() {
                Some(error) => Err(error),
                None => Ok(xmlrpc::encode_response(&[true.into(), "<VM/>".into(), 0.into()])),
            }
        }
    }

    fn lost(sent: bool) -> TransportError {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        TransportError::Unreachable {
            endpoint: "e".into(),
            sent,
            source,
        }
    }

    /// Number of posts and the pauses between them.
    fn attempts(failures: Vec<TransportError>, call: impl Fn(&Client)) -> (usize, Vec<u64>) {
        let transport = Arc::new(Failing {
            failures: Mutex::new(failures),
            posts: Mutex::new(0),
        });
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let noted = pauses.clone();
        let client =
            Client::new(transport.clone(), Session::parse("a:b").unwrap()).with_sleep(move |pause| {
                let millis = u64::try_from(pause.as_millis()).unwrap();
                noted.lock().unwrap().push(millis);
            });
        call(&client);
        (*transport.posts.lock().unwrap(), pauses.lock().unwrap().clone())
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let many = |sent| (0..9).map(|_| lost(sent)).collect::<Vec<_>>();
        let reads = |client: &Client| drop(client.vm_info(1, false));
        let updates = |client: &Client| drop(client.vm_update(1, "A=1", UpdateMode::Merge));
        let acts = |client: &Client| drop(client.vm_action(VmAction::Resume, 1));
        let creates = |client: &Client| drop(client.vm_allocate("A=1", false));
        assert_eq!(attempts(many(true), reads), (3, vec![50, 150]));
        assert_eq!(attempts(vec![lost(false)], reads), (2, vec![50]));
        assert_eq!(attempts(many(false), updates), (3, vec![50, 150]));
        assert_eq!(attempts(many(true), updates), (1, vec![]));
        assert_eq!(attempts(many(false), acts), (1, vec![]));
        assert_eq!(attempts(many(false), creates), (1, vec![]));
        assert_eq!(
            attempts(many(false), |client| drop(client.call_raw("one.vm.info", vec![]))),
            (1, vec![])
        );
        let late = || TransportError::Timeout {
            endpoint: "e".into(),
            sent: true,
        };
        assert_eq!(attempts(vec![late()], reads), (1, vec![]));
    }

    #[test]
    fn a_reply_of_the_wrong_kind_is_an_error() {
        let check = |client: &Client| {
            assert!(matches!(client.vm_allocate("", false), Err(Error::Reply { .. })));
            assert!(matches!(client.cluster_info(0, false), Err(Error::Reply { .. })));
            let error = client.vm_info(7, false).unwrap_err();
            assert_eq!(
                error.to_string(),
                "one.vm.info: can't read the answer: VM has no ID"
            );
            assert!(error.may_have_happened());
        };
        attempts(vec![], check);
    }

    #[test]
    fn an_unencodable_parameter_is_not_sent() {
        let (posts, _) = attempts(vec![], |client| {
            let error = client.vm_update(1, "A=\"\u{1}\"", UpdateMode::Merge).unwrap_err();
            assert!(
                error.to_string().starts_with("parameter 2 of one.vm.update"),
                "{error}"
            );
            assert!(!error.may_have_happened());
        });
        assert_eq!(posts, 0);
    }

    #[test]
    fn debug_shows_no_session() {
        let client = Client::new(
            Failing {
                failures: Mutex::default(),
                posts: Mutex::default(),
            },
            Session::parse("alice:hunter2").unwrap(),
        );
        assert!(!format!("{client:?}").contains("hunter2"));
    }
}
