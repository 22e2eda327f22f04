//! The process on the full disk. It ends with an error at the first thing that is not as promised.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use walden::{Config, Retention, Wal};

use crate::Outcome;
use crate::event::{Change, Event, Teller};
use crate::model::META;
use crate::payload::Proof;
use crate::setup::Setup;

/// How the disk comes to be full, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The log fills it by itself, rotating; it is cut, closed and opened so.
    ByItself,
    /// Somebody else does.
    BySomebodyElse,
    /// The process ends abruptly on the full disk, and the log is opened there.
    Recovery,
    /// Retention has to make the room, all the time.
    Retention,
}

impl Scenario {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ByItself => "by itself",
            Self::BySomebodyElse => "by somebody else",
            Self::Recovery => "recovery",
            Self::Retention => "retention",
        }
    }

    /// The processes it takes, one after the other, and whether they end abruptly.
    pub(crate) fn parts(self) -> Vec<(&'static str, bool)> {
        match self {
            Self::ByItself => vec![("by-itself", false)],
            Self::BySomebodyElse => vec![("by-somebody-else", false)],
            Self::Recovery => vec![("abort", true), ("recover", false)],
            Self::Retention => vec![("retention", false)],
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: Setup,
    #[arg(long)]
    part: String,
}

pub(crate) fn run(args: Args) -> Outcome<()> {
    let mut config = args.setup.config().segment_size(1 << 20);
    if args.part == "retention" {
        config = config.retention(Retention::keep_all().max_bytes(12 << 20));
    }
    let teller = Teller::stdout()?;
    // Each process of a scenario gives numbers of its own.
    let number = if args.part == "recover" { 1 << 40 } else { 1 };
    let wal = Wal::open(&args.setup.dir, config.clone())?;
    let mut filler = Filler { setup: args.setup, config, wal, teller, number, appended: 0 };
    filler.opened()?;
    match args.part.as_str() {
        "by-itself" => filler.by_itself(),
        "by-somebody-else" => filler.by_somebody_else(),
        "abort" => filler.abort(),
        "recover" => filler.recover(),
        "retention" => filler.retention(),
        other => Err(format!("there is no part {other}").into()),
    }
}

struct Filler {
    setup: Setup,
    config: Config,
    wal: Wal,
    teller: Teller,
    number: u64,
    appended: u64,
}

impl Filler {
    fn opened(&self) -> Outcome<()> {
        let (first, next) = (self.wal.first_seq(), self.wal.next_seq());
        Ok(self.teller.tell(Event::Opened { first, next })?)
    }

    /// Mostly long entries, so that the end is soon reached, and a batch now and then.
    fn append(&mut self) -> Outcome<walden::Result<()>> {
        let turn = self.number;
        while !turn.is_multiple_of(8) && !Proof::single(self.number).is_long() {
            self.number += 1;
        }
        let (number, count) = (self.number, if turn.is_multiple_of(8) { 3 } else { 1 });
        self.number += count;
        let result = if count > 1 {
            self.wal.append_batch(Proof::batch(number, 3).map(Proof::payload))
        } else {
            self.wal.append(Proof::single(number).payload()).map(|seq| seq..seq + 1)
        };
        Ok(match result {
            Ok(seqs) => {
                self.appended += 1;
                self.teller.tell(Event::Acked { seq: seqs.start, number, count })?;
                Ok(())
            }
            Err(error) => Err(error),
        })
    }

    /// Appends until there is no room, more than once: short entries may still fit where long ones don't.
    fn fill(&mut self) -> Outcome<u64> {
        let (before, mut refused) = (self.appended, 0);
        while refused < 20 {
            match self.append()? {
                Ok(()) => {}
                Err(error) if error.is_out_of_space() => refused += 1,
                Err(error) => return Err(error.into()),
            }
            if self.appended - before > 100_000 {
                return Err("the disk is never full".into());
            }
        }
        Ok(self.appended - before)
    }

    /// So many appends, none of which may be refused.
    fn appends(&mut self, count: u64) -> Outcome<()> {
        for at in 0..count {
            self.append()?.map_err(|error| format!("append {at} after room was made: {error}"))?;
        }
        Ok(())
    }

    /// All is there, from wherever it begins: retention may be at work.
    fn reads(&self) -> Outcome<()> {
        let mut expected = None;
        for entry in self.wal.range(..)? {
            let entry = match entry {
                // Retention by itself took what was just being read.
                Err(error) if error.is_removed() => return Ok(()),
                other => other?,
            };
            Proof::of(&entry.payload)?;
            if expected.is_some_and(|seq| seq != entry.seq) {
                return Err(format!("seq id {} where {expected:?} should come", entry.seq).into());
            }
            expected = Some(entry.seq + 1);
        }
        if expected.unwrap_or(self.wal.first_seq()) == self.wal.next_seq() {
            Ok(())
        } else {
            Err(format!("reading ended before {expected:?}: {:?}", self.wal).into())
        }
    }

    fn sync(&self) -> Outcome<()> {
        let next = self.wal.next_seq();
        self.wal.sync()?;
        Ok(self.teller.tell(Event::Durable { next })?)
    }

    fn change(&self, change: Change, work: impl FnOnce(&Wal) -> walden::Result<()>) -> Outcome<()> {
        self.teller.tell(Event::Begin(change))?;
        match work(&self.wal) {
            Ok(()) => Ok(self.teller.tell(Event::Done { first: self.wal.first_seq() })?),
            // A cut through a batch has to write its first entries anew.
            Err(error) if error.is_out_of_space() && matches!(change, Change::Back { .. }) => {
                Ok(self.teller.tell(Event::Refused)?)
            }
            Err(error) => Err(format!("{change:?}: {error}").into()),
        }
    }

    fn cut_front_to(&self, keep: u64) -> Outcome<()> {
        let first = self.wal.next_seq().saturating_sub(keep).max(self.wal.first_seq());
        self.change(Change::Front(first), |wal| wal.truncate_front(first))
    }

    /// What works on a full disk.
    fn all_but_appends(&self) -> Outcome<()> {
        self.reads()?;
        self.sync()?;
        self.change(Change::Meta(3), |wal| wal.set_meta(META, 3_u64.to_le_bytes()))?;
        for back in [1, 2, 3] {
            let last = self.wal.next_seq() - 1 - back;
            let change = Change::Back { last, floor: self.number };
            self.change(change, |wal| wal.truncate_back(last))?;
        }
        self.reads()
    }

    fn reopen(&mut self) -> Outcome<()> {
        self.wal.close()?;
        self.teller.tell(Event::Durable { next: self.wal.next_seq() })?;
        self.wal = Wal::open(&self.setup.dir, self.config.clone())?;
        self.opened()
    }

    fn by_itself(&mut self) -> Outcome<()> {
        let filled = self.fill()?;
        self.all_but_appends()?;
        self.fill()?;
        self.cut_front_to(300)?;
        self.appends(100)?;
        self.fill()?;
        let limits = Retention::keep_all().max_segments(4);
        self.change(Change::Retain, |wal| wal.retain(&limits).map(drop))?;
        self.appends(100)?;
        self.fill()?;
        self.reopen()?;
        self.reads()?;
        self.cut_front_to(300)?;
        self.appends(100)?;
        self.wal.close()?;
        self.teller.tell(Event::Durable { next: self.wal.next_seq() })?;
        eprintln!("{filled} appends filled it");
        Ok(())
    }

    fn by_somebody_else(&mut self) -> Outcome<()> {
        self.appends(100)?;
        let other = self.take_the_rest()?;
        let fitted = self.fill()?;
        self.all_but_appends()?;
        self.reopen()?;
        let next = self.wal.next_seq() + 5;
        let change = Change::Reset { next, floor: self.number };
        self.change(change, |wal| wal.reset(next))?;
        self.fill()?;
        std::fs::remove_file(other)?;
        self.appends(100)?;
        self.reads()?;
        self.wal.close()?;
        self.teller.tell(Event::Durable { next: self.wal.next_seq() })?;
        eprintln!("{fitted} appends still fitted into what was reserved");
        Ok(())
    }

    /// A file beside the log takes every byte that is left.
    fn take_the_rest(&self) -> Outcome<PathBuf> {
        let path = self.setup.dir.with_file_name("other");
        let mut file = File::create(&path)?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        // Delayed allocation: what was promised may not be there yet.
        drop(file.sync_all());
        Ok(path)
    }

    fn abort(&mut self) -> Outcome<()> {
        let filled = self.fill()?;
        eprintln!("{filled} appends filled it; the process aborts");
        std::process::abort();
    }

    fn recover(&mut self) -> Outcome<()> {
        self.reads()?;
        self.cut_front_to(200)?;
        self.appends(100)?;
        self.fill()?;
        self.all_but_appends()?;
        self.wal.close()?;
        self.teller.tell(Event::Durable { next: self.wal.next_seq() })?;
        let what = if self.wal.recovery().cut.is_some() { "a torn tail" } else { "no torn tail" };
        eprintln!("opened with {what}");
        Ok(())
    }

    /// Four times the disk's size goes through it. An append may be refused, but not for long.
    fn retention(&mut self) -> Outcome<()> {
        let (mut refused, mut since) = (0_u64, None);
        // Retention may go to work at any time.
        self.teller.tell(Event::Begin(Change::Retain))?;
        while self.appended < 4000 {
            match self.append()? {
                Ok(()) => since = None,
                Err(error) if error.is_out_of_space() => {
                    refused += 1;
                    let since: &mut Instant = since.get_or_insert_with(Instant::now);
                    if since.elapsed() > Duration::from_secs(60) {
                        return Err("retention makes no room".into());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.reads()?;
        self.wal.close()?;
        self.teller.tell(Event::Done { first: self.wal.first_seq() })?;
        self.teller.tell(Event::Durable { next: self.wal.next_seq() })?;
        eprintln!("{refused} of {} appends were refused for a moment", self.appended);
        Ok(())
    }
}
