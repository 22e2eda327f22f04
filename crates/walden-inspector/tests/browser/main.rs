//! The page in a real browser: headless Chromium, driven by `run.mjs`, over a log of ten million entries that is
//! written to, and a damaged one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use walden::{Config, Mode, Start, Wal};
use walden_inspector::Watch;
use walden_inspector::serve::{Options, Server, Stop};

const ENTRIES: u64 = 10_000_000;
const BATCH: u64 = 10_000;
const NEEDLE: u64 = 7_777_777;
const TOKEN: &str = "a-token-for-the-browser";

/// Payloads that would do harm if they were taken for more than bytes. Each has the word that is searched for.
const HOSTILE: [&[u8]; 4] = [
    b"hostile <script>window.hit = 1</script><img src=x onerror='window.hit = 2'>",
    b"hostile \x1b]0;title\x07\x1b[2J\r\x08 \x00",
    b"hostile \xff\xfe\xc0\x80 \xed\xa0\x80",
    b"hostile \xe2\x80\xae dlrow \xe2\x81\xa6 \xe2\x80\x8b \xe2\x80\xa8 end",
];

#[test]
fn the_page_in_a_browser() {
    let (modules, chromium) = match tools() {
        Ok(found) => found,
        Err(reason) => return skip(&reason),
    };
    let dir = tempfile::tempdir().unwrap();
    let (big, damaged) = (dir.path().join("orders"), dir.path().join("damaged"));
    let wal = make_big(&big);
    make_damaged(&damaged);
    let (watched, token) = (Options::default(), Options::default().token(TOKEN));
    let servers = [
        Served::start(&big, watched.clone()),
        Served::start(&damaged, watched),
        Served::start(&big, token),
    ];
    let writer = Writer::start(wal);
    let [big, damaged, guarded] = servers.each_ref().map(|served| served.url.clone());
    let given = json!({
        "modules": modules,
        "chromium": chromium,
        "screenshots": std::env::var("WALDEN_SCREENSHOTS").ok(),
        "big": big,
        "damaged": damaged,
        "guarded": guarded,
        "token": TOKEN,
        "entries": ENTRIES,
        "needle": NEEDLE,
        "hostile": (ENTRIES + 1..).take(HOSTILE.len()).collect::<Vec<u64>>(),
        "json": ENTRIES + 1 + HOSTILE.len() as u64,
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/run.mjs");
    let ran = Command::new("node").arg(script).arg(given.to_string()).output().unwrap();
    drop(writer);
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{out}");
    assert!(ran.status.success(), "{out}\n{err}");
}

fn make_big(dir: &Path) -> Wal {
    let wal = Wal::open(dir, Config::background().segment_size(8 << 20)).unwrap();
    for batch in 0..ENTRIES / BATCH {
        let seqs = batch * BATCH + 1..=(batch + 1) * BATCH;
        let entries = seqs.map(|seq| match seq {
            NEEDLE => format!("needle-{seq}"),
            _ => format!("order {seq} paid"),
        });
        wal.append_batch(entries).unwrap();
    }
    for payload in HOSTILE {
        wal.append(payload).unwrap();
    }
    wal.append(
        r#"{"id":12345678901234567890,"lines":[{"sku":"a-1","n":2}],"note":"<b>","none":[]}"#,
    )
    .unwrap();
    wal.sync().unwrap();
    for (name, at) in [("billing", ENTRIES - 1200), ("mailer", ENTRIES / 2), ("search", ENTRIES)] {
        drop(wal.cursor(name, Start::At(at)).unwrap());
    }
    wal
}

fn make_damaged(dir: &Path) {
    let config = Config::os_cache().mode(Mode::Debug).segment_size(16 << 10);
    let wal = Wal::open(dir, config).unwrap();
    for seq in 1..=2000 {
        wal.append(format!("entry {seq} of a log that was damaged")).unwrap();
    }
    wal.close().unwrap();
    for segment in [0, 3] {
        let path = dir.join(format!("segment-{segment:04}.wal"));
        let mut bytes = fs::read(&path).unwrap();
        // In the third record.
        bytes.iter_mut().skip(180).take(8).for_each(|byte| *byte ^= 0x55);
        fs::write(path, bytes).unwrap();
    }
}

struct Served {
    url: String,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start(dir: &Path, options: Options) -> Self {
        let watch = Watch::open(dir, "segment").unwrap();
        let server = Server::bind(watch.clone(), options).unwrap();
        let url = format!("http://{}/", server.local_addr().unwrap());
        let stop = Stop::default();
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            let looking = watch.keep_looking(Duration::from_secs(1)).unwrap();
            server.run(&flag).unwrap();
            drop(looking);
        });
        Self { url, stop, thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

/// Appends for as long as it lives.
struct Writer {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(wal: Wal) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut n = 0;
            while !flag.load(Ordering::Acquire) {
                n += 1;
                wal.append(format!("live {n}: order shipped")).unwrap();
                wal.flush().unwrap();
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Where the Node modules and the browser are, or what is missing. The gate installs them.
fn tools() -> Result<(PathBuf, PathBuf), String> {
    let node = Command::new("node").arg("--version").output();
    if !node.is_ok_and(|ran| ran.status.success()) {
        return Err("node is not here".to_owned());
    }
    let given = std::env::var_os("WALDEN_BROWSER_MODULES").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let modules = given.unwrap_or_else(|| home.join(".cache/walden-browser"));
    for module in ["playwright-core", "axe-core"] {
        if !modules.join("node_modules").join(module).is_dir() {
            return Err(format!("npm has not put {module} into {}", modules.display()));
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let chromium = std::env::split_paths(&path)
        .flat_map(|dir| ["chromium", "chromium-browser"].map(|name| dir.join(name)))
        .find(|path| path.is_file());
    chromium.map(|chromium| (modules, chromium)).ok_or_else(|| "chromium is not here".to_owned())
}

/// Passes, and says why; fails where nothing may be skipped.
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn skip(reason: &str) {
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}
