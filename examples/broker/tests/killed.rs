//! The queue is killed again and again under load: nothing that was published is lost, and no consumer is led past a
//! message.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the lines of all runs say.
#[derive(Debug, Default)]
struct Facts {
    /// Seq ids and what was published under them, as acknowledged.
    published: BTreeMap<u64, String>,
    /// By consumer, what it was given under each seq id.
    given: BTreeMap<String, BTreeMap<u64, String>>,
}

impl Facts {
    /// Takes the lines of one run: each consumer is given one seq id after the other, and begins no further than it had
    /// come.
    fn take(&mut self, lines: &[String]) {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let &[who, a, b] = words.as_slice() else { panic!("{line:?}") };
            if who == "published" {
                let before = self.published.insert(b.parse().unwrap(), a.to_owned());
                assert_eq!(before, None, "{line}: given twice");
                continue;
            }
            let seq: u64 = a.parse().unwrap();
            let given = self.given.entry(who.to_owned()).or_default();
            let expected = match last.insert(who, seq) {
                Some(last) => last + 1,
                None => {
                    let next = given.last_key_value().map_or(1, |(last, _)| last + 1);
                    assert!(seq <= next, "{line}: led past what comes after {}", next - 1);
                    seq
                }
            };
            assert_eq!(seq, expected, "{line}: not the one that follows");
            if let Some(before) = given.insert(seq, b.to_owned()) {
                assert_eq!(before, b, "{line}: another message than before");
            }
        }
    }
}

/// Runs the queue, and kills it after a while. The whole lines that it wrote.
fn run(dir: &Path, what: &str, for_so_long: Option<Duration>) -> Vec<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_walden-broker"))
        .arg(dir)
        .arg(what)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut stdout = stdout;
        loop {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            match line.strip_suffix('\n') {
                Some(whole) => lines.push(whole.to_owned()),
                // The end, or a line that the kill cut off.
                None => return lines,
            }
        }
    });
    if let Some(time) = for_so_long {
        std::thread::sleep(time);
        child.kill().unwrap();
    }
    let begun = Instant::now();
    let status = child.wait().unwrap();
    assert!(for_so_long.is_some() || status.success(), "{status} after {:?}", begun.elapsed());
    reader.join().unwrap()
}

#[test]
fn killed_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let queue = dir.path().join("queue");
    let mut facts = Facts::default();
    for millis in [300, 700, 450, 900] {
        facts.take(&run(&queue, "2000", Some(Duration::from_millis(millis))));
    }
    facts.take(&run(&queue, "drain", None));
    assert!(facts.published.len() > 100, "there was load: {}", facts.published.len());
    assert_eq!(facts.given.len(), 3, "three consumers");
    let ids: BTreeSet<&String> = facts.published.values().collect();
    assert_eq!(ids.len(), facts.published.len(), "each published once");
    for (name, given) in &facts.given {
        for (seq, id) in &facts.published {
            assert_eq!(given.get(seq), Some(id), "{name} was not given message {seq}");
        }
        let (first, last) = (given.first_key_value().unwrap().0, given.last_key_value().unwrap().0);
        assert_eq!((*first, last - first + 1), (1, given.len() as u64), "{name}: all of them");
    }
}
