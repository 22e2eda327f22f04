//! Figures: writes a second by so many clients, each waiting for its answer, and how long a cluster is without a leader.

use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::{Answer, Client};
use crate::cluster::{Cluster, set_surely};

/// Bytes of each value.
const VALUE: usize = 100;

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct Options {
    /// Seconds for each number of clients
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    pub clients: Vec<u64>,
    /// Kills of the leader
    #[arg(long, default_value_t = 5)]
    pub kills: u64,
}

/// Measures with the log on Walden and with one in memory, by turns.
///
/// # Errors
/// What went wrong.
pub async fn run(program: &Path, dir: &Path, options: &Options) -> Result<(), Failure> {
    let stores: [(&str, &[&str]); 2] = [("Walden", &[]), ("memory", &["--in-memory"])];
    anstream::println!("| clients | log | writes/s | p50 | p99 | max |");
    anstream::println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for clients in &options.clients {
        for (name, arguments) in stores {
            let dir = tempfile::tempdir_in(dir)?;
            let cluster = Cluster::start(program, dir.path(), 3, arguments).await?;
            let time = Duration::from_secs(options.seconds);
            let taken = writes(&cluster, *clients, time).await?;
            let rate = taken.len().checked_div(options.seconds).unwrap_or(0);
            let at = |quantile| Duration::from_micros(taken.value_at_quantile(quantile));
            anstream::println!(
                "| {clients} | {name} | {rate} | {:.1?} | {:.1?} | {:.1?} |",
                at(0.5),
                at(0.99),
                Duration::from_micros(taken.max())
            );
        }
    }
    let mut without = Vec::new();
    let folder = tempfile::tempdir_in(dir)?;
    let mut cluster = Cluster::start(program, folder.path(), 3, &[]).await?;
    for kill in 0..options.kills {
        let mut client = cluster.client().timeout(Duration::from_millis(500));
        set_surely(&mut client, "k", "before").await?;
        let leader = cluster.leader().await?;
        cluster.kill(leader).await?;
        let killed = Instant::now();
        set_surely(&mut client, "k", &kill.to_string()).await?;
        without.push(killed.elapsed());
        cluster.restart(leader).await?;
    }
    without.sort_unstable();
    anstream::println!("\nleader killed until the next write was acknowledged: {without:.0?}");
    Ok(())
}

/// Microseconds that each write took.
async fn writes(
    cluster: &Cluster,
    clients: u64,
    time: Duration,
) -> Result<Histogram<u64>, Failure> {
    let mut tasks = JoinSet::new();
    // Connections, and the leader, are found before it counts.
    let warm = Instant::now() + Duration::from_secs(1);
    for number in 0..clients {
        tasks.spawn(write(cluster.client(), number, warm, warm + time));
    }
    let mut all = Histogram::new(3)?;
    while let Some(taken) = tasks.join_next().await {
        all.add(taken??)?;
    }
    Ok(all)
}

async fn write(
    mut client: Client,
    number: u64,
    from: Instant,
    until: Instant,
) -> Result<Histogram<u64>, Failure> {
    let mut taken = Histogram::new(3)?;
    let value = "v".repeat(VALUE);
    for round in 0_u64.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let key = format!("{number}.{}", round % 100);
        match client.set(&key, &value).await {
            Answer::Done(()) if begun >= from => {
                let micros = u64::try_from(begun.elapsed().as_micros())?;
                taken.record(micros.max(1))?;
            }
            Answer::Done(()) => {}
            Answer::Unknown(why) | Answer::NotDone(why) if begun >= from => {
                return Err(format!("a write failed: {why}").into());
            }
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    Ok(taken)
}
