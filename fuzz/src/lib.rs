//! What the fuzz targets share. Each target is a file of `fuzz_targets/` and a `[[bin]]`.
//!
//! The C libraries are checked too if they are built with `CFLAGS=-fsanitize=address` (and
//! `CXXFLAGS`) and run with `ASAN_OPTIONS=detect_odr_violation=0`: gcc counts a constant of
//! libdeflate twice. The fixtures of `crates/fuzarr/tests/fixtures/codec` make good seeds.

use fuzarr::Kind;
use fuzarr::codec::BytesToBytes;

/// The most that a target lets decode.
const LIMIT: u64 = 1 << 20;

/// Decodes hostile bytes in both ways, which must agree and stay within their bounds; then a round
/// trip of what came out.
pub fn decode(codec: &dyn BytesToBytes, encoded: &[u8]) {
    let mut decoded = Vec::new();
    if let Err(error) = codec.decode(encoded, LIMIT, &mut decoded) {
        // A stream of lzma may ask for more memory than it is given.
        assert!(matches!(error.kind(), Kind::Corrupt | Kind::Limit), "{error}");
        assert_eq!(error.context("codec"), Some(codec.name()));
        assert!(decoded.len() as u64 <= LIMIT);
        let mut guess = vec![0; 4096];
        let _ = codec.decode_into(encoded, &mut guess);
        codec.decode_part(encoded, 4096, 64..128, &mut guess);
        return;
    }
    assert!(decoded.len() as u64 <= LIMIT);
    let mut exact = vec![0; decoded.len()];
    codec.decode_into(encoded, &mut exact).expect("decodes when its size is known");
    assert_eq!(exact, decoded);
    let mut longer = vec![0; decoded.len() + 1];
    assert!(codec.decode_into(encoded, &mut longer).is_err());
    if let Some(shorter) = exact.len().checked_sub(1) {
        assert!(codec.decode_into(encoded, &mut exact[..shorter]).is_err());
    }
    let wanted = exact.len() / 3..exact.len() / 2;
    let mut part = Vec::new();
    if codec.decode_part(encoded, exact.len(), wanted.clone(), &mut part) {
        assert_eq!(part[..wanted.len()], decoded[wanted]);
    }
    if let Some(view) = codec.view(encoded) {
        assert_eq!(encoded[view.expect("decodes")], decoded);
    }
    let mut again = Vec::new();
    codec.encode(&decoded, &mut again).expect("encodes");
    let mut back = vec![1; decoded.len()];
    codec.decode_into(&again, &mut back).expect("decodes what it encoded");
    assert_eq!(back, decoded);
}
