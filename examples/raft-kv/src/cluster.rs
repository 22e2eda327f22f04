//! Nodes as child processes on loopback.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use openraft::BasicNode;
use tokio::process::{Child, Command};

use crate::Failure;
use crate::client::{Answer, Client};

/// As long as anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const MOMENT: Duration = Duration::from_millis(20);

/// Where a node runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Host {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its folder.
    pub dir: PathBuf,
    /// A command that runs the rest of its line elsewhere: `ip netns exec NAME`, say. Empty: here.
    pub within: Vec<String>,
}

impl Host {
    /// A node that listens on `addr`, with its folder in `dir`.
    #[must_use]
    pub fn new(addr: SocketAddr, dir: PathBuf) -> Self {
        Self { addr, dir, within: Vec::new() }
    }

    /// On a port of loopback that nobody listens on.
    fn local(dir: PathBuf) -> Result<Self, Failure> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self::new(free, dir))
    }

    /// In a network namespace.
    #[must_use]
    pub fn in_namespace(mut self, name: &str) -> Self {
        self.within = ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
        self
    }
}

/// A cluster whose nodes end with it.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    dir: PathBuf,
    /// What each node is started with, beside its number, folder and address.
    options: Vec<String>,
    hosts: BTreeMap<u64, Host>,
    running: BTreeMap<u64, Child>,
}

impl Cluster {
    /// Starts so many nodes of `program` on loopback, with folders in `dir`, and makes them a cluster.
    ///
    /// # Errors
    /// What keeps them from starting.
    pub async fn start(
        program: &Path,
        dir: &Path,
        nodes: u64,
        options: &[&str],
    ) -> Result<Self, Failure> {
        let mut hosts = BTreeMap::new();
        for id in 1..=nodes {
            hosts.insert(id, Host::local(dir.join(id.to_string()))?);
        }
        Self::start_on(program, dir, hosts, options).await
    }

    /// As [`start`](Self::start), on these hosts.
    ///
    /// # Errors
    /// What keeps them from starting.
    pub async fn start_on(
        program: &Path,
        dir: &Path,
        hosts: BTreeMap<u64, Host>,
        options: &[&str],
    ) -> Result<Self, Failure> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let (program, dir) = (program.to_owned(), dir.to_owned());
        let mut cluster = Self { program, dir, options, hosts, running: BTreeMap::new() };
        let node = |(id, host): (&u64, &Host)| (*id, BasicNode::new(host.addr));
        let members: BTreeMap<u64, BasicNode> = cluster.hosts.iter().map(node).collect();
        for id in members.keys() {
            cluster.restart(*id).await?;
        }
        let first = members.values().take(1).map(|node| node.addr.clone()).collect();
        Client::new(first).order("/cluster/init", &members).await?;
        cluster.leader().await?;
        Ok(cluster)
    }

    /// Starts a node on loopback that is of no cluster yet.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn add(&mut self, id: u64) -> Result<SocketAddr, Failure> {
        let host = Host::local(self.dir.join(id.to_string()))?;
        let addr = host.addr;
        self.hosts.insert(id, host);
        self.restart(id).await?;
        Ok(addr)
    }

    fn host(&self, id: u64) -> Result<&Host, Failure> {
        self.hosts.get(&id).ok_or_else(|| format!("there is no node {id}").into())
    }

    /// Starts a node in the folder that it has, and waits until it answers.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn restart(&mut self, id: u64) -> Result<(), Failure> {
        let host = self.host(id)?;
        let addr = host.addr.to_string();
        let within = host.within.iter().map(OsStr::new);
        let mut line = within.chain([self.program.as_os_str()]);
        let child = Command::new(line.next().ok_or("there is nothing to start")?)
            .args(line)
            .args(["node", "--id", &id.to_string(), "--listen", &addr, "--with-parent"])
            .arg("--dir")
            .arg(&host.dir)
            .args(&self.options)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.running.insert(id, child);
        let child = self.running.get_mut(&id).ok_or("it is not running")?;
        let client = Client::new(Vec::new());
        let begun = Instant::now();
        while client.metrics(&addr).await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("node {id} ended: {status}").into());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("node {id} does not answer").into());
            }
            tokio::time::sleep(MOMENT).await;
        }
        Ok(())
    }

    /// Waits until a node ends by itself, as one does whose disk is full.
    ///
    /// # Errors
    /// Where it goes on for long.
    pub async fn ended(&mut self, id: u64) -> Result<std::process::ExitStatus, Failure> {
        let mut child = self.running.remove(&id).ok_or("it is not running")?;
        // Waiting closes it, which would be the end of the node.
        let _input = child.stdin.take();
        Ok(tokio::time::timeout(PATIENCE, child.wait()).await??)
    }

    /// Kills a node, with SIGKILL.
    ///
    /// # Errors
    /// Where it was dead already.
    pub async fn kill(&mut self, id: u64) -> Result<(), Failure> {
        let mut child = self.running.remove(&id).ok_or("it is not running")?;
        if let Some(status) = child.try_wait()? {
            return Err(format!("node {id} ended by itself: {status}").into());
        }
        Ok(child.kill().await?)
    }

    /// The nodes that run.
    #[must_use]
    pub fn running(&self) -> Vec<u64> {
        self.running.keys().copied().collect()
    }

    /// A client of all nodes.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.hosts.values().map(|host| host.addr.to_string()).collect())
    }

    /// What a node says of itself.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn metrics(&self, id: u64) -> Result<serde_json::Value, Failure> {
        Client::new(Vec::new()).metrics(&self.host(id)?.addr.to_string()).await
    }

    /// Waits for a leader among the nodes that run.
    ///
    /// # Errors
    /// Where there is none for long.
    pub async fn leader(&self) -> Result<u64, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            for id in self.running() {
                let Ok(metrics) = self.metrics(id).await else { continue };
                let leader = metrics.get("current_leader").and_then(serde_json::Value::as_u64);
                if leader == Some(id) {
                    return Ok(id);
                }
            }
            tokio::time::sleep(MOMENT).await;
        }
        Err("there is no leader".into())
    }

    /// Waits until a node has applied as much as `index`.
    ///
    /// # Errors
    /// Where it takes long.
    pub async fn applied(&self, id: u64, index: u64) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self
                .metrics(id)
                .await
                .is_ok_and(|metrics| index_of(&metrics, "last_applied") >= index)
            {
                return Ok(());
            }
            tokio::time::sleep(MOMENT).await;
        }
        Err(format!("node {id} does not come to entry {index}").into())
    }
}

/// A log id's index in what a node says of itself; 0 where it has none.
#[must_use]
pub fn index_of(metrics: &serde_json::Value, what: &str) -> u64 {
    let index = metrics.get(what).and_then(|log_id| log_id.get("index"));
    index.and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// Sets a key, again and again until it is done for sure: for a key that nobody else sets.
///
/// # Errors
/// Where it takes long.
pub async fn set_surely(client: &mut Client, key: &str, value: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match client.set(key, value).await {
            Answer::Done(()) => return Ok(()),
            Answer::Unknown(why) | Answer::NotDone(why) if begun.elapsed() > PATIENCE => {
                return Err(why.into());
            }
            _ => tokio::time::sleep(MOMENT).await,
        }
    }
}

/// Reads a key, again and again until there is an answer.
///
/// # Errors
/// Where it takes long.
pub async fn get_surely(client: &mut Client, key: &str) -> Result<Option<String>, Failure> {
    let begun = Instant::now();
    loop {
        match client.get(key).await {
            Answer::Done(value) => return Ok(value),
            Answer::Unknown(why) | Answer::NotDone(why) if begun.elapsed() > PATIENCE => {
                return Err(why.into());
            }
            _ => tokio::time::sleep(MOMENT).await,
        }
    }
}
