//! Fault points, for tests: what is changed on the disk can be recorded, made to fail, and cut
//! short by the death of the process.
//!
//! All of it is of the whole process; tests that use it must not run at the same time.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, AtFlags, StatFs};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::system::{Call, Look};

/// A kind of system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named after what they do")]
pub enum Kind {
    Create,
    Lock,
    Write,
    Copy,
    Truncate,
    Touch,
    Sync,
    Rename,
    Unlink,
    MakeFolder,
    Close,
    FileSystem,
    Open,
    Status,
    StatusOf,
    Read,
    Duplicate,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Pass,
    /// It is not made, and fails with this error number.
    Fail(i32),
    /// It moves at most so many bytes.
    Short(usize),
    /// The process is killed instead.
    KillBefore,
    /// The process is killed when it is done.
    KillAfter,
}

/// The device and inode number of a file or folder.
pub type Identity = (u64, u64);

/// A call that succeeded, with all that is needed to do it again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the arguments of system calls")]
pub enum Event {
    Create { folder: Identity, name: OsString, file: Identity },
    Write { file: Identity, offset: u64, bytes: Vec<u8> },
    Truncate { file: Identity, length: u64 },
    Sync { file: Identity },
    Rename { from: Identity, name: OsString, to: Identity, new: OsString },
    Unlink { folder: Identity, name: OsString },
    MakeFolder { folder: Identity, name: OsString, made: Identity },
}

type Decide = Box<dyn Fn(usize, Kind) -> Action + Send>;

struct Script {
    decide: Decide,
    calls: Vec<Kind>,
    events: Vec<Event>,
    /// The calls that were made, those that change nothing included.
    trace: Vec<Kind>,
}

static SCRIPT: Mutex<Option<Script>> = Mutex::new(None);

/// Whether there is a script. Without one the lock is left alone, which a forked child may find
/// locked for ever.
static ACTIVE: AtomicBool = AtomicBool::new(false);

fn script() -> MutexGuard<'static, Option<Script>> {
    SCRIPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, `decide` says of each call (by its number, from 0, and kind) what becomes of it,
/// and those that succeed are recorded.
pub fn install(decide: impl Fn(usize, Kind) -> Action + Send + 'static) {
    ACTIVE.store(true, Ordering::SeqCst);
    *script() = Some(Script {
        decide: Box::new(decide),
        calls: Vec::new(),
        events: Vec::new(),
        trace: Vec::new(),
    });
}

/// All calls so far that an object's reading, writing and deleting cost: also those that change
/// nothing, of which `decide` is not asked. Begins anew.
#[must_use]
pub fn trace() -> Vec<Kind> {
    script().as_mut().map(|script| std::mem::take(&mut script.trace)).unwrap_or_default()
}

/// Notes a call that changes nothing.
pub(super) fn looked(look: Look) {
    if !ACTIVE.load(Ordering::SeqCst) {
        return;
    }
    if let Some(script) = script().as_mut() {
        script.trace.push(match look {
            Look::Open => Kind::Open,
            Look::Status => Kind::Status,
            Look::StatusOf => Kind::StatusOf,
            Look::Read => Kind::Read,
            Look::Duplicate => Kind::Duplicate,
            Look::Close => Kind::Close,
        });
    }
}

/// How many events are recorded so far.
#[must_use]
pub fn recorded() -> usize {
    script().as_ref().map_or(0, |script| script.events.len())
}

/// Ends what [`install`] began. Gives the calls that were asked for and the events recorded.
pub fn remove() -> (Vec<Kind>, Vec<Event>) {
    ACTIVE.store(false, Ordering::SeqCst);
    script().take().map(|script| (script.calls, script.events)).unwrap_or_default()
}

/// What a call gives, as far as the record needs it.
pub(super) trait Outcome {
    /// Bytes moved.
    fn moved(&self) -> usize {
        0
    }

    /// A file that was opened.
    fn opened(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Outcome for () {}

impl Outcome for StatFs {}

impl Outcome for usize {
    fn moved(&self) -> usize {
        *self
    }
}

impl Outcome for OwnedFd {
    fn opened(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }
}

/// Runs a call, if the script lets it. It is told how many bytes it may move at most.
pub(super) fn point<T: Outcome>(
    call: Call<'_>,
    run: impl FnOnce(usize) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if !ACTIVE.load(Ordering::SeqCst) {
        return run(usize::MAX);
    }
    let action = script().as_mut().map_or(Action::Pass, |script| {
        let action = (script.decide)(script.calls.len(), call.kind());
        script.calls.push(call.kind());
        script.trace.push(call.kind());
        action
    });
    let outcome = match action {
        Action::Pass | Action::KillAfter => run(usize::MAX)?,
        Action::Short(most) => run(most)?,
        Action::Fail(number) => return Err(Errno::from_raw_os_error(number)),
        Action::KillBefore => die(),
    };
    if action == Action::KillAfter {
        die();
    }
    let event = call.event(&outcome)?;
    if let Some(script) = script().as_mut() {
        script.events.extend(event);
    }
    Ok(outcome)
}

fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

impl Call<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Create { .. } => Kind::Create,
            Self::Lock => Kind::Lock,
            Self::Write { .. } => Kind::Write,
            Self::Copy { .. } => Kind::Copy,
            Self::Truncate { .. } => Kind::Truncate,
            Self::Touch => Kind::Touch,
            Self::Sync { .. } => Kind::Sync,
            Self::Rename { .. } => Kind::Rename,
            Self::Unlink { .. } => Kind::Unlink,
            Self::MakeFolder { .. } => Kind::MakeFolder,
            Self::Close => Kind::Close,
            Self::FileSystem => Kind::FileSystem,
        }
    }

    fn event(&self, outcome: &impl Outcome) -> Result<Option<Event>, Errno> {
        Ok(Some(match *self {
            Self::Create { folder, name } => {
                let Some(file) = outcome.opened() else { return Ok(None) };
                let (folder, name) = place(folder, name)?;
                Event::Create { folder, name, file: identity(file)? }
            }
            Self::Write { file, offset } | Self::Copy { file, offset } => {
                let mut bytes = vec![0; outcome.moved()];
                let read = rustix::io::pread(file, &mut bytes, offset)?;
                bytes.truncate(read);
                Event::Write { file: identity(file)?, offset, bytes }
            }
            Self::Truncate { file, length } => Event::Truncate { file: identity(file)?, length },
            Self::Sync { file } => Event::Sync { file: identity(file)? },
            Self::Rename { from, name, to, new } => {
                let ((from, name), (to, new)) = (place(from, name)?, place(to, new)?);
                Event::Rename { from, name, to, new }
            }
            Self::Unlink { folder, name } => {
                let (folder, name) = place(folder, name)?;
                Event::Unlink { folder, name }
            }
            Self::MakeFolder { folder, name } => {
                let stat = fs::statat(folder, name, AtFlags::empty())?;
                let (folder, name) = place(folder, name)?;
                Event::MakeFolder { folder, name, made: (stat.st_dev, stat.st_ino) }
            }
            Self::Lock | Self::Touch | Self::Close | Self::FileSystem => return Ok(None),
        }))
    }
}

fn identity(file: BorrowedFd<'_>) -> Result<Identity, Errno> {
    let stat = fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The folder that holds what a path below a folder leads to, and its name.
fn place(folder: BorrowedFd<'_>, path: &OsStr) -> Result<(Identity, OsString), Errno> {
    let path = path.as_bytes().strip_suffix(b"/").unwrap_or(path.as_bytes());
    let (above, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (&b"/"[..], &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b"."[..], path),
    };
    let stat = fs::statat(folder, above, AtFlags::empty())?;
    Ok(((stat.st_dev, stat.st_ino), OsStr::from_bytes(name).to_owned()))
}
