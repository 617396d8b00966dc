//! The clock: engines take turns, and every result is checked.

use std::time::{Duration, Instant};

use crate::engine::{Engine, Result};
use crate::workload::Request;

/// Reads are repeated within one sample until it takes about this long, so that the clock's own
/// cost does not count.
const SAMPLE: Duration = Duration::from_millis(1);

/// Samples of each engine, at the least.
const SAMPLES: usize = 5;

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
    pub(crate) engine: String,
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
}

/// Times `request` on every engine within `budget`.
///
/// # Errors
/// An engine's, or one that says which engine gave something other than `expected`.
pub(crate) fn measure(
    engines: &[Box<dyn Engine>],
    request: Request,
    expected: &[u8],
    budget: Budget,
) -> Result<Vec<Times>> {
    let mut output = vec![0; expected.len()];
    let mut sample = |engine: &dyn Engine, repeats: u32| -> Result<Duration> {
        output.fill(0xa5);
        let time = engine.time(request, repeats, &mut output)?;
        if output != expected {
            return Err(format!("{} gives something else", engine.name()).into());
        }
        Ok(time)
    };
    let mut longest = Duration::ZERO;
    for engine in engines {
        sample(&**engine, 1)?;
        longest = longest.max(sample(&**engine, 1)?);
    }
    let repeats = SAMPLE.as_nanos() / longest.as_nanos().max(1) + 1;
    let repeats = u32::try_from(repeats)?;
    let mut times: Vec<Times> = engines
        .iter()
        .map(|engine| Times { engine: engine.name().to_owned(), milliseconds: Vec::new() })
        .collect();
    let start = Instant::now();
    for round in 0..budget.samples {
        if round >= SAMPLES && start.elapsed() >= budget.time {
            break;
        }
        for turn in 0..engines.len() {
            let number = (turn + round) % engines.len();
            let time = sample(&*engines[number], repeats)?;
            times[number].milliseconds.push(time.as_secs_f64() * 1e3 / f64::from(repeats));
        }
    }
    for times in &mut times {
        times.milliseconds.sort_by(f64::total_cmp);
    }
    Ok(times)
}
