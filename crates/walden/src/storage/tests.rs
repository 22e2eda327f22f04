use std::collections::VecDeque;

use super::*;
use crate::sync::Mutex;

/// Answers writes as it was told, and keeps what it took.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<VecDeque<io::Result<usize>>>,
    calls: Mutex<Vec<(u64, usize)>>,
    bytes: Mutex<Vec<u8>>,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = io::Result<usize>>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() }
    }
}

impl File for Scripted {
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.calls.lock().push((offset, buf.len()));
        let taken = self.answers.lock().pop_front().unwrap_or(Ok(buf.len()))?;
        self.bytes.lock().extend(buf.iter().take(taken));
        Ok(taken)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unreachable!("it is written only")
    }

    fn sync_data(&self) -> io::Result<()> {
        unreachable!("it is written only")
    }

    fn sync_all(&self) -> io::Result<()> {
        unreachable!("it is written only")
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("it is written only")
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("it is written only")
    }

    fn len(&self) -> io::Result<u64> {
        unreachable!("it is written only")
    }

    fn modified(&self) -> io::Result<SystemTime> {
        unreachable!("it is written only")
    }
}

fn interrupted() -> io::Result<usize> {
    Err(io::ErrorKind::Interrupted.into())
}

#[test]
fn what_was_not_written_is_written_next() {
    for answers in [
        vec![],
        vec![interrupted(), interrupted()],
        vec![Ok(1), Ok(3), interrupted(), Ok(2)],
        vec![Ok(7), interrupted()],
    ] {
        let file = Scripted::new(answers);
        write_full(&file, b"complete", 100).unwrap();
        assert_eq!(&*file.bytes.lock(), b"complete");
        let mut expected = 100;
        for (offset, len) in file.calls.lock().iter() {
            assert!((expected..108).contains(offset));
            assert_eq!(offset + *len as u64, 108);
            expected = *offset;
        }
    }
}

#[test]
fn a_file_that_takes_nothing_is_an_error() {
    for answers in [vec![Ok(0)], vec![Ok(3), Ok(0)], vec![interrupted(), Ok(0)]] {
        let file = Scripted::new(answers);
        let error = write_full(&file, b"complete", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
    let file = Scripted::new([Ok(3), Err(io::ErrorKind::StorageFull.into())]);
    let error = write_full(&file, b"complete", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(&*file.bytes.lock(), b"com");
}

#[test]
fn of_nothing_to_write_a_file_is_told_nothing() {
    let file = Scripted::new([Ok(0)]);
    write_full(&file, b"", 5).unwrap();
    assert!(file.calls.lock().is_empty());
}

#[test]
fn a_file_that_says_too_much_ends_it() {
    let file = Scripted::new([Ok(usize::MAX)]);
    write_full(&file, b"complete", 0).unwrap();
    let file = Scripted::new([Ok(1), Ok(usize::MAX)]);
    write_full(&file, b"complete", 0).unwrap();
    assert_eq!(file.calls.lock().len(), 2);
}

/// Bytes here and there in reserved space, by `pwrite` and by a mapping: what is passed over is zero, and nothing is missed.
#[cfg(not(walden_model))]
#[test]
fn what_is_passed_over_was_never_written_to() {
    const LEN: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let storages: [&dyn Storage; 2] = [&OsStorage::new(), &MmapStorage::new()];
    for (i, storage) in storages.into_iter().enumerate() {
        let file = storage.create(&dir.path().join(i.to_string())).unwrap();
        file.allocate(0, LEN).unwrap();
        let places = [5, 4095, 4096, 123_456, 1 << 20, (3 << 20) + 77, LEN - 1];
        for (n, at) in places.into_iter().enumerate() {
            file.write_at(b"x", at).unwrap();
            let (mut from, mut passed) = (0, Vec::new());
            while let Some(part) = file.next_data(from).unwrap() {
                assert!(part.start >= from && part.end > part.start, "{part:?} from {from}");
                passed.push(from..part.start);
                from = part.end;
            }
            passed.push(from..u64::MAX);
            for at in &places[..=n] {
                assert!(passed.iter().all(|passed| !passed.contains(at)), "{at}: {passed:?}");
            }
        }
    }
}
