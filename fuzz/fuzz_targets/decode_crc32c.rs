//! Hostile bytes for the codec `crc32c`.
#![no_main]

use fuzarr::codec::Crc32c;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|encoded: &[u8]| {
    fuzarr_fuzz::decode(&Crc32c::new(), encoded);
});
