//! Tests of the workload itself: that it repeats, that it does everything, and that it finds what is broken.

use std::collections::BTreeSet;

use walden::SyncStrategy;
use walden::storage::{Access, Storage};

use super::run::Run;
use super::*;
use crate::{Action, EIO, Fault, OpKind};

#[test]
fn the_same_history_gives_the_same_bytes() {
    for seed in (0..40).chain([10_000, 10_004, 10_008]) {
        let one = History::of_seed(seed).run().unwrap();
        let two = History::of_seed(seed).run().unwrap();
        assert_eq!(one, two, "seed {seed}");
    }
    let digest = |seed| History::of_seed(seed).run().unwrap().digest;
    assert_ne!(digest(1), digest(2));
}

#[test]
fn every_kind_of_step_comes_up() {
    let mut names = BTreeSet::new();
    for seed in (0..400).chain(10_000..10_100) {
        for step in History::of_seed(seed).steps() {
            let name = format!("{:?}", step.op);
            names.insert(name.split([' ', '(']).next().unwrap().to_owned());
        }
    }
    assert_eq!(names.len(), 33, "{names:?}");
    let mut all = Counts::default();
    for seed in 0..100 {
        all.add(&History::of_seed(seed).run().unwrap().counts);
    }
    for count in
        [all.crashes, all.openings, all.faults, all.poisonings, all.restores, all.shipments]
    {
        assert!(count > 10, "{all:?}");
    }
    assert!(all.rewritten > 10 || cfg!(not(feature = "lz4")), "{all:?}");
}

#[test]
fn steps_that_are_left_out_do_not_change_the_others() {
    let whole = History::of_seed(3);
    let some = whole.clone().only(&[2, 4, 7]);
    assert_eq!(some.steps().len(), 3);
    assert!(some.steps().iter().all(|step| whole.steps().contains(step)));
    assert_eq!(some.setup(), whole.setup());
    some.run().unwrap();
}

/// Three durable entries, and a disk that is then tampered with.
fn tampered(tamper: impl FnOnce(&Run)) -> Violation {
    let setup = Setup::new(SyncStrategy::Always, 4096);
    let steps = History::new(setup, (0..3).map(|_| Op::Append { len: 20 }));
    let mut run = Run::new(setup).unwrap();
    for step in steps.steps() {
        run.step(step).unwrap();
    }
    tamper(&run);
    let crash = Crash { kill: true, plan: 0, evict: false, strict: false, openings: Vec::new() };
    run.crash(&crash).unwrap_err()
}

/// Bytes of a segment's file, all records of which are 48 bytes long.
fn segment(run: &Run) -> Vec<u8> {
    run.disk.read_file("/log/segment-0000.wal").unwrap()
}

#[test]
fn what_is_lost_or_altered_is_found() {
    let lost = tampered(|run| {
        // Without its manifest's marks, the shorter log is as good as any.
        let mut bytes = segment(run);
        bytes[96..].fill(0);
        run.disk.write_file("/log/segment-0000.wal", &bytes).unwrap();
        let mut manifest = run.disk.read_file("/log/segment.manifest").unwrap();
        manifest[4 * 4096..].fill(0);
        run.disk.write_file("/log/segment.manifest", &manifest).unwrap();
    });
    assert_eq!(lost.rule, Rule::Loss, "{lost}");
    let refused = tampered(|run| run.disk.flip_bit("/log/segment-0000.wal", 60 * 8).unwrap());
    assert_eq!(refused.rule, Rule::Refused, "{refused}");
    let altered = tampered(|run| {
        let mut bytes = segment(run);
        bytes[20] ^= 1;
        let crc = crc32c::crc32c(&bytes[4..40]);
        bytes[..4]
            .copy_from_slice(&[24, 16, 8, 0].map(|by| u8::try_from(crc >> by & 255).unwrap()));
        run.disk.write_file("/log/segment-0000.wal", &bytes).unwrap();
    });
    assert_eq!(altered.rule, Rule::Altered, "{altered}");
}

#[test]
fn an_opening_that_reads_all_again_and_again_is_found() {
    let run = Run::new(Setup::new(SyncStrategy::Always, 4096)).unwrap();
    run.check_work(0).unwrap();
    let manifest = run.disk.open("/log/segment.manifest".as_ref(), Access::Read).unwrap();
    let mut page = [0; 4096];
    while run.disk.bytes_read() <= 4 * run.disk.bytes_stored() {
        run.check_work(0).unwrap();
        assert_eq!(manifest.read_at(&mut page, 0).unwrap(), page.len());
    }
    let found = run.check_work(0).unwrap_err();
    assert_eq!(found.rule, Rule::Work, "{found}");
}

#[test]
fn what_an_opening_reads_before_it_removes_it_counts() {
    History::of_seed(37_214_015).run().unwrap();
}

#[test]
fn a_fault_without_a_rule_for_it_is_found() {
    let setup = Setup::new(SyncStrategy::Always, 4096);
    let mut run = Run::new(setup).unwrap();
    let step = &History::new(setup, [Op::Append { len: 5 }]).steps()[0].clone();
    // A log that fails is excused by a rule that a call met, and by nothing else.
    run.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::SyncData]));
    run.step(step).unwrap();
    assert_eq!(run.counts.poisonings, 1);
    run.wal.as_ref().unwrap().close().unwrap();
    let refused = run.step(step).unwrap_err();
    assert_eq!(refused.rule, Rule::Refused, "{refused}");
}
