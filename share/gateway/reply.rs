//! Answers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    content: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Whole(Option<Bytes>),
    /// Pieces, as they come.
    Pieces(mpsc::Receiver<Bytes>),
}

impl Reply {
    /// Without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Whole(None),
        }
    }

    /// With JSON.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::bytes(status, Bytes::from(value.to_string()))
    }

    /// With JSON that is there already.
    pub fn bytes(status: StatusCode, json: Bytes) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            content: Content::Whole(Some(json)),
        }
    }

    /// With text.
    pub fn text(kind: &'static str, text: String) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(kind))],
            content: Content::Whole(Some(Bytes::from(text))),
        }
    }

    /// With server-sent events, as they come.
    pub fn events(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![
                (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
                // Proxies that collect answers would hold the events back.
                (
                    HeaderName::from_static("x-accel-buffering"),
                    HeaderValue::from_static("no"),
                ),
            ],
            content: Content::Pieces(pieces),
        }
    }

    /// With another header. A value that is none is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With the tag of its content; empty if the client has that content already.
    pub fn tagged(self, known: Option<&str>) -> Self {
        let Content::Whole(Some(bytes)) = &self.content else {
            return self;
        };
        let tag = tag_of(bytes);
        if known.is_some_and(|known| names(known, &tag)) {
            return Self::empty(StatusCode::NOT_MODIFIED).with(ETAG, &tag);
        }
        self.with(ETAG, &tag)
    }

    /// As it is sent.
    pub fn response(self) -> Response<Content> {
        let mut response = Response::new(self.content);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        // What is shown depends on who asks.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.extend(self.headers);
        response
    }
}

/// The tag of a content: another content has another.
pub fn tag_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let half = u128::from_be_bytes(std::array::from_fn(|i| digest[i]));
    format!("\"{half:032x}\"")
}

/// Is the tag among those of an `If-None-Match`?
fn names(header: &str, tag: &str) -> bool {
    header.split(',').any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

impl Body for Content {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Pieces(pieces) => ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_content_gets_none() {
        let reply = || Reply::json(StatusCode::OK, &serde_json::json!({"a": 1}));
        let tag = tag_of(b"{\"a\":1}");
        for (known, status) in [
            (None, 200),
            (Some(tag.clone()), 304),
            (Some(format!("\"x\", W/{tag}")), 304),
            (Some("*".to_owned()), 304),
            (Some("\"x\"".to_owned()), 200),
        ] {
            assert_eq!(reply().tagged(known.as_deref()).status, status, "{known:?}");
        }
    }
}
