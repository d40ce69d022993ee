//! The XML-RPC wire format as oned speaks it: encoding and decoding, both ways.
//!
//! A reply of oned is always one array: `[true, value, 0]`, or `[false, message, code, object id, replication index]`.
//! Only a call that oned can't dispatch at all (unknown method, wrong number or type of parameters) is an XML-RPC fault.

mod decode;
mod encode;

use std::fmt;

pub use decode::{decode_call, decode_response};
pub use encode::{encode_call, encode_fault, encode_response};

pub use crate::xml::XmlError;

/// A parameter or a result.
///
/// `Debug` shows the length of a string and not the string: sessions, templates and tokens travel in them.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `<int>`, `<i4>` or `<i8>`.
    Int(i64),
    /// `<boolean>`.
    Bool(bool),
    /// `<string>`, or a value without a type.
    String(String),
    /// `<double>`. No method of oned takes one.
    Double(f64),
    /// `<array>`.
    Array(Vec<Value>),
    /// `<struct>`, in the order of its members.
    Struct(Vec<(String, Value)>),
    /// `<nil/>`.
    Nil,
}

/// A decoded request.
#[derive(Clone, PartialEq)]
pub struct Call {
    /// Method name, such as `one.vm.info`.
    pub method: String,
    /// Parameters; the first one is the session.
    pub params: Vec<Value>,
}

/// A decoded reply of oned.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The call was carried out.
    Success {
        /// Id, text or XML, by method.
        value: Value,
    },
    /// oned refused the call.
    Failure {
        /// Text for people; begins with the method in brackets.
        message: String,
        /// One of oned's error codes.
        code: i64,
        /// The object that caused the error, where oned names one.
        object: Option<i64>,
        /// The replication index, `None` where there is none.
        replication_index: Option<i64>,
    },
    /// The call could not be dispatched.
    Fault {
        /// Code of the XML-RPC library, not of oned.
        code: i64,
        /// Text of the XML-RPC library.
        message: String,
    },
}

/// Text that is no XML-RPC message, or values that can't become one. Never holds any of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not well-formed XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// The XML is not the message that was expected.
    #[error("not an XML-RPC message of OpenNebula: {0}")]
    Shape(&'static str),
    /// A string holds a character that XML 1.0 can't carry in any form.
    #[error(
        "parameter {parameter} of {method} holds the character U+{:04X} at byte {offset}, which XML can't carry: \
         remove it or encode the text (base64, JSON)",
        u32::from(*.character)
    )]
    Character {
        /// The method of the call.
        method: String,
        /// Position of the parameter; 0 is the session.
        parameter: usize,
        /// The character.
        character: char,
        /// Where in the string it is, in bytes.
        offset: usize,
    },
}

impl Value {
    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self {
            Some(*truth)
        } else {
            None
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "Int({number})"),
            Self::Bool(truth) => write!(f, "Bool({truth})"),
            Self::String(text) => write!(f, "String({} bytes)", text.len()),
            Self::Double(number) => write!(f, "Double({number})"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Struct(members) => f
                .debug_map()
                .entries(members.iter().map(|(k, v)| (k, v)))
                .finish(),
            Self::Nil => f.write_str("Nil"),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.method, self.params)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            any::<bool>().prop_map(Value::Bool),
            any::<String>().prop_map(|text| Value::String(text.replace(|c| !crate::xml::is_xml_char(c), ""))),
            (-1e9..1e9).prop_map(Value::Double),
            Just(Value::Nil),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(("[a-z<&]{1,8}", inner), 0..4).prop_map(Value::Struct),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_call_comes_back(method in "one\\.[a-z]{2,8}\\.[a-z]{2,8}", params in prop::collection::vec(value(), 0..5)) {
            let xml = encode_call(&method, &params).unwrap();
            prop_assert_eq!(decode_call(&xml).unwrap(), Call { method, params });
        }

        #[test]
        fn a_result_comes_back(value in value()) {
            let xml = encode_response(&[Value::Bool(true), value.clone(), Value::Int(0)]);
            prop_assert_eq!(decode_response(&xml).unwrap(), Response::Success { value });
        }

        #[test]
        fn a_failure_comes_back(message in "[^\\x00-\\x1f\\x7f\u{fffe}\u{ffff}]{0,40}", code in 1i64..1 << 17, id in 0i64..1 << 40) {
            let xml = encode_response(&[false.into(), message.clone().into(), code.into(), id.into(), Value::Int(-1)]);
            let expected = Response::Failure { message, code, object: Some(id), replication_index: None };
            prop_assert_eq!(decode_response(&xml).unwrap(), expected);
        }

        #[test]
        fn a_fault_comes_back(code in -1000i64..1000, message in "[ -~]{0,40}") {
            let xml = encode_fault(code, &message);
            prop_assert_eq!(decode_response(&xml).unwrap(), Response::Fault { code, message });
        }

        #[test]
        fn decoding_does_not_panic(text in any::<String>(), cut in 0usize..600) {
            let xml = encode_response(&[Value::Bool(true), Value::Int(7), Value::Int(0)]);
            let head: String = xml.chars().take(cut).collect();
            for input in [text.clone(), format!("{head}{text}"), format!("<methodCall>{text}</methodCall>")] {
                let _ = decode_response(&input);
                let _ = decode_call(&input);
            }
        }
    }

    #[test]
    fn debug_shows_no_string() {
        let call = Call {
            method: "one.vm.info".into(),
            params: vec!["alice:secret".into(), Value::Int(7)],
        };
        assert_eq!(format!("{call:?}"), "one.vm.info[String(12 bytes), Int(7)]");
    }
}
