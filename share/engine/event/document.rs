//! `one.document.{allocate,update,delete,clone,chown,rename}`

use std::cell::Cell;
use std::io::Read;

use oneks_core::names::DOCUMENT_TYPE;

use crate::gate::{Deleted, Hints};
use crate::handle::door::ATTRIBUTE;

use super::call::{Call, Part};
use super::names::{Named, named};
use super::xml::{Damaged, Token, Xml};
use super::{Reason, Verdict};

/// Attributes that users write. Ours are STATUS, STATE, ENDPOINT and KUBECONFIG.
const ASKING: [&str; 4] = ["SPEC", "RECOVER", "ROTATE", "DELETE"];

/// Longest SPEC or STATUS that is kept of a deleted document.
const KEPT: usize = 1024 * 1024;

/// Longest name of a user or document.
const NAME: usize = 1024;

pub(super) fn look<R: Read>(call: &str, xml: Xml<R>) -> Verdict {
    let read = match call {
        "one.document.allocate" => allocate,
        "one.document.update" => update,
        "one.document.delete" => delete,
        "one.document.clone" => clone,
        "one.document.chown" => change,
        "one.document.rename" => rename,
        _ => return Verdict::Drop(Reason::UnknownCall),
    };
    read(&mut Call::new(xml)).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

fn look_at(clusters: impl IntoIterator<Item = u32>) -> Verdict {
    let mut all: Vec<u32> = Vec::new();
    for cluster in clusters {
        if !all.contains(&cluster) {
            all.push(cluster);
        }
    }
    if all.is_empty() {
        return Verdict::Drop(Reason::Unreadable);
    }
    Verdict::Look {
        clusters: all,
        hints: Hints::none(),
    }
}

/// IN 2 is the template and IN 3 the type: all that names the new document can be forged. The genuine output and object
/// come last, if they come at all.
fn allocate<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let (mut ours, mut typed) = (false, false);
    let (mut output, mut object) = (None, None);
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::In(3)) => {
                let is_cluster = call.id()?.is_some_and(is_cluster);
                if !is_cluster && !typed {
                    return Ok(Verdict::Drop(Reason::NotOurs));
                }
                typed = true;
                ours |= is_cluster;
            }
            Ok(Part::Out(2)) => output = call.id()?.or(output),
            Ok(Part::Extra) => {
                if let Ok(Some(document)) = Object::read(&mut call.xml, false) {
                    ours |= document.is_cluster;
                    object = document.id.or(object);
                }
            }
            Ok(Part::Result(true) | Part::In(_) | Part::Out(_)) => {}
            Ok(Part::End) | Err(Damaged) => break,
        }
    }
    if ours {
        Ok(look_at(object.into_iter().chain(output)))
    } else {
        Ok(Verdict::Drop(if typed {
            Reason::NotOurs
        } else {
            Reason::Unreadable
        }))
    }
}

/// IN 2 is the id, before any string; IN 3 is the template, and IN 4 is 1 if it is merged. A template that replaces the
/// old one takes away what it does not name.
fn update<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut id = None;
    let (mut asks_nothing, mut own) = (false, false);
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::In(2)) if id.is_none() => id = Some(call.id()?.ok_or(Damaged)?),
            Ok(Part::In(3)) if !asks_nothing && !own => {
                let id = id.ok_or(Damaged)?;
                let first = Cell::new(None);
                let asks = |name: &str| {
                    let asks = |asking: &&str| name.eq_ignore_ascii_case(asking);
                    let own = name.eq_ignore_ascii_case(ATTRIBUTE);
                    let found = own || ASKING.iter().any(asks);
                    if found && first.get().is_none() {
                        first.set(Some(own));
                    }
                    found
                };
                match named(&mut call.xml, &asks) {
                    Named::Wanted if first.get() == Some(true) => own = true,
                    Named::Wanted | Named::Doubt => return Ok(look_at([id])),
                    Named::Others => asks_nothing = true,
                }
            }
            // Orders of a handle: the pass that wrote them goes on with them, or has left its mark.
            Ok(Part::In(4)) if own => {
                return Ok(match call.id()? {
                    Some(1) => Verdict::Drop(Reason::OurOwn),
                    _ => look_at(id),
                });
            }
            Ok(Part::In(4)) if asks_nothing && call.id() == Ok(Some(1)) => {
                return Ok(Verdict::Drop(Reason::NothingAsked));
            }
            Ok(Part::In(4) | Part::End) | Err(Damaged) if asks_nothing => {
                return id.map(|cluster| Verdict::LookIfKnown { cluster }).ok_or(Damaged);
            }
            Ok(Part::End) | Err(Damaged) => return id.map(|id| look_at([id])).ok_or(Damaged),
            Ok(_) => {}
        }
    }
}

/// The document of an update that has not failed; nothing for any other call. It stands before any string.
pub(super) fn updated<R: Read>(call: &str, xml: Xml<R>) -> Option<u32> {
    if call != "one.document.update" {
        return None;
    }
    let mut call = Call::new(xml);
    loop {
        match call.next().ok()? {
            Part::Result(true) | Part::In(1) => {}
            Part::In(2) => return call.id().ok()?,
            _ => return None,
        }
    }
}

/// There is no string of the caller in it; the document is as oned keeps it.
fn delete<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut id = None;
    loop {
        match call.next()? {
            Part::Result(false) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Part::In(2) if id.is_none() => id = call.id()?,
            Part::Extra => {
                let Some(document) = Object::read(&mut call.xml, true)? else {
                    return Err(Damaged);
                };
                if !document.is_cluster {
                    return Ok(Verdict::Drop(Reason::NotOurs));
                }
                let id = id.or(document.id).ok_or(Damaged)?;
                return Ok(Verdict::Look {
                    clusters: vec![id],
                    hints: Hints {
                        deleted: document.deleted(id).map(Box::new),
                        ..Hints::none()
                    },
                });
            }
            Part::End => return Err(Damaged),
            _ => {}
        }
    }
}

/// OUT 2 is the new document's id, behind the name that the caller gave. The type is not in the event.
fn clone<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut output = None;
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::Out(2)) => output = call.id()?.or(output),
            Ok(Part::End) | Err(Damaged) => return Ok(look_at(output)),
            Ok(_) => {}
        }
    }
}

/// IN 2 is the id, and nothing else matters. The type is not in the event.
fn change<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    loop {
        match call.next()? {
            Part::Result(false) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Part::In(2) => return Ok(look_at(call.id()?)),
            Part::End => return Err(Damaged),
            _ => {}
        }
    }
}

/// As [`change`]. Names are for people: a cluster that was not looked at here yet needs no look for that.
fn rename<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    Ok(match change(call)? {
        Verdict::Look { clusters, .. } => match clusters[..] {
            [cluster] => Verdict::LookIfKnown { cluster },
            _ => Verdict::Drop(Reason::Unreadable),
        },
        other => other,
    })
}

fn is_cluster(kind: u32) -> bool {
    kind == DOCUMENT_TYPE
}

/// What EXTRA says of the document.
#[derive(Default)]
struct Object {
    id: Option<u32>,
    is_cluster: bool,
    uid: Option<u32>,
    uname: Option<String>,
    name: Option<String>,
    spec: Option<String>,
    status: Option<String>,
}

impl Object {
    /// Reads the content of EXTRA: all that is kept, or no more than the type. `None` without a document.
    fn read<R: Read>(xml: &mut Xml<R>, all: bool) -> Result<Option<Self>, Damaged> {
        let extra = xml.depth();
        let mut object = Self::default();
        let mut found = false;
        let mut in_template = false;
        loop {
            let field = match xml.next()? {
                Token::Open(name) => Field::of(name),
                Token::Close => None,
                Token::Text(_) => continue,
                Token::End => return Err(Damaged),
            };
            let depth = xml.depth();
            match field {
                _ if depth < extra => return Ok(found.then_some(object)),
                Some(Field::Document) if depth == extra + 1 => found = true,
                Some(Field::Id) if depth == extra + 2 => object.id = number(xml)?,
                Some(Field::Uid) if depth == extra + 2 => object.uid = number(xml)?,
                Some(Field::Uname) if depth == extra + 2 => object.uname = xml.text(NAME)?,
                Some(Field::Name) if depth == extra + 2 => object.name = xml.text(NAME)?,
                Some(Field::Type) if depth == extra + 2 => {
                    object.is_cluster = number(xml)?.is_some_and(is_cluster);
                    if !all || !object.is_cluster {
                        return Ok(Some(object));
                    }
                }
                Some(Field::Template) if depth == extra + 2 => in_template = true,
                Some(Field::Spec) if in_template && depth == extra + 3 => object.spec = xml.text(KEPT)?,
                Some(Field::Status) if in_template && depth == extra + 3 => object.status = xml.text(KEPT)?,
                _ => {}
            }
        }
    }

    fn deleted(self, id: u32) -> Option<Deleted> {
        Some(Deleted {
            id,
            uid: self.uid?,
            uname: self.uname?,
            name: self.name.unwrap_or_default(),
            spec: self.spec,
            status: self.status,
        })
    }
}

fn number<R: Read>(xml: &mut Xml<R>) -> Result<Option<u32>, Damaged> {
    Ok(xml.text(64)?.and_then(|text| super::id(&text)))
}

enum Field {
    Document,
    Id,
    Uid,
    Uname,
    Name,
    Type,
    Template,
    Spec,
    Status,
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "DOCUMENT" => Self::Document,
            "ID" => Self::Id,
            "UID" => Self::Uid,
            "UNAME" => Self::Uname,
            "NAME" => Self::Name,
            "TYPE" => Self::Type,
            "TEMPLATE" => Self::Template,
            "SPEC" => Self::Spec,
            "STATUS" => Self::Status,
            _ => return None,
        })
    }
}
