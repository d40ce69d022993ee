//! Why a request is not answered as asked, by HTTP's meaning of the numbers and in the old server's form.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use oneks::orders::kubeconfig::NoKubeconfig;
use oneks::orders::{OrderError, listed};
use oneks_driver::Invalid;
use opennebula::Error;
use opennebula::error::ErrorCode;
use serde_json::{Map, Value, json};

use crate::reply::Reply;

/// Why a request is not answered as asked.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The status.
    pub status: StatusCode,
    message: String,
    /// Texts by path, where values are refused.
    context: Map<String, Value>,
    headers: Vec<(HeaderName, String)>,
}

impl Fault {
    /// With this status and text.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            context: Map::new(),
            headers: Vec::new(),
        }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// It can't be done now.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// The user may not do it.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// There are no credentials, or they are wrong.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        let mut fault = Self::new(StatusCode::UNAUTHORIZED, message);
        fault.headers.push((
            WWW_AUTHENTICATE,
            "Basic realm=\"OpenNebula\", charset=\"UTF-8\"".to_owned(),
        ));
        fault
    }

    /// There is no such path.
    pub fn no_path(path: &str) -> Self {
        let mut fault = Self::not_found("Path not found");
        fault
            .context
            .insert("reason".to_owned(), json!(format!("Path {path} not found")));
        fault
    }

    /// The path is there, for other methods.
    pub fn wrong_method(allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        let mut fault = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("this path is for {allowed}"),
        );
        fault.headers.push((ALLOW, allowed));
        fault
    }

    /// Too much is under way.
    pub fn busy(message: impl Into<String>) -> Self {
        let mut fault = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        fault.headers.push((RETRY_AFTER, "5".to_owned()));
        fault
    }

    /// Values are refused, each by its path.
    pub fn invalid(errors: Vec<Invalid>) -> Self {
        let mut fault = Self::new(StatusCode::BAD_REQUEST, listed(&errors));
        for error in errors.into_iter().filter(|e| !e.path.is_empty()) {
            let texts = fault.context.entry(error.path).or_insert_with(|| json!([]));
            if let Value::Array(texts) = texts {
                texts.push(json!(error.message));
            }
        }
        fault
    }

    /// One value is refused.
    pub fn field(path: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![Invalid {
            path: path.to_owned(),
            message: message.into(),
        }])
    }

    /// The answer that says so.
    pub fn reply(self) -> Reply {
        let mut body = json!({"err_code": self.status.as_u16(), "message": self.message});
        if !self.context.is_empty() {
            body["context"] = Value::Object(self.context);
        }
        let mut reply = Reply::json(self.status, &body);
        for (name, value) in self.headers {
            reply = reply.with(name, &value);
        }
        reply
    }
}

impl From<OrderError> for Fault {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound(message) => Self::not_found(message),
            OrderError::Invalid(errors) => Self::invalid(errors),
            OrderError::Conflict(message) | OrderError::Overtaken(message) => Self::conflict(message),
            OrderError::Call(error) => error.into(),
        }
    }
}

impl From<NoKubeconfig> for Fault {
    fn from(error: NoKubeconfig) -> Self {
        match error {
            NoKubeconfig::NotYet(message) => Self::conflict(message),
            NoKubeconfig::Encrypted(message) => Self::forbidden(message),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Call { code, .. } => match code {
                ErrorCode::Authentication => {
                    return Self::unauthorized(
                        "OpenNebula does not know this user, or not with this password or token",
                    );
                }
                ErrorCode::Authorization => StatusCode::FORBIDDEN,
                ErrorCode::NoExists => StatusCode::NOT_FOUND,
                ErrorCode::Action | ErrorCode::Locked => StatusCode::CONFLICT,
                ErrorCode::RpcApi => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            },
            Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Error::Encoding(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, said(&error))
    }
}

/// What OpenNebula said, without the name of the call: that is nothing to the one who asks.
fn said(error: &Error) -> String {
    match error {
        Error::Call { message, .. } => {
            let text = message
                .strip_prefix("[one.")
                .and_then(|rest| rest.split_once("] "));
            text.map_or(message.as_str(), |(_, text)| text).to_owned()
        }
        Error::Timeout { .. } => format!("OpenNebula does not answer in time ({error})"),
        Error::Unreachable { .. } => format!("OpenNebula can't be reached ({error})"),
        other => format!("OpenNebula gave no usable answer ({other})"),
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
