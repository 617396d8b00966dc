//! Large chunks of which bytes are only moved, cut into slabs.

use std::borrow::Cow;
use std::ops::Range;

use super::machine::{Aim, Job, ReadMachine, State};
use crate::buffer::usize_of;
use crate::error::{Error, Result};
use crate::plan::machine::{Scratch, Step};
use crate::plan::transfer;
use crate::selection::Region;
use crate::store::Span;

impl ReadMachine<'_> {
    /// Into how many units the moving of the region's bytes is cut.
    pub(super) fn slabs(&self) -> usize {
        let slab = usize_of(self.shared.options.limits.tuning.slab.max(1));
        let bytes = self.region.count().saturating_mul(self.chain.element);
        if self.aim != Aim::Values || self.is_explained() || bytes / slab < 2 {
            return 1;
        }
        self.region.slabs(bytes / slab)
    }

    /// What a unit moves of the region, where all of them only move bytes.
    pub(super) fn slab(&self, unit: usize) -> Cow<'_, Region> {
        match self.begun.len() {
            0 | 1 => Cow::Borrowed(&self.region),
            slabs => Cow::Owned(self.region.slab(unit, slabs)),
        }
    }

    /// Whether each slab of the object that is asked for, of so many bytes, can be moved when it alone
    /// is read, and just what the spans ask for is read for all of them.
    pub(super) fn is_in_parts(&self, size: u64) -> bool {
        let is_one_chunk = self.state == State::Whole && size == self.chain.length as u64;
        let slabs = if is_one_chunk { self.slabs() } else { 1 };
        if slabs == 1 || !self.chain.is_raw() || self.keeps_object() {
            return false;
        }
        let may_be = self.capabilities.ranges && self.shared.options.direct_reads;
        if !may_be || !self.targets.is_empty() {
            return false;
        }
        let bounds = |region: &Region| transfer::bounds(&self.chain, &self.resolved, region);
        let lengths =
            (0..slabs).map(|slab| bounds(&self.region.slab(slab, slabs)).map(|it| it.len()));
        let asked = match &self.spans[..] {
            [Span::Range(range)] => usize_of(range.end - range.start),
            _ => self.chain.length,
        };
        lengths.sum::<Option<usize>>() == Some(asked)
    }

    /// Begins the moving of slabs that are read one by one: how many there are.
    pub(super) fn begin_slabs(&mut self) -> usize {
        self.spans.clear();
        match self.work(Job::Parts) {
            Step::Work(slabs) => slabs,
            _ => 0,
        }
    }

    /// Where the bytes of a slab are in the object.
    pub(super) fn slab_place(&self, unit: usize) -> Option<Range<u64>> {
        if self.state != State::Work(Job::Parts) || unit >= self.begun.len() {
            return None;
        }
        let bounds = transfer::bounds(&self.chain, &self.resolved, &self.slab(unit))?;
        Some(bounds.start as u64..bounds.end as u64)
    }

    /// Scatters a slab, of which these are the bytes.
    pub(super) fn scatter_slab(
        &self,
        unit: usize,
        bytes: &[u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let place = self.slab_place(unit).filter(|it| it.end - it.start == bytes.len() as u64);
        let Some(place) = place else {
            return Err(Error::invalid_argument("a unit was given other bytes than its own"));
        };
        let Self { chain, resolved, output, .. } = self;
        let part = (bytes, usize_of(place.start));
        transfer::scatter(chain, resolved, &self.slab(unit), part, output, &mut scratch.offsets)
    }
}
