//! A child process that writes, and what it told.

use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::event::Event;

/// A running child.
#[derive(Debug)]
pub(crate) struct Writer {
    child: Child,
    told: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    errors: JoinHandle<String>,
}

/// What is left of a child.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) told: Vec<u8>,
    /// What it wrote to its standard error.
    pub(crate) errors: String,
}

impl Writer {
    /// This program again, with these arguments.
    pub(crate) fn spawn(args: &[String]) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdout = child.stdout.take().ok_or("the child has no output")?;
        let mut stderr = child.stderr.take().ok_or("the child has no error output")?;
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        let reader = std::thread::spawn(move || {
            let mut buf = [0; 16 << 10];
            while let Ok(count @ 1..) = stdout.read(&mut buf) {
                let Ok(mut told) = into.lock() else { return };
                told.extend(buf.iter().take(count));
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            drop(stderr.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { child, told, reader, errors })
    }

    /// Bytes of messages that have arrived. While `then` runs, none is counted in.
    pub(crate) fn told_before(&self, then: impl FnOnce() -> Outcome<()>) -> Outcome<usize> {
        let told = self.told.lock().map_err(|_| "the reading thread panicked")?;
        let len = told.len();
        then()?;
        drop(told);
        Ok(len)
    }

    /// What it has told so far.
    pub(crate) fn events(&self) -> Outcome<Vec<Event>> {
        Event::all(&self.told.lock().map_err(|_| "the reading thread panicked")?)
    }

    /// Waits for its first message, or its end.
    pub(crate) fn tells_within(&mut self, limit: Duration) -> Outcome<()> {
        let begun = Instant::now();
        while self.told_before(|| Ok(()))? == 0 && self.child.try_wait()?.is_none() {
            if begun.elapsed() > limit {
                return Err("the child does not begin".into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Whether it ended by itself in time.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> Outcome<bool> {
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > limit {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// `kill -9`, and everything that it told.
    pub(crate) fn kill(mut self) -> Outcome<Ended> {
        self.child.kill()?;
        let status = self.child.wait()?;
        self.reader.join().map_err(|_| "the reading thread panicked")?;
        let errors = self.errors.join().map_err(|_| "the reading thread panicked")?;
        let mut told = self.told.lock().map_err(|_| "the reading thread panicked")?;
        Ok(Ended { status, told: std::mem::take(&mut told), errors })
    }
}

impl Ended {
    pub(crate) fn events(&self) -> Outcome<Vec<Event>> {
        Event::all(&self.told)
    }
}
