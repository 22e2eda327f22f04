//! "Fewer bytes than asked for are normal": reads and writes that end early, without an error.

use walden::SyncStrategy;
use walden_sim::{Action, Fault, OpKind};

use crate::support::{Lab, assert_goes_on, entries, payloads};

/// A read or a write that does a part is gone on with from there: of every call of a history, or of one. Nothing is
/// skipped, nothing is doubled, nothing fails.
#[test]
fn short_reads_and_writes_are_gone_on_with() {
    for (op, bytes) in
        [(OpKind::Write, 1), (OpKind::Write, 37), (OpKind::Read, 1), (OpKind::Read, 37)]
    {
        for strategy in [SyncStrategy::Always, SyncStrategy::OsCache, SyncStrategy::Background] {
            let lab = Lab::new(strategy, 240);
            let short = Fault::new(Action::Short(bytes)).on([op]);
            lab.disk.add_fault(short);
            let wal = lab.open();
            Lab::append(&wal, 1..=5);
            assert_eq!(wal.append_batch(payloads(6..=9)).unwrap(), 6..10);
            wal.tick().unwrap();
            wal.truncate_back(8).unwrap();
            Lab::append(&wal, 9..=14);
            wal.truncate_front(3).unwrap();
            wal.sync().unwrap();
            assert_eq!(entries(&wal), (3, payloads(3..=14)), "{op} of {bytes}");
            assert!(lab.disk.faults_met() > 20, "{op} of {bytes}");
            drop(wal);
            let killed = lab.kill();
            killed.disk.add_fault(Fault::new(Action::Short(bytes)).on([op]));
            let wal = killed.open();
            assert_eq!(entries(&wal), (3, payloads(3..=14)), "{op} of {bytes}, killed");
            assert_goes_on(&killed, wal);
        }
    }
}

/// A power cut in the middle of a write that was done in parts is one in the middle of a write.
#[test]
fn a_crash_between_the_parts_of_a_write() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    lab.disk.add_fault(Fault::new(Action::Short(30)).on([OpKind::Write]).suffix(".wal"));
    drop(lab.open());
    crate::support::every_stop(
        &lab,
        20,
        |lab| {
            lab.disk.add_fault(Fault::new(Action::Short(30)).on([OpKind::Write]).suffix(".wal"));
            let Ok(wal) = lab.try_open() else { return };
            for payload in payloads(1..=5) {
                if wal.append(payload).is_err() {
                    return;
                }
            }
        },
        |found, _| {
            crate::support::assert_prefix(&found.open(), 1, 1, 6);
        },
    );
}
