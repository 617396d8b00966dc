//! What this process holds locked, and what becomes of it in a forked child.
//!
//! A forked child inherits the descriptors of its parent's lock files, and would keep the locks
//! alive after the parent is gone. So all of them are in a table, and a child closes them, which
//! releases nothing as long as the parent has them open. What the child inherited of the parent's
//! writes knows from a generation number that it is no longer anybody's.

#![expect(unsafe_code, reason = "fork handlers, and a lock that no safe wrapper offers")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use rustix::io::{Errno, retry_on_intr};

use super::system::{Call, Look, looked, point};

/// Grows in each forked child.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Shared by those who open and close lock files, and taken alone by who forks: a descriptor is
/// open exactly while it is in the table.
static GATE: RwLock<()> = RwLock::new(());

static TABLE: Mutex<Table> = Mutex::new(Table { descriptors: Vec::new(), names: BTreeSet::new() });

/// Told of each name that becomes free.
static FREED: Condvar = Condvar::new();

/// The device and inode number of a folder, and a name in it.
pub(super) type Name = (u64, u64, OsString);

struct Table {
    descriptors: Vec<RawFd>,
    names: BTreeSet<Name>,
}

type Guards = (RwLockWriteGuard<'static, ()>, MutexGuard<'static, Table>);

thread_local! {
    /// What the thread that forks holds from before the fork until after it.
    static FORKING: RefCell<Option<Guards>> = const { RefCell::new(None) };
}

fn gate() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn generation() -> u32 {
    GENERATION.load(Ordering::Acquire)
}

/// Runs something short during which no thread of this process forks, once forks are
/// [watched](watch_forks): a lock that is held only here is free in every child. It is told the
/// generation of the process, which a child has another of.
pub(super) fn between_forks<T>(act: impl FnOnce(u32) -> T) -> T {
    let _gate = gate();
    act(generation())
}

extern "C" fn before_fork() {
    let _ = FORKING.try_with(|forking| {
        let mut forking = forking.borrow_mut();
        if forking.is_none() {
            *forking = Some((GATE.write().unwrap_or_else(PoisonError::into_inner), table()));
        }
    });
}

extern "C" fn after_fork_in_parent() {
    let _ = FORKING.try_with(RefCell::take);
}

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
    let Ok(Some((_gate, mut table))) = FORKING.try_with(RefCell::take) else { return };
    for descriptor in table.descriptors.drain(..) {
        // SAFETY: it was open when the table was locked before the fork, so it is open in this
        // child, and every owner of it is of another generation now and will not touch it.
        unsafe { libc::close(descriptor) };
    }
    // The names are the parent's business. Nothing is freed here: another thread of the parent may
    // have been allocating.
    std::mem::forget(std::mem::take(&mut table.names));
}

/// Sees to it that forks are noticed.
pub(super) fn watch_forks() -> Result<(), Errno> {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    // No `OnceLock`: forked while another thread was at it, a child would wait for that thread. The
    // handlers may be there more than once.
    if WATCHED.load(Ordering::Acquire) {
        return Ok(());
    }
    let (before, parent, child) = (before_fork, after_fork_in_parent, after_fork_in_child);
    // SAFETY: the handlers are functions without captures that live as long as the program.
    match unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) } {
        0 => {
            WATCHED.store(true, Ordering::Release);
            Ok(())
        }
        outcome => Err(Errno::from_raw_os_error(outcome)),
    }
}

/// An open file that a forked child closes.
#[derive(Debug)]
pub(super) struct Watched {
    file: Option<OwnedFd>,
    generation: u32,
}

impl Watched {
    /// Keeps what `open` opens.
    pub(super) fn open(open: impl FnOnce() -> Result<OwnedFd, Errno>) -> Result<Self, Errno> {
        watch_forks()?;
        let _gate = gate();
        let file = open()?;
        table().descriptors.push(file.as_raw_fd());
        Ok(Self { file: Some(file), generation: generation() })
    }

    /// The file; `None` in a process that was forked since it was opened.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        if self.generation != generation() {
            return None;
        }
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Has the file system report what it put off, as closing does on network file systems, while
    /// the file and its lock stay.
    pub(super) fn report(&self) -> Result<(), Errno> {
        let Some(file) = self.file() else { return Err(Errno::BADF) };
        // Behind the gate: a child of a fork would inherit the second descriptor, and the lock.
        let _gate = gate();
        looked(Look::Duplicate);
        let second = rustix::io::fcntl_dupfd_cloexec(file, 0)?.into_raw_fd();
        let closed = point(Call::Close, |_| {
            // SAFETY: duplicated above, and its owner given up.
            let outcome = unsafe { libc::close(second) };
            if outcome == 0 { Ok(()) } else { Err(last_error()) }
        });
        match closed {
            // Closed nevertheless, on Linux.
            Err(Errno::INTR) => Ok(()),
            other => other,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let _gate = gate();
        if self.generation != generation() {
            // Closed by the fork handler; the number may be another file's by now.
            let _ = file.into_raw_fd();
            return;
        }
        let mut table = table();
        let descriptor = file.as_raw_fd();
        if let Some(position) = table.descriptors.iter().position(|&known| known == descriptor) {
            table.descriptors.swap_remove(position);
        }
        drop(table);
        looked(Look::Close);
        drop(file);
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Waits for the lock of an open file, and takes it. It belongs to the open file description, as
/// those of tensorstore do; `flock` would not exclude them.
pub(super) fn lock(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: a record of integers, for which zeros are a value: the whole file.
    let mut record: libc::flock = unsafe { std::mem::zeroed() };
    #[expect(clippy::cast_possible_truncation, reason = "a small constant, of a wider type in C")]
    {
        record.l_type = libc::F_WRLCK as libc::c_short;
        record.l_whence = libc::SEEK_SET as libc::c_short;
    }
    retry_on_intr(|| {
        point(Call::Lock, |_| {
            // SAFETY: the descriptor is open while it is borrowed, and the kernel only reads the
            // record during the call.
            let outcome =
                unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw const record) };
            if outcome == 0 { Ok(()) } else { Err(last_error()) }
        })
    })
}

/// A name that this process has for itself, where the file system cannot lock.
#[derive(Debug)]
pub(super) struct Claim {
    name: Option<Name>,
    generation: u32,
}

impl Claim {
    /// Waits until nobody else of this process has the name.
    pub(super) fn new(name: Name) -> Result<Self, Errno> {
        watch_forks()?;
        let mut table = table();
        while !table.names.insert(name.clone()) {
            table = FREED.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Self { name: Some(name), generation: generation() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let mut table = table();
        if self.generation == generation() {
            table.names.remove(&name);
            FREED.notify_all();
        }
    }
}
