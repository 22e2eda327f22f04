//! What a node asks of another: a request each, with its answer in MessagePack.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::http::Method;
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::types::Types;
use crate::wire::{self, Caller};

/// Before a node that could not be reached is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Makes the connections to other nodes.
#[derive(Debug, Default)]
pub(crate) struct Network(Caller);

/// Another node.
#[derive(Debug)]
pub(crate) struct Peer {
    caller: Caller,
    id: u64,
    addr: String,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, id: u64, node: &BasicNode) -> Peer {
        Peer { caller: self.0.clone(), id, addr: node.addr.clone() }
    }
}

type Refused<E> = RPCError<u64, BasicNode, RaftError<u64, E>>;

/// A failure as an error that openraft takes.
#[derive(Debug)]
struct NoAnswer(Failure);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NoAnswer {}

impl Peer {
    async fn ask<Q: Serialize, A: DeserializeOwned, E: Error + DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        option: &RPCOption,
    ) -> Result<A, Refused<E>> {
        let answer = async {
            let body = (wire::MESSAGE_PACK, wire::encode(question)?);
            let ttl = option.hard_ttl();
            let answer = self.caller.call(Method::POST, &self.addr, path, body, ttl).await?;
            if !answer.status().is_success() {
                return Err(format!("{path}: {}", answer.status()).into());
            }
            wire::decode::<Result<A, RaftError<u64, E>>>(answer.body())
        };
        answer
            .await
            .map_err(|error: Failure| RPCError::Unreachable(Unreachable::new(&NoAnswer(error))))?
            .map_err(|error| RPCError::RemoteError(RemoteError::new(self.id, error)))
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        question: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.ask("/raft/append", &question, &option).await
    }

    async fn install_snapshot(
        &mut self,
        question: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Refused<InstallSnapshotError>> {
        self.ask("/raft/snapshot", &question, &option).await
    }

    async fn vote(
        &mut self,
        question: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.ask("/raft/vote", &question, &option).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(AGAIN))
    }
}
