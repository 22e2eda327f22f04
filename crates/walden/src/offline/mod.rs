//! Tools for a log that no writer has open: look at it, check it, repair it, save what is sound, copy it.
//!
//! All but [`repair_apply`], [`repair_from`], [`adopt`](adopt()), [`compress`](compress()), [`train_dictionary`] and
//! [`prune_dictionaries`] never write into the log, and work beside a live writer too: what its writer is about to
//! write is then told from what is damaged. Nothing here believes a byte before it is proved.
//!
//! [`verify`] reads everything and says what is wrong. [`repair_plan`] says what can be done about it,
//! [`repair_plan_of`] what a choice would do, and [`repair_apply`] does one of the things that the plan names;
//! [`repair_from`] puts back what another log, or an archive, still has. [`salvage`] saves what is sound into other logs,
//! [`copy`] makes a consistent copy, [`inspect`] shows what a log consists of ([`outline`] what needs no reading of it),
//! [`cursors`](cursors()) how far its
//! consumers have come. [`compress`](compress()) stores its complete segments otherwise.
//!
//! ```
//! # fn main() -> walden::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! use walden::offline::{Severity, Target, verify};
//!
//! let wal = walden::Wal::open(dir.path(), walden::Config::durable())?;
//! wal.append("hello")?;
//! wal.close()?;
//!
//! let target = Target::on_disk(dir.path(), "segment");
//! let verification = verify(&target, &mut |_| {})?;
//! assert_eq!((verification.records, verification.is_damaged()), (1, false));
//! # Ok(())
//! # }
//! ```

mod adopt;
mod compress;
mod copy;
mod cursors;
mod dictionary;
mod donor;
mod doubled;
mod inspect;
mod layout;
mod mend;
mod output;
mod paper;
mod plan;
mod rebuild;
mod repair;
mod salvage;
mod splice;
mod survey;
mod verify;

use std::path::{Path, PathBuf};

pub use self::adopt::{Adopted, adopt};
pub use self::compress::{Recompress, Recompressed, compress};
pub use self::copy::{Copied, copy};
pub use self::cursors::{CursorReport, cursors};
pub use self::dictionary::{
    DictionaryReport, PrunedDictionaries, TrainedDictionary, dictionaries, prune_dictionaries,
    train_dictionary,
};
pub use self::donor::Donor;
pub use self::inspect::{
    EpochInfo, IndexInfo, Inspection, LockInfo, ManifestInfo, MarkInfo, Outline, PlaceInfo,
    SegmentReport, inspect, outline,
};
pub use self::layout::layout;
pub use self::plan::{DamageReport, Plan, RepairOption, repair_plan, repair_plan_of};
pub use self::repair::{Choice, Repaired, repair_apply};
pub use self::salvage::{Gap, Salvage, SalvagedRun, salvage};
pub use self::splice::{Splice, repair_from, repair_from_plan};
pub use self::verify::{Finding, Severity, Verification, verify};
use crate::segment::Names;
use crate::storage::{Clock, OsStorage, Storage, SystemClock};
use crate::sync::Arc;

/// Which log, and how to get at it.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) names: Names,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Target {
    /// The log with this prefix in a folder of `storage`. `clock` is asked for random ids and for the
    /// time that the lock file names.
    pub fn new(
        dir: impl AsRef<Path>,
        prefix: &str,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { names: Names::new(dir.as_ref(), prefix), storage, clock }
    }

    /// The log with this prefix (`segment`, where none was chosen) in a folder of this machine.
    pub fn on_disk(dir: impl AsRef<Path>, prefix: &str) -> Self {
        Self::new(dir, prefix, Arc::new(OsStorage::new()), Arc::new(SystemClock::default()))
    }

    /// The log's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.names.dir()
    }

    /// The same log, elsewhere.
    pub(crate) fn at(&self, dir: &Path) -> Self {
        let names = Names::new(dir, self.names.prefix());
        Self { names, storage: Arc::clone(&self.storage), clock: Arc::clone(&self.clock) }
    }

    /// A command of the `walden` program about this log, to be copied and pasted.
    pub(crate) fn command(&self, name: &str) -> String {
        let dir = crate::error::shell_word(self.dir());
        match self.names.prefix() {
            "segment" => format!("walden {name} {dir}"),
            prefix => {
                let prefix = crate::error::shell_quoted(prefix.to_owned());
                format!("walden {name} {dir} --prefix={prefix}")
            }
        }
    }
}

/// How far a long piece of work has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The file being read.
    pub path: PathBuf,
    /// Bytes done, of all files together.
    pub done: u64,
    /// Bytes to do, as far as is known.
    pub total: u64,
}
