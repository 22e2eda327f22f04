//! What goes wrong, and when: rules that say themselves in words.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A call that a [`Fault`] can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// `Storage::open`.
    Open,
    /// `Storage::create`.
    Create,
    /// `Storage::create_dir`.
    CreateDir,
    /// `Storage::rename`; its name is the old one or the new.
    Rename,
    /// `Storage::remove`.
    Remove,
    /// `Storage::list`.
    List,
    /// `Storage::sync_dir`.
    SyncDir,
    /// `Storage::lock`.
    Lock,
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::sync_data`.
    SyncData,
    /// `File::sync_all`.
    SyncAll,
    /// `File::allocate`.
    Allocate,
    /// `File::set_len`.
    SetLen,
    /// `File::len`, and `File::next_data`.
    Len,
    /// `File::modified`.
    Modified,
    /// `Storage::free_space`.
    FreeSpace,
}

impl OpKind {
    /// Both syncs of a file.
    pub const SYNCS: [Self; 2] = [Self::SyncData, Self::SyncAll];

    /// Every kind there is.
    pub const ALL: &'static [Self] = &[
        Self::Open,
        Self::Create,
        Self::CreateDir,
        Self::Rename,
        Self::Remove,
        Self::List,
        Self::SyncDir,
        Self::Lock,
        Self::Read,
        Self::Write,
        Self::SyncData,
        Self::SyncAll,
        Self::Allocate,
        Self::SetLen,
        Self::Len,
        Self::Modified,
        Self::FreeSpace,
    ];

    /// Whether the call can change what is on the disk. [`Lock`](Self::Lock) does only where it makes
    /// the file.
    #[must_use]
    pub const fn mutates(self) -> bool {
        !matches!(
            self,
            Self::Open
                | Self::List
                | Self::Lock
                | Self::Read
                | Self::Len
                | Self::Modified
                | Self::FreeSpace
        )
    }

    /// Whether it is to make something durable.
    pub(crate) const fn syncs(self) -> bool {
        matches!(self, Self::SyncData | Self::SyncAll | Self::SyncDir)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::CreateDir => "create_dir",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::List => "list",
            Self::SyncDir => "sync_dir",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write",
            Self::SyncData => "sync_data",
            Self::SyncAll => "sync_all",
            Self::Allocate => "allocate",
            Self::SetLen => "set_len",
            Self::Len => "len",
            Self::Modified => "modified",
            Self::FreeSpace => "free_space",
        }
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a [`Fault`] does to the call that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The call fails with this error number of the operating system; nothing happens, but that a
    /// failed sync of a file leaves its unsynced sectors [stuck](crate#failed-syncs).
    Error(i32),
    /// A write happens up to this many bytes, then fails with this error number.
    Torn(usize, i32),
    /// A read or write ends after this many bytes, without an error.
    Short(usize),
    /// The call takes this long, by the disk's [`SimClock`](crate::SimClock). Rules after this one still act
    /// on the same call.
    Slow(Duration),
    /// A bit of what is read has rotted on the disk, whatever was synced: this one, counted from where the
    /// read begins. Nothing reports it.
    Rot(u64),
    /// The call does not happen; it and all later ones fail ([`stop`](crate::SimDisk::stop_after)).
    Stop,
}

/// `EIO`: an input/output error.
pub const EIO: i32 = 5;
/// `ENOSPC`: no space left on device.
pub const ENOSPC: i32 = 28;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Any,
    Suffix(String),
    Containing(String),
}

/// A rule: which calls, of which files, which of them in order, and what happens to it.
///
/// ```
/// use walden_sim::{Action, EIO, Fault, OpKind};
///
/// let rule = Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).suffix(".wal").nth(3);
/// assert_eq!(rule.to_string(), "the 3rd sync of *.wal fails with EIO, once");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    action: Action,
    /// Empty: all.
    ops: Vec<OpKind>,
    name: Name,
    nth: u64,
    once: bool,
    seen: u64,
}

impl Fault {
    /// The rule that does this to every call.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self { action, ops: Vec::new(), name: Name::Any, nth: 1, once: false, seen: 0 }
    }

    /// Only calls of these kinds.
    #[must_use]
    pub fn on(mut self, ops: impl IntoIterator<Item = OpKind>) -> Self {
        self.ops = ops.into_iter().collect();
        self.ops.sort_unstable();
        self.ops.dedup();
        self
    }

    /// Only files or folders whose name, when the call is made, ends so.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.name = Name::Suffix(suffix.into());
        self
    }

    /// Only files or folders whose name, when the call is made, has this in it.
    #[must_use]
    pub fn containing(mut self, part: impl Into<String>) -> Self {
        self.name = Name::Containing(part.into());
        self
    }

    /// Only the nth call that all the rest fits, counted from 1 and from when the rule was added.
    #[must_use]
    pub const fn nth(mut self, n: u64) -> Self {
        (self.nth, self.once) = (n, true);
        self
    }

    /// The nth call that all the rest fits, and every one after it.
    #[must_use]
    pub const fn from_nth(mut self, n: u64) -> Self {
        (self.nth, self.once) = (n, false);
        self
    }

    /// Whether it has acted, and will not again.
    pub(crate) const fn is_spent(&self) -> bool {
        self.once && self.seen >= self.nth
    }

    /// Counts the call if it fits; the action if it is its turn.
    pub(crate) fn meet(&mut self, op: OpKind, paths: &[&Path]) -> Option<Action> {
        let named = paths.iter().any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match &self.name {
                Name::Any => true,
                Name::Suffix(suffix) => name.ends_with(suffix.as_str()),
                Name::Containing(part) => name.contains(part.as_str()),
            }
        });
        if !named || !(self.ops.is_empty() || self.ops.contains(&op)) {
            return None;
        }
        self.seen += 1;
        let hit = if self.once { self.seen == self.nth } else { self.seen >= self.nth };
        hit.then_some(self.action)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.once, self.nth) {
            (false, ..=1) => f.write_str("every ")?,
            (_, n) => write!(f, "the {n}{} ", ordinal_suffix(n))?,
        }
        match self.ops.as_slice() {
            [] => f.write_str("call")?,
            ops if ops == OpKind::SYNCS => f.write_str("sync")?,
            ops => {
                for (i, op) in ops.iter().enumerate() {
                    write!(f, "{}{op}", if i > 0 { "/" } else { "" })?;
                }
            }
        }
        match &self.name {
            Name::Any => {}
            Name::Suffix(suffix) => write!(f, " of *{suffix}")?,
            Name::Containing(part) => write!(f, " of *{part}*")?,
        }
        write!(f, " {}", self.action)?;
        match (self.once, self.nth) {
            (true, _) => f.write_str(", once"),
            (false, ..=1) => Ok(()),
            (false, _) => f.write_str(", and every later one"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Error(code) => write!(f, "fails with {}", Errno(code)),
            Self::Torn(n, code) => write!(f, "fails after {n} bytes with {}", Errno(code)),
            Self::Short(n) => write!(f, "ends after {n} bytes"),
            Self::Slow(by) => write!(f, "takes {by:?}"),
            Self::Rot(bit) => write!(f, "finds bit {bit} turned over"),
            Self::Stop => f.write_str("stops the world"),
        }
    }
}

struct Errno(i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EIO => f.write_str("EIO"),
            ENOSPC => f.write_str("ENOSPC"),
            code => write!(f, "error number {code}"),
        }
    }
}

const fn ordinal_suffix(n: u64) -> &'static str {
    match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}
