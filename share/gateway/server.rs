//! Accepting connections and answering requests, within limits.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, IF_MATCH, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use opennebula::Client;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::activation::Listeners;
use crate::auth::{self, Credentials};
use crate::calls::Calls;
use crate::connections::{Connections, Held};
use crate::fault::Fault;
use crate::listing::Pool;
use crate::reply::{Content, Reply};
use crate::request::{Ask, Query, Site};
use crate::routes::{self, Run};
use crate::schema;

/// Largest body that is read, bytes. A specification may have as much.
const BODY: usize = oneks_core::spec::MAX_SPEC;

/// Largest head of a request, bytes.
const HEAD: usize = 32 * 1024;

/// Most headers of a request.
const HEADERS: usize = 64;

/// For how long a connection may be without a request before it is ended, while an answer is not fetched, for example.
const RESTING: Duration = Duration::from_secs(60);

/// How long requests under way are waited for when the process has to end.
const GRACE: Duration = Duration::from_secs(10);

/// Events of one stream. None has as many, so whoever tells them never waits for the client.
const EVENTS: usize = 64;

/// What can be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For sending a request.
    pub read: Duration,
    /// Until a request is answered.
    pub request: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Without a connection, before the process ends.
    pub idle: Option<Duration>,
}

/// The server.
pub struct Server {
    /// What requests have in common.
    pub site: Arc<Site>,
    /// The way to OpenNebula.
    pub calls: Arc<Calls>,
    /// What it keeps to.
    pub limits: Limits,
}

impl Server {
    /// Serves until nobody has asked for long enough, or the process has to end.
    pub async fn run(self: Arc<Self>, listeners: Listeners, end: impl Future<Output = ()>) {
        let connections = Arc::new(Connections::default());
        let (closing, closed) = watch::channel(false);
        let mut end = pin!(end);
        let mut last = Instant::now();
        loop {
            let idle = async {
                match self.limits.idle {
                    Some(idle) if connections.count() == 0 => {
                        sleep(idle.saturating_sub(last.elapsed())).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                // Whoever is there already is served before anything ends.
                biased;
                () = &mut end => break,
                accepted = listeners.accept() => {
                    last = Instant::now();
                    match accepted {
                        Ok(stream) => match connections.add(self.limits.connections) {
                            Some(held) => drop(tokio::spawn(self.clone().serve(stream, held, closed.clone()))),
                            None => drop(tokio::spawn(turn_away(stream))),
                        },
                        Err(e) => {
                            log::warn!("a connection can't be accepted: {e}");
                            sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
                () = connections.ended.notified() => last = Instant::now(),
                // What arrives from here on stays with systemd, which starts another process for it.
                () = idle => break,
            }
        }
        drop(listeners);
        let _ = closing.send(true);
        let quiet = async {
            while connections.count() > 0 {
                connections.ended.notified().await;
            }
        };
        let _ = timeout(GRACE, quiet).await;
    }

    /// Serves a connection.
    async fn serve(self: Arc<Self>, stream: TcpStream, held: Held, mut closing: watch::Receiver<bool>) {
        // Answers go out as they are.
        let _ = stream.set_nodelay(true);
        let connection = held.connection().clone();
        let service = service_fn(|request| {
            let (server, connection) = (self.clone(), connection.clone());
            async move {
                let _busy = connection.busy();
                Ok::<_, Infallible>(server.answer(request).await)
            }
        });
        let mut serving = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.read)
                .max_buf_size(HEAD)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(stream), service)
        );
        let mut told = false;
        loop {
            tokio::select! {
                result = &mut serving => {
                    if let Err(e) = result {
                        log::debug!("a connection ended: {e}");
                    }
                    break;
                }
                () = connection.end.notified() => break,
                _ = closing.changed(), if !told => {
                    told = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = sleep(RESTING / 4) => {
                    if connection.resting().is_some_and(|time| time > RESTING) {
                        break;
                    }
                }
            }
        }
    }

    /// Answers a request, and notes that in the log.
    async fn answer(&self, request: Request<Incoming>) -> Response<Content> {
        let begin = Instant::now();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let credentials = auth::credentials(request.headers());
        let user = credentials.as_ref().map_or("-", |c| c.session.user()).to_owned();
        let answer = timeout(self.limits.request, self.decide(request, credentials, begin)).await;
        let reply = match answer {
            Ok(Ok(reply)) => reply,
            Ok(Err(fault)) => fault.reply(),
            Err(_) => Fault::new(
                StatusCode::GATEWAY_TIMEOUT,
                "OpenNebula does not answer in time; look before you try again, because it may still do what was asked",
            )
            .reply(),
        };
        log::info!(
            "{user:?} {method} {path:?}: {} in {} ms",
            reply.status.as_u16(),
            begin.elapsed().as_millis()
        );
        reply.response()
    }

    async fn decide(
        &self,
        request: Request<Incoming>,
        credentials: Result<Credentials, Fault>,
        begin: Instant,
    ) -> Result<Reply, Fault> {
        let (head, body) = request.into_parts();
        let (route, places) = routes::find(head.method.as_str(), head.uri.path())?;
        if let Run::Open(answer) = route.run {
            return Ok(answer());
        }
        let credentials = credentials?;
        if route.method != "GET" && head.headers.contains_key(IF_MATCH) {
            return Err(Fault::new(
                StatusCode::PRECONDITION_FAILED,
                "OpenNebula has no conditional changes, so none is made; ask again without If-Match",
            ));
        }
        let query = Query::parse(head.uri.query().unwrap_or_default());
        if let Some(parameter) = route.query.iter().find(|p| query.repeats(p.name())) {
            return Err(Fault::field(parameter.name(), "is given more than once"));
        }
        let body = match route.body {
            Some(fields) => {
                let value = self.read(body).await?;
                let errors = schema::check(fields, &value);
                if !errors.is_empty() {
                    return Err(Fault::invalid(errors));
                }
                value
            }
            None => Value::Null,
        };
        let known = head.headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
        let ask = Asked {
            site: self.site.clone(),
            places,
            query,
            body,
            known: known.map(str::to_owned),
        };
        let Credentials { session, key } = credentials;
        let end = begin + self.limits.request;
        match route.run {
            Run::Open(answer) => Ok(answer()),
            Run::List(pool) => {
                let site = self.site.clone();
                let read = move |client: Client| pool.read(&client, || site.catalog());
                let list = self.calls.list(key, &session, end, pool, read).await?;
                if pool == Pool::Metrics {
                    let text = String::from_utf8_lossy(&list.whole()).into_owned();
                    return Ok(Reply::text("text/plain; version=0.0.4; charset=utf-8", text));
                }
                Ok(list.reply(route.path, &ask.query)?.tagged(ask.known.as_deref()))
            }
            Run::Call(answer) => {
                self.calls
                    .run(key, session, end, move |client| answer(&ask.of(client)))
                    .await?
            }
            Run::Stream(ready, tell) => {
                let calls = self.calls.clone();
                let (first, is_ready) = oneshot::channel();
                let (events, told) = mpsc::channel(EVENTS);
                let work = move |client: Client| {
                    let ask = ask.of(client);
                    let result = ready(&ask);
                    let good = result.is_ok();
                    if first.send(result).is_ok() && good {
                        tell(&ask, &events);
                    }
                };
                // Its events are its answer; the whole of it may take longer.
                let end = end + self.limits.request;
                tokio::spawn(async move { calls.run(key, session, end, work).await });
                match is_ready.await {
                    Ok(result) => result.map(|()| Reply::events(told)),
                    Err(_) => Err(Fault::busy("too many requests are under way; try again")),
                }
            }
        }
    }

    /// Reads a body.
    async fn read(&self, body: Incoming) -> Result<Value, Fault> {
        let collected = timeout(self.limits.read, Limited::new(body, BODY).collect()).await;
        let collected = collected
            .map_err(|_| Fault::new(StatusCode::REQUEST_TIMEOUT, "the request takes too long to come"))?;
        let bytes: Bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => {
                let message = format!("the body is larger than {BODY} bytes");
                return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            Err(_) => return Err(Fault::new(StatusCode::BAD_REQUEST, "the body is not whole")),
        };
        if bytes.is_empty() {
            return Err(Fault::new(StatusCode::BAD_REQUEST, "Missing request body"));
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Fault::new(StatusCode::BAD_REQUEST, format!("Invalid JSON body: {e}")))
    }
}

/// A request without its way to OpenNebula.
struct Asked {
    site: Arc<Site>,
    places: Vec<String>,
    query: Query,
    body: Value,
    known: Option<String>,
}

impl Asked {
    fn of(self, client: Client) -> Ask {
        Ask {
            site: self.site,
            client,
            places: self.places,
            query: self.query,
            body: self.body,
            known: self.known,
        }
    }
}

/// Says that there is no room, to one who may not even have asked yet.
async fn turn_away(stream: TcpStream) {
    let service = service_fn(|_: Request<Incoming>| async {
        let reply = Fault::busy("too many connections; try again").reply();
        Ok::<_, Infallible>(reply.with(CONNECTION, "close").response())
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(1))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(Duration::from_secs(2), serving).await;
}
