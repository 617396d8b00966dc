//! The header of a `.npy` file: a magic string, a version and the literal of a Python dictionary.

use fuzarr::dtype::{DataType, ElementLayout, Endian, from_numpy, to_numpy};
use fuzarr::{Error, Result};
use std::io::Read;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes of a header's text that are accepted. NumPy itself stops at 10,000.
const MAX_TEXT: usize = 65_535;
/// NumPy aligns the elements to this many bytes …
const ALIGNMENT: usize = 64;
/// … and leaves room for a first axis of this many digits.
const GROWING_AXIS_DIGITS: usize = 21;

/// The byte order of this machine.
const NATIVE: Endian = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };

#[derive(Debug)]
pub(super) struct Header {
    pub(super) shape: Vec<u64>,
    pub(super) data_type: DataType,
    pub(super) element_size: usize,
    pub(super) fortran_order: bool,
    /// Whether the numbers are in the byte order that is not this machine's.
    pub(super) swapped: bool,
}

impl Header {
    /// Reads up to the first byte of the elements.
    pub(super) fn read(reader: &mut impl Read) -> Result<Self> {
        if array(reader)? != *MAGIC {
            return Err(Error::invalid_argument("not a .npy file"));
        }
        let [major, minor] = array(reader)?;
        let length = match (major, minor) {
            (1, 0) => usize::from(u16::from_le_bytes(array(reader)?)),
            (2 | 3, 0) => usize::try_from(u32::from_le_bytes(array(reader)?)).unwrap_or(usize::MAX),
            _ => {
                let message = format!("not supported: .npy files of version {major}.{minor}");
                return Err(Error::unsupported(message));
            }
        };
        if length > MAX_TEXT {
            return Err(Error::limit(format!("a .npy header of {length} bytes")));
        }
        let mut text = vec![0; length];
        fill(reader, &mut text)?;
        // Versions 1 and 2 are Latin-1, but all that can be understood is ASCII.
        let text = std::str::from_utf8(&text).map_err(|_| malformed("text"))?;
        Literal { rest: text }.header()
    }

    /// Bytes of all elements.
    pub(super) fn length(&self) -> Result<usize> {
        if self.shape.contains(&0) {
            return Ok(0);
        }
        let multiply = |n: usize, &length| n.checked_mul(usize::try_from(length).ok()?);
        let length = self.shape.iter().try_fold(self.element_size, multiply);
        length.ok_or_else(|| Error::limit("the shape is beyond what memory can hold"))
    }

    /// The header's bytes, equal to those that NumPy writes.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let axes: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        let shape = match axes.as_slice() {
            [only] => format!("({only},)"),
            axes => format!("({})", axes.join(", ")),
        };
        let descr = descr(self.data_type)?;
        let mut text =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        if let Some(first) = axes.first() {
            text.extend(std::iter::repeat_n(' ', GROWING_AXIS_DIGITS.saturating_sub(first.len())));
        }
        let prefix = MAGIC.len() + 4;
        let padded = (prefix + text.len() + 1).next_multiple_of(ALIGNMENT) - prefix;
        let length = u16::try_from(padded)
            .map_err(|_| Error::limit(format!("{} axes in a .npy file", axes.len())))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(std::iter::repeat_n(b' ', padded - 1 - text.len()));
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(reader, &mut bytes)?;
    Ok(bytes)
}

fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<()> {
    reader.read_exact(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::invalid_argument("the file ends inside the header of a .npy file")
        }
        _ => Error::io("the file cannot be read").with_source(error),
    })
}

fn malformed(what: &str) -> Error {
    Error::invalid_argument(format!("the .npy header is malformed: {what}"))
}

/// The type string of a type in native byte order. NumPy has no `bfloat16`, and no objects are
/// written.
fn descr(data_type: DataType) -> Result<String> {
    let name = to_numpy(data_type, NATIVE).filter(|name| name.starts_with(['<', '>', '|']));
    name.ok_or_else(|| unsupported(&data_type.to_string()))
}

fn unsupported(name: &str) -> Error {
    Error::unsupported(format!("not supported: .npy files of type `{name}`"))
}

/// The type of a type string, and whether its byte order is the other one.
fn parse_descr(text: &str) -> Result<(DataType, bool)> {
    if !text.starts_with(['<', '>', '|', '=']) {
        return Err(unsupported(text));
    }
    match from_numpy(text).map_err(|error| unsupported(text).with_source(error))? {
        (data_type, Some(order)) => Ok((data_type, order != NATIVE)),
        (data_type, None) if data_type.number_size() == 1 => Ok((data_type, false)),
        _ => Err(unsupported(text)),
    }
}

/// What is left of a header's text: the literal of a dictionary with three known keys.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn header(mut self) -> Result<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.accept('}') {
            let key = self.string()?;
            self.expect(':')?;
            let repeated = match key {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(malformed("unknown key")),
            };
            if repeated {
                return Err(malformed("a key twice"));
            }
            if !self.accept(',') {
                self.expect('}')?;
                break;
            }
        }
        self.skip_space();
        let (true, Some((data_type, swapped)), Some(fortran_order), Some(shape)) =
            (self.rest.is_empty(), descr, fortran_order, shape)
        else {
            return Err(malformed("not one dictionary of descr, fortran_order and shape"));
        };
        let ElementLayout::Fixed(element_size) = data_type.layout() else {
            return Err(unsupported(&data_type.name()));
        };
        Ok(Header { shape, data_type, element_size, fortran_order, swapped })
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn accept(&mut self, character: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, character: char) -> Result<()> {
        if self.accept(character) {
            Ok(())
        } else {
            Err(malformed(&format!("`{character}` expected")))
        }
    }

    fn descr(&mut self) -> Result<(DataType, bool)> {
        self.skip_space();
        if self.rest.starts_with('[') {
            return Err(unsupported("structured"));
        }
        parse_descr(self.string()?)
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.accept('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect(quote)?;
        }
        let (string, rest) = self.rest.split_once(quote).ok_or_else(|| malformed("string"))?;
        self.rest = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool> {
        self.skip_space();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(malformed("True or False expected"))
    }

    fn shape(&mut self) -> Result<Vec<u64>> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            shape.push(self.length()?);
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }

    /// A whole number; Python 2 wrote long ones with an `L`.
    fn length(&mut self) -> Result<u64> {
        self.skip_space();
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        digits.parse().map_err(|_| malformed("length of an axis"))
    }
}
