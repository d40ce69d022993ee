//! Template syntax: what is read and written comes back, and what the hook sees of it while it streams in is true.

use oneks::event::{Kind, Verdict};
use opennebula::Template;
use opennebula::template::{Problem, WriteError};

use crate::events::verdict;

/// The plain syntax.
pub(crate) fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(template) = Template::parse_text(&text) else {
        return;
    };
    comes_back(&template);
    // The hook manager repairs what is no XML, which changes the text.
    if !text.contains(['<', '&', '\0', '\r']) && !text.contains("]]>") {
        is_seen(&text, &template);
    }
}

/// The XML form.
pub(crate) fn xml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(template) = Template::parse_xml(&text) else {
        return;
    };
    comes_back(&template);
    if text.starts_with('<') && !text.starts_with("<?") && !text.starts_with("<!") {
        is_seen(&text, &template);
    }
}

fn comes_back(template: &Template) {
    for (written, plain) in [(template.to_text(), true), (template.to_xml("TEMPLATE"), false)] {
        match written {
            Ok(text) => {
                let again = Template::parse(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
                assert!(again == *template, "{text:?} is {again:?}, not {template:?}");
            }
            Err(error) => assert!(excused(template, &error, plain), "{error}: {template:?}"),
        }
    }
    let mut merged = template.clone();
    merged.merge(&template.clone());
    let mut twice = merged.clone();
    twice.merge(template);
    assert!(merged == twice, "merging again changes something: {template:?}");
}

/// Is there really what the refusal says?
fn excused(template: &Template, error: &WriteError, plain: bool) -> bool {
    let (name, key) = error
        .attribute
        .split_once('/')
        .map_or((error.attribute.as_str(), None), |(name, key)| (name, Some(key)));
    let values: Vec<&str> = match key {
        None => template.get_all(name).collect(),
        Some(key) => template
            .get_vectors(name)
            .flatten()
            .filter(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
            .collect(),
    };
    match error.problem {
        Problem::Name => true,
        Problem::Character(c) => values.iter().any(|v| v.contains(c)),
        Problem::CdataEnd => values.iter().any(|v| v.contains("]]>")),
        Problem::TooLong => values.iter().any(|v| v.len() > 10_000_000),
        Problem::FinalBackslash => plain && values.iter().any(|v| v.ends_with('\\')),
    }
}

/// An update that writes one of the users' attributes is looked at.
fn is_seen(text: &str, template: &Template) {
    let asks = ["SPEC", "RECOVER", "ROTATE", "DELETE"]
        .iter()
        .any(|name| template.contains(name));
    if !asks || text.len() > 8192 {
        return;
    }
    let event = format!(
        "<CALL_INFO><RESULT>1</RESULT><PARAMETERS><PARAMETER><POSITION>2</POSITION><TYPE>IN</TYPE><VALUE>7</VALUE>\
         </PARAMETER><PARAMETER><POSITION>3</POSITION><TYPE>IN</TYPE><VALUE>{text}</VALUE></PARAMETER></PARAMETERS>\
         </CALL_INFO>"
    );
    let verdict = verdict(Kind::Document, "one.document.update", event.as_bytes());
    assert!(matches!(verdict, Verdict::Look { .. }), "{verdict:?}: {text:?}");
}
