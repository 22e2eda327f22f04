//! From a request to its answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use walden::{LogReader, Result as WalResult};

use super::browse::{Bounds, Needle, Page, Way, browse};
use super::guard::Guard;
use super::query::{Nonsense, Query, hex, number, quoted};
use super::reply::{Reply, failed, ok, refusal, reply, with};
use super::{facts, follow, limits, metrics, page as files, resume};
use crate::watch::Watch;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) watch: Watch,
    pub(super) guard: Guard,
    reads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(watch: Watch, guard: Guard) -> Self {
        let reads = Arc::new(Semaphore::new(limits::READS));
        let followers = Arc::new(Semaphore::new(limits::FOLLOWERS));
        Self { watch, guard, reads, followers }
    }
}

/// An answer, or a refusal that is one, too.
type Answer = Result<Reply, Box<Reply>>;

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    admitted(&shared, request).await.unwrap_or_else(|refusal| *refusal)
}

async fn admitted(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    shared.guard.admit(&head.method, &head.headers)?;
    let path = head.uri.path();
    if path == "/login" {
        return login(shared, &head.method, body).await;
    }
    if let Some(asset) = files::asset(path) {
        only(&head.method, &[Method::GET, Method::HEAD])?;
        return Ok(asset);
    }
    if !shared.guard.knows(&head.headers) {
        return Err(Box::new(files::stranger(path)));
    }
    let query = head.uri.query();
    if path == "/api/v1/check" && head.method == Method::POST {
        nonsense(Query::parse(query, &[]))?;
        return Ok(start_check(shared));
    }
    let allowed: &[Method] = match path {
        "/api/v1/check" => &[Method::GET, Method::HEAD, Method::POST],
        _ => &[Method::GET, Method::HEAD],
    };
    only(&head.method, allowed)?;
    if let Some(plain) = plain(shared, path, query) {
        return plain;
    }
    records(shared, path, query, &head.headers).await
}

fn only(method: &Method, allowed: &[Method]) -> Result<(), Box<Reply>> {
    if allowed.contains(method) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let why = format!("here there is only {names}");
    let refused = refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &why);
    let value = HeaderValue::from_str(&names).unwrap_or(HeaderValue::from_static("GET"));
    Err(Box::new(with(refused, ALLOW, value)))
}

fn nonsense<T>(outcome: Result<T, Nonsense>) -> Result<T, Box<Reply>> {
    outcome.map_err(|nonsense| Box::new(nonsense.into()))
}

/// Takes the token that a browser's form brings, and gives it back as a cookie that no script can read.
async fn login(shared: &Shared, method: &Method, body: Incoming) -> Answer {
    only(method, &[Method::POST])?;
    let body = timeout(limits::BODY_TIME, whole(body)).await.ok().flatten();
    let Some(body) = body else {
        let why = format!("a form of at most {} bytes is taken here", limits::BODY);
        return Err(Box::new(refusal(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", &why)));
    };
    let token = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let token = token.map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
    let home = HeaderValue::from_static("/");
    let back = with(reply(StatusCode::SEE_OTHER, "text/plain", ""), LOCATION, home);
    if shared.guard.token.is_none() {
        return Ok(back);
    }
    match HeaderValue::from_str(&shared.guard.set_cookie()) {
        Ok(cookie) if shared.guard.opens(&token) => Ok(with(back, SET_COOKIE, cookie)),
        _ => {
            // Whoever guesses is not to be quick about it.
            sleep(Duration::from_millis(500)).await;
            Err(Box::new(files::stranger("/")))
        }
    }
}

/// The body, if it is not too long.
async fn whole(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            if bytes.len().saturating_add(data.len()) > limits::BODY {
                return None;
            }
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes)
}

fn start_check(shared: &Shared) -> Reply {
    let started = shared.watch.start_check();
    let value = json!({ "started": started, "check": facts::check(&shared.watch.check()) });
    reply(StatusCode::ACCEPTED, "application/json", value.to_string())
}

/// What is known already, so that nothing is read for it.
fn plain(shared: &Shared, path: &str, query: Option<&str>) -> Option<Answer> {
    let watch = &shared.watch;
    let value =
        |value: &dyn Fn() -> Value| nonsense(Query::parse(query, &[])).map(|_| ok(&value()));
    Some(match path {
        "/" => Ok(files::index()),
        "/metrics" => nonsense(Query::parse(query, &[])).map(|_| metrics_reply(watch)),
        "/api/v1/status" => value(&|| facts::status(watch)),
        "/api/v1/cursors" => value(&|| facts::cursors(&watch.seen())),
        "/api/v1/recovery" => value(&|| facts::recovery(&watch.seen())),
        "/api/v1/check" => value(&|| facts::check(&watch.check())),
        "/api/v1/segments" => nonsense(segments(watch, query)),
        "/api/v1/history" => nonsense(history(watch, query)),
        _ => return None,
    })
}

fn metrics_reply(watch: &Watch) -> Reply {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::text(watch) {
        Ok(text) => reply(StatusCode::OK, kind, text),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "Metrics", "cannot be written"),
    }
}

fn segments(watch: &Watch, query: Option<&str>) -> Result<Reply, Nonsense> {
    let query = Query::parse(query, &["from", "limit"])?;
    let (most, usual) = limits::SEGMENTS;
    let from = query.number("from")?.unwrap_or(0);
    Ok(ok(&facts::segments(watch, from, query.within("limit", 1, most, usual)?)))
}

fn history(watch: &Watch, query: Option<&str>) -> Result<Reply, Nonsense> {
    let since = Query::parse(query, &["since_ms"])?.number("since_ms")?.unwrap_or(0);
    let mut samples = watch.samples();
    samples.retain(|sample| sample.at_ms > since);
    Ok(ok(&facts::history(&samples)))
}

async fn records(
    shared: &Arc<Shared>,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Answer {
    match path {
        "/api/v1/entries" => list(shared, query).await,
        "/api/v1/search" => search(shared, query).await,
        "/api/v1/seek" => seek(shared, query).await,
        "/api/v1/follow" => follow_log(shared, query, headers).await,
        _ => match path.strip_prefix("/api/v1/entries/") {
            Some(seq) => one(shared, seq, query).await,
            None => {
                let why = format!("there is nothing at {}", quoted(path));
                Err(Box::new(refusal(StatusCode::NOT_FOUND, "NotFound", &why)))
            }
        },
    }
}

/// Does what reads files on a thread for that, when it is its turn.
///
/// # Errors
/// It was not, for too long.
pub(super) async fn reading<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Box<Reply>> {
    let busy = || {
        let why = "too many requests read the log now; try again";
        Box::new(refusal(StatusCode::SERVICE_UNAVAILABLE, "Busy", why))
    };
    let turn = Arc::clone(&shared.reads).acquire_owned();
    let permit = timeout(limits::TURN, turn).await.ok().and_then(Result::ok).ok_or_else(busy)?;
    let done = spawn_blocking(move || {
        let value = work();
        drop(permit);
        value
    });
    done.await.map_err(|_| {
        let why = "reading ended without an answer";
        Box::new(refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal", why))
    })
}

/// Reads in the log.
async fn in_log<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&LogReader) -> WalResult<T> + Send + 'static,
) -> Result<T, Box<Reply>> {
    let watch = shared.watch.clone();
    let found = reading(shared, move || watch.log().and_then(|log| work(&log))).await?;
    found.map_err(|error| Box::new(failed(&error)))
}

fn way(query: &Query) -> Result<Way, Nonsense> {
    match (query.number("from")?, query.number("before")?) {
        (Some(_), Some(_)) => Err(Nonsense("`from` or `before`, and not both".to_owned())),
        (None, Some(before)) => Ok(Way::Before(before)),
        (from, None) => Ok(Way::From(from.unwrap_or(0))),
    }
}

async fn list(shared: &Shared, query: Option<&str>) -> Answer {
    let asked = || {
        let query = Query::parse(query, &["from", "before", "limit", "preview"])?;
        Ok((way(&query)?, sizes(&query)?))
    };
    let (way, (entries, preview)) = nonsense(asked())?;
    let bounds = limits::listing(entries, preview);
    page(shared, way, None, bounds).await
}

/// How many entries are given, and how much of each.
fn sizes(query: &Query) -> Result<(usize, usize), Nonsense> {
    let (entries, preview) = (limits::ENTRIES, limits::PREVIEW);
    Ok((
        query.within("limit", 1, entries.0, entries.1)?,
        query.within("preview", 0, preview.0, preview.1)?,
    ))
}

async fn search(shared: &Shared, query: Option<&str>) -> Answer {
    let asked = || {
        let known = ["text", "hex", "case", "from", "before", "limit", "preview"];
        let query = Query::parse(query, &known)?;
        let ignore_case = query.either("case", "exact", "ignore")?;
        let wanted = match (query.text("text"), query.text("hex")) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(digits)) => hex(digits)?,
            _ => return Err(Nonsense("`text` or `hex` says what to search for".to_owned())),
        };
        if wanted.is_empty() || wanted.len() > limits::NEEDLE {
            let why = format!("what to search for is of 1 to {} bytes", limits::NEEDLE);
            return Err(Nonsense(why));
        }
        Ok((Needle::new(&wanted, ignore_case), way(&query)?, sizes(&query)?))
    };
    let (needle, way, (entries, preview)) = nonsense(asked())?;
    let bounds = limits::search(entries, preview);
    page(shared, way, Some(needle), bounds).await
}

async fn page(shared: &Shared, way: Way, needle: Option<Needle>, bounds: Bounds) -> Answer {
    let watch = shared.watch.clone();
    let read = in_log(shared, move |log| {
        let page = browse(log, way, needle.as_ref(), &bounds)?;
        let resume = resume::behind(&watch, log, way, &page);
        Ok((page, resume, log.first_seq(), log.next_seq()))
    });
    let (page, resume, first, next) = read.await?;
    Ok(ok(&page_json(&page, resume, first, next)))
}

fn page_json(page: &Page, resume: Option<u64>, first: u64, next: u64) -> Value {
    let problem = page.problem.as_ref().map(|error| {
        let mut value = facts::problem(error);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("resume".to_owned(), resume.map_or(Value::Null, facts::seq));
        }
        value
    });
    json!({
        "entries": page.entries.iter().map(facts::entry).collect::<Vec<_>>(),
        "next": page.next.map_or(Value::Null, facts::seq),
        "scanned": page.scanned,
        "scanned_bytes": page.bytes,
        "problem": problem,
        "first_seq": facts::seq(first),
        "next_seq": facts::seq(next),
    })
}

async fn one(shared: &Shared, seq: &str, query: Option<&str>) -> Answer {
    let asked = || {
        let query = Query::parse(query, &["offset", "len"])?;
        let (most, usual) = limits::PAYLOAD;
        Ok((
            number("seq", seq)?,
            query.within("offset", 0, usize::MAX, 0)?,
            query.within("len", 0, most, usual)?,
        ))
    };
    let (seq, offset, len) = nonsense(asked())?;
    let found = in_log(shared, move |log| {
        log.refresh()?;
        Ok(log.get(seq)?.map(|entry| {
            let end = entry.payload.len().min(offset.saturating_add(len));
            let bytes = entry.payload.get(offset..end).unwrap_or_default();
            json!({
                "seq": facts::seq(entry.seq),
                "len": entry.payload.len(),
                "at": offset,
                "payload": STANDARD.encode(bytes),
                "utf8": std::str::from_utf8(&entry.payload).is_ok(),
            })
        }))
    });
    match found.await? {
        Some(entry) => Ok(ok(&entry)),
        None => {
            let why = format!("there is no entry {seq} yet");
            Err(Box::new(refusal(StatusCode::NOT_FOUND, "BeyondEnd", &why)))
        }
    }
}

async fn seek(shared: &Shared, query: Option<&str>) -> Answer {
    let asked = || {
        let query = Query::parse(query, &["time_ms"])?;
        let millis = query.number("time_ms")?;
        let time = millis.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        time.ok_or_else(|| Nonsense("`time_ms` is milliseconds since 1970".to_owned()))
    };
    let time = nonsense(asked())?;
    let seq = in_log(shared, move |log| {
        let mut reader = log.reader();
        reader.seek_time(time)?;
        Ok(reader.position())
    });
    Ok(ok(&json!({ "seq": facts::seq(seq.await?) })))
}

async fn follow_log(shared: &Arc<Shared>, query: Option<&str>, headers: &HeaderMap) -> Answer {
    let asked = || {
        let query = Query::parse(query, &["from", "preview"])?;
        let (most, usual) = limits::PREVIEW;
        Ok((query.number("from")?, query.within("preview", 0, most, usual)?))
    };
    let (from, preview) = nonsense(asked())?;
    // A browser that lost the connection goes on behind what it has.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.and_then(|id| id.parse::<u64>().ok()).and_then(|id| id.checked_add(1));
    let Ok(permit) = Arc::clone(&shared.followers).try_acquire_owned() else {
        let why = format!("{} follow the log already", limits::FOLLOWERS);
        return Err(Box::new(refusal(StatusCode::SERVICE_UNAVAILABLE, "Busy", &why)));
    };
    let log = in_log(shared, |log| Ok(log.clone())).await?;
    let begun = follow::follow(Arc::clone(shared), permit, log, after.or(from), preview);
    begun.map_err(|error| Box::new(failed(&error)))
}
