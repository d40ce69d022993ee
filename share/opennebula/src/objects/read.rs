//! How objects are read.

use std::str::FromStr;

use super::permissions::{Lock, Permissions};
use crate::template::Template;
use crate::xml::{Parser, XmlError};

/// XML that is not the object that it should be. Names elements, never their content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The XML is not well-formed.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another element stands at the root.
    #[error("expected the element {0}")]
    Root(&'static str),
    /// An element that the object can't be without is missing.
    #[error("{object} has no {field}")]
    Missing {
        /// The element of the object.
        object: &'static str,
        /// The element in it.
        field: &'static str,
    },
    /// An element does not hold the number that it should.
    #[error("{0} is no number in range")]
    Number(&'static str),
}

/// An object that is one XML element.
pub(crate) trait Element: Sized {
    /// Name of the element.
    const NAME: &'static str;

    /// Reads the open element and closes it. `head` keeps what was read before an error.
    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError>;
}

/// Reads a document that is one object.
pub(crate) fn object<T: Element>(xml: &str) -> Result<T, ObjectError> {
    let mut parser = Parser::new(xml);
    if *parser.root()? != *T::NAME {
        return Err(ObjectError::Root(T::NAME));
    }
    let object = T::read(&mut parser, &mut Head::default())?;
    parser.finish()?;
    Ok(object)
}

macro_rules! from_xml {
    ($($object:ident),+ $(,)?) => {
        $(impl $object {
            /// Reads the object's own XML element, as `info` calls and state events of hooks carry it.
            ///
            /// # Errors
            /// The text is not that element, or lacks what the object can't be without.
            pub fn from_xml(xml: &str) -> Result<Self, ObjectError> {
                read::object(xml)
            }
        })+
    };
}
pub(crate) use from_xml;

/// The elements that most objects begin with.
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) id: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) uname: String,
    pub(crate) gname: String,
    pub(crate) name: String,
    pub(crate) permissions: Option<Permissions>,
    pub(crate) lock: Option<Lock>,
    pub(crate) template: Template,
}

impl Head {
    /// Reads the open element if it is one of these, skips it otherwise.
    pub(crate) fn element(&mut self, name: &str, parser: &mut Parser<'_>) -> Result<(), ObjectError> {
        match name {
            "ID" => self.id = Some(number(parser, "ID")?),
            "UID" => self.uid = Some(number(parser, "UID")?),
            "GID" => self.gid = Some(number(parser, "GID")?),
            "UNAME" => self.uname = text(parser)?,
            "GNAME" => self.gname = text(parser)?,
            "NAME" => self.name = text(parser)?,
            "PERMISSIONS" => self.permissions = Some(Permissions::read(parser)?),
            "LOCK" => self.lock = Some(Lock::read(parser)?),
            "TEMPLATE" => self.template = Template::from_element(parser)?,
            _ => parser.skip()?,
        }
        Ok(())
    }

    /// What was read. The id stays behind, to name the object if it turns out to lack something.
    pub(crate) fn take(&mut self) -> Self {
        let id = self.id;
        Self {
            id,
            ..std::mem::replace(
                self,
                Self {
                    id,
                    ..Self::default()
                },
            )
        }
    }

    pub(crate) fn id(&self, object: &'static str) -> Result<u32, ObjectError> {
        self.id.ok_or(ObjectError::Missing { object, field: "ID" })
    }

    pub(crate) fn uid(&self, object: &'static str) -> Result<u32, ObjectError> {
        self.uid.ok_or(ObjectError::Missing { object, field: "UID" })
    }

    pub(crate) fn gid(&self, object: &'static str) -> Result<u32, ObjectError> {
        self.gid.ok_or(ObjectError::Missing { object, field: "GID" })
    }
}

/// The text of the open element.
pub(crate) fn text(parser: &mut Parser<'_>) -> Result<String, XmlError> {
    Ok(parser.text()?.into_owned())
}

/// The number in the open element, on which decisions hang.
pub(crate) fn number<T: FromStr>(parser: &mut Parser<'_>, field: &'static str) -> Result<T, ObjectError> {
    parser
        .text()?
        .trim()
        .parse()
        .map_err(|_| ObjectError::Number(field))
}

/// The number in the open element, or none: empty, negative where there is no sign, or anything else.
pub(crate) fn maybe<T: FromStr>(parser: &mut Parser<'_>) -> Result<Option<T>, XmlError> {
    Ok(parser.text()?.trim().parse().ok())
}

/// Seconds since 1970; zero, which oned writes for "not yet", is none.
pub(crate) fn time(parser: &mut Parser<'_>) -> Result<Option<u64>, XmlError> {
    Ok(maybe(parser)?.filter(|seconds| *seconds > 0))
}

/// The `ID` elements in the open element.
pub(crate) fn ids(parser: &mut Parser<'_>) -> Result<Vec<u32>, ObjectError> {
    let mut ids = Vec::new();
    while let Some(name) = parser.child()? {
        match &*name {
            "ID" => ids.push(number(parser, "ID")?),
            _ => parser.skip()?,
        }
    }
    Ok(ids)
}
