//! The text of a metadata document.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// The largest document that is parsed, in bytes: room for the consolidated metadata of hundreds of
/// thousands of nodes, yet an end to what a hostile store can make a reader allocate.
pub const MAX_DOCUMENT_SIZE: usize = 256 << 20;

/// Tokens that Python writes for numbers JSON does not have.
const NON_FINITE: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// What a number that no [`Value`] holds starts with where it is kept as a string.
const MARK: &str = "\0number ";

/// [`MARK`] at the start of a string in a document.
const SPELLED_MARK: &[u8] = br#""\u0000number "#;

/// Parses a metadata document. Leniently, as zarr-python reads them: a byte order mark is skipped,
/// and the last of duplicate members counts. Numbers to Python that a [`Value`] cannot hold (bare `NaN`,
/// `Infinity` and `-Infinity`, the like of `1e400`, integers beyond 64 bits) become strings that are
/// marked: [`to_vec`] writes them as they were, and [`number`] tells them from others.
///
/// # Errors
/// `InvalidMetadata` if `document` is no JSON or nests deeper than 127 levels, `Limit` if it is
/// larger than [`MAX_DOCUMENT_SIZE`].
pub fn parse(document: &[u8]) -> Result<Value> {
    let document = text(document)?;
    if let Some(value) = parse_strict(document) {
        return Ok(value);
    }
    let marked = mark(document);
    serde_json::from_slice(marked.as_deref().unwrap_or(document))
        .map_err(|error| Error::invalid_metadata("the document is not JSON").with_source(error))
}

/// The text of a document without the byte order mark.
///
/// # Errors
/// `Limit` if it is larger than [`MAX_DOCUMENT_SIZE`].
pub(super) fn text(document: &[u8]) -> Result<&[u8]> {
    if document.len() > MAX_DOCUMENT_SIZE {
        return Err(Error::limit(format!(
            "the document has {} bytes, more than the limit of {MAX_DOCUMENT_SIZE}",
            document.len()
        )));
    }
    Ok(document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document))
}

/// What a text says; `None` if it is not JSON of the form asked for, or may have numbers that no
/// [`Value`] holds: [`parse`] knows.
pub(super) fn parse_strict<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    if has_long_number(text) { None } else { serde_json::from_slice(text).ok() }
}

/// The text of a number that a [`Value`] cannot hold, if `value` stands for one, see [`parse`].
#[must_use]
pub fn number(value: &Value) -> Option<&str> {
    let text = value.as_str()?.strip_prefix(MARK)?;
    is_beyond(text.as_bytes()).then_some(text)
}

/// The value that stands for a number that a [`Value`] cannot hold; `None` if `text` is none.
#[must_use]
pub fn from_number(text: &str) -> Option<Value> {
    is_beyond(text.as_bytes()).then(|| format!("{MARK}{text}").into())
}

/// `value`, if it stands for a number that a [`Value`] cannot hold then its text: where a document may
/// have a string as well.
pub(crate) fn spelled(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(spelled).collect(),
        _ => number(value).map_or_else(|| value.clone(), Value::from),
    }
}

/// Whether there may be a whole number of so many digits that it can be beyond 64 bits: the only kind
/// of number beyond a [`Value`] that is no error to the parser.
fn has_long_number(document: &[u8]) -> bool {
    // Wherever so many digits start, one of them is among those that are looked at.
    const DIGITS: usize = 19;
    let looked_at = document.iter().enumerate().skip(DIGITS - 1).step_by(DIGITS);
    let mut found = looked_at.filter(|(_, byte)| byte.is_ascii_digit());
    found.any(|(at, _)| {
        let digits = |bytes: &mut dyn Iterator<Item = &u8>| {
            bytes.take_while(|byte| byte.is_ascii_digit()).count()
        };
        let (before, after) = document.split_at(at);
        digits(&mut before.iter().rev()) + digits(&mut after.iter()) >= DIGITS
    })
}

/// `document` with the numbers that a [`Value`] cannot hold turned into marked strings; `None` if it has
/// none.
fn mark(document: &[u8]) -> Option<Vec<u8>> {
    let mut marked = Vec::new();
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
        } else if let Some(token) = beyond(rest) {
            marked.extend_from_slice(document.get(copied..position)?);
            marked.extend_from_slice(SPELLED_MARK);
            marked.extend_from_slice(token);
            marked.push(b'"');
            position += token.len();
            copied = position;
        } else {
            in_string = rest.starts_with(b"\"");
            position += digits(rest).len().max(1);
        }
    }
    marked.extend_from_slice(document.get(copied..)?);
    (marked.len() > document.len()).then_some(marked)
}

/// What `text` starts with, if that is a number to Python that a [`Value`] cannot hold.
fn beyond(text: &[u8]) -> Option<&[u8]> {
    let token = NON_FINITE.into_iter().find(|token| text.starts_with(token));
    let token = token.unwrap_or_else(|| digits(text));
    is_beyond(token).then_some(token)
}

/// Whether this is a number to Python that a [`Value`] cannot hold.
fn is_beyond(token: &[u8]) -> bool {
    // As many digits always fit.
    if token.len() < 4 || (token.len() < 19 && !token.contains(&b'e') && !token.contains(&b'E')) {
        return NON_FINITE.contains(&token);
    }
    let Ok(text) = std::str::from_utf8(token) else { return false };
    let is_whole = !token.iter().any(|byte| b".eE".contains(byte));
    let is_held = if is_whole {
        text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok()
    } else {
        text.parse::<f64>().is_ok_and(f64::is_finite)
    };
    NON_FINITE.contains(&token) || (!is_held && is_number(token))
}

/// The characters of a number that `text` starts with.
fn digits(text: &[u8]) -> &[u8] {
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

/// The text of a document, indented by two spaces: strict JSON, but for numbers that [`parse`] found and
/// JSON lacks.
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    let text = format!("{value:#}").into_bytes();
    let mut written = Vec::new();
    let mut copied = 0;
    while let Some(start) = find_mark(&text, copied) {
        let token = &text[start + SPELLED_MARK.len()..];
        let token = &token[..token.iter().position(|&byte| byte == b'"').unwrap_or(token.len())];
        let end = start + SPELLED_MARK.len() + token.len();
        // A key is no number.
        let is_value = text.get(end + 1) != Some(&b':');
        if is_value && is_beyond(token) {
            written.extend_from_slice(&text[copied..start]);
            written.extend_from_slice(token);
            copied = end + 1;
        } else {
            written.extend_from_slice(&text[copied..end]);
            copied = end;
        }
    }
    written.extend_from_slice(&text[copied..]);
    written
}

/// Where the next string that starts with the mark starts.
fn find_mark(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut starts = rest.windows(SPELLED_MARK.len()).enumerate();
    // After a backslash the quote is inside a string.
    let is_start = |&(at, window): &(usize, &[u8])| {
        window == SPELLED_MARK && (at == 0 || rest[at - 1] != b'\\')
    };
    starts.find(is_start).map(|(at, _)| from + at)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn numbers_that_no_value_holds_are_kept() {
        let long = "9".repeat(400);
        for token in ["NaN", "Infinity", "-Infinity", "1e400", "-1.5E+999", "-1E400", &long]
            .into_iter()
            .chain([
                "18446744073709551616",
                "-9223372036854775809",
                "123456789012345678901234567890",
            ])
        {
            let document =
                format!(r#"{{"a": {token}, "b": [1, {{"x \" y": {token}}}], "c": "{token}\\"}}"#);
            let value = parse(document.as_bytes()).unwrap();
            assert_eq!(number(&value["a"]), Some(token));
            assert_eq!(number(&value["b"][1]["x \" y"]), Some(token));
            assert_eq!(value["c"], format!("{token}\\"));
            assert_eq!(from_number(token).as_ref(), Some(&value["a"]));
            assert_eq!(spelled(&value["b"][1]["x \" y"]), token);
            let text = to_vec(&value);
            assert_eq!(parse(&text).unwrap(), value);
            assert_eq!(
                text.windows(token.len()).filter(|part| *part == token.as_bytes()).count(),
                3
            );
            assert!(!text.contains(&0) && !String::from_utf8(text).unwrap().contains("u0000"));
        }
    }

    #[test]
    fn numbers_that_values_hold_are_values() {
        let text =
            "[18446744073709551615, -9223372036854775808, 1e308, 1e3, 0.00000000000000000001]";
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(value[0], u64::MAX);
        assert_eq!(value[1], i64::MIN);
        assert!(value.as_array().unwrap().iter().all(Value::is_number));
        for wrong in ["01e400", "1.e400", ".1e400", "+1e400", "1e400-", "--1e400", "1e4e400"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
            assert_eq!(from_number(wrong), None);
        }
    }

    // Keys, and strings that only look like it, stay strings.
    #[test]
    fn what_is_no_number_is_written_as_a_string() {
        for value in [
            json!({ format!("{MARK}NaN"): 1 }),
            json!(format!("{MARK}NaN, \"x\": 1")),
            json!(format!("\"{MARK}NaN")),
            json!([format!("{MARK}12"), format!("{MARK}")]),
        ] {
            assert_eq!(serde_json::from_slice::<Value>(&to_vec(&value)).unwrap(), value);
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
