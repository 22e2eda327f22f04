//! Histories out of seeds.

use std::time::Duration;

use walden::{Compression, SyncStrategy};

use super::op::{Crash, Op, Opening, Setup, Step};
use crate::{Action, EIO, ENOSPC, Fault, OpKind, Rng, SectorTear};

/// The setup and the steps of a seed.
pub(crate) fn history(seed: u64) -> (Setup, Vec<Step>) {
    let mut rng = Rng::new(seed);
    let setup = setup(&mut rng, seed);
    let flavour = Flavour {
        faults: rng.chance(0.5),
        full: rng.chance(0.25),
        cuts: rng.chance(0.3),
        rot: rng.chance(0.2),
    };
    let mut ops = Vec::new();
    for _ in 0..1 + rng.below(4) {
        chapter(&mut rng, flavour, &mut ops);
    }
    if seed >= CURSORS_FROM && seed.is_multiple_of(4) {
        consume(&mut Rng::new(!seed), &mut ops);
    }
    if seed >= CURSORS_FROM {
        unusual(&mut Rng::new(!seed), seed % 4, &mut ops);
    }
    let steps = ops.into_iter().zip(1..).map(|(op, id)| Step { id, op }).collect();
    (setup, steps)
}

/// From this seed on, each fourth history has a consumer too, and others are [`unusual`]. Those before it are what they were
/// before there was that, so that what they are known to find stays so.
const CURSORS_FROM: u64 = 10_000;

/// Some of the histories that have no consumer go on at seq ids around 2^32 after a reset, or begin afresh on a disk that
/// fails while the log is made.
fn unusual(rng: &mut Rng, kind: u64, ops: &mut Vec<Op>) {
    match kind {
        2 => {
            for op in ops.iter_mut() {
                if let Op::Reset { next } = op {
                    *next += (1 << 32) - 500;
                }
            }
        }
        3 if rng.chance(0.3) => {
            let openings = (0..1 + rng.below(3)).map(|_| opening(rng)).collect();
            ops.insert(rng.index(ops.len() + 1), Op::Afresh { openings });
        }
        _ => {}
    }
}

/// Steps of a consumer, anywhere among the others.
fn consume(rng: &mut Rng, ops: &mut Vec<Op>) {
    for _ in 0..2 + rng.below(12) {
        let at = rng.below(1001);
        let op = match rng.below(10) {
            0 => Op::RemoveCursor,
            1 => Op::SeekCursor { at },
            _ => Op::Consume { at },
        };
        ops.insert(rng.index(ops.len() + 1), op);
    }
}

/// What a history is rich in.
#[derive(Clone, Copy)]
struct Flavour {
    faults: bool,
    full: bool,
    cuts: bool,
    rot: bool,
}

fn setup(rng: &mut Rng, seed: u64) -> Setup {
    let setup = Setup {
        seed,
        strategy: strategy(rng),
        segment_size: pick(rng, &[100, 300, 1000, 4096]),
        buffer_size: pick(rng, &[64, 256, 4096]),
        separate: rng.chance(0.3),
        compression: Compression::None,
        tear: pick(rng, &[SectorTear::Whole, SectorTear::Changed]),
        allocates: !rng.chance(0.15),
    };
    Setup { compression: compression(&setup), ..setup }
}

/// A third of the logs are compressed, where the codec is compiled in. By chance of its own, so that all else in
/// the history of a seed is as it was before there was compression.
fn compression(setup: &Setup) -> Compression {
    let wanted = !setup.separate && Rng::new(!setup.seed).chance(0.33);
    if wanted && Compression::Lz4.is_available() { Compression::Lz4 } else { Compression::None }
}

fn strategy(rng: &mut Rng) -> SyncStrategy {
    pick(rng, &[SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always])
}

/// Some steps in peace; then some with the disk about to fail, to fill up or to stop; then a crash.
fn chapter(rng: &mut Rng, flavour: Flavour, ops: &mut Vec<Op>) {
    for _ in 0..rng.below(25) {
        ops.push(op(rng, flavour));
    }
    let full = flavour.full && rng.chance(0.7);
    if full {
        ops.push(Op::Room { blocks: Some(rng.below(6)) });
    }
    if flavour.faults && rng.chance(0.7) {
        ops.push(Op::Fault { rule: rule(rng), then: crash(rng) });
        for _ in 0..rng.below(12) {
            ops.push(op(rng, flavour));
        }
        if rng.chance(0.3) {
            ops.push(Op::Heal);
        }
    }
    if flavour.rot {
        ops.push(Op::Rot { at: rng.below(1000), bit: rng.next_u64() });
    }
    let crash = crash(rng);
    if rng.chance(0.85) {
        let torn = if rng.chance(0.3) { rng.index(600) } else { 0 };
        ops.push(Op::CrashIn { calls: 1 + rng.below(40), torn, crash });
        if flavour.cuts {
            ops.push(cut(rng));
        }
        for _ in 0..3 + rng.below(30) {
            ops.push(op(rng, flavour));
        }
    } else {
        ops.push(Op::Crash(crash));
    }
    if full && rng.chance(0.8) {
        ops.push(Op::Room { blocks: None });
    }
}

fn op(rng: &mut Rng, flavour: Flavour) -> Op {
    let at = rng.below(1001);
    match rng.below(100) {
        0..30 => Op::Append { len: rng.index(120) },
        30..32 => Op::AppendParts { len: rng.index(120), parts: 1 + rng.index(4) },
        32..42 => Op::Batch { count: rng.index(6), len: rng.index(60) },
        42..48 => Op::Submit { count: 1 + rng.index(3), len: rng.index(80) },
        48..50 => Op::Wait,
        50..55 => Op::Sync,
        55..58 => Op::Flush,
        58..66 => Op::Tick,
        66..70 => Op::Pass { millis: 200 + rng.below(3000) },
        70 => Op::ClockJump { seconds: pick(rng, &[-100_000, -5, 5, 100_000]) },
        71..73 if flavour.full && rng.chance(0.3) => {
            Op::Room { blocks: rng.chance(0.5).then(|| rng.below(8)) }
        }
        71..77 => cut(rng),
        77..79 => Op::Meta { len: rng.index(40) },
        79..82 => Op::Read { at },
        82..84 => Op::Hold { at },
        84..87 => Op::Look { steps: 1 + rng.index(20) },
        87 => Op::Beside,
        88..91 => Op::Ship { overlap: rng.below(4), cut: rng.chance(0.2) },
        91..96 => Op::Reopen { strategy: strategy(rng) },
        96 => Op::Backup,
        97 => Op::Restore,
        // Large records are written from where they are, without a buffer.
        _ => Op::Append { len: if rng.chance(0.2) { 20_000 } else { 600 } },
    }
}

fn cut(rng: &mut Rng) -> Op {
    let at = rng.below(1001);
    match rng.below(10) {
        0..3 => Op::Front { at },
        3..7 => Op::Back { at },
        7 => Op::Reset { next: 1 + rng.below(1000) },
        _ => {
            let limits = [rng.chance(0.6), rng.chance(0.3), rng.chance(0.3)];
            let [segments, bytes, seconds] = limits;
            Op::Retain {
                segments: segments.then(|| 1 + rng.below(3)),
                bytes: bytes.then(|| rng.below(2000)),
                seconds: seconds.then(|| rng.below(10)),
            }
        }
    }
}

fn crash(rng: &mut Rng) -> Crash {
    let mut openings = Vec::new();
    while openings.len() < 3 && rng.chance(0.35) {
        openings.push(opening(rng));
    }
    Crash {
        kill: rng.chance(0.35),
        plan: rng.next_u64(),
        evict: rng.chance(0.3),
        strict: rng.chance(0.2),
        openings,
    }
}

fn opening(rng: &mut Rng) -> Opening {
    let by_call = rng.chance(0.7);
    Opening {
        calls: by_call.then(|| 1 + rng.below(30)),
        rule: (!by_call).then(|| rule(rng)),
        kill: rng.chance(0.3),
        plan: rng.next_u64(),
    }
}

/// Any call may fail, once or from then on; likelier those that matter most.
fn rule(rng: &mut Rng) -> Fault {
    let syncs = [OpKind::SyncData, OpKind::SyncAll, OpKind::SyncDir];
    let kinds = match rng.below(8) {
        0..2 => vec![pick(rng, &syncs)],
        2 => syncs.to_vec(),
        3 => vec![OpKind::Write],
        4 => vec![OpKind::Read],
        5 => vec![OpKind::Write, OpKind::Allocate, OpKind::Create, OpKind::Rename],
        _ => vec![pick(rng, OpKind::ALL)],
    };
    let code = if rng.chance(0.65) { EIO } else { ENOSPC };
    let moves_bytes = kinds.iter().all(|kind| matches!(kind, OpKind::Read | OpKind::Write));
    let action = match rng.below(10) {
        0 => Action::Slow(Duration::from_millis(rng.below(5000))),
        1..3 if moves_bytes => Action::Short(1 + rng.index(300)),
        3..5 if kinds == [OpKind::Write] => Action::Torn(rng.index(300), code),
        _ => Action::Error(code),
    };
    let rule = Fault::new(action).on(kinds);
    let rule = match rng.below(8) {
        0 => rule.suffix(".wal"),
        1 => rule.suffix(".manifest"),
        2 => rule.containing("segment-"),
        _ => rule,
    };
    let nth = 1 + rng.below(8);
    if rng.chance(0.6) { rule.nth(nth) } else { rule.from_nth(nth) }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    let [first, ..] = from else { unreachable!("there is something to choose") };
    *from.get(rng.index(from.len())).unwrap_or(first)
}
