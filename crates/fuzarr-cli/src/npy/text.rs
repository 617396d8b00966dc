//! Elements of variable size as NumPy's types of fixed size hold them: text as `U`, bytes as `S`, each
//! as long as the longest.

use super::Npy;
use fuzarr::codec::Elements;
use fuzarr::dtype::DataType;
use fuzarr::{Error, Result};

/// Bytes that elements may take that are made as long as the longest of them.
const MOST: usize = 1 << 30;

/// Bytes of a character of `U`.
const CHARACTER: usize = 4;

/// The elements of an array of `string` or `bytes`, as long as the longest: their type, and their
/// bytes in native order.
///
/// # Errors
/// `Unsupported` for one that ends with a NUL, which NumPy does not tell from the padding; `Limit` if
/// they take more than 1 GiB; `Corrupt` for text that is not UTF-8.
pub fn fixed(data_type: DataType, elements: &Elements) -> Result<(DataType, Vec<u8>)> {
    let is_text = data_type == DataType::String;
    let (mut longest, mut count) = (1, 0_usize);
    for (number, element) in elements.variable().enumerate() {
        let element = element?;
        if element.last() == Some(&0) {
            let message = "not supported: a NUL at the end of an element in a .npy file";
            return Err(Error::unsupported(message).with("element", number));
        }
        longest = longest.max(if is_text { text(element)?.chars().count() } else { element.len() });
        count += 1;
    }
    let size = longest.saturating_mul(if is_text { CHARACTER } else { 1 });
    let total = size.saturating_mul(count);
    let length = u32::try_from(longest).ok().filter(|_| total <= MOST).ok_or_else(|| {
        Error::limit(format!(
            "{count} elements as long as the longest, {longest}, take {total} bytes; in a .npy file \
             they may take {MOST}"
        ))
    })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(total).map_err(|_| super::too_large())?;
    for element in elements.variable() {
        let end = bytes.len() + size;
        if is_text {
            bytes.extend(text(element?)?.chars().flat_map(native));
        } else {
            bytes.extend_from_slice(element?);
        }
        bytes.resize(end, 0);
    }
    let fixed = if is_text { DataType::FixedUnicode(length) } else { DataType::FixedBytes(length) };
    Ok((fixed, bytes))
}

fn text(element: &[u8]) -> Result<&str> {
    std::str::from_utf8(element)
        .map_err(|error| Error::corrupt("an element is not UTF-8").with_source(error))
}

#[expect(clippy::host_endian_bytes, reason = "elements in memory are of native order")]
fn native(character: char) -> [u8; CHARACTER] {
    u32::from(character).to_ne_bytes()
}

/// The elements of a file as those of an array of `data_type`: as they are, or, of `string` and
/// `bytes`, without the NULs that pad them. `None` if the file's type is another.
///
/// # Errors
/// `InvalidArgument` for a character that Unicode lacks.
pub fn elements(npy: Npy, data_type: DataType) -> Result<Option<Elements>> {
    let mut variable = Elements::default();
    match (npy.data_type, data_type) {
        (theirs, ours) if theirs == ours => {
            return Ok(Some(Elements { slots: npy.bytes, heap: Vec::new() }));
        }
        (DataType::FixedUnicode(length), DataType::String) => {
            let mut text = String::new();
            for element in npy.bytes.chunks_exact(CHARACTER * length as usize) {
                text.clear();
                for character in element.as_chunks::<CHARACTER>().0 {
                    text.push(character_of(*character)?);
                }
                variable.push_variable(text.trim_end_matches('\0').as_bytes());
            }
        }
        (DataType::FixedBytes(length), DataType::Bytes) => {
            for element in npy.bytes.chunks_exact(length as usize) {
                let end = element.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                variable.push_variable(element.get(..end).unwrap_or_default());
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(variable))
}

#[expect(clippy::host_endian_bytes, reason = "elements in memory are of native order")]
fn character_of(bytes: [u8; CHARACTER]) -> Result<char> {
    let number = u32::from_ne_bytes(bytes);
    char::from_u32(number).ok_or_else(|| {
        Error::invalid_argument(format!("the file holds U+{number:04X}, which is no character"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fuzarr::Kind;

    fn all(words: &[&[u8]]) -> Elements {
        let mut elements = Elements::default();
        words.iter().for_each(|word| elements.push_variable(word));
        elements
    }

    fn back(data_type: DataType, words: &[&[u8]]) -> (DataType, usize) {
        let (fixed, bytes) = fixed(data_type, &all(words)).unwrap();
        let (npy, length) =
            (Npy { shape: vec![], data_type: fixed, bytes: bytes.clone() }, bytes.len());
        let read = elements(npy, data_type).unwrap().unwrap();
        let read: Vec<&[u8]> = read.variable().map(Result::unwrap).collect();
        assert_eq!(read, words);
        (fixed, length)
    }

    #[test]
    fn elements_become_as_long_as_the_longest_and_back() {
        let words = ["é\0x".as_bytes(), b"", "𝄞".as_bytes()];
        assert_eq!(back(DataType::String, &words), (DataType::FixedUnicode(3), 36));
        assert_eq!(back(DataType::Bytes, &words), (DataType::FixedBytes(4), 12));
        // NumPy has no type of no length.
        assert_eq!(back(DataType::String, &[b"", b""]), (DataType::FixedUnicode(1), 8));
        assert_eq!(back(DataType::Bytes, &[]), (DataType::FixedBytes(1), 0));
    }

    #[test]
    fn what_numpy_cannot_hold_is_refused() {
        let error = |data_type, words: &[&[u8]]| fixed(data_type, &all(words)).unwrap_err();
        let nul = error(DataType::String, &[b"a", b"b\0"]);
        assert_eq!((nul.kind(), nul.context("element")), (Kind::Unsupported, Some("1")));
        assert_eq!(error(DataType::Bytes, &[b"\0"]).kind(), Kind::Unsupported);
        assert_eq!(error(DataType::String, &[b"\xff"]).kind(), Kind::Corrupt);
        let long = vec![b'x'; 1 << 20];
        let mut words: Vec<&[u8]> = vec![b""; 256];
        words.push(&long);
        assert_eq!(error(DataType::String, &words).kind(), Kind::Limit);
        assert!(fixed(DataType::Bytes, &all(&words)).is_ok());
        let beyond = Npy {
            shape: vec![1],
            data_type: DataType::FixedUnicode(1),
            // Beyond Unicode in either byte order.
            bytes: vec![0xff; 4],
        };
        assert_eq!(elements(beyond, DataType::String).unwrap_err().kind(), Kind::InvalidArgument);
        let number = Npy { shape: vec![1], data_type: DataType::Int8, bytes: vec![1] };
        assert_eq!(elements(number, DataType::String).unwrap(), None);
    }
}
