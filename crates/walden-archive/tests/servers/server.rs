//! The servers: found where `.ci/run` installs them, started on a port of their choice, with a bucket named `walden`,
//! ended with the last test that uses them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Azurite's own account, which everybody knows.
#[cfg(feature = "azure")]
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
#[cfg(feature = "azure")]
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Server {
    /// A shell that kills the server once nobody holds its input any more, however the test ends.
    shell: Child,
    pub(crate) port: u16,
    /// Of the user that may use the bucket: a key's id and its secret.
    #[cfg(feature = "s3")]
    pub(crate) credentials: [String; 2],
    _data: tempfile::TempDir,
}

/// One that some tests may be using.
type Shared = Mutex<Weak<Server>>;

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

impl Server {
    /// moto's S3, which checks signatures; `None` where it is not installed, which is told.
    #[cfg(feature = "s3")]
    pub(crate) fn s3() -> Option<Arc<Self>> {
        static MOTO: Shared = Mutex::new(Weak::new());
        shared(&MOTO, || {
            let programs = servers().join("moto/bin");
            let mut moto = Command::new(programs.join("moto_server"));
            moto.args(["-H", "127.0.0.1", "-p", "0"]);
            let mut server = Self::start(&moto, &programs.join("moto_server"))?;
            let told =
                prepare(programs.join("python"), "prepare_s3.py", &[&server.port.to_string()]);
            let (id, secret) = told.trim().split_once(' ').unwrap();
            server.credentials = [id.into(), secret.into()];
            Some(server)
        })
    }

    /// Azurite; `None` where it is not installed, which is told.
    #[cfg(feature = "azure")]
    pub(crate) fn azure() -> Option<Arc<Self>> {
        static AZURITE: Shared = Mutex::new(Weak::new());
        shared(&AZURITE, || {
            let program = servers().join("node_modules/azurite/dist/src/blob/main.js");
            let mut azurite = Command::new("node");
            azurite.arg(&program).args(["--blobHost", "127.0.0.1", "--blobPort", "0"]);
            azurite.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]);
            let server = Self::start(&azurite, &program)?;
            prepare(
                "python3".into(),
                "prepare_azure.py",
                &[&server.port.to_string(), ACCOUNT, KEY],
            );
            Some(server)
        })
    }

    fn start(command: &Command, program: &Path) -> Option<Self> {
        if !program.exists() {
            skip(&format!("{} is not there; .ci/run installs it", program.display()));
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let told = data.path().join("told");
        let out = File::create(&told).unwrap();
        let shell = Command::new("sh")
            .args(["-c", "\"$@\" </dev/null & read -r _; kill -9 $!; wait", "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(data.path())
            .stdin(Stdio::piped())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .unwrap();
        let mut server = Self {
            shell,
            port: 0,
            #[cfg(feature = "s3")]
            credentials: Default::default(),
            _data: data,
        };
        let begun = Instant::now();
        loop {
            let said = String::from_utf8_lossy(&fs::read(&told).unwrap()).into_owned();
            if let Some(port) = port_in(&said) {
                server.port = port;
                return Some(server);
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not begin: {said}", program.display());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The port in a line that a server says once it listens.
fn port_in(said: &str) -> Option<u16> {
    let (_, behind) = said.split_once("http://127.0.0.1:")?;
    // The line is whole.
    behind.split_once('\n')?.0.trim().parse().ok()
}

/// The one that is running, or a new one.
fn shared(place: &Shared, start: impl FnOnce() -> Option<Server>) -> Option<Arc<Server>> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = place.upgrade() {
        return Some(running);
    }
    let server = Arc::new(start()?);
    *place = Arc::downgrade(&server);
    Some(server)
}

/// Where `.ci/run` installs them.
fn servers() -> PathBuf {
    let given = std::env::var_os("WALDEN_ARCHIVE_SERVERS").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    given.unwrap_or_else(|| home().join(".cache/walden-archive"))
}

/// Makes the bucket. Returns what was told.
fn prepare(python: PathBuf, script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(script);
    let ran = Command::new(python).arg(script).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Passes, and says why; fails where nothing may be skipped, unless `.ci/run` could not reach who has the servers.
fn skip(reason: &str) {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| value == "1");
    let strict = is_set("WALDEN_NO_SKIP") && !is_set("WALDEN_UNREACHABLE");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}
