//! A driver's main program: everything but the driver's own answers.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde_json::Value;

use crate::PROTOCOL;
use crate::error::{DriverError, reason};
use crate::reply::Reply;
use crate::request::{Action, Request};

/// A driver, seen as a function from an action to its answer.
pub trait Driver {
    /// Answers one action. Must depend on nothing but the action.
    ///
    /// # Errors
    /// [`DriverError`] as the protocol defines it.
    fn perform(&self, action: &Action) -> Result<Value, DriverError>;
}

/// An answer as JSON, for use in [`Driver::perform`].
///
/// # Errors
/// `DriverFailed` if the value has no JSON form.
pub fn answer<T: Serialize>(value: &T) -> Result<Value, DriverError> {
    serde_json::to_value(value).map_err(|e| DriverError::fatal(reason::DRIVER_FAILED, format!("answer: {e}")))
}

/// Reads one request, lets the driver answer it, writes one reply and a newline.
///
/// # Errors
/// Only those of `input` and `output`; everything else is said in the reply.
pub fn run(driver: &dyn Driver, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut text = String::new();
    let reply = match input.read_to_string(&mut text) {
        Ok(_) => perform(driver, &text),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(DriverError::fatal(
            reason::BAD_REQUEST,
            "the request is not UTF-8",
        )),
        Err(e) => return Err(e),
    };
    let reply = match reply {
        Ok(ok) => Reply {
            protocol: PROTOCOL,
            ok: Some(ok),
            error: None,
        },
        Err(error) => Reply {
            protocol: PROTOCOL,
            ok: None,
            error: Some(error),
        },
    };
    serde_json::to_writer(&mut output, &reply)?;
    output.write_all(b"\n")?;
    output.flush()
}

fn perform(driver: &dyn Driver, text: &str) -> Result<Value, DriverError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|e| DriverError::fatal(reason::BAD_REQUEST, format!("the request is not JSON: {e}")))?;
    let protocol = value.get("protocol").and_then(Value::as_u64);
    if protocol != Some(u64::from(PROTOCOL)) {
        let said = protocol.map_or_else(|| "none".to_owned(), |p| p.to_string());
        return Err(DriverError::fatal(
            reason::UNSUPPORTED_PROTOCOL,
            format!("the request speaks protocol {said}, this driver speaks {PROTOCOL}"),
        ));
    }
    let request: Request = serde_json::from_value(value).map_err(|e| {
        let text = e.to_string();
        let reason = if text.starts_with("unknown variant") {
            reason::UNKNOWN_ACTION
        } else {
            reason::BAD_REQUEST
        };
        DriverError::fatal(reason, format!("the request: {text}"))
    })?;
    driver.perform(&request.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Driver for Echo {
        fn perform(&self, action: &Action) -> Result<Value, DriverError> {
            answer(&action.name())
        }
    }

    fn reply(input: &[u8]) -> Reply {
        let mut out = Vec::new();
        run(&Echo, input, &mut out).unwrap();
        assert_eq!(out.last(), Some(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn answers_a_request_and_names_what_is_wrong_with_others() {
        assert_eq!(
            reply(br#"{"protocol":1,"action":"info","later":"field"}"#).ok,
            Some("info".into())
        );
        for (input, reason) in [
            (&b"not json"[..], reason::BAD_REQUEST),
            (b"{}", reason::UNSUPPORTED_PROTOCOL),
            (br#"{"protocol":2,"action":"info"}"#, reason::UNSUPPORTED_PROTOCOL),
            (br#"{"protocol":1}"#, reason::BAD_REQUEST),
            (br#"{"protocol":1,"action":"dance"}"#, reason::UNKNOWN_ACTION),
            (
                br#"{"protocol":1,"action":"probe","cluster":7}"#,
                reason::BAD_REQUEST,
            ),
            (b"\xff\xfe", reason::BAD_REQUEST),
        ] {
            let got = reply(input);
            assert_eq!(got.error.map(|e| e.reason), Some(reason.to_owned()), "{input:?}");
            assert_eq!(got.ok, None);
        }
    }
}
