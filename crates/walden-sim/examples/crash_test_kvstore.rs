//! Crash-testing what is built on Walden: a small key-value store, cut off at every call of the disk, with every
//! image that a power cut can leave there. Then the same store with a mistake in it, and how that shows.
//!
//! `cargo run -p walden-sim --example crash_test_kvstore`
#![expect(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use walden::{Config, Maintenance, Result, Wal};
use walden_sim::{SimClock, SimDisk, enumerate_crashes, shrink};

/// The store: a map in memory, and a log of what was done to it. After every fourth change it writes the whole map
/// down as one batch and forgets what came before.
struct Store {
    wal: Wal,
    map: BTreeMap<String, String>,
    changes: u64,
    mistake: bool,
}

impl Store {
    /// Files and time come from outside: that is all that a store needs to be simulable.
    fn open(disk: &SimDisk, mistake: bool) -> Result<Self> {
        let config = Config::durable().segment_size(200).maintenance(Maintenance::Manual);
        let (storage, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(1)));
        let wal = Wal::open_with(Path::new("/store"), config, storage, clock)?;
        let mut map = BTreeMap::new();
        for entry in wal.range(..)? {
            apply(&mut map, &String::from_utf8_lossy(&entry?.payload));
        }
        Ok(Self { wal, map, changes: 0, mistake })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let change = format!("{key}={value}");
        self.wal.append(&change)?; // durable when this returns
        apply(&mut self.map, &change);
        self.changes += 1;
        if self.changes.is_multiple_of(4) { self.checkpoint() } else { self.wal.tick() }
    }

    fn checkpoint(&self) -> Result<()> {
        let all: Vec<String> =
            self.map.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if self.mistake {
            // Forgets first, and writes down what it forgot after.
            self.wal.truncate_front(self.wal.next_seq())?;
            self.wal.append_batch(&all)?;
        } else {
            let written = self.wal.append_batch(&all)?;
            self.wal.truncate_front(written.start)?;
        }
        Ok(())
    }
}

fn apply(map: &mut BTreeMap<String, String>, change: &str) {
    if let Some((key, value)) = change.split_once('=') {
        map.insert(key.to_owned(), value.to_owned());
    }
}

/// What is done to the store: plain data, so that it can be shortened.
type Step = (&'static str, u32);

/// Runs the steps once for each call of the disk, with power cut there. `Err`: where, and what was wrong.
fn crash_everywhere(steps: &[Step], mistake: bool) -> std::result::Result<u64, String> {
    let mut images = 0;
    for stop in 1.. {
        let disk = SimDisk::new();
        disk.stop_after(stop);
        // The model: what was acknowledged, and what may be there since it was under way.
        let (mut known, mut under_way) = (BTreeMap::new(), None);
        if let Ok(mut store) = Store::open(&disk, mistake) {
            for (key, value) in steps {
                under_way = Some((*key, value.to_string()));
                if store.set(key, &value.to_string()).is_err() {
                    break;
                }
                apply(&mut known, &format!("{key}={value}"));
                under_way = None;
            }
        }
        if !disk.stopped() {
            return Ok(images); // that was the last call
        }
        let mut with = known.clone();
        if let Some((key, value)) = under_way {
            with.insert(key.to_owned(), value);
        }
        let mut wrong = None;
        enumerate_crashes(&disk, 50, |image| {
            images += 1;
            let found = Store::open(&image, mistake).map(|store| store.map);
            if !found.as_ref().is_ok_and(|found| *found == known || *found == with) {
                let how = image.op_log().first().cloned().unwrap_or_default();
                wrong = Some(format!("{how}: found {found:?}, known {known:?}"));
            }
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
    }
    Ok(images)
}

fn main() {
    let steps: Vec<Step> =
        (1..=10).map(|value| (if value % 3 == 0 { "a" } else { "b" }, value)).collect();

    match crash_everywhere(&steps, false) {
        Ok(images) => println!("{images} images of the disk, and the store is right in each"),
        Err(wrong) => {
            println!("wrong: {wrong}");
            std::process::exit(1);
        }
    }

    let short = shrink(&steps, |steps| crash_everywhere(steps, true).is_err());
    println!("with the mistake in it, {} of {} steps are enough:", short.len(), steps.len());
    for (key, value) in &short {
        println!("  set {key} = {value}");
    }
    match crash_everywhere(&short, true) {
        Err(wrong) => println!("  {wrong}"),
        Ok(_) => std::process::exit(1),
    }
}
