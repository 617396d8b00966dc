//! Where words go: which elements are shown, brackets, line breaks, indentation.

use fuzarr::{Error, Result};

/// Elements beyond which an array is shortened.
const THRESHOLD: usize = 1000;
/// Elements shown at either end of a shortened axis.
const EDGE: usize = 3;
/// Characters in a line.
const LINE_WIDTH: usize = 75;

/// One axis as it is shown.
#[derive(Debug)]
pub(super) struct Axis {
    length: usize,
    shortened: bool,
}

impl Axis {
    /// How many of the axis' positions are shown.
    fn shown(&self) -> usize {
        if self.shortened { 2 * EDGE } else { self.length }
    }

    /// The position shown as number `index`.
    fn position(&self, index: usize) -> usize {
        if self.shortened && index >= EDGE { self.length - 2 * EDGE + index } else { index }
    }

    /// Whether every position of the axis is shown.
    pub(super) fn is_whole(&self) -> bool {
        !self.shortened
    }

    /// The positions that are shown.
    pub(super) fn positions(&self) -> Vec<u64> {
        (0..self.shown()).map(|index| self.position(index) as u64).collect()
    }

    /// Whether `...` comes before what is shown as number `index`.
    fn gap_before(&self, index: usize) -> bool {
        self.shortened && index == EDGE
    }
}

/// The axes of an array of `shape`.
pub(super) fn axes(shape: &[u64]) -> Result<Vec<Axis>> {
    let lengths =
        shape.iter().map(|&length| usize::try_from(length)).collect::<Result<Vec<_>, _>>();
    let lengths = lengths.map_err(|_| Error::limit("an axis is longer than memory"))?;
    let count = lengths.iter().fold(1_usize, |count, &length| count.saturating_mul(length));
    let shorten = count > THRESHOLD;
    let axis = |length| Axis { length, shortened: shorten && length > 2 * EDGE };
    Ok(lengths.into_iter().map(axis).collect())
}

/// Offsets, in elements, of those shown, in C order. No axis may be of length 0.
pub(super) fn offsets(axes: &[Axis]) -> Vec<usize> {
    let mut offsets = vec![0];
    for axis in axes {
        offsets = offsets
            .iter()
            .flat_map(|outer| {
                (0..axis.shown()).map(move |index| outer * axis.length + axis.position(index))
            })
            .collect();
    }
    offsets
}

/// Puts the words of the elements shown between brackets.
pub(super) fn text(axes: &[Axis], words: &[String]) -> String {
    let mut writer = Writer { words: words.iter(), out: String::new(), indent: 1 };
    writer.block(axes);
    writer.out
}

struct Writer<'a> {
    words: std::slice::Iter<'a, String>,
    out: String,
    /// Column at which the content of the current bracket starts.
    indent: usize,
}

impl Writer<'_> {
    fn block(&mut self, axes: &[Axis]) {
        let Some((axis, inner)) = axes.split_first() else { return };
        self.out.push('[');
        if inner.is_empty() {
            self.row(axis);
        } else {
            let separator = "\n".repeat(inner.len());
            for index in 0..axis.shown() {
                if axis.gap_before(index) {
                    self.indentation();
                    self.out.push_str("...");
                    self.out.push_str(&separator);
                }
                if index > 0 {
                    self.indentation();
                }
                self.indent += 1;
                self.block(inner);
                self.indent -= 1;
                if index + 1 < axis.shown() {
                    self.out.push_str(&separator);
                }
            }
        }
        self.out.push(']');
    }

    /// The words of the last axis, wrapped.
    fn row(&mut self, axis: &Axis) {
        // One column for each bracket that may close at the end of a line: `indent` of them.
        let width = LINE_WIDTH - self.indent;
        let mut line = Line { text: String::new(), column: self.indent };
        for index in 0..axis.shown() {
            if axis.gap_before(index) {
                self.extend(&mut line, "...", width);
                line.push(" ");
            }
            let word = self.words.next().map_or("", String::as_str);
            self.extend(&mut line, word, width);
            if index + 1 < axis.shown() {
                line.push(" ");
            }
        }
        self.out.push_str(&line.text);
    }

    fn extend(&mut self, line: &mut Line, word: &str, width: usize) {
        // A word too long for any line stays where it is at the start of one.
        if line.column + word.chars().count() > width && line.column > self.indent {
            self.out.push_str(line.text.trim_end());
            self.out.push('\n');
            self.indentation();
            *line = Line { text: String::new(), column: self.indent };
        }
        line.push(word);
    }

    fn indentation(&mut self) {
        self.out.extend(std::iter::repeat_n(' ', self.indent));
    }
}

struct Line {
    text: String,
    column: usize,
}

impl Line {
    fn push(&mut self, word: &str) {
        self.text.push_str(word);
        self.column += word.chars().count();
    }
}
