//! The process whose system calls fail: it does everything once, in a fixed order, under a supervisor that counts
//! the calls of all its threads and makes some of them fail, and says what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use walden::{ErrorKind, Retention, Wal};

use super::left::NUMBERS;
use super::watch::{Call, Of, Strike, Watch};
use super::{Errno, name_of};
use crate::Outcome;
use crate::event::{Change, Event, Teller};
use crate::model::META;
use crate::payload::Proof;
use crate::setup::Setup;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: Setup,
    #[arg(long, value_enum)]
    call: Call,
    #[arg(long, value_enum)]
    of: Of,
    #[arg(long, value_enum)]
    errno: Errno,
    /// Which call fails, counted from 1; 0: none.
    #[arg(long)]
    nth: u64,
    /// That one and all later ones.
    #[arg(long)]
    for_good: bool,
}

pub(crate) fn run(args: Args) -> Outcome<()> {
    let watch = Watch::begin(
        &args.setup.dir,
        Strike {
            place: (args.call, args.of),
            nth: args.nth,
            for_good: args.for_good,
            errno: Some(args.errno.number()),
        },
    )?;
    let mut script = Script {
        args: &args,
        watch: &watch,
        teller: Teller::stdout()?,
        number: NUMBERS,
        refusals: 0,
        reported: None,
        changes: true,
        doing: "append",
    };
    let outcome = script.run()?;
    let seen = watch.seen();
    eprintln!("{} {outcome}", seen.failed);
    for ((call, of), count) in seen.calls {
        eprintln!("{count} {} {}", name_of(&call), name_of(&of));
    }
    Ok(())
}

/// As many append at once, at most.
pub(super) const THREADS: u64 = 4;

/// What the script met that ends it.
enum Stop {
    /// The log takes no more changes.
    Poisoned(walden::Error),
    /// Something that is wrong in any case.
    Wrong(String),
}

type Step<T> = Result<T, Stop>;

struct Script<'a> {
    args: &'a Args,
    watch: &'a Watch,
    teller: Teller,
    number: u64,
    /// Answers of `OutOfSpace`.
    refusals: u64,
    /// The first error of another kind, after which the log went on.
    reported: Option<String>,
    /// False once it is not known whether a change took place.
    changes: bool,
    /// The call on the log that is under way.
    doing: &'static str,
}

impl Script<'_> {
    /// What came of it, in a word or two.
    fn run(&mut self) -> Outcome<String> {
        let setup = &self.args.setup;
        let wal = match Wal::open(&setup.dir, setup.config().segment_size(16 << 10)) {
            Ok(wal) => wal,
            Err(error) => {
                let refused = format!("not opened ({:?})", error.kind());
                self.untouched(|_| Ok(())).map_err(in_any_case)?;
                return Ok(refused);
            }
        };
        self.teller.tell(Event::Opened { first: wal.first_seq(), next: wal.next_seq() })?;
        match self.everything(&wal).and_then(|()| self.at_last(&wal)) {
            Ok(()) => {}
            Err(Stop::Poisoned(cause)) => {
                self.after_the_fall(&wal, &cause).map_err(in_any_case)?;
                return Ok(format!("poisoned in {}", self.doing));
            }
            Err(wrong @ Stop::Wrong(_)) => return Err(in_any_case(wrong)),
        }
        if let Err(error) = self.close(&wal)? {
            if error.is_poisoned() {
                self.untouched(|_| Ok(())).map_err(in_any_case)?;
            }
            return Ok(format!("not closed ({:?})", error.kind()));
        }
        let mut words = Vec::new();
        if self.refusals > 0 {
            words.push(String::from("refused (OutOfSpace)"));
        }
        words.extend(self.reported.take());
        let unnoticed = if self.watch.failed() > 0 { "not noticed" } else { "no call failed" };
        Ok(if words.is_empty() { unnoticed.to_owned() } else { words.join(", ") })
    }

    fn close(&self, wal: &Wal) -> Outcome<walden::Result<()>> {
        let next = wal.next_seq();
        let closed = wal.close();
        if closed.is_ok() {
            self.teller.tell(Event::Durable { next })?;
        }
        Ok(closed)
    }

    fn everything(&mut self, wal: &Wal) -> Step<()> {
        self.appends(wal, 30)?;
        self.many_threads(wal)?;
        self.tickets(wal)?;
        self.sync(wal)?;
        self.change(wal, Change::Meta(7), |wal| wal.set_meta(META, 7_u64.to_le_bytes()))?;
        self.appends(wal, 30)?;
        let front = wal.first_seq() + (wal.next_seq() - wal.first_seq()) * 3 / 4;
        self.change(wal, Change::Front(front), |wal| wal.truncate_front(front))?;
        std::thread::sleep(Duration::from_millis(30));
        let back = wal.next_seq().saturating_sub(8).max(wal.first_seq()) - 1;
        let change = Change::Back { last: back, floor: self.number };
        self.change(wal, change, |wal| wal.truncate_back(back))?;
        self.appends(wal, 40)?;
        let limits = Retention::keep_all().max_segments(2);
        self.change(wal, Change::Retain, |wal| wal.retain(&limits).map(drop))?;
        self.flush(wal)?;
        let next = wal.next_seq() + 100;
        let change = Change::Reset { next, floor: self.number };
        self.change(wal, change, |wal| wal.reset(next))?;
        self.appends(wal, 30)
    }
}

/// The steps.
impl Script<'_> {
    /// What a result means: `None` where it was refused or reported and the log goes on.
    fn take<T>(&mut self, result: walden::Result<T>) -> Step<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_poisoned() => Err(Stop::Poisoned(error)),
            Err(error) if error.is_out_of_space() => {
                self.refusals += 1;
                Ok(None)
            }
            Err(error) => {
                self.reported.get_or_insert_with(|| format!("reported ({:?})", error.kind()));
                Ok(None)
            }
        }
    }

    fn tell(&self, event: Event) -> Step<()> {
        self.teller.tell(event).map_err(|error| Stop::Wrong(error.to_string()))
    }

    /// Single entries, short and long, and batches.
    fn appends(&mut self, wal: &Wal, count: u64) -> Step<()> {
        for at in 0..count {
            if at % 10 == 9 {
                while !Proof::single(self.number).is_long() {
                    self.number += 1;
                }
            }
            let batch = at % 8 == 7;
            let members = if batch { 4 } else { 1 };
            let number = self.number;
            self.number += members;
            self.doing = "append";
            let result = if batch {
                wal.append_batch(Proof::batch(number, 4).map(Proof::payload))
            } else {
                wal.append(Proof::single(number).payload()).map(|seq| seq..seq + 1)
            };
            if let Some(seqs) = self.take(result)? {
                self.tell(Event::Acked { seq: seqs.start, number, count: members })?;
            }
        }
        Ok(())
    }

    /// Four threads that wait for the same syncs: where one fails, all get its cause.
    fn many_threads(&mut self, wal: &Wal) -> Step<()> {
        self.doing = "append";
        let number = AtomicU64::new(self.number);
        let results: Vec<walden::Error> = std::thread::scope(|scope| {
            let work = || {
                for _ in 0..10 {
                    let number = number.fetch_add(1, Ordering::SeqCst);
                    match wal.append(Proof::single(number).payload()) {
                        Ok(seq) => drop(self.tell(Event::Acked { seq, number, count: 1 })),
                        Err(error) => return Some(error),
                    }
                }
                None
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
        });
        self.number = number.into_inner();
        let poisoned: Vec<_> = results.iter().filter(|error| error.is_poisoned()).collect();
        if let [first, others @ ..] = poisoned.as_slice()
            && let Some(other) = others.iter().find(|other| other.to_string() != first.to_string())
        {
            return Err(Stop::Wrong(format!("two causes of one failure: {first}; {other}")));
        }
        results.into_iter().try_for_each(|error| self.take::<()>(Err(error)).map(drop))
    }

    fn tickets(&mut self, wal: &Wal) -> Step<()> {
        self.doing = "submit";
        let mut flying = Vec::new();
        for _ in 0..8 {
            let number = self.number;
            self.number += 1;
            if let Some(ticket) = self.take(wal.submit(Proof::single(number).payload()))? {
                flying.push((number, ticket));
            }
        }
        for (number, ticket) in flying {
            if let Some(seqs) = self.take(ticket.wait())? {
                self.tell(Event::Acked { seq: seqs.start, number, count: 1 })?;
                self.tell(Event::Durable { next: seqs.end })?;
            }
        }
        Ok(())
    }

    fn sync(&mut self, wal: &Wal) -> Step<()> {
        self.doing = "sync";
        let next = wal.next_seq();
        match self.take(wal.sync())? {
            Some(()) => self.tell(Event::Durable { next }),
            None => Ok(()),
        }
    }

    fn flush(&mut self, wal: &Wal) -> Step<()> {
        self.doing = "flush";
        let next = wal.next_seq();
        match self.take(wal.flush())? {
            Some(()) => self.tell(Event::Flushed { next }),
            None => Ok(()),
        }
    }

    /// A change of the log. Where one fails other than by a clean refusal nobody knows whether it took place:
    /// then no other is tried.
    fn change(
        &mut self,
        wal: &Wal,
        change: Change,
        work: impl FnOnce(&Wal) -> walden::Result<()>,
    ) -> Step<()> {
        if !self.changes {
            return Ok(());
        }
        self.doing = match change {
            Change::Front(_) => "truncate_front",
            Change::Back { .. } => "truncate_back",
            Change::Reset { .. } => "reset",
            Change::Retain => "retain",
            Change::Meta(_) => "set_meta",
        };
        self.tell(Event::Begin(change))?;
        let result = work(wal);
        let undone = result.as_ref().is_err_and(walden::Error::is_out_of_space)
            && matches!(change, Change::Back { .. } | Change::Meta(_));
        if self.take(result)?.is_some() {
            return self.tell(Event::Done { first: wal.first_seq() });
        }
        self.changes = undone;
        let done = match change {
            Change::Back { last, .. } => wal.next_seq() == last + 1,
            Change::Reset { next, .. } => wal.next_seq() == next,
            _ => false,
        };
        if done {
            // Whoever looks sees it, and what is appended gets the seq ids that were cut.
            self.reported = self.reported.take().map(|_| String::from("reported (Io), and cut"));
            self.tell(Event::Done { first: wal.first_seq() })
        } else if undone {
            self.tell(Event::Refused)
        } else {
            Ok(())
        }
    }

    /// After the last step: nothing is acknowledged once a sync has failed, and after any other failure that is
    /// over the log goes on.
    fn at_last(&mut self, wal: &Wal) -> Step<()> {
        let mut before = self.watch.failed();
        loop {
            if before > 0 {
                std::thread::sleep(Duration::from_millis(40));
            }
            let errors = (self.refusals, self.reported.clone());
            self.appends(wal, 1)?;
            self.sync(wal)?;
            let now = self.watch.failed();
            if now > before && !self.args.for_good {
                // It was one of these calls that failed: those that come next must not.
                before = now;
                continue;
            }
            if before > 0 && matches!(self.args.call, Call::Fsync | Call::Fdatasync) {
                return Err(Stop::Wrong("a sync failed, and the log goes on".into()));
            }
            if !self.args.for_good && errors != (self.refusals, self.reported.clone()) {
                return Err(Stop::Wrong("one call failed, and at the end appends still do".into()));
            }
            return self.reads(wal, wal.next_seq());
        }
    }

    /// What is before `next` can be read, but where no file can be opened: that is said then, and the next try
    /// may do.
    fn reads(&self, wal: &Wal, next: u64) -> Step<()> {
        let mut outcome = read_all(wal, next);
        if self.args.call == Call::Open {
            outcome = match read_all(wal, next) {
                Err((why, kind)) if self.args.for_good && why.contains("cannot open") => {
                    let told = matches!(kind, Some(ErrorKind::Io | ErrorKind::OutOfSpace));
                    if told { Ok(()) } else { Err((why, kind)) }
                }
                other => other,
            };
        }
        outcome.map_err(|(why, _)| Stop::Wrong(format!("reading: {why}")))
    }

    /// The log has failed: every change is refused with the same cause, what was durable can be read, and the folder
    /// stays as it is, whatever is asked for, until the log is closed and after.
    fn after_the_fall(&self, wal: &Wal, cause: &walden::Error) -> Step<()> {
        self.untouched(|script| {
            script.all_is_refused(wal, cause)?;
            script.reads(wal, wal.durable_seq() + 1)?;
            // It cannot be closed cleanly, and must not hang.
            drop(wal.close());
            Ok(())
        })
    }

    fn all_is_refused(&self, wal: &Wal, cause: &walden::Error) -> Step<()> {
        let (first, last) = (wal.first_seq(), wal.next_seq() - 1);
        let limits = Retention::keep_all().max_segments(1);
        let refused = [
            ("append", wal.append("x").map(drop)),
            ("append_batch", wal.append_batch(["x", "y"]).map(drop)),
            ("submit", wal.submit("x").and_then(|ticket| ticket.wait()).map(drop)),
            ("sync", wal.sync()),
            ("flush", wal.flush()),
            ("set_meta", wal.set_meta(META, "x")),
            ("truncate_front", wal.truncate_front(first + 1)),
            ("truncate_back", wal.truncate_back(last.saturating_sub(1))),
            ("reset", wal.reset(last + 9)),
            ("retain", wal.retain(&limits).map(drop)),
        ];
        for (name, result) in refused {
            match result {
                Err(error) if error.is_poisoned() && error.to_string() == cause.to_string() => {}
                other => {
                    let why = format!("{name} on a log that failed: {other:?}, not {cause}");
                    return Err(Stop::Wrong(why));
                }
            }
        }
        Ok(())
    }

    /// Does `work`, and gives the log's own threads the time of two rounds, during which no call may be made that
    /// changes a file of the log or syncs one, and no byte may change in them: what is stored into mapped files is
    /// no call. What was under way when the failure was told has a moment to end first.
    fn untouched(&self, work: impl FnOnce(&Self) -> Step<()>) -> Step<()> {
        let dir = &self.args.setup.dir;
        let look = || {
            let files = self.watch.looking(|| contents(dir));
            Ok((files.map_err(|error| Stop::Wrong(error.to_string()))?, self.watch.seen()))
        };
        std::thread::sleep(Duration::from_millis(40));
        let (files, seen) = look()?;
        work(self)?;
        std::thread::sleep(Duration::from_millis(50));
        let (files_after, after) = look()?;
        let wrong = if after.changes != seen.changes {
            let count = after.changes - seen.changes;
            format!("{count} calls after a failure was told, the last one {:?}", after.last)
        } else if let Some(name) = first_difference(&files, &files_after) {
            format!("{} changed after a failure was told", name.display())
        } else {
            return Ok(());
        };
        Err(Stop::Wrong(wrong))
    }
}

fn in_any_case(stop: Stop) -> Box<dyn std::error::Error + Send + Sync> {
    match stop {
        Stop::Wrong(why) => why.into(),
        Stop::Poisoned(cause) => format!("failed twice: {cause}").into(),
    }
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// What is in a folder and those within.
fn contents(dir: &Path) -> std::io::Result<Contents> {
    let mut files = Contents::new();
    let entries = match std::fs::read_dir(dir) {
        // It was not even made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(contents(&path)?);
            files.insert(path, Vec::new());
        } else {
            let bytes = std::fs::read(&path)?;
            files.insert(path, bytes);
        }
    }
    Ok(files)
}

fn first_difference<'a>(before: &'a Contents, after: &'a Contents) -> Option<&'a Path> {
    let names = before.keys().chain(after.keys());
    names.map(PathBuf::as_path).find(|name| before.get(*name) != after.get(*name))
}

/// Reads what is before `next`; what is wrong with it, and the error's kind if it is one.
fn read_all(wal: &Wal, next: u64) -> Result<(), (String, Option<ErrorKind>)> {
    let told = |error: walden::Error| (error.to_string(), Some(error.kind()));
    let must = next.min(wal.durable_seq() + 1);
    let mut at = wal.first_seq();
    for entry in wal.range(at..next).map_err(told)? {
        let entry = entry.map_err(told)?;
        at = entry.seq + 1;
        if let Err(why) = Proof::of(&entry.payload) {
            return Err((format!("seq id {}: {why}", entry.seq), None));
        }
    }
    if at < must {
        return Err((
            format!("it ended before {at}, and {must} is the end of what is durable"),
            None,
        ));
    }
    Ok(())
}
