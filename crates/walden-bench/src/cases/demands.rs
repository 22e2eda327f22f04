//! What Walden must reach, row by row.

use super::{Sizes, append, bare, ours, with_peers};
use crate::baseline::OVERHEAD;
use crate::case::{Bound, Case, Section};
use crate::figures::{CPU, DISK_RATE, OPEN_MS, PAUSE, RATE, RESIDENT, ROTATION_WAITS};
use crate::peers;
use crate::subject::{Bare, Engine, Fixture, Peer, Store, Strategy, Subject, Walden, Way};

const WALDEN: &str = "Walden";

/// Segments (MiB) of which four, as many as can be open, take the first GiB: faster than the disk does.
const BURST: u64 = 256;

/// Where four of those are full sooner than the disk can have sealed one.
const LARGE_BURST: u64 = 512;

pub(super) fn cases(sizes: &Sizes) -> Vec<Case> {
    let mut cases = handed_over(sizes);
    cases.push(sustained());
    cases.extend(durable());
    cases.extend(batches(sizes));
    cases.extend(large_payloads(sizes));
    cases.extend(rotation(sizes));
    cases.extend(reading(sizes));
    cases.extend(looking_up(sizes));
    cases.extend(opening(sizes));
    cases.extend(following());
    cases
}

fn case(name: impl Into<String>) -> Case {
    Case::new(Section::Demands, name)
}

fn handed_over(sizes: &Sizes) -> Vec<Case> {
    let write = append(bare(Bare::Write), 1, 128, 1);
    let most = (sizes.first_mib << 20) / (128 + OVERHEAD) as u64;
    let first = |store| Subject::Append { store, threads: 1, payload: 128, batch: 1, most };
    let mapped = Store::Walden(Walden::new(Strategy::OsCache, Engine::Mmap).segments(BURST));
    let buffered = Store::Walden(Walden::new(Strategy::Background, Engine::Os).segments(BURST));
    let eight = |store| append(store, 8, 128, 1);
    let eight_threads = case("OsCache, 8 threads, 128 B, os")
        .entry(WALDEN, eight(ours(Strategy::OsCache, Engine::Os)))
        .beside("a `write` under a mutex", eight(bare(Bare::Mutex)), Bound::Times(0.95));
    vec![
        // What is not synced is bounded by four segments: with the usual ones a round measures the disk.
        case(format!("Background, 1 thread, 128 B, the first {} MiB", sizes.first_mib))
            .entry(format!("Walden, segments of {BURST} MiB"), first(buffered))
            .beside("`write`", first(bare(Bare::Write)), Bound::Times(5.0))
            .beside("64 KiB buffer under a mutex", first(bare(Bare::Buffered)), Bound::Shown)
            .entry("Walden, segments of 64 MiB", first(ours(Strategy::Background, Engine::Os)))
            .want(RATE, 3, 1, Bound::Shown),
        case("OsCache, 1 thread, 128 B, os")
            .entry(WALDEN, append(ours(Strategy::OsCache, Engine::Os), 1, 128, 1))
            .beside("`write`", write, Bound::Times(0.9)),
        case(format!("OsCache, 1 thread, 128 B, mmap, the first {} MiB", sizes.first_mib))
            .entry(format!("Walden, segments of {BURST} MiB"), first(mapped))
            .beside("`write`", first(bare(Bare::Write)), Bound::Times(6.0))
            .beside("copy and CRC into a mapping", first(bare(Bare::Mapping)), Bound::Shown),
        with_peers(eight_threads, false, (8, 128, 1), true),
    ]
}

/// The disk's rate is measured past the page cache in the same rounds: a loop through the cache overwrites there what
/// the disk has not taken yet. What is left in the cache is synced in the end. A log that keeps so much removes as much as it
/// writes, so a loop that does that stands beside it, too.
fn sustained() -> Case {
    let ours = |engine| Store::Walden(Walden::new(Strategy::OsCache, engine).retain(8 << 10));
    let sustained = |store, payload, batch| Subject::Sustained { store, payload, batch };
    let (disk, cached, rotating) = (3, 4, 5);
    let mut case = case("sustained, OsCache")
        .figure(DISK_RATE)
        .entry("Walden mmap, single, 128 B", sustained(ours(Engine::Mmap), 128, 1))
        .entry("Walden os, batches of 64, 128 B", sustained(ours(Engine::Os), 128, 64))
        .entry("Walden os, 64 KiB", sustained(ours(Engine::Os), 64 << 10, 1))
        .entry("`write` of 1 MiB, `O_DIRECT`", sustained(bare(Bare::Direct), 1 << 20, 1))
        .entry("`write` of 1 MiB", sustained(bare(Bare::Blocks), 1 << 20, 1))
        .entry(
            "`write` of 1 MiB, `O_DIRECT`, old files removed",
            sustained(bare(Bare::Rotating), 1 << 20, 1),
        )
        .lasting(60.0, 3);
    for mine in 0..disk {
        case = case
            .want(DISK_RATE, mine, disk, Bound::Times(0.8))
            .want(DISK_RATE, mine, rotating, Bound::Shown)
            .want(PAUSE, mine, cached, Bound::WithinMore(50.0));
    }
    case
}

fn durable() -> Vec<Case> {
    let always = |threads| append(ours(Strategy::Always, Engine::Os), threads, 128, 1);
    let mut cases = vec![
        case("Always, 1 thread, 128 B")
            .entry(WALDEN, always(1))
            .beside(
                "`pwrite` into written space + `fdatasync`",
                append(bare(Bare::Prewritten), 1, 128, 1),
                Bound::Times(0.9),
            )
            .beside(
                "`write` + `fdatasync`",
                append(bare(Bare::WriteSync), 1, 128, 1),
                Bound::Times(1.3),
            ),
    ];
    for threads in [8, 64] {
        let group = |bare| append(Store::Bare(bare), threads, 128, 1);
        let case = case(format!("Always, {threads} threads, 128 B"))
            .entry(WALDEN, always(threads))
            .beside("group commit, growing file", group(Bare::Group), Bound::Times(0.9))
            .beside("group commit, written space", group(Bare::GroupPrewritten), Bound::Times(0.9));
        cases.push(with_peers(case, true, (threads, 128, 1), true));
    }
    cases.push(
        case("Always, 64 tickets in flight, 128 B")
            .entry(WALDEN, Subject::Tickets { depth: 64, payload: 128 })
            .beside("Walden, 64 threads", always(64), Bound::Times(2.0)),
    );
    cases
}

/// Appends of the first so many MiB, which the page cache takes whole: what lasts is the case `sustained`.
fn burst(sizes: &Sizes, store: Store, payload: usize, batch: usize) -> Subject {
    // Entries, not batches.
    let most = (sizes.first_mib << 20) / (payload + OVERHEAD) as u64;
    Subject::Append { store, threads: 1, payload, batch, most }
}

fn batches(sizes: &Sizes) -> Vec<Case> {
    [(Engine::Os, "os", 1.2), (Engine::Mmap, "mmap", 3.0)]
        .into_iter()
        .map(|(engine, name, times)| {
            let first = sizes.first_mib;
            let walden = |segments| {
                let settings = Walden::new(Strategy::OsCache, engine).segments(segments);
                burst(sizes, Store::Walden(settings), 128, 64)
            };
            // The loop syncs nothing. What sealing, which does, takes from it is shown beside.
            case(format!("OsCache, batches of 64, 128 B, {name}, the first {first} MiB"))
                .entry("Walden, one segment", walden(first))
                .entry("64 plain records, one `write`", burst(sizes, bare(Bare::Write), 128, 64))
                .entry(format!("Walden, sealing segments of {BURST} MiB"), walden(BURST))
                .want(RATE, 0, 1, Bound::Times(times))
                .want(RATE, 2, 1, Bound::Shown)
        })
        .collect()
}

fn large_payloads(sizes: &Sizes) -> Vec<Case> {
    let walden = |mib| Store::Walden(Walden::new(Strategy::OsCache, Engine::Os).segments(mib));
    [(64 << 10, "64 KiB"), (1 << 20, "1 MiB")]
        .into_iter()
        .map(|(payload, name)| {
            let first = sizes.first_mib;
            case(format!("OsCache, 1 thread, {name}, os, the first {first} MiB"))
                .entry(
                    format!("Walden, segments of {LARGE_BURST} MiB"),
                    burst(sizes, walden(LARGE_BURST), payload, 1),
                )
                .beside(
                    "record encoded, `write`",
                    burst(sizes, bare(Bare::Write), payload, 1),
                    Bound::Times(0.9),
                )
                .beside(
                    "`write` alone, no copy, no CRC",
                    burst(sizes, bare(Bare::Blocks), payload, 1),
                    Bound::Shown,
                )
                .entry(
                    format!("Walden, segments of {BURST} MiB"),
                    burst(sizes, walden(BURST), payload, 1),
                )
                .want(RATE, 3, 1, Bound::Shown)
        })
        .collect()
}

/// At a fixed rate: 51 MB/s, so that a segment of 64 MiB is full every 1.3 s, and one of 1 GiB never.
fn rotation(sizes: &Sizes) -> Vec<Case> {
    let paced =
        |walden| Subject::Paced { store: Store::Walden(walden), rate: 50_000, payload: 1024 };
    [(Engine::Os, "os"), (Engine::Mmap, "mmap")]
        .into_iter()
        .map(|(engine, name)| {
            let settings = Walden::new(Strategy::OsCache, engine);
            let rotating = settings.segments(64).retain(256);
            case(format!("p99.9 with rotation and retention, OsCache, {name}"))
                .figure("p99_9_us")
                .entry("Walden, segments of 64 MiB", paced(rotating))
                .beside(
                    format!("Walden, one segment of {} MiB", sizes.first_mib),
                    paced(settings.segments(sizes.first_mib)),
                    Bound::WithinTimes(1.5),
                )
                .want(ROTATION_WAITS, 0, 0, Bound::AtMost(0.0))
                .lasting(10.0, 5)
        })
        .collect()
}

fn reading(sizes: &Sizes) -> Vec<Case> {
    let records = sizes.read;
    let plain = Fixture::of(records, 128);
    let packed = Fixture { batch: 64, records: records - records % 64, ..plain };
    let warm = |fixture, way| Subject::Read { fixture, way, cold: false };
    let next = warm(plain, Way::Next);
    let mut first = case("read_next, warm, 128 B")
        .entry(WALDEN, next)
        .beside(
            "bare reader",
            Subject::BareRead { records, payload: 128, cold: false },
            Bound::Times(1.0),
        )
        .or_another();
    for peer in peers::at_hand() {
        let subject = Subject::PeerRead { peer, records, payload: 128 };
        first = match peer {
            Peer::Commitlog => first.beside(peer.name(), subject, Bound::Times(1.2)).or_another(),
            Peer::RaftEngine | Peer::Okaywal => first.beside(peer.name(), subject, Bound::Shown),
            Peer::Go => first.beside(peer.name(), subject, Bound::Times(6.0)),
            _ => first,
        };
    }
    let kib = Fixture::of(records / 8, 1024);
    vec![
        first,
        case("range, warm, 128 B").entry(WALDEN, warm(plain, Way::Range)).beside(
            "Walden, read_next",
            next,
            Bound::Times(0.6),
        ),
        case("read_next, warm, 1 KiB").entry(WALDEN, warm(kib, Way::Next)).beside(
            "copy and CRC of the same bytes",
            Subject::CopyAndSum { payload: 1024 },
            Bound::Times(0.7),
        ),
        case("read_next, packed batches of 64, warm, 128 B")
            .entry(WALDEN, warm(packed, Way::Next))
            .beside("Walden, single records", next, Bound::Times(2.0)),
    ]
}

fn looking_up(sizes: &Sizes) -> Vec<Case> {
    let (Some(few), Some(many)) = (sizes.seek.first(), sizes.seek.last()) else {
        return Vec::new();
    };
    let (few_log, many_log) = (Fixture::of(*few, 16), Fixture::of(*many, 16));
    let pair = |name: &str, of: fn(Fixture) -> Subject| {
        case(name)
            .figure("p50_us")
            .entry(format!("Walden, {many} records"), of(many_log))
            .beside(format!("Walden, {few} records"), of(few_log), Bound::WithinTimes(1.5))
            .want("p50_us", 0, 0, Bound::AtMost(5.0))
    };
    vec![
        pair("get by seq id, warm", |fixture| Subject::Get { fixture }),
        pair("seek by seq id, warm", |fixture| Subject::Seek { fixture }),
    ]
}

fn opening(sizes: &Sizes) -> Vec<Case> {
    let (Some(&most), Some(&less)) = (sizes.open.last(), sizes.open.iter().rev().nth(1)) else {
        return Vec::new();
    };
    let open = |mib, segment_mib, killed| Subject::Open {
        fixture: Fixture::sized(mib, segment_mib, killed),
    };
    let clean = |segment_mib, most_ms| {
        case(format!("open, closed cleanly, {most} MiB in segments of {segment_mib} MiB"))
            .figure(OPEN_MS)
            .entry(WALDEN, open(most, segment_mib, false))
            .want(OPEN_MS, 0, 0, Bound::AtMost(most_ms))
            .want(RESIDENT, 0, 0, Bound::AtMost(16.0))
    };
    vec![
        clean(256, 5.0),
        clean(10, 15.0),
        case(format!("open after kill -9, {most} MiB against {less} MiB"))
            .figure(OPEN_MS)
            .entry(format!("Walden, {most} MiB"), open(most, 64, true))
            .beside(format!("Walden, {less} MiB"), open(less, 64, true), Bound::WithinTimes(1.5)),
    ]
}

fn following() -> Vec<Case> {
    vec![
        case("follower, 10,000 appends/s, append to held")
            .figure("p50_us")
            .entry("Walden, os", Subject::Follow { rate: 10_000, engine: Engine::Os })
            .beside(
                "wake-up of a thread alone",
                Subject::HandOver { rate: 10_000 },
                Bound::WithinMore(5.0),
            )
            .beside(
                "`write`, wake-up, `read`",
                Subject::HandOverByFile { rate: 10_000 },
                Bound::Shown,
            )
            .entry("Walden, mmap", Subject::Follow { rate: 10_000, engine: Engine::Mmap })
            .want("p50_us", 3, 1, Bound::Shown),
        case("follower, idle").figure(CPU).entry(WALDEN, Subject::Idle).want(
            CPU,
            0,
            0,
            Bound::AtMost(0.5),
        ),
    ]
}
