//! The text of a metadata document.

mod rewrite;

pub(crate) use rewrite::rewrite;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The largest document that is parsed, in bytes: room for the consolidated metadata of hundreds of
/// thousands of nodes, yet an end to what a hostile store can make a reader allocate.
pub const MAX_DOCUMENT_SIZE: usize = 256 << 20;

/// Tokens that Python writes for numbers JSON does not have.
const NON_FINITE: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Parses a metadata document. Leniently, as zarr-python reads them: a byte order mark is skipped,
/// the last of duplicate members counts, and where strict JSON fails, what Python takes for numbers
/// and no float is finite for, bare `NaN`, `Infinity`, `-Infinity` and the like of `1e400`, is read as
/// a string of that text.
///
/// # Errors
/// `InvalidMetadata` if `document` is no JSON or nests deeper than 127 levels, `Limit` if it is
/// larger than [`MAX_DOCUMENT_SIZE`].
pub fn parse(document: &[u8]) -> Result<Value> {
    if document.len() > MAX_DOCUMENT_SIZE {
        return Err(Error::limit(format!(
            "the document has {} bytes, more than the limit of {MAX_DOCUMENT_SIZE}",
            document.len()
        )));
    }
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    serde_json::from_slice(document)
        .or_else(|error| {
            let quoted = quote_non_finite(document).ok_or(error)?;
            serde_json::from_slice(&quoted)
        })
        .map_err(|error| Error::invalid_metadata("the document is not JSON").with_source(error))
}

/// `document` with what is no finite number turned into strings; `None` if it has nothing like that.
fn quote_non_finite(document: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::new();
    let mut copied = 0;
    let mut position = 0;
    let mut in_string = false;
    while let Some(rest) = document.get(position..).filter(|rest| !rest.is_empty()) {
        if in_string {
            position += match rest {
                [b'\\', ..] => 2,
                [b'"', ..] => {
                    in_string = false;
                    1
                }
                _ => 1,
            };
        } else if let Some(token) = non_finite(rest) {
            quoted.extend_from_slice(document.get(copied..position)?);
            quoted.push(b'"');
            quoted.extend_from_slice(token);
            quoted.push(b'"');
            position += token.len();
            copied = position;
        } else {
            in_string = rest.starts_with(b"\"");
            position += number(rest).len().max(1);
        }
    }
    quoted.extend_from_slice(document.get(copied..)?);
    (quoted.len() > document.len()).then_some(quoted)
}

/// What `text` starts with, if that is a number to Python, and not a finite one.
fn non_finite(text: &[u8]) -> Option<&[u8]> {
    if let Some(token) = NON_FINITE.into_iter().find(|token| text.starts_with(token)) {
        return Some(token);
    }
    let number = number(text);
    let value: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    (value.is_infinite() && is_number(number)).then_some(number)
}

/// The characters of a number that `text` starts with.
fn number(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !b"0123456789+-.eE".contains(byte));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// Whether this is how JSON spells a number.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = (parts.next().unwrap_or_default(), parts.next());
    let mut parts = mantissa.splitn(2, |&byte| byte == b'.');
    let (whole, fraction) = (parts.next().unwrap_or_default(), parts.next());
    let unsigned = |text: &[u8]| match text {
        [b'+' | b'-', rest @ ..] => digits(rest),
        text => digits(text),
    };
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with(b"0"))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(unsigned)
}

/// The text of a document: strict JSON, indented by two spaces.
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    format!("{value:#}").into_bytes()
}

/// What a value is, for messages: never its text, which may be long.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A document's members, each read once, so that what remains is unknown.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    read: Vec<&'static str>,
}

impl<'a> Members<'a> {
    /// The members of `document`.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is no object.
    pub(crate) fn of(document: &'a Value) -> Result<Self> {
        let Value::Object(object) = document else {
            return Err(Error::invalid_metadata(format!(
                "a metadata document must be an object, not {}",
                kind_of(document)
            )));
        };
        Ok(Self { object, read: Vec::new() })
    }

    /// The member `key`; `None` if absent.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read.push(key);
        self.object.get(key)
    }

    /// The member `key`.
    ///
    /// # Errors
    /// `InvalidMetadata` if it is absent.
    pub(crate) fn required(&mut self, key: &'static str) -> Result<&'a Value> {
        self.optional(key)
            .ok_or_else(|| Error::invalid_metadata(format!("the document has no `{key}`")))
    }

    /// Checks `zarr_format` and `node_type`, which may be absent if `may_lack_type`.
    pub(crate) fn check_header(
        &mut self,
        node_type: &'static str,
        may_lack_type: bool,
    ) -> Result<()> {
        match self.required("zarr_format")? {
            format if format.as_u64() == Some(3) => {}
            format if format.is_u64() => {
                return Err(Error::unsupported(format!("not supported: Zarr format {format}")));
            }
            other => return Err(wrong("zarr_format", "the number 3", other)),
        }
        match self.optional("node_type") {
            Some(Value::String(found)) if found == node_type => Ok(()),
            Some(Value::String(_)) => {
                Err(Error::invalid_metadata(format!("the document is not of an {node_type}")))
            }
            Some(other) => Err(wrong("node_type", "a string", other)),
            None if may_lack_type => Ok(()),
            None => Err(Error::invalid_metadata("the document has no `node_type`")),
        }
    }

    /// The member `attributes`; empty if absent or null.
    pub(crate) fn attributes(&mut self) -> Result<Map<String, Value>> {
        match self.optional("attributes") {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(attributes)) => Ok(attributes.clone()),
            Some(other) => Err(wrong("attributes", "an object", other)),
        }
    }

    /// The members nobody has read: to be preserved when the document is rewritten.
    ///
    /// # Errors
    /// `Unsupported` if one does not say that it need not be understood.
    pub(crate) fn unknown(self) -> Result<Map<String, Value>> {
        let mut unknown = Map::new();
        for (key, value) in self.object {
            if self.read.contains(&key.as_str()) {
                continue;
            }
            if value.get("must_understand") != Some(&Value::Bool(false)) {
                return Err(Error::unsupported(format!("not supported: document member `{key}`")));
            }
            unknown.insert(key.clone(), value.clone());
        }
        Ok(unknown)
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
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn non_finite_tokens_become_strings_outside_strings_only() {
        let document = br#"{"a": NaN, "b": [Infinity, -Infinity], "NaN \" NaN": "-Infinity\\"}"#;
        let expected = json!({
            "a": "NaN", "b": ["Infinity", "-Infinity"], "NaN \" NaN": "-Infinity\\"
        });
        assert_eq!(parse(document).unwrap(), expected);
    }

    // Seen to fail: the whole document was refused.
    #[test]
    fn numbers_beyond_all_floats_become_strings() {
        let long = "9".repeat(400);
        let document =
            format!(r#"{{"a": 1e400, "b": [-1.5E+999,{long}], "c": "1e400", "d": 1e3}}"#);
        let expected = json!({"a": "1e400", "b": ["-1.5E+999", long], "c": "1e400", "d": 1000.0});
        assert_eq!(parse(document.as_bytes()).unwrap(), expected);
        for wrong in ["01e400", "1.e400", ".1e400", "+1e400", "1e400-", "--1e400", "1e4e400"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn strict_documents_are_left_alone() {
        assert_eq!(parse(br#"{"NaN": "NaN"}"#).unwrap(), json!({"NaN": "NaN"}));
        assert_eq!(parse(b"\xef\xbb\xbf[1]").unwrap(), json!([1]));
        assert_eq!(parse(br#"{"a": 1, "a": 2}"#).unwrap(), json!({"a": 2}));
        assert_eq!(parse(b"18446744073709551615").unwrap(), json!(u64::MAX));
        assert_eq!(parse(b"-9223372036854775808").unwrap(), json!(i64::MIN));
    }

    #[test]
    fn no_json_is_a_typed_error() {
        let deep = "[".repeat(100_000);
        let documents: [&[u8]; 8] =
            [b"", b"{", b"[1NaN]", b"[-NaN]", b"NaNa", b"\"\\", b"\"\xff\"", deep.as_bytes()];
        for document in documents {
            assert_eq!(parse(document).unwrap_err().kind(), Kind::InvalidMetadata);
        }
    }

    #[test]
    fn written_text_is_indented_by_two() {
        let value = json!({"b": [1, 0.1], "a": {}});
        let text = "{\n  \"b\": [\n    1,\n    0.1\n  ],\n  \"a\": {}\n}";
        assert_eq!(String::from_utf8(to_vec(&value)).unwrap(), text);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(document in "[\\[\\]{}\",:\\\\0-9NaInfinity é-]{0,40}") {
            if let Ok(value) = parse(document.as_bytes()) {
                prop_assert_eq!(parse(&to_vec(&value)).unwrap(), value);
            }
        }

        #[test]
        fn floats_survive(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let parsed = parse(&to_vec(&json!(number))).unwrap().as_f64().unwrap();
            prop_assert_eq!(parsed.to_bits(), bits);
        }
    }
}
