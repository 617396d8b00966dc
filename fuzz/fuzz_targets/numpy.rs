//! NumPy's names of types, with a fill value as Zarr v2 spells it after a line end: parsed or refused,
//! and what is parsed is written to what reads the same.
#![no_main]

use fuzarr::dtype::{
    ElementLayout, Endian, fill_from_json, fill_from_v2, fill_to_json, fill_to_v2, from_numpy,
    to_numpy,
};
use fuzarr::metadata::json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (name, fill) = text.split_once('\n').unwrap_or((text, "0"));
    let Ok((data_type, _)) = from_numpy(name) else { return };
    for endian in [Endian::Little, Endian::Big] {
        if let Some(written) = to_numpy(data_type, endian).filter(|name| name != "|O") {
            let (again, as_written) = from_numpy(&written).expect("reads what it wrote");
            assert_eq!(again, data_type, "{name:?} {written:?}");
            assert!(as_written.is_none_or(|order| order == endian), "{written:?}");
        }
    }
    // An element of up to half a GiB is legal; the fuzzer need not allocate it.
    if matches!(data_type.layout(), ElementLayout::Fixed(size) if size > 1 << 16) {
        return;
    }
    let Ok(value) = json::parse(fill.as_bytes()) else { return };
    if let Ok(fill) = fill_from_v2(data_type, &value) {
        let written = fill_to_v2(data_type, &fill).expect("a fill value");
        assert_eq!(fill_from_v2(data_type, &written).expect("reads what it wrote"), fill);
    }
    if let Ok(fill) = fill_from_json(data_type, &value) {
        let written = fill_to_json(data_type, &fill).expect("a fill value");
        assert_eq!(fill_from_json(data_type, &written).expect("reads what it wrote"), fill);
    }
});
