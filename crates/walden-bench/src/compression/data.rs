//! The data: made by seed, or found where everybody has it.

use std::fmt::Write as _;
use std::path::Path;

use walden::{Compression, Config, Wal};

use crate::figures::Result;

/// Sizes of the pieces that data is cut into.
const SIZES: [(&str, usize); 3] = [("100 B", 100), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)];

/// One kind of data.
pub(super) struct Data {
    pub(super) name: String,
    bytes: Vec<u8>,
    /// It consists of lines.
    lines: bool,
}

impl Data {
    /// All kinds, up to `most` bytes of each.
    pub(super) fn all(seed: u64, most: usize, scratch: &Path) -> Result<Vec<Self>> {
        let json = fill(most, Mixed(seed), json_line);
        let compressed = compressed(&json, &scratch.join("compressed"))?;
        let made = |name: &str, bytes, lines| Self { name: name.to_owned(), bytes, lines };
        Ok(vec![
            made("JSON lines", json, true),
            made("a web server's log", fill(most, Mixed(seed), log_line), true),
            made("Rust sources", sources(most)?, false),
            made("a built program", program(most)?, false),
            made("compressed before", compressed, false),
        ])
    }

    /// Its records of each size, and how the size is called.
    pub(super) fn records(&self) -> Vec<(String, Vec<&[u8]>)> {
        let mut all = Vec::new();
        if self.lines {
            let lines = self.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            all.push(("lines".to_owned(), lines.collect()));
        }
        for (name, size) in SIZES {
            all.push((name.to_owned(), self.bytes.chunks_exact(size).collect()));
        }
        all
    }
}

/// Numbers that look random, the same for each seed (splitmix64).
struct Mixed(u64);

impl Mixed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// One of few that come often and many that come rarely.
    fn skewed(&mut self, n: u64) -> u64 {
        let most = self.below(n) + 1;
        self.below(most)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.skewed(of.len() as u64)).unwrap_or(0);
        of.get(at).copied().unwrap_or_default()
    }
}

const SERVICES: [&str; 8] =
    ["orders", "payments", "search", "accounts", "mailer", "catalogue", "shipping", "sessions"];
const EVENTS: [&str; 8] = [
    "request served",
    "cache miss",
    "connection reused",
    "retrying after timeout",
    "payload rejected",
    "slow query",
    "token refreshed",
    "job enqueued",
];
const PATHS: [&str; 8] = [
    "/api/v2/orders",
    "/api/v2/items",
    "/search",
    "/login",
    "/static/app.js",
    "/cart",
    "/health",
    "/api/v1/export",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "curl/8.14.1",
    "Mozilla/5.0 (compatible; ExampleBot/2.1)",
];

/// `most` bytes of lines.
fn fill(most: usize, mut mixed: Mixed, line: fn(&mut Mixed, u64, &mut String)) -> Vec<u8> {
    let mut text = String::with_capacity(most + 4096);
    let mut at = 0;
    while text.len() < most {
        at += mixed.below(40);
        line(&mut mixed, at, &mut text);
        text.push('\n');
    }
    text.into_bytes()
}

/// As a service logs it: about 200 bytes, with an id that nothing compresses.
fn json_line(mixed: &mut Mixed, at: u64, out: &mut String) {
    let (minute, second, milli) = (at / 60_000 % 60, at / 1000 % 60, at % 1000);
    let _unfailing = write!(
        out,
        "{{\"time\":\"2026-11-26T01:{minute:02}:{second:02}.{milli:03}Z\",\"level\":\"{}\",\"service\":\"{}\",\
         \"host\":\"node-{:02}\",\"event\":\"{}\",\"path\":\"{}/{}\",\"status\":{},\"took_us\":{},\"trace\":\"{:016x}\"}}",
        mixed.pick(&["info", "info", "warn", "error"]),
        mixed.pick(&SERVICES),
        mixed.skewed(24),
        mixed.pick(&EVENTS),
        mixed.pick(&PATHS),
        mixed.skewed(100_000),
        mixed.pick(&["200", "200", "304", "404", "500"]),
        mixed.skewed(2_000_000),
        mixed.next()
    );
}

/// As a web server writes it.
fn log_line(mixed: &mut Mixed, at: u64, out: &mut String) {
    let (minute, second) = (at / 60_000 % 60, at / 1000 % 60);
    let _unfailing = write!(
        out,
        "10.{}.{}.{} - - [26/Nov/2026:01:{minute:02}:{second:02} +0000] \"{} {}?id={} HTTP/1.1\" {} {} \"-\" \"{}\"",
        mixed.skewed(4),
        mixed.skewed(256),
        mixed.below(256),
        mixed.pick(&["GET", "GET", "POST", "HEAD"]),
        mixed.pick(&PATHS),
        mixed.skewed(1_000_000),
        mixed.pick(&["200", "304", "404", "500"]),
        mixed.skewed(50_000),
        mixed.pick(&AGENTS)
    );
}

/// This repository's own sources, in the order of their paths, over and over would say nothing: as many as there are.
fn sources(most: usize) -> Result<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut folders, mut files) = (vec![root], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        if all.len() >= most {
            break;
        }
        all.extend(std::fs::read(file)?);
    }
    all.truncate(most);
    Ok(all)
}

/// What the compiler made: this program.
fn program(most: usize) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(std::env::current_exe()?)?;
    bytes.truncate(most);
    Ok(bytes)
}

/// The files of a log that holds the JSON lines in large batches, compressed.
fn compressed(json: &[u8], dir: &Path) -> Result<Vec<u8>> {
    let wal = Wal::open(dir, Config::background().compression(Compression::Zstd { level: 9 }))?;
    for piece in json.chunks(256 << 10) {
        wal.append(piece)?;
    }
    wal.close()?;
    let mut bytes = Vec::new();
    for segment in wal.segments()? {
        bytes.extend(std::fs::read(segment.path)?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_lines() {
        let lines = |seed| fill(20_000, Mixed(seed), json_line);
        assert_eq!(lines(1), lines(1));
        assert_ne!(lines(1), lines(2));
        let text = String::from_utf8(lines(1)).unwrap();
        let mean = text.len() / text.lines().count();
        assert!((170..240).contains(&mean), "{mean}");
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
