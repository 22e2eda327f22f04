//! `walden serve` as a program: what it prints, whom it answers, how it ends. The API is tested in walden-inspector.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, interrupt};

/// A server that is running, and what it said first.
struct Serving {
    child: Child,
    said: Value,
}

impl Serving {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut child = place.piped(["serve", "log", "--json"].iter().chain(args));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { said: serde_json::from_str(&line).expect(&line), child }
    }

    fn status(&self, headers: &str) -> String {
        let url = self.said["url"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let address = address.replace("0.0.0.0", "127.0.0.1");
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let request = format!(
            "GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end(mut self) -> Option<i32> {
        interrupt(&self.child);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn it_serves_until_ctrl_c() {
    let place = Place::with("a\nb\n");
    let serving = Serving::start(&place, &["--listen", "127.0.0.1:0"]);
    assert_eq!(serving.said["token"], Value::Null);
    assert!(serving.status("").contains("\"next_seq\":\"3\""));
    // A writer beside it is not in its way, and is seen.
    place.feed(["append", "log"], "c\n").ended(0);
    let begun = std::time::Instant::now();
    while !serving.status("").contains("\"next_seq\":\"4\"") {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(serving.end(), Some(130));
}

#[test]
fn others_need_the_token_that_is_printed_or_given() {
    let place = Place::with("a\n");
    let serving = Serving::start(&place, &["--listen", "0.0.0.0:0"]);
    let token = serving.said["token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 32);
    assert!(serving.status("").starts_with("HTTP/1.1 401"));
    let known = format!("Authorization: Bearer {token}\r\n");
    assert!(serving.status(&known).starts_with("HTTP/1.1 200"));
    assert_eq!(serving.end(), Some(130));
    fs::write(place.path().join("token"), "  0123456789abcdef\n").unwrap();
    let serving = Serving::start(&place, &["--listen", "127.0.0.1:0", "--token-file", "token"]);
    assert_eq!(serving.said["token"], Value::Null);
    assert!(serving.status("").starts_with("HTTP/1.1 401"));
    let known = "Authorization: Bearer 0123456789abcdef\r\n";
    assert!(serving.status(known).starts_with("HTTP/1.1 200"));
    assert_eq!(serving.end(), Some(130));
}

#[test]
fn what_cannot_be_served() {
    let place = Place::with("a\n");
    fs::create_dir(place.path().join("empty")).unwrap();
    fs::write(place.path().join("file"), "x").unwrap();
    fs::write(place.path().join("short"), "secret").unwrap();
    for dir in ["none", "empty", "file"] {
        place.run(["serve", dir, "--listen", "127.0.0.1:0"]).ended(1);
    }
    for args in [
        &["--listen", "nonsense"][..],
        &["--listen", "localhost:7400"],
        &["--listen", "127.0.0.1:99999"],
        &["--token-file", "short"],
    ] {
        let ran = place.run(["serve", "log"].iter().chain(args)).ended(2);
        assert!(!ran.err.is_empty());
    }
    place.run(["serve", "log", "--token-file", "none"]).ended(1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = place.run(["serve", "log", "--listen", &address]).ended(1);
    assert!(ran.err.contains(&address) && ran.err.contains("--listen"), "{ran:?}");
}
