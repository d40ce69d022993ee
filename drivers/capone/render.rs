//! Rendering of texts, strict about what is undefined.
//!
//! What a text prints is quoted by its format, which its name tells (`*.yaml.j2`, `*.sh.j2`, all else OpenNebula's
//! template syntax), or by the filter `yaml`, `one`, `one_name` or `sh`. So no value can break out of its place.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use oneks_driver::{DriverError, reason};

use crate::quote;

/// Texts that can include one another, ready to be rendered.
pub struct Texts {
    environment: Environment<'static>,
    /// Whose texts these are, for messages.
    origin: String,
}

impl Texts {
    /// Takes texts by file name.
    ///
    /// # Errors
    /// `BadProfile`: one of them is not a template.
    pub fn new(origin: String, texts: &BTreeMap<String, String>) -> Result<Self, DriverError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
            .map_err(|e| failed(&origin, "syntax", &e))?;
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|name| {
            AutoEscape::Custom(
                match name.rsplit('.').nth(1) {
                    Some("yaml") => "yaml",
                    Some("sh") => "sh",
                    _ => "one",
                }
                .into(),
            )
        });
        environment.set_formatter(print);
        environment.add_filter("yaml", |value: &Value| {
            json(value).map(|v| Value::from_safe_string(quote::yaml(&v)))
        });
        environment.add_filter("one", |value: &Value| safe(quote::one(&plain(value)?)));
        environment.add_filter("one_name", |value: &Value| safe(quote::one_name(&plain(value)?)));
        environment.add_filter("sh", |value: &Value| safe(quote::sh(&plain(value)?)));
        environment.add_filter("base64", |value: &Value| plain(value).map(|t| STANDARD.encode(t)));
        for (name, text) in texts {
            environment
                .add_template_owned(name.clone(), text.clone())
                .map_err(|e| failed(&origin, name, &e))?;
        }
        Ok(Self { environment, origin })
    }

    /// Renders one of the texts.
    ///
    /// # Errors
    /// `BadProfile`: there is no such text, it uses something undefined, or a value can't be written in its format.
    pub fn render(&self, name: &str, context: &Value) -> Result<String, DriverError> {
        let template = self.environment.get_template(name).map_err(|e| {
            if e.kind() == ErrorKind::TemplateNotFound {
                DriverError::fatal(
                    reason::BAD_PROFILE,
                    format!("{} lacks the text {name}", self.origin),
                )
            } else {
                failed(&self.origin, name, &e)
            }
        })?;
        template
            .render(context)
            .map_err(|e| failed(&self.origin, name, &e))
    }
}

/// Names the innermost text and line, and every reason on the way there.
fn failed(origin: &str, name: &str, error: &Error) -> DriverError {
    let (mut place, mut detail) = ((name.to_owned(), None), String::new());
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<Error>() {
            if let Some(inner) = error.name() {
                place = (inner.to_owned(), error.line());
            }
            detail = error
                .detail()
                .map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
        }
        next = error.source();
    }
    let line = place.1.map_or_else(String::new, |line| format!(":{line}"));
    DriverError::fatal(
        reason::BAD_PROFILE,
        format!("{origin}, {}{line}: {detail}", place.0),
    )
}

/// Prints a value in the format of the text, unless a filter has quoted it.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = if value.is_safe() {
        value.to_string()
    } else {
        match state.auto_escape() {
            AutoEscape::Custom(format) if format == "yaml" => quote::yaml(&json(value)?),
            AutoEscape::Custom(format) if format == "sh" => quote::sh(&plain(value)?).map_err(invalid)?,
            _ => quote::one(&plain(value)?).map_err(invalid)?,
        }
    };
    out.write_str(&text).map_err(Error::from)
}

fn json(value: &Value) -> Result<serde_json::Value, Error> {
    defined(value)?;
    serde_json::to_value(value).map_err(invalid)
}

/// A scalar as text. A number without a fraction is written without one: OpenNebula takes no `2.0` for a size.
fn plain(value: &Value) -> Result<String, Error> {
    defined(value)?;
    match json(value)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        }),
        serde_json::Value::Bool(true) => Ok("YES".to_owned()),
        serde_json::Value::Bool(false) => Ok("NO".to_owned()),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("{other} is no single value"),
        )),
    }
}

fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        Err(Error::from(ErrorKind::UndefinedError))
    } else {
        Ok(())
    }
}

fn safe(quoted: Result<String, quote::Unquotable>) -> Result<Value, Error> {
    quoted.map(Value::from_safe_string).map_err(invalid)
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, error.to_string())
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn render(name: &str, text: &str, context: &Value) -> Result<String, DriverError> {
        let texts = BTreeMap::from([
            (name.to_owned(), text.to_owned()),
            (
                "inner.yaml.j2".to_owned(),
                "a: {{ a|yaml }}\nb: [\"x: y\"]\n".to_owned(),
            ),
        ]);
        Texts::new("control plane general".to_owned(), &texts)?.render(name, context)
    }

    #[test]
    fn values_are_quoted_by_format_with_and_without_filters() {
        let context = context! { a => "x\"y", n => 2.0, list => vec!["a", "b: c"], yes => true };
        for (name, text, wanted) in [
            ("m.yaml.j2", "a: {{ a }}\n", "a: \"x\\\"y\"\n"),
            ("m.yaml.j2", "a: {{ a|yaml }}\n", "a: \"x\\\"y\"\n"),
            ("m.yaml.j2", "a: {{ list|yaml }}", "a: [\"a\", \"b: c\"]"),
            (
                "m.yaml.j2",
                "a: {{ (a ~ '-cp')|yaml }}{{ yes }}",
                "a: \"x\\\"y-cp\"true",
            ),
            ("m.j2", "A = {{ a }}\n", "A = \"x\\\"y\"\n"),
            ("m.j2", "A = {{ n|one }}, {{ yes|one }}", "A = \"2\", \"YES\""),
            ("m.sh.j2", "echo {{ a }}", "echo 'x\"y'"),
            ("m.sh.j2", "echo {{ a|base64 }}", "echo 'eCJ5'"),
            (
                "m.yaml.j2",
                "k: |\n{% filter indent(2, true) %}\n{% include \"inner.yaml.j2\" %}\n{% endfilter +%}\n",
                "k: |\n  a: \"x\\\"y\"\n  b: [\"x: y\"]\n",
            ),
        ] {
            assert_eq!(render(name, text, &context).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn errors_name_text_line_and_reason() {
        let context = context! { a => "x\ny", map => context!{} };
        for (text, wanted) in [
            ("\n{{ nothing }}", "m.j2:2: `nothing` is undefined"),
            ("\n\n{{ map.nothing|one }}", "m.j2:3: "),
            ("{{ nothing|yaml }}", "m.j2:1: undefined value"),
            (
                "{{ a|one }}",
                "m.j2:1: \"x\\ny\" can't be written here: OpenNebula templates carry no",
            ),
            ("{{ a", "m.j2:1: "),
            ("{{ [1]|one }}", "m.j2:1: [1] is no single value"),
            ("{% include \"none.j2\" %}", "m.j2:1: "),
        ] {
            let error = render("m.j2", text, &context).unwrap_err();
            assert_eq!(error.reason, reason::BAD_PROFILE);
            assert!(error.message.contains(wanted), "{text}: {error}");
            assert!(error.message.starts_with("control plane general, "), "{error}");
        }
        let texts = Texts::new("x".to_owned(), &BTreeMap::new()).unwrap();
        let error = texts.render("seed.j2", &context).unwrap_err();
        assert_eq!(error.message, "x lacks the text seed.j2");
    }
}
