//! Every order of a few steps, under loom.

use super::tests::raised;
use super::*;

/// A waiter counts itself in and looks; a raiser raises and looks: one of the two sees the other.
fn raise_and_wait(level: Level, raise: fn(&Watermark)) {
    loom::model(move || {
        let mark = Arc::new(Watermark::new(1));
        mark.raise_appended(2);
        if level == Level::Durable {
            mark.raise_written(2);
        }
        let raising = loom::thread::spawn({
            let mark = Arc::clone(&mark);
            move || raise(&mark)
        });
        let parker = Arc::new(Parker::default());
        while mark.reached(level, 2, 0).is_none() {
            let wake = Wake::Thread(Arc::clone(&parker));
            if let Some(id) = mark.register(level, 2, 0, wake) {
                parker.park();
                mark.cancel(id);
            }
        }
        raising.join().unwrap();
    });
}

#[test]
fn loom_who_waits_for_written_is_woken() {
    raise_and_wait(Level::Written, |mark| {
        mark.raise_written(2);
        mark.tell_written();
    });
}

#[test]
fn loom_who_waits_for_durable_is_woken() {
    raise_and_wait(Level::Durable, |mark| mark.raise_durable(2));
}

/// What raises durable by sealing and what does by leading may meet: the higher one stays, and who waits for
/// it is woken.
#[test]
fn loom_two_raise_durable() {
    loom::model(|| {
        let mark = raised(3, 1);
        let raising = [2, 3].map(|next| {
            let mark = Arc::clone(&mark);
            loom::thread::spawn(move || mark.raise_durable(next))
        });
        let parker = Arc::new(Parker::default());
        let wake = Wake::Thread(Arc::clone(&parker));
        if mark.register(Level::Durable, 3, 0, wake).is_some() {
            parker.park();
        }
        assert_eq!(mark.durable(), 3);
        raising.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(mark.durable(), 3);
    });
}

/// `durable` is never seen above `written`, nor `written` above `appended`, by who reads the lower one first.
#[test]
fn loom_the_watermarks_keep_their_order() {
    loom::model(|| {
        let mark = Arc::new(Watermark::new(1));
        let raising = loom::thread::spawn({
            let mark = Arc::clone(&mark);
            move || {
                mark.raise_appended(2);
                mark.raise_written(2);
                mark.raise_durable(2);
            }
        });
        let durable = mark.durable();
        let written = mark.written();
        let appended = mark.appended();
        assert!(durable <= written && written <= appended);
        raising.join().unwrap();
    });
}

/// An entry that was cut is not taken for reached because others have its seq id now.
#[test]
fn loom_what_was_cut_is_not_reached() {
    loom::model(|| {
        let mark = raised(4, 2);
        let cutting = loom::thread::spawn({
            let mark = Arc::clone(&mark);
            move || {
                mark.cut(2, 2);
                mark.raise_appended(4);
                mark.raise_written(4);
                mark.raise_durable(4);
                mark.tell_cut();
            }
        });
        if let Some(outcome) = mark.reached(Level::Durable, 4, 0) {
            assert!(outcome.unwrap_err().is_truncated());
        }
        cutting.join().unwrap();
        assert!(mark.reached(Level::Durable, 4, 0).unwrap().unwrap_err().is_truncated());
    });
}

/// A failure or a close, and someone who comes to wait: told by one of the two looks.
#[test]
fn loom_who_waits_is_told_of_an_end() {
    for close in [false, true] {
        loom::model(move || {
            let mark = raised(2, 1);
            let ending = loom::thread::spawn({
                let mark = Arc::clone(&mark);
                move || match close {
                    true => mark.close(),
                    false => mark.fail(&Error::new(ErrorKind::Poisoned, "x")),
                }
            });
            while mark.reached(Level::Durable, 2, 0).is_none() {
                mark.sleep(2, 0, || true);
            }
            assert!(mark.reached(Level::Durable, 2, 0).unwrap().is_err());
            ending.join().unwrap();
        });
    }
}

/// A crowd is woken whole: who joins while it is, too.
#[test]
fn loom_a_crowd_is_woken() {
    loom::model(|| {
        let mark = raised(3, 1);
        let waiting = loom::thread::spawn({
            let mark = Arc::clone(&mark);
            move || {
                while mark.reached(Level::Durable, 2, 0).is_none() {
                    mark.sleep(2, 0, || true);
                }
            }
        });
        let raising = loom::thread::spawn({
            let mark = Arc::clone(&mark);
            move || {
                mark.begin_sync(2);
                mark.raise_durable(2);
                mark.raise_durable(3);
            }
        });
        while mark.reached(Level::Durable, 3, 0).is_none() {
            mark.sleep(3, 0, || true);
        }
        raising.join().unwrap();
        waiting.join().unwrap();
        assert_eq!(mark.waiters(), 0);
    });
}
