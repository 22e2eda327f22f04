//! The process that a fault strikes: it opens the log and does all that can be done to it, at random, until it is
//! stopped or an operation fails, and tells its parent of each.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use walden::{Retention, Wal};
use walden_sim::Rng;

use crate::Outcome;
use crate::event::{Change, Event, Teller};
use crate::model::META;
use crate::payload::Proof;
use crate::setup::Setup;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: Setup,
    /// The first number to be given to an entry.
    #[arg(long)]
    begin: u64,
    #[arg(long)]
    seed: u64,
    /// A few entries that fill no buffer, and then nothing.
    #[arg(long)]
    quiet: bool,
}

/// How many those are.
pub(crate) const QUIET: u64 = 5;

/// What the threads share. Appends hold the log for reading; what changes its end holds it for writing, so that
/// the messages come in the order of what they tell.
struct Shared {
    setup: Setup,
    log: RwLock<Wal>,
    number: AtomicU64,
    teller: Teller,
    stop: AtomicBool,
}

pub(crate) fn run(args: Args) -> Outcome<()> {
    let teller = Teller::stdout()?;
    let wal = open(&args.setup, &teller)?;
    let shared = Shared {
        setup: args.setup,
        log: RwLock::new(wal),
        number: AtomicU64::new(args.begin),
        teller,
        stop: AtomicBool::new(false),
    };
    if args.quiet {
        return quiet(&shared);
    }
    let mut rng = Rng::new(args.seed);
    std::thread::scope(|scope| {
        let works: [fn(&Shared, &mut Rng) -> Outcome<()>; 4] = [single, batch, ticket, change];
        let threads: Vec<_> = works
            .into_iter()
            .map(|work| {
                let (shared, mut rng) = (&shared, rng.split());
                scope.spawn(move || {
                    let outcome = repeat(shared, || work(shared, &mut rng));
                    shared.stop.store(true, Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        let mut outcome = Ok(());
        for thread in threads {
            let one = thread.join().map_err(|_| "a thread panicked")?;
            outcome = outcome.and(one);
        }
        outcome
    })
}

fn open(setup: &Setup, teller: &Teller) -> Outcome<Wal> {
    let wal = Wal::open(&setup.dir, setup.config())?;
    teller.tell(Event::Opened { first: wal.first_seq(), next: wal.next_seq() })?;
    Ok(wal)
}

fn repeat(shared: &Shared, mut work: impl FnMut() -> Outcome<()>) -> Outcome<()> {
    while !shared.stop.load(Ordering::Relaxed) {
        work()?;
    }
    Ok(())
}

fn quiet(shared: &Shared) -> Outcome<()> {
    let wal = shared.log.read().map_err(poisoned)?;
    for _ in 0..QUIET {
        let mut number = shared.number(1);
        while Proof::single(number).is_long() {
            number = shared.number(1);
        }
        let seq = wal.append(Proof::single(number).payload())?;
        shared.teller.tell(Event::Acked { seq, number, count: 1 })?;
    }
    loop {
        std::thread::park();
    }
}

fn poisoned<T>(_: T) -> &'static str {
    "a thread panicked while it held the log"
}

impl Shared {
    fn number(&self, count: u64) -> u64 {
        self.number.fetch_add(count, Ordering::Relaxed)
    }
}

fn single(shared: &Shared, _: &mut Rng) -> Outcome<()> {
    let wal = shared.log.read().map_err(poisoned)?;
    let number = shared.number(1);
    let payload = Proof::single(number).payload();
    let (front, back) = payload.split_at(payload.len() / 3);
    let seq = if number.is_multiple_of(5) {
        wal.append_parts(&[front, back])?
    } else {
        wal.append(&payload)?
    };
    Ok(shared.teller.tell(Event::Acked { seq, number, count: 1 })?)
}

fn batch(shared: &Shared, rng: &mut Rng) -> Outcome<()> {
    let wal = shared.log.read().map_err(poisoned)?;
    let (number, payloads) = some(shared, rng)?;
    let seqs = wal.append_batch(payloads)?;
    Ok(shared.teller.tell(Event::Acked {
        seq: seqs.start,
        number,
        count: seqs.end - seqs.start,
    })?)
}

fn some(shared: &Shared, rng: &mut Rng) -> Outcome<(u64, Vec<Vec<u8>>)> {
    let count = 2 + rng.below(9);
    let number = shared.number(count);
    let members = Proof::batch(number, u16::try_from(count)?);
    Ok((number, members.map(Proof::payload).collect()))
}

fn ticket(shared: &Shared, rng: &mut Rng) -> Outcome<()> {
    let wal = shared.log.read().map_err(poisoned)?;
    let mut flying = Vec::new();
    for _ in 0..rng.below(6) {
        let number = shared.number(1);
        flying.push((number, wal.submit(Proof::single(number).payload())?));
    }
    let (number, payloads) = some(shared, rng)?;
    flying.push((number, wal.submit_batch(payloads)?));
    for (number, ticket) in flying {
        let seqs = ticket.wait()?;
        let count = seqs.end - seqs.start;
        shared.teller.tell(Event::Acked { seq: seqs.start, number, count })?;
        shared.teller.tell(Event::Durable { next: seqs.end })?;
    }
    Ok(())
}

fn change(shared: &Shared, rng: &mut Rng) -> Outcome<()> {
    std::thread::sleep(Duration::from_micros(rng.below(2000)));
    match rng.below(20) {
        0..4 => {
            let wal = shared.log.read().map_err(poisoned)?;
            let next = wal.next_seq();
            wal.sync()?;
            shared.teller.tell(Event::Durable { next })?;
        }
        4..6 => {
            let wal = shared.log.read().map_err(poisoned)?;
            let next = wal.next_seq();
            wal.flush()?;
            shared.teller.tell(Event::Flushed { next })?;
        }
        6..9 => {
            let wal = shared.log.read().map_err(poisoned)?;
            let first = wal.first_seq().max(wal.next_seq().saturating_sub(rng.below(600)));
            begun(shared, &wal, Change::Front(first), || wal.truncate_front(first))?;
        }
        9..11 => {
            let wal = shared.log.read().map_err(poisoned)?;
            let limits = Retention::keep_all().max_segments(1 + rng.below(4));
            begun(shared, &wal, Change::Retain, || wal.retain(&limits).map(drop))?;
        }
        11..13 => {
            let wal = shared.log.read().map_err(poisoned)?;
            let value = rng.next_u64();
            let bytes = value.to_le_bytes();
            begun(shared, &wal, Change::Meta(value), || wal.set_meta(META, bytes))?;
        }
        13..17 => {
            let wal = shared.log.write().map_err(poisoned)?;
            let back = rng.below(1 + (wal.next_seq() - wal.first_seq()).min(40));
            let change = Change::Back { last: wal.next_seq() - 1 - back, floor: shared.number(0) };
            begun(shared, &wal, change, || wal.truncate_back(wal.next_seq() - 1 - back))?;
        }
        17 => {
            let wal = shared.log.write().map_err(poisoned)?;
            let next = 1 + wal.next_seq() + rng.below(1000);
            let change = Change::Reset { next, floor: shared.number(0) };
            begun(shared, &wal, change, || wal.reset(next))?;
        }
        _ => {
            let mut wal = shared.log.write().map_err(poisoned)?;
            wal.close()?;
            shared.teller.tell(Event::Durable { next: wal.next_seq() })?;
            *wal = open(&shared.setup, &shared.teller)?;
        }
    }
    Ok(())
}

fn begun(
    shared: &Shared,
    wal: &Wal,
    change: Change,
    work: impl FnOnce() -> walden::Result<()>,
) -> Outcome<()> {
    shared.teller.tell(Event::Begin(change))?;
    work()?;
    Ok(shared.teller.tell(Event::Done { first: wal.first_seq() })?)
}
