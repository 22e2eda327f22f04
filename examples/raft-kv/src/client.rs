//! A client that looks for the leader.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use bytes::Bytes;

use crate::Failure;
use crate::wire::{self, Caller};

const NOTHING: (&str, Bytes) = (wire::TEXT, Bytes::new());

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<T> {
    /// It was done.
    Done(T),
    /// It may have been done, or be done yet.
    Unknown(String),
    /// It was not done.
    NotDone(String),
}

/// Speaks to whichever node leads. Clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    caller: Caller,
    nodes: Vec<String>,
    /// Whom to ask first.
    next: usize,
    leader: Option<String>,
    timeout: Duration,
}

impl Client {
    /// A client of the cluster that these nodes are of.
    #[must_use]
    pub fn new(nodes: Vec<String>) -> Self {
        let timeout = Duration::from_secs(3);
        Self { caller: Caller::default(), nodes, next: 0, leader: None, timeout }
    }

    /// Waits for an answer no longer than this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets a key. Not tried again once it may have been done.
    pub async fn set(&mut self, key: &str, value: &str) -> Answer<()> {
        let body = (wire::TEXT, Bytes::copy_from_slice(value.as_bytes()));
        match self.ask(Method::PUT, &format!("/kv/{key}"), body).await {
            Answer::Done((StatusCode::NO_CONTENT, _)) => Answer::Done(()),
            Answer::Done((_, why)) | Answer::Unknown(why) => Answer::Unknown(why),
            Answer::NotDone(why) => Answer::NotDone(why),
        }
    }

    /// A key's value, as of some moment between the call and its return.
    pub async fn get(&mut self, key: &str) -> Answer<Option<String>> {
        match self.ask(Method::GET, &format!("/kv/{key}"), NOTHING).await {
            Answer::Done((StatusCode::OK, value)) => Answer::Done(Some(value)),
            Answer::Done((StatusCode::NOT_FOUND, _)) => Answer::Done(None),
            Answer::Done((_, why)) | Answer::Unknown(why) | Answer::NotDone(why) => {
                Answer::NotDone(why)
            }
        }
    }

    /// Asks something of the leader about the cluster.
    ///
    /// # Errors
    /// What kept it from being done, as far as is known.
    pub async fn order(&mut self, path: &str, body: &impl serde::Serialize) -> Result<(), Failure> {
        let body = (wire::JSON, serde_json::to_vec(body)?.into());
        match self.ask(Method::POST, path, body).await {
            Answer::Done((StatusCode::NO_CONTENT, _)) => Ok(()),
            Answer::Done((_, why)) | Answer::Unknown(why) | Answer::NotDone(why) => {
                Err(format!("{path}: {why}").into())
            }
        }
    }

    /// One attempt at whoever leads, as far as this client knows, and whom that one names.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: (&'static str, Bytes),
    ) -> Answer<(StatusCode, String)> {
        for _ in 0..3 {
            let Some(addr) = self.whom() else {
                return Answer::NotDone("there are no nodes".to_owned());
            };
            let call = self.caller.call(method.clone(), &addr, path, body.clone(), self.timeout);
            let answer = match call.await {
                Ok(answer) => answer,
                Err(error) => {
                    self.leader = None;
                    let what = format!("{addr}: {error}");
                    let sent = !wire::is_connect(&error);
                    return if sent { Answer::Unknown(what) } else { Answer::NotDone(what) };
                }
            };
            let text = String::from_utf8_lossy(answer.body()).trim_end().to_owned();
            match answer.status() {
                StatusCode::TEMPORARY_REDIRECT => {
                    let there = answer.headers().get(header::LOCATION);
                    let there = there.and_then(|there| there.to_str().ok());
                    let there = there.and_then(|there| there.strip_prefix("http://"));
                    self.leader =
                        there.and_then(|there| there.split('/').next()).map(str::to_owned);
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    self.leader = None;
                    return Answer::NotDone(text);
                }
                status => {
                    self.leader = Some(addr);
                    return Answer::Done((status, text));
                }
            }
        }
        self.leader = None;
        Answer::NotDone("sent from one node to the other".to_owned())
    }

    fn whom(&mut self) -> Option<String> {
        if let Some(leader) = &self.leader {
            return Some(leader.clone());
        }
        self.next = self.next.wrapping_add(1);
        self.nodes.get(self.next.checked_rem(self.nodes.len())?).cloned()
    }

    /// The number of the node that leads, as one node sees it.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn metrics(&self, addr: &str) -> Result<serde_json::Value, Failure> {
        let path = "/cluster/metrics";
        let call = self.caller.call(Method::GET, addr, path, NOTHING, self.timeout);
        Ok(serde_json::from_slice(call.await?.body())?)
    }
}
