//! What is seen of a log, and its records, over HTTP. Read-only.

mod browse;
mod facts;
mod follow;
mod guard;
mod limits;
mod metrics;
mod page;
mod query;
mod reply;
mod resume;
mod routes;
mod timed;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use self::guard::Guard;
use self::reply::{Reply, with};
use self::routes::Shared;
use self::timed::Timed;
use crate::watch::Watch;

/// How long to wait when the system gives no more connections.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How long those who are being served when it ends are waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where to serve, and to whom.
#[derive(Debug, Clone)]
pub struct Options {
    listen: SocketAddr,
    token: Option<String>,
    hosts: Vec<String>,
    patience: Duration,
}

impl Default for Options {
    /// On this machine alone, at any free port.
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, token: None, hosts: Vec::new(), patience: limits::PATIENCE }
    }
}

impl Options {
    /// The address to listen at. Any but a loopback address needs a [`token`](Self::token): the log's entries could
    /// be read by whoever reaches it.
    #[must_use]
    pub fn listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// What must be shown to be answered: at least 16 printable ASCII characters, without space, `;` and `,`.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// A name by which the server may be called, besides `localhost` and addresses: that of a proxy before it.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// How long a client may take to send a request's head, or to take what it is sent: 10 seconds if nothing is said.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn checked(self) -> io::Result<Self> {
        let invalid = |why: &str| Err(io::Error::new(ErrorKind::InvalidInput, why));
        match &self.token {
            None if !self.listen.ip().is_loopback() => invalid(
                "an address that others can reach needs a token: entries could be read by anybody",
            ),
            Some(token) if !is_token(token) => invalid(
                "a token is at least 16 printable ASCII characters, without space, `;`, `,`, `\"` and `\\`",
            ),
            _ => Ok(self),
        }
    }
}

/// What a cookie and a header can both hold, and what cannot be guessed at once.
fn is_token(token: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte);
    token.len() >= 16 && token.len() <= limits::BODY / 2 && token.bytes().all(fine)
}

/// Ends a server. Clones end the same one.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// Ends it, now or as soon as it begins.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// A server that has its port.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    patience: Duration,
}

impl Server {
    /// Takes the port. Nobody is answered before [`run`](Self::run).
    ///
    /// # Errors
    /// `InvalidInput` for options that are not safe; what the system says of the address.
    pub fn bind(watch: Watch, options: Options) -> io::Result<Self> {
        let Options { listen, token, hosts, patience } = options.checked()?;
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let guard = Guard::new(token, hosts, listener.local_addr()?.port())?;
        Ok(Self { listener, shared: Arc::new(Shared::new(watch, guard)), patience })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`. A log that is known to have up to 1 GiB is checked as a whole at the beginning, on a thread of
    /// its own.
    ///
    /// # Errors
    /// It cannot begin.
    pub fn run(self, stop: &Stop) -> io::Result<()> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        // Of a log that cannot be listed nobody knows how long it would take.
        let bytes = self.shared.watch.seen().known_bytes();
        if bytes.is_some_and(|bytes| bytes <= limits::CHECKED_AT_ONCE) {
            self.shared.watch.start_check();
        }
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(self.listener)?;
            serve(&listener, &self.shared, self.patience, stop).await;
            Ok(())
        });
        runtime.shutdown_timeout(FAREWELL);
        served
    }
}

async fn serve(listener: &TcpListener, shared: &Arc<Shared>, patience: Duration, stop: &Stop) {
    let mut stopped = pin!(stop.0.notified());
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let mut taken = pin!(take(listener, &places));
        let next = poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            taken.as_mut().poll(context).map(Some)
        });
        match next.await {
            None => return,
            Some(Some((stream, place))) => {
                let kept = Kept::new(Arc::clone(&places), patience);
                let served = connection(Arc::clone(shared), stream, kept);
                tokio::spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Some(None) => {}
        }
    }
}

/// The next connection, once there is a place for it.
async fn take(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            sleep(EXHAUSTED).await;
            None
        }
    }
}

/// How long a connection is kept for one request after another.
#[derive(Debug)]
struct Kept {
    places: Arc<Semaphore>,
    patience: Duration,
    begun: Instant,
    /// One after the other: it is an atomic for the sake of the server's threads, one of which has the connection at a
    /// time. `tests::a_connection_ends_behind_so_many_answers`.
    answered: AtomicU32,
}

impl Kept {
    fn new(places: Arc<Semaphore>, patience: Duration) -> Self {
        Self { places, patience, begun: Instant::now(), answered: AtomicU32::new(0) }
    }

    /// Whether it is closed behind an answer: after some time, for a stranger, and where others may have to wait.
    fn ends(&self, reply: &Reply) -> bool {
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        let stranger = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&reply.status());
        stranger
            || answered >= limits::KEPT_REQUESTS
            || self.begun.elapsed() >= self.patience * limits::KEPT_PATIENCES
            || self.places.available_permits() < limits::SPARE
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, kept: Kept) {
    // What is sent is small and waited for. A connection that takes no such wish serves as well.
    drop(stream.set_nodelay(true));
    let patience = kept.patience;
    let kept = &kept;
    let answer = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move {
            let reply = routes::answer(shared, request).await;
            Ok::<_, Infallible>(match kept.ends(&reply) {
                true => with(reply, CONNECTION, HeaderValue::from_static("close")),
                false => reply,
            })
        }
    });
    let io = TokioIo::new(Timed::new(stream, patience));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_header_size(limits::HEAD)
        .max_headers(limits::HEAD_LINES)
        .serve_connection(io, answer);
    // A client that goes, or sends what is no HTTP, is its own affair: nobody is there to be told.
    drop(served.await);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(listen: &str, token: Option<&str>) -> io::Result<Options> {
        let options = Options::default().listen(listen.parse().unwrap());
        match token {
            Some(token) => options.token(token).checked(),
            None => options.checked(),
        }
    }

    #[test]
    fn a_connection_ends_behind_so_many_answers() {
        let places = Arc::new(Semaphore::new(limits::SPARE));
        let kept = Kept::new(places, Duration::from_secs(3600));
        let reply = Reply::new(reply::Content::Whole(None));
        assert!((1..limits::KEPT_REQUESTS).all(|_| !kept.ends(&reply)));
        assert!(kept.ends(&reply) && kept.ends(&reply));
    }

    #[test]
    fn others_need_a_token() {
        for listen in ["127.0.0.1:0", "127.1.2.3:80", "[::1]:0"] {
            assert!(checked(listen, None).is_ok(), "{listen}");
        }
        for listen in ["0.0.0.0:0", "[::]:0", "10.0.0.1:80", "[::ffff:127.0.0.1]:0"] {
            assert_eq!(checked(listen, None).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert!(checked(listen, Some("0123456789abcdef")).is_ok());
        }
        for token in ["", "short", "0123456789abcde;", "0123456789 abcdef", "0123456789abcdefé"] {
            assert!(checked("0.0.0.0:0", Some(token)).is_err(), "{token}");
        }
    }
}
