//! The bucket as this crate uses it: objects that are made once and read whole, with tries, pauses and a
//! bandwidth limit, from any thread.
//!
//! The store's calls run on a thread of their own, so that callers may be anywhere, in an async task too; they wait.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Runtime;

use crate::error::{Error, ErrorKind, Result};
use crate::options::StoreOptions;

/// What became of an object that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Made,
    /// There is one of this name: another's, or our own of a try whose answer was lost.
    WasThere,
}

/// An object as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Below the archive's prefix.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// When it was made, by the store's clock, in microseconds since 1970.
    pub(crate) micros: u64,
}

/// The objects below one prefix. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    options: StoreOptions,
    limit: Mutex<Limit>,
    /// Taken at the end, since a runtime must not be waited for in another one's task.
    runtime: Option<Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("objects", &self.shared.objects)
            .field("prefix", &self.shared.prefix)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// # Errors
    /// `InvalidInput`; `Store` where no thread could be made.
    pub(crate) fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: Path,
        options: StoreOptions,
    ) -> Result<Self> {
        options.check()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("walden-archive")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Store, format!("no thread for the store: {error}"))
            })?;
        let limit = Mutex::new(Limit::new(options.bytes_per_second));
        let runtime = Some(runtime);
        Ok(Self { shared: Arc::new(Shared { objects, prefix, options, limit, runtime }) })
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.shared.objects, self.shared.prefix)
    }

    /// Runs `work` on the store's thread and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let ended = || Error::new(ErrorKind::Store, "the store's thread ended early");
        let runtime = self.shared.runtime.as_ref().ok_or_else(ended)?;
        let (tell, told) = mpsc::sync_channel(1);
        runtime.spawn(async move { drop(tell.send(work.await)) });
        told.recv().map_err(|_| ended())?
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.shared.prefix.clone(), |path, part| path.join(part))
    }

    /// Makes an object, if there is none of this name.
    pub(crate) async fn put_new(&self, name: &str, bytes: Bytes) -> Result<Made> {
        self.put(name, bytes, PutMode::Create).await
    }

    /// Makes an object in the place of one of this name.
    pub(crate) async fn put_again(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.put(name, bytes, PutMode::Overwrite).await.map(drop)
    }

    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<Made> {
        let len = size(bytes.len());
        let path = self.path(name);
        let mut pauses = Pauses::new(&self.shared.options);
        loop {
            self.wait_turn(len).await;
            let payload = PutPayload::from_bytes(bytes.clone());
            match self.shared.objects.put_opts(&path, payload, mode.clone().into()).await {
                Ok(_) => return Ok(Made::Made),
                // Some stores say of a condition that is not met the one, some the other.
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                    return Ok(Made::WasThere);
                }
                Err(error) => pauses.wait_or(error, "write", name).await?,
            }
        }
    }

    /// All of an object; `None` where there is none. One of more than `most` bytes is no object of ours.
    pub(crate) async fn read(&self, name: &str, most: u64) -> Result<Option<Bytes>> {
        let path = self.path(name);
        let mut pauses = Pauses::new(&self.shared.options);
        loop {
            let read = async {
                let mut stream = self.shared.objects.get(&path).await?.into_stream();
                let mut all = Vec::new();
                while let Some(part) = stream.try_next().await? {
                    if size(all.len()) + size(part.len()) > most {
                        return Ok::<_, StoreError>(None);
                    }
                    all.extend_from_slice(&part);
                }
                Ok(Some(all))
            };
            match read.await {
                Ok(Some(all)) => {
                    self.wait_turn(size(all.len())).await;
                    return Ok(Some(Bytes::from(all)));
                }
                Ok(None) => {
                    let what = format!("it has more than the {most} bytes that it should have");
                    return Err(Error::corrupt(what).object(name));
                }
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) => pauses.wait_or(error, "read", name).await?,
            }
        }
    }

    /// The objects in a folder (`chunks`, say), or those whose name comes behind `after`.
    pub(crate) async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        let path = self.path(folder);
        let after = after.map(|name| self.path(name));
        let mut pauses = Pauses::new(&self.shared.options);
        loop {
            let objects = match &after {
                Some(after) => self.shared.objects.list_with_offset(Some(&path), after),
                None => self.shared.objects.list(Some(&path)),
            };
            let named = objects.map_ok(|meta| Listed {
                name: format!("{folder}/{}", meta.location.filename().unwrap_or_default()),
                bytes: meta.size,
                micros: u64::try_from(meta.last_modified.timestamp_micros()).unwrap_or(0),
            });
            match named.try_collect::<Vec<_>>().await {
                Ok(mut all) => {
                    // Not every store begins where it is asked to, or keeps the order of names.
                    let behind = after.as_ref().and_then(Path::filename).unwrap_or_default();
                    all.retain(|one| one.name.rsplit('/').next().is_some_and(|name| name > behind));
                    all.sort_by(|a, b| a.name.cmp(&b.name));
                    return Ok(all);
                }
                // A folder that is not there yet.
                Err(StoreError::NotFound { source, .. }) if !is_bucket(&source.to_string()) => {
                    return Ok(Vec::new());
                }
                Err(error) => pauses.wait_or(error, "list", folder).await?,
            }
        }
    }

    /// Removes objects; one that is gone already is fine.
    pub(crate) async fn remove(&self, names: &[String]) -> Result<()> {
        let mut pauses = Pauses::new(&self.shared.options);
        let paths: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        loop {
            let asked = futures_util::stream::iter(paths.clone().into_iter().map(Ok)).boxed();
            let mut told = self.shared.objects.delete_stream(asked);
            let mut failed = None;
            while let Some(one) = told.next().await {
                match one {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => failed = Some(error),
                }
            }
            match failed {
                None => return Ok(()),
                Some(error) => {
                    pauses
                        .wait_or(error, "remove", names.first().map_or("", String::as_str))
                        .await?;
                }
            }
        }
    }

    async fn wait_turn(&self, bytes: u64) {
        let wait = {
            let mut limit = self.shared.limit.lock().unwrap_or_else(PoisonError::into_inner);
            limit.take(bytes, Instant::now())
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// The pauses between tries of one request.
struct Pauses<'a> {
    options: &'a StoreOptions,
    tried: u32,
}

impl<'a> Pauses<'a> {
    const fn new(options: &'a StoreOptions) -> Self {
        Self { options, tried: 0 }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The failure, where another try would be of no use or was the last.
    async fn wait_or(&mut self, error: StoreError, doing: &str, name: &str) -> Result<()> {
        self.tried += 1;
        let said = error.to_string();
        // Of lists, stores give the status in words alone.
        let status = status_in(&said);
        let kind = match &error {
            _ if matches!(status, Some(401 | 403)) => Some(ErrorKind::Store),
            _ if is_bucket(&said) => Some(ErrorKind::NotFound),
            StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => {
                Some(ErrorKind::Unsupported)
            }
            StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::InvalidPath { .. }
            | StoreError::UnknownConfigurationKey { .. } => Some(ErrorKind::Store),
            // What is read may be missing; what is written or listed lacks its bucket.
            StoreError::NotFound { .. } => Some(ErrorKind::NotFound),
            _ => (self.tried >= self.options.tries).then_some(ErrorKind::Store),
        };
        if let Some(kind) = kind {
            let tries =
                if self.tried > 1 { format!(", {} times", self.tried) } else { String::new() };
            let what = format!("cannot {doing}{tries}: {}", in_short(&said));
            let failed = Error::new(kind, what).object(name);
            let failed = match advice(&said, status) {
                Some(advice) => failed.advice(advice),
                None => failed,
            };
            return Err(failed.caused_by(error));
        }
        tokio::time::sleep(self.pause(chance())).await;
        Ok(())
    }

    /// From a half to the whole of the pause, by a number from 0 to 255.
    fn pause(&self, chance: u8) -> Duration {
        let doubled = self.options.pause.saturating_mul(1_u32 << (self.tried - 1).min(20));
        let whole = doubled.min(self.options.longest_pause);
        whole / 2 + whole.saturating_mul(u32::from(chance)) / 512
    }
}

/// The most characters of a store's words that are repeated.
const MOST_SAID: usize = 600;

/// What a store said, in one line: it may be a page.
fn in_short(said: &str) -> String {
    let mut short = String::new();
    for word in said.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            short.push_str(if short.is_empty() { "" } else { " " });
            short.push_str(word);
        }
        if let Some((end, _)) = short.char_indices().nth(MOST_SAID) {
            short.truncate(end);
            short.push('…');
            break;
        }
    }
    short
}

/// The status of an answer, in what is said of it.
fn status_in(said: &str) -> Option<u16> {
    let (_, behind) = said.split_once("status code: ")?;
    behind.get(..3)?.parse().ok()
}

/// Whether it is the bucket that is missing, by the words of S3, Google Cloud Storage and Azure.
fn is_bucket(said: &str) -> bool {
    said.contains("NoSuchBucket") || said.contains("ContainerNotFound")
}

/// What to do about a failure, as far as the store's words tell.
fn advice(said: &str, status: Option<u16>) -> Option<&'static str> {
    // S3 has the one, Azure the other.
    if said.contains("RequestTimeTooSkewed") || said.contains("date header too old") {
        return Some("the clocks of this machine and of the store differ too much: set this one");
    }
    if is_bucket(said) {
        return Some("make the bucket first, or correct its name: it is not made here");
    }
    matches!(status, Some(401 | 403))
        .then_some("check the credentials that the store is given, and what they may do there")
}

fn chance() -> u8 {
    let mut byte = [0];
    match getrandom::fill(&mut byte) {
        Ok(()) => u8::from_le_bytes(byte),
        // Without chance, the pause is its half.
        Err(_) => 0,
    }
}

/// Bytes that may pass, by time.
#[derive(Debug)]
struct Limit {
    rate: Option<u64>,
    /// When all that was let through has passed at this rate.
    free_at: Option<Instant>,
}

impl Limit {
    const fn new(rate: Option<u64>) -> Self {
        Self { rate, free_at: None }
    }

    /// How long to wait before so many bytes more are sent.
    fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let begin = self.free_at.map_or(now, |at| at.max(now));
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
        let takes = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.free_at = begin.checked_add(takes);
        begin.duration_since(now)
    }
}

pub(crate) fn size(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_spreads_what_passes() {
        let now = Instant::now();
        let mut limit = Limit::new(Some(1_000));
        assert_eq!(limit.take(500, now), Duration::ZERO);
        assert_eq!(limit.take(2_000, now), Duration::from_millis(500));
        assert_eq!(limit.take(1, now + Duration::from_secs(1)), Duration::from_millis(1_500));
        assert_eq!(limit.take(1, now + Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(Limit::new(None).take(u64::MAX, now), Duration::ZERO);
    }

    #[test]
    fn what_a_store_says_is_one_short_line() {
        assert_eq!(in_short("<Error>\r\n  <Code>A\tB\0C</Code>\n"), "<Error> <Code>A B C</Code>");
        let page = "ü".repeat(100_000);
        assert_eq!(in_short(&page).chars().count(), MOST_SAID + 1);
        assert_eq!(in_short(&"word\n".repeat(10_000)).chars().count(), MOST_SAID + 1);
        assert_eq!(status_in("non-2xx status code: 403 Forbidden: <Error>"), Some(403));
        assert_eq!((status_in("status code: 4ü3"), status_in("status code: 4")), (None, None));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let options =
            StoreOptions::default().pauses(Duration::from_secs(1), Duration::from_secs(5));
        let pause = |tried, chance| Pauses { options: &options, tried }.pause(chance);
        assert_eq!(pause(1, 0), Duration::from_millis(500));
        assert_eq!(pause(2, 0), Duration::from_secs(1));
        assert_eq!(pause(9, 0), Duration::from_millis(2_500));
        assert!(pause(40, 255) < Duration::from_secs(5));
    }
}
