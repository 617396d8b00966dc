//! A codec of one's own, in the inner chunks of a sharded array.
//!
//! ```text
//! cargo run -p fuzarr --example own_codec
//! ```

use std::sync::Arc;

use fuzarr::codec::{BytesToBytes, Codec, Registry, Size};
use fuzarr::dtype::DataType;
use fuzarr::metadata::Extension;
use fuzarr::store::{MemoryStore, Store};
use fuzarr::{Array, Error, Group, Kind, Result, Selection};

/// Replaces runs of a byte by the byte and how often it comes, less one.
#[derive(Debug)]
struct RunLengths {
    longest: u8,
}

impl RunLengths {
    fn from_extension(extension: &Extension) -> Result<Self> {
        extension.allow_only(&["longest"])?;
        let longest = extension.integer("longest")?.unwrap_or(256);
        let less_one = longest.checked_sub(1).and_then(|longest| u8::try_from(longest).ok());
        let out_of_range = || Error::invalid_metadata("`longest` is not from 1 to 256");
        less_one.map(|longest| Self { longest }).ok_or_else(out_of_range)
    }
}

/// The runs of encoded bytes.
fn runs(encoded: &[u8]) -> Result<impl Iterator<Item = (u8, usize)> + '_> {
    let (pairs, rest) = encoded.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::corrupt("a run is cut off").with("codec", "example.runs"));
    }
    Ok(pairs.iter().map(|&[byte, more]| (byte, usize::from(more) + 1)))
}

fn wrong_size() -> Error {
    Error::corrupt("the runs are more or fewer bytes than the chunk has")
        .with("codec", "example.runs")
}

impl BytesToBytes for RunLengths {
    fn name(&self) -> &'static str {
        "example.runs"
    }

    fn encoded_size(&self, decoded: Size) -> Size {
        Size::AtMost(decoded.limit().saturating_mul(2))
    }

    fn encode(&self, decoded: &[u8], encoded: &mut Vec<u8>) -> Result<()> {
        // What is in `encoded` already belongs to others.
        let mut rest = decoded;
        while let Some((&byte, after)) = rest.split_first() {
            let same = after.iter().take(self.longest.into()).take_while(|&&next| next == byte);
            let more = same.fold(0, |more: u8, _| more.saturating_add(1));
            encoded.extend([byte, more]);
            rest = &after[more.into()..];
        }
        Ok(())
    }

    fn decode_into(&self, encoded: &[u8], decoded: &mut [u8]) -> Result<()> {
        let mut rest = decoded;
        for (byte, count) in runs(encoded)? {
            let (run, after) = rest.split_at_mut_checked(count).ok_or_else(wrong_size)?;
            run.fill(byte);
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(wrong_size()) }
    }

    fn decode(&self, encoded: &[u8], limit: u64, decoded: &mut Vec<u8>) -> Result<()> {
        decoded.clear();
        for (byte, count) in runs(encoded)? {
            if (decoded.len() + count) as u64 > limit {
                return Err(wrong_size());
            }
            decoded.resize(decoded.len() + count, byte);
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut registry = Registry::default();
    registry.register("example.runs", |extension, _nested| {
        Ok(Codec::BytesToBytes(Arc::new(RunLengths::from_extension(extension)?)))
    });

    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let codecs = vec![
        Extension::new("bytes"),
        Extension::new("example.runs").with("longest", 200),
        Extension::new("crc32c"),
    ];
    Array::builder([1000, 1000], DataType::UInt8)
        .chunks([50, 50])
        .shards([500, 500])
        .codecs(codecs)
        .registry(registry.clone())
        .create(Arc::clone(&store), "runs")?;

    let group = Group::open(Arc::clone(&store), "")?.with_registry(registry);
    let array = group.array("runs")?;
    array.write(&Selection::parse("100:900, 100:900")?, 7_u8)?;
    let read = array.read::<u8>(&Selection::parse("90:110, 500")?)?;
    assert_eq!(read.sum(), 10 * 7);
    let stored =
        store.open("runs/c/0/0").wait()?.and_then(|object| object.size()).unwrap_or_default();
    println!("a shard of 250000 bytes takes {stored}");
    assert!(stored < 20_000);

    // Without the codec the array cannot be opened, and the error says why.
    let error = Array::open(store, "runs").err().map(|error| error.kind());
    assert_eq!(error, Some(Kind::Unsupported));
    Ok(())
}
