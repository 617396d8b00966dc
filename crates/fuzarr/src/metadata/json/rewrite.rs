//! Documents that are changed in part: what stays, stays byte for byte.
//!
//! A number that no [`Value`] holds, such as an integer beyond 64 bits or one of Python's bare `NaN`,
//! therefore survives a change beside it.

use serde_json::Value;

use super::to_vec;

/// The text of `new`, in which all that is the same in `old` is spelled as in `text`, that of `old`.
pub(crate) fn rewrite(text: &[u8], old: &Value, new: &Value) -> Vec<u8> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut written = Vec::new();
    write(Some((text, old)), new, "\n", &mut written);
    written
}

/// Writes `new`. `line` is what starts a line at its depth.
fn write(old: Option<(&[u8], &Value)>, new: &Value, line: &str, written: &mut Vec<u8>) {
    let Some((text, old)) = old else { return write_anew(new, line, written) };
    if old == new {
        written.extend_from_slice(text.trim_ascii());
        return;
    }
    let (Value::Object(old), Value::Object(new), Some(texts)) = (old, new, members(text)) else {
        return write_anew(new, line, written);
    };
    if new.is_empty() {
        written.extend_from_slice(b"{}");
        return;
    }
    let inner = format!("{line}  ");
    let mut separator = "{";
    for (key, value) in new {
        written.extend_from_slice(separator.as_bytes());
        written.extend_from_slice(inner.as_bytes());
        written.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
        written.extend_from_slice(b": ");
        // The last of duplicates is the one that counts.
        let text = texts.iter().rev().find(|(name, _)| name == key).map(|(_, text)| *text);
        write(text.zip(old.get(key)), value, &inner, written);
        separator = ",";
    }
    written.extend_from_slice(line.as_bytes());
    written.push(b'}');
}

/// Writes a value that was not there.
fn write_anew(new: &Value, line: &str, written: &mut Vec<u8>) {
    // Line ends are between values only: in strings they are escaped.
    for (number, text) in to_vec(new).split(|&byte| byte == b'\n').enumerate() {
        if number > 0 {
            written.extend_from_slice(line.as_bytes());
        }
        written.extend_from_slice(text);
    }
}

/// The members of an object's text with the texts of their values; `None` if it is no such text.
fn members(text: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut members = Vec::new();
    let mut rest = text.trim_ascii().strip_prefix(b"{")?.trim_ascii_start();
    while !rest.starts_with(b"}") {
        let (key, after) = rest.split_at_checked(end_of_string(rest)?)?;
        let value = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, after) = value.split_at_checked(end_of_value(value)?)?;
        members.push((serde_json::from_slice(key).ok()?, value));
        let after = after.trim_ascii_start();
        rest = after.strip_prefix(b",").unwrap_or(after).trim_ascii_start();
    }
    Some(members)
}

/// Where the string that `text` starts with ends.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    let inside = text.strip_prefix(b"\"")?;
    let end = inside.iter().position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// Where the value that `text` starts with ends.
fn end_of_value(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut position = 0;
    loop {
        let rest = text.get(position..)?;
        match rest.first()? {
            b'"' => position += end_of_string(rest)?,
            b'{' | b'[' => {
                depth += 1;
                position += 1;
            }
            b'}' | b']' if depth == 0 => return None,
            b'}' | b']' => {
                depth -= 1;
                position += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => position += 1,
            _ => position += rest.iter().position(|byte| b",:]} \t\r\n\"{[".contains(byte))?,
        }
        if depth == 0 {
            return Some(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::parse;
    use super::*;

    fn changed(text: &str, change: impl FnOnce(&mut Value)) -> String {
        let old = parse(text.as_bytes()).unwrap();
        let mut new = old.clone();
        change(&mut new);
        let written = rewrite(text.as_bytes(), &old, &new);
        assert_eq!(parse(&written).unwrap(), new);
        String::from_utf8(written).unwrap()
    }

    // Seen to fail when documents were written anew from their values.
    #[test]
    fn what_stays_is_spelled_as_it_was() {
        let text = concat!(
            "{\"zarr_format\" : 3,\n  \"attributes\": {\"huge\": 123456789012345678901234567890, ",
            "\"none\":[NaN, -Infinity ,1e400], \"a\\u0020b\": {\"x\": 1.50, \"y\": 1E2}, \"v\": 1},",
            "\n  \"codecs\": [ 1.0 ]}\n"
        );
        assert_eq!(changed(text, |_| {}), text.trim_end());
        let written = changed(text, |value| {
            value["attributes"]["a b"]["y"] = json!([2, {}]);
            value["attributes"]["v"] = json!({"w": 1});
            value["new"] = json!("\n");
        });
        let expected = r#"{
  "zarr_format": 3,
  "attributes": {
    "huge": 123456789012345678901234567890,
    "none": [NaN, -Infinity ,1e400],
    "a b": {
      "x": 1.50,
      "y": [
        2,
        {}
      ]
    },
    "v": {
      "w": 1
    }
  },
  "codecs": [ 1.0 ],
  "new": "\n"
}"#;
        assert_eq!(written, expected);
    }

    #[test]
    fn the_last_of_duplicates_is_kept() {
        let written = changed(r#"{"a": 1.0, "a": 2.0, "b": 1}"#, |value| value["b"] = json!(0));
        assert_eq!(written, "{\n  \"a\": 2.0,\n  \"b\": 0\n}");
        assert_eq!(
            changed(r#"{"a": {"b": 1}}"#, |value| value["a"] = json!({})),
            "{\n  \"a\": {}\n}"
        );
    }

    proptest! {
        #[test]
        fn any_change_reads_as_what_was_asked_for(
            old in "[\\[\\]{}\",:\\\\0-9Nae é-]{0,24}",
            new in "[\\[\\]{}\",:\\\\0-9Nae é-]{0,24}",
        ) {
            let old = format!("{{\"a\": {{\"b\": [{old}], \"c\": 1}}, \"d\": 2}}");
            let new = format!("{{\"a\": {{\"b\": 3, \"c\": [{new}]}}, \"e\": 2}}");
            if let (Ok(before), Ok(after)) = (parse(old.as_bytes()), parse(new.as_bytes())) {
                let mut merged = before.clone();
                merged["a"]["c"] = after["a"]["c"].clone();
                let written = rewrite(old.as_bytes(), &before, &merged);
                prop_assert_eq!(parse(&written).unwrap(), merged);
            }
        }
    }
}
