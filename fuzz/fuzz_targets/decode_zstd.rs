//! Hostile bytes for the codec `zstd`.
#![no_main]

use fuzarr::codec::Zstd;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|encoded: &[u8]| {
    fuzarr_fuzz::decode(&Zstd::new(1, true).expect("in range"), encoded);
});
