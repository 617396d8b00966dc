//! Reads.
#![expect(unsafe_code, reason = "threads write different parts of one result")]

use std::collections::HashMap;
use std::ffi::CString;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::crew::{Crew, Job};
use super::memory::Memory;
use super::{Scratch, WORTH_HELP, at_least, decoding, files, lock};
use crate::Result;
use crate::cell::{Cell, Part, Paths, Store, Trace, TracedObject};
use crate::codec::Codec;
use crate::task::Task;

/// Parts at most this far apart are read together: that is quicker than another call.
const GAP: u64 = 4 << 10;

/// Raw parts from this size on are read straight to where they are wanted.
const LARGE_PART: usize = 16 << 10;

/// A thread takes this many bytes at a time, more or less.
const SHARE: Range<usize> = 64 << 10..1 << 20;

/// Nanoseconds that opening, reading and closing a file take.
const FILE: f64 = 4_000.0;

/// Where the stored bytes are.
enum Source {
    Files { folder: OwnedFd, names: Vec<CString> },
    Memory(Vec<Arc<Vec<u8>>>),
}

/// Something that one thread does.
struct Step {
    object: usize,
    /// The bytes that are needed for it, in the object.
    offset: u64,
    length: usize,
    action: Action,
}

enum Action {
    /// The bytes are wanted as they are, from this place of the result on.
    Move(usize),
    /// These pieces are decoded.
    Decode(Range<usize>),
    /// There are none; this part of the result is filled.
    Fill(Range<usize>),
}

/// A part in the bytes that are read for it.
struct Piece {
    encoded: Range<usize>,
    /// None, if it is an index.
    decoded: usize,
    /// Its place in the result.
    target: Range<usize>,
}

/// All that must be done, found before the clock runs.
struct Plan {
    source: Source,
    steps: Vec<Step>,
    pieces: Vec<Piece>,
    /// Steps that are taken together.
    shares: Vec<Range<usize>>,
    scratches: Vec<Mutex<Scratch>>,
    fill: u8,
    /// Bytes of the result.
    size: usize,
    /// Whether fresh memory is what missing parts are filled with.
    zero: bool,
}

pub(super) fn open(
    crew: Arc<Crew>,
    cell: &Cell,
    trace: &Trace,
    paths: &Paths,
    fresh: bool,
) -> Result<Box<dyn Task>> {
    let source = if cell.store == Store::Local {
        let names = trace.objects.iter().map(|object| files::name(&object.key));
        let names = names.collect::<Result<_>>()?;
        Source::Files { folder: files::folder(&paths.folder)?, names }
    } else {
        Source::Memory(load(&paths.folder, &trace.objects)?)
    };
    let fill = fill(cell);
    let mut builder = Builder { raw: trace.codec == Codec::Raw, ..Builder::default() };
    for (number, object) in trace.objects.iter().enumerate() {
        builder.object(number, object, &crew);
    }
    let Builder { steps, pieces, size, missing, .. } = builder;
    let zero = fresh && missing && fill == 0;
    let objects = if cell.store == Store::Local { trace.objects.len() } else { 0 };
    let cost = objects as f64 * FILE + size as f64 * decoding(&trace.codec);
    let plan = Plan {
        source,
        shares: shares(&steps),
        steps,
        pieces,
        scratches: Scratch::of(&crew, &trace.codec, trace.typesize)?,
        fill,
        size,
        zero,
    };
    let alone = cost < WORTH_HELP;
    let ready = if fresh { None } else { Some(Arc::new(Memory::touched(size)?)) };
    Ok(Box::new(Reader { crew, plan: Arc::new(plan), ready, alone }))
}

/// The bytes of objects; none of those that are missing.
fn load(folder: &Path, objects: &[TracedObject]) -> Result<Vec<Arc<Vec<u8>>>> {
    let mut known = HashMap::new();
    let mut load = |object: &TracedObject| {
        if let Some(bytes) = known.get(&object.key) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = match std::fs::read(folder.join(&object.key)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Arc::default(),
            read => Arc::new(read?),
        };
        known.insert(object.key.clone(), Arc::clone(&bytes));
        Ok(bytes)
    };
    objects.iter().map(&mut load).collect()
}

/// A byte to fill with.
fn fill(cell: &Cell) -> u8 {
    u8::from(cell.array.fill_value.as_f64().is_none_or(|value| value != 0.0))
}

/// How many bytes a step is worth.
fn weight(step: &Step) -> usize {
    match &step.action {
        Action::Fill(range) => range.len() / 4,
        _ => step.length,
    }
}

/// Steps together, so that each share is worth taking.
fn shares(steps: &[Step]) -> Vec<Range<usize>> {
    // A file costs as much as some bytes, so small ones are not all taken by one thread.
    let weight = |step: &Step| weight(step) + SHARE.start / 4;
    let mut shares = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (number, step) in steps.iter().enumerate() {
        sum += weight(step);
        if sum >= SHARE.start {
            shares.push(start..number + 1);
            (start, sum) = (number + 1, 0);
        }
    }
    if start < steps.len() {
        shares.push(start..steps.len());
    }
    shares
}

#[derive(Default)]
struct Builder {
    raw: bool,
    steps: Vec<Step>,
    pieces: Vec<Piece>,
    size: usize,
    missing: bool,
}

impl Builder {
    /// Adds the steps for an object. Its parts fill the result in the order of the trace, and are
    /// read in the order of the file.
    fn object(&mut self, number: usize, object: &TracedObject, crew: &Crew) {
        let mut parts = Vec::new();
        for part in &object.parts {
            let target = self.size..self.size + part.wanted;
            self.size = target.end;
            if part.length == 0 {
                self.missing = true;
                let action = Action::Fill(target);
                self.steps.push(Step { object: number, offset: 0, length: 0, action });
            } else {
                parts.push((self.needed(*part), target));
            }
        }
        for &(offset, length) in &object.indexes {
            let part = Part { offset, length, decoded: 0, wanted: 0 };
            parts.push((part, self.size..self.size));
        }
        parts.sort_by_key(|(part, _)| part.offset);
        let bytes: usize = parts.iter().map(|(part, _)| part.length).sum();
        let share = (bytes / (crew.threads() * 8)).clamp(SHARE.start, SHARE.end);
        let mut rest = parts.as_slice();
        while !rest.is_empty() {
            let run = self.moved(rest).unwrap_or(0);
            let taken = if run > 0 {
                self.move_run(number, &rest[..run], share);
                run
            } else {
                self.decode_run(number, rest, share)
            };
            rest = &rest[taken..];
        }
    }

    /// What is read of a part: if it is raw and large, no more than is wanted.
    fn needed(&self, part: Part) -> Part {
        let in_part = self.raw && part.length >= LARGE_PART && part.wanted < part.length;
        if in_part { Part { length: part.wanted, decoded: part.wanted, ..part } } else { part }
    }

    /// How many of the next parts are one piece in the file as in the result, and worth reading
    /// straight to there.
    fn moved(&self, parts: &[(Part, Range<usize>)]) -> Option<usize> {
        let is_whole = |part: &Part| part.wanted == part.length;
        let (first, _) = parts.first().filter(|(part, _)| self.raw && is_whole(part))?;
        let follows = |pair: &[(Part, Range<usize>)]| {
            let ((before, place), (after, next)) = (&pair[0], &pair[1]);
            is_whole(after)
                && after.offset == before.offset + before.length as u64
                && place.end == next.start
        };
        let run = 1 + parts.windows(2).take_while(|pair| follows(pair)).count();
        let last = &parts[run - 1].0;
        let length = usize::try_from(last.offset - first.offset).ok()? + last.length;
        (length >= LARGE_PART || run == parts.len()).then_some(run)
    }

    /// Adds moves of a run.
    fn move_run(&mut self, object: usize, run: &[(Part, Range<usize>)], share: usize) {
        let Some((first, place)) = run.first() else { return };
        let length: usize = run.iter().map(|(part, _)| part.length).sum();
        for start in (0..length).step_by(share) {
            let offset = first.offset + start as u64;
            let action = Action::Move(place.start + start);
            self.steps.push(Step { object, offset, length: share.min(length - start), action });
        }
    }

    /// Adds a step that decodes the first of `parts`, as many as are close together and not too much
    /// for one thread; says how many.
    fn decode_run(&mut self, object: usize, parts: &[(Part, Range<usize>)], share: usize) -> usize {
        let Some((first, _)) = parts.first() else { return 0 };
        let (start, mut end) = (first.offset, first.offset);
        let from = self.pieces.len();
        for (part, target) in parts {
            let next = part.offset + part.length as u64;
            let far = part.offset.saturating_sub(end) > GAP || next - start > share as u64;
            if self.pieces.len() > from
                && (far
                    || self.moved(&[(*part, target.clone())]).is_some()
                        && part.length >= LARGE_PART)
            {
                break;
            }
            let at = usize::try_from(part.offset - start).unwrap_or(usize::MAX);
            self.pieces.push(Piece {
                encoded: at..at + part.length,
                decoded: part.decoded,
                target: target.clone(),
            });
            end = end.max(next);
        }
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        let action = Action::Decode(from..self.pieces.len());
        self.steps.push(Step { object, offset: start, length, action });
        self.pieces.len() - from
    }
}

impl Plan {
    fn step(&self, step: &Step, scratch: &mut Scratch, output: &Memory) -> Result<()> {
        let Scratch { encoded, open, .. } = scratch;
        match &step.action {
            Action::Fill(range) => {
                if !self.zero {
                    // SAFETY: the places of steps do not overlap.
                    unsafe { output.part(range.clone()) }.fill(self.fill);
                }
                Ok(())
            }
            Action::Move(at) => {
                // SAFETY: the places of steps do not overlap.
                let target = unsafe { output.part(*at..at + step.length) };
                match &self.source {
                    Source::Memory(objects) => {
                        target.copy_from_slice(stored(&objects[step.object], step)?);
                        Ok(())
                    }
                    Source::Files { folder, names } => {
                        let file = files::open(open, folder, step.object, &names[step.object])?;
                        files::read(file, target, step.offset)
                    }
                }
            }
            Action::Decode(pieces) => {
                let pieces = &self.pieces[pieces.clone()];
                match &self.source {
                    Source::Memory(objects) => {
                        decode(pieces, stored(&objects[step.object], step)?, scratch, output)
                    }
                    Source::Files { folder, names } => {
                        let file = files::open(open, folder, step.object, &names[step.object])?;
                        files::read(file, at_least(encoded, step.length), step.offset)?;
                        let encoded = std::mem::take(encoded);
                        let result = decode(pieces, &encoded, scratch, output);
                        scratch.encoded = encoded;
                        result
                    }
                }
            }
        }
    }
}

fn stored<'o>(object: &'o [u8], step: &Step) -> Result<&'o [u8]> {
    let start = usize::try_from(step.offset)?;
    Ok(object.get(start..start + step.length).ok_or("an object is too short")?)
}

/// Decodes pieces to their places: straight if all of them is wanted.
fn decode(pieces: &[Piece], encoded: &[u8], scratch: &mut Scratch, output: &Memory) -> Result<()> {
    let Scratch { decoder, decoded, .. } = scratch;
    for piece in pieces {
        let encoded = &encoded[piece.encoded.clone()];
        // SAFETY: the places of pieces do not overlap.
        let target = unsafe { output.part(piece.target.clone()) };
        if piece.decoded == 0 {
            continue;
        }
        if target.len() == piece.decoded {
            decoder.decode(encoded, target)?;
        } else if matches!(decoder, crate::codec::Decoder::Raw) {
            target.copy_from_slice(encoded.get(..target.len()).ok_or("a part is too short")?);
        } else {
            let decoded = at_least(decoded, piece.decoded);
            decoder.decode(encoded, decoded)?;
            target.copy_from_slice(&decoded[..target.len()]);
        }
    }
    Ok(())
}

/// One read.
struct Read {
    plan: Arc<Plan>,
    output: Arc<Memory>,
    next: AtomicUsize,
}

impl Job for Read {
    fn work(&self, member: usize) -> Result<()> {
        let scratch = &mut *lock(&self.plan.scratches[member]);
        loop {
            let share = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(steps) = self.plan.shares.get(share) else { break };
            for step in &self.plan.steps[steps.clone()] {
                self.plan.step(step, scratch, &self.output)?;
            }
        }
        scratch.open = None;
        Ok(())
    }
}

/// The least that a read must do.
struct Reader {
    crew: Arc<Crew>,
    plan: Arc<Plan>,
    /// The result's memory, if it is kept.
    ready: Option<Arc<Memory>>,
    /// Whether there is too little to do for more than one thread.
    alone: bool,
}

impl Reader {
    fn read(&self) -> Result<Arc<Memory>> {
        let output = match &self.ready {
            Some(ready) => Arc::clone(ready),
            None => Arc::new(Memory::new(self.plan.size, self.plan.zero)?),
        };
        let plan = Arc::clone(&self.plan);
        let read = Read { plan, output: Arc::clone(&output), next: AtomicUsize::new(0) };
        let job: Arc<dyn Job> = Arc::new(read);
        self.crew.run(&job, self.alone)?;
        Ok(output)
    }
}

impl Task for Reader {
    fn call(&mut self, _content: usize) -> Result<()> {
        self.read().map(drop)
    }

    fn check(&mut self, scratch: &Path) -> Result<()> {
        let output = self.read()?;
        // SAFETY: the read is over, and has written all of it.
        let result = unsafe { output.written(0..self.plan.size) };
        Ok(std::fs::write(scratch.join("result.bin"), result)?)
    }

    fn touch(&mut self) -> Result<()> {
        // The smallest share.
        let plan = &self.plan;
        let Some(step) = plan.steps.iter().min_by_key(|step| weight(step)) else { return Ok(()) };
        let output = Memory::new(plan.size, true)?;
        plan.step(step, &mut lock(&plan.scratches[0]), &output)
    }
}
