//! The `bz2` codec of numcodecs: bzip2 streams, one after another.

use bzip2::{Action, Compress, Compression, Decompress, Status};

use super::stream::{self, Step, Stream, advance};
use super::{BytesToBytes, Size, bound};
use crate::error::{Error, Result};
use crate::metadata::Extension;

const NAME: &str = "bz2";
const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;
/// What every stream starts with.
const MAGIC: &[u8] = b"BZh";
/// Input that the library is given at once: it counts in 32 bits.
const LARGEST_STEP: usize = 1 << 30;

/// The `bz2` codec of numcodecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bz2 {
    level: u8,
}

impl Bz2 {
    /// The codec; the level is the size of blocks in 100 kB.
    ///
    /// # Errors
    /// `InvalidMetadata` if `level` is not in 1…9.
    pub fn new(level: u8) -> Result<Self> {
        if LEVELS.contains(&level) {
            return Ok(Self { level });
        }
        let message = format!("level {level} is not in 1…9");
        Err(Error::invalid_metadata(message).with("codec", NAME))
    }

    /// The codec that `extension` configures; an absent level is 1, as numcodecs has it.
    ///
    /// # Errors
    /// `InvalidMetadata` for a level out of range or an unknown setting.
    pub fn from_extension(extension: &Extension) -> Result<Self> {
        let parse = || {
            extension.allow_only(&["level"])?;
            let level = extension.integer("level")?.unwrap_or(1);
            Self::new(u8::try_from(level).unwrap_or(u8::MAX))
        };
        parse().map_err(|error| error.with("codec", NAME))
    }
}

impl Stream for Compress {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step> {
        let (read, written) = (self.total_in(), self.total_out());
        let status = match input.get(..LARGEST_STEP) {
            Some(part) => self.compress(part, output, Action::Run),
            None => self.compress(input, output, Action::Finish),
        }
        .map_err(|error| Error::limit("bzip2 could not encode").with_source(error))?;
        Ok(Step {
            read: advance(read, self.total_in()),
            written: advance(written, self.total_out()),
            ended: status == Status::StreamEnd,
        })
    }
}

impl Stream for Decompress {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step> {
        let (read, written) = (self.total_in(), self.total_out());
        let input = input.get(..LARGEST_STEP).unwrap_or(input);
        let ended = match self.decompress(input, output) {
            Ok(Status::MemNeeded) => return Err(Error::limit("no memory for a bzip2 stream")),
            Ok(status) => status == Status::StreamEnd,
            Err(error) => return Err(Error::corrupt("damaged bzip2 stream").with_source(error)),
        };
        Ok(Step {
            read: advance(read, self.total_in()),
            written: advance(written, self.total_out()),
            ended,
        })
    }
}

/// A decoder of the stream at the start of `encoded`. Other bytes after a stream are ignored, as
/// Python's `bz2` does.
fn open(encoded: &[u8]) -> Option<Result<Decompress>> {
    encoded.starts_with(MAGIC).then(|| Ok(Decompress::new(false)))
}

impl BytesToBytes for Bz2 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        bound::generous(decoded)
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        let mut compressor = Compress::new(Compression::new(self.level.into()), 0);
        stream::encode(&mut compressor, decoded, encoded).map_err(|error| error.with("codec", NAME))
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        stream::decode_into(encoded, decoded, open).map_err(|error| error.with("codec", NAME))
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        stream::decode(encoded, limit, decoded, open).map_err(|error| error.with("codec", NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn streams_follow_each_other_until_something_else_does() {
        let codec = Bz2::new(9).unwrap();
        let mut encoded = Vec::new();
        for part in [&b"one"[..], b"", b"two"] {
            codec.encode(part, &mut encoded).unwrap();
        }
        encoded.extend_from_slice(b"beyond");
        let mut decoded = Vec::new();
        codec.decode(&encoded, 6, &mut decoded).unwrap();
        assert_eq!(decoded, b"onetwo");
        let error = codec.decode(&encoded, 5, &mut decoded).unwrap_err();
        assert_eq!(error.message(), "decodes to more than 5 bytes");
    }

    #[test]
    fn levels_are_checked() {
        let level = |level: i64| Bz2::from_extension(&Extension::new("bz2").with("level", level));
        assert_eq!(Bz2::from_extension(&Extension::new("bz2")).unwrap(), Bz2::new(1).unwrap());
        for wrong in [0, 10, -1, 257] {
            assert_eq!(level(wrong).unwrap_err().kind(), Kind::InvalidMetadata);
        }
    }
}
