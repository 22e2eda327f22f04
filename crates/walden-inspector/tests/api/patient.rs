//! Clients that are slow, silent, or gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use walden::{Config, Wal};
use walden_inspector::serve::Options;

use crate::client::{LONG, Served, make_log, wait_for};

fn impatient() -> Served {
    let options = Options::default().patience(Duration::from_millis(300));
    Served::with(options, |dir| make_log(dir, 3))
}

/// Whether the server closes the connection before anybody's patience ends.
fn closes(mut stream: TcpStream) -> bool {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let timed_out = ended.is_err_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    });
    !timed_out && begun.elapsed() < LONG / 2
}

#[test]
fn a_head_that_does_not_end() {
    let served = impatient();
    for part in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut stream = served.connect();
        stream.write_all(part.as_bytes()).unwrap();
        assert!(closes(stream), "{part:?}");
    }
    // Nor one that comes byte by byte.
    let mut stream = served.connect();
    let begun = Instant::now();
    while stream.write_all(b"G").is_ok() && begun.elapsed() < LONG / 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.elapsed() < LONG / 2);
}

#[test]
fn a_connection_that_is_kept_and_not_used() {
    let served = impatient();
    let mut stream = served.connect();
    let request = format!("GET /api/v1/check HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    stream.write_all(request.as_bytes()).unwrap();
    assert!(closes(stream));
}

#[test]
fn heads_and_bodies_that_are_too_long() {
    let served = Served::of(3);
    let line = format!("X: {}\r\n", "y".repeat(20_000));
    assert_eq!(served.ask("GET", "/api/v1/status", &line).status, 431);
    let lines: String = (0..100).map(|n| format!("X{n}: y\r\n")).collect();
    assert_eq!(served.ask("GET", "/api/v1/status", &lines).status, 431);
    let path = format!("/{}", "a".repeat(20_000));
    assert!([414, 431].contains(&served.get(&path).status));
    assert_eq!(served.raw("nonsense\r\n\r\n").unwrap().status, 400);
    // A body that is announced and never comes does not keep anybody.
    let request = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\
        Connection: close\r\n\r\n";
    assert_eq!(served.raw(request).unwrap().status, 200);
}

#[test]
fn a_client_that_does_not_take_what_it_asked_for() {
    let options = Options::default().patience(Duration::from_millis(500));
    let served = Served::with(options, |dir| {
        let wal = Wal::open(dir, Config::os_cache()).unwrap();
        wal.append_batch((0..1000).map(|_| "x".repeat(1024))).unwrap();
        wal.close().unwrap();
    });
    let request = format!(
        "GET /api/v1/entries?limit=1000&preview=1024 HTTP/1.1\r\nHost: {}\r\n\r\n",
        served.address
    );
    let requests = 40;
    let mut stream = served.connect();
    stream.write_all(request.repeat(requests).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(2000));
    assert_eq!(served.get("/api/v1/status").status, 200);
    let mut got = Vec::new();
    drop(stream.read_to_end(&mut got));
    let whole = 1000 * 1024 * 4 / 3;
    assert!(got.len() < requests * whole, "all of it was sent after all");
}

#[test]
fn places_are_given_back() {
    let served = impatient();
    // More than there are places, all silent: the next one waits until their time is over.
    let silent: Vec<TcpStream> = (0..80).map(|_| served.connect()).collect();
    assert_eq!(served.get("/api/v1/status").status, 200);
    drop(silent);
}

#[test]
fn those_who_follow_are_few_and_their_places_are_given_back() {
    let served = Served::of(3);
    let follow = || {
        let mut stream = served.connect();
        let head = format!("GET /api/v1/follow HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (String::from_utf8_lossy(&status[9..]).into_owned(), stream)
    };
    let mut following: Vec<(String, TcpStream)> = Vec::new();
    loop {
        let (status, stream) = follow();
        assert!(following.len() < 60, "there is no end to them");
        if status == "503" {
            break;
        }
        assert_eq!(status, "200");
        following.push((status, stream));
    }
    assert_eq!(following.len(), 16);
    assert_eq!(served.get("/api/v1/status").status, 200, "others are answered");
    drop(following);
    wait_for("places", || follow().0 == "200");
}

#[test]
fn clients_that_go_in_the_middle() {
    let served = Served::of(3000);
    for n in 0..100 {
        let mut stream = served.connect();
        let path = ["entries?limit=1000", "search?text=zzz", "follow", "segments"][n % 4];
        let head = format!("GET /api/v1/{path} HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
        stream.write_all(&head.as_bytes()[..head.len() - n % 3]).unwrap();
    }
    assert_eq!(served.get("/api/v1/status").status, 200);
}

/// Asks, and keeps the connection, which the server may not do.
fn kept(served: &Served) -> (TcpStream, String) {
    let mut stream = served.connect();
    let request = format!("GET /api/v1/check HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    (stream, String::from_utf8_lossy(&head).to_lowercase())
}

#[test]
fn kept_connections_leave_room_for_others() {
    let served = Served::of(3);
    let all: Vec<(TcpStream, String)> = (0..64).map(|_| kept(&served)).collect();
    let begun = Instant::now();
    assert_eq!(served.get("/api/v1/status").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited: {:?}", begun.elapsed());
    let closed = all.iter().filter(|(_, head)| head.contains("connection: close")).count();
    assert!((10..=20).contains(&closed), "{closed}");
}

#[test]
fn a_connection_is_not_kept_for_ever_nor_for_a_stranger() {
    let served = impatient();
    let mut stream = served.connect();
    let request = format!("GET /api/v1/check HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    let begun = Instant::now();
    let mut sink = stream.try_clone().unwrap();
    let reads = std::thread::spawn(move || std::io::copy(&mut sink, &mut std::io::sink()));
    while stream.write_all(request.as_bytes()).is_ok() {
        assert!(begun.elapsed() < LONG, "it is kept for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(reads.join().unwrap());
    let options = Options::default().token("0123456789abcdef-secret");
    let guarded = Served::with(options, |dir| make_log(dir, 3));
    assert!(kept(&guarded).1.contains("connection: close"));
}
