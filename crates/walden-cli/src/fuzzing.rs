//! What the fuzz targets `arguments` and `framing` do with their bytes. The targets include the files of this
//! program; here the stored inputs go through the same functions.

use std::ffi::OsString;
use std::io::{self, Read};

use crate::args;
use crate::framing::{BadInput, Framing, Records};

/// Arguments, one a line: taken or refused, and a refusal can be shown.
pub(crate) fn arguments(data: &[u8]) {
    let words = data.split(|byte| *byte == b'\n');
    let args = words.map(|word| OsString::from(String::from_utf8_lossy(word).into_owned()));
    if let Err(error) = args::parse_from([OsString::from("walden")].into_iter().chain(args)) {
        let text = error.render().to_string();
        assert!(!text.trim().is_empty(), "a refusal without a word");
    }
}

/// Gives a few bytes at a time, as a pipe may.
struct Pipe<'a>(&'a [u8], usize);

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.1.min(buffer.len()).min(self.0.len());
        let (now, rest) = self.0.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.0 = rest;
        Ok(len)
    }
}

/// An input in each framing: the records are those that a plain reading of its definition gives.
pub(crate) fn framing(data: &[u8]) {
    let [step, max, input @ ..] = data else { return };
    let (step, max) = (usize::from(*step) + 1, usize::from(*max));
    for framing in [Framing::Lines, Framing::Length, Framing::Whole] {
        let mut records = Records::limited(Pipe(input, step), framing, max as u64);
        let mut found = Vec::new();
        let ended = loop {
            let mut record = Vec::new();
            match records.next_into(&mut record) {
                Ok(true) => found.push(record),
                Ok(false) => break None,
                Err(bad) => break Some(bad),
            }
        };
        let (wanted, bad_at) = expected(input, framing, max);
        assert!(found == wanted, "{framing:?}: other records");
        let at = ended.map(|bad| match bad {
            BadInput::TooLarge { offset } | BadInput::CutOff { offset, .. } => offset,
            BadInput::Io(error) => panic!("{framing:?}: {error}"),
        });
        assert_eq!(at, bad_at.map(|at| at as u64), "{framing:?}: where it goes wrong");
    }
}

/// The records before what is wrong, and where that is.
fn expected(input: &[u8], framing: Framing, max: usize) -> (Vec<Vec<u8>>, Option<usize>) {
    let mut found = Vec::new();
    let mut at = 0;
    match framing {
        Framing::Whole if input.len() > max => return (found, Some(0)),
        Framing::Whole => found.push(input.to_vec()),
        Framing::Lines => {
            let mut lines: Vec<_> = input.split(|byte| *byte == b'\n').collect();
            if lines.last().is_some_and(|last| last.is_empty()) {
                lines.pop();
            }
            for line in lines {
                if line.len() > max {
                    return (found, Some(at));
                }
                at += line.len() + 1;
                found.push(line.to_vec());
            }
        }
        Framing::Length => {
            while at < input.len() {
                let Some(length) = input[at..].first_chunk::<4>() else { return (found, Some(at)) };
                let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let record = input[at + 4..].get(..length).filter(|_| length <= max);
                let Some(record) = record else { return (found, Some(at)) };
                found.push(record.to_vec());
                at += 4 + length;
            }
        }
    }
    (found, None)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(target: &str, body: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let inputs: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "no input is stored for {target}");
        for input in inputs {
            println!("{}", input.display());
            body(&std::fs::read(&input).unwrap());
        }
    }

    #[test]
    fn stored_arguments() {
        replay("arguments", super::arguments);
    }

    #[test]
    fn stored_framings() {
        replay("framing", super::framing);
    }
}
