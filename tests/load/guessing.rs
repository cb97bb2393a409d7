//! Passwords that are guessed, as fast as somebody can ask, and how long others wait meanwhile for their publishes.
//!
//! Each guess is of another name, so that none is refused for those before it: what it costs at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::door::Door;
use crate::http_publish::{Connection, pace};
use crate::measure::{Histogram, Moment, Report};
use crate::options::Options;
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let door = Door::new(options, server)?;
    let mut report = Report::new("guessing", server);
    let alone = publish_for(options, &door).await?;
    let guessed = Arc::new(Guessed::default());
    let mut guessing = JoinSet::new();
    for number in 0..options.inflight {
        let connection = Connection::open(&door, String::new()).await?;
        guessing.spawn(guess(Arc::clone(&guessed), connection, options.clone(), number));
    }
    tokio::time::sleep(Duration::from_secs(options.warmup)).await;
    let (begun, first) = (Moment::now(server)?, guessed.all());
    let meanwhile = publish_for(options, &door).await?;
    let (spent, last) = (begun.until(&Moment::now(server)?), guessed.all());
    guessed.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = guessing.join_next().await {
        ended??;
    }
    report.number("guesses_per_second", "guesses", spent.rate(last - first), "/s");
    report.number("wrong", "told that it is wrong", guessed.wrong.load(Ordering::Relaxed) as f64, "");
    report.number("later", "told to come back", guessed.later.load(Ordering::Relaxed) as f64, "");
    report.spent(&spent, "guess", last - first);
    report.latency("alone", "a publish, nobody guessing:", &alone);
    report.latency("meanwhile", "a publish meanwhile:", &meanwhile);
    let ratio = meanwhile.quantile(0.99).as_secs_f64() / alone.quantile(0.99).as_secs_f64();
    report.number("ratio", "p99 meanwhile to p99 alone", ratio, "");
    Ok(report)
}

/// The latency of publishes at a steady rate, for the time of a measurement.
async fn publish_for(options: &Options, door: &Arc<Door>) -> Outcome<Arc<Histogram>> {
    let latency = Arc::new(Histogram::new());
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let steady = Options { inflight: PUBLISHERS, rate: Some(PUBLISHES_PER_SECOND), ..options.clone() };
    let mut publishing = JoinSet::new();
    for number in 0..PUBLISHERS {
        let mut connection = Connection::open(door, format!("load%2Fguessing%2F{number}")).await?;
        let (latency, ticks) = (Arc::clone(&latency), pace(&steady, number));
        publishing.spawn(async move {
            let (first, each) = ticks.ok_or("a steady rate was asked for")?;
            let mut ticks = tokio::time::interval_at(first, each);
            connection.publish("?create=true", "{}").await?;
            while Instant::now() < until {
                ticks.tick().await;
                let sent = Instant::now();
                connection.publish("", "{}").await?;
                latency.record(sent.elapsed());
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = publishing.join_next().await {
        ended??;
    }
    Ok(latency)
}

#[derive(Default)]
struct Guessed {
    stop: AtomicBool,
    names: AtomicU64,
    wrong: AtomicU64,
    later: AtomicU64,
}

impl Guessed {
    fn all(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed) + self.later.load(Ordering::Relaxed)
    }
}

async fn guess(guessed: Arc<Guessed>, mut connection: Connection, options: Options, number: usize) -> Outcome<()> {
    let rate = options.rate.or(Some(GUESSES_PER_SECOND));
    let (first, each) = pace(&Options { rate, ..options }, number).ok_or("a steady rate was asked for")?;
    let mut ticks = tokio::time::interval_at(first, each);
    while !guessed.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let name = guessed.names.fetch_add(1, Ordering::Relaxed);
        let credential = BASE64.encode(format!("somebody{name}:a-wrong-password"));
        let request = format!("GET /v1/nodes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credential}\r\n\r\n");
        match connection.status(request.as_bytes()).await? {
            401 => guessed.wrong.fetch_add(1, Ordering::Relaxed),
            429 | 503 => guessed.later.fetch_add(1, Ordering::Relaxed),
            status => return Err(format!("a guess was answered with {status}").into()),
        };
    }
    Ok(())
}

const PUBLISHERS: usize = 4;
const PUBLISHES_PER_SECOND: u64 = 100;
const GUESSES_PER_SECOND: u64 = 10_000;
