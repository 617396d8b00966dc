//! The clock: engines take turns, and every result is checked.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::engine::{self, Engine, Name, Result, Writer};
use crate::workload::{Change, ELEMENT, Layout, Request, usize_of};

/// Requests are repeated within one sample until it takes about this long, so that the clock's own
/// cost does not count.
const SAMPLE: Duration = Duration::from_millis(1);

/// Samples of each engine, at the least.
const SAMPLES: usize = 5;

/// A request that takes this long is slow,
const SLOW: Duration = Duration::from_millis(300);

/// and sampled less often.
const SLOW_SAMPLES: usize = 3;

/// How long a row is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// For all engines together.
    pub(crate) time: Duration,
    /// Samples of each engine, at the most.
    pub(crate) samples: usize,
}

/// The times of one engine for one request, in milliseconds.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) engine: Name,
    /// Sorted.
    milliseconds: Vec<f64>,
}

impl Times {
    pub(crate) fn median(&self) -> f64 {
        let middle = self.milliseconds.len() / 2;
        self.milliseconds.get(middle).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.milliseconds.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn most(&self) -> f64 {
        self.milliseconds.last().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn samples(&self) -> usize {
        self.milliseconds.len()
    }

    /// Of milliseconds in any order.
    pub(crate) fn new(engine: Name, mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        Self { engine, milliseconds }
    }
}

/// One engine's request: runs it so many times, and says how long that took.
struct Runner<'a> {
    engine: &'a Name,
    sample: Box<dyn Fn(u32) -> Result<Duration> + 'a>,
}

/// Times `request` on every engine within `budget`.
///
/// # Errors
/// An engine's, or one that says which engine gave something other than `expected`.
pub(crate) fn reads(
    engines: &[Box<dyn Engine>],
    request: Request,
    expected: &[u8],
    budget: Budget,
) -> Result<Vec<Times>> {
    let output = &RefCell::new(vec![0; expected.len()]);
    let mut runners = Vec::new();
    for engine in engines.iter().filter(|engine| engine.offers(request)) {
        let sample = move |repeats| {
            let output = &mut *output.borrow_mut();
            output.fill(0xa5);
            let time = engine.time(request, repeats, output)?;
            if *output == expected {
                return Ok(time);
            }
            Err(format!("{} gives something else", engine.name()).into())
        };
        runners.push(Runner { engine: engine.name(), sample: Box::new(sample) });
    }
    take_turns(&runners, budget)
}

/// Times `change` on every writer within `budget`, and checks what each has then stored. `contents`
/// are two contents of the whole array.
///
/// # Errors
/// An engine's, or one that says which engine wrote something else.
pub(crate) fn writes(
    layout: &'static Layout,
    writers: &[Box<dyn Writer>],
    change: Change,
    contents: [&[u8]; 2],
    budget: Budget,
) -> Result<Vec<Times>> {
    let changed = layout.changed(change);
    let changed = usize_of(changed.start) * ELEMENT..usize_of(changed.end) * ELEMENT;
    let parts = contents.map(|content| &content[changed.clone()]);
    for writer in writers {
        writer.write(Change::Whole, contents[0])?;
    }
    let mut runners = Vec::new();
    for writer in writers {
        let written = Cell::new(false);
        // Each repeat, of this sample and the last, writes something else than was there.
        let sample = move |repeats: u32| {
            let [first, second] = parts;
            let turned = written.replace(written.get() ^ (repeats % 2 == 1));
            let order = if turned { [first, second] } else { [second, first] };
            writer.time(change, repeats, order)
        };
        runners.push(Runner { engine: writer.name(), sample: Box::new(sample) });
    }
    let times = take_turns(&runners, budget)?;
    let mut expected = contents[0].to_vec();
    expected[changed].copy_from_slice(parts[1]);
    for writer in writers {
        writer.write(change, parts[1])?;
        engine::verify(layout, &**writer, &expected)?;
    }
    Ok(times)
}

fn take_turns(runners: &[Runner], budget: Budget) -> Result<Vec<Times>> {
    let mut longest = Duration::ZERO;
    if runners.is_empty() {
        return Ok(Vec::new());
    }
    for runner in runners {
        let mut time = (runner.sample)(1)?;
        if time < SLOW {
            time = (runner.sample)(1)?;
        }
        longest = longest.max(time);
    }
    let repeats = SAMPLE.as_nanos() / longest.as_nanos().max(1) + 1;
    let repeats = u32::try_from(repeats)?;
    let least = if longest < SLOW { SAMPLES } else { SLOW_SAMPLES };
    let mut milliseconds = vec![Vec::new(); runners.len()];
    let start = Instant::now();
    for round in 0..budget.samples {
        if round >= least && start.elapsed() >= budget.time {
            break;
        }
        for turn in 0..runners.len() {
            let number = (turn + round) % runners.len();
            let time = (runners[number].sample)(repeats)?;
            milliseconds[number].push(time.as_secs_f64() * 1e3 / f64::from(repeats));
        }
    }
    let all = runners.iter().zip(milliseconds);
    Ok(all.map(|(runner, times)| Times::new(runner.engine.clone(), times)).collect())
}
