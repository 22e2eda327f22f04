//! The state machine: a map in memory, and its last snapshot in a file.
//!
//! What was applied since the snapshot is in the log, and is applied again after a start. So the log may only lose
//! what a snapshot has: each is on disk before openraft is told of it, and none ever takes the place of a later one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{
    BasicNode, EntryPayload, ErrorSubject, ErrorVerb, LogId, OptionalSend, RaftLogId,
    RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StoredMembership,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::types::{Change, Types};

type Outcome<T> = Result<T, StorageError<u64>>;
type Member = StoredMembership<u64, BasicNode>;

const SNAPSHOT: &str = "snapshot";
/// What a snapshot is called until it is whole. Always the same, so that a node that is killed leaves one at most.
const UNFINISHED: &str = "snapshot.tmp";

/// All that there is, up to an entry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Content {
    applied: Option<LogId<u64>>,
    membership: Member,
    map: BTreeMap<String, String>,
}

impl Content {
    fn encode(&self) -> io::Result<Vec<u8>> {
        rmp_serde::to_vec_named(self).map_err(io::Error::other)
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        rmp_serde::from_slice(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn meta(&self) -> SnapshotMeta<u64, BasicNode> {
        let id = self.applied.map_or_else(|| "empty".to_owned(), |applied| applied.to_string());
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: id,
        }
    }

    fn apply(&mut self, entry: openraft::Entry<Types>) {
        self.applied = Some(*entry.get_log_id());
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(Change::Set { key, value }) => {
                self.map.insert(key, value);
            }
            EntryPayload::Normal(Change::Remove { key }) => {
                self.map.remove(&key);
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(self.applied, membership);
            }
        }
    }
}

/// Up to where the snapshot in the file has it, or why there will be none.
type Reached = Result<Option<LogId<u64>>, String>;

/// The last snapshot that is in the file.
type Kept = Option<(SnapshotMeta<u64, BasicNode>, Arc<Vec<u8>>)>;

/// The state machine. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    content: Arc<Mutex<Content>>,
    /// Never held while the disk is waited for: threads of the runtime take it.
    kept: Arc<Mutex<Kept>>,
    /// Held by who writes a snapshot.
    writing: Arc<Mutex<()>>,
    reached: watch::Sender<Reached>,
    dir: PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(verb: ErrorVerb) -> impl Fn(io::Error) -> StorageError<u64> {
    move |error| StorageError::from_io_error(ErrorSubject::Snapshot(None), verb, error)
}

impl Machine {
    /// The state of the last snapshot in `dir`, or an empty one.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let kept = read(&dir.join(SNAPSHOT))?;
        let content = match &kept {
            Some(bytes) => Content::decode(bytes)?,
            None => Content::default(),
        };
        let reached = watch::Sender::new(Ok(kept.as_ref().and(content.applied)));
        let kept = kept.map(|bytes| (content.meta(), Arc::new(bytes)));
        Ok(Self {
            content: Arc::new(Mutex::new(content)),
            kept: Arc::new(Mutex::new(kept)),
            writing: Arc::default(),
            reached,
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        lock(&self.content).map.get(key).cloned()
    }

    /// Works at a snapshot, on a thread that may wait for the disk. Where that comes to nothing in whatever way, who
    /// waits for the snapshot is told.
    async fn snapshot<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (this, unless) = (self.clone(), Unless::new(&self.reached));
        // Made here: a runtime that ends may drop the job without having begun it.
        let job = move || unless.done(work(&this));
        tokio::task::spawn_blocking(job).await?
    }

    /// Has a snapshot on disk, unless a later one is there.
    fn keep(&self, meta: SnapshotMeta<u64, BasicNode>, bytes: Vec<u8>) -> io::Result<()> {
        let _one = lock(&self.writing);
        let last = meta.last_log_id;
        let later = |(before, _): &(SnapshotMeta<_, _>, _)| before.last_log_id > last;
        if lock(&self.kept).as_ref().is_some_and(later) {
            return Ok(());
        }
        write(&self.dir, &bytes)?;
        *lock(&self.kept) = Some((meta, Arc::new(bytes)));
        drop(self.reached.send_replace(Ok(last)));
        Ok(())
    }

    /// Waits until the snapshot on disk has all up to a log id. openraft purges the log while a snapshot that was sent is
    /// still being written: without waiting, a node that ends in between has neither.
    ///
    /// # Errors
    /// Why there is no such snapshot: it could not be read, made or written.
    pub(crate) async fn kept_up_to(self, upto: LogId<u64>) -> io::Result<()> {
        let mut reached = self.reached.subscribe();
        let there = |reached: &Reached| reached.as_ref().is_ok_and(|last| *last >= Some(upto));
        let told = reached.wait_for(|reached| reached.is_err() || there(reached)).await;
        match &*told.map_err(io::Error::other)? {
            Ok(_) => Ok(()),
            Err(why) => Err(io::Error::other(format!("the snapshot is not on disk: {why}"))),
        }
    }

    fn current(&self) -> Option<Snapshot<Types>> {
        let (meta, bytes) = lock(&self.kept).clone()?;
        Some(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes.to_vec())) })
    }
}

/// Says that there will be no snapshot, unless it was done. For openraft waits for the purge, the purge for the
/// snapshot: untold, the node would neither go on nor stop.
struct Unless {
    reached: watch::Sender<Reached>,
    why: Option<String>,
}

impl Unless {
    fn new(reached: &watch::Sender<Reached>) -> Self {
        let why = Some("who was at it has panicked, or was ended".to_owned());
        Self { reached: reached.clone(), why }
    }

    fn done<T>(mut self, work: io::Result<T>) -> io::Result<T> {
        match &work {
            // Where it reaches is told by who wrote it.
            Ok(_) => self.why = None,
            Err(error) => self.why = Some(error.to_string()),
        }
        work
    }
}

impl Drop for Unless {
    fn drop(&mut self) {
        if let Some(why) = self.why.take() {
            drop(self.reached.send_replace(Err(why)));
        }
    }
}

/// A checksum, then the bytes; whole and durable under its name when this returns, or not there.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    let written = write_whole(&unfinished, bytes);
    if written.is_err() {
        // The room may be needed; and if it stays, the next one takes its place.
        drop(fs::remove_file(&unfinished));
    }
    written?;
    fs::rename(unfinished, dir.join(SNAPSHOT))?;
    File::open(dir)?.sync_all()
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&crc32c::crc32c(bytes).to_le_bytes())?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let sound = bytes
        .split_at_checked(4)
        .is_some_and(|(crc, content)| crc == crc32c::crc32c(content).to_le_bytes());
    if !sound {
        let what = format!("{}: the snapshot is damaged", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(bytes.split_off(4)))
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Outcome<Snapshot<Types>> {
        let work = |this: &Self| {
            let content = lock(&this.content).clone();
            let (meta, bytes) = (content.meta(), content.encode()?);
            this.keep(meta.clone(), bytes.clone())?;
            Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
        };
        self.snapshot(work).await.map_err(failed(ErrorVerb::Write))
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Outcome<(Option<LogId<u64>>, Member)> {
        let content = lock(&self.content);
        Ok((content.applied, content.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Outcome<Vec<()>>
    where
        I: IntoIterator<Item = openraft::Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut content = lock(&self.content);
        Ok(entries.into_iter().map(|entry| content.apply(entry)).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Outcome<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Outcome<()> {
        let meta = meta.clone();
        let work = move |this: &Self| {
            let bytes = snapshot.into_inner();
            let content = Content::decode(&bytes)?;
            this.keep(meta, bytes)?;
            Ok(content)
        };
        let content = self.snapshot(work).await.map_err(failed(ErrorVerb::Write))?;
        *lock(&self.content) = content;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Outcome<Option<Snapshot<Types>>> {
        Ok(self.current())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openraft::CommittedLeaderId;

    use super::*;

    fn set(index: u64, value: &str) -> openraft::Entry<Types> {
        openraft::Entry {
            log_id: LogId::new(CommittedLeaderId::new(1, 1), index),
            payload: EntryPayload::Normal(Change::Set { key: "k".into(), value: value.into() }),
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::open(dir.path()).unwrap();
        let upto = *set(2, "two").get_log_id();
        let waiting = tokio::spawn(machine.clone().kept_up_to(upto));
        machine.apply([set(1, "one")]).await.unwrap();
        machine.build_snapshot().await.unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the snapshot ends before");
        machine.apply([set(2, "two")]).await.unwrap();
        machine.build_snapshot().await.unwrap();
        waiting.await.unwrap().unwrap();
        Machine::open(dir.path()).unwrap().kept_up_to(upto).await.unwrap();
        drop(dir);
        machine.apply([set(3, "three")]).await.unwrap();
        machine.build_snapshot().await.unwrap_err();
        let later = *set(3, "three").get_log_id();
        assert!(machine.kept_up_to(later).await.unwrap_err().to_string().contains("not on disk"));
    }

    /// What comes of waiting for the snapshot at a log id, which must not be for ever.
    async fn waited(machine: &Machine, upto: LogId<u64>) -> String {
        let waiting = machine.clone().kept_up_to(upto);
        let told = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        told.expect("who waits is told").unwrap_err().to_string()
    }

    #[tokio::test]
    async fn who_waits_for_a_snapshot_is_told_that_there_will_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let upto = *set(7, "seven").get_log_id();
        let mut machine = Machine::open(dir.path()).unwrap();
        let meta = Content { applied: Some(upto), ..Default::default() }.meta();
        let garbage = Box::new(Cursor::new(b"no snapshot".to_vec()));
        machine.install_snapshot(&meta, garbage).await.unwrap_err();
        assert!(waited(&machine, upto).await.contains("not on disk"));

        let machine = Machine::open(dir.path()).unwrap();
        let panics = |_: &Machine| -> io::Result<()> { panic!("as asked") };
        machine.snapshot(panics).await.unwrap_err();
        assert!(waited(&machine, upto).await.contains("panicked"));

        let machine = Machine::open(dir.path()).unwrap();
        // As a runtime does that ends before the job has its turn.
        drop(Unless::new(&machine.reached));
        assert!(waited(&machine, upto).await.contains("was ended"));
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "that nobody waits for it is what is tested")]
    async fn the_last_snapshot_is_at_hand_while_the_next_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::open(dir.path()).unwrap();
        machine.apply([set(1, "one")]).await.unwrap();
        let first = machine.build_snapshot().await.unwrap();
        let the_disk_is_slow = Arc::clone(&machine.writing);
        let slow = lock(&the_disk_is_slow);
        let mut builder = machine.get_snapshot_builder().await;
        let building = tokio::spawn(async move { builder.build_snapshot().await });
        tokio::task::yield_now().await;
        let found = machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(found.meta, first.meta);
        machine.apply([set(2, "two")]).await.unwrap();
        assert!(!building.is_finished());
        drop(slow);
        building.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_a_killed_node_left_half_written_goes() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(UNFINISHED), [7; 10_000]).unwrap();
        let mut machine = Machine::open(dir.path()).unwrap();
        machine.apply([set(1, "one")]).await.unwrap();
        machine.build_snapshot().await.unwrap();
        let names = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [SNAPSHOT]);
        assert_eq!(Machine::open(dir.path()).unwrap().get("k").as_deref(), Some("one"));
    }

    #[tokio::test]
    async fn a_snapshot_is_found_again_and_never_replaced_by_an_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::open(dir.path()).unwrap();
        machine.apply([set(1, "one")]).await.unwrap();
        let early = machine.build_snapshot().await.unwrap();
        machine.apply([set(2, "two")]).await.unwrap();
        machine.build_snapshot().await.unwrap();
        machine.keep(early.meta, early.snapshot.into_inner()).unwrap();
        assert_eq!(Machine::open(dir.path()).unwrap().get("k").as_deref(), Some("two"));

        let path = dir.path().join(SNAPSHOT);
        let mut bytes = fs::read(&path).unwrap();
        bytes[9] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(Machine::open(dir.path()).unwrap_err().to_string().contains("damaged"));
        fs::write(&path, b"abc").unwrap();
        assert!(Machine::open(dir.path()).is_err());
    }
}
