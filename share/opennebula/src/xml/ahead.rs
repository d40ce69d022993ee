//! What follows a start tag, seen at once instead of event by event: an answer is one text of megabytes in which every
//! `<` is a reference, and most of a list is parts that nobody asks for.
//!
//! Only what is plain is seen. Anything else is `None`, and the parser reads it in its own way, with its own errors.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::BytesRef;

/// The text up to the next markup, and its length as it stands there.
pub(super) fn text(rest: &str) -> Option<(Cow<'_, str>, usize)> {
    let length = memchr(b'<', rest.as_bytes())?;
    let raw = rest.get(..length)?;
    if memchr2(b'&', b'\r', raw.as_bytes()).is_none() {
        return Some((Cow::Borrowed(raw), length));
    }
    // Most references are shorter as text.
    let mut text = String::with_capacity(raw.len());
    let (mut done, mut at) = (0, 0);
    while let Some(found) = memchr2(b'&', b'\r', raw.as_bytes().get(at..)?) {
        at += found;
        text.push_str(raw.get(done..at)?);
        let (char, taken) = match raw.as_bytes().get(at..)? {
            [b'&', b'l', b't', b';', ..] => ('<', "&lt;".len()),
            [b'&', b'g', b't', b';', ..] => ('>', "&gt;".len()),
            // The ends of lines are newlines, however they were written.
            [b'\r', b'\n', ..] => ('\n', 2),
            [b'\r', ..] => ('\n', 1),
            _ => {
                let (name, _) = raw.get(at + 1..)?.split_once(';')?;
                let char = match resolve_xml_entity(name) {
                    Some(entity) => entity.chars().next()?,
                    None => BytesRef::new(name).resolve_char_ref().ok()??,
                };
                (char, name.len() + "&;".len())
            }
        };
        text.push(char);
        at += taken;
        done = at;
    }
    text.push_str(raw.get(done..)?);
    Some((Cow::Owned(text), length))
}

/// The length of the open element's content, up to its end tag.
pub(super) fn content(rest: &str) -> Option<usize> {
    let rest = rest.as_bytes();
    let end_of_data = memmem::Finder::new("]]>");
    let mut open: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    loop {
        // A reference may be one that nobody knows.
        at += memchr2(b'<', b'&', rest.get(at..)?)?;
        let tag = match rest.get(at..)? {
            [b'<', b'!', b'[', b'C', b'D', b'A', b'T', b'A', b'[', data @ ..] => {
                at += "<![CDATA[".len() + end_of_data.find(data)? + "]]>".len();
                continue;
            }
            [b'<', tag @ ..] => tag.get(..memchr(b'>', tag)?)?,
            _ => return None,
        };
        match tag {
            [b'/', name @ ..] => match open.pop() {
                Some(opened) if opened == name => {}
                Some(_) => return None,
                None => return Some(at),
            },
            [name @ .., b'/'] if is_name(name) => {}
            name if is_name(name) => open.push(name),
            _ => return None,
        }
        at += tag.len() + "<>".len();
    }
}

/// Is it a name alone? Tags with attributes, remarks and declarations are not plain.
fn is_name(tag: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    !tag.is_empty() && tag.iter().all(fits)
}
