//! A log as a killed writer leaves it, with something for each step of opening: segments to be sealed, a torn tail,
//! what a lost rename and an unfinished removal leave; or a cut that was declared and not done.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tempfile::TempDir;
use walden::{LogReader, Maintenance, Wal};

use super::watch::{Call, Of, Strike, Watch};
use crate::Outcome;
use crate::child::Writer;
use crate::event::{Change, Event, Teller};
use crate::model::{Fault, Found, Model};
use crate::payload::Proof;
use crate::setup::{Files, Setup, Strategy};

/// What the victim finds in its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Begin {
    /// Nothing: the log is made.
    New,
    /// A log whose writer was killed.
    Torn,
    /// A log whose writer was killed in the middle of a cut through a batch.
    Cut,
}

/// The numbers of what is appended to a log that was left are greater.
pub(crate) const NUMBERS: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: Setup,
    #[arg(long, value_enum)]
    begin: Begin,
}

/// The process that leaves it. It does not come back.
pub(crate) fn run(args: Args) -> Outcome<()> {
    let first_removal = Strike {
        place: (Call::Unlink, Of::Segment),
        nth: u64::from(args.begin == Begin::Cut),
        for_good: false,
        errno: None,
    };
    let _watch = Watch::begin(&args.setup.dir, first_removal)?;
    let config = args.setup.config().segment_size(16 << 10).maintenance(Maintenance::Manual);
    let wal = Wal::open(&args.setup.dir, config)?;
    let mut leaver = Leaver { wal, teller: Teller::stdout()?, number: 1 };
    leaver
        .teller
        .tell(Event::Opened { first: leaver.wal.first_seq(), next: leaver.wal.next_seq() })?;
    leaver.appends(40)?;
    // Seals what is complete; from here on nothing is sealed.
    leaver.wal.tick()?;
    if args.begin == Begin::Torn {
        leaver.removes_a_segment_that_comes_back(&args.setup.dir)?;
    }
    leaver.appends(20)?;
    leaver.wal.sync()?;
    leaver.teller.tell(Event::Durable { next: leaver.wal.next_seq() })?;
    leaver.appends(60)?;
    leaver.wal.flush()?;
    leaver.teller.tell(Event::Flushed { next: leaver.wal.next_seq() })?;
    if args.begin == Begin::Cut {
        leaver.cuts()?;
        return Err("a cut without a removal".into());
    }
    leave_a_torn_tail(&args.setup.dir)?;
    std::process::abort()
}

struct Leaver {
    wal: Wal,
    teller: Teller,
    number: u64,
}

impl Leaver {
    /// Batches of four and single entries: all of a length whose footer does not end in a zero.
    fn appends(&mut self, count: u64) -> Outcome<()> {
        for at in 0..count {
            let members = if at % 4 == 3 { 4 } else { 1 };
            let proofs = Proof::batch(self.number, u16::try_from(members)?);
            let seqs = self.wal.append_batch(proofs.map(Proof::payload))?;
            let (seq, number) = (seqs.start, self.number);
            self.teller.tell(Event::Acked { seq, number, count: members })?;
            self.number += members;
        }
        Ok(())
    }

    /// A cut in front whose removal did not come to the disk.
    fn removes_a_segment_that_comes_back(&self, dir: &Path) -> Outcome<()> {
        let oldest = segments(dir)?.first().cloned().ok_or("there is no segment")?;
        let bytes = std::fs::read(&oldest)?;
        let first = self.wal.first_seq() + (self.wal.next_seq() - self.wal.first_seq()) * 3 / 4;
        self.teller.tell(Event::Begin(Change::Front(first)))?;
        self.wal.truncate_front(first)?;
        self.teller.tell(Event::Done { first })?;
        if oldest.exists() {
            return Err("the cut in front removed no segment".into());
        }
        Ok(std::fs::write(oldest, bytes)?)
    }

    /// Through a batch, two segments back. It ends with the first segment that it removes.
    fn cuts(&self) -> Outcome<()> {
        let mut last = self.wal.next_seq() - 90;
        while Proof::of(&self.wal.get(last)?.ok_or("an entry is missing")?.payload)?.index != 1 {
            last -= 1;
        }
        self.teller.tell(Event::Begin(Change::Back { last, floor: self.number }))?;
        Ok(self.wal.truncate_back(last)?)
    }
}

/// The log's segments, oldest first.
fn segments(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "wal"));
    paths.sort();
    Ok(paths)
}

/// Half of a record behind the last one; and a segment made ready, under a name that is not its own any more, with
/// records in it.
fn leave_a_torn_tail(dir: &Path) -> Outcome<()> {
    let segments = segments(dir)?;
    let last = segments.last().ok_or("there is no segment")?;
    let mut bytes = std::fs::read(last)?;
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let half = bytes.get(..100).ok_or("a short segment")?.to_vec();
    let room = bytes.get_mut(end..end + half.len()).ok_or("no room for a torn tail")?;
    room.copy_from_slice(&half);
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::OpenOptions::new().write(true).open(last)?,
        &half,
        u64::try_from(end)?,
    )?;
    let stem = last.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let (prefix, ordinal) = stem.rsplit_once('-').ok_or("a segment's name without a number")?;
    let next = format!("{prefix}-{:04}.next", ordinal.parse::<u64>()? + 1);
    Ok(std::fs::write(dir.join(next), bytes)?)
}

/// A folder as it was left, to be copied for each victim, and what must be found in it.
#[derive(Debug)]
pub(crate) struct Left {
    folder: Option<TempDir>,
    pub(crate) model: Model,
}

impl Left {
    pub(crate) fn nothing() -> Self {
        Self { folder: None, model: Model::new() }
    }

    pub(crate) fn by(begin: Begin, strategy: Strategy, engine: Files) -> Outcome<Self> {
        if begin == Begin::New {
            return Ok(Self::nothing());
        }
        let folder = crate::machine::folder(None)?;
        let setup = Setup { dir: folder.path().join("log"), strategy, engine };
        let mut command = vec![String::from("leaver")];
        command.extend(setup.args());
        command.push(format!("--begin={}", super::name_of(&begin)));
        let mut writer = Writer::spawn(&command)?;
        let by_itself = writer.ends_within(super::PATIENCE)?;
        let ended = writer.kill()?;
        // It aborts: anything else has a code.
        if !by_itself || ended.status.code().is_some() {
            return Err(format!("no log was left: {}: {}", ended.status, ended.errors).into());
        }
        let mut model = Model::new();
        for event in ended.events()? {
            model.told(event, strategy)?;
        }
        let mut left = Self { folder: Some(folder), model };
        left.is_what_it_should_be(begin, &setup)?;
        Ok(left)
    }

    /// Holds it against what was told, and then against what it is for.
    fn is_what_it_should_be(&mut self, begin: Begin, setup: &Setup) -> Outcome<()> {
        let found = Found::by_reader(&LogReader::open(&setup.dir)?)?;
        self.model.check(found, Fault::Kill)?;
        let count = segments(&setup.dir)?.len();
        let copy = crate::machine::folder(None)?;
        let setup = Setup { dir: copy.path().join("log"), ..setup.clone() };
        self.copy_to(&setup.dir)?;
        let wal = Wal::open(&setup.dir, setup.config())?;
        let recovery = wal.recovery();
        let fine = match begin {
            Begin::New => true,
            Begin::Torn => recovery.cut.is_some() && count > 4,
            Begin::Cut => recovery.finished_cut && count > 3,
        };
        if !fine {
            return Err(format!("it is not what it is for: {count} segments, {recovery:?}").into());
        }
        self.model.check(Found::by_log(&wal)?, Fault::Kill)
    }

    /// Its files, in a folder of their own.
    pub(crate) fn copy_to(&self, dir: &Path) -> Outcome<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        std::fs::create_dir_all(dir)?;
        for entry in std::fs::read_dir(folder.path().join("log"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), dir.join(entry.file_name()))?;
            }
        }
        Ok(())
    }
}
