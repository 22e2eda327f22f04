//! What stands in the way: it is said at the right place, and nothing is left behind.

use std::io::Write;
use std::time::{Duration, Instant};

use super::support::{Place, Ran};

#[test]
fn a_line_that_is_not_whole_yet_holds_nothing_back() {
    for (framing, input, rest) in [
        ("lines", &b"one\ntwo\nth"[..], &b"ree\n"[..]),
        ("length", b"\0\0\0\x03one\0\0\0\x03two\0\0\0\x05th", b"ree"),
    ] {
        let place = Place::new();
        let mut child = place.piped(["append", "log", "--framing", framing]);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        let begun = Instant::now();
        while place.run(["cat", "log"]).out != "one\ntwo\n" {
            assert!(begun.elapsed() < Duration::from_secs(20), "{framing}: it was not appended");
            std::thread::sleep(Duration::from_millis(20));
        }
        stdin.write_all(rest).unwrap();
        drop(stdin);
        assert_eq!(Ran::from(child.wait_with_output().unwrap()).ended(0).out, "1..=3\n");
        assert_eq!(place.run(["cat", "log"]).ended(0).out, "one\ntwo\nthree\n");
    }
}

#[test]
fn an_end_before_the_first_entry_is_an_error() {
    let place = Place::with("a\nb\nc\n");
    place.run(["truncate", "log", "--front", "3", "--yes"]).ended(0);
    for args in [&["cat", "log", "--to", "2", "--json"][..], &["cat", "log", "--to", "0", "--json"]]
    {
        assert_eq!(place.run(args).ended(1).error()["kind"], "Removed");
        let args = args.iter().chain(&["--reverse"]);
        assert_eq!(place.run(args).ended(1).error()["kind"], "Removed");
    }
    assert_eq!(place.run(["cat", "log", "--to", "3"]).ended(0).out, "c\n");
}
