//! The driver `capone`, as the hooks use it: one process, one request, one reply; with the profiles that are installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

mod golden;
mod manifest;
mod observe;
mod schema;
mod script;
mod subject;
mod template;
mod validate;

use std::io::Write;
use std::process::{Command, Stdio};

use oneks_driver::{Action, DriverError, PROTOCOL, Reply, Request};
use serde::de::DeserializeOwned;

/// Asks the driver.
pub fn ask<T: DeserializeOwned>(action: Action) -> Result<T, DriverError> {
    let request = Request {
        protocol: PROTOCOL,
        action,
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_capone"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(&request).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let reply: Reply = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reply.protocol, PROTOCOL);
    match (reply.ok, reply.error) {
        (Some(ok), None) => Ok(serde_json::from_value(ok).unwrap()),
        (None, Some(error)) => Err(error),
        other => panic!("neither answer nor error: {other:?}"),
    }
}

#[test]
fn info_tells_what_the_driver_can_do() {
    let info: oneks_driver::Info = ask(Action::Info).unwrap();
    assert_eq!(info.name, "capone");
    let can = info.capabilities;
    assert!(can.guest && can.upgrade && can.resize_control_plane && can.rotate);
}
