//! What is between an archiver and a server: passes connections on, and does with some of them what it is told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const ERROR: &str =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const BUSY: &str =
    "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nRetry-After: 0\r\nConnection: close\r\n\r\n";

/// How long nothing comes, where nothing comes: longer than whoever waits for it.
const SILENCE: Duration = Duration::from_secs(5);
/// Before each piece of a slow connection.
const SLOWNESS: Duration = Duration::from_millis(20);

/// What is done with connections.
#[derive(Clone, Copy)]
pub(crate) enum Weather {
    /// Some are cut at any byte, some are answered with an error, some are slow, some never answered; by this seed.
    Bad(u64),
    /// All get this answer.
    Answers(&'static str),
}

pub(crate) struct Network {
    pub(crate) port: u16,
    faults: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Network {
    /// To a server on this machine.
    pub(crate) fn to(server: u16, weather: Weather) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (faults, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&faults), Arc::clone(&ended));
        thread::spawn(move || {
            let mut chance = if let Weather::Bad(seed) = weather { seed } else { 0 };
            for client in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let connection = Connection {
                    server,
                    weather,
                    faults: Arc::clone(&count),
                    chance: next(&mut chance),
                };
                thread::spawn(move || connection.serve(client));
            }
        });
        Self { port, faults, ended }
    }

    /// Connections that were failed.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // One more, so that it is noticed.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

struct Connection {
    server: u16,
    weather: Weather,
    faults: Arc<AtomicU64>,
    chance: u64,
}

/// One direction of a connection.
struct Way {
    from: TcpStream,
    to: TcpStream,
    /// It is cut after so many bytes.
    most: u64,
    pause: Duration,
    /// What comes is taken, and not passed on.
    swallows: bool,
    faults: Arc<AtomicU64>,
}

impl Connection {
    fn serve(self, client: TcpStream) {
        match self.weather {
            Weather::Answers(answer) => self.answer(client, answer),
            Weather::Bad(_) => self.fail(client),
        }
    }

    fn fail(self, client: TcpStream) {
        // No connection lives for long: an object or two, or a few answers.
        let after = self.chance / 16 % 100_000;
        match self.chance % 16 {
            0 => self.answer(client, ERROR),
            1 => self.answer(client, BUSY),
            // It is done, and nobody is told.
            2 => self.pass(client, [u64::MAX; 2], Duration::ZERO, true),
            3 | 4 => self.pass(client, [after, u64::MAX], SLOWNESS, false),
            // Cut on the way there, in an object perhaps; or on the way back, in an answer or before it.
            5..=10 => self.pass(client, [after, u64::MAX], Duration::ZERO, false),
            _ => self.pass(client, [u64::MAX, after / 32], Duration::ZERO, false),
        }
    }

    fn fault(&self) {
        self.faults.fetch_add(1, Ordering::SeqCst);
    }

    fn answer(&self, mut client: TcpStream, answer: &str) {
        self.fault();
        drop(client.read(&mut [0; 4096]));
        drop(client.write_all(answer.as_bytes()));
    }

    fn pass(&self, client: TcpStream, most: [u64; 2], pause: Duration, swallows: bool) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else { return };
        if swallows || !pause.is_zero() {
            self.fault();
        }
        drop(server.set_read_timeout(Some(SILENCE)));
        let ends =
            [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())];
        let ways = ends.into_iter().zip(most).zip([false, swallows]);
        let passing = ways.filter_map(|(((from, to), most), swallows)| {
            let (from, to, faults) = (from.ok()?, to.ok()?, Arc::clone(&self.faults));
            let way = Way { from, to, most, pause, swallows, faults };
            Some(thread::spawn(move || way.go()))
        });
        for one in passing.collect::<Vec<_>>() {
            drop(one.join());
        }
    }
}

impl Way {
    fn go(mut self) {
        let mut passed = 0;
        let mut buffer = [0; 16 << 10];
        while let Ok(got @ 1..) = self.from.read(&mut buffer) {
            passed += u64::try_from(got).unwrap();
            let part = buffer.get(..got).unwrap_or_default();
            if passed > self.most {
                self.faults.fetch_add(1, Ordering::SeqCst);
                drop(self.to.write_all(part.get(..got / 2).unwrap_or_default()));
                break;
            }
            thread::sleep(self.pause);
            if !self.swallows && self.to.write_all(part).is_err() {
                break;
            }
        }
        drop(self.from.shutdown(Shutdown::Both));
        drop(self.to.shutdown(Shutdown::Both));
    }
}
