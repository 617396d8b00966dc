//! Folders whose changes are not on the disk yet: noted while a request runs, synced at its end.
//!
//! What a request waits for are the folders noted since it began. Others may have been noted in
//! between; syncing those too does no harm, and whose turn comes later finds them done. A failure
//! reaches every request that was running when it happened, since nothing tells whose changes the
//! failed sync has lost: the kernel reports them once.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{self, AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use super::process;
use super::system::{self, Opened};

/// How many folders wait to be synced at most; each takes a descriptor.
const MOST: usize = 64;

/// How many folders are remembered to be durable, and how many new ones to become it.
const REMEMBERED: usize = 10_000;

/// The device and inode number of a file or folder.
pub(super) type Identity = (u64, u64);

/// What tells a folder from a later one of the same name: device, inode number, and when it was
/// made, as inode numbers are used again.
pub(super) type Birth = (u32, u32, u64, i64, u32);

/// How a folder is synced.
type Sync<'a> = &'a dyn Fn(&Opened) -> Result<(), Errno>;

/// The folders of a store that have to be synced.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Of which process the rest is; a forked child has no part in what its parent waits for.
    generation: u32,
    /// Grows with all that happens.
    clock: u64,
    folders: BTreeMap<Identity, Pending>,
    /// New folders, by path, that are durable when the folders above them are synced.
    arrivals: HashMap<String, Arrival>,
    /// Folders, by path, that are reachable from the root after a power cut.
    durable: HashMap<String, Birth>,
    /// When a folder last could not be synced, and why.
    failure: Option<(u64, Errno)>,
}

/// A folder to be synced.
#[derive(Debug)]
struct Pending {
    /// Held, so that it is found wherever it is moved, and not mistaken for another.
    folder: Arc<Opened>,
    /// When it was noted first and last, of the times that no sync covers.
    first: u64,
    last: u64,
    /// Held by whoever syncs it.
    turn: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Arrival {
    birth: Birth,
    at: u64,
    above: Vec<Identity>,
}

/// Times after the first and up to the second.
type Span = (u64, u64);

impl Pending {
    fn is_noted_in(&self, (since, until): Span) -> bool {
        self.first <= until && self.last > since
    }
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Notes a folder that is noted already; whether it is.
    fn note_again(&mut self, identity: Identity) -> bool {
        let now = self.tick();
        self.folders.get_mut(&identity).map(|pending| pending.last = now).is_some()
    }

    /// The longest waiting folder, if too many wait.
    fn surplus(&self) -> Option<(Identity, Arc<Mutex<()>>)> {
        let oldest = self.folders.iter().min_by_key(|(_, pending)| pending.last)?;
        let (identity, pending) = oldest;
        (self.folders.len() > MOST).then(|| (*identity, Arc::clone(&pending.turn)))
    }

    /// The folders of a span are synced: what arrived in it is durable.
    fn end(&mut self, (since, until): Span) -> Result<(), Errno> {
        let failure = self.failure.filter(|(at, _)| *at > since);
        let is_over = |_: &String, arrival: &mut Arrival| arrival.at > since && arrival.at <= until;
        let arrived: Vec<_> = self.arrivals.extract_if(is_over).collect();
        if let Some((_, errno)) = failure {
            return Err(errno);
        }
        if self.durable.len() + arrived.len() > REMEMBERED {
            self.durable.clear();
        }
        self.durable.extend(arrived.into_iter().map(|(path, arrival)| (path, arrival.birth)));
        Ok(())
    }
}

impl Unsettled {
    /// A table without folders.
    ///
    /// # Errors
    /// If forks cannot be noticed.
    pub(super) fn new() -> Result<Self, Errno> {
        process::watch_forks()?;
        Ok(Self::default())
    }

    /// Looks at the table. No thread forks meanwhile, so that no child finds it locked for ever.
    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        process::between_forks(|generation| {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            if table.generation != generation {
                table.generation = generation;
                table.folders.clear();
                table.arrivals.clear();
            }
            act(&mut table)
        })
    }

    /// Now.
    pub(super) fn moment(&self) -> u64 {
        self.with(Table::tick)
    }

    /// Notes that a folder has changed. If too many wait, one of them is synced at once.
    pub(super) fn note(&self, folder: &Arc<Opened>) {
        self.note_with(folder, &sync_folder);
    }

    fn note_with(&self, folder: &Arc<Opened>, sync: Sync<'_>) -> Option<Identity> {
        let identity = match system::status(folder.as_fd()) {
            Ok(status) => (status.st_dev, status.st_ino),
            Err(_) => {
                if let Err(errno) = sync(folder) {
                    self.with(|table| table.failure = Some((table.tick(), errno)));
                }
                return None;
            }
        };
        let surplus = self.with(|table| {
            if !table.note_again(identity) {
                let (folder, now) = (Arc::clone(folder), table.clock);
                let turn = Arc::default();
                table.folders.insert(identity, Pending { folder, first: now, last: now, turn });
            }
            table.surplus().map(|surplus| (surplus, (0, table.clock)))
        });
        if let Some(((identity, turn), span)) = surplus {
            self.sync_one(identity, &turn, span, sync);
        }
        Some(identity)
    }

    /// Notes the folders above a new one, which is durable when they are.
    pub(super) fn arrive(&self, path: &str, birth: Option<Birth>, above: &[Arc<Opened>]) {
        let mut noted = Vec::with_capacity(above.len());
        for folder in above {
            noted.extend(self.note_with(folder, &sync_folder));
        }
        let Some(birth) = birth.filter(|_| noted.len() == above.len()) else { return };
        self.with(|table| {
            if table.arrivals.len() >= REMEMBERED {
                table.arrivals.clear();
            }
            let arrival = Arrival { birth, at: table.tick(), above: noted };
            table.arrivals.insert(path.to_owned(), arrival);
        });
    }

    /// Whether nothing has to be done to make a folder durable, but to settle.
    pub(super) fn is_reachable(&self, path: &str, birth: Option<Birth>) -> bool {
        let Some(birth) = birth else { return false };
        self.with(|table| {
            if table.durable.get(path) == Some(&birth) {
                return true;
            }
            let Some(mut arrival) = table.arrivals.remove(path) else { return false };
            let is_known = arrival.birth == birth
                && arrival.above.iter().all(|&above| table.note_again(above));
            if is_known {
                arrival.at = table.tick();
                table.arrivals.insert(path.to_owned(), arrival);
            }
            is_known
        })
    }

    /// Forgets which folders are reachable: some have moved.
    pub(super) fn forget(&self) {
        self.with(|table| {
            table.arrivals.clear();
            table.durable.clear();
        });
    }

    /// Waits until the folders that were noted since a moment are synced, by this thread or others.
    ///
    /// # Errors
    /// Why a folder could not be synced since then.
    pub(super) fn settle(&self, since: u64) -> Result<(), Errno> {
        self.settle_with(since, &sync_folder)
    }

    fn settle_with(&self, since: u64, sync: Sync<'_>) -> Result<(), Errno> {
        let span = (since, self.moment());
        loop {
            let next = self.with(|table| {
                let mut folders = table.folders.iter();
                match folders.find(|(_, pending)| pending.is_noted_in(span)) {
                    Some((identity, pending)) => Ok((*identity, Arc::clone(&pending.turn))),
                    None => Err(table.end(span)),
                }
            });
            match next {
                Ok((identity, turn)) => self.sync_one(identity, &turn, span, sync),
                Err(end) => return end,
            }
        }
    }

    /// Syncs a folder when it is its turn, unless others have done so by then.
    fn sync_one(&self, identity: Identity, turn: &Arc<Mutex<()>>, span: Span, sync: Sync<'_>) {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.with(|table| {
            let begun = table.tick();
            let pending = table.folders.get(&identity)?;
            let is_due = Arc::ptr_eq(&pending.turn, turn) && pending.is_noted_in(span);
            is_due.then(|| (Arc::clone(&pending.folder), begun))
        });
        let Some((folder, begun)) = begun else { return };
        let outcome = match sync(&folder) {
            // It is gone, and what was in it.
            Err(Errno::NOENT) => Ok(()),
            outcome => outcome,
        };
        let done = self.with(|table| {
            if let Err(errno) = outcome {
                table.failure = Some((table.tick(), errno));
            }
            match table.folders.get_mut(&identity) {
                Some(pending) if pending.last > begun => {
                    pending.first = begun + 1;
                    None
                }
                _ => table.folders.remove(&identity),
            }
        });
        // Closed without the table in hand.
        drop(done);
    }
}

/// Which folder this is; `None` if the file system does not say.
pub(super) fn birth(folder: &Opened) -> Result<Option<Birth>, Errno> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let stat = match fs::statx(folder.as_fd(), "", AtFlags::EMPTY_PATH, wanted) {
        Ok(stat) => stat,
        Err(Errno::NOSYS) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let is_told = stat.stx_mask & wanted.bits() == wanted.bits();
    let made = stat.stx_btime;
    let birth = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino, made.tv_sec, made.tv_nsec);
    Ok(is_told.then_some(birth))
}

/// Syncs a folder that is open as a place only.
fn sync_folder(folder: &Opened) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let opened = system::open_anywhere(folder.as_fd(), ".".as_ref(), flags)?;
    system::sync(opened.as_fd())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use rustix::fs::CWD;

    use super::*;

    /// Folders of their own, open.
    fn folders(count: usize) -> (tempfile::TempDir, Vec<Arc<Opened>>) {
        let place = tempfile::tempdir().unwrap();
        let open = |nth: usize| {
            let path = place.path().join(nth.to_string());
            std::fs::create_dir(&path).unwrap();
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            Arc::new(system::open_anywhere(CWD, path.as_os_str(), flags).unwrap())
        };
        let folders = (0..count).map(open).collect();
        (place, folders)
    }

    #[test]
    fn who_changed_a_folder_that_is_being_synced_waits_for_it() {
        let (_place, folders) = folders(1);
        let table = Unsettled::new().unwrap();
        for outcome in [Ok(()), Err(Errno::IO)] {
            let syncs = AtomicUsize::new(0);
            let since = table.moment();
            table.note(&folders[0]);
            let (begun, begins) = mpsc::channel();
            let (go_on, goes_on) = mpsc::channel::<()>();
            let goes_on = Mutex::new(goes_on);
            let slow = |_: &Opened| {
                syncs.fetch_add(1, Ordering::Relaxed);
                begun.send(()).unwrap();
                goes_on.lock().unwrap().recv().unwrap();
                outcome
            };
            std::thread::scope(|scope| {
                let (table, syncs, slow) = (&table, &syncs, &slow);
                let first = scope.spawn(move || table.settle_with(since, slow));
                begins.recv().unwrap();
                let (done, ends) = mpsc::channel();
                let second = scope.spawn(move || {
                    let settled = table.settle_with(since, &|_| {
                        syncs.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    });
                    done.send(()).unwrap();
                    settled
                });
                // Who changed nothing since waits for nobody.
                let later = table.moment();
                table.settle(later).unwrap();
                assert!(ends.recv_timeout(std::time::Duration::from_millis(50)).is_err());
                go_on.send(()).unwrap();
                assert_eq!(first.join().unwrap(), outcome);
                assert_eq!(second.join().unwrap(), outcome);
            });
            assert_eq!(syncs.into_inner(), 1);
        }
    }

    #[test]
    fn what_changes_while_a_folder_is_synced_is_synced_by_who_changed_it() {
        let (_place, folders) = folders(1);
        let table = Unsettled::new().unwrap();
        let mine = table.moment();
        table.note(&folders[0]);
        let theirs = table.moment();
        let syncs = AtomicUsize::new(0);
        let sync = |_: &Opened| {
            // Others go on and on: that is not waited for.
            table.note(&folders[0]);
            syncs.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        table.settle_with(mine, &sync).unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), 1);
        table.settle_with(theirs, &sync).unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn few_folders_wait_however_many_change() {
        let (_place, folders) = folders(3 * MOST);
        let table = Unsettled::new().unwrap();
        let since = table.moment();
        let syncs = AtomicUsize::new(0);
        let sync = |_: &Opened| match syncs.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Errno::IO),
            _ => Ok(()),
        };
        for folder in &folders {
            table.note_with(folder, &sync);
            assert!(table.with(|table| table.folders.len()) <= MOST);
        }
        // The failure of the one that had to go reaches who noted it.
        assert_eq!(table.settle_with(since, &sync), Err(Errno::IO));
        assert_eq!(syncs.load(Ordering::Relaxed), folders.len());
        assert_eq!(table.settle_with(table.moment(), &sync), Ok(()));
    }
}
