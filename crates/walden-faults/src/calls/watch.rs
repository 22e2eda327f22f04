//! Counts the system calls of this process on the log's files and makes some of them fail.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;

use crate::Outcome;
use crate::sys::{Asked, Supervisor};

/// A kind of system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Call {
    Write,
    Pwrite,
    Pwritev,
    /// Other ways to write: by a path, or from another file.
    Otherwise,
    Fsync,
    Fdatasync,
    Fallocate,
    Ftruncate,
    Rename,
    /// Of what is there.
    Open,
    /// Of what may not be there yet.
    Create,
    Mkdir,
    Unlink,
    /// Of shared mappings: the others are the allocator's.
    Mmap,
}

impl Call {
    const fn numbers(self) -> &'static [i64] {
        match self {
            Self::Write => &[libc::SYS_write, libc::SYS_writev],
            Self::Pwrite => &[libc::SYS_pwrite64],
            Self::Pwritev => &[libc::SYS_pwritev, libc::SYS_pwritev2],
            Self::Otherwise => {
                &[libc::SYS_truncate, libc::SYS_sendfile, libc::SYS_linkat, libc::SYS_link]
            }
            Self::Fsync => &[libc::SYS_fsync],
            Self::Fdatasync => &[libc::SYS_fdatasync],
            Self::Fallocate => &[libc::SYS_fallocate],
            Self::Ftruncate => &[libc::SYS_ftruncate],
            Self::Rename => &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2],
            Self::Open => &[libc::SYS_open, libc::SYS_openat],
            // Told from the others by their flags.
            Self::Create => &[],
            Self::Mkdir => &[libc::SYS_mkdir, libc::SYS_mkdirat],
            Self::Unlink => &[libc::SYS_unlink, libc::SYS_unlinkat],
            Self::Mmap => &[libc::SYS_mmap],
        }
    }

    fn of(asked: Asked) -> Option<Self> {
        let [_, second, third, _, _, _] = asked.args;
        let kinds = Self::value_variants().iter();
        let call = kinds.copied().find(|call| call.numbers().contains(&asked.call))?;
        let flags = if asked.call == libc::SYS_open { second } else { third };
        let creates = call == Self::Open && flags & u64::from(libc::O_CREAT.unsigned_abs()) != 0;
        Some(if creates { Self::Create } else { call })
    }

    /// Whether it leaves a file or folder other than it was, or says that it is safe.
    const fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Mmap)
    }

    /// Whether a lasting cause that makes the one fail makes the other fail.
    fn is_like(self, other: Self) -> bool {
        let kind = |call| match call {
            Self::Write | Self::Pwritev => Self::Pwrite,
            Self::Fdatasync => Self::Fsync,
            other => other,
        };
        kind(self) == kind(other)
    }
}

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Of {
    /// A segment: `.wal`.
    Segment,
    /// The segment made ready: `.next`.
    Next,
    Index,
    /// The copies in the manifest.
    Manifest,
    /// The marks in it.
    Mark,
    /// The manifest of a log that is being made.
    NewManifest,
    Lock,
    /// What was put aside, and the folder for it.
    Quarantine,
    Cursors,
    Folder,
    /// The folder in which the log's is.
    Parent,
    Other,
}

/// Where the marks begin in a manifest.
const MARKS: u64 = 4 * 4096;

impl Of {
    fn path(path: &Path, dir: &Path) -> Option<Self> {
        let Ok(within) = path.strip_prefix(dir) else {
            return (Some(path) == dir.parent()).then_some(Self::Parent);
        };
        let ending = |path: &Path| path.extension().and_then(OsStr::to_str).map(str::to_owned);
        let first = within.components().next().map(|first| PathBuf::from(first.as_os_str()));
        let Some(first) = first else { return Some(Self::Folder) };
        if ending(&first).as_deref() == Some("quarantine") {
            return Some(Self::Quarantine);
        }
        Some(match ending(within).as_deref() {
            Some("wal") => Self::Segment,
            Some("next") => Self::Next,
            Some("idx") => Self::Index,
            Some("manifest") => Self::Manifest,
            Some("new") => Self::NewManifest,
            Some("lock") => Self::Lock,
            Some("cursors") => Self::Cursors,
            _ => Self::Other,
        })
    }
}

/// A call and what it is about: what is counted, and what fails.
pub(crate) type Place = (Call, Of);

/// What is to be struck.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strike {
    pub(crate) place: Place,
    /// Which of them, counted from 1; 0: none.
    pub(crate) nth: u64,
    /// That one and all later ones.
    pub(crate) for_good: bool,
    /// `None`: the process dies of it.
    pub(crate) errno: Option<i32>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) calls: BTreeMap<Place, u64>,
    pub(crate) failed: u64,
    /// Calls that change something, or say that it is safe.
    pub(crate) changes: u64,
    /// The last of them.
    pub(crate) last: Option<Place>,
    /// Files are being looked at: opening them is let through.
    looking: bool,
}

/// Watches the calls of this thread and of those it starts.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// The supervisor's thread is started first, so that its own calls are let alone.
    pub(crate) fn begin(dir: &Path, strike: Strike) -> Outcome<Self> {
        let watch = Self(Arc::default());
        let mine = watch.clone();
        let (give, take) = std::sync::mpsc::sync_channel::<Supervisor>(1);
        let folder = Folder { path: dir.to_owned(), memory: File::open("/proc/self/mem")? };
        std::thread::spawn(move || -> Outcome<()> {
            let supervisor = take.recv()?;
            loop {
                let asked = supervisor.next()?;
                let place = folder.place_of(asked);
                let failed = place.and_then(|place| mine.takes_in(place, strike));
                supervisor.answer(asked, failed)?;
            }
        });
        let numbers: Vec<i64> =
            Call::value_variants().iter().flat_map(|call| call.numbers()).copied().collect();
        give.send(Supervisor::of_this_thread(&numbers)?)?;
        Ok(watch)
    }

    /// Counts a call; what it fails with, if it does.
    fn takes_in(&self, place: Place, strike: Strike) -> Option<i32> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (call, of) = place;
        if seen.looking && call == Call::Open {
            return None;
        }
        if call.changes() {
            (seen.changes, seen.last) = (seen.changes + 1, Some(place));
        }
        let at = seen.calls.entry(place).or_default();
        *at += 1;
        let first = place == strike.place && *at == strike.nth;
        let later = strike.for_good
            && seen.failed > 0
            && of == strike.place.1
            && call.is_like(strike.place.0);
        if !first && !later {
            return None;
        }
        seen.failed += 1;
        // Without an error to give there is nothing to go on with: as if it were killed here.
        Some(strike.errno.unwrap_or_else(|| std::process::abort()))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.seen().failed
    }

    /// Reads files without being struck itself.
    pub(crate) fn looking<T>(&self, work: impl FnOnce() -> T) -> T {
        let set = |to| self.0.lock().unwrap_or_else(PoisonError::into_inner).looking = to;
        set(true);
        let done = work();
        set(false);
        done
    }
}

/// The log's folder, and this process's memory to read paths from.
struct Folder {
    path: PathBuf,
    memory: File,
}

impl Folder {
    /// `None`: it is about no file of the log.
    fn place_of(&self, asked: Asked) -> Option<Place> {
        let call = Call::of(asked)?;
        let [first, second, _, fourth, fifth, _] = asked.args;
        let path = match asked.call {
            libc::SYS_open
            | libc::SYS_rename
            | libc::SYS_unlink
            | libc::SYS_mkdir
            | libc::SYS_link
            | libc::SYS_truncate => self.text(first),
            libc::SYS_openat
            | libc::SYS_renameat
            | libc::SYS_renameat2
            | libc::SYS_unlinkat
            | libc::SYS_linkat
            | libc::SYS_mkdirat => self.text(second),
            libc::SYS_mmap => of_descriptor(fifth),
            _ => of_descriptor(first),
        };
        let of = Of::path(&path?, &self.path)?;
        let in_marks = matches!(call, Call::Pwrite | Call::Pwritev) && fourth >= MARKS;
        Some((call, if of == Of::Manifest && in_marks { Of::Mark } else { of }))
    }

    fn text(&self, at: u64) -> Option<PathBuf> {
        let mut bytes = [0; 1024];
        let len = self.memory.read_at(&mut bytes, at).ok()?;
        let text = bytes.get(..len)?.split(|byte| *byte == 0).next()?;
        Some(Path::new(OsStr::from_bytes(text)).to_owned())
    }
}

fn of_descriptor(number: u64) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{number}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let dir = Path::new("/a/log");
        for (name, of) in [
            ("/a/log/segment-0000.wal", Some(Of::Segment)),
            ("/a/log/segment-0001.next", Some(Of::Next)),
            ("/a/log/segment.manifest", Some(Of::Manifest)),
            ("/a/log/segment.manifest.new", Some(Of::NewManifest)),
            ("/a/log/segment.quarantine/x.wal", Some(Of::Quarantine)),
            ("/a/log/segment.quarantine", Some(Of::Quarantine)),
            ("/a/log/segment.lock", Some(Of::Lock)),
            ("/a/log", Some(Of::Folder)),
            ("/a", Some(Of::Parent)),
            ("/a/other/segment-0000.wal", None),
        ] {
            assert_eq!(Of::path(Path::new(name), dir), of, "{name}");
        }
    }

    #[test]
    fn a_full_disk_is_full_for_each_way_to_write() {
        assert!(Call::Pwrite.is_like(Call::Pwritev) && Call::Fsync.is_like(Call::Fdatasync));
        assert!(!Call::Pwrite.is_like(Call::Fsync) && !Call::Open.is_like(Call::Create));
    }
}
