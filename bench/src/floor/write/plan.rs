//! What a write has to do, from its trace.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::ops::Range;

use crate::Result;
use crate::cell::{Cell, Onto, Operation, Part, Store, Trace, TracedObject};
use crate::codec::{Codec, Encoder};
use crate::floor::{WORTH_HELP, files};
use crate::selection::Selection;

/// A thread takes this many bytes at a time, more or less.
const SHARE: Range<usize> = 64 << 10..1 << 20;

/// Nanoseconds that making, writing and renaming a file take.
const FILE: f64 = 20_000.0;

/// How the bytes of a piece come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the content alone.
    New,
    /// From the old ones, decoded, and some of the content.
    Merged,
    /// They are the old ones.
    Kept,
    /// From another object, decoded and encoded.
    Copied,
}

/// A part, or if nothing is encoded perhaps a piece of one.
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// The number of its part.
    pub(super) part: usize,
    /// Where its elements are in the contents.
    pub(super) from: usize,
    pub(super) decoded: usize,
    pub(super) wanted: usize,
    /// Where it is in the object that is stored.
    pub(super) offset: u64,
    pub(super) length: usize,
}

impl Piece {
    /// Its elements in the contents.
    pub(super) fn content(&self) -> Range<usize> {
        self.from..self.from + self.wanted
    }
}

/// A stored object.
pub(super) struct Object {
    pub(super) key: String,
    pub(super) name: CString,
    pub(super) temporary: CString,
    pub(super) pieces: Vec<Piece>,
    /// How many parts it has, those that are not stored included.
    pub(super) parts: usize,
    /// Whether something of the old object is needed.
    pub(super) based: bool,
    /// How many groups its pieces are.
    pub(super) groups: usize,
    /// Bytes whose places are fixed.
    pub(super) fixed: u64,
    /// The most bytes that its pieces take, but for those that are kept.
    pub(super) bound: usize,
}

/// Pieces that one thread writes together.
pub(super) struct Group {
    pub(super) object: usize,
    pub(super) pieces: Range<usize>,
    /// Where they go, if that is known.
    pub(super) at: Option<u64>,
}

/// What a write has to do.
pub(super) struct Layout {
    pub(super) objects: Vec<Object>,
    pub(super) groups: Vec<Group>,
    pub(super) folders: Vec<CString>,
    pub(super) alone: bool,
}

pub(super) fn layout(cell: &Cell, trace: &Trace, threads: usize) -> Result<Layout> {
    let mut builder = Builder {
        cell,
        raw: trace.codec == Codec::Raw,
        encoder: Encoder::new(&trace.codec, trace.typesize)?,
        threads,
        from: 0,
        layout: Layout {
            objects: Vec::new(),
            groups: Vec::new(),
            folders: folders(trace)?,
            alone: false,
        },
    };
    let mut bytes = 0;
    for object in &trace.objects {
        bytes += object.parts.iter().map(|part| part.wanted).sum::<usize>();
        builder.object(object)?;
    }
    let mut layout = builder.layout;
    let files = if cell.store == Store::Local { layout.objects.len() } else { 0 };
    let cost = files as f64 * FILE + bytes as f64 * encoding(&trace.codec);
    layout.alone = cost < WORTH_HELP;
    Ok(layout)
}

/// About how many nanoseconds a thread takes for a byte.
fn encoding(codec: &Codec) -> f64 {
    match codec {
        Codec::Raw => 0.2,
        Codec::Zstd { .. } => 3.0,
        Codec::Gzip { .. } => 15.0,
        Codec::Blosc { .. } => 0.7,
    }
}

/// The folders of all objects, those above before those below.
fn folders(trace: &Trace) -> Result<Vec<CString>> {
    let mut found = BTreeSet::new();
    for object in &trace.objects {
        let ends = object.key.match_indices('/').map(|(end, _)| end);
        found.extend(ends.map(|end| &object.key[..end]));
    }
    found.into_iter().map(files::name).collect()
}

struct Builder<'a> {
    cell: &'a Cell,
    raw: bool,
    encoder: Encoder,
    threads: usize,
    /// Where the elements of the next part are in the contents.
    from: usize,
    layout: Layout,
}

impl Builder<'_> {
    fn object(&mut self, traced: &TracedObject) -> Result<()> {
        let mut object = Object {
            key: traced.key.clone(),
            name: files::name(&traced.key)?,
            temporary: files::name(&format!("{}.tmp", traced.key))?,
            pieces: Vec::new(),
            parts: traced.parts.len(),
            based: false,
            groups: 0,
            fixed: 0,
            bound: 0,
        };
        let stored: usize = traced.parts.iter().map(|part| part.decoded).sum();
        let share = (stored / (self.threads * 8)).clamp(SHARE.start, SHARE.end);
        for (number, part) in traced.parts.iter().enumerate() {
            if let Some(kind) = self.kind(part) {
                self.pieces((number, part), kind, share, &mut object.pieces);
            }
            self.from += part.wanted;
        }
        let old = |piece: &Piece| matches!(piece.kind, Kind::Merged | Kind::Kept);
        let new = object.pieces.iter().filter(|piece| piece.kind != Kind::Kept);
        object.bound = new.map(|piece| self.encoder.bound(piece.decoded)).sum();
        object.based = object.pieces.iter().any(old);
        // What is kept comes first and in the order of the object, so that little is copied apart.
        object.pieces.sort_by_key(|piece| match piece.kind {
            Kind::Kept => (0, piece.offset),
            _ => (1, 0),
        });
        if object.pieces.iter().any(|piece| piece.kind != Kind::Kept) {
            self.groups(&mut object, share);
            self.layout.objects.push(object);
        }
        Ok(())
    }

    /// How a part comes about; `None` if it is not stored.
    fn kind(&self, part: &Part) -> Option<Kind> {
        let partial = match &self.cell.operation {
            Operation::RoundTrip => return (part.length > 0).then_some(Kind::Copied),
            Operation::Append { .. } => true,
            Operation::Write { selections, onto } => {
                *onto == Onto::Stored && *selections != [Selection::Whole]
            }
            _ => false,
        };
        match (partial, part.length > 0) {
            (false, _) if part.wanted == 0 => None,
            (false, false) => None,
            (true, true) if part.wanted == 0 => Some(Kind::Kept),
            (true, true) if part.wanted < part.decoded => Some(Kind::Merged),
            (true, false) if part.wanted == 0 => None,
            _ => Some(Kind::New),
        }
    }

    /// Adds a part; if nothing is encoded and it is a whole object, in pieces.
    fn pieces(
        &self,
        (number, part): (usize, &Part),
        kind: Kind,
        share: usize,
        pieces: &mut Vec<Piece>,
    ) {
        let divides = self.raw
            && self.cell.array.shards.is_none()
            && part.wanted == part.decoded
            && matches!(kind, Kind::New | Kind::Copied);
        let step = if divides { share } else { part.decoded.max(1) };
        for start in (0..part.decoded).step_by(step) {
            let decoded = step.min(part.decoded - start);
            pieces.push(Piece {
                kind,
                part: number,
                from: self.from + start,
                decoded,
                wanted: if divides { decoded } else { part.wanted },
                offset: part.offset + start as u64,
                length: if divides { decoded } else { part.length },
            });
        }
    }

    /// Deals out the pieces of an object.
    fn groups(&mut self, object: &mut Object, share: usize) {
        let fixed = self.raw && !object.based;
        let number = self.layout.objects.len();
        let (mut start, mut at) = (0, 0);
        while start < object.pieces.len() {
            let kept = object.pieces[start].kind == Kind::Kept;
            let mut bytes = 0;
            let fits = |piece: &&Piece| {
                let fits = (piece.kind == Kind::Kept) == kept
                    && (kept || bytes == 0 || bytes + piece.decoded <= share);
                bytes += piece.decoded;
                fits
            };
            let end = start + object.pieces[start..].iter().take_while(fits).count();
            let pieces = start..end;
            let length: usize = object.pieces[pieces.clone()].iter().map(|one| one.decoded).sum();
            self.layout.groups.push(Group { object: number, pieces, at: fixed.then_some(at) });
            object.groups += 1;
            at += length as u64;
            start = end;
        }
        object.fixed = if fixed { at } else { 0 };
    }
}
