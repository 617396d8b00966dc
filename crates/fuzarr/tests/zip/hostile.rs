//! Damaged archives, and archives that lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use fuzarr::Kind;
use fuzarr::store::{MemoryStore, Store, ZipOptions, ZipStore};

use super::{KEY, MIXED, archive, get, keys, kind, put};

/// What can be read of an archive, and the kinds of errors for the rest.
fn contents(bytes: &[u8]) -> Result<BTreeMap<String, Result<Vec<u8>, Kind>>, Kind> {
    let store = archive(bytes);
    let keys = keys(&store, "").map_err(|error| error.kind())?;
    Ok(keys
        .into_iter()
        .map(|key| {
            let read = get(&store, &key).map(Option::unwrap).map_err(|error| error.kind());
            (key, read)
        })
        .collect())
}

fn is_typed(kind: Kind) -> bool {
    matches!(kind, Kind::Corrupt | Kind::Unsupported | Kind::Limit)
}

#[test]
fn what_is_cut_off_is_an_error() {
    for length in 0..MIXED.len() {
        assert_eq!(contents(&MIXED[..length]).unwrap_err(), Kind::Corrupt, "{length}");
        // Also if it is the beginning that is missing.
        match contents(&MIXED[MIXED.len() - length..]) {
            Ok(_) => panic!("{length}"),
            Err(kind) => assert!(is_typed(kind), "{length}: {kind:?}"),
        }
    }
}

#[test]
fn flipped_bits_give_errors_or_the_right_bytes() {
    let sound = contents(MIXED).unwrap();
    let (mut errors, mut harmless) = (0, 0);
    for place in 0..MIXED.len() {
        for bit in 0..8 {
            let mut bytes = MIXED.to_vec();
            bytes[place] ^= 1 << bit;
            let Ok(found) = contents(&bytes).map_err(|kind| assert!(is_typed(kind))) else {
                errors += 1;
                continue;
            };
            harmless += usize::from(found == sound);
            for (key, read) in found {
                match read {
                    // Another name is another entry: nothing tells that it was not meant.
                    Ok(bytes) => {
                        let known = sound.values().any(|sound| sound.as_ref() == Ok(&bytes))
                            || bytes == b"the first";
                        assert!(known, "{place}.{bit}: {key}");
                    }
                    Err(kind) => assert!(is_typed(kind), "{place}.{bit}: {key}: {kind:?}"),
                }
            }
        }
    }
    assert!(errors > 1000 && harmless > 100, "{errors} {harmless}");
}

/// The places of a record's signature.
fn places(bytes: &[u8], signature: [u8; 4]) -> Vec<usize> {
    let at = |place: &usize| bytes[*place..].starts_with(&signature);
    (0..bytes.len()).filter(at).collect()
}

/// An archive of two stored entries, `a` and `b`.
fn two() -> Vec<u8> {
    let memory = Arc::new(MemoryStore::new());
    let inside = Arc::<MemoryStore>::clone(&memory);
    let store = ZipStore::new(inside, KEY, ZipOptions::default());
    put(&store, "a", b"first");
    put(&store, "b", b"second");
    store.close().unwrap();
    get(&*memory, KEY).unwrap().unwrap()
}

fn patched(bytes: &[u8], changes: &[(usize, &[u8])]) -> ZipStore {
    let mut bytes = bytes.to_vec();
    for (place, change) in changes {
        bytes[*place..place + change.len()].copy_from_slice(change);
    }
    archive(&bytes)
}

#[test]
fn lies_are_found_out() {
    let bytes = two();
    let central = places(&bytes, *b"PK\x01\x02");
    let end = places(&bytes, *b"PK\x05\x06")[0];
    let (first, second) = (central[0], central[1]);
    // An entry that reaches into the next, or the directory; two at one place; one behind the end.
    let long = 6_u32.to_le_bytes();
    let into_next = patched(&bytes, &[(first + 20, &long), (first + 24, &long)]);
    assert_eq!(kind(get(&into_next, "a")), Kind::Corrupt);
    assert_eq!(get(&into_next, "b").unwrap().unwrap(), b"second");
    let huge = 0xffff_fffe_u32.to_le_bytes();
    let behind = patched(&bytes, &[(second + 20, &huge), (second + 24, &huge)]);
    assert_eq!(kind(get(&behind, "b")), Kind::Corrupt);
    let same_place = patched(&bytes, &[(second + 42, &0_u32.to_le_bytes())]);
    assert_eq!(kind(get(&same_place, "a")), Kind::Corrupt);
    assert_eq!(kind(get(&same_place, "b")), Kind::Corrupt);
    let outside = patched(&bytes, &[(second + 42, &huge)]);
    assert_eq!(kind(keys(&outside, "")), Kind::Corrupt);
    // Deflated bytes that would make more than deflate can.
    let deflated = 8_u16.to_le_bytes();
    let bomb =
        [(second + 10, &deflated[..]), (second + 24, &huge), (bytes_of(&bytes, 1), &deflated)];
    assert_eq!(kind(get(&patched(&bytes, &bomb), "b")), Kind::Corrupt);
    // Numbers of entries, and sizes of the directory.
    for count in [0_u16, 1, 3, 65_534] {
        let count = count.to_le_bytes();
        let lying = patched(&bytes, &[(end + 8, &count), (end + 10, &count)]);
        assert_eq!(kind(keys(&lying, "")), Kind::Corrupt);
    }
    for size in [0_u32, 1, 1 << 20, 0xffff_fffe] {
        let lying = patched(&bytes, &[(end + 12, &size.to_le_bytes())]);
        assert!(is_typed(kind(keys(&lying, ""))), "{size}");
    }
    let encrypted = patched(&bytes, &[(second + 8, &[1])]);
    let error = get(&encrypted, "b").unwrap_err();
    assert_eq!((error.kind(), error.context("key")), (Kind::Unsupported, Some("b")));
    let parts = patched(&bytes, &[(end + 4, &[1])]);
    assert_eq!(kind(keys(&parts, "")), Kind::Unsupported);
}

/// Where the method stands in the local header of an entry.
fn bytes_of(bytes: &[u8], entry: usize) -> usize {
    places(bytes, *b"PK\x03\x04")[entry] + 8
}

#[test]
fn names_that_lead_out_are_no_keys_and_never_lost() {
    let memory = Arc::new(MemoryStore::new());
    let inside: Arc<dyn Store> = Arc::<MemoryStore>::clone(&memory) as Arc<dyn Store>;
    let store = ZipStore::new(inside, KEY, ZipOptions::default());
    put(&store, "ab/cd", b"first");
    put(&store, "ok", b"second");
    store.close().unwrap();
    let bytes = get(&*memory, KEY).unwrap().unwrap();
    let mut hostile = bytes.clone();
    for place in places(&bytes, *b"ab/c") {
        hostile[place..place + 3].copy_from_slice(b"../");
    }
    put(&*memory, KEY, &hostile);
    assert_eq!(keys(&store, "").unwrap(), ["ok"]);
    assert_eq!(get(&store, "ok").unwrap().unwrap(), b"second");
    assert_eq!(kind(get(&store, "../cd")), Kind::InvalidArgument);
    put(&store, "new", b"third");
    assert_eq!(kind(store.close()), Kind::Unsupported);
    assert_eq!(get(&*memory, KEY).unwrap().unwrap(), hostile);
}
