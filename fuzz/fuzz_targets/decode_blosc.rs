//! Hostile bytes for the codec `blosc`.
#![no_main]

use fuzarr::codec::{Blosc, BloscCompressor, BloscShuffle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|encoded: &[u8]| {
    fuzarr_fuzz::decode(
        &Blosc::new(BloscCompressor::Lz4, 1, BloscShuffle::Bits, 4, 0).expect("in range"),
        encoded,
    );
});
