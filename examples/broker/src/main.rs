//! `walden-broker DIR [TASKS]`: so many tasks publish for ever, and three consumers say what they do with it.
//! `walden-broker DIR drain`: nothing is published; ends when the consumers have seen all.
//!
//! Each line on stdout is a fact that must hold from then on: `published ID SEQ`, `NAME SEQ ID`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};

use tokio::task::JoinSet;
use walden_broker::{Broker, Consumer, Message};

const CONSUMERS: [&str; 3] = ["mailer", "index", "audit"];
/// Messages that a consumer has in hand at once, and acknowledges out of order.
const IN_HAND: usize = 16;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, what) = match args.as_slice() {
        [dir] => (dir, "1000"),
        [dir, what] => (dir, what.as_str()),
        _ => return Err("usage: walden-broker DIR [TASKS | drain]".into()),
    };
    let broker = Broker::open(dir)?;
    let begin = broker.next_seq();
    let last = (what == "drain").then(|| begin - 1);
    let mut tasks = JoinSet::new();
    for name in CONSUMERS {
        tasks.spawn(consume(broker.consumer(name)?, name, last));
    }
    if last.is_none() {
        for task in 0..what.parse::<u64>()? {
            tasks.spawn(publish(broker.clone(), format!("{begin}.{task}")));
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    broker.close()?;
    Ok(())
}

fn say(line: &str) -> Outcome {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Publishes one message after the other, each with an id of its own.
async fn publish(broker: Broker, who: String) -> Outcome {
    for n in 0_u64.. {
        let id = format!("{who}.{n}");
        let seq = broker.publish(&id).await?;
        say(&format!("published {id} {seq}"))?;
    }
    Ok(())
}

/// Takes messages by handfuls and acknowledges each handful backwards, and the second half first. Ends behind `last`.
async fn consume(mut consumer: Consumer, name: &str, last: Option<u64>) -> Outcome {
    let mut hand: Vec<Message> = Vec::new();
    if last.is_some_and(|last| consumer.position() > last) {
        return Ok(());
    }
    while let Some(message) = consumer.next().await? {
        say(&format!("{name} {} {}", message.seq, String::from_utf8_lossy(&message.payload)))?;
        let ends = Some(message.seq) == last;
        hand.push(message);
        if hand.len() == IN_HAND || ends {
            let half = hand.len() / 2;
            hand.rotate_left(half);
            for message in hand.drain(..).rev() {
                message.ack()?;
            }
        }
        if ends {
            break;
        }
    }
    Ok(())
}
