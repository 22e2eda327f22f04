//! Full disks, for real: small filesystems filled to their end, by the log itself or by somebody else.

pub(crate) mod filler;

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::{Map, Value};
use walden::Wal;

use crate::Outcome;
use crate::child::Writer;
use crate::evidence::Evidence;
use crate::model::{Fault, Found, Model};
use crate::setup::{Files, Setup, Strategy};
use crate::volume::{Filesystem, Volume};
use filler::Scenario;

/// Fills small filesystems to their end under a log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Each scenario, but not with every filesystem, strategy and engine: a quarter of them all.
    #[arg(long)]
    sample: bool,
    /// Only scenarios whose name contains this, such as `ext4`.
    #[arg(long, default_value = "")]
    only: String,
    /// A file to write the figures to, as JSON.
    #[arg(long)]
    evidence: Option<PathBuf>,
}

/// What is left free before the log begins.
const ROOM: u64 = 24 << 20;

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let evidence = Evidence::begin("full", Some(0));
    let mut figures = Map::new();
    let mut findings = Vec::new();
    let mut turn = 0_usize;
    for filesystem in Filesystem::ALL {
        for (strategy, engine) in Strategy::ALL.into_iter().flat_map(|s| Files::ALL.map(|f| (s, f)))
        {
            turn += 1;
            for (at, scenario) in Scenario::value_variants().iter().enumerate() {
                if args.sample && !(turn + at).is_multiple_of(4) {
                    continue;
                }
                let name = format!(
                    "{}, {}, {}, {}",
                    filesystem.name(),
                    strategy.name(),
                    engine.name(),
                    scenario.name()
                );
                if !name.contains(&args.only) {
                    continue;
                }
                let volume = match Volume::new(filesystem, ROOM) {
                    Ok(volume) => volume,
                    Err(why) => {
                        crate::machine::skip(&format!("{name}: {why}"))?;
                        continue;
                    }
                };
                match play(volume, strategy, engine, *scenario) {
                    Ok(said) => {
                        println!("{name}: {said}");
                        figures.insert(name, said.into());
                    }
                    Err(why) => {
                        println!("{name}: WRONG: {why}");
                        findings.push(format!("{name}: {why}"));
                    }
                }
            }
        }
    }
    evidence.end(args.evidence.as_deref(), &Value::Object(figures), &findings)?;
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n").into()) }
}

/// One scenario; then the filesystem is mounted anew, and the log is held against what was told.
fn play(
    mut volume: Volume,
    strategy: Strategy,
    engine: Files,
    scenario: Scenario,
) -> Outcome<String> {
    leave_free(&volume, ROOM)?;
    let setup = Setup { dir: volume.path().join("log"), strategy, engine };
    let mut model = Model::new();
    let mut said = Vec::new();
    for (part, aborts) in scenario.parts() {
        let mut command = vec![String::from("filler")];
        command.extend(setup.args());
        command.push(format!("--part={part}"));
        let mut writer = Writer::spawn(&command)?;
        let by_itself = writer.ends_within(Duration::from_secs(300))?;
        let ended = writer.kill()?;
        if !by_itself {
            return Err(format!("it hangs in {part}: {}", ended.errors).into());
        }
        // A signal, SIGBUS above all, is no success either.
        let expected = if aborts { ended.status.code().is_none() } else { ended.status.success() };
        if !expected
            || ended.errors.contains("panicked")
            || aborts && !ended.errors.contains("aborts")
        {
            return Err(format!("{part}: {}: {}", ended.status, ended.errors.trim()).into());
        }
        for event in ended.events()? {
            model.told(event, strategy)?;
        }
        if aborts {
            // What opening finds is from then on what must be there.
            model.check(Found::by_reader(&walden::LogReader::open(&setup.dir)?)?, Fault::Kill)?;
        }
        said.extend(ended.errors.lines().map(str::to_owned));
    }
    volume.unmount()?;
    volume.mount()?;
    let wal = Wal::open(&setup.dir, setup.config())?;
    // Nothing in the kernel is lost by that: all that it was given must be there, and not the durable part alone.
    model.check(Found::by_log(&wal)?, Fault::Kill)?;
    Ok(said.join("; "))
}

/// Takes space until only so much is left.
fn leave_free(volume: &Volume, bytes: u64) -> Outcome<()> {
    let stat = rustix::fs::statvfs(volume.path())?;
    let free = stat.f_bavail * stat.f_frsize;
    let file = File::create(volume.path().join("ballast"))?;
    if let Some(more @ 1..) = free.checked_sub(bytes) {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, more)?;
    }
    Ok(())
}
