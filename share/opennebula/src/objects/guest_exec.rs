//! The command that oned runs, or last ran, inside a VM.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::template::{Template, vector_value};

/// `TEMPLATE/QEMU_GA_EXEC`. A VM has at most one; a new command replaces it.
///
/// `Debug` shows the sizes of what went in and came out, not the contents: they may be credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestExec {
    /// The command line.
    pub command: String,
    /// Its standard input.
    pub stdin: Vec<u8>,
    /// Process id in the guest, once known.
    pub pid: Option<i64>,
    /// How far it is.
    pub status: GuestExecStatus,
    /// Exit code, once it ended by itself.
    pub return_code: Option<i32>,
    /// Standard output, once it ended.
    pub stdout: Vec<u8>,
    /// Standard error output, once it ended.
    pub stderr: Vec<u8>,
}

/// How far a guest command is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestExecStatus {
    /// Under way. Also before the hypervisor has confirmed that it started.
    Executing,
    /// It ended; the exit code may still say that it failed.
    Done,
    /// It could not be started or followed.
    Error,
    /// It was cancelled, or the VM went away under it.
    Cancelled,
    /// A status that this crate does not know.
    Unknown(String),
}

impl GuestExec {
    /// The command in a VM's `TEMPLATE`.
    pub fn of(template: &Template) -> Option<Self> {
        let pairs = template.get_vector("QEMU_GA_EXEC")?;
        let text = |key| vector_value(pairs, key).unwrap_or_default();
        Some(Self {
            command: text("COMMAND").to_owned(),
            stdin: decoded(text("STDIN")),
            pid: text("PID").parse().ok(),
            status: GuestExecStatus::from_name(text("STATUS")),
            return_code: text("RETURN_CODE").parse().ok(),
            stdout: decoded(text("STDOUT")),
            stderr: decoded(text("STDERR")),
        })
    }
}

impl GuestExecStatus {
    /// The status of that name; none at all means that oned has just accepted the command.
    pub fn from_name(name: &str) -> Self {
        match name {
            "" | "EXECUTING" => Self::Executing,
            "DONE" => Self::Done,
            "ERROR" => Self::Error,
            "CANCELLED" => Self::Cancelled,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// Base64 as a rule; whoever writes something else finds it unchanged.
fn decoded(text: &str) -> Vec<u8> {
    let joined: String = text.split_ascii_whitespace().collect();
    STANDARD
        .decode(joined)
        .unwrap_or_else(|_| text.as_bytes().to_vec())
}

impl fmt::Debug for GuestExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestExec")
            .field("command", &self.command)
            .field("status", &self.status)
            .field("return_code", &self.return_code)
            .field("stdin_bytes", &self.stdin.len())
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(inside: &str) -> GuestExec {
        GuestExec::of(&Template::parse_text(&format!("QEMU_GA_EXEC=[COMMAND=\"/bin/sh\"{inside}]")).unwrap())
            .unwrap()
    }

    #[test]
    fn status_by_name() {
        for (inside, status) in [
            ("", GuestExecStatus::Executing),
            (",STATUS=EXECUTING", GuestExecStatus::Executing),
            (",STATUS=DONE", GuestExecStatus::Done),
            (",STATUS=ERROR", GuestExecStatus::Error),
            (",STATUS=CANCELLED", GuestExecStatus::Cancelled),
            (",STATUS=LOST", GuestExecStatus::Unknown("LOST".into())),
        ] {
            assert_eq!(exec(inside).status, status, "{inside}");
        }
        assert_eq!(GuestExec::of(&Template::new()), None);
    }

    #[test]
    fn output_is_decoded_and_hidden() {
        let exec = exec(",STATUS=DONE,RETURN_CODE=-1,PID=17,STDOUT=\"c2Vj\ncmV0\",STDERR=\"no base64!\"");
        assert_eq!(
            (exec.stdout.as_slice(), exec.stderr.as_slice()),
            (&b"secret"[..], &b"no base64!"[..])
        );
        assert_eq!((exec.return_code, exec.pid), (Some(-1), Some(17)));
        assert!(!format!("{exec:?}").contains("secret"));
    }
}
