//! Cuts begun and not finished, and the dead files that they leave.

use walden::offline::{self, Choice};
use walden::{ErrorKind, SyncStrategy, Wal};
use walden_sim::{Action, EIO, Fault, OpKind};

use crate::support::{
    DIR, Lab, ManifestBytes, assert_goes_on, entries, every_stop, payload, payloads, read_only,
    record,
};

type Found = (u64, Vec<Vec<u8>>);

/// A log, a cut of it, and what it holds before and after.
struct Cut {
    name: &'static str,
    lab: Lab,
    cut: fn(&Wal) -> walden::Result<()>,
    before: Found,
    after: Found,
}

/// Entries 1, 2..=5 in one record, 6, 7, 8 in a segment behind.
fn with_batch() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 500);
    let wal = lab.open();
    Lab::append(&wal, 1..=1);
    wal.append_batch(payloads(2..=5)).unwrap();
    Lab::append(&wal, 6..=8);
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    lab
}

fn all_cuts() -> Vec<Cut> {
    let nine = || (1, payloads(1..=9));
    let eight = || (1, payloads(1..=8));
    vec![
        Cut {
            name: "at a record's border, with dead segments",
            lab: Lab::nine(),
            cut: |wal| wal.truncate_back(2),
            before: nine(),
            after: (1, payloads(1..=2)),
        },
        Cut {
            name: "at a segment's border",
            lab: Lab::nine(),
            cut: |wal| wal.truncate_back(6),
            before: nine(),
            after: (1, payloads(1..=6)),
        },
        Cut {
            name: "inside a batch",
            lab: with_batch(),
            cut: |wal| wal.truncate_back(3),
            before: eight(),
            after: (1, payloads(1..=3)),
        },
        Cut {
            name: "emptying",
            lab: Lab::nine(),
            cut: |wal| wal.truncate_back(0),
            before: nine(),
            after: (1, Vec::new()),
        },
        Cut {
            name: "reset, forwards",
            lab: Lab::nine(),
            cut: |wal| wal.reset(100),
            before: nine(),
            after: (100, Vec::new()),
        },
        Cut {
            name: "reset, backwards",
            lab: with_batch(),
            cut: |wal| wal.reset(3),
            before: eight(),
            after: (3, Vec::new()),
        },
    ]
}

fn run(lab: &Lab, cut: fn(&Wal) -> walden::Result<()>) {
    let Ok(wal) = lab.try_open() else { return };
    if cut(&wal).is_ok() {
        drop(wal.append(b"behind the cut"));
    }
    std::mem::forget(wal);
}

impl Cut {
    fn assert_before_or_after(&self, wal: &Wal, at: &str) {
        let mut found = entries(wal);
        if found.1.last().is_some_and(|last| last == b"behind the cut") {
            found.1.pop();
            assert_eq!(found, self.after, "{}, {at}", self.name);
        }
        assert!(found == self.before || found == self.after, "{}, {at}: {found:?}", self.name);
    }
}

/// Section 7: the steps of `truncate_back`; "Open finishes 3 and 4". Each call cut off, each power cut, and each call
/// of the recovery.
#[test]
fn every_step_of_a_cut_can_be_the_last() {
    for cut in all_cuts() {
        every_stop(
            &cut.lab,
            12,
            |lab| run(lab, cut.cut),
            |found, stop| {
                every_stop(
                    found,
                    1,
                    |lab| drop(lab.try_open()),
                    |again, inner| {
                        let wal = again.open();
                        cut.assert_before_or_after(&wal, &format!("call {stop}, then {inner}"));
                        if (stop + inner) % 5 == 0 {
                            assert_goes_on(again, wal);
                        }
                    },
                );
            },
        );
    }
}

/// The disks on which the cut is committed and not finished.
fn in_progress(cut: &Cut) -> Vec<Lab> {
    let mut found = Vec::new();
    let count = std::cell::RefCell::new(&mut found);
    every_stop(
        &cut.lab,
        0,
        |lab| run(lab, cut.cut),
        |lab, _| {
            if ManifestBytes::of(lab).cut() {
                count.borrow_mut().push(lab.clone());
            }
        },
    );
    assert!(found.len() >= 5, "{}: {} steps behind the commit", cut.name, found.len());
    found
}

/// Segments that the cut declares dead: they held only entries that it cut.
fn dead(cut: &Cut, lab: &Lab) -> Vec<String> {
    let next = cut.after.0 + cut.after.1.len() as u64;
    let empties = cut.after.1.is_empty();
    let first_of = |name: &String| {
        let bytes = lab.read(name);
        bytes.get(12..20).map(|seq| u64::from_be_bytes(seq.try_into().unwrap()))
    };
    let all = lab.names(".wal").into_iter();
    all.filter(|name| first_of(name).is_some_and(|seq| seq > 0 && (empties || seq >= next)))
        .collect()
}

/// Section 7: "A file declared dead is refused only if its first record is sound and its seq id lies outside the cut's
/// range …; else it is unlinked": torn, zeroed, shortened, garbage, gone.
#[test]
fn dead_files_may_be_torn_zeroed_or_gone() {
    let spoil: [fn(&Lab, &str); 5] = [
        |lab, name| lab.remove(name),
        |lab, name| lab.write(name, b""),
        |lab, name| lab.write(name, &vec![0; lab.read(name).len()]),
        |lab, name| lab.write(name, &vec![0xa5; 300]),
        |lab, name| lab.write(name, &lab.read(name)[..33]),
    ];
    let mut spoiled = 0;
    for cut in all_cuts() {
        for lab in in_progress(&cut) {
            let names = dead(&cut, &lab);
            for spoil in spoil {
                let image = lab.with(lab.disk.fork());
                names.iter().for_each(|name| spoil(&image, name));
                spoiled += names.len();
                let wal = image.open();
                assert_eq!(entries(&wal), cut.after, "{}", cut.name);
                assert!(wal.recovery().finished_cut);
                assert_goes_on(&image, wal);
            }
        }
    }
    assert!(spoiled > 50);
}

/// The refusal: a segment restored from a backup, with sound records below the cut, under a dead name.
#[test]
fn a_dead_file_with_records_below_the_cut_is_refused() {
    let cut = &all_cuts()[0];
    for lab in in_progress(cut) {
        let name = "segment-0002.wal";
        lab.write(name, &record(2, b"another history"));
        let error = lab.try_open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.file().unwrap().ends_with(name), "{error}");
        assert!(lab.has(name), "it was not removed");
        // The tools say it, too, and the way out that they name is one.
        let plan = offline::repair_plan(&lab.target(), &mut |_| {}).unwrap();
        let told = plan.damages.iter().find(|damage| damage.path.ends_with(name)).unwrap();
        assert_eq!(told.options[0].command, format!("mv {DIR}/{name} OUT"), "{plan:?}");
        assert!(offline::verify(&lab.target(), &mut |_| {}).unwrap().is_damaged());
        lab.remove(name);
        assert_eq!(entries(&lab.open()), cut.after);
    }
}

/// A cut that a crash left unfinished, through a batch too, is no damage: the tools say so, change nothing that it keeps,
/// and finish it when they are told to repair.
#[test]
fn the_tools_take_an_unfinished_cut_for_what_it_is() {
    let mut seen = 0;
    for cut in &all_cuts() {
        for lab in in_progress(cut) {
            seen += 1;
            let verified = offline::verify(&lab.target(), &mut |_| {}).unwrap();
            assert!(!verified.is_damaged(), "{}: {verified:?}", cut.name);
            let choice = Choice::Safe { first_seq: None };
            let done = offline::repair_apply(&lab.target(), choice, &mut |_| {}).unwrap();
            assert!(!done.still_damaged, "{}: {done:?}", cut.name);
            assert_eq!(entries(&lab.open()), cut.after, "{}", cut.name);
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Section 7: for a cut that empties the log "the range has no lower end".
#[test]
fn where_a_cut_empties_the_log_no_dead_file_is_refused() {
    for cut in &all_cuts()[3..] {
        for lab in in_progress(cut) {
            for name in dead(cut, &lab) {
                lab.write(&name, &record(1, b"x"));
            }
            assert_eq!(entries(&lab.open()), cut.after, "{}", cut.name);
        }
    }
}

/// Section 5: "remove every `.next` (but one that a cut names …)"; section 7: the surviving entries of a batch are in
/// the one that is named.
#[test]
fn only_the_next_that_a_cut_names_is_kept() {
    let cut = &all_cuts()[2];
    let mut kept = 0;
    for lab in in_progress(cut) {
        kept += usize::from(!lab.names(".next").is_empty());
        lab.write("segment-0099.next", &record(4, b"a ghost"));
        let wal = lab.open();
        assert_eq!(entries(&wal), cut.after);
        assert!(!lab.has("segment-0099.next"));
        assert_goes_on(&lab, wal);
    }
    assert!(kept > 3, "{kept} of the disks hold the survivors in a .next");
}

/// Section 5: "never reuse one: it may hold records of a lost rename".
#[test]
fn a_next_left_over_is_never_used() {
    for ordinal in [4, 5, 6] {
        let lab = Lab::nine();
        let name = format!("segment-{ordinal:04}.next");
        lab.write(&name, &[record(10, b"a ghost"), record(11, b"a ghost")].concat());
        let wal = lab.open();
        assert_eq!(entries(&wal), (1, payloads(1..=9)));
        assert!(!lab.has(&name), "removed at opening");
        // And one that appears later, where the next segment is to be made ready.
        lab.write(&name, &[record(10, b"a ghost"), record(11, b"a ghost")].concat());
        for seq in 10..=20 {
            Lab::append(&wal, seq..=seq);
            wal.tick().unwrap();
        }
        let all = (1, payloads(1..=20));
        assert_eq!(entries(&wal), all);
        assert_eq!(entries(&lab.power_cut().open()), all);
    }
}

/// The same where what it holds would fit: after a crash it would go on behind the entries that were appended.
#[test]
fn a_next_that_would_fit_is_never_used() {
    for last in 13..=15 {
        let lab = Lab::nine();
        let wal = lab.open();
        Lab::append(&wal, 10..=10);
        let ghosts: Vec<u8> = (13..=15).flat_map(|seq| record(seq, &[0xa5; 52])).collect();
        lab.write("segment-0004.next", &ghosts);
        Lab::append(&wal, 11..=last);
        assert_eq!(wal.segments().unwrap().last().unwrap().ordinal, 4);
        std::mem::forget(wal);
        assert_eq!(entries(&lab.kill().open()), (1, payloads(1..=last)));
        assert_eq!(entries(&lab.power_cut().open()), (1, payloads(1..=last)));
    }
}

/// Section 7: "`LogReader` … treats a cut in progress as done".
#[test]
fn a_read_only_reader_takes_a_cut_in_progress_as_done() {
    for cut in all_cuts() {
        for lab in in_progress(&cut) {
            let mut found = read_only(&lab.reader());
            found.1.retain(|entry| entry != b"behind the cut");
            assert_eq!(found, cut.after, "{}: {:?}", cut.name, lab.disk.files());
        }
    }
}

/// Section 4.4: "A file from which anything but zeros was cut is never appended to again; a new segment begins, with a
/// new ordinal", "An ordinal is never given twice".
/// Behind its commit point a cut is done: what keeps the new segment from being made is told to the next append.
#[test]
fn a_cut_is_done_though_its_new_segment_cannot_be_made() {
    let lab = Lab::new(SyncStrategy::Always, 500);
    let wal = lab.open();
    Lab::append(&wal, 1..=5);
    lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::Create]).suffix(".next"));
    wal.truncate_back(3).unwrap();
    assert_eq!(wal.next_seq(), 4);
    let error = wal.append(payload(4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!((wal.next_seq(), entries(&wal)), (4, (1, payloads(1..=3))));
    lab.disk.clear_faults();
    Lab::append(&wal, 4..=4);
    assert_eq!(entries(&wal), (1, payloads(1..=4)));
    let after = lab.power_cut();
    assert_eq!(entries(&after.open()), (1, payloads(1..=4)));
}

#[test]
fn a_cut_begins_a_new_ordinal() {
    let lab = Lab::nine();
    let wal = lab.open();
    let mut highest = 2;
    for turn in 0..5 {
        wal.truncate_back(8).unwrap();
        let active = wal.segments().unwrap().last().unwrap().ordinal;
        assert!(active > highest, "turn {turn}: {active}");
        highest = active;
        Lab::append(&wal, 9..=9);
    }
    let error = {
        lab.disk
            .add_fault(Fault::new(walden_sim::Action::Error(EIO)).on([OpKind::SyncData]).nth(1));
        wal.append(payload(10)).unwrap_err()
    };
    assert!(error.is_poisoned());
}

/// Section 7: a cut in front: the manifest first, then the files; what is left of them goes at opening.
#[test]
fn a_front_cut_can_end_at_every_call() {
    let lab = Lab::nine();
    let history = |lab: &Lab| {
        let Ok(wal) = lab.try_open() else { return };
        drop(wal.truncate_front(7));
        std::mem::forget(wal);
    };
    every_stop(&lab, 30, history, |found, _| {
        let wal = found.open();
        let now = entries(&wal);
        assert!(now == (1, payloads(1..=9)) || now == (7, payloads(7..=9)), "{now:?}");
        if now.0 == 7 {
            assert!(!found.has("segment-0000.wal") && !found.has("segment-0000.idx"));
        }
        assert_goes_on(found, wal);
    });
}

/// Damage before the first entry, in the segment that has it, was removed with what it damaged: what lies behind is read,
/// whether or not the loss was accepted before.
#[test]
fn damage_that_was_cut_off_in_front_is_nobodys() {
    // In the payload, and in the seq id, which then says nothing of what was there.
    for (accepted, damaged, byte) in
        [(false, 6, 25), (true, 6, 25), (false, 1, 25), (false, 1, 12), (false, 6, 12)]
    {
        let lab = Lab::new(SyncStrategy::Always, 2000);
        let wal = lab.open();
        Lab::append(&wal, 1..=60);
        wal.close().unwrap();
        let record = record(damaged, &payload(damaged));
        let mut first = lab.read("segment-0000.wal");
        let at = first.windows(record.len()).position(|bytes| bytes == record).unwrap();
        first[at + byte] ^= 1;
        lab.write("segment-0000.wal", &first);
        // Not found by the index: so that there is a walk from the beginning.
        lab.names(".idx").iter().for_each(|name| lab.remove(name));
        if accepted {
            let choice = Choice::AcceptLoss(damaged..=damaged);
            offline::repair_apply(&lab.target(), choice, &mut |_| {}).unwrap();
        }
        let wal = lab.open();
        assert!(wal.range(..=6).unwrap().any(|entry| entry.is_err()), "{accepted}");
        wal.truncate_front(8).unwrap();
        drop(wal);
        // Nothing is known any more of what the segment began with.
        let wal = lab.open();
        let all = |wal: &Wal| {
            assert_eq!(wal.first_seq(), 8);
            assert_eq!(wal.get(8).unwrap().unwrap().payload, payload(8)[..]);
            let found = entries(wal);
            assert_eq!(found, (8, payloads(8..=60)), "{accepted}");
            let mut frames = wal.follow(8).unwrap().in_frames(1 << 20);
            assert!(matches!(frames.try_next().unwrap(), Some(walden::Event::Frames(_))));
        };
        all(&wal);
        assert_eq!(read_only(&lab.reader()), (8, payloads(8..=60)));
        wal.close().unwrap();
        all(&lab.open());
        let verified = offline::verify(&lab.target(), &mut |_| {}).unwrap();
        assert!(!verified.is_damaged(), "{damaged}: {verified:?}");
        // It goes with the first segment, as any other.
        let wal = lab.open();
        wal.truncate_front(40).unwrap();
        assert!(!lab.has("segment-0000.wal"));
        assert_eq!(entries(&wal), (40, payloads(40..=60)));
    }
}
