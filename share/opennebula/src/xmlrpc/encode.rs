//! Values to XML. Requests look as the usual clients write them, replies as oned does, byte for byte.

use std::fmt::Write;

use super::{Error, Value};
use crate::xml::{escape_into, is_xml_char};

/// The body of a request.
///
/// Integers become `<int>`, those that need more than 32 bits `<i8>`.
///
/// # Errors
/// [`Error::Character`] names the parameter that holds a character which XML 1.0 can't carry.
pub fn encode_call(method: &str, params: &[Value]) -> Result<String, Error> {
    for (parameter, value) in params.iter().enumerate() {
        if let Some((offset, character)) = unencodable(value) {
            return Err(Error::Character {
                method: method.into(),
                parameter,
                character,
                offset,
            });
        }
    }
    let mut xml = String::from("<?xml version='1.0'?>\n<methodCall>\n<methodName>");
    escape_into(&mut xml, method);
    xml.push_str("</methodName>\n<params>\n");
    for value in params {
        xml.push_str("<param>\n");
        value_into(&mut xml, value, "int");
        xml.push_str("\n</param>\n");
    }
    xml.push_str("</params>\n</methodCall>\n");
    Ok(xml)
}

/// The body of a reply: one array of `values`, which are `true`, value and 0, or `false`, message, code, object id
/// and replication index.
///
/// A character that XML can't carry is replaced by U+FFFD.
pub fn encode_response(values: &[Value]) -> String {
    let mut xml = String::from(RESPONSE);
    xml.push_str("<params>\n<param><value><array><data>\n");
    for (index, value) in values.iter().enumerate() {
        // The replication index is the only integer that oned sends as 64 bits.
        value_into(&mut xml, value, if index == 4 { "i8" } else { "i4" });
        xml.push('\n');
    }
    xml.push_str("</data></array></value></param>\n</params>\n</methodResponse>\n");
    carriable(xml)
}

/// The body of a fault: the call could not be dispatched.
pub fn encode_fault(code: i64, message: &str) -> String {
    let fault = Value::Struct(vec![
        ("faultCode".into(), Value::Int(code)),
        ("faultString".into(), Value::String(message.into())),
    ]);
    let mut xml = String::from(RESPONSE);
    xml.push_str("<fault>\n");
    value_into(&mut xml, &fault, "i4");
    xml.push_str("\n</fault>\n</methodResponse>\n");
    carriable(xml)
}

const RESPONSE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse>\n";

fn carriable(xml: String) -> String {
    if xml.chars().all(is_xml_char) {
        xml
    } else {
        xml.replace(|c| !is_xml_char(c), "\u{fffd}")
    }
}

fn value_into(xml: &mut String, value: &Value, int: &str) {
    xml.push_str("<value>");
    match value {
        Value::Int(number) => {
            let int = if i32::try_from(*number).is_ok() { int } else { "i8" };
            // Writing to a string can't fail.
            let _ = write!(xml, "<{int}>{number}</{int}>");
        }
        Value::Bool(truth) => {
            let _ = write!(xml, "<boolean>{}</boolean>", i32::from(*truth));
        }
        Value::String(text) => {
            xml.push_str("<string>");
            escape_into(xml, text);
            xml.push_str("</string>");
        }
        Value::Double(number) => {
            let _ = write!(xml, "<double>{number}</double>");
        }
        Value::Array(items) => {
            xml.push_str("<array><data>\n");
            for item in items {
                value_into(xml, item, int);
                xml.push('\n');
            }
            xml.push_str("</data></array>");
        }
        Value::Struct(members) => {
            xml.push_str("<struct>\n");
            for (name, member) in members {
                xml.push_str("<member><name>");
                escape_into(xml, name);
                xml.push_str("</name>\n");
                value_into(xml, member, int);
                xml.push_str("</member>\n");
            }
            xml.push_str("</struct>");
        }
        Value::Nil => xml.push_str("<nil/>"),
    }
    xml.push_str("</value>");
}

fn unencodable(value: &Value) -> Option<(usize, char)> {
    let find = |text: &str| text.char_indices().find(|(_, char)| !is_xml_char(*char));
    match value {
        Value::String(text) => find(text),
        Value::Array(items) => items.iter().find_map(unencodable),
        Value::Struct(members) => members
            .iter()
            .find_map(|(name, value)| find(name).or_else(|| unencodable(value))),
        Value::Int(_) | Value::Bool(_) | Value::Double(_) | Value::Nil => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_xml_lacks_is_refused_by_parameter() {
        let error = encode_call(
            "one.vm.update",
            &["a:b".into(), 7.into(), "x=\"\u{1b}[0m\"".into()],
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter 2 of one.vm.update holds the character U+001B at byte 3, which XML can't carry: \
             remove it or encode the text (base64, JSON)"
        );
        let nested = Value::Array(vec![
            "ok".into(),
            Value::Struct(vec![("k".into(), "\u{fffe}".into())]),
        ]);
        assert!(matches!(
            encode_call("m", &[nested]),
            Err(Error::Character { parameter: 0, .. })
        ));
    }

    #[test]
    fn integers_take_the_width_they_need() {
        let xml = encode_call("m", &[Value::Int(2_147_483_647), Value::Int(2_147_483_648)]).unwrap();
        assert!(
            xml.contains("<int>2147483647</int>") && xml.contains("<i8>2147483648</i8>"),
            "{xml}"
        );
    }

    #[test]
    fn a_reply_has_no_unreadable_character() {
        let xml = encode_response(&[true.into(), "a\u{7}b".into(), 0.into()]);
        assert!(xml.contains("<string>a\u{fffd}b</string>"), "{xml}");
    }
}
