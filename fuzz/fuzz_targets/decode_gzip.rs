//! Hostile bytes for the codec `gzip`.
#![no_main]

use fuzarr::codec::Gzip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|encoded: &[u8]| {
    fuzarr_fuzz::decode(&Gzip::new(1).expect("in range"), encoded);
});
