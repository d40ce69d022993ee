//! What can go wrong with a command, and the exit code that says so.

use std::process::ExitCode;

use oneks::orders::OrderError;
use oneks::orders::kubeconfig::NoKubeconfig;
use oneks::registration::RegistrationError;
use opennebula::Error;
use opennebula::endpoint::CredentialError;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// There is no such cluster, node group, network …
    #[error("{0}")]
    NotFound(String),
    /// A value was refused, by this command or by the hooks.
    #[error("{0}")]
    Refused(String),
    /// The user may not do this, as far as this command can tell without asking.
    #[error("{0}")]
    NotAllowed(String),
    /// The operation that was watched failed.
    #[error("{0}")]
    OperationFailed(String),
    /// The operation that was watched did not end in time.
    #[error("{0}")]
    TimedOut(String),
    /// A call to OpenNebula.
    #[error("{0}")]
    Call(#[from] Error),
    /// There is no session.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Nothing failed, but something is not well.
    #[error("{0}")]
    Warnings(String),
    /// Nothing is wrong as far as it could be seen, which was not far enough.
    #[error("{0}")]
    Unknown(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
    /// Nobody reads the output any more: no error, but there is nothing left to do.
    #[error("nobody reads the output")]
    ClosedPipe,
    /// Several objects failed, each was reported; the code of the first.
    #[error("{count} of {of} failed")]
    Several {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
        /// Exit code.
        code: Code,
    },
}

/// The exit codes. `oneks help exit-codes` and the man page show this table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It was done.
    Success = 0,
    /// OpenNebula or the system refused.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no such object.
    NotFound = 3,
    /// A value was refused.
    Refused = 4,
    /// The operation that was watched failed.
    OperationFailed = 5,
    /// The operation that was watched did not end in time; it goes on.
    TimedOut = 6,
    /// The user may not do this, or is not known.
    NotAllowed = 7,
    /// Nothing failed, but there are warnings.
    Warnings = 8,
    /// Not everything could be seen.
    Unknown = 9,
}

impl Code {
    /// Every code with its meaning.
    pub const TABLE: [(Self, &'static str); 10] = [
        (
            Self::Success,
            "it was done; with --wait: the cluster is as wanted",
        ),
        (
            Self::Error,
            "OpenNebula or the system could not be reached, or refused",
        ),
        (Self::Usage, "the command line makes no sense"),
        (
            Self::NotFound,
            "there is no such cluster, node group, network ...",
        ),
        (Self::Refused, "a value was refused; the cluster stays as it was"),
        (Self::OperationFailed, "with --wait: the operation failed"),
        (
            Self::TimedOut,
            "with --wait: the operation did not end in time; it goes on",
        ),
        (
            Self::NotAllowed,
            "OpenNebula does not know the user, or forbids it",
        ),
        (Self::Warnings, "doctor: nothing failed, but there are warnings"),
        (Self::Unknown, "doctor: all is well that could be seen"),
    ];

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> Code {
        match self {
            Self::ClosedPipe => Code::Success,
            Self::Usage(_) => Code::Usage,
            Self::NotFound(_) => Code::NotFound,
            Self::Refused(_) => Code::Refused,
            Self::OperationFailed(_) => Code::OperationFailed,
            Self::Warnings(_) => Code::Warnings,
            Self::Unknown(_) => Code::Unknown,
            Self::TimedOut(_) => Code::TimedOut,
            Self::Call(e) if e.is_not_found() => Code::NotFound,
            Self::Call(e) if e.is_authorization() || e.is_authentication() => Code::NotAllowed,
            Self::Credential(_) | Self::NotAllowed(_) => Code::NotAllowed,
            Self::Call(_) | Self::Other(_) => Code::Error,
            Self::Several { code, .. } => *code,
        }
    }

    /// What the user can do about it, where the message does not say it already.
    pub fn way_out(&self) -> Option<&'static str> {
        let Self::Call(error) = self else { return None };
        if error.is_authentication() {
            return Some("check the session in ONE_AUTH or ~/.one/one_auth, or give --user");
        }
        if error.is_authorization() {
            return Some("the owner or an administrator can grant it (chmod, oneacl), or raise the quota");
        }
        match error {
            Error::Unreachable { source, .. } if chain(source.as_ref()).contains("certificate") => {
                Some("SSL_CERT_FILE can name a file with the authority that signed the certificate")
            }
            Error::Unreachable { .. } | Error::Timeout { .. } => Some(
                "is oned running? Its address is taken from --endpoint, ONE_XMLRPC or ~/.one/one_endpoint",
            ),
            _ => None,
        }
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::Other(error.to_string())
        }
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound(message) => Self::NotFound(message),
            OrderError::Conflict(message) => Self::Refused(message),
            OrderError::Overtaken(message) => Self::Other(message),
            OrderError::Call(error) => Self::Call(error),
            invalid @ OrderError::Invalid(_) => Self::Refused(invalid.to_string()),
        }
    }
}

impl From<NoKubeconfig> for Failure {
    fn from(error: NoKubeconfig) -> Self {
        match error {
            NoKubeconfig::NotYet(message) => Self::NotFound(message),
            NoKubeconfig::Encrypted(message) => Self::Other(message),
        }
    }
}

impl From<RegistrationError> for Failure {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Call { source, .. } => source.into(),
            other => Self::Other(other.to_string()),
        }
    }
}

/// An I/O error with the file that it is about.
pub fn with_path(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Other(format!("{}: {error}", path.display()))
}
