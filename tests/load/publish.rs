//! Acknowledged publishes over XMPP, each publish in flight to a node of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::{Client, Dialer, account, courtesy};
use crate::measure::{Histogram, Moment, Report};
use crate::options::Options;
use crate::pubsub::{Payload, create, publish};
use crate::scan::{Frame, attribute};
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    let run = Arc::new(Run::new(options));
    let mut publishing = JoinSet::new();
    for number in 0..options.publishers {
        let slots = share(options.inflight, options.publishers, number);
        let mut client = dialer.login(&account(number), "publisher").await?;
        for slot in 0..slots {
            create(&mut client, options, &node(number, slot)).await?;
        }
        let publisher = Publisher { run: Arc::clone(&run), options: options.clone(), number, client };
        publishing.spawn(publisher.go(slots));
    }
    let report = measure("publish", options, server, &run).await?;
    while let Some(ended) = publishing.join_next().await {
        ended??;
    }
    Ok(report)
}

/// What the publishers of a run share.
pub struct Run {
    pub origin: Instant,
    pub payload: Payload,
    pub stop: AtomicBool,
    measuring: AtomicBool,
    acknowledged: AtomicU64,
    latency: Histogram,
}

impl Run {
    pub fn new(options: &Options) -> Run {
        Run {
            origin: Instant::now(),
            payload: Payload::of(options.payload_bytes),
            stop: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            latency: Histogram::new(),
        }
    }

    pub fn acknowledged(&self, taken: Duration) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        if self.measuring.load(Ordering::Relaxed) {
            self.latency.record(taken);
        }
    }
}

/// Warms up, watches the counters for the time asked for, tells the publishers to stop.
pub async fn measure(scenario: &str, options: &Options, server: &Server, run: &Run) -> Outcome<Report> {
    tokio::time::sleep(Duration::from_secs(options.warmup)).await;
    run.measuring.store(true, Ordering::Relaxed);
    let (before, first) = (Moment::now(server)?, run.acknowledged.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (after, last) = (Moment::now(server)?, run.acknowledged.load(Ordering::Relaxed));
    run.measuring.store(false, Ordering::Relaxed);
    run.stop.store(true, Ordering::Relaxed);
    let (spent, count) = (before.until(&after), last - first);
    let mut report = Report::new(scenario, server);
    report.number("inflight", "publishes in flight", options.inflight as f64, "");
    if scenario == "publish" {
        report.number("publishers", "publishing sessions", options.publishers as f64, "");
        report.word("persist", "items persisted", if options.persist { "yes" } else { "no" });
        report.number("max_items", "items kept in a node", options.max_items as f64, "");
    }
    report.number("payload_bytes", "payload", options.payload_bytes as f64, "bytes");
    report.number("acks_per_s", "acknowledged", spent.rate(count), "/s");
    report.spent(&spent, "publish", count);
    report.latency("publish", "acknowledgement", &run.latency);
    if count == 0 {
        report.fail("nothing was acknowledged".to_owned());
    }
    Ok(report)
}

/// One session and its publishes in flight.
struct Publisher {
    run: Arc<Run>,
    options: Options,
    number: usize,
    client: Client,
}

impl Publisher {
    async fn go(mut self, slots: usize) -> Outcome<()> {
        let mut slots: Vec<Slot> = (0..slots).map(|slot| Slot::new(node(self.number, slot))).collect();
        let mut out = Vec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            slot.publish(&self.run, &self.options, index, &mut out);
        }
        let mut waiting = slots.len();
        loop {
            if !out.is_empty() {
                self.client.send(&out).await?;
                out.clear();
            }
            if waiting == 0 {
                return Ok(());
            }
            let more = tokio::time::timeout(ANSWER_LIMIT, self.client.fill()).await;
            if !more.map_err(|_| format!("nothing was answered for {ANSWER_LIMIT:?}"))?? {
                return Err("the server closed a publisher's connection".into());
            }
            while let Some(frame) = self.client.frame()? {
                let Frame::Stanza(stanza) = frame else { continue };
                let Some((index, at)) = answered(stanza, &mut slots)? else {
                    courtesy(stanza, &mut out);
                    continue;
                };
                self.run.acknowledged(at.elapsed());
                match self.run.stop.load(Ordering::Relaxed) {
                    true => waiting -= 1,
                    false => slots[index].publish(&self.run, &self.options, index, &mut out),
                }
            }
        }
    }
}

/// One publish in flight, over and over.
struct Slot {
    node: String,
    published: u64,
    sent: Option<Instant>,
}

impl Slot {
    fn new(node: String) -> Slot {
        Slot { node, published: 0, sent: None }
    }

    fn publish(&mut self, run: &Run, options: &Options, index: usize, out: &mut Vec<u8>) {
        self.published += 1;
        self.sent = Some(Instant::now());
        let (number, now) = (self.published, run.origin.elapsed());
        let id = format!("{index}-{number}");
        publish(out, &id, &options.service, &self.node, |out| run.payload.write(out, number, now));
    }
}

/// Which slot's publish a stanza answers, and when it was sent.
fn answered(stanza: &[u8], slots: &mut [Slot]) -> Outcome<Option<(usize, Instant)>> {
    let named = attribute(stanza, "id").and_then(|id| id.split_once('-'));
    let Some((index, number)) = named.and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse::<u64>().ok()?)))
    else {
        return Ok(None);
    };
    let slot = slots.get_mut(index).filter(|slot| slot.published == number);
    let Some((slot, at)) = slot.and_then(|slot| slot.sent.take().map(|at| (slot, at))) else {
        return Err("a publish was answered that is not in flight".into());
    };
    match attribute(stanza, "type") {
        Some("result") => Ok(Some((index, at))),
        _ => Err(format!("a publish to {} failed: {}", slot.node, String::from_utf8_lossy(stanza)).into()),
    }
}

fn node(publisher: usize, slot: usize) -> String {
    format!("load/publish/{publisher}/{slot}")
}

/// How many of `all` fall to the `number`th of `among`.
pub fn share(all: usize, among: usize, number: usize) -> usize {
    all / among + usize::from(number < all % among)
}

const ANSWER_LIMIT: Duration = Duration::from_secs(60);
