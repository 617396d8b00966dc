//! NumPy is the judge: `fixtures/npy/generate.py` saved the files with it.

#![expect(
    clippy::host_endian_bytes,
    reason = "elements in native byte order are what is asked for"
)]

use super::*;
use fuzarr::Kind;
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/npy")
}

/// What every fixture of three numbers' types holds: 0, 1, 2, … in a shape of 2 by 3.
fn counting(data_type: DataType) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..6_u8 {
        let value = f64::from(number);
        match data_type {
            DataType::Bool => bytes.push(number % 2),
            DataType::Float16 => bytes.extend(half::f16::from_f64(value).to_ne_bytes()),
            DataType::Float32 => bytes.extend(f32::from(number).to_ne_bytes()),
            DataType::Float64 => bytes.extend(value.to_ne_bytes()),
            DataType::Complex64 => {
                bytes.extend(f32::from(number).to_ne_bytes());
                bytes.extend((0.0 - f32::from(number)).to_ne_bytes());
            }
            DataType::Complex128 => {
                bytes.extend(value.to_ne_bytes());
                bytes.extend((0.0 - value).to_ne_bytes());
            }
            DataType::Raw(size) => {
                let size = u8::try_from(size).unwrap();
                bytes.extend((0..size).map(|byte| number * 16 + byte));
            }
            DataType::FixedBytes(size) => {
                bytes.push(b'0' + number);
                bytes.resize(bytes.len() + size as usize - 1, 0);
            }
            DataType::FixedUnicode(characters) => {
                bytes.extend(u32::from(b'0' + number).to_ne_bytes());
                bytes.resize(bytes.len() + 4 * (characters as usize - 1), 0);
            }
            integer => match integer.number_size() {
                1 => bytes.push(number),
                2 => bytes.extend(u16::from(number).to_ne_bytes()),
                4 => bytes.extend(u32::from(number).to_ne_bytes()),
                _ => bytes.extend(u64::from(number).to_ne_bytes()),
            },
        }
    }
    bytes
}

/// Every type that NumPy and Zarr have both, as NumPy names it.
fn types() -> impl Iterator<Item = (&'static str, DataType)> {
    const NAMES: [&str; 19] = [
        "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "V3",
        "S3", "U2", "M8[s]", "m8[25us]",
    ];
    NAMES.into_iter().map(|name| (name, fuzarr::dtype::from_numpy(name).unwrap().0))
}

#[test]
fn files_of_numpy_read_equal_in_either_byte_and_axis_order() {
    for (name, data_type) in types() {
        for variant in ["little-c", "little-f", "big-c", "big-f"] {
            let npy = read(&fixtures().join(format!("{name}-{variant}.npy"))).unwrap();
            let expected = Npy { shape: vec![2, 3], data_type, bytes: counting(data_type) };
            assert_eq!(npy, expected, "{name}-{variant}");
        }
    }
}

#[test]
fn axes_of_a_fortran_file_are_put_in_order() {
    let npy = read(&fixtures().join("four-axes-f.npy")).unwrap();
    let expected: Vec<u8> = (0..120).collect();
    assert_eq!((npy.shape, npy.bytes), (vec![2, 3, 4, 5], expected));
}

#[test]
fn versions_two_and_three_scalars_and_empty_arrays_read() {
    for version in [2, 3] {
        let npy = read(&fixtures().join(format!("version-{version}.npy"))).unwrap();
        assert_eq!((npy.shape, npy.bytes), (vec![2], vec![7, 8]));
    }
    let npy = read(&fixtures().join("scalar.npy")).unwrap();
    assert_eq!((npy.shape, npy.bytes), (vec![], 7_i16.to_ne_bytes().to_vec()));
    let npy = read(&fixtures().join("empty-f.npy")).unwrap();
    assert_eq!((npy.shape, npy.bytes), (vec![3, 0, 2], vec![]));
}

#[cfg(target_endian = "little")]
#[test]
fn written_files_are_those_of_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.npy");
    for (name, data_type) in types() {
        write(&path, &[2, 3], data_type, &counting(data_type)).unwrap();
        let numpy = std::fs::read(fixtures().join(format!("{name}-little-c.npy"))).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), numpy, "{name}");
    }
    for (name, shape, bytes) in
        [("scalar", vec![], vec![7, 0]), ("long", vec![1000], vec![0; 2000])]
    {
        write(&path, &shape, DataType::Int16, &bytes).unwrap();
        let numpy = std::fs::read(fixtures().join(format!("{name}.npy"))).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), numpy, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn refused_types_say_so() {
    for name in ["structured", "object", "longdouble"] {
        let error = read(&fixtures().join(format!("refused-{name}.npy"))).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{name}: {error}");
    }
    for data_type in [DataType::String, DataType::BFloat16] {
        let error = write(Path::new("x.npy"), &[1], data_type, b"\0\0").unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        assert!(error.message().contains(&data_type.name()), "{error}");
    }
}

#[test]
fn every_truncation_and_any_addition_is_an_error() {
    let whole = std::fs::read(fixtures().join("i2-big-f.npy")).unwrap();
    assert!(read_from(&*whole).is_ok());
    for length in 0..whole.len() {
        let error = read_from(&whole[..length]).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{length}: {error}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(read_from(&*longer).unwrap_err().kind(), Kind::InvalidArgument);
}

/// A file of version 1 or 2 with this header and eight bytes of elements.
fn file(header: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 8]);
    bytes
}

#[test]
fn headers_that_lie_are_refused_without_memory() {
    let header = |descr: &str, shape: &str| {
        file(&format!("{{'descr': '{descr}', 'fortran_order': True, 'shape': {shape}, }}"))
    };
    assert!(read_from(&*header("<i4", "(2,)")).is_ok());
    assert!(read_from(&*header("<i4", "(1L, 2L)")).is_ok());
    let refused = [
        header("<i4", "(4611686018427387904, 4)"),
        header("<i4", "(1099511627776,)"),
        header("<i4", "(99999999999999999999,)"),
        header("<i4", "(-2,)"),
        header("<i4", "(2"),
        header("<i4", "2"),
        header("|V0", "(2,)"),
        header("|V4294967296", "(2,)"),
        header("|V4294967295", "(4294967295,)"),
        header("|i4", "(2,)"),
        header("i4", "(2,)"),
        header("|S0", "(2,)"),
        header("<U99999999", "(0,)"),
        header("|U1", "(2,)"),
        header("<M8[ns", "(1,)"),
        header("<M8[0s]", "(1,)"),
        header("", "(2,)"),
        file("{'descr': '<i4', 'shape': (2,)}"),
        file("{'descr': '<i4', 'descr': '<i4', 'fortran_order': True, 'shape': (2,)}"),
        file("{'descr': '<i4', 'fortran_order': True, 'shape': (2,)} or 1"),
        file("{'descr': '<i4', 'fortran_order': 1, 'shape': (2,)}"),
        file("{'descr': '<i4', 'fortran_order': True, 'shape': (2,), 'x': 1}"),
        file(&" ".repeat(70_000)),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
        b"\x93NUMPY\x04\x00\x02\x00{}".to_vec(),
        b"PK\x03\x04 a zip archive".to_vec(),
    ];
    for bytes in refused {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(read_from(&*bytes).is_err(), "{text}");
    }
}

#[test]
fn a_bool_of_two_is_refused() {
    let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (8,)}";
    let mut bytes = file(header);
    assert!(read_from(&*bytes).is_ok());
    *bytes.last_mut().unwrap() = 2;
    assert_eq!(read_from(&*bytes).unwrap_err().kind(), Kind::InvalidArgument);
}

#[test]
fn a_missing_file_is_not_found() {
    assert_eq!(read(Path::new("no/such.npy")).unwrap_err().kind(), Kind::NotFound);
}
