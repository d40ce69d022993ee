//! How oned refuses a call.

use crate::meta::ObjectKind;

/// oned's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The session is not valid.
    Authentication = 256,
    /// The caller lacks a right, a quota is exhausted, or the object is locked.
    Authorization = 512,
    /// There is no such object.
    NoExists = 1024,
    /// The object's state does not allow it.
    Action = 2048,
    /// A parameter has a value that is not allowed.
    RpcApi = 4096,
    /// Anything else.
    Internal = 8192,
    /// An object could not be made.
    Allocate = 16384,
}

/// A refusal, before it is worded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    /// The cause; its place in the text depends on the code.
    pub(crate) message: String,
    /// The object that is meant, -1 for none.
    pub(crate) id: i64,
    /// Its kind, if it is not the kind that the method is about.
    pub(crate) kind: Option<ObjectKind>,
}

impl Failure {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            id: -1,
            kind: None,
        }
    }

    pub(crate) fn authentication() -> Self {
        Self::new(ErrorCode::Authentication, "")
    }

    pub(crate) fn authorization(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Authorization, message)
    }

    pub(crate) fn no_exists(id: i64) -> Self {
        Self {
            id,
            ..Self::new(ErrorCode::NoExists, "")
        }
    }

    /// There is no object of a kind that the method is not about.
    pub(crate) fn no_exists_of(kind: ObjectKind, id: i64) -> Self {
        Self {
            id,
            kind: Some(kind),
            ..Self::new(ErrorCode::NoExists, "")
        }
    }

    pub(crate) fn action(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Action, message)
    }

    pub(crate) fn rpc_api(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::RpcApi, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    pub(crate) fn allocate(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Allocate, message)
    }

    /// The text of the reply.
    pub(crate) fn text(&self, method: &str, kind: ObjectKind, uid: Option<u32>) -> String {
        let title = self.kind.unwrap_or(kind).title();
        let message = &self.message;
        let cause = match self.code {
            ErrorCode::Authentication => "User couldn't be authenticated, aborting call.".to_owned(),
            ErrorCode::Authorization => {
                let uid = uid.map_or(-1, i64::from);
                if message.is_empty() {
                    format!("User [{uid}] not authorized to perform action on {title}.")
                } else {
                    format!("User [{uid}] : {message}.")
                }
            }
            ErrorCode::NoExists if self.id == -1 => format!("Error getting {title} Pool."),
            ErrorCode::NoExists => format!("Error getting {title} [{}].", self.id),
            ErrorCode::Action | ErrorCode::RpcApi | ErrorCode::Internal => message.clone(),
            ErrorCode::Allocate if message.is_empty() => format!("Error allocating a new {title}."),
            ErrorCode::Allocate => format!("Error allocating a new {title}. {message}"),
        };
        format!("[{method}] {cause}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_oned() {
        let text = |failure: Failure| failure.text("one.vm.info", ObjectKind::Vm, Some(3));
        assert_eq!(
            text(Failure::authorization("Not authorized to perform USE VM [27]")),
            "[one.vm.info] User [3] : Not authorized to perform USE VM [27]."
        );
        assert_eq!(
            text(Failure::no_exists(999)),
            "[one.vm.info] Error getting virtual machine [999]."
        );
        assert_eq!(
            text(Failure::no_exists_of(ObjectKind::Template, 7)),
            "[one.vm.info] Error getting virtual machine template [7]."
        );
        assert_eq!(
            text(Failure::authentication()),
            "[one.vm.info] User couldn't be authenticated, aborting call."
        );
        assert_eq!(text(Failure::action("x")), "[one.vm.info] x");
        assert_eq!(
            text(Failure::allocate("x")),
            "[one.vm.info] Error allocating a new virtual machine. x"
        );
    }
}
