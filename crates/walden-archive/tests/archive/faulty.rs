//! A store in memory that fails as it is told, and counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use walden_archive::object_store::memory::InMemory;
use walden_archive::object_store::path::Path;
use walden_archive::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Put,
    Get,
    List,
    Remove,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens.
    Refused,
    /// It is done, and the connection is cut before the answer.
    AnswerLost,
    /// Half of an object is there under its name, and the answer is lost.
    Half,
    /// What is there is written over, whatever the condition.
    Overwrites,
    /// The request is still on its way, and arrives when the test lets it.
    Late,
    /// Nothing happens, and the answer is that of an object that is there: S3's `ConditionalRequestConflict`.
    Conflict,
}

type Rule = Box<dyn FnMut(u64, Op, &str) -> Option<Fault> + Send>;

/// A put that is on its way.
type OnItsWay = (Path, PutPayload, PutOptions);

pub(crate) struct Faulty {
    pub(crate) inner: InMemory,
    rule: Mutex<Option<Rule>>,
    calls: AtomicU64,
    late: Mutex<Vec<OnItsWay>>,
    /// Its clock is so far behind that of this machine.
    behind: Mutex<Duration>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn cut() -> Error {
    Error::Generic { store: "faulty", source: "connection reset by peer".into() }
}

/// The store in memory never waits for anything.
fn now<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("memory does not wait")
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            rule: Mutex::new(None),
            calls: AtomicU64::new(0),
            late: Mutex::new(Vec::new()),
            behind: Mutex::default(),
        })
    }

    /// From now on calls, counted from 0, fail as `rule` says.
    pub(crate) fn fail(&self, rule: impl FnMut(u64, Op, &str) -> Option<Fault> + Send + 'static) {
        self.calls.store(0, Ordering::SeqCst);
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    pub(crate) fn heal(&self) {
        *self.rule.lock().unwrap() = None;
        self.calls.store(0, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// From now on, when an object was made is told by a clock that is so far behind.
    pub(crate) fn be_behind(&self, by: Duration) {
        *self.behind.lock().unwrap() = by;
    }

    /// Lets what is on its way arrive.
    pub(crate) fn deliver(&self) -> usize {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        let arrived = late.len();
        for (path, payload, options) in late {
            drop(now(self.inner.put_opts(&path, payload, options)));
        }
        arrived
    }

    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let listed = self.inner.list(Some(&Path::from(prefix)));
        let mut names: Vec<String> =
            now(listed.map_ok(|meta| meta.location.to_string()).try_collect()).unwrap();
        names.sort();
        names
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let got = now(self.inner.get(&Path::from(name))).unwrap();
        now(got.bytes()).unwrap().to_vec()
    }

    pub(crate) fn set(&self, name: &str, bytes: Vec<u8>) {
        now(self.inner.put(&Path::from(name), bytes.into())).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        now(self.inner.delete(&Path::from(name))).unwrap();
    }

    fn fault(&self, op: Op, path: &Path) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.rule.lock().unwrap().as_mut().and_then(|rule| rule(call, op, path.as_ref()))
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.fault(Op::Put, path) {
            None => self.inner.put_opts(path, payload, options).await,
            Some(Fault::Refused) => Err(cut()),
            Some(Fault::AnswerLost) => {
                self.inner.put_opts(path, payload, options).await?;
                Err(cut())
            }
            Some(Fault::Half) => {
                let all: Vec<u8> = payload.iter().flatten().copied().collect();
                let half = PutPayload::from(all[..all.len() / 2].to_vec());
                self.inner.put_opts(path, half, PutMode::Create.into()).await?;
                Err(cut())
            }
            Some(Fault::Overwrites) => self.inner.put(path, payload).await,
            Some(Fault::Conflict) => Err(Error::AlreadyExists {
                path: path.to_string(),
                source: "ConditionalRequestConflict".into(),
            }),
            Some(Fault::Late) => {
                self.late.lock().unwrap().push((path.clone(), payload, options));
                Err(cut())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fault(Op::Get, path) {
            None => self.inner.get_opts(path, options).await,
            Some(_) => Err(cut()),
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.fault(Op::Remove, &Path::default()) {
            None => self.inner.delete_stream(paths),
            Some(Fault::AnswerLost) => {
                let all = self.inner.delete_stream(paths);
                all.map(|_| Err(cut())).boxed()
            }
            Some(_) => futures_util::stream::once(async { Err(cut()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault(Op::List, prefix.unwrap_or(&Path::default())) {
            None => {
                let behind = *self.behind.lock().unwrap();
                let told = move |mut meta: ObjectMeta| {
                    meta.last_modified -= behind;
                    meta
                };
                self.inner.list(prefix).map_ok(told).boxed()
            }
            Some(_) => futures_util::stream::once(async { Err(cut()) }).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault(Op::List, prefix.unwrap_or(&Path::default())) {
            None => self.inner.list_with_offset(prefix, offset),
            Some(_) => futures_util::stream::once(async { Err(cut()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
