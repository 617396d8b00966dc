//! The records of a zip archive (APPNOTE.TXT 6.3, section 4.3), read and written. Numbers are
//! little-endian; those that do not fit 16 or 32 bits are all ones, and stand in the extra field of
//! zip64 (4.5.3) or its end record (4.3.14).

use crate::error::{Error, Result};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
pub(super) const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Bytes of the records, without names and what else varies.
pub(super) const LOCAL_SIZE: u64 = 30;
pub(super) const CENTRAL_SIZE: u64 = 46;
pub(super) const END_SIZE: usize = 22;
pub(super) const END_64_SIZE: u64 = 56;
pub(super) const LOCATOR_SIZE: usize = 20;

/// The id of zip64's extra field.
const EXTRA_64: u16 = 1;
/// The version of the format that knows it, and the one that knows the rest.
const VERSION_64: u16 = 45;
const VERSION: u16 = 20;
/// Made on Unix, so that the attributes are those of a file there.
const MADE_ON_UNIX: u16 = 3 << 8;
/// A regular file that all may read and its owner may write.
const PLAIN_FILE: u32 = 0o100_644 << 16;
/// The first day that the format knows: archives of the same content are the same.
const FIRST_DAY: u16 = 1 << 5 | 1;

/// Bits of [`Central::flags`].
pub(super) const ENCRYPTED: u16 = 1;
const SIZES_FOLLOW: u16 = 1 << 3;
const UTF_8: u16 = 1 << 11;

/// Numbers of [`Central::method`].
pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// Reads numbers one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(*number)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.number().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.number().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.number().map(u64::from_le_bytes)
    }
}

#[cold]
fn cut_off() -> Error {
    Error::corrupt("a record of the zip archive is cut off")
}

fn wrong(what: &str) -> Error {
    Error::corrupt(format!("there is no {what} where the zip archive says so"))
}

/// An entry in the central directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Central<'a> {
    made_by: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    time: u16,
    date: u16,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    internal: u16,
    external: u32,
    /// Where the local header is.
    pub(super) offset: u64,
    pub(super) name: &'a [u8],
    extra: &'a [u8],
    comment: &'a [u8],
}

impl<'a> Central<'a> {
    /// A file of these bytes, stored as they are.
    pub(super) fn stored(name: &'a str, size: u64, crc: u32) -> Self {
        Self {
            made_by: MADE_ON_UNIX | VERSION,
            flags: if name.is_ascii() { 0 } else { UTF_8 },
            method: STORED,
            time: 0,
            date: FIRST_DAY,
            crc,
            compressed: size,
            size,
            internal: 0,
            external: PLAIN_FILE,
            offset: 0,
            name: name.as_bytes(),
            extra: &[],
            comment: &[],
        }
    }

    /// Reads a record.
    pub(super) fn read(fields: &mut Fields<'a>) -> Result<Self> {
        if fields.u32()? != CENTRAL {
            return Err(wrong("entry of the directory"));
        }
        let made_by = fields.u16()?;
        let _needed = fields.u16()?;
        let (flags, method, time, date) =
            (fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?);
        let (crc, compressed, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let lengths = [fields.u16()?, fields.u16()?, fields.u16()?].map(usize::from);
        let disk = fields.u16()?;
        let (internal, external, offset) = (fields.u16()?, fields.u32()?, fields.u32()?);
        let [name, extra, comment] = lengths;
        let (name, extra, comment) =
            (fields.take(name)?, fields.take(extra)?, fields.take(comment)?);
        let mut wide = Fields(extra_64(extra));
        let mut widen = |narrow: u32| {
            if narrow == u32::MAX { wide.u64() } else { Ok(u64::from(narrow)) }
        };
        let (size, compressed, offset) = (widen(size)?, widen(compressed)?, widen(offset)?);
        if disk != 0 && !(disk == u16::MAX && matches!(wide.u32(), Ok(0))) {
            return Err(Error::unsupported("the zip archive is of several parts"));
        }
        Ok(Self {
            made_by,
            flags,
            method,
            time,
            date,
            crc,
            compressed,
            size,
            internal,
            external,
            offset,
            name,
            extra,
            comment,
        })
    }

    /// The name as text: UTF-8 if the entry says so, else code page 437 (appendix D).
    pub(super) fn text(&self) -> Result<String> {
        if self.flags & UTF_8 == 0 {
            return Ok(self.name.iter().map(|byte| code_page_437(*byte)).collect());
        }
        let text = std::str::from_utf8(self.name);
        text.map(str::to_owned).map_err(|_| Error::corrupt("the name of an entry is not UTF-8"))
    }

    /// The same entry with its local header elsewhere.
    pub(super) fn at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The same entry of another name: what was said of the old one elsewhere goes.
    pub(super) fn named(self, name: &'a str) -> Self {
        let utf_8 = if name.is_ascii() { 0 } else { UTF_8 };
        let flags = self.flags & !(UTF_8 | SIZES_FOLLOW) | utf_8;
        Self { name: name.as_bytes(), flags, extra: &[], ..self }
    }

    fn needed(&self, is_wide: bool) -> u16 {
        if is_wide { VERSION_64 } else { VERSION }
    }

    /// The fields that local headers have too, as far as the lengths of name and extra field.
    fn common(&self, is_wide: bool, extra: usize, to: &mut Vec<u8>) {
        put_16(to, &[self.needed(is_wide), self.flags, self.method, self.time, self.date]);
        put_32(to, &[self.crc, narrow(self.compressed), narrow(self.size)]);
        put_16(to, &[length(self.name), short(extra as u64)]);
    }

    /// Writes the record.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let mut wide = Vec::new();
        let numbers = [self.size, self.compressed, self.offset];
        for number in numbers.into_iter().filter(|number| narrow(*number) == u32::MAX) {
            wide.extend_from_slice(&number.to_le_bytes());
        }
        let is_wide = !wide.is_empty();
        let mut extra = Vec::new();
        if is_wide {
            put_16(&mut extra, &[EXTRA_64, length(&wide)]);
            extra.extend_from_slice(&wide);
        }
        for (id, field) in extra_fields(self.extra).filter(|(id, _)| *id != EXTRA_64) {
            // What there is no room for beside the numbers is left out.
            if extra.len() + field.len() + 4 <= usize::from(u16::MAX) {
                put_16(&mut extra, &[id, length(field)]);
                extra.extend_from_slice(field);
            }
        }
        put_32(to, &[CENTRAL]);
        put_16(to, &[self.made_by]);
        self.common(is_wide, extra.len(), to);
        put_16(to, &[length(self.comment), 0, self.internal]);
        put_32(to, &[self.external, narrow(self.offset)]);
        to.extend_from_slice(self.name);
        to.extend_from_slice(&extra);
        to.extend_from_slice(self.comment);
    }

    /// The local header.
    pub(super) fn local(&self) -> Vec<u8> {
        let is_wide = [self.size, self.compressed].map(narrow).contains(&u32::MAX);
        let mut extra = Vec::new();
        if is_wide {
            // Here both stand, whichever needs to (4.5.3).
            put_16(&mut extra, &[EXTRA_64, 16]);
            extra.extend_from_slice(&self.size.to_le_bytes());
            extra.extend_from_slice(&self.compressed.to_le_bytes());
        }
        let mut header = Vec::new();
        put_32(&mut header, &[LOCAL]);
        if is_wide {
            let both = Self { size: u64::MAX, compressed: u64::MAX, ..self.clone() };
            both.common(true, extra.len(), &mut header);
        } else {
            self.common(false, 0, &mut header);
        }
        header.extend_from_slice(self.name);
        header.extend_from_slice(&extra);
        header
    }
}

/// How long a local header is, whose start these bytes are: it must be of an entry of this name and
/// method.
pub(super) fn local_length(header: &[u8], name: &[u8], method: u16) -> Result<u64> {
    let mut fields = Fields(header);
    if fields.u32()? != LOCAL {
        return Err(wrong("header of an entry"));
    }
    let (_needed, _flags, found) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.take(16)?;
    let (length, extra) = (fields.u16()?, fields.u16()?);
    if found != method || fields.take(usize::from(length))? != name {
        return Err(Error::corrupt("the header is of another entry than the directory says"));
    }
    Ok(LOCAL_SIZE + u64::from(length) + u64::from(extra))
}

/// Where the central directory is, as the end of the archive says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
    /// Whether the numbers are all that there is to say, or zip64 has others.
    pub(super) is_narrow: bool,
}

impl End {
    /// Reads the end record.
    pub(super) fn read(record: &[u8]) -> Result<Self> {
        let mut fields = Fields(record);
        if fields.u32()? != END {
            return Err(wrong("end of the directory"));
        }
        let (disk, first) = (fields.u16()?, fields.u16()?);
        let (here, entries) = (fields.u16()?, fields.u16()?);
        let (size, offset) = (fields.u32()?, fields.u32()?);
        let is_narrow = entries != u16::MAX && size != u32::MAX && offset != u32::MAX;
        if is_narrow && (disk != 0 || first != 0 || here != entries) {
            return Err(Error::unsupported("the zip archive is of several parts"));
        }
        Ok(Self { entries: entries.into(), size: size.into(), offset: offset.into(), is_narrow })
    }

    /// Reads the end record of zip64.
    pub(super) fn read_64(record: &[u8]) -> Result<Self> {
        let mut fields = Fields(record);
        if fields.u32()? != END_64 {
            return Err(wrong("end of the directory of zip64"));
        }
        let _length = fields.u64()?;
        fields.take(4)?;
        let (disk, first) = (fields.u32()?, fields.u32()?);
        let (here, entries) = (fields.u64()?, fields.u64()?);
        if disk != 0 || first != 0 || here != entries {
            return Err(Error::unsupported("the zip archive is of several parts"));
        }
        Ok(Self { entries, size: fields.u64()?, offset: fields.u64()?, is_narrow: true })
    }

    /// Writes what follows the central directory, which ends at `end`.
    pub(super) fn write(&self, end: u64, comment: &[u8], to: &mut Vec<u8>) {
        let is_wide = self.entries >= u64::from(u16::MAX)
            || [self.size, self.offset].map(narrow).contains(&u32::MAX);
        if is_wide {
            put_32(to, &[END_64]);
            to.extend_from_slice(&(END_64_SIZE - 12).to_le_bytes());
            put_16(to, &[MADE_ON_UNIX | VERSION_64, VERSION_64]);
            put_32(to, &[0, 0]);
            for number in [self.entries, self.entries, self.size, self.offset] {
                to.extend_from_slice(&number.to_le_bytes());
            }
            put_32(to, &[LOCATOR_64, 0]);
            to.extend_from_slice(&end.to_le_bytes());
            put_32(to, &[1]);
        }
        put_32(to, &[END]);
        put_16(to, &[0, 0, short(self.entries), short(self.entries)]);
        put_32(to, &[narrow(self.size), narrow(self.offset)]);
        put_16(to, &[length(comment)]);
        to.extend_from_slice(comment);
    }
}

/// Where the locator says that the end record of zip64 is; `None` if these bytes are none.
pub(super) fn locator(bytes: &[u8]) -> Result<Option<u64>> {
    let mut fields = Fields(bytes);
    if fields.u32()? != LOCATOR_64 {
        return Ok(None);
    }
    let (disk, offset) = (fields.u32()?, fields.u64()?);
    if disk != 0 {
        return Err(Error::unsupported("the zip archive is of several parts"));
    }
    Ok(Some(offset))
}

/// The fields of an extra field, as far as they make sense.
fn extra_fields(mut extra: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let mut fields = Fields(extra);
        let (id, length) = (fields.u16().ok()?, fields.u16().ok()?);
        let field = fields.take(usize::from(length)).ok()?;
        extra = fields.0;
        Some((id, field))
    })
}

/// What zip64 has to say.
fn extra_64(extra: &[u8]) -> &[u8] {
    extra_fields(extra).find(|(id, _)| *id == EXTRA_64).map_or(&[], |(_, field)| field)
}

fn put_16(to: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
}

fn put_32(to: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
}

/// A number in 32 bits, all ones if it does not fit.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn short(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// The length of what is at most as long as 16 bits can say.
fn length(bytes: &[u8]) -> u16 {
    short(bytes.len() as u64)
}

fn code_page_437(byte: u8) -> char {
    const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    match byte.checked_sub(128) {
        None => char::from(byte),
        Some(upper) => UPPER.chars().nth(upper.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_page_437_has_a_letter_for_each_byte() {
        let letters: std::collections::BTreeSet<char> = (0..=255).map(code_page_437).collect();
        assert_eq!(letters.len(), 256);
        assert_eq!([0x80, 0xe1, 0xff].map(code_page_437), ['Ç', 'ß', '\u{a0}']);
    }

    #[test]
    fn numbers_beyond_32_bits_come_back() {
        for (compressed, size, offset) in [
            (7, 7, 5_000_000_000),
            (u64::from(u32::MAX), u64::from(u32::MAX), 0),
            (5 << 40, 6 << 40, 7 << 40),
            (7, 8, u64::from(u32::MAX) - 1),
        ] {
            let entry = Central { compressed, size, offset, ..Central::stored("a/ö", 0, 17) };
            let mut bytes = Vec::new();
            entry.write(&mut bytes);
            let mut fields = Fields(&bytes);
            let read = Central::read(&mut fields).unwrap();
            assert!(fields.0.is_empty());
            assert_eq!(Central { extra: &[], ..read.clone() }, entry);
            assert_eq!(read.text().unwrap(), "a/ö");
            let local = entry.local();
            assert_eq!(local_length(&local, entry.name, STORED).unwrap(), local.len() as u64);
            assert!(local_length(&local, b"other", STORED).is_err());
        }
        for entries in [65_534, 65_535, 5_000_000_000] {
            let end = End { entries, size: 46 * entries, offset: 9, is_narrow: true };
            let mut bytes = Vec::new();
            end.write(77, b"comment", &mut bytes);
            let tail = bytes.len() - 7 - END_SIZE;
            let narrow = End::read(&bytes[tail..]).unwrap();
            assert_eq!(narrow.is_narrow, entries < 65_535);
            if narrow.is_narrow {
                assert_eq!(narrow, end);
                continue;
            }
            assert_eq!(locator(&bytes[tail - LOCATOR_SIZE..]).unwrap(), Some(77));
            assert_eq!(End::read_64(&bytes).unwrap(), end);
        }
    }
}
