use std::io;

use super::*;
use crate::sync::Mutex;

/// Notes what it is told will be read.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<(u64, u64)>>);

impl File for Told {
    fn will_read(&self, offset: u64, len: u64) {
        self.0.lock().push((offset, len));
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn modified(&self) -> io::Result<std::time::SystemTime> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Told {
    fn take(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.0.lock())
    }
}

const END: u64 = 3 << 20;

#[test]
fn who_goes_back_asks_for_each_byte_once_in_time() {
    for step in [100, 4096, 5000, PIECE, PIECE + 1, AHEAD, AHEAD + 1, 2 * AHEAD] {
        let (mut trail, file) = (Trail::default(), Told::default());
        let (mut at, mut asked, mut steps) = (END, END, 0);
        trail.ends_at(at, 7, &file);
        assert_eq!(file.take(), [], "one step is no reading on");
        while at > 0 {
            at = at.saturating_sub(step);
            steps += 1;
            trail.ends_at(at, 7, &file);
            let told = file.take();
            if step > AHEAD && steps == 1 {
                assert_eq!(told, [], "a jump, for all that is known");
            }
            asked = asked.min(at);
            for (from, len) in told {
                assert!(len > 0 && len <= PIECE, "{len}");
                assert_eq!(from + len, asked, "each byte once, at {at} in steps of {step}");
                asked = from;
            }
            let (least, most) = match steps {
                1 if step > AHEAD => (0, 0),
                1 => (PIECE, 2 * PIECE),
                2 if step <= AHEAD => (2 * PIECE, 3 * PIECE),
                2 => (PIECE, 2 * PIECE),
                3.. if step > AHEAD => (2 * PIECE, 2 * step + PIECE),
                _ => (AHEAD, AHEAD + PIECE),
            };
            let ahead = at - asked;
            assert!(
                asked == 0 || (least..=most).contains(&ahead),
                "{ahead} in step {steps} of {step}"
            );
        }
        assert_eq!(asked, 0);
    }
}

#[test]
fn of_long_records_no_gigabytes_are_asked_for() {
    let (mut trail, file) = (Trail::default(), Told::default());
    for (n, step) in [MOST_AHEAD / 2, MOST_AHEAD, MOST_AHEAD + 1, 1 << 30].into_iter().enumerate() {
        let mut asked = 0;
        for at in (0..5).rev().map(|at| at * step) {
            trail.ends_at(at, 7 + n as u64, &file);
            asked = asked.max(file.take().iter().map(|(_, len)| len).sum());
        }
        assert!(
            asked <= 2 * MOST_AHEAD && (asked > 0) == (step <= MOST_AHEAD),
            "{asked} in steps of {step}"
        );
    }
}

#[test]
fn jumps_ask_for_nothing() {
    let (mut trail, file) = (Trail::default(), Told::default());
    for (at, segment) in [(END, 7), (END, 7), (END + 1, 7), (END / 2, 7), (END / 2 - 1, 6), (9, 5)]
    {
        trail.ends_at(at, segment, &file);
        assert_eq!(file.take(), [], "{at} of {segment}");
    }
    // From the last place on it goes back.
    trail.ends_at(8, 5, &file);
    assert_eq!(file.take(), [(0, 8)]);
    trail.ends_at(7, 5, &file);
    assert_eq!(file.take(), []);
}

/// Somebody went back over a part, jumped to its end, and goes back again: what was read long ago is not kept for ever.
#[test]
fn what_is_read_again_is_asked_for_again() {
    let (mut trail, file) = (Trail::default(), Told::default());
    let all = |trail: &mut Trail| {
        for at in (0..END).rev().step_by(4096) {
            trail.ends_at(at, 7, &file);
        }
        file.take()
    };
    let first = all(&mut trail);
    assert!(first.len() >= 23 && first == all(&mut trail), "{first:?}");
}
