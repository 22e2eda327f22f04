//! `walden-raft-kv`: a node, a client, a demonstration, or figures.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use walden_raft_kv::client::{Answer, Client};
use walden_raft_kv::{Failure, bench, demo, node};

/// A replicated key-value store: openraft over Walden.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run a node
    Node(node::Options),
    /// Start three nodes on loopback in a temporary folder, kill the leader, and show what is left
    Cluster,
    /// Set a key
    Set {
        /// Nodes of the cluster, as HOST:PORT
        #[arg(long, required = true, value_delimiter = ',')]
        nodes: Vec<String>,
        key: String,
        value: String,
    },
    /// Print a key's value
    Get {
        /// Nodes of the cluster, as HOST:PORT
        #[arg(long, required = true, value_delimiter = ',')]
        nodes: Vec<String>,
        key: String,
    },
    /// Measure writes and failover on loopback, beside a log in memory
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| {
        let outcome = runtime.block_on(run(args));
        // Without waiting for a thread that reads standard input.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("walden-raft-kv: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    match args.what {
        What::Node(options) => node::run(options).await,
        What::Cluster => {
            let dir = tempfile::tempdir()?;
            demo::run(&std::env::current_exe()?, dir.path()).await
        }
        What::Bench(options) => {
            let dir = tempfile::tempdir_in(".")?;
            bench::run(&std::env::current_exe()?, dir.path(), &options).await
        }
        What::Set { nodes, key, value } => match Client::new(nodes).set(&key, &value).await {
            Answer::Done(()) => Ok(()),
            Answer::Unknown(why) => Err(format!("it may have been set, or not: {why}").into()),
            other => Err(not_done(other)),
        },
        What::Get { nodes, key } => match Client::new(nodes).get(&key).await {
            Answer::Done(Some(value)) => {
                anstream::println!("{value}");
                Ok(())
            }
            Answer::Done(None) => Err(format!("{key} is not set").into()),
            other => Err(not_done(other)),
        },
    }
}

fn not_done<T>(answer: Answer<T>) -> Failure {
    match answer {
        Answer::NotDone(why) | Answer::Unknown(why) => why.into(),
        _ => "there is no answer".into(),
    }
}
