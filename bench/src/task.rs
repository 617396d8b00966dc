//! What a worker is asked to do again and again.

use std::time::{Duration, Instant};

use crate::Result;

/// One operation, ready to be called.
pub(crate) trait Task: Send {
    /// Whether [`prepare`](Self::prepare) does anything.
    fn prepares(&self) -> bool {
        false
    }

    /// Brings everything into the state in which a call starts.
    ///
    /// # Errors
    /// The engine's.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// The operation. If it writes: one of two contents.
    ///
    /// # Errors
    /// The engine's.
    fn call(&mut self, content: usize) -> Result<()>;

    /// Calls once, and leaves in `scratch` what that gave, for others to judge.
    ///
    /// # Errors
    /// The engine's, and those of writing files.
    fn check(&mut self, scratch: &std::path::Path) -> Result<()>;

    /// Touches what every call needs, with as little work as there is.
    ///
    /// # Errors
    /// The engine's.
    fn touch(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The time of so many calls; the first writes other content than the last before did.
pub(crate) fn turn(task: &mut dyn Task, calls: u32, content: &mut usize) -> Result<Duration> {
    let mut next = || {
        *content ^= 1;
        *content
    };
    if !task.prepares() {
        let start = Instant::now();
        for _ in 0..calls {
            task.call(next())?;
        }
        return Ok(start.elapsed());
    }
    let mut time = Duration::ZERO;
    for _ in 0..calls {
        task.prepare()?;
        let content = next();
        let start = Instant::now();
        task.call(content)?;
        time += start.elapsed();
    }
    Ok(time)
}
