//! XML to values. Accepts what any XML-RPC peer may send, refuses the rest without quoting it.

use super::{Call, Error, Response, Value};
use crate::xml::{Parser, Token, XmlError, append};
use std::borrow::Cow;

/// Reads a request.
///
/// # Errors
/// The text is no XML-RPC call.
pub fn decode_call(xml: &str) -> Result<Call, Error> {
    let mut parser = Parser::new(xml);
    if &*parser.root()? != "methodCall" {
        return Err(Error::Shape("the root element is not methodCall"));
    }
    let mut method = None;
    let mut params = Vec::new();
    while let Some(name) = parser.child()? {
        match &*name {
            "methodName" => method = Some(parser.text()?.trim().to_owned()),
            "params" => params = read_params(&mut parser)?,
            _ => return Err(Error::Shape("unexpected element in methodCall")),
        }
    }
    parser.finish()?;
    match method {
        Some(method) if !method.is_empty() => Ok(Call { method, params }),
        _ => Err(Error::Shape("a call without methodName")),
    }
}

/// Reads a reply.
///
/// # Errors
/// The text is no XML-RPC reply, or not the array that oned answers with. A failure that oned reports is no error
/// here but [`Response::Failure`].
pub fn decode_response(xml: &str) -> Result<Response, Error> {
    let mut parser = Parser::new(xml);
    if &*parser.root()? != "methodResponse" {
        return Err(Error::Shape("the root element is not methodResponse"));
    }
    let mut response = None;
    while let Some(name) = parser.child()? {
        response = Some(match &*name {
            "params" => result(read_params(&mut parser)?)?,
            "fault" => fault(read_only_value(&mut parser)?)?,
            _ => return Err(Error::Shape("unexpected element in methodResponse")),
        });
    }
    parser.finish()?;
    response.ok_or(Error::Shape("an empty methodResponse"))
}

/// `[true, value, code]` or `[false, message, code, id, index]`.
fn result(mut params: Vec<Value>) -> Result<Response, Error> {
    let (Some(Value::Array(items)), None) = (params.pop(), params.pop()) else {
        return Err(Error::Shape("the reply is not one array"));
    };
    let mut items = items.into_iter();
    let ok = items.next();
    let (Some(Value::Bool(ok)), Some(value)) = (ok, items.next()) else {
        return Err(Error::Shape(
            "the reply does not begin with a truth value and a result",
        ));
    };
    if ok {
        return Ok(Response::Success { value });
    }
    let Value::String(message) = value else {
        return Err(Error::Shape("a failure without message"));
    };
    let Some(Value::Int(code)) = items.next() else {
        return Err(Error::Shape("a failure without code"));
    };
    let mut id = || {
        items
            .next()
            .and_then(|value| value.as_int())
            .filter(|id| *id >= 0)
    };
    Ok(Response::Failure {
        message,
        code,
        object: id(),
        replication_index: id(),
    })
}

fn fault(value: Value) -> Result<Response, Error> {
    let Value::Struct(members) = value else {
        return Err(Error::Shape("a fault that is no struct"));
    };
    let mut code = None;
    let mut message = None;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("faultCode", Value::Int(number)) => code = Some(number),
            ("faultString", Value::String(text)) => message = Some(text),
            _ => {}
        }
    }
    let code = code.ok_or(Error::Shape("a fault without faultCode"))?;
    Ok(Response::Fault {
        code,
        message: message.unwrap_or_default(),
    })
}

/// The parameters in the open `params`, which is closed.
fn read_params(parser: &mut Parser<'_>) -> Result<Vec<Value>, Error> {
    let mut values = Vec::new();
    while let Some(name) = parser.child()? {
        if &*name != "param" {
            return Err(Error::Shape("unexpected element in params"));
        }
        values.push(read_only_value(parser)?);
    }
    Ok(values)
}

/// The one `value` of the open element, which is closed.
fn read_only_value(parser: &mut Parser<'_>) -> Result<Value, Error> {
    let mut value = None;
    while let Some(name) = parser.child()? {
        if &*name != "value" || value.is_some() {
            return Err(Error::Shape("expected one value"));
        }
        value = Some(read_value(parser, 0)?);
    }
    value.ok_or(Error::Shape("expected one value"))
}

/// The deepest that arrays and structs may be nested. oned itself sends one level.
const MAX_DEPTH: usize = 32;

/// The content of the open `value`, which is closed.
fn read_value(parser: &mut Parser<'_>, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::Shape("values nested too deeply"));
    }
    let mut typed = None;
    let mut text = Cow::Borrowed("");
    loop {
        match parser.next()? {
            Token::Open(name) => {
                if typed.is_some() {
                    return Err(Error::Shape("a value with two types"));
                }
                typed = Some(match &*name {
                    "int" | "i4" | "i8" | "ex:i8" => Value::Int(number(&parser.text()?)?),
                    "boolean" => match parser.text()?.trim() {
                        "1" => Value::Bool(true),
                        "0" => Value::Bool(false),
                        _ => return Err(Error::Shape("a boolean that is neither 0 nor 1")),
                    },
                    "string" => Value::String(parser.text()?.into_owned()),
                    "double" => match parser.text()?.trim().parse() {
                        Ok(number) => Value::Double(number),
                        Err(_) => return Err(Error::Shape("a double that is no number")),
                    },
                    "nil" | "ex:nil" => {
                        parser.skip()?;
                        Value::Nil
                    }
                    "array" => read_array(parser, depth)?,
                    "struct" => read_struct(parser, depth)?,
                    _ => return Err(Error::Shape("a value of an unknown type")),
                });
            }
            Token::Text(piece) | Token::CData(piece) => append(&mut text, piece),
            Token::Remark => {}
            Token::Close => return Ok(typed.unwrap_or_else(|| Value::String(text.into_owned()))),
            Token::End => return Err(cut_off(parser).into()),
        }
    }
}

fn read_array(parser: &mut Parser<'_>, depth: usize) -> Result<Value, Error> {
    let mut items = Vec::new();
    while let Some(name) = parser.child()? {
        if &*name != "data" {
            return Err(Error::Shape("unexpected element in array"));
        }
        while let Some(name) = parser.child()? {
            if &*name != "value" {
                return Err(Error::Shape("unexpected element in data"));
            }
            items.push(read_value(parser, depth + 1)?);
        }
    }
    Ok(Value::Array(items))
}

fn read_struct(parser: &mut Parser<'_>, depth: usize) -> Result<Value, Error> {
    let mut members = Vec::new();
    while let Some(name) = parser.child()? {
        if &*name != "member" {
            return Err(Error::Shape("unexpected element in struct"));
        }
        let mut key = None;
        let mut value = None;
        while let Some(name) = parser.child()? {
            match &*name {
                "name" => key = Some(parser.text()?.into_owned()),
                "value" => value = Some(read_value(parser, depth + 1)?),
                _ => return Err(Error::Shape("unexpected element in member")),
            }
        }
        let (Some(key), Some(value)) = (key, value) else {
            return Err(Error::Shape("a member without name or value"));
        };
        members.push((key, value));
    }
    Ok(Value::Struct(members))
}

fn number(text: &str) -> Result<i64, Error> {
    text.trim()
        .parse()
        .map_err(|_| Error::Shape("an integer that is none"))
}

fn cut_off(parser: &Parser<'_>) -> XmlError {
    parser.error("ended inside an element")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(value: &str) -> Result<Value, Error> {
        let xml = format!(
            "<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
        );
        decode_call(&xml).map(|mut call| call.params.remove(0))
    }

    #[test]
    fn every_type_is_read() {
        for (xml, value) in [
            ("<value><int>-1</int></value>", Value::Int(-1)),
            ("<value> <i4> 7 </i4> </value>", Value::Int(7)),
            ("<value><i8>9000000000</i8></value>", Value::Int(9_000_000_000)),
            ("<value><boolean>1</boolean></value>", Value::Bool(true)),
            ("<value><string/></value>", "".into()),
            ("<value><string> a &amp; b\n</string></value>", " a & b\n".into()),
            ("<value>untyped &lt;</value>", "untyped <".into()),
            ("<value></value>", "".into()),
            ("<value><nil/></value>", Value::Nil),
            ("<value><double>1.5</double></value>", Value::Double(1.5)),
            ("<value><array><data/></array></value>", Value::Array(vec![])),
            (
                "<value><struct><member><name>a</name><value>1</value></member></struct></value>",
                Value::Struct(vec![("a".into(), "1".into())]),
            ),
        ] {
            assert_eq!(param(xml), Ok(value), "{xml}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for xml in [
            "<value><int></int></value>",
            "<value><int>1.5</int></value>",
            "<value><int>99999999999999999999</int></value>",
            "<value><boolean>yes</boolean></value>",
            "<value><int>1</int><int>2</int></value>",
            "<value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value>",
            "<value><struct><member><value>1</value></member></struct></value>",
            "",
        ] {
            assert!(param(xml).is_err(), "{xml}");
        }
        let deep = format!(
            "{}{}",
            "<value><array><data>".repeat(100_000),
            "</data></array></value>".repeat(100_000)
        );
        assert_eq!(param(&deep), Err(Error::Shape("values nested too deeply")));
    }

    #[test]
    fn a_reply_must_be_the_array_of_oned() {
        for xml in [
            "<methodResponse/>",
            "<methodCall/>",
            "<html><body>502 Bad Gateway</body></html>",
            "<methodResponse><params><param><value><int>1</int></value></param></params></methodResponse>",
            "<methodResponse><fault><value>no</value></fault></methodResponse>",
        ] {
            assert!(matches!(decode_response(xml), Err(Error::Shape(_))), "{xml}");
        }
        assert!(matches!(
            decode_response("<methodResponse><params>"),
            Err(Error::Xml(_))
        ));
    }

    #[test]
    fn ids_below_zero_mean_none() {
        let xml = super::super::encode_response(&[
            false.into(),
            "no".into(),
            2048.into(),
            (-1).into(),
            (-1).into(),
        ]);
        let expected = Response::Failure {
            message: "no".into(),
            code: 2048,
            object: None,
            replication_index: None,
        };
        assert_eq!(decode_response(&xml), Ok(expected));
    }
}
