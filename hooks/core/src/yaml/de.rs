//! From the tree to values.

use serde::de::value::{StrDeserializer, U64Deserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::tree::{Kind, Node};
use super::{AT, Error};

/// What a plain text means.
enum Plain<'a> {
    Nothing,
    Truth(bool),
    Whole(i64),
    Large(u64),
    Real(f64),
    Text(&'a str),
}

/// YAML 1.2, core schema.
fn plain(text: &str) -> Plain<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Nothing,
        "true" | "True" | "TRUE" => return Plain::Truth(true),
        "false" | "False" | "FALSE" => return Plain::Truth(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Real(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Real(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Real(f64::NAN),
        _ => {}
    }
    let whole = if let Some(digits) = text.strip_prefix("0x") {
        u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| !digits.starts_with('+'))
    } else if let Some(digits) = text.strip_prefix("0o") {
        u64::from_str_radix(digits, 8)
            .ok()
            .filter(|_| !digits.starts_with('+'))
    } else {
        None
    };
    if let Some(whole) = whole {
        return i64::try_from(whole).map_or(Plain::Large(whole), Plain::Whole);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text(text);
    }
    if let Ok(whole) = text.parse() {
        return Plain::Whole(whole);
    }
    if let Ok(large) = text.parse() {
        return Plain::Large(large);
    }
    // Rust reads more than YAML does, and only what looks like a number comes here.
    let real = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+');
    match text.parse() {
        Ok(value) if text.bytes().all(real) => Plain::Real(value),
        _ => Plain::Text(text),
    }
}

impl Node {
    fn any<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Kind::Scalar { text, plain: true } => match plain(text) {
                Plain::Nothing => visitor.visit_unit(),
                Plain::Truth(value) => visitor.visit_bool(value),
                Plain::Whole(value) => visitor.visit_i64(value),
                Plain::Large(value) => visitor.visit_u64(value),
                Plain::Real(value) => visitor.visit_f64(value),
                Plain::Text(text) => visitor.visit_borrowed_str(text),
            },
            Kind::Sequence(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Mapping(pairs) => visitor.visit_map(Pairs {
                left: pairs.iter(),
                value: None,
            }),
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(plain(text), Plain::Nothing))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|e| e.at(self.line))
    }

    /// Where a text is wanted, a plain one is a text: nobody has to quote `1.10`.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_nothing() => visitor
                .visit_borrowed_str(text)
                .map_err(|e: Error| e.at(self.line)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_nothing() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == AT {
            return visitor.visit_map(Placed { node: self, next: 0 });
        }
        self.deserialize_any(visitor)
    }

    /// Enumerations are words.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let word: Result<StrDeserializer<'_, Error>, Error> = match &self.kind {
            Kind::Scalar { text, .. } => Ok(text.as_str().into_deserializer()),
            Kind::Sequence(_) => Err(serde::de::Error::invalid_type(Unexpected::Seq, &"a word")),
            Kind::Mapping(_) => Err(serde::de::Error::invalid_type(Unexpected::Map, &"a word")),
        };
        word.and_then(|word| visitor.visit_enum(word))
            .map_err(|e| e.at(self.line))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Pairs<'de> {
    left: std::slice::Iter<'de, (Node, Node)>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.left.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        match self.value.take() {
            Some(node) => seed.deserialize(node),
            None => Err(serde::de::Error::custom("a value without a key")),
        }
    }
}

/// A key is a text, whatever it looks like.
struct Key<'de>(&'de Node);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.kind {
            Kind::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            _ => Err(serde::de::Error::custom("a key must be a word")),
        }
        .map_err(|e: Error| e.at(self.0.line))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The fields of [`super::At`].
struct Placed<'de> {
    node: &'de Node,
    next: usize,
}

impl<'de> MapAccess<'de> for Placed<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let name = ["line", "column", "value"].get(self.next);
        name.map(|name| {
            let name: StrDeserializer<'_, Error> = (*name).into_deserializer();
            seed.deserialize(name)
        })
        .transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.next += 1;
        let number = |n: u64| -> U64Deserializer<Error> { n.into_deserializer() };
        match self.next {
            1 => seed.deserialize(number(self.node.line)),
            2 => seed.deserialize(number(self.node.column)),
            _ => seed.deserialize(self.node),
        }
    }
}
