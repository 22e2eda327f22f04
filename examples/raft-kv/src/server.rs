//! What a node answers: to other nodes under `/raft/`, to clients under `/kv/` and `/cluster/`.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use openraft::error::{CheckIsLeaderError, RaftError};
use openraft::{BasicNode, RaftMetrics};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machine::Machine;
use crate::types::{Change, Raft};
use crate::wire;

/// The largest value of a key.
const LARGEST: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) raft: Raft,
    pub(crate) machine: Machine,
    pub(crate) id: u64,
}

pub(crate) fn router(served: Served) -> Router {
    let nodes = Router::new()
        .route("/raft/append", post(append))
        .route("/raft/vote", post(vote))
        .route("/raft/snapshot", post(snapshot))
        .layer(DefaultBodyLimit::max(wire::MOST));
    let clients = Router::new()
        .route("/kv/{key}", get(read).put(set).delete(remove))
        .route("/cluster/init", post(init))
        .route("/cluster/learner", post(learner))
        .route("/cluster/members", post(members))
        .route("/cluster/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(LARGEST));
    nodes.merge(clients).with_state(served)
}

/// Answers a request of another node; refused where its bytes are none.
async fn answer<Q: DeserializeOwned, A: Serialize, F: Future<Output = A>>(
    body: &[u8],
    ask: impl FnOnce(Q) -> F,
) -> Response {
    let question = match wire::decode(body) {
        Ok(question) => question,
        Err(error) => return failed(StatusCode::BAD_REQUEST, &error),
    };
    match wire::encode(&ask(question).await) {
        Ok(answer) => answer.into_response(),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

async fn append(State(served): State<Served>, body: Bytes) -> Response {
    answer(&body, |question| async { served.raft.append_entries(question).await }).await
}

async fn vote(State(served): State<Served>, body: Bytes) -> Response {
    answer(&body, |question| async { served.raft.vote(question).await }).await
}

async fn snapshot(State(served): State<Served>, body: Bytes) -> Response {
    answer(&body, |question| async { served.raft.install_snapshot(question).await }).await
}

fn failed(status: StatusCode, why: &impl ToString) -> Response {
    (status, why.to_string() + "\n").into_response()
}

impl Served {
    /// Where this node is not the leader: the way to it. A request that was answered so was not done.
    #[expect(clippy::result_large_err, reason = "it is the answer")]
    fn leads(&self, uri: &Uri) -> Result<(), Response> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        match metrics.current_leader {
            Some(leader) if leader == self.id => Ok(()),
            Some(leader) => {
                let members = metrics.membership_config.membership();
                match members.get_node(&leader) {
                    Some(node) => {
                        let there = format!("http://{}{}", node.addr, uri.path());
                        let head = [(header::LOCATION, there)];
                        Err((StatusCode::TEMPORARY_REDIRECT, head).into_response())
                    }
                    None => Err(no_leader()),
                }
            }
            None => Err(no_leader()),
        }
    }

    async fn change(&self, uri: &Uri, change: Change) -> Response {
        if let Err(elsewhere) = self.leads(uri) {
            return elsewhere;
        }
        match self.raft.client_write(change).await {
            Ok(_) => StatusCode::NO_CONTENT.into_response(),
            // Even where another node leads by now: the entry may be on some node, and be committed by a later leader.
            Err(error) => failed(StatusCode::GATEWAY_TIMEOUT, &unknown(&error)),
        }
    }
}

fn no_leader() -> Response {
    failed(StatusCode::SERVICE_UNAVAILABLE, &"there is no leader at the moment; nothing was done")
}

fn unknown(error: &impl ToString) -> String {
    format!("whether it was done is not known: {}", error.to_string())
}

async fn read(State(served): State<Served>, uri: Uri, Path(key): Path<String>) -> Response {
    if let Err(elsewhere) = served.leads(&uri) {
        return elsewhere;
    }
    match served.raft.ensure_linearizable().await {
        Ok(_) => match served.machine.get(&key) {
            Some(value) => value.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_))) => no_leader(),
        Err(error) => failed(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

async fn set(
    State(served): State<Served>,
    uri: Uri,
    Path(key): Path<String>,
    value: String,
) -> Response {
    served.change(&uri, Change::Set { key, value }).await
}

async fn remove(State(served): State<Served>, uri: Uri, Path(key): Path<String>) -> Response {
    served.change(&uri, Change::Remove { key }).await
}

fn told<T, E: ToString>(outcome: Result<T, E>) -> Response {
    match outcome {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(StatusCode::CONFLICT, &error),
    }
}

async fn init(
    State(served): State<Served>,
    Json(nodes): Json<BTreeMap<u64, BasicNode>>,
) -> Response {
    told(served.raft.initialize(nodes).await)
}

/// Adds a node that is given the log and does not vote, once it has all of it.
async fn learner(
    State(served): State<Served>,
    uri: Uri,
    Json((id, node)): Json<(u64, BasicNode)>,
) -> Response {
    if let Err(elsewhere) = served.leads(&uri) {
        return elsewhere;
    }
    told(served.raft.add_learner(id, node, true).await)
}

/// Makes these nodes the ones that vote; others leave.
async fn members(
    State(served): State<Served>,
    uri: Uri,
    Json(ids): Json<BTreeSet<u64>>,
) -> Response {
    if let Err(elsewhere) = served.leads(&uri) {
        return elsewhere;
    }
    told(served.raft.change_membership(ids, false).await)
}

async fn metrics(State(served): State<Served>) -> Json<RaftMetrics<u64, BasicNode>> {
    Json(served.raft.metrics().borrow().clone())
}
