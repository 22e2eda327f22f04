//! How a log is to behave. Nothing here is needed to read a log that is already there.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Codec, MOST_CONTENT};
use crate::storage::Engine;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Levels that Zstandard knows.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -131_072..=22;

/// When an append returns: what it has survived by then. The table is in the crate's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncStrategy {
    /// `append` returns when the record is in this process's memory. A crash of the process may lose
    /// what was not flushed, a power cut all since the last sync.
    Background,
    /// `append` returns when the kernel has the record. A crash of the process loses nothing, a power
    /// cut all since the last sync.
    OsCache,
    /// `append` returns when the record is durable. Nothing is lost.
    Always,
}

/// The Go library's switch for small segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Any segment size is taken as it is.
    Debug,
    /// A segment size under 1 MiB is raised to the default of 10 MiB; `Wal::recovery` says so.
    Prod,
}

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchFormat {
    /// One record for the whole batch: after a crash it is there whole or not at all.
    Packed,
    /// One record per entry, as the Go library writes and reads them: order is kept over a crash,
    /// atomicity is not. Not together with [`Compression`], which the Go library does not know.
    Separate,
}

/// How what is appended is stored. A log may hold records of all kinds: it is read with whatever each was
/// written with, as far as this build has the feature of that name.
///
/// A batch is compressed as a whole, which gains far more than small entries one by one. What does not get
/// smaller, or is shorter than [`Config::compression_threshold`], is stored as it is. The checksum covers what
/// is stored: recovery, retention and copies need neither codec nor dictionary, frames the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// By Snappy: fast, in Rust alone. Feature `snappy`.
    Snappy,
    /// By Zstandard: smallest. Feature `zstd`, which builds the C library. Small payloads are compressed with the log's
    /// newest dictionary, if it has one ([`Wal::train_dictionary`](crate::Wal::train_dictionary)).
    Zstd {
        /// From 1 (fast) to 22 (small, and slow to write); 0 is the library's own, 3; below 0 still faster.
        level: i32,
    },
    /// By LZ4: fast, above all to read, in Rust alone. Feature `lz4`.
    Lz4,
}

impl Compression {
    /// Whether this build has the feature: else a log that is to be opened with it is refused.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self.codec() {
            None => true,
            Some((codec, _)) => codec.is_compiled_in(),
        }
    }

    /// The codec, and its level where it has levels.
    pub(crate) const fn codec(self) -> Option<(Codec, i32)> {
        match self {
            Self::None => None,
            Self::Snappy => Some((Codec::Snappy, 0)),
            Self::Zstd { level } => Some((Codec::Zstd, level)),
            Self::Lz4 => Some((Codec::Lz4, 0)),
        }
    }

    /// Refuses what cannot be done.
    ///
    /// # Errors
    /// `Unsupported`, `InvalidInput`.
    pub(crate) fn check(self, format: BatchFormat) -> Result<()> {
        let Some((codec, level)) = self.codec() else { return Ok(()) };
        if !codec.is_compiled_in() {
            let feature = codec.feature();
            let what = format!("compression: this build is without the feature `{feature}`");
            return Err(Error::new(ErrorKind::Unsupported, what)
                .advice(format!("build walden with the feature `{feature}`")));
        }
        if codec == Codec::Zstd && !ZSTD_LEVELS.contains(&level) {
            return Err(Error::invalid(format!(
                "compression: Zstandard has no level {level}, only -131072 to 22"
            )));
        }
        if format == BatchFormat::Separate {
            return Err(Error::invalid(
                "compression: BatchFormat::Separate is for the Go library, which reads nothing compressed",
            ));
        }
        Ok(())
    }
}

/// What opening does about a torn tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryMode {
    /// Cut it off, after a copy was put into quarantine, and report it.
    TruncateTail,
    /// Refuse to open, unless the tail holds only zeros.
    Strict,
}

/// Who does what must be done besides appending: making the next segment, sealing, periodic syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Maintenance {
    /// A thread of the log's own.
    Thread,
    /// The caller, with [`Wal::tick`](crate::Wal::tick). No thread is started, so that the log runs
    /// deterministically in a simulation.
    Manual,
}

/// What may be removed at the front of the log. Whole sealed segments go, never the active one.
///
/// A filesystem that is mounted with `discard` tells the disk of each segment that is removed, which can make the disk slower for
/// the appends, too (`docs/benchmarks.md`): `fstrim`, now and then, does that without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    max_age: Option<Duration>,
    max_bytes: Option<u64>,
    max_segments: Option<u64>,
}

impl Retention {
    /// Keeps everything.
    #[must_use]
    pub const fn keep_all() -> Self {
        Self { max_age: None, max_bytes: None, max_segments: None }
    }

    /// Segments whose last entry is older than this may go.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The oldest segments go while the log's segments hold more than this many bytes.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The oldest segments go while there are more than this many.
    #[must_use]
    pub const fn max_segments(mut self, segments: u64) -> Self {
        self.max_segments = Some(segments);
        self
    }

    /// Whether nothing is ever removed.
    #[must_use]
    pub const fn keeps_all(&self) -> bool {
        self.max_age.is_none() && self.max_bytes.is_none() && self.max_segments.is_none()
    }

    /// Whether a limit says that the oldest of so many segments may go, with so many bytes, and so many microseconds
    /// since the last entry of the oldest was appended.
    pub(crate) fn is_passed(&self, segments: u64, bytes: u64, age: u64) -> bool {
        let too_many = self.max_segments.is_some_and(|most| segments > most);
        let too_large = self.max_bytes.is_some_and(|most| bytes > most);
        let too_old = self.max_age.is_some_and(|most| u128::from(age) > most.as_micros());
        too_many || too_large || too_old
    }
}

/// The settings of a log.
///
/// Start from one of [`Config::durable`], [`Config::os_cache`] and [`Config::background`]; each says
/// what an append survives. `Config::default()` has the Go library's defaults, which are those of
/// `Background`: **a crash of the process loses what was not flushed.**
///
/// ```
/// use std::time::Duration;
/// use walden::Config;
///
/// let config = Config::durable().segment_size(64 << 20).sync_interval(Duration::from_millis(200));
/// # let _ = config;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Config {
    sync_strategy: SyncStrategy,
    segment_size: u64,
    segment_prefix: String,
    buffer_size: u64,
    sync_interval: Duration,
    mode: Mode,
    max_record_size: u64,
    max_in_flight: u64,
    batch_format: BatchFormat,
    recovery_mode: RecoveryMode,
    maintenance: Maintenance,
    retention: Retention,
    cursor_cap: Retention,
    quarantine_limit: u64,
    engine: Engine,
    compression: Compression,
    compression_threshold: u64,
    pack_appends: bool,
}

impl Default for Config {
    /// The Go library's defaults: [`SyncStrategy::Background`], segments of 10 MiB, a buffer of 4 KiB,
    /// a sync every second. **Not durable**: see [`Config::durable`].
    fn default() -> Self {
        Self {
            sync_strategy: SyncStrategy::Background,
            segment_size: 10 * MIB,
            segment_prefix: String::from("segment"),
            buffer_size: 4 * KIB,
            sync_interval: Duration::from_millis(1000),
            mode: Mode::Debug,
            max_record_size: 256 * MIB,
            max_in_flight: 64 * MIB,
            batch_format: BatchFormat::Packed,
            recovery_mode: RecoveryMode::TruncateTail,
            maintenance: Maintenance::Thread,
            retention: Retention::keep_all(),
            cursor_cap: Retention::keep_all(),
            quarantine_limit: 256 * MIB,
            engine: Engine::Os,
            compression: Compression::None,
            compression_threshold: 64,
            pack_appends: false,
        }
    }
}

/// Where appends do not wait for the disk.
const FAST_SEGMENT: u64 = 64 * MIB;

impl Config {
    /// Every append returns only when its record is durable: neither a crash nor a power cut loses it.
    pub fn durable() -> Self {
        Self { sync_strategy: SyncStrategy::Always, buffer_size: 64 * KIB, ..Self::default() }
    }

    /// Every append returns when the kernel has its record: a crash of the process loses nothing, a
    /// power cut what came after the last sync. Segments of 64 MiB: appends come faster than a disk takes
    /// them, and what is not sealed yet is at most four segments.
    pub fn os_cache() -> Self {
        Self {
            sync_strategy: SyncStrategy::OsCache,
            segment_size: FAST_SEGMENT,
            buffer_size: 64 * KIB,
            ..Self::default()
        }
    }

    /// Appends go to memory and are flushed and synced behind the caller's back: fastest, and a crash
    /// of the process loses the last moments. Segments of 64 MiB, as in [`os_cache`](Self::os_cache).
    pub fn background() -> Self {
        Self {
            sync_strategy: SyncStrategy::Background,
            segment_size: FAST_SEGMENT,
            buffer_size: 64 * KIB,
            ..Self::default()
        }
    }

    /// How records come into the files. Only [`Wal::open`](crate::Wal::open) asks for it; the files are the same.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    pub(crate) const fn chosen_engine(&self) -> Engine {
        self.engine
    }

    /// When an append returns.
    pub fn sync_strategy(mut self, strategy: SyncStrategy) -> Self {
        self.sync_strategy = strategy;
        self
    }

    /// Bytes after which a new segment begins. A larger record gets a segment of its own.
    pub fn segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = bytes;
        self
    }

    /// What the names of the log's files begin with: several logs can share a folder.
    pub fn segment_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.segment_prefix = prefix.into();
        self
    }

    /// Bytes that `Background` gathers before it writes them.
    pub fn buffer_size(mut self, bytes: u64) -> Self {
        self.buffer_size = bytes;
        self
    }

    /// How often what was written is synced in `Background` and `OsCache`, and the note of how far the
    /// log is durable in each strategy. Bounds what a power cut can lose, and what opening reads.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// Whether tiny segments are taken as they are.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The largest record, or batch in one record, that an append takes; larger ones are refused before
    /// anything is written. At most 4 GiB − 1. Reading is bound by it only where a record is compressed: one
    /// that holds more is refused with `TooLarge`, before memory is taken for it.
    pub fn max_record_size(mut self, bytes: u64) -> Self {
        self.max_record_size = bytes;
        self
    }

    /// Bytes appended and not yet durable beyond which `try_submit` answers `Busy` and `submit` waits.
    pub fn max_in_flight(mut self, bytes: u64) -> Self {
        self.max_in_flight = bytes;
        self
    }

    /// How what is appended is stored; [`Wal::with_compression`](crate::Wal::with_compression) is another choice
    /// for some of it.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Payloads, and bodies of batches, that are shorter are not compressed: 64 bytes unless set.
    pub fn compression_threshold(mut self, bytes: u64) -> Self {
        self.compression_threshold = bytes;
        self
    }

    /// Single appends that wait for the disk at the same time share a record, which has one header for all and is compressed
    /// as a whole. Only under [`SyncStrategy::Always`], for `append` and `append_parts` of up to 16 KiB; off unless set. It
    /// takes several threads for any to gather.
    ///
    /// Each is acknowledged for itself, has its own seq id, and can be cut off behind the one before it. What shares a
    /// record is lost together if that is damaged.
    pub fn pack_appends(mut self, pack: bool) -> Self {
        self.pack_appends = pack;
        self
    }

    /// How batches are written.
    pub fn batch_format(mut self, format: BatchFormat) -> Self {
        self.batch_format = format;
        self
    }

    /// What opening does about a torn tail.
    pub fn recovery_mode(mut self, mode: RecoveryMode) -> Self {
        self.recovery_mode = mode;
        self
    }

    /// Who seals, syncs and prepares.
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.maintenance = maintenance;
        self
    }

    /// What is removed at the front of the log without being asked.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How much cursors may keep retention from removing. A segment that retention would remove and that a cursor
    /// needs goes all the same once these limits too say so, and the cursor has expired: its owner gets `Expired`,
    /// [`Stats::cursors_expired`](crate::Stats::cursors_expired) counts it.
    ///
    /// Without one, the default, a cursor that is left behind keeps the log growing: a full disk is an error that
    /// loses nothing, while entries that a consumer never saw are gone for good.
    pub fn cursor_cap(mut self, cap: Retention) -> Self {
        self.cursor_cap = cap;
        self
    }

    /// Bytes that the quarantine folder may hold; the oldest go first, the newest is always kept whole.
    pub fn quarantine_limit(mut self, bytes: u64) -> Self {
        self.quarantine_limit = bytes;
        self
    }
}

/// A configuration that was found to make sense, with what had to be adjusted.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) strategy: SyncStrategy,
    pub(crate) segment_size: u64,
    pub(crate) prefix: String,
    pub(crate) buffer_size: u64,
    pub(crate) sync_interval: Duration,
    pub(crate) max_record_size: u64,
    pub(crate) max_in_flight: u64,
    pub(crate) batch_format: BatchFormat,
    pub(crate) recovery_mode: RecoveryMode,
    pub(crate) maintenance: Maintenance,
    pub(crate) retention: Retention,
    pub(crate) cursor_cap: Retention,
    pub(crate) quarantine_limit: u64,
    pub(crate) compression: Compression,
    pub(crate) compression_threshold: u64,
    pub(crate) pack_appends: bool,
    /// What was changed, in words, for the report.
    pub(crate) notes: Vec<String>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    /// `InvalidInput` that names the setting.
    pub(crate) fn check(config: Config) -> Result<Self> {
        check_prefix(&config.segment_prefix)?;
        let mut notes = Vec::new();
        let mut segment_size = config.segment_size;
        if config.mode == Mode::Prod && segment_size < MIB {
            segment_size = 10 * MIB;
            notes.push(format!(
                "segment_size {} is under 1 MiB: raised to {segment_size} (Mode::Prod)",
                config.segment_size
            ));
        }
        if segment_size == 0 {
            return Err(Error::invalid("segment_size is 0: give it room for a record"));
        }
        if segment_size > 1 << 47 {
            return Err(Error::invalid("segment_size is over 128 TiB"));
        }
        if config.max_record_size == 0 || config.max_record_size > MOST_CONTENT {
            return Err(Error::invalid("max_record_size must be from 1 to 4 GiB − 1"));
        }
        if config.sync_interval.is_zero() {
            return Err(Error::invalid(
                "sync_interval is 0: use SyncStrategy::Always to sync each append",
            ));
        }
        config.compression.check(config.batch_format)?;
        if config.pack_appends && config.batch_format == BatchFormat::Separate {
            return Err(Error::invalid(
                "pack_appends: BatchFormat::Separate is for the Go library, which reads one entry a record",
            ));
        }
        Ok(Self {
            strategy: config.sync_strategy,
            segment_size,
            prefix: config.segment_prefix,
            buffer_size: config.buffer_size.max(1),
            sync_interval: config.sync_interval,
            max_record_size: config.max_record_size,
            max_in_flight: config.max_in_flight.max(1),
            batch_format: config.batch_format,
            recovery_mode: config.recovery_mode,
            maintenance: config.maintenance,
            retention: config.retention,
            cursor_cap: config.cursor_cap,
            quarantine_limit: config.quarantine_limit,
            compression: config.compression,
            compression_threshold: config.compression_threshold,
            pack_appends: config.pack_appends,
            notes,
        })
    }
}

impl Settings {
    /// Whether single appends gather: where each waits for the disk, and only there.
    pub(crate) const fn packs_appends(&self) -> bool {
        self.pack_appends && matches!(self.strategy, SyncStrategy::Always)
    }
}

/// A prefix must be usable as the start of a file name on any system and must not hide files.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let bad = |why: &str| Err(Error::invalid(format!("segment_prefix {prefix:?} {why}")));
    if prefix.is_empty() {
        return bad("is empty");
    }
    if prefix.len() > 128 {
        return bad("is longer than 128 bytes");
    }
    if prefix.starts_with('.') {
        return bad("begins with a dot");
    }
    if prefix.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
        return bad("holds a separator or a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_go_librarys() {
        let settings = Settings::check(Config::default()).unwrap();
        assert_eq!(settings.strategy, SyncStrategy::Background);
        assert_eq!(settings.segment_size, 10_485_760);
        assert_eq!(settings.buffer_size, 4096);
        assert_eq!(settings.sync_interval, Duration::from_secs(1));
        assert_eq!(settings.prefix, "segment");
        assert_eq!(settings.max_record_size, 256 << 20);
    }

    #[test]
    fn prod_raises_a_tiny_segment_and_says_so() {
        let prod = Settings::check(Config::durable().segment_size(4096).mode(Mode::Prod)).unwrap();
        assert_eq!(prod.segment_size, 10_485_760);
        assert_eq!(prod.notes.len(), 1);
        let debug = Settings::check(Config::durable().segment_size(4096)).unwrap();
        assert_eq!(debug.segment_size, 4096);
        assert!(debug.notes.is_empty());
    }

    #[test]
    fn a_codec_that_is_not_there_is_refused_by_its_feature() {
        for (compression, feature) in [
            (Compression::Snappy, "snappy"),
            (Compression::Zstd { level: 3 }, "zstd"),
            (Compression::Lz4, "lz4"),
        ] {
            let checked = Settings::check(Config::durable().compression(compression));
            assert_eq!(checked.is_ok(), compression.is_available());
            if let Err(error) = checked {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.what_to_do().is_some_and(|what| what.contains(feature)), "{error}");
                continue;
            }
            let separate = Config::durable().batch_format(BatchFormat::Separate);
            let error = Settings::check(separate.compression(compression)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        let level = Compression::Zstd { level: 23 };
        let error = Settings::check(Config::durable().compression(level)).unwrap_err();
        let kind =
            if level.is_available() { ErrorKind::InvalidInput } else { ErrorKind::Unsupported };
        assert_eq!(error.kind(), kind, "{error}");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (config, word) in [
            (Config::durable().segment_size(0), "segment_size"),
            (Config::durable().segment_prefix(""), "segment_prefix"),
            (Config::durable().segment_prefix("a/b"), "segment_prefix"),
            (Config::durable().segment_prefix("a\nb"), "segment_prefix"),
            (Config::durable().segment_prefix(".hidden"), "segment_prefix"),
            (Config::durable().max_record_size(0), "max_record_size"),
            (Config::durable().max_record_size(1 << 32), "max_record_size"),
            (Config::durable().sync_interval(Duration::ZERO), "sync_interval"),
        ] {
            let error = Settings::check(config).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
