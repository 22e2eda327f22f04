//! Answers: their bodies, and the headers that all of them have.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use walden::{Error, ErrorKind};

use super::query::Nonsense;

pub(super) type Reply = Response<Content>;

/// Only what this server sends itself may run, be shown or be asked: nothing inline, nothing from outside.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What an answer consists of.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Option<Bytes>),
    /// Piece by piece, as it comes.
    Stream(Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Stream(receiver) => receiver.poll_recv(context),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let len = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(len).unwrap_or(u64::MAX))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer of one piece.
pub(super) fn reply(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Reply {
    dressed(status, kind, Content::Whole(Some(bytes.into())))
}

/// An answer that goes on for as long as there is news.
pub(super) fn stream(receiver: Receiver<Bytes>) -> Reply {
    dressed(StatusCode::OK, "text/event-stream", Content::Stream(receiver))
}

fn dressed(status: StatusCode, kind: &'static str, content: Content) -> Reply {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    let corp = HeaderName::from_static("cross-origin-resource-policy");
    let coop = HeaderName::from_static("cross-origin-opener-policy");
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers then hide where the form with the token comes from, from us, too.
        (REFERRER_POLICY, "same-origin"),
        (corp, "same-origin"),
        (coop, "same-origin"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

pub(super) fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}

pub(super) fn ok(value: &Value) -> Reply {
    reply(StatusCode::OK, "application/json", value.to_string())
}

/// A refusal, in words.
pub(super) fn refusal(status: StatusCode, kind: &str, message: &str) -> Reply {
    let error = json!({ "error": { "kind": kind, "message": message } });
    reply(status, "application/json", error.to_string())
}

impl From<Nonsense> for Reply {
    fn from(Nonsense(why): Nonsense) -> Self {
        refusal(StatusCode::BAD_REQUEST, "BadRequest", &why)
    }
}

/// What reading the log found.
pub(super) fn failed(error: &Error) -> Reply {
    let status = match error.kind() {
        ErrorKind::NotFound | ErrorKind::BeyondEnd => StatusCode::NOT_FOUND,
        ErrorKind::Removed | ErrorKind::Truncated | ErrorKind::Lost => StatusCode::GONE,
        ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error = json!({ "error": super::facts::problem(error) });
    reply(status, "application/json", error.to_string())
}
