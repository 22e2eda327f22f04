//! Damaged logs, and what the tools for them make of it.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod engine;

use std::fs;
use std::path::{Path, PathBuf};

use engine::over;
use walden::offline::{
    Choice, Plan, Severity, Target, adopt, copy, cursors, inspect, outline, repair_apply,
    repair_plan, salvage, verify,
};
use walden::{Config, ErrorKind, Maintenance, Mode, Start, Wal};

const RECORD: u64 = 128;

fn config() -> Config {
    over(Config::durable()).mode(Mode::Debug).segment_size(4096).maintenance(Maintenance::Manual)
}

fn target(dir: &Path) -> Target {
    Target::on_disk(dir, "segment")
}

/// A log of 200 records of 128 bytes, 32 to a segment, closed.
fn make(dir: &Path) {
    let wal = Wal::open(dir, config()).unwrap();
    for i in 0..200_u8 {
        wal.append([i; 100]).unwrap();
        wal.tick().unwrap();
    }
    wal.close().unwrap();
}

fn segment(dir: &Path, ordinal: u64) -> PathBuf {
    dir.join(format!("segment-{ordinal:04}.wal"))
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn plan(dir: &Path) -> Plan {
    repair_plan(&target(dir), &mut |_| {}).unwrap()
}

fn choose(dir: &Path, choice: Choice) {
    let done = repair_apply(&target(dir), choice, &mut |_| {}).unwrap();
    assert!(!done.still_damaged, "{done:?}");
}

/// The log opens, takes an entry, and is sound.
fn goes_on(dir: &Path, next_seq: u64) {
    let wal = Wal::open(dir, config()).unwrap();
    assert_eq!(wal.next_seq(), next_seq);
    assert_eq!(wal.append("behind").unwrap(), next_seq);
    wal.close().unwrap();
    let verification = verify(&target(dir), &mut |_| {}).unwrap();
    assert!(!verification.is_damaged(), "{:?}", verification.findings);
    assert_eq!(verification.next_seq, next_seq + 1);
}

/// Every entry is what was appended; those given up are an error, and a seek leads behind them.
fn reads_around(dir: &Path, lost: std::ops::RangeInclusive<u64>, last: u64) {
    let log = walden::LogReader::open(dir).unwrap();
    let mut reader = log.reader();
    let mut seq = 1;
    while seq <= last {
        if seq == *lost.start() {
            assert_eq!(reader.read_next().unwrap_err().kind(), walden::ErrorKind::Lost);
            seq = lost.end() + 1;
            reader.seek(seq).unwrap();
            continue;
        }
        let entry = reader.read_next().unwrap().unwrap();
        assert_eq!((entry.seq, entry.payload[0]), (seq, u8::try_from(seq - 1).unwrap()));
        seq += 1;
    }
    assert!(reader.read_next().unwrap().is_none());
}

/// Bytes of all files, to see that nothing changed.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_sound_log_has_nothing_to_say() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let before = snapshot(dir.path());
    let verification = verify(&target(dir.path()), &mut |_| {}).unwrap();
    assert!(!verification.is_damaged());
    assert_eq!((verification.records, verification.next_seq), (200, 201));
    assert!(verification.findings.iter().all(|f| f.severity == Severity::Note), "{verification:?}");
    assert!(plan(dir.path()).is_empty());
    let inspection = inspect(&target(dir.path())).unwrap();
    assert_eq!(inspection.segments.unwrap().len(), 7);
    assert!(inspection.manifest.unwrap().is_some());
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_loses_exactly_its_record() {
    for index in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        // Record 70 is the sixth of segment 2.
        flip(&segment(dir.path(), 2), 5 * RECORD + 40);
        if !index {
            for file in fs::read_dir(dir.path()).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "idx") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        let plan = plan(dir.path());
        let damage = &plan.damages[0];
        assert_eq!(damage.lost, Some((70, 70)));
        assert_eq!((damage.offset, damage.len), (5 * RECORD, RECORD));
        assert_eq!((damage.behind_in_file, damage.behind_in_log), (26, 130));
        assert!(damage.options[0].command.contains("--accept-loss 70..=70 --yes"), "{plan:?}");
        let wrong = repair_apply(&target(dir.path()), Choice::AcceptLoss(70..=71), &mut |_| {});
        assert!(wrong.unwrap_err().to_string().contains("70..=70"));
        let bytes = fs::read(segment(dir.path(), 2)).unwrap();
        choose(dir.path(), Choice::AcceptLoss(70..=70));
        assert_eq!(fs::read(segment(dir.path(), 2)).unwrap(), bytes);
        reads_around(dir.path(), 70..=70, 200);
        goes_on(dir.path(), 201);
    }
}

#[test]
fn a_flipped_bit_can_be_cut_away() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    flip(&segment(dir.path(), 2), 5 * RECORD + 40);
    choose(dir.path(), Choice::CutAt(70));
    let kept = fs::read_dir(dir.path().join("segment.quarantine")).unwrap().count();
    assert_eq!(kept, 5);
    goes_on(dir.path(), 70);
}

#[test]
fn a_missing_sealed_segment_is_named_with_its_ids() {
    for choice in [Choice::AcceptLoss(65..=96), Choice::CutAt(65)] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        fs::remove_file(segment(dir.path(), 2)).unwrap();
        let error = Wal::open(dir.path(), config()).unwrap_err();
        assert!(error.to_string().contains("walden verify"), "{error}");
        let plan = plan(dir.path());
        assert_eq!(plan.damages.len(), 1, "{plan:?}");
        assert_eq!(plan.damages[0].lost, Some((65, 96)));
        assert_eq!(plan.damages[0].path, segment(dir.path(), 2));
        let next = if choice == Choice::CutAt(65) { 65 } else { 201 };
        choose(dir.path(), choice);
        goes_on(dir.path(), next);
    }
}

#[test]
fn segments_missing_in_front_are_adopted() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    fs::remove_file(segment(dir.path(), 0)).unwrap();
    fs::remove_file(segment(dir.path(), 1)).unwrap();
    let error = Wal::open(dir.path(), config()).unwrap_err();
    assert!(error.to_string().contains("walden adopt"), "{error}");
    let plan = plan(dir.path());
    assert!(plan.damages[0].options[0].command.starts_with("walden adopt"), "{plan:?}");
    let adopted = adopt(&target(dir.path()), &mut |_| {}).unwrap();
    assert_eq!((adopted.missing, adopted.first_seq), (Some((1, 64)), 65));
    assert_eq!(adopted.missing_files.len(), 2);
    goes_on(dir.path(), 201);
}

#[test]
fn a_lost_manifest_is_made_anew() {
    for unsound in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let manifest = dir.path().join("segment.manifest");
        if unsound {
            let mut bytes = fs::read(&manifest).unwrap();
            bytes.fill(7);
            fs::write(&manifest, bytes).unwrap();
        } else {
            fs::remove_file(&manifest).unwrap();
        }
        let error = Wal::open(dir.path(), config()).unwrap_err();
        assert!(error.is_corruption(), "{error}");
        let verification = verify(&target(dir.path()), &mut |_| {}).unwrap();
        assert!(verification.is_damaged());
        let plan = plan(dir.path());
        assert!(plan.options[0].command.ends_with("--yes"), "{plan:?}");
        choose(dir.path(), Choice::Safe { first_seq: unsound.then_some(40) });
        let wal = Wal::open(dir.path(), config()).unwrap();
        assert_eq!(wal.first_seq(), if unsound { 40 } else { 1 });
        wal.close().unwrap();
        goes_on(dir.path(), 201);
    }
}

#[test]
fn a_flipped_bit_before_the_mark_in_the_active_segment() {
    for choice in [Choice::AcceptLoss(195..=195), Choice::CutAt(195)] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        // Not closed cleanly: opening reads the doubt zone, not what is before the mark.
        flip(&segment(dir.path(), 6), 2 * RECORD + 50);
        let verification = verify(&target(dir.path()), &mut |_| {}).unwrap();
        let finding =
            verification.findings.iter().find(|f| f.severity == Severity::Damage).unwrap();
        assert_eq!(finding.lost, Some((195, 195)));
        assert_eq!((finding.behind_in_file, finding.behind_in_log), (5, 5));
        assert_eq!(finding.next_command, format!("walden repair {}", dir.path().display()));
        let next = if choice == Choice::CutAt(195) { 195 } else { 201 };
        choose(dir.path(), choice);
        if next == 201 {
            reads_around(dir.path(), 195..=195, 200);
        }
        goes_on(dir.path(), next);
    }
}

#[test]
fn the_last_record_before_the_mark() {
    for choice in [Choice::AcceptLoss(200..=200), Choice::CutAt(200)] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        flip(&segment(dir.path(), 6), 7 * RECORD + 50);
        assert!(Wal::open(dir.path(), config()).unwrap_err().is_corruption());
        let next = if choice == Choice::CutAt(200) { 200 } else { 201 };
        choose(dir.path(), choice);
        goes_on(dir.path(), next);
    }
}

#[test]
fn a_missing_active_segment() {
    for choice in [Choice::AcceptLoss(193..=200), Choice::CutAt(193)] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        fs::remove_file(segment(dir.path(), 6)).unwrap();
        assert!(Wal::open(dir.path(), config()).unwrap_err().is_corruption());
        let next = if choice == Choice::CutAt(193) { 193 } else { 201 };
        choose(dir.path(), choice);
        goes_on(dir.path(), next);
    }
}

/// Another program began again at seq id 1 in a new segment. Opening refuses that; so the tools must not call it a
/// torn tail, which opening would cut off.
#[test]
fn seq_ids_that_were_given_twice_are_damage_for_the_tools_too() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    fs::copy(segment(dir.path(), 0), segment(dir.path(), 7)).unwrap();
    let refused = Wal::open(dir.path(), config()).unwrap_err();
    assert_eq!((refused.kind(), refused.seq()), (walden::ErrorKind::Corrupt, Some(1)));
    assert!(verify(&target(dir.path()), &mut |_| {}).unwrap().is_damaged());
    let plan = plan(dir.path());
    assert!(plan.damages[0].what.contains("seq id 1"), "{}", plan.damages[0].what);
    let option = &plan.damages[0].options[0];
    assert!(option.command.contains("--cut-at 201"), "{option:?}");
    assert!(option.effect.contains("segment-0007.wal, a copy of"), "{option:?}");
    // All its bytes stay in segment 0, and one more copy is kept.
    let bytes = fs::read(segment(dir.path(), 7)).unwrap();
    choose(dir.path(), Choice::CutAt(201));
    let kept = fs::read_dir(dir.path().join("segment.quarantine")).unwrap();
    let kept: Vec<_> = kept.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(kept, [bytes]);
    goes_on(dir.path(), 201);
}

/// A segment copied over the next one: what it was copied over is lost, and a cut before that loses nothing else.
#[test]
fn a_segment_copied_over_the_next_can_be_cut_away() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    fs::copy(segment(dir.path(), 1), segment(dir.path(), 2)).unwrap();
    let plan = plan(dir.path());
    let mut options = plan.damages.iter().flat_map(|damage| &damage.options);
    assert!(options.any(|option| option.command.contains("--cut-at 65")), "{plan:?}");
    choose(dir.path(), Choice::CutAt(65));
    goes_on(dir.path(), 65);
}

/// What begins before the cut and holds something else is never removed as cut off: the plan names the file that is to be
/// moved away, and nothing is changed before.
#[test]
fn another_logs_segment_is_to_be_moved_away_first() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(dir.path());
    let wal = Wal::open(other.path(), config()).unwrap();
    for _ in 0..5 {
        wal.append("of another log").unwrap();
    }
    wal.close().unwrap();
    let stray = segment(dir.path(), 7);
    fs::copy(segment(other.path(), 0), &stray).unwrap();
    let files = |dir: &Path| {
        let mut files = snapshot(dir);
        files.retain(|(path, _)| !path.ends_with("segment.lock"));
        files
    };
    let before = files(dir.path());
    let option = plan(dir.path()).damages[0].options[0].clone();
    assert_eq!(option.command, format!("mv {} OUT", stray.display()));
    assert!(option.effect.contains("begins with seq id 1"), "{option:?}");
    let refused = repair_apply(&target(dir.path()), Choice::CutAt(201), &mut |_| {}).unwrap_err();
    assert_eq!(refused.file(), Some(&*stray), "{refused}");
    assert!(refused.to_string().contains(&option.command), "{refused}");
    assert_eq!(files(dir.path()), before, "nothing was changed");
    fs::rename(&stray, dir.path().join("away")).unwrap();
    goes_on(dir.path(), 201);
}

#[test]
fn a_torn_tail_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let path = segment(dir.path(), 6);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[9; 50]);
    fs::write(&path, bytes).unwrap();
    fs::write(dir.path().join("segment.lock"), "").unwrap();
    let verification = verify(&target(dir.path()), &mut |_| {}).unwrap();
    assert!(!verification.is_damaged());
    let torn = verification.findings.iter().find(|f| f.severity == Severity::Torn).unwrap();
    assert_eq!((torn.offset, torn.len), (Some(8 * RECORD), 50));
    choose(dir.path(), Choice::Safe { first_seq: None });
    goes_on(dir.path(), 201);
}

#[test]
fn salvage_writes_a_log_for_each_run() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    make(&log);
    flip(&segment(&log, 2), 5 * RECORD + 40);
    fs::remove_file(segment(&log, 4)).unwrap();
    let before = snapshot(&log);
    let out = dir.path().join("out");
    let saved = salvage(&target(&log), &out, &mut |_| {}).unwrap();
    assert_eq!(snapshot(&log), before);
    let runs: Vec<_> = saved.runs.iter().map(|run| (run.first_seq, run.next_seq)).collect();
    assert_eq!(runs, [(1, 70), (71, 129), (161, 201)]);
    let gaps: Vec<_> = saved.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(gaps, [(70, Some(70)), (129, Some(160))]);
    let text = fs::read_to_string(out.join("gaps.json")).unwrap();
    assert!(text.contains("{\"first\":70,\"last\":70,"), "{text}");
    for run in &saved.runs {
        let wal = Wal::open(&run.dir, config()).unwrap();
        assert_eq!((wal.first_seq(), wal.next_seq()), (run.first_seq, run.next_seq));
        wal.close().unwrap();
        goes_on(&run.dir, run.next_seq);
    }
    assert!(salvage(&target(&log), &out, &mut |_| {}).is_err());
}

struct Stops<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_copy_beside_a_writer_is_a_sound_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let wal = Wal::open(&log, config()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seq = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && seq < 100_000 {
                seq = wal.append([1; 100]).unwrap();
                wal.tick().unwrap();
                if seq % 97 == 0 {
                    wal.truncate_front(seq - 40).unwrap();
                }
                if seq % 301 == 0 {
                    wal.truncate_back(seq - 7).unwrap();
                }
            }
            seq
        });
        let _stops = Stops(&stop);
        for i in 0..10 {
            let out = dir.path().join(format!("copy-{i}"));
            let durable = wal.durable_seq();
            match copy(&target(&log), &out, &mut |_| {}) {
                Ok(copied) => {
                    assert!(copied.next_seq + 8 > durable.min(copied.next_seq + 8));
                    goes_on(&out, copied.next_seq);
                }
                Err(error) => assert_eq!(error.kind(), walden::ErrorKind::Busy, "{error}"),
            }
        }
    });
    let verification = verify(&target(&log), &mut |_| {}).unwrap();
    assert!(!verification.is_damaged(), "{:?}", verification.findings);
}

/// Any bytes: nothing panics, nothing loops, and every choice that a plan names can be carried out.
#[test]
fn whatever_the_bytes_are_every_choice_of_the_plan_works() {
    let made = tempfile::tempdir().unwrap();
    make(made.path());
    let files = snapshot(made.path());
    let mut rng = walden_sim::Rng::new(7);
    for round in 0..120 {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in &files {
            fs::write(dir.path().join(path.file_name().unwrap()), bytes).unwrap();
        }
        for _ in 0..=rng.below(3) {
            hurt(dir.path(), &files, &mut rng);
        }
        verify(&target(dir.path()), &mut |_| {}).unwrap();
        inspect(&target(dir.path())).unwrap();
        for _ in 0..40 {
            let plan = plan(dir.path());
            if plan.is_empty() {
                break;
            }
            if !carry_out(dir.path(), &plan, &mut rng) {
                break;
            }
        }
        let plan = plan(dir.path());
        assert!(
            plan.is_empty() || plan.options.is_empty() || plan.is_damaged(),
            "{round}: {plan:?}"
        );
        if !plan.is_damaged() {
            let wal = Wal::open(dir.path(), config())
                .unwrap_or_else(|error| panic!("round {round}: {error}\n{plan:?}"));
            wal.append("x").unwrap();
            wal.close().unwrap();
        }
    }
}

fn hurt(dir: &Path, files: &[(PathBuf, Vec<u8>)], rng: &mut walden_sim::Rng) {
    let index = usize::try_from(rng.below(u64::try_from(files.len()).unwrap())).unwrap();
    let path = dir.join(files[index].0.file_name().unwrap());
    let Ok(mut bytes) = fs::read(&path) else { return };
    let len = u64::try_from(bytes.len()).unwrap().max(1);
    let at = usize::try_from(rng.below(len)).unwrap();
    match rng.below(5) {
        0 => fs::remove_file(path).unwrap(),
        1 => fs::write(path, &bytes[..at.min(bytes.len())]).unwrap(),
        2 => {
            let to = (at + 300).min(bytes.len());
            bytes[at.min(to)..to].fill(0);
            fs::write(path, bytes).unwrap();
        }
        _ if !bytes.is_empty() => {
            bytes[at] ^= 1 << rng.below(8);
            fs::write(path, bytes).unwrap();
        }
        _ => {}
    }
}

/// Carries out one of the commands of a plan; false if there is none to be tried.
fn carry_out(dir: &Path, plan: &Plan, rng: &mut walden_sim::Rng) -> bool {
    let damage = plan.damages.iter().flat_map(|damage| &damage.options);
    let commands: Vec<&str> = damage
        .chain(&plan.options)
        .map(|option| option.command.as_str())
        .filter(|command| !["salvage", " N ", "mv "].iter().any(|word| command.contains(word)))
        .collect();
    if commands.is_empty() {
        return false;
    }
    let command =
        commands[usize::try_from(rng.below(u64::try_from(commands.len()).unwrap())).unwrap()];
    let word = |name: &str| {
        let mut words = command.split(' ');
        words.find(|word| *word == name)?;
        words.next()
    };
    let done = if command.starts_with("walden adopt") {
        adopt(&target(dir), &mut |_| {}).map(drop)
    } else {
        let choice = if let Some(range) = word("--accept-loss") {
            let (first, last) = range.split_once("..=").unwrap();
            Choice::AcceptLoss(first.parse().unwrap()..=last.parse().unwrap())
        } else if let Some(seq) = word("--cut-at") {
            Choice::CutAt(seq.parse().unwrap())
        } else {
            Choice::Safe { first_seq: None }
        };
        repair_apply(&target(dir), choice, &mut |_| {}).map(drop)
    };
    if let Err(error) = done {
        panic!("{command}: {error}\n{plan:#?}");
    }
    true
}

/// What `outline` tells is what `inspect` does, and no record is read for it: it tells it of a log whose segments are gone.
#[test]
fn an_outline_needs_no_records() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let (whole, known) =
        (inspect(&target(dir.path())).unwrap(), outline(&target(dir.path())).unwrap());
    assert_eq!((&known.manifest, &known.lock), (&whole.manifest, &whole.lock));
    assert_eq!((&known.cursors, &known.quarantine), (&whole.cursors, &whole.quarantine));
    let verified = verify(&target(dir.path()), &mut |_| {}).unwrap();
    assert_eq!(verified.reports, whole.segments.unwrap());
    for ordinal in 0..verified.segments {
        fs::remove_file(segment(dir.path(), ordinal)).unwrap();
    }
    let left = outline(&target(dir.path())).unwrap();
    assert_eq!(left.manifest, known.manifest);
    flip(&dir.path().join("segment.manifest"), 100);
    flip(&dir.path().join("segment.manifest"), 4096 + 100);
    flip(&dir.path().join("segment.manifest"), 2 * 4096 + 100);
    flip(&dir.path().join("segment.manifest"), 3 * 4096 + 100);
    assert!(outline(&target(dir.path())).unwrap().manifest.is_err());
}

/// The tools know the cursors: shown, copied, damage in them found, and cut histories told.
#[test]
fn cursors_by_the_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (log, out) = (dir.path().join("log"), dir.path().join("out"));
    make(&log);
    assert_eq!(cursors(&target(&log)).unwrap(), []);
    let wal = Wal::open(&log, config()).unwrap();
    let (early, late) = (wal.cursor("early", Start::First), wal.cursor("late", Start::At(150)));
    early.unwrap().commit(9).unwrap();
    let late = late.unwrap();
    wal.sync().unwrap();
    late.commit(170).unwrap();
    // Beside the writer: what is on disk.
    let shown = |dir: &Path| -> Vec<(String, u64, Option<u64>, Option<ErrorKind>)> {
        let all = cursors(&target(dir)).unwrap().into_iter();
        all.map(|c| (c.name, c.position, c.keeps_from, c.problem)).collect()
    };
    let good = |name: &str, position| (name.to_owned(), position, Some(position), None);
    assert_eq!(shown(&log), [good("early", 10), good("late", 150)]);
    copy(&target(&log), &out, &mut |_| {}).unwrap();
    assert_eq!(shown(&out), [good("early", 10), good("late", 150)]);
    drop(late);
    wal.truncate_back(99).unwrap();
    wal.close().unwrap();
    drop(wal);
    let late = ("late".to_owned(), 171, Some(100), Some(ErrorKind::Truncated));
    assert_eq!(shown(&log), [good("early", 10), late]);
    let copied = Wal::open(&out, config()).unwrap();
    assert_eq!(copied.cursor("late", Start::First).unwrap().position(), 150);
    copied.close().unwrap();
    assert!(!verify(&target(&out), &mut |_| {}).unwrap().is_damaged());

    flip(&out.join("segment.cursors"), 20);
    assert!(!verify(&target(&out), &mut |_| {}).unwrap().is_damaged(), "the other slot serves");
    flip(&out.join("segment.cursors"), 4096 + 20);
    let verification = verify(&target(&out), &mut |_| {}).unwrap();
    let damage: Vec<_> =
        verification.findings.iter().filter(|f| f.severity == Severity::Damage).collect();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].next_command.contains("cursor remove") && damage[0].lost.is_none());
    let inspection = inspect(&target(&out)).unwrap();
    let reports = inspection.cursors.unwrap();
    assert_eq!((&reports[0].name[..], &reports[1].name[..]), ("late", ""));
    assert!(reports[1].what.is_some());
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}
