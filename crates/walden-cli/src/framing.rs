//! From a stream of bytes to records: lines, frames of a stated length, or all of it.

use std::io::{self, BufRead, BufReader, Read};

use clap::ValueEnum;

/// The largest record taken from the input, so that no stated length and no endless line can take all
/// memory.
pub(crate) const MAX_RECORD: u64 = 256 << 20;

const BUFFER: usize = 256 << 10;

/// What is a record in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// A line, without its newline (a carriage return before it stays); an empty line is an empty
    /// record, and a last line without a newline counts
    Lines,
    /// A frame: its length as 4 bytes, big-endian, then so many bytes
    Length,
    /// The whole input is one record
    Whole,
}

/// What is wrong with the input.
#[derive(Debug)]
pub(crate) enum BadInput {
    Io(io::Error),
    /// A record larger than [`MAX_RECORD`], which begins here.
    TooLarge {
        offset: u64,
    },
    /// The frame that begins here is not whole.
    CutOff {
        offset: u64,
        wanted: u64,
        found: u64,
    },
}

impl From<io::Error> for BadInput {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The records of an input, one after the other.
#[derive(Debug)]
pub(crate) struct Records<R> {
    input: BufReader<R>,
    framing: Framing,
    max: u64,
    /// Bytes of the input before the next record.
    offset: u64,
    done: bool,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, framing: Framing) -> Self {
        Self::limited(input, framing, MAX_RECORD)
    }

    /// Records of at most `max` bytes.
    pub(crate) fn limited(input: R, framing: Framing, max: u64) -> Self {
        let input = BufReader::with_capacity(BUFFER, input);
        Self { input, framing, max, offset: 0, done: false }
    }

    /// Whether the next record may have to be waited for: what was read does not have all of it.
    pub(crate) fn is_dry(&self) -> bool {
        let buffer = self.input.buffer();
        match self.framing {
            Framing::Lines => !buffer.contains(&b'\n'),
            Framing::Length => match buffer.split_first_chunk::<4>() {
                Some((header, rest)) => size(rest.len()) < length(*header),
                None => true,
            },
            Framing::Whole => true,
        }
    }

    /// Appends the bytes of the next record to `out`; false at the end.
    pub(crate) fn next_into(&mut self, out: &mut Vec<u8>) -> Result<bool, BadInput> {
        if self.done {
            return Ok(false);
        }
        match self.framing {
            Framing::Lines => self.line(out),
            Framing::Length => self.frame(out),
            Framing::Whole => self.whole(out),
        }
    }

    fn line(&mut self, out: &mut Vec<u8>) -> Result<bool, BadInput> {
        // Room for the newline, and one more to see that the line is too long.
        let limit = self.max.saturating_add(1);
        let read = size((&mut self.input).take(limit).read_until(b'\n', out)?);
        if read == 0 {
            self.done = true;
            return Ok(false);
        }
        if out.last() == Some(&b'\n') {
            out.pop();
        } else if read > self.max {
            return Err(BadInput::TooLarge { offset: self.offset });
        } else {
            self.done = true;
        }
        self.offset += read;
        Ok(true)
    }

    fn frame(&mut self, out: &mut Vec<u8>) -> Result<bool, BadInput> {
        let mut header = [0; 4];
        let found = read_up_to(&mut self.input, &mut header)?;
        let cut_off = |wanted, found| BadInput::CutOff { offset: self.offset, wanted, found };
        if found == 0 {
            self.done = true;
            return Ok(false);
        }
        if found < 4 {
            return Err(cut_off(4, found));
        }
        let length = length(header);
        if length > self.max {
            return Err(BadInput::TooLarge { offset: self.offset });
        }
        // Memory grows with what is there, not with what is claimed.
        let found = size((&mut self.input).take(length).read_to_end(out)?);
        if found < length {
            return Err(cut_off(4 + length, 4 + found));
        }
        self.offset += 4 + length;
        Ok(true)
    }

    fn whole(&mut self, out: &mut Vec<u8>) -> Result<bool, BadInput> {
        self.done = true;
        let read = size((&mut self.input).take(self.max.saturating_add(1)).read_to_end(out)?);
        if read > self.max {
            return Err(BadInput::TooLarge { offset: 0 });
        }
        Ok(true)
    }
}

/// The length that the header of a frame states.
#[expect(clippy::big_endian_bytes, reason = "the framing is big-endian, as the log is")]
fn length(header: [u8; 4]) -> u64 {
    u64::from(u32::from_be_bytes(header))
}

/// Reads until `buffer` is full or the input ends.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8; 4]) -> io::Result<u64> {
    let mut found = Vec::with_capacity(buffer.len());
    input.take(size(buffer.len())).read_to_end(&mut found)?;
    for (to, from) in buffer.iter_mut().zip(&found) {
        *to = *from;
    }
    Ok(size(found.len()))
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records, and what ended them.
    fn records(input: &[u8], framing: Framing, max: u64) -> (Vec<Vec<u8>>, Option<BadInput>) {
        // One byte at a time, as the slowest pipe gives them.
        let slow = BufReader::with_capacity(1, input);
        let mut records = Records::limited(slow, framing, max);
        let mut out = Vec::new();
        loop {
            let mut record = Vec::new();
            match records.next_into(&mut record) {
                Ok(true) => out.push(record),
                Ok(false) => return (out, None),
                Err(bad) => return (out, Some(bad)),
            }
        }
    }

    fn lines(input: &[u8]) -> Vec<Vec<u8>> {
        let (records, bad) = records(input, Framing::Lines, 100);
        assert!(bad.is_none(), "{bad:?}");
        records
    }

    #[test]
    fn lines_are_taken_as_they_are() {
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"\n"), [b""]);
        assert_eq!(lines(b"a\n\nb"), [b"a".to_vec(), vec![], b"b".to_vec()]);
        assert_eq!(lines(b"a\r\n\xff\0\n"), [b"a\r".to_vec(), b"\xff\0".to_vec()]);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let (found, bad) = records(b"ab\nabc\nabcd\nx\n", Framing::Lines, 3);
        assert_eq!(found, [b"ab".to_vec(), b"abc".to_vec()]);
        assert!(matches!(bad, Some(BadInput::TooLarge { offset: 7 })), "{bad:?}");
        let (found, bad) = records(b"abc", Framing::Lines, 3);
        assert_eq!((found.len(), bad.is_none()), (1, true));
        let (_, bad) = records(b"abcd", Framing::Lines, 3);
        assert!(matches!(bad, Some(BadInput::TooLarge { offset: 0 })), "{bad:?}");
    }

    #[test]
    fn frames_are_taken_by_their_length() {
        let (found, bad) = records(b"\0\0\0\x02hi\0\0\0\0\0\0\0\x01x", Framing::Length, 100);
        assert!(bad.is_none());
        assert_eq!(found, [b"hi".to_vec(), vec![], b"x".to_vec()]);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_told_by_its_offset() {
        for (input, want) in [
            (&b"\0\0\0\x01x\0\0"[..], (5, 4, 2)),
            (b"\0\0\0\x05abc", (0, 9, 7)),
            (b"\0\0\0\x05", (0, 9, 4)),
        ] {
            let (_, bad) = records(input, Framing::Length, 100);
            let Some(BadInput::CutOff { offset, wanted, found }) = bad else { panic!("{bad:?}") };
            assert_eq!((offset, wanted, found), want);
        }
        // A hostile length neither allocates nor is waited for.
        let (_, bad) = records(b"\xff\xff\xff\xffab", Framing::Length, MAX_RECORD);
        assert!(matches!(bad, Some(BadInput::TooLarge { offset: 0 })), "{bad:?}");
        let (_, bad) = records(b"\x0f\xff\xff\xffab", Framing::Length, MAX_RECORD);
        assert!(matches!(bad, Some(BadInput::CutOff { found: 6, .. })), "{bad:?}");
    }

    /// How many records can be had without waiting, of an input that gives `input` and then nothing yet.
    fn at_hand(input: &[u8], framing: Framing) -> usize {
        let mut records = Records::limited(input, framing, 100);
        let mut count = 0;
        loop {
            let mut record = Vec::new();
            assert!(records.next_into(&mut record).unwrap(), "{input:?}");
            count += 1;
            if records.is_dry() {
                return count;
            }
        }
    }

    #[test]
    fn a_record_that_is_not_whole_yet_is_not_waited_for() {
        assert_eq!(at_hand(b"a\n", Framing::Lines), 1);
        assert_eq!(at_hand(b"a\nb", Framing::Lines), 1);
        assert_eq!(at_hand(b"a\nb\n", Framing::Lines), 2);
        assert_eq!(at_hand(b"a\n\n\nb", Framing::Lines), 3);
        for end in [&b""[..], b"\0", b"\0\0\0", b"\0\0\0\x02", b"\0\0\0\x02h"] {
            let input = [b"\0\0\0\x01x", end].concat();
            assert_eq!(at_hand(&input, Framing::Length), 1, "{end:?}");
        }
        assert_eq!(at_hand(b"\0\0\0\x01x\0\0\0\0", Framing::Length), 2);
    }

    #[test]
    fn the_whole_input_is_one_record() {
        assert_eq!(records(b"a\nb\n", Framing::Whole, 10).0, [b"a\nb\n"]);
        assert_eq!(records(b"", Framing::Whole, 10).0, [b""]);
        let (_, bad) = records(b"abcd", Framing::Whole, 3);
        assert!(matches!(bad, Some(BadInput::TooLarge { offset: 0 })), "{bad:?}");
    }
}
