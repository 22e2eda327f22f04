//! What the histories share: a log on a simulated disk, crashes at every call, records and marks by hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use walden::offline::Target;
use walden::{Config, Error, LogReader, Maintenance, SyncStrategy, Wal};
use walden_sim::{CrashPlan, SimClock, SimDisk, enumerate_crashes};

pub(crate) const DIR: &str = "/log";
pub(crate) const BLOCK: usize = 4096;

/// A log's disk, clock and settings.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) config: Config,
}

/// Settings without a thread; a record of [`payload`] takes 80 bytes.
pub(crate) fn config(strategy: SyncStrategy, segment_size: u64) -> Config {
    Config::durable()
        .sync_strategy(strategy)
        .segment_size(segment_size)
        .maintenance(Maintenance::Manual)
}

/// 52 bytes that no other entry has.
pub(crate) fn payload(n: u64) -> Vec<u8> {
    let mut bytes = format!("entry {n}").into_bytes();
    bytes.resize(52, b'.');
    bytes
}

impl Lab {
    pub(crate) fn new(strategy: SyncStrategy, segment_size: u64) -> Self {
        let clock = SimClock::new(7);
        let disk = SimDisk::with_clock(clock.clone());
        Self { disk, clock, config: config(strategy, segment_size) }
    }

    /// Nine entries, three to a segment; closed, all on disk.
    pub(crate) fn nine() -> Self {
        let lab = Self::new(SyncStrategy::Always, 240);
        let wal = lab.open();
        Self::append(&wal, 1..=9);
        wal.close().unwrap();
        drop(wal);
        lab.disk.settle();
        lab
    }

    /// The log for the tools that need no handle.
    pub(crate) fn target(&self) -> Target {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        Target::new(DIR, "segment", disk, clock)
    }

    /// The same on another disk.
    pub(crate) fn with(&self, disk: SimDisk) -> Self {
        Self { disk, ..self.clone() }
    }

    pub(crate) fn try_open(&self) -> Result<Wal, Error> {
        Wal::open_with(
            Path::new(DIR),
            self.config.clone(),
            Arc::new(self.disk.clone()),
            Arc::new(self.clock.clone()),
        )
    }

    pub(crate) fn open(&self) -> Wal {
        let wal = self
            .try_open()
            .unwrap_or_else(|error| panic!("refused: {error}\n{}", self.disk.op_log().join("\n")));
        assert_eq!(wal.durable_seq() + 1, wal.next_seq(), "what opening reports is durable");
        wal
    }

    pub(crate) fn reader(&self) -> LogReader {
        LogReader::open_with(DIR, "segment", Arc::new(self.disk.clone())).expect("a reader opens")
    }

    /// The disk after `kill -9`.
    pub(crate) fn kill(&self) -> Self {
        self.with(self.disk.kill())
    }

    /// The disk after a power cut that lost all it could.
    pub(crate) fn power_cut(&self) -> Self {
        self.with(self.disk.crash_losing_all())
    }

    pub(crate) fn power_cut_by(&self, seed: u64) -> Self {
        self.with(self.disk.crash(&mut CrashPlan::seeded(seed)))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(DIR).join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        self.disk.read_file(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        self.disk.write_file(self.path(name), bytes).expect("a file is written");
    }

    pub(crate) fn remove(&self, name: &str) {
        self.disk.remove_file(self.path(name)).expect("a file is removed");
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.disk.read_file(self.path(name)).is_ok()
    }

    /// Names of the log's files with this ending.
    pub(crate) fn names(&self, ending: &str) -> Vec<String> {
        let files = self.disk.files();
        let names = files.iter().filter_map(|path| path.strip_prefix(DIR).ok()?.to_str());
        names.filter(|name| name.ends_with(ending)).map(str::to_owned).collect()
    }

    /// Appends `payload(n)` for each `n`, as the seq ids `n`.
    pub(crate) fn append(wal: &Wal, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            assert_eq!(wal.append(payload(seq)).expect("appended"), seq);
        }
    }
}

/// First seq id and all payloads, read forwards and backwards.
pub(crate) fn entries(wal: &Wal) -> (u64, Vec<Vec<u8>>) {
    let first = wal.first_seq();
    let forwards: Vec<_> = wal
        .range(..)
        .expect("a range")
        .map(|entry| entry.unwrap_or_else(|error| panic!("unsound: {error}")).payload.to_vec())
        .collect();
    let mut backwards: Vec<_> = wal
        .range(..)
        .expect("a range")
        .rev()
        .map(|entry| entry.unwrap_or_else(|error| panic!("unsound: {error}")).payload.to_vec())
        .collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert_eq!(first + forwards.len() as u64, wal.next_seq());
    (first, forwards)
}

/// What a read-only reader sees.
pub(crate) fn read_only(log: &LogReader) -> (u64, Vec<Vec<u8>>) {
    let all = log.range(..).expect("a range");
    let all = all.map(|e| e.unwrap_or_else(|error| panic!("unsound: {error}")).payload.to_vec());
    (log.first_seq(), all.collect())
}

pub(crate) fn payloads(seqs: std::ops::RangeInclusive<u64>) -> Vec<Vec<u8>> {
    seqs.map(payload).collect()
}

/// The log holds `payload(first)..`, gap-free, at least up to before `floor` and at most to before `next`.
pub(crate) fn assert_prefix(wal: &Wal, first: u64, floor: u64, next: u64) -> u64 {
    let (found_first, found) = entries(wal);
    assert_eq!(found_first, first, "first seq id");
    let end = first + found.len() as u64;
    assert!(end >= floor, "LOSS: ends before {end}, must reach {floor}");
    assert!(end <= next, "GHOST: ends before {end}, at most {next}");
    for (seq, entry) in (first..).zip(&found) {
        assert_eq!(*entry, payload(seq), "ALTERED: seq id {seq}");
    }
    end
}

/// The log takes one more entry, which survives the worst power cut, with all that was there.
pub(crate) fn assert_goes_on(lab: &Lab, wal: Wal) {
    let (first, mut all) = entries(&wal);
    all.push(b"goes on".to_vec());
    wal.append(b"goes on").expect("the log goes on");
    wal.sync().expect("synced");
    drop(wal);
    let after = lab.power_cut();
    let found = entries(&after.open());
    assert_eq!(found, (first, all), "after the worst power cut\n{}", lab.disk.op_log().join("\n"));
}

/// Does `history` on forks of `start`, cut off at each mutating call in turn, and gives `check` what is found
/// after a kill and after each power cut (at most `limit`, and up to ten by chance), with the number of the call.
pub(crate) fn every_stop(
    start: &Lab,
    limit: u64,
    history: impl Fn(&Lab),
    check: impl Fn(&Lab, u64),
) -> u64 {
    for stop in 1.. {
        let lab = start.with(start.disk.fork());
        lab.disk.stop_after(stop);
        history(&lab);
        if !lab.disk.stopped() {
            assert!(stop > 1, "the history does something");
            return stop - 1;
        }
        check(&lab.kill(), stop);
        if !enumerate_crashes(&lab.disk, limit, |image| check(&lab.with(image), stop)) {
            for seed in 0..limit.min(10) {
                check(&lab.power_cut_by(seed * 1000 + stop), stop);
            }
        }
    }
    unreachable!()
}

/// A record as the Go library writes it.
pub(crate) fn record(seq: u64, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u64).to_be_bytes();
    let mut covered = size.to_vec();
    covered.extend_from_slice(&seq.to_be_bytes());
    covered.extend_from_slice(payload);
    let mut bytes = crc32c::crc32c(&covered).to_be_bytes().to_vec();
    bytes.extend_from_slice(&covered);
    bytes.extend_from_slice(&size);
    bytes
}

/// Records of `payload(n)` for each `n`.
pub(crate) fn records(seqs: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    seqs.flat_map(|seq| record(seq, &payload(seq))).collect()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The manifest's file, taken apart by its description.
pub(crate) struct ManifestBytes(pub(crate) Vec<u8>);

impl ManifestBytes {
    pub(crate) fn of(lab: &Lab) -> Self {
        Self(lab.read("segment.manifest"))
    }

    /// The generation in one of the first four blocks, if the block's checksum holds.
    pub(crate) fn generation(&self, block: usize) -> Option<u64> {
        let block = &self.0[block * BLOCK..(block + 1) * BLOCK];
        let len = u32::from_le_bytes(block[16..20].try_into().unwrap()) as usize;
        let covered = block.get(12..20 + len)?;
        let sound = block.starts_with(b"WALDNMAN")
            && crc32c::crc32c(covered) == u32::from_le_bytes(block[8..12].try_into().unwrap());
        sound.then(|| u64_at(block, 36))
    }

    /// The block that wins.
    pub(crate) fn winner(&self) -> usize {
        (0..4).max_by_key(|block| (self.generation(*block), 4 - *block)).unwrap()
    }

    /// Whether a cut is in progress.
    pub(crate) fn cut(&self) -> bool {
        self.0[self.winner() * BLOCK + 20 + 16 + 8 + 64 + 25] != 0
    }

    /// The version in a block is raised by one, and its checksum set right.
    pub(crate) fn make_newer(&mut self, block: usize) {
        let block = &mut self.0[block * BLOCK..(block + 1) * BLOCK];
        block[12] += 1;
        let len = u32::from_le_bytes(block[16..20].try_into().unwrap()) as usize;
        let crc = crc32c::crc32c(&block[12..20 + len]);
        block[8..12].copy_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn mark(&self, slot: usize) -> Option<MarkBytes> {
        MarkBytes::decode(&self.0[(4 + slot) * BLOCK..(4 + slot) * BLOCK + 512])
    }

    /// The slot with the higher counter.
    pub(crate) fn latest_slot(&self) -> usize {
        usize::from(self.mark(1).map(|m| m.counter) > self.mark(0).map(|m| m.counter))
    }

    pub(crate) fn set_mark(&mut self, slot: usize, mark: &MarkBytes) {
        let at = (4 + slot) * BLOCK;
        self.0[at..at + 512].copy_from_slice(&mark.encode());
    }

    pub(crate) fn tear_slot(&mut self, slot: usize) {
        let at = (4 + slot) * BLOCK;
        self.0[at + 40..at + 512].fill(0xa5);
    }

    pub(crate) fn put(&self, lab: &Lab) {
        lab.write("segment.manifest", &self.0);
    }
}

/// A mark, by its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MarkBytes {
    pub(crate) log_id: u128,
    pub(crate) epoch: u128,
    pub(crate) generation: u64,
    pub(crate) ordinal: u64,
    pub(crate) offset: u64,
    pub(crate) next_seq: u64,
    pub(crate) counter: u64,
}

impl MarkBytes {
    fn decode(slot: &[u8]) -> Option<Self> {
        let covered = &slot[12..12 + 76];
        let sound = slot.starts_with(b"WALDMARK")
            && crc32c::crc32c(covered) == u32::from_le_bytes(slot[8..12].try_into().unwrap());
        let wide = |at: usize| u128::from_le_bytes(covered[at..at + 16].try_into().unwrap());
        sound.then(|| Self {
            log_id: wide(4),
            epoch: wide(20),
            generation: u64_at(covered, 36),
            ordinal: u64_at(covered, 44),
            offset: u64_at(covered, 52),
            next_seq: u64_at(covered, 60),
            counter: u64_at(covered, 68),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut covered = 1_u32.to_le_bytes().to_vec();
        covered.extend_from_slice(&self.log_id.to_le_bytes());
        covered.extend_from_slice(&self.epoch.to_le_bytes());
        for value in [self.generation, self.ordinal, self.offset, self.next_seq, self.counter] {
            covered.extend_from_slice(&value.to_le_bytes());
        }
        let mut out = b"WALDMARK".to_vec();
        out.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
        out.extend_from_slice(&covered);
        out.resize(512, 0);
        out
    }
}
