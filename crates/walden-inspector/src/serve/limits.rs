//! What one request, one client and all together may ask for. `docs/inspector.md` names them.

use std::time::Duration;

use super::browse::Bounds;

/// Connections at a time; more wait to be taken.
pub(super) const CONNECTIONS: usize = 64;
/// Of them, those that follow the log.
pub(super) const FOLLOWERS: usize = 16;
/// Where fewer places are left, a connection is closed behind its answer.
pub(super) const SPARE: usize = 16;
/// Requests on one connection, and for how many times the patience it takes new ones.
pub(super) const KEPT_REQUESTS: u32 = 1000;
pub(super) const KEPT_PATIENCES: u32 = 30;
/// For how many times the patience a client may be behind with what it is sent, be it that it takes a bit now and then.
pub(super) const BEHIND_PATIENCES: u32 = 6;
/// Requests that read records at a time.
pub(super) const READS: usize = 4;
/// How long a request waits for its turn to read.
pub(super) const TURN: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head, or to take what it is sent.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's head, and its lines.
pub(super) const HEAD: usize = 16 << 10;
pub(super) const HEAD_LINES: usize = 64;
/// Bytes of a request's body, and how long it may take.
pub(super) const BODY: usize = 1 << 10;
pub(super) const BODY_TIME: Duration = Duration::from_secs(5);
/// Entries of an answer: at most, and where nothing is said.
pub(super) const ENTRIES: (usize, usize) = (1000, 100);
/// Bytes given of each entry in a list.
pub(super) const PREVIEW: (usize, usize) = (1024, 256);
/// Bytes given of one entry.
pub(super) const PAYLOAD: (usize, usize) = (1 << 20, 64 << 10);
/// Bytes of what is searched for.
pub(super) const NEEDLE: usize = 1 << 10;
/// Segments and findings of an answer.
pub(super) const SEGMENTS: (usize, usize) = (10_000, 1000);
pub(super) const FINDINGS: usize = 500;
/// Metadata keys, epochs and files in quarantine of an answer.
pub(super) const LISTED: usize = 1000;
/// A log up to so many bytes is checked as soon as it is served.
pub(super) const CHECKED_AT_ONCE: u64 = 1 << 30;
/// How often those who follow are told, how many entries at a time, and how far they may fall behind before
/// entries are left out.
pub(super) const BEAT: Duration = Duration::from_millis(200);
pub(super) const BEAT_ENTRIES: usize = 100;
pub(super) const BEAT_BYTES: usize = 16 << 20;
pub(super) const BEHIND: u64 = 1000;
/// How often they are told that nothing is new.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// What listing entries may take.
pub(super) fn listing(entries: usize, preview: usize) -> Bounds {
    Bounds {
        entries,
        preview,
        scanned: u64::MAX,
        bytes: 64 << 20,
        time: Duration::from_millis(500),
    }
}

/// What a search may take before it has to be asked to go on.
pub(super) fn search(entries: usize, preview: usize) -> Bounds {
    Bounds { scanned: 1_000_000, bytes: 256 << 20, ..listing(entries, preview) }
}
