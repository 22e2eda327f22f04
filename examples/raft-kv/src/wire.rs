//! HTTP requests, and bodies in MessagePack.

use std::time::Duration;

use axum::http::{Method, Request, Response, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;

/// The largest body that anybody takes.
pub(crate) const MOST: usize = 64 << 20;

const CONNECT: Duration = Duration::from_millis(500);

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const JSON: &str = "application/json";
pub(crate) const MESSAGE_PACK: &str = "application/vnd.msgpack";

/// Connections to servers, kept open.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Client<HttpConnector, Full<Bytes>>);

impl Default for Caller {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl Caller {
    /// Sends one request. The whole answer, of any status.
    pub(crate) async fn call(
        &self,
        method: Method,
        addr: &str,
        path: &str,
        (kind, body): (&'static str, Bytes),
        timeout: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        let uri = Uri::builder().scheme("http").authority(addr).path_and_query(path).build()?;
        let request = Request::builder().method(method).uri(uri);
        let request = request.header(header::CONTENT_TYPE, kind).body(Full::new(body))?;
        let exchange = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = Limited::new(body, MOST).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(timeout, exchange).await?
    }
}

/// Whether there was no connection, so that nothing was sent.
pub(crate) fn is_connect(error: &Failure) -> bool {
    let error = error.downcast_ref::<hyper_util::client::legacy::Error>();
    error.is_some_and(hyper_util::client::legacy::Error::is_connect)
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, Failure> {
    Ok(rmp_serde::to_vec_named(value)?.into())
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    Ok(rmp_serde::from_slice(bytes)?)
}
