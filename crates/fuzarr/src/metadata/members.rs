//! The members of a metadata document, and of the objects in it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::json::{self, kind_of};
use crate::error::{Error, Result};

/// Members that are found by looking through them; a document of more is parsed into a map first.
const FEW: usize = 64;

type Member<'a> = (Cow<'a, str>, Cow<'a, Value>);

/// An object's members, each taken once, so that what remains is unknown.
#[derive(Default)]
pub(crate) struct Members<'a> {
    /// In the order of the document; `None` where one was taken.
    members: SmallVec<[Option<Member<'a>>; 12]>,
}

impl<'a> Members<'a> {
    /// The members of `document`.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is no object.
    pub(crate) fn of(document: Cow<'a, Value>) -> Result<Self> {
        let members = match document {
            Cow::Borrowed(Value::Object(object)) => {
                let member = |(key, value)| Some((Cow::Borrowed(key), Cow::Borrowed(value)));
                object.iter().map(|(key, value)| (key.as_str(), value)).map(member).collect()
            }
            Cow::Owned(Value::Object(object)) => {
                let member = |(key, value)| Some((Cow::Owned(key), Cow::Owned(value)));
                object.into_iter().map(member).collect()
            }
            other => {
                return Err(Error::invalid_metadata(format!(
                    "a metadata document must be an object, not {}",
                    kind_of(&other)
                )));
            }
        };
        Ok(Self { members })
    }

    /// The members of the document that a text is, as [`json::parse`] reads it.
    ///
    /// # Errors
    /// As [`json::parse`] and [`of`](Self::of).
    pub(crate) fn parse(document: &'a [u8]) -> Result<Self> {
        match json::parse_strict(json::text(document)?) {
            Some(members) => Ok(members),
            None => Self::of(Cow::Owned(json::parse(document)?)),
        }
    }

    /// The member `key`, which stays; `None` if absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let member = self.members.iter().flatten().find(|(name, _)| name == key);
        member.map(|(_, value)| &**value)
    }

    /// Takes the member `key`; `None` if absent.
    pub(crate) fn optional(&mut self, key: &str) -> Option<Cow<'a, Value>> {
        let named =
            |member: &&mut Option<Member<'_>>| member.as_ref().is_some_and(|(name, _)| name == key);
        self.members.iter_mut().find(named)?.take().map(|(_, value)| value)
    }

    /// Takes the member `key`.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is absent.
    pub(crate) fn required(&mut self, key: &str) -> Result<Cow<'a, Value>> {
        self.optional(key)
            .ok_or_else(|| Error::invalid_metadata(format!("the document has no `{key}`")))
    }

    /// Checks `zarr_format` and `node_type`, which may be absent if `may_lack_type`.
    pub(crate) fn check_header(
        &mut self,
        node_type: &'static str,
        may_lack_type: bool,
    ) -> Result<()> {
        match &*self.required("zarr_format")? {
            format if format.as_u64() == Some(3) => {}
            format if format.is_u64() => {
                return Err(Error::unsupported(format!("not supported: Zarr format {format}")));
            }
            other => return Err(wrong("zarr_format", "the number 3", other)),
        }
        match self.optional("node_type").as_deref() {
            Some(Value::String(found)) if found == node_type => Ok(()),
            Some(Value::String(_)) => {
                Err(Error::invalid_metadata(format!("the document is not of an {node_type}")))
            }
            Some(other) => Err(wrong("node_type", "a string", other)),
            None if may_lack_type => Ok(()),
            None => Err(Error::invalid_metadata("the document has no `node_type`")),
        }
    }

    /// Takes the member `attributes`; empty if absent or null.
    pub(crate) fn attributes(&mut self) -> Result<Map<String, Value>> {
        match self.optional("attributes").map(Cow::into_owned) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(attributes)) => Ok(attributes),
            Some(other) => Err(wrong("attributes", "an object", &other)),
        }
    }

    /// The members nobody has taken.
    pub(crate) fn rest(self) -> impl Iterator<Item = Member<'a>> {
        self.members.into_iter().flatten()
    }

    /// The members nobody has taken: to be preserved when the document is rewritten.
    ///
    /// # Errors
    /// `Unsupported` if one does not say that it need not be understood.
    pub(crate) fn unknown(self) -> Result<Map<String, Value>> {
        let mut unknown = Map::new();
        for (key, value) in self.rest() {
            if value.get("must_understand") != Some(&Value::Bool(false)) {
                return Err(Error::unsupported(format!("not supported: document member `{key}`")));
            }
            unknown.insert(key.into_owned(), value.into_owned());
        }
        Ok(unknown)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfText)
    }
}

/// Makes [`Members`] of a text, without a map.
struct OfText;

impl<'de> Visitor<'de> for OfText {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of few members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: SmallVec<[Option<Member<'de>>; 12]> = SmallVec::new();
        while let Some(Key(key)) = map.next_key()? {
            let value = Cow::Owned(map.next_value()?);
            // Of duplicates the last one counts.
            if let Some((_, before)) = members.iter_mut().flatten().find(|(name, _)| *name == key) {
                *before = value;
            } else if members.len() < FEW {
                members.push(Some((key, value)));
            } else {
                return Err(A::Error::custom("there are many members"));
            }
        }
        Ok(Members { members })
    }
}

/// A name that stays in the text, unless it is spelled with escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AsKey)
    }
}

struct AsKey;

impl<'de> Visitor<'de> for AsKey {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(name.to_owned())))
    }
}

/// The lengths that a member such as `shape` lists.
///
/// # Errors
/// `InvalidMetadata` if it is no list of non-negative integers.
pub(crate) fn lengths(key: &str, value: &Value) -> Result<Vec<u64>> {
    value.as_array().and_then(|lengths| lengths.iter().map(Value::as_u64).collect()).ok_or_else(
        || Error::invalid_metadata(format!("`{key}` must be a list of non-negative integers")),
    )
}

/// The error of a member that is not what it must be.
#[cold]
pub(crate) fn wrong(key: &str, expected: &str, found: &Value) -> Error {
    Error::invalid_metadata(format!("`{key}` must be {expected}, not {}", kind_of(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// The members of a text by both ways, which must agree.
    fn members(text: &str) -> Result<Vec<(String, Value)>> {
        let pairs = |members: Members<'_>| {
            let owned = |(key, value): Member<'_>| (key.into_owned(), value.into_owned());
            members.rest().map(owned).collect::<Vec<_>>()
        };
        let parsed = json::parse(text.as_bytes());
        let through_map = parsed.and_then(|value| Members::of(Cow::Owned(value)).map(pairs));
        let direct = Members::parse(text.as_bytes()).map(pairs);
        match (&direct, &through_map) {
            (Ok(one), Ok(other)) => assert_eq!(one, other),
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
            _ => panic!("{direct:?} is not {through_map:?}"),
        }
        direct
    }

    #[test]
    fn a_text_has_the_members_of_its_value() {
        let many: Vec<_> = (0..1000).map(|number| format!(r#""{number}": 0"#)).collect();
        for (text, count) in [
            ("{}", 0),
            (r#"{"a": 1, "b": {"c": [null]}}"#, 2),
            (r#"{"a": 1, "b": 2, "a": 3}"#, 2),
            (r#"{"\u0061": 1, "a": 2, "\"": 3}"#, 2),
            ("\u{feff}{\"a\": 1}", 1),
            (r#"{"a": NaN, "b": 123456789012345678901234567890}"#, 2),
            (&format!("{{{}}}", many.join(", ")), 1000),
        ] {
            assert_eq!(members(text).unwrap().len(), count, "{text}");
        }
        for text in ["", "[]", "3", "{", r#"{"a"}"#, r#"{"a": 1} 2"#] {
            assert_eq!(members(text).unwrap_err().kind(), Kind::InvalidMetadata, "{text}");
        }
    }

    #[test]
    fn members_are_taken_once() {
        let text = br#"{"a": 1, "b": {"must_understand": false}}"#;
        let mut members = Members::parse(text).unwrap();
        assert_eq!(members.get("a"), Some(&1.into()));
        assert_eq!(members.optional("a").as_deref(), Some(&1.into()));
        assert_eq!(members.optional("a"), None);
        assert_eq!(members.unknown().unwrap().len(), 1);
    }
}
