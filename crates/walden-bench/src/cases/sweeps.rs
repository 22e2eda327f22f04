//! Sweeps for the plots, and what nothing is demanded of.

use super::{Sizes, append, bare, ours, peers_of, with_peers};
use crate::case::{Bound, Case, Section};
use crate::figures::{MIB_RATE, OPEN_MS, RESIDENT};
use crate::peers;
use crate::subject::{Bare, Engine, Fixture, Peer, Store, Strategy, Subject, Walden, Way};

/// Every strategy with every engine.
const SETTINGS: [(&str, Strategy, Engine); 6] = [
    ("Walden Background", Strategy::Background, Engine::Os),
    ("Walden Background mmap", Strategy::Background, Engine::Mmap),
    ("Walden OsCache", Strategy::OsCache, Engine::Os),
    ("Walden OsCache mmap", Strategy::OsCache, Engine::Mmap),
    ("Walden Always", Strategy::Always, Engine::Os),
    ("Walden Always mmap", Strategy::Always, Engine::Mmap),
];

pub(super) fn cases(sizes: &Sizes) -> Vec<Case> {
    let mut cases = beside_peers();
    cases.extend(sizes.threads.iter().copied().flat_map(over_threads));
    for batch in [1, 64] {
        let payloads = sizes.payloads.iter().copied();
        cases.extend(payloads.flat_map(|payload| over_payloads(payload, batch)));
    }
    cases.push(reading(sizes));
    cases.extend(latencies());
    cases.extend(sizes.open.iter().map(|mib| opening(*mib)));
    cases.extend(sizes.seek.iter().map(|records| seeking(*records)));
    cases.push(memory(sizes));
    cases
}

fn settings(durable: bool) -> impl Iterator<Item = (&'static str, Store)> {
    SETTINGS
        .into_iter()
        .filter(move |(_, strategy, _)| (*strategy == Strategy::Always) == durable)
        .map(|(name, strategy, engine)| (name, ours(strategy, engine)))
}

/// A case for each of: not durable, durable.
fn both(
    section: Section,
    name: &str,
    figure: &str,
    load: (usize, usize, usize),
    baselines: [&[(&str, Bare)]; 2],
) -> Vec<Case> {
    let (threads, payload, batch) = load;
    let mut cases = Vec::new();
    for (durable, baselines) in [false, true].into_iter().zip(baselines) {
        let promise = if durable { "durable" } else { "not durable" };
        let mut case = Case::new(section, format!("{promise}, {name}")).figure(figure);
        for (name, store) in settings(durable) {
            case = case.entry(name, append(store, threads, payload, batch));
        }
        for (name, loops) in baselines {
            case = case.entry(*name, append(bare(*loops), threads, payload, batch));
        }
        cases.push(case);
    }
    cases
}

fn over_threads(threads: usize) -> Vec<Case> {
    let baselines: [&[_]; 2] = [
        &[("bare write, mutex", Bare::Mutex)],
        &[("bare group commit", Bare::Group), ("bare, written space", Bare::GroupPrewritten)],
    ];
    let name = match threads {
        1 => "1 thread, 128 B".to_owned(),
        more => format!("{more} threads, 128 B"),
    };
    let cases = both(Section::Threads, &name, crate::figures::RATE, (threads, 128, 1), baselines);
    let plots = ["threads-kernel", "threads-durable"];
    let mut cases: Vec<Case> =
        cases.into_iter().zip(plots).map(|(case, plot)| case.at(plot, threads as f64)).collect();
    for (case, durable) in cases.iter_mut().zip([false, true]) {
        for peer in peers_of(durable) {
            let subject = append(Store::Peer { peer, durable }, threads, 128, 1);
            *case = case.clone().entry(peer.name(), subject);
        }
    }
    cases
}

fn over_payloads(payload: usize, batch: usize) -> Vec<Case> {
    let baselines: [&[_]; 2] = [
        &[("bare write", Bare::Write), ("bare mapping", Bare::Mapping)],
        &[("bare write + sync", Bare::WriteSync), ("bare, written space", Bare::Prewritten)],
    ];
    let (name, plots) = if batch == 1 {
        (format!("{payload} B"), ["payload-kernel", "payload-durable"])
    } else {
        (format!("batches of {batch}, {payload} B"), ["batches-kernel", "batches-durable"])
    };
    let mut cases = both(Section::Payloads, &name, MIB_RATE, (1, payload, batch), baselines);
    // 64 times 1 MiB does not fit where the bare loops wrap, nor into what may be in flight.
    if payload * batch > 16 << 20 {
        cases.clear();
    }
    cases.into_iter().zip(plots).map(|(case, plot)| case.at(plot, payload as f64)).collect()
}

fn beside_peers() -> Vec<Case> {
    let ours = |engine, batch| append(ours(Strategy::OsCache, engine), 1, 128, batch);
    [1, 64]
        .into_iter()
        .map(|batch| {
            let name = if batch == 1 { "single" } else { "batches of 64" };
            let case =
                Case::new(Section::Peers, format!("with the kernel, 1 thread, 128 B, {name}"))
                    .entry("Walden", ours(Engine::Os, batch))
                    .beside("Walden mmap", ours(Engine::Mmap, batch), Bound::Shown)
                    .beside("bare `write`", append(bare(Bare::Write), 1, 128, batch), Bound::Shown);
            with_peers(case, false, (1, 128, batch), false)
        })
        .collect()
}

fn reading(sizes: &Sizes) -> Case {
    let records = sizes.read;
    let plain = Fixture::of(records, 128);
    let packed = Fixture { batch: 64, records: records - records % 64, ..plain };
    let mut case = Case::new(Section::Reading, "from one end to the other, 128 B");
    for (place, cold) in [("warm", false), ("cold", true)] {
        let bare = Subject::BareRead { records, payload: 128, cold };
        let read = |fixture, way| Subject::Read { fixture, way, cold };
        case = case
            .entry(format!("read_next, {place}"), read(plain, Way::Next))
            .entry(format!("range, {place}"), read(plain, Way::Range))
            .entry(format!("read_prev, {place}"), read(plain, Way::Backward))
            .entry(format!("read_next, packed, {place}"), read(packed, Way::Next))
            .entry(format!("bare reader, {place}"), bare);
    }
    case
}

/// Appends at a fixed rate, well below what each can do.
fn latencies() -> Vec<Case> {
    let paced = |store, rate| Subject::Paced { store, rate, payload: 128 };
    let fast = 20_000;
    let mut kernel = Case::new(Section::Latencies, "with the kernel, 20,000 appends/s, 128 B")
        .figure("p99_us")
        .at("latency-kernel", 0.0);
    for (name, store) in settings(false) {
        kernel = kernel.entry(name, paced(store, fast));
    }
    kernel = kernel.entry("bare write", paced(bare(Bare::Write), fast));
    let slow = 500;
    let mut durable = Case::new(Section::Latencies, "durable, 500 appends/s, 128 B")
        .figure("p99_us")
        .at("latency-durable", 0.0);
    for (name, store) in settings(true) {
        durable = durable.entry(name, paced(store, slow));
    }
    durable = durable.entry("bare write + sync", paced(bare(Bare::WriteSync), slow));
    let paced_by_us = |peer: &Peer| !peers::measures_itself(*peer);
    for peer in peers_of(false).filter(paced_by_us) {
        kernel = kernel.entry(peer.name(), paced(Store::Peer { peer, durable: false }, fast));
    }
    for peer in peers_of(true).filter(paced_by_us) {
        durable = durable.entry(peer.name(), paced(Store::Peer { peer, durable: true }, slow));
    }
    vec![kernel.lasting(5.0, 3), durable.lasting(5.0, 3)]
}

fn opening(mib: u64) -> Case {
    let open =
        |segment_mib, killed| Subject::Open { fixture: Fixture::sized(mib, segment_mib, killed) };
    Case::new(Section::Opening, format!("{mib} MiB"))
        .figure(OPEN_MS)
        .entry("closed cleanly, 256 MiB segments", open(256, false))
        .entry("closed cleanly, 10 MiB segments", open(10, false))
        .entry("after kill -9, 64 MiB segments", open(64, true))
        .at("open", mib as f64)
}

fn seeking(records: u64) -> Case {
    let fixture = Fixture::of(records, 16);
    Case::new(Section::Seeking, format!("{records} records"))
        .figure("p50_us")
        .entry("get", Subject::Get { fixture })
        .entry("seek and read_next", Subject::Seek { fixture })
        .at("seek", records as f64)
}

fn memory(sizes: &Sizes) -> Case {
    let most = sizes.first_mib << 10;
    let append = |engine, strategy, threads| Subject::Append {
        store: Store::Walden(Walden::new(strategy, engine)),
        threads,
        payload: 1 << 10,
        batch: 1,
        most,
    };
    Case::new(Section::Memory, "most memory resident, 1 KiB payloads")
        .figure(RESIDENT)
        .entry("append, Background, 1 thread", append(Engine::Os, Strategy::Background, 1))
        .entry("append, OsCache, 1 thread", append(Engine::Os, Strategy::OsCache, 1))
        .entry(
            "append, OsCache mmap, 1 thread (mapped pages count)",
            append(Engine::Mmap, Strategy::OsCache, 1),
        )
        .entry("append, Always, 64 threads", append(Engine::Os, Strategy::Always, 64))
        .entry(
            "read_next, all of it",
            Subject::Read {
                fixture: Fixture::of(sizes.read / 8, 1024),
                way: Way::Next,
                cold: false,
            },
        )
}
