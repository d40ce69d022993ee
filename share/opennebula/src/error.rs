//! What can go wrong with a call, sorted by what the caller can do about it.

use std::error::Error as StdError;
use std::fmt;

use crate::objects::ObjectError;
use crate::transport::TransportError;
use crate::xmlrpc;

/// A call did not succeed.
///
/// No variant holds a session, a password or the body of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// oned refused the call and said why. Nothing was changed.
    #[error("{} ({code})", labelled(.method, .message))]
    Call {
        /// The method.
        method: String,
        /// The class of the error.
        code: ErrorCode,
        /// oned's text for people.
        message: String,
        /// The object that oned blames, where it names one.
        object: Option<i64>,
    },
    /// The XML-RPC server could not dispatch the call: unknown method, wrong number or type of parameters.
    #[error(
        "{method}: refused by the XML-RPC server: {message} (fault {code}); is this OpenNebula too old for the call?"
    )]
    Fault {
        /// The method.
        method: String,
        /// Code of the XML-RPC library.
        code: i64,
        /// Text of the XML-RPC library.
        message: String,
    },
    /// There was no connection, or it broke.
    #[error(
        "{method}: {} {endpoint}",
        if *.sent { "lost the connection to" } else { "can't reach OpenNebula at" }
    )]
    Unreachable {
        /// The method.
        method: String,
        /// Where OpenNebula was looked for.
        endpoint: String,
        /// Whether the request may have arrived.
        sent: bool,
        /// What the operating system says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// OpenNebula took too long.
    #[error(
        "{method}: {} {endpoint}",
        if *.sent { "no answer in time from" } else { "no connection in time to" }
    )]
    Timeout {
        /// The method.
        method: String,
        /// Where OpenNebula was looked for.
        endpoint: String,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// Something answered, with an HTTP error.
    #[error(
        "{method}: {endpoint} answered HTTP {status}; is this the address of oned's XML-RPC server (…:2633/RPC2)?"
    )]
    Http {
        /// The method.
        method: String,
        /// Where OpenNebula was looked for.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what the method returns.
    #[error("{method}: can't read the answer: {what}")]
    Reply {
        /// The method.
        method: String,
        /// What is wrong with it, without any of its content.
        what: String,
    },
    /// A parameter can't be sent. Nothing was sent.
    #[error(transparent)]
    Encoding(#[from] xmlrpc::Error),
}

/// oned's classes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 0: no error.
    Success,
    /// 256: the session is not valid.
    Authentication,
    /// 512: the user may not do this, a quota is used up, or the object is locked.
    Authorization,
    /// 1024: the object does not exist.
    NoExists,
    /// 2048: the object's state does not allow it.
    Action,
    /// 4096: a parameter makes no sense.
    RpcApi,
    /// 8192: anything else, from a bad template to a failed database.
    Internal,
    /// 16384: the object could not be allocated.
    Allocate,
    /// 32768: the object is locked by another operation.
    Locked,
    /// 65536: the change could not be replicated to the other front-ends.
    Replication,
    /// A code that this crate does not know.
    Unknown(i64),
}

impl Error {
    /// oned's code, if oned answered.
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Call { code, .. } = self {
            Some(*code)
        } else {
            None
        }
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(ErrorCode::NoExists)
    }

    /// The session is not valid: wrong password, expired token, unknown user.
    pub fn is_authentication(&self) -> bool {
        self.code() == Some(ErrorCode::Authentication)
    }

    /// The user may not do this. Used-up quotas and locked objects come with the same code.
    pub fn is_authorization(&self) -> bool {
        self.code() == Some(ErrorCode::Authorization)
    }

    /// The object is in a state that does not allow the operation; look at it again.
    pub fn is_wrong_state(&self) -> bool {
        self.code() == Some(ErrorCode::Action)
    }

    /// Whether oned may have carried out the call all the same. Look before repeating it.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } | Self::Timeout { sent, .. } => *sent,
            Self::Http { status, .. } => *status >= 500,
            Self::Reply { .. } => true,
            Self::Call { code, .. } => *code == ErrorCode::Replication,
            Self::Fault { .. } | Self::Encoding(_) => false,
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Http { status, .. } => matches!(status, 429 | 500..),
            Self::Call { code, .. } => matches!(code, ErrorCode::Locked | ErrorCode::Replication),
            Self::Fault { .. } | Self::Reply { .. } | Self::Encoding(_) => false,
        }
    }

    pub(crate) fn from_transport(method: &str, error: TransportError) -> Self {
        let method = method.to_owned();
        match error {
            TransportError::Unreachable {
                endpoint,
                sent,
                source,
            } => Self::Unreachable {
                method,
                endpoint,
                sent,
                source,
            },
            TransportError::Timeout { endpoint, sent } => Self::Timeout {
                method,
                endpoint,
                sent,
            },
            TransportError::Http { endpoint, status } => Self::Http {
                method,
                endpoint,
                status,
            },
            TransportError::Reply { what, .. } => Self::Reply { method, what },
        }
    }

    pub(crate) fn from_object(method: &str, error: &ObjectError) -> Self {
        Self::Reply {
            method: method.to_owned(),
            what: error.to_string(),
        }
    }
}

impl ErrorCode {
    /// The class of a code on the wire.
    pub fn from_number(code: i64) -> Self {
        match code {
            0 => Self::Success,
            256 => Self::Authentication,
            512 => Self::Authorization,
            1024 => Self::NoExists,
            2048 => Self::Action,
            4096 => Self::RpcApi,
            8192 => Self::Internal,
            16384 => Self::Allocate,
            32768 => Self::Locked,
            65536 => Self::Replication,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    pub fn number(self) -> i64 {
        match self {
            Self::Success => 0,
            Self::Authentication => 256,
            Self::Authorization => 512,
            Self::NoExists => 1024,
            Self::Action => 2048,
            Self::RpcApi => 4096,
            Self::Internal => 8192,
            Self::Allocate => 16384,
            Self::Locked => 32768,
            Self::Replication => 65536,
            Self::Unknown(code) => code,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "SUCCESS",
            Self::Authentication => "AUTHENTICATION",
            Self::Authorization => "AUTHORIZATION",
            Self::NoExists => "NO_EXISTS",
            Self::Action => "ACTION",
            Self::RpcApi => "RPC_API",
            Self::Internal => "INTERNAL",
            Self::Allocate => "ALLOCATE",
            Self::Locked => "LOCKED",
            Self::Replication => "REPLICATION",
            Self::Unknown(code) => return write!(f, "error {code}"),
        })
    }
}

/// oned begins most messages with the method in brackets; the others get it in front.
fn labelled(method: &str, message: &str) -> String {
    if message.starts_with('[') {
        message.to_owned()
    } else {
        format!("[{method}] {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: i64) -> Error {
        let code = ErrorCode::from_number(code);
        Error::Call {
            method: "one.vm.info".into(),
            code,
            message: "[one.vm.info] No.".into(),
            object: Some(7),
        }
    }

    #[test]
    fn codes_survive() {
        for code in [0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 3, -1] {
            assert_eq!(ErrorCode::from_number(code).number(), code);
            assert_eq!(
                matches!(ErrorCode::from_number(code), ErrorCode::Unknown(_)),
                code == 3 || code == -1
            );
        }
    }

    #[test]
    fn questions_to_an_error() {
        let timeout = |sent| Error::Timeout {
            method: "m".into(),
            endpoint: "e".into(),
            sent,
        };
        let lost = |sent| {
            let source = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
            Error::Unreachable {
                method: "m".into(),
                endpoint: "e".into(),
                sent,
                source,
            }
        };
        let http = |status| Error::Http {
            method: "m".into(),
            endpoint: "e".into(),
            status,
        };
        let reply = Error::Reply {
            method: "m".into(),
            what: "x".into(),
        };
        let fault = Error::Fault {
            method: "m".into(),
            code: -506,
            message: "no such method".into(),
        };
        // error, may have happened, transient
        for (error, happened, transient) in [
            (call(256), false, false),
            (call(512), false, false),
            (call(1024), false, false),
            (call(2048), false, false),
            (call(8192), false, false),
            (call(32768), false, true),
            (call(65536), true, true),
            (timeout(false), false, true),
            (timeout(true), true, true),
            (lost(false), false, true),
            (lost(true), true, true),
            (http(404), false, false),
            (http(502), true, true),
            (reply, true, false),
            (fault, false, false),
        ] {
            assert_eq!(
                (error.may_have_happened(), error.is_transient()),
                (happened, transient),
                "{error:?}"
            );
        }
        assert!(call(1024).is_not_found() && !call(512).is_not_found());
        assert!(call(256).is_authentication() && call(512).is_authorization() && call(2048).is_wrong_state());
    }

    #[test]
    fn a_message_names_the_method_once() {
        assert_eq!(call(1024).to_string(), "[one.vm.info] No. (NO_EXISTS)");
        let bare = Error::Call {
            method: "one.vm.info".into(),
            code: ErrorCode::Unknown(3),
            message: "No.".into(),
            object: None,
        };
        assert_eq!(bare.to_string(), "[one.vm.info] No. (error 3)");
    }
}
