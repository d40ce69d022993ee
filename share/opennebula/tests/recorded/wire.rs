//! The wire format, byte for byte.

use opennebula::xmlrpc::{Response, Value, encode_call, encode_response};

use crate::fixtures::exchanges;

#[test]
fn requests_are_written_as_recorded() {
    for exchange in exchanges() {
        let call = exchange.call();
        assert_eq!(
            encode_call(&call.method, &call.params).unwrap(),
            exchange.request,
            "{}",
            exchange.name
        );
        assert_eq!(call.method, exchange.name[4..]);
    }
}

#[test]
fn answers_are_written_as_recorded() {
    for exchange in exchanges() {
        let values = match exchange.answer() {
            Response::Success { value } => vec![Value::Bool(true), value, Value::Int(0)],
            Response::Failure {
                message,
                code,
                object,
                replication_index,
            } => vec![
                Value::Bool(false),
                message.into(),
                code.into(),
                object.unwrap_or(-1).into(),
                replication_index.unwrap_or(-1).into(),
            ],
            Response::Fault { .. } => panic!("{}: no fault was recorded", exchange.name),
        };
        assert_eq!(encode_response(&values), exchange.response, "{}", exchange.name);
    }
}
