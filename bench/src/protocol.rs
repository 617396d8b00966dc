//! Requests and answers.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Result;
use crate::cell::{Cell, Paths, Trace};
use crate::engine::Engine;
use crate::floor::Floor;
use crate::task::{self, Task};
use crate::{engine, memory};

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Request {
    Open {
        cell: Box<Cell>,
        folder: PathBuf,
        scratch: PathBuf,
        values: PathBuf,
        other: PathBuf,
        #[serde(default)]
        trace: Option<Trace>,
    },
    Check,
    Turn {
        calls: u32,
    },
    Memory,
    Versions,
    Close,
}

/// What opens cells.
enum Kind {
    Engine(Arc<dyn Engine>),
    Floor(Floor),
}

/// An engine with at most one cell open.
pub(crate) struct Worker {
    kind: Kind,
    open: Option<Open>,
}

struct Open {
    task: Box<dyn Task>,
    scratch: PathBuf,
    /// Which content was written last.
    content: usize,
}

/// An engine does not do what a cell asks for.
#[derive(Debug)]
pub(crate) struct Not(pub(crate) String);

impl std::fmt::Display for Not {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Not {}

/// An error for what an engine does not do.
pub(crate) fn not<T>(reason: &str) -> Result<T> {
    Err(Box::new(Not(reason.to_owned())))
}

impl Worker {
    pub(crate) fn new(name: &str, workers: usize) -> Result<Self> {
        let kind = match name {
            "fuzarr rust" => Kind::Engine(Arc::new(engine::Fuzarr::new(workers))),
            "zarrs rust" => Kind::Engine(Arc::new(engine::Zarrs::new(workers)?)),
            "floor ready" => Kind::Floor(Floor::new(workers, false)?),
            "floor fresh" => Kind::Floor(Floor::new(workers, true)?),
            _ => return Err(format!("no such engine: {name}").into()),
        };
        Ok(Self { kind, open: None })
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Value {
        match self.try_answer(request) {
            Ok(answer) => answer,
            Err(error) => match error.downcast_ref::<Not>() {
                Some(not) => json!({"not": not.0}),
                None => json!({"error": error.to_string()}),
            },
        }
    }

    fn try_answer(&mut self, request: &Request) -> Result<Value> {
        match request {
            Request::Open { cell, folder, scratch, values, other, trace } => {
                self.open = None;
                let contents = [values.clone(), other.clone()];
                let paths = Paths { folder: folder.clone(), scratch: scratch.clone(), contents };
                let task = match &self.kind {
                    Kind::Engine(engine) => engine::open(engine, cell, &paths)?,
                    Kind::Floor(floor) => floor.open(cell, trace.as_ref(), &paths)?,
                };
                self.open = Some(Open { task, scratch: scratch.clone(), content: 0 });
                Ok(json!({"ok": true}))
            }
            Request::Check => {
                self.run(|open| open.task.check(&open.scratch).inspect(|()| open.content = 0))?;
                Ok(json!({"ok": true}))
            }
            Request::Turn { calls } => {
                let turn = |open: &mut Open| task::turn(&mut *open.task, *calls, &mut open.content);
                let time = self.run(turn)?;
                Ok(json!({"seconds": time.as_secs_f64()}))
            }
            Request::Memory => self.run(|open| memory::measure(&mut *open.task)),
            Request::Versions => Ok(json!({"versions": match &self.kind {
                Kind::Engine(engine) => engine.versions(),
                Kind::Floor(floor) => floor.versions(),
            }})),
            Request::Close => {
                self.open = None;
                Ok(json!({"ok": true}))
            }
        }
    }

    /// Runs something with the open cell where the engine's threads are at hand.
    fn run<T: Send>(&mut self, run: impl FnOnce(&mut Open) -> Result<T> + Send) -> Result<T> {
        let open = self.open.as_mut().ok_or("no cell is open")?;
        let Kind::Engine(engine) = &self.kind else { return run(open) };
        let mut result = None;
        let mut run = Some(run);
        engine.within(&mut || result = run.take().map(|run| run(open)));
        result.ok_or("the engine did not run it")?
    }
}
