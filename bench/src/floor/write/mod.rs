//! Writes: new objects from the contents, or from old ones of which a part is changed.

mod draft;
mod plan;

use std::ffi::CString;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use self::draft::{Draft, Target};
use self::plan::{Group, Kind, Object, Piece};
use super::crew::{Crew, Job};
use super::memory::Memory;
use super::{Scratch, at_least, files, lock};
use crate::Result;
use crate::cell::{Cell, Durability, Onto, Operation, Paths, Store, Trace};
use crate::codec::Codec;
use crate::objects;
use crate::task::Task;

/// What an inner chunk that is not stored has in an index.
const NOWHERE: (u64, u64) = (u64::MAX, u64::MAX);

/// Offset and length of each part, as an index has them.
type Places = Vec<(u64, u64)>;

/// An object in memory.
struct Stored {
    memory: Memory,
    length: usize,
}

/// What there is of an object.
#[derive(Default)]
struct State {
    /// Where its parts are, and how long.
    places: Places,
    /// If the store is memory.
    stored: Option<Arc<Stored>>,
}

/// Where bytes come from that are not of the contents.
enum Input {
    Files(OwnedFd),
    Memory(Vec<Arc<Stored>>),
    /// The objects that are replaced.
    Old,
}

/// All that must be done, found before the clock runs.
struct Plan {
    objects: Vec<Object>,
    groups: Vec<Group>,
    contents: [Vec<u8>; 2],
    input: Input,
    /// The array's folder, if the store is local.
    folder: Option<OwnedFd>,
    durability: Durability,
    raw: bool,
    /// Whether what is written was not there before.
    appends: bool,
    /// Whether objects are shards, and end in an index.
    indexed: bool,
    states: Vec<Mutex<State>>,
    scratches: Vec<Mutex<Scratch>>,
}

pub(super) fn open(
    crew: Arc<Crew>,
    cell: &Cell,
    trace: &Trace,
    paths: &Paths,
) -> Result<Box<dyn Task>> {
    let layout = plan::layout(cell, trace, crew.threads())?;
    let target = paths.scratch.join("array");
    let document = serde_json::to_vec(&cell.document)?;
    let key = cell.array.document_key();
    let is_local = cell.store == Store::Local;
    if is_local {
        objects::write(&target, [(key.to_owned(), &document)])?;
    }
    let copies = matches!(cell.operation, Operation::RoundTrip);
    let input = match (copies, is_local) {
        (false, _) => Input::Old,
        (true, true) => Input::Files(files::folder(&paths.folder)?),
        (true, false) => {
            let load = |object: &Object| load(&paths.folder, object);
            Input::Memory(layout.objects.iter().map(load).collect::<Result<_>>()?)
        }
    };
    let contents = if copies { Default::default() } else { contents(paths)? };
    let plan = Arc::new(Plan {
        contents,
        input,
        folder: if is_local { Some(files::folder(&target)?) } else { None },
        durability: cell.durability,
        raw: trace.codec == Codec::Raw,
        appends: matches!(cell.operation, Operation::Append { .. }),
        indexed: cell.array.shards.is_some(),
        states: layout.objects.iter().map(|_| Mutex::default()).collect(),
        scratches: Scratch::of(&crew, &trace.codec, trace.typesize)?,
        objects: layout.objects,
        groups: layout.groups,
    });
    let writer = Writer {
        crew,
        old: old(&plan, &paths.folder)?,
        plan,
        target,
        folders: layout.folders,
        document: (key, document),
        keeps: matches!(cell.operation, Operation::Write { onto: Onto::Stored, .. }),
        alone: layout.alone,
    };
    writer.begin()?;
    Ok(Box::new(writer))
}

fn contents(paths: &Paths) -> Result<[Vec<u8>; 2]> {
    let [values, other] = &paths.contents;
    Ok([std::fs::read(values)?, std::fs::read(other)?])
}

/// An object of a folder, in memory.
fn load(folder: &Path, object: &Object) -> Result<Arc<Stored>> {
    let bytes = std::fs::read(folder.join(&object.key))?;
    Ok(Arc::new(Stored::of([&bytes, &[]])?))
}

/// What objects are based on: as they are stored, but for parts that are not there yet.
fn old(plan: &Plan, folder: &Path) -> Result<Vec<(usize, Places, Arc<Stored>)>> {
    let mut found = Vec::new();
    for (number, object) in plan.objects.iter().enumerate().filter(|(_, object)| object.based) {
        let stored = load(folder, object)?;
        let is_kept = |piece: &Piece| matches!(piece.kind, Kind::Kept | Kind::Merged);
        let is_old = |piece: &&Piece| piece.length > 0 && (!plan.appends || is_kept(piece));
        let mut pieces: Vec<&Piece> = object.pieces.iter().filter(is_old).collect();
        pieces.sort_by_key(|piece| piece.offset);
        let mut places = vec![NOWHERE; object.parts];
        let mut bytes = Vec::new();
        for piece in pieces {
            places[piece.part] = (bytes.len() as u64, piece.length as u64);
            bytes.extend_from_slice(stored.range(piece.offset, piece.length)?);
        }
        let index = if plan.indexed { draft::index(&places) } else { Vec::new() };
        found.push((number, places, Arc::new(Stored::of([&bytes, &index])?)));
    }
    Ok(found)
}

/// One write.
struct Write {
    plan: Arc<Plan>,
    content: usize,
    /// Of objects that several threads write.
    drafts: Vec<Mutex<Option<Arc<Draft>>>>,
    next: AtomicUsize,
}

impl Job for Write {
    fn work(&self, member: usize) -> Result<()> {
        let scratch = &mut *lock(&self.plan.scratches[member]);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = self.plan.groups.get(number) else { break };
            self.write(group, scratch)?;
        }
        scratch.open = None;
        Ok(())
    }
}

impl Write {
    fn write(&self, group: &Group, scratch: &mut Scratch) -> Result<()> {
        let plan = &*self.plan;
        let object = &plan.objects[group.object];
        let pieces = &object.pieces[group.pieces.clone()];
        if plan.patches(object) {
            return self.patch(group.object, pieces);
        }
        if pieces.first().is_some_and(|piece| piece.kind == Kind::Kept) {
            return self.keep(group, pieces, scratch);
        }
        let mut lengths = Vec::new();
        let encoded = std::mem::take(&mut scratch.encoded);
        let encoded = self.encode(group, pieces, scratch, (encoded, &mut lengths))?;
        let bytes = match &encoded {
            Bytes::Content(range) => &plan.contents[self.content][range.clone()],
            Bytes::Encoded(encoded, length) => &encoded[..*length],
        };
        if object.groups == 1 {
            self.put(group.object, bytes, &lengths)?;
        } else {
            let draft = self.draft(group.object)?;
            let at = group.at.unwrap_or_else(|| draft.reserve(bytes.len()));
            draft.write(at, [bytes, &[]])?;
            if plan.indexed {
                let mut at = at;
                let mut places = lock(&draft.places);
                for (piece, length) in pieces.iter().zip(lengths) {
                    places[piece.part] = (at, length as u64);
                    at += length as u64;
                }
            }
            self.done(group.object, &draft)?;
        }
        if let Bytes::Encoded(encoded, _) = encoded {
            scratch.encoded = encoded;
        }
        Ok(())
    }

    /// Writes an object that is one group.
    fn put(&self, number: usize, bytes: &[u8], lengths: &[usize]) -> Result<()> {
        let object = &self.plan.objects[number];
        let mut places = Vec::new();
        let mut index = Vec::new();
        if self.plan.indexed {
            places.resize(object.parts, NOWHERE);
            let mut at = 0;
            for (piece, &length) in object.pieces.iter().zip(lengths) {
                places[piece.part] = (at, length as u64);
                at += length as u64;
            }
            index = draft::index(&places);
        }
        let stored = match &self.plan.folder {
            None => Some(Arc::new(Stored::of([bytes, &index])?)),
            Some(folder) => {
                let (name, renames) = self.plan.name(object);
                let file = files::to_write(folder, name)?;
                files::write(&file, [bytes, &index], 0)?;
                self.plan.finish(folder, object, file, renames)?;
                None
            }
        };
        *lock(&self.plan.states[number]) = State { places, stored };
        Ok(())
    }

    /// The draft of an object that is several groups.
    fn draft(&self, number: usize) -> Result<Arc<Draft>> {
        let mut draft = lock(&self.drafts[number]);
        if let Some(draft) = &*draft {
            return Ok(Arc::clone(draft));
        }
        let object = &self.plan.objects[number];
        let target = match &self.plan.folder {
            None => Target::Memory(Memory::new(self.plan.most(number), false)?),
            Some(folder) => Target::File(files::to_write(folder, self.plan.name(object).0)?),
        };
        let new = Arc::new(Draft::new(object, target));
        *draft = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Ends a group; the last one finishes the object.
    fn done(&self, number: usize, draft: &Arc<Draft>) -> Result<()> {
        if draft.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let (plan, object) = (&*self.plan, &self.plan.objects[number]);
        let places = std::mem::take(&mut *lock(&draft.places));
        let mut length = draft.end.load(Ordering::Acquire);
        if plan.indexed {
            let index = draft::index(&places);
            draft.write(length, [&index, &[]])?;
            length += index.len() as u64;
        }
        *lock(&self.drafts[number]) = None;
        let stored = match draft.take() {
            Target::File(file) => {
                let folder = plan.folder.as_ref().ok_or("no folder")?;
                plan.finish(folder, object, file, plan.name(object).1)?;
                None
            }
            Target::Memory(memory) => {
                Some(Arc::new(Stored { memory, length: usize::try_from(length)? }))
            }
            Target::Taken => return Err("an object was finished twice".into()),
        };
        *lock(&plan.states[number]) = State { places, stored };
        Ok(())
    }

    /// Takes over parts of the old object as they are.
    fn keep(&self, group: &Group, pieces: &[Piece], scratch: &mut Scratch) -> Result<()> {
        let plan = &*self.plan;
        let draft = self.draft(group.object)?;
        let (old, stored) = {
            let state = lock(&plan.states[group.object]);
            let places = pieces.iter().map(|piece| state.places[piece.part]);
            (places.collect::<Vec<_>>(), state.stored.clone())
        };
        let mut from = 0;
        while from < old.len() {
            let follows =
                |pair: &[(u64, u64)]| pair[0] != NOWHERE && pair[0].0 + pair[0].1 == pair[1].0;
            let run = 1 + old[from..].windows(2).take_while(|pair| follows(pair)).count();
            let places = &old[from..from + run];
            let start = places[0].0;
            if places[0] != NOWHERE {
                let length = usize::try_from(places.iter().map(|place| place.1).sum::<u64>())?;
                let at = draft.reserve(length);
                match (&plan.folder, &stored) {
                    (Some(folder), _) => {
                        let name = &plan.objects[group.object].name;
                        let file = files::open(&mut scratch.open, folder, group.object, name)?;
                        draft.copy(file, (start, length), at)?;
                    }
                    (None, Some(stored)) => {
                        draft.write(at, [stored.range(start, length)?, &[]])?;
                    }
                    _ => return Err("there is no old object".into()),
                }
                let mut new = lock(&draft.places);
                for (piece, place) in pieces[from..].iter().zip(places) {
                    new[piece.part] = (place.0 - start + at, place.1);
                }
            }
            from += run;
        }
        self.done(group.object, &draft)
    }

    /// Changes elements of an object where they are.
    fn patch(&self, number: usize, pieces: &[Piece]) -> Result<()> {
        let plan = &*self.plan;
        let folder = plan.folder.as_ref().ok_or("no folder")?;
        let file = files::to_change(folder, &plan.objects[number].name)?;
        for piece in pieces.iter().filter(|piece| piece.kind != Kind::Kept) {
            let offset = lock(&plan.states[number]).places[piece.part].0;
            let values = &plan.contents[self.content][piece.content()];
            files::write(&file, [values, &[]], offset)?;
        }
        Ok(())
    }

    /// The bytes that pieces become, and how many each.
    fn encode(
        &self,
        group: &Group,
        pieces: &[Piece],
        scratch: &mut Scratch,
        (mut encoded, lengths): (Vec<u8>, &mut Vec<usize>),
    ) -> Result<Bytes> {
        let as_they_are = |piece: &Piece| piece.kind == Kind::New && piece.wanted == piece.decoded;
        if self.plan.raw && pieces.iter().all(as_they_are) {
            lengths.extend(pieces.iter().map(|piece| piece.decoded));
            let end = pieces.last().map_or(0, |last| last.content().end);
            scratch.encoded = encoded;
            return Ok(Bytes::Content(pieces.first().map_or(0, |first| first.from)..end));
        }
        let mut end = 0;
        for piece in pieces {
            if self.plan.raw && piece.kind == Kind::Copied {
                let target = &mut at_least(&mut encoded, end + piece.length)[end..];
                self.fetch(group.object, (piece.offset, target), scratch)?;
                lengths.push(piece.length);
                end += piece.length;
                continue;
            }
            let mut decoded = std::mem::take(&mut scratch.decoded);
            let values = self.values(group.object, piece, scratch, &mut decoded)?;
            let bound = scratch.encoder.bound(piece.decoded);
            let target = &mut at_least(&mut encoded, end + bound)[end..];
            let length = scratch.encoder.encode(values, target)?;
            scratch.decoded = decoded;
            lengths.push(length);
            end += length;
        }
        Ok(Bytes::Encoded(encoded, end))
    }

    /// The elements of a piece.
    fn values<'v>(
        &'v self,
        object: usize,
        piece: &Piece,
        scratch: &mut Scratch,
        decoded: &'v mut Vec<u8>,
    ) -> Result<&'v [u8]> {
        let content = &self.plan.contents[self.content];
        if piece.kind == Kind::New && piece.wanted == piece.decoded {
            return Ok(&content[piece.content()]);
        }
        let decoded = at_least(decoded, piece.decoded);
        let (offset, length) = match piece.kind {
            Kind::New => NOWHERE,
            Kind::Copied => (piece.offset, piece.length as u64),
            Kind::Merged | Kind::Kept => lock(&self.plan.states[object]).places[piece.part],
        };
        if (offset, length) != NOWHERE {
            let mut stored = std::mem::take(&mut scratch.stored);
            let encoded = at_least(&mut stored, usize::try_from(length)?);
            self.fetch(object, (offset, encoded), scratch)?;
            scratch.decoder.decode(encoded, decoded)?;
            scratch.stored = stored;
        }
        if piece.kind != Kind::Copied {
            decoded[..piece.wanted].copy_from_slice(&content[piece.content()]);
        }
        Ok(decoded)
    }

    /// Reads bytes that are stored already.
    fn fetch(
        &self,
        object: usize,
        (offset, memory): (u64, &mut [u8]),
        scratch: &mut Scratch,
    ) -> Result<()> {
        let plan = &*self.plan;
        let name = &plan.objects[object].name;
        let stored = match (&plan.input, &plan.folder) {
            (Input::Files(folder), _) | (Input::Old, Some(folder)) => {
                let file = files::open(&mut scratch.open, folder, object, name)?;
                return files::read(file, memory, offset);
            }
            (Input::Memory(objects), _) => Some(Arc::clone(&objects[object])),
            (Input::Old, None) => lock(&plan.states[object]).stored.clone(),
        };
        let stored = stored.ok_or("there is no old object")?;
        memory.copy_from_slice(stored.range(offset, memory.len())?);
        Ok(())
    }
}

/// What a group is written from.
enum Bytes {
    /// A part of the content.
    Content(Range<usize>),
    /// So many bytes of a buffer.
    Encoded(Vec<u8>, usize),
}

impl Plan {
    /// Under which name an object is written, and whether it is then renamed.
    fn name<'o>(&self, object: &'o Object) -> (&'o CString, bool) {
        let in_place = self.durability == Durability::AsTheyCome && !object.based;
        if in_place { (&object.name, false) } else { (&object.temporary, true) }
    }

    /// Whether elements of an object are changed where they are.
    fn patches(&self, object: &Object) -> bool {
        let in_place = self.durability == Durability::AsTheyCome && self.folder.is_some();
        object.based && in_place && self.raw && !self.appends
    }

    /// The most bytes that an object takes.
    fn most(&self, number: usize) -> usize {
        let object = &self.objects[number];
        let state = lock(&self.states[number]);
        let kept = object.pieces.iter().filter(|piece| piece.kind == Kind::Kept);
        let places = kept.filter_map(|piece| state.places.get(piece.part));
        let kept = places.map(|place| usize::try_from(place.1).unwrap_or(0)).sum::<usize>();
        object.bound + kept + draft::index_length(object.parts)
    }

    /// Gives a written file its name.
    fn finish(
        &self,
        folder: &OwnedFd,
        object: &Object,
        file: OwnedFd,
        renames: bool,
    ) -> Result<()> {
        if self.durability == Durability::Synced {
            rustix::fs::fsync(&file)?;
        }
        drop(file);
        if renames { files::rename(folder, &object.temporary, &object.name) } else { Ok(()) }
    }
}

/// The least that a write must do.
struct Writer {
    crew: Arc<Crew>,
    plan: Arc<Plan>,
    /// What objects are based on before the first write: which, where their parts are, their bytes.
    old: Vec<(usize, Places, Arc<Stored>)>,
    /// The array's folder.
    target: PathBuf,
    /// Folders of objects, those above first.
    folders: Vec<CString>,
    document: (&'static str, Vec<u8>),
    /// Whether what was written stays for the next write.
    keeps: bool,
    /// Whether there is too little to do for more than one thread.
    alone: bool,
}

impl Writer {
    /// Restores what objects are based on.
    fn begin(&self) -> Result<()> {
        let plan = &*self.plan;
        if let Some(folder) = plan.folder.as_ref().filter(|_| self.keeps) {
            self.folders.iter().try_for_each(|name| files::make_folder(folder, name))?;
        }
        for (number, places, old) in &self.old {
            let mut state = lock(&plan.states[*number]);
            state.places.clone_from(places);
            if plan.folder.is_none() {
                state.stored = Some(Arc::clone(old));
                continue;
            }
            let key = plan.objects[*number].key.clone();
            objects::write(&self.target, [(key, old.range(0, old.length)?)])?;
        }
        Ok(())
    }

    fn write_document(&self, folder: &OwnedFd) -> Result<()> {
        let name = files::name(self.document.0)?;
        let temporary = files::name(&format!("{}.tmp", self.document.0))?;
        let file = files::to_write(folder, &temporary)?;
        files::write(&file, [&self.document.1, &[]], 0)?;
        if self.plan.durability == Durability::Synced {
            rustix::fs::fsync(&file)?;
        }
        files::rename(folder, &temporary, &name)
    }
}

impl Task for Writer {
    fn prepares(&self) -> bool {
        !self.keeps
    }

    fn prepare(&mut self) -> Result<()> {
        if self.keeps {
            return Ok(());
        }
        if self.plan.folder.is_some() {
            objects::clear(&self.target, false)?;
        }
        for state in &self.plan.states {
            *lock(state) = State::default();
        }
        self.begin()
    }

    fn call(&mut self, content: usize) -> Result<()> {
        let plan = &self.plan;
        if let Some(folder) = plan.folder.as_ref().filter(|_| !self.keeps) {
            self.folders.iter().try_for_each(|name| files::make_folder(folder, name))?;
        }
        let drafts = plan.objects.iter().map(|_| Mutex::default()).collect();
        let plan = Arc::clone(plan);
        let write = Write { plan, content, drafts, next: AtomicUsize::new(0) };
        let job: Arc<dyn Job> = Arc::new(write);
        self.crew.run(&job, self.alone)?;
        let Some(folder) = &self.plan.folder else { return Ok(()) };
        // The document says how long the array is.
        if self.plan.appends {
            self.write_document(folder)?;
        }
        if self.plan.durability == Durability::Synced {
            self.folders.iter().try_for_each(|name| files::sync_folder(folder, name))?;
            rustix::fs::fsync(folder)?;
        }
        Ok(())
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        self.prepare()?;
        self.call(0)?;
        if self.plan.folder.is_some() {
            return Ok(());
        }
        let array = scratch.join("array");
        objects::write(&array, [(self.document.0.to_owned(), &self.document.1)])?;
        for (object, state) in self.plan.objects.iter().zip(&self.plan.states) {
            let stored = lock(state).stored.clone().ok_or("an object was not written")?;
            objects::write(&array, [(object.key.clone(), stored.range(0, stored.length)?)])?;
        }
        Ok(())
    }
}
