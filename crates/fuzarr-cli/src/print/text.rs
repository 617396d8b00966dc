//! Strings and bytes as Python literals.

use fuzarr::{Error, Result};
use std::fmt::Write as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// Opaque bytes as NumPy shows its void type: every byte in hexadecimal.
pub(super) fn raw(bytes: &[u8]) -> String {
    let mut literal = String::from("b'");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(literal, "\\x{byte:02X}");
    }
    literal.push('\'');
    literal
}

/// Python's `repr` of a `bytes` object.
pub(super) fn bytes_literal(bytes: &[u8]) -> String {
    let quote = quote(bytes.contains(&b'\''), bytes.contains(&b'"'));
    let mut literal = format!("b{quote}");
    for &byte in bytes {
        if byte.is_ascii() {
            push_escaped(&mut literal, char::from(byte), quote);
        } else {
            let _ = write!(literal, "\\x{byte:02x}");
        }
    }
    literal.push(quote);
    literal
}

/// Bytes without the zeros at their end.
pub(super) fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// Python's `repr` of a `str` object.
pub(super) fn string_literal(string: &str) -> String {
    let quote = quote(string.contains('\''), string.contains('"'));
    let mut literal = String::from(quote);
    for character in string.chars() {
        push_escaped(&mut literal, character, quote);
    }
    literal.push(quote);
    literal
}

/// The string that stored bytes are.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::corrupt("a string is not UTF-8").with_source(error))
}

fn quote(single: bool, double: bool) -> char {
    if single && !double { '"' } else { '\'' }
}

fn push_escaped(literal: &mut String, character: char, quote: char) {
    let code = u32::from(character);
    let _ = match character {
        '\\' => write!(literal, "\\\\"),
        '\t' => write!(literal, "\\t"),
        '\n' => write!(literal, "\\n"),
        '\r' => write!(literal, "\\r"),
        _ if character == quote => write!(literal, "\\{quote}"),
        _ if is_printable(character) => write!(literal, "{character}"),
        _ if code <= 0xff => write!(literal, "\\x{code:02x}"),
        _ if code <= 0xffff => write!(literal, "\\u{code:04x}"),
        _ => write!(literal, "\\U{code:08x}"),
    };
}

/// Python's `str.isprintable` for one character.
fn is_printable(character: char) -> bool {
    character == ' '
        || !matches!(
            character.general_category_group(),
            GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator
        )
}
