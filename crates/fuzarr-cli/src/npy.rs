//! NumPy's `.npy` files: all types but structured ones and objects read, native byte order and C order written.
//!
//! Follows `numpy.lib.format`, versions 1.0, 2.0 and 3.0.

mod header;
pub mod text;

use fuzarr::dtype::{DataType, ElementLayout};
use fuzarr::error::ResultExt as _;
use fuzarr::{Error, Result};
use header::Header;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Bytes reserved before any were seen; what a header promises beyond it is believed as it comes.
const FIRST_RESERVATION: usize = 1 << 26;

/// An array out of a `.npy` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Npy {
    /// Lengths of the axes.
    pub shape: Vec<u64>,
    /// The type of the elements; `|V3` reads as `r24`.
    pub data_type: DataType,
    /// The elements in C order, numbers in native byte order.
    pub bytes: Vec<u8>,
}

/// Reads the file at `path`, or standard input for `-`.
///
/// # Errors
/// `NotFound` or `Io` if it cannot be read, `InvalidArgument` if it is not a whole `.npy` file,
/// `Unsupported` for structured types, objects and types that fuzarr lacks, `Limit` if it does not fit memory.
pub fn read(path: &Path) -> Result<Npy> {
    let read = || {
        if path == Path::new("-") {
            return read_from(std::io::stdin().lock());
        }
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found("no such file"),
            _ => Error::io("the file cannot be opened").with_source(error),
        })?;
        read_from(file)
    };
    read().context("file", || path.display())
}

/// Reads a `.npy` file from its first byte to its last.
///
/// # Errors
/// As [`read`].
pub fn read_from(mut reader: impl Read) -> Result<Npy> {
    let header = Header::read(&mut reader)?;
    let bytes = read_elements(reader, header.length()?)?;
    let bytes = if header.fortran_order { to_c_order(&header, &bytes)? } else { bytes };
    let mut npy = Npy { shape: header.shape, data_type: header.data_type, bytes };
    if header.swapped {
        npy.bytes.chunks_exact_mut(npy.data_type.number_size()).for_each(<[u8]>::reverse);
    }
    if npy.data_type == DataType::Bool && npy.bytes.iter().any(|&byte| byte > 1) {
        return Err(Error::invalid_argument("a bool is neither 0 nor 1"));
    }
    Ok(npy)
}

fn read_elements(mut reader: impl Read, length: usize) -> Result<Vec<u8>> {
    let failed = |error| Error::io("the file cannot be read").with_source(error);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length.min(FIRST_RESERVATION)).map_err(|_| too_large())?;
    let promised = u64::try_from(length).unwrap_or(u64::MAX);
    let read = reader.by_ref().take(promised).read_to_end(&mut bytes);
    read.map_err(|error| match error.kind() {
        ErrorKind::OutOfMemory => too_large(),
        _ => failed(error),
    })?;
    if bytes.len() < length {
        return Err(Error::invalid_argument(format!(
            "the file is cut short: {} of {length} bytes of elements",
            bytes.len()
        )));
    }
    if reader.read(&mut [0]).map_err(failed)? > 0 {
        return Err(Error::invalid_argument("the file goes on after the array"));
    }
    Ok(bytes)
}

fn too_large() -> Error {
    Error::limit("the array does not fit memory")
}

/// The elements of an array in Fortran order, in C order.
fn to_c_order(header: &Header, source: &[u8]) -> Result<Vec<u8>> {
    let size = header.element_size;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(source.len()).map_err(|_| too_large())?;
    if source.is_empty() {
        return Ok(bytes);
    }
    // Each axis with the distance in bytes between its positions. The array is not empty, so that
    // lengths and distances are at most the number of bytes.
    let mut distance = size;
    let mut axes = Vec::new();
    for &length in &header.shape {
        let length = usize::try_from(length).map_err(|_| too_large())?;
        axes.push((length, distance));
        distance *= length;
    }
    let (row, step) = axes.pop().unwrap_or((1, size));
    let mut position = vec![0; axes.len()];
    let mut start = 0;
    loop {
        for index in 0..row {
            let from = start + index * step;
            bytes.extend_from_slice(source.get(from..from + size).unwrap_or_default());
        }
        let mut carried = true;
        for (place, (length, distance)) in position.iter_mut().zip(&axes).rev() {
            *place += 1;
            start += distance;
            if *place < *length {
                carried = false;
                break;
            }
            start -= *place * distance;
            *place = 0;
        }
        if carried {
            return Ok(bytes);
        }
    }
}

/// Writes an array whose elements are in C order and native byte order to `path`, or to standard
/// output for `-`, of which a reader need not want all. A file takes the place of one that exists only
/// when it is complete; a link stays one.
///
/// # Errors
/// `Unsupported` for types of variable size and those that NumPy lacks, `InvalidArgument` if the elements do not fill the
/// shape, `Io` if writing fails.
pub fn write(path: &Path, shape: &[u64], data_type: DataType, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::io("the file cannot be written").with_source(error);
    let header = checked_header(shape, data_type, bytes)?;
    let write_all = |writer: &mut dyn Write| {
        writer.write_all(&header)?;
        writer.write_all(bytes)?;
        writer.flush()
    };
    let write = || {
        if path == Path::new("-") {
            return match write_all(&mut std::io::stdout().lock()) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        // A device or a pipe is written to, not replaced.
        let is_replaced = match path.metadata() {
            Ok(metadata) => metadata.is_file(),
            // Nor is a link that leads to nothing yet.
            Err(_) => !path.is_symlink(),
        };
        if !is_replaced {
            return write_all(&mut File::create(path)?);
        }
        let mut file = temporary_sibling(path)?;
        write_all(&mut file)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(failed).context("file", || path.display())
}

/// The file that will become `path`, with the permissions a new file gets.
fn temporary_sibling(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".npy.partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn checked_header(shape: &[u64], data_type: DataType, bytes: &[u8]) -> Result<Vec<u8>> {
    let ElementLayout::Fixed(element_size) = data_type.layout() else {
        return Err(Error::unsupported(format!(
            "not supported: `{}` elements in a .npy file",
            data_type.name()
        )));
    };
    let header = Header {
        shape: shape.to_vec(),
        data_type,
        element_size,
        fortran_order: false,
        swapped: false,
    };
    if header.length()? != bytes.len() {
        return Err(Error::invalid_argument("the elements do not fill the shape"));
    }
    header.encode()
}

#[cfg(test)]
mod tests;
