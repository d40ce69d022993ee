//! Refusals of the API server, worded as the real one words them.

use std::fmt::Write as _;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Path of the field, such as `spec.replicas`.
    pub field: String,
    /// What is wrong with it, such as `Required value`.
    pub message: String,
}

impl Cause {
    /// A field that must be there.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".into()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            field: field.into(),
            message,
        }
    }

    /// A field that may not have this value.
    pub fn invalid(field: impl Into<String>, value: &str, detail: &str) -> Self {
        Self {
            field: field.into(),
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// A field that may not be set or changed so.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            field: field.into(),
            message: format!("Forbidden: {detail}"),
        }
    }
}

/// The API server refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The object breaks its schema or a rule of a webhook.
    Invalid {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// What is wrong.
        causes: Vec<Cause>,
    },
    /// The request can't be understood.
    BadRequest(String),
    /// No such object.
    NotFound {
        /// `plural.group`.
        resource: String,
        /// Name of the object.
        name: String,
    },
    /// The object exists.
    AlreadyExists {
        /// `plural.group`.
        resource: String,
        /// Name of the object.
        name: String,
    },
    /// The object has changed in between.
    Conflict {
        /// `plural.group`.
        resource: String,
        /// Name of the object.
        name: String,
    },
    /// The kind has no such subresource.
    NoSuchResource,
}

impl ApiError {
    /// The object breaks one rule.
    pub fn invalid(kind: &str, name: &str, cause: Cause) -> Self {
        Self::Invalid {
            kind: kind.into(),
            name: name.into(),
            causes: vec![cause],
        }
    }

    /// `Reason` of the status.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "Invalid",
            Self::BadRequest(_) => "BadRequest",
            Self::NotFound { .. } | Self::NoSuchResource => "NotFound",
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::Conflict { .. } => "Conflict",
        }
    }

    /// `Message` of the status.
    pub fn message(&self) -> String {
        match self {
            Self::Invalid { kind, name, causes } => {
                let list: Vec<String> = causes
                    .iter()
                    .map(|cause| format!("{}: {}", cause.field, cause.message))
                    .collect();
                match list.as_slice() {
                    [one] => format!("{kind} {name:?} is invalid: {one}"),
                    _ => format!("{kind} {name:?} is invalid: [{}]", list.join(", ")),
                }
            }
            Self::BadRequest(message) => message.clone(),
            Self::NotFound { resource, name } => format!("{resource} {name:?} not found"),
            Self::AlreadyExists { resource, name } => format!("{resource} {name:?} already exists"),
            Self::Conflict { resource, name } => format!(
                "Operation cannot be fulfilled on {resource} {name:?}: the object has been modified; please apply your \
                 changes to the latest version and try again"
            ),
            Self::NoSuchResource => "the server could not find the requested resource".into(),
        }
    }

    /// What kubectl prints. `source` is what it puts in front of the message, such as `error when creating "STDIN"`.
    pub fn for_kubectl(&self, source: Option<&str>) -> String {
        if let Self::Invalid { kind, name, causes } = self {
            let mut text = match (kind.as_str(), name.as_str()) {
                ("", "") => "The request is invalid: ".to_owned(),
                _ => format!("The {kind} {name:?} is invalid: "),
            };
            if let [cause] = causes.as_slice() {
                let _ = write!(text, "{}: {}", cause.field, cause.message);
            } else {
                for cause in causes {
                    let _ = write!(text, "\n* {}: {}", cause.field, cause.message);
                }
            }
            return text;
        }
        let message = self.message();
        match source {
            Some(source) => format!("Error from server ({}): {source}: {message}", self.reason()),
            None => format!("Error from server ({}): {message}", self.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_like_kubectl() {
        let missing = ApiError::NotFound {
            resource: "machines.cluster.x-k8s.io".into(),
            name: "a".into(),
        };
        assert_eq!(
            missing.for_kubectl(None),
            "Error from server (NotFound): machines.cluster.x-k8s.io \"a\" not found"
        );
        let one = ApiError::invalid("ONECluster", "c", Cause::required("spec.secretName", ""));
        assert_eq!(
            one.for_kubectl(None),
            "The ONECluster \"c\" is invalid: spec.secretName: Required value"
        );
        let two = ApiError::Invalid {
            kind: "Machine".into(),
            name: "m".into(),
            causes: vec![
                Cause::required("a", ""),
                Cause::forbidden("b", "field is immutable"),
            ],
        };
        assert_eq!(
            two.for_kubectl(Some("ignored")),
            "The Machine \"m\" is invalid: \n* a: Required value\n* b: Forbidden: field is immutable"
        );
        let bad = ApiError::BadRequest("strict decoding error".into());
        assert_eq!(
            bad.for_kubectl(Some("error when creating \"STDIN\"")),
            "Error from server (BadRequest): error when creating \"STDIN\": strict decoding error"
        );
    }
}
