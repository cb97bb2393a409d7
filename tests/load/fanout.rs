//! One node, many subscribed sessions, one publisher: does every session get every item, in order, and at what cost?

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::{Client, Dialer, account, courtesy};
use crate::measure::{Histogram, Moment, Report, Spent};
use crate::options::Options;
use crate::pubsub::{Payload, Stamp, create, publish, subscribe};
use crate::scan::{Frame, attribute};
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let dialer = Dialer::new(options, server)?;
    let mut publisher = dialer.login(&account(0), "publisher").await?;
    create(&mut publisher, options, NODE).await?;
    let run = Arc::new(Run::new(options));
    let began = Instant::now();
    let sessions = subscribers(options, &dialer).await?;
    eprintln!("{} sessions subscribed in {:.1} s", sessions.len(), began.elapsed().as_secs_f64());
    let mut watching = JoinSet::new();
    for (index, session) in sessions.into_iter().enumerate() {
        watching.spawn(watch(Arc::clone(&run), index, session));
    }
    let publishing = tokio::spawn(publish_all(Arc::clone(&run), options.clone(), publisher));
    let (spent, delivered, published) = measure(options, server, &run).await?;
    run.stop.store(true, Ordering::Relaxed);
    let total = publishing.await??;
    let drained = drain(&run, total).await;
    watching.shutdown().await;
    Ok(report(options, server, &run, &Figures { spent, delivered, published, total, drained }))
}

/// What all tasks of a run share.
struct Run {
    origin: Instant,
    payload: Payload,
    /// Only what arrives while this is set counts for latency.
    measuring: AtomicBool,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    delivered: AtomicU64,
    latency: Histogram,
    publish_latency: Histogram,
    held_us: AtomicU64,
    watchers: Vec<Watcher>,
    broken: Mutex<Vec<String>>,
}

/// Checks one session's items: 1, 2, 3 … and nothing else.
#[derive(Default)]
pub struct Watcher {
    last: AtomicU64,
    lost: AtomicU64,
    reordered: AtomicU64,
    damaged: AtomicU64,
}

impl Watcher {
    pub fn saw(&self, stamp: Stamp) {
        let last = self.last.load(Ordering::Relaxed);
        if stamp.number > last {
            self.lost.fetch_add(stamp.number - last - 1, Ordering::Relaxed);
            self.last.store(stamp.number, Ordering::Relaxed);
        } else {
            self.reordered.fetch_add(1, Ordering::Relaxed);
        }
        if !stamp.whole {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lost, out of order (or twice), damaged; of `total` that were published.
    pub fn faults(&self, total: u64) -> [u64; 3] {
        let tail = total.saturating_sub(self.last.load(Ordering::Relaxed));
        [
            self.lost.load(Ordering::Relaxed) + tail,
            self.reordered.load(Ordering::Relaxed),
            self.damaged.load(Ordering::Relaxed),
        ]
    }
}

impl Run {
    fn new(options: &Options) -> Run {
        Run {
            origin: Instant::now(),
            payload: Payload::of(options.payload_bytes),
            measuring: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            latency: Histogram::new(),
            publish_latency: Histogram::new(),
            held_us: AtomicU64::new(0),
            watchers: (0..options.sessions).map(|_| Watcher::default()).collect(),
            broken: Mutex::default(),
        }
    }

    fn slowest(&self) -> u64 {
        self.watchers.iter().map(|watcher| watcher.last.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    fn broke(&self, why: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(why);
    }
}

/// Logs in and subscribes all sessions, some at a time.
async fn subscribers(options: &Options, dialer: &Arc<Dialer>) -> Outcome<Vec<Client>> {
    let gate = Arc::new(Semaphore::new(options.concurrency));
    let mut joining = JoinSet::new();
    for number in 1..=options.sessions {
        let (gate, dialer, options) = (Arc::clone(&gate), Arc::clone(dialer), options.clone());
        joining.spawn(async move {
            let _permit = gate.acquire().await?;
            let name = if options.one_account { account(0) } else { account(number) };
            let mut client = dialer.login(&name, &format!("r{number}")).await?;
            client.send(b"<presence/>").await?;
            if !options.one_account || options.full_jid || number == 1 {
                subscribe(&mut client, &options, NODE).await?;
            }
            Outcome::Ok(client)
        });
    }
    let mut sessions = Vec::with_capacity(options.sessions);
    while let Some(joined) = joining.join_next().await {
        sessions.push(joined??);
    }
    Ok(sessions)
}

/// One session: reads until the run ends it.
async fn watch(run: Arc<Run>, index: usize, mut session: Client) {
    loop {
        match session.fill().await {
            Ok(true) => {}
            Ok(false) => return run.broke(format!("session {index}: the server closed the connection")),
            Err(why) => return run.broke(format!("session {index}: {why}")),
        }
        match take(&run, index, &mut session) {
            Ok(answers) if answers.is_empty() => {}
            Ok(answers) => {
                if let Err(why) = session.send(&answers).await {
                    return run.broke(format!("session {index}: {why}"));
                }
            }
            Err(why) => return run.broke(format!("session {index}: {why}")),
        }
    }
}

/// Looks at all that has arrived; gives what is to be answered.
fn take(run: &Run, index: usize, session: &mut Client) -> Outcome<Vec<u8>> {
    let now = run.origin.elapsed();
    let measuring = run.measuring.load(Ordering::Relaxed);
    let (mut answers, mut items) = (Vec::new(), 0);
    while let Some(frame) = session.frame()? {
        match frame {
            Frame::Stanza(stanza) if stanza.starts_with(b"<message") => {
                for stamp in run.payload.stamps(stanza) {
                    run.watchers[index].saw(stamp);
                    items += 1;
                    if measuring {
                        run.latency.record(now.saturating_sub(stamp.sent));
                    }
                }
            }
            Frame::Stanza(stanza) if stanza.starts_with(b"<stream:error") => {
                return Err(String::from_utf8_lossy(stanza).into());
            }
            Frame::Stanza(stanza) => courtesy(stanza, &mut answers),
            Frame::Header(_) => {}
            Frame::Close => return Err("the server closed the stream".into()),
        }
    }
    run.delivered.fetch_add(items, Ordering::Relaxed);
    Ok(answers)
}

/// Publishes until told to stop and all is answered; gives how many.
async fn publish_all(run: Arc<Run>, options: Options, mut client: Client) -> Outcome<u64> {
    let mut sent: HashMap<u64, Instant> = HashMap::new();
    let (mut number, mut out) = (0, Vec::new());
    loop {
        let stop = run.stop.load(Ordering::Relaxed);
        let mut held = false;
        while !stop && sent.len() < options.inflight {
            held = options.ahead > 0 && number >= run.slowest() + options.ahead;
            if held {
                break;
            }
            number += 1;
            let now = run.origin.elapsed();
            publish(&mut out, &number.to_string(), &options.service, NODE, |o| run.payload.write(o, number, now));
            sent.insert(number, Instant::now());
        }
        if !out.is_empty() {
            client.send(&out).await?;
            out.clear();
        }
        if stop && sent.is_empty() {
            return Ok(number);
        }
        let waiting = Instant::now();
        let pause = if held { HELD_PAUSE } else { STOP_PAUSE };
        if let Ok(more) = tokio::time::timeout(pause, client.fill()).await
            && !more?
        {
            return Err("the server closed the publisher's connection".into());
        }
        if held {
            run.held_us.fetch_add(waiting.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
        acknowledge(&run, &mut client, &mut sent, &mut out)?;
        if let Some(oldest) = sent.values().min().filter(|at| at.elapsed() > ANSWER_LIMIT) {
            return Err(format!("a publish was not answered for {:?}", oldest.elapsed()).into());
        }
    }
}

fn acknowledge(run: &Run, client: &mut Client, sent: &mut HashMap<u64, Instant>, out: &mut Vec<u8>) -> Outcome<()> {
    let measuring = run.measuring.load(Ordering::Relaxed);
    while let Some(frame) = client.frame()? {
        let Frame::Stanza(stanza) = frame else { continue };
        let known = attribute(stanza, "id").and_then(|id| id.parse().ok()).and_then(|id| sent.remove(&id));
        match known {
            Some(at) if attribute(stanza, "type") == Some("result") => {
                run.acknowledged.fetch_add(1, Ordering::Relaxed);
                if measuring {
                    run.publish_latency.record(at.elapsed());
                }
            }
            Some(_) => return Err(format!("a publish failed: {}", String::from_utf8_lossy(stanza)).into()),
            None => courtesy(stanza, out),
        }
    }
    Ok(())
}

/// Warms up, then watches the counters for the time asked for.
async fn measure(options: &Options, server: &Server, run: &Run) -> Outcome<(Spent, u64, u64)> {
    tokio::time::sleep(Duration::from_secs(options.warmup)).await;
    run.held_us.store(0, Ordering::Relaxed);
    run.measuring.store(true, Ordering::Relaxed);
    let counts = || (run.delivered.load(Ordering::Relaxed), run.acknowledged.load(Ordering::Relaxed));
    let (before, delivered, published) = (Moment::now(server)?, counts().0, counts().1);
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (after, now) = (Moment::now(server)?, counts());
    run.measuring.store(false, Ordering::Relaxed);
    Ok((before.until(&after), now.0 - delivered, now.1 - published))
}

/// Waits until every session has everything, as long as there is progress.
async fn drain(run: &Run, total: u64) -> Duration {
    let began = Instant::now();
    let mut progress = (run.delivered.load(Ordering::Relaxed), Instant::now());
    while run.slowest() < total && progress.1.elapsed() < DRAIN_LIMIT {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let delivered = run.delivered.load(Ordering::Relaxed);
        if delivered != progress.0 {
            progress = (delivered, Instant::now());
        }
    }
    began.elapsed()
}

struct Figures {
    spent: Spent,
    delivered: u64,
    published: u64,
    total: u64,
    drained: Duration,
}

fn report(options: &Options, server: &Server, run: &Run, figures: &Figures) -> Report {
    let mut report = Report::new("fanout", server);
    report.number("sessions", "sessions", options.sessions as f64, "");
    report.number("inflight", "publishes in flight", options.inflight as f64, "");
    report.number("ahead", "publisher at most ahead", options.ahead as f64, "items");
    report.number("payload_bytes", "payload", options.payload_bytes as f64, "bytes");
    report.word("persist", "items persisted", if options.persist { "yes" } else { "no" });
    report.number("publishes_per_s", "publishes", figures.spent.rate(figures.published), "/s");
    report.number("notifications_per_s", "notifications", figures.spent.rate(figures.delivered), "/s");
    report.spent(&figures.spent, "notification", figures.delivered);
    report.latency("delivery", "delivery", &run.latency);
    report.latency("publish", "acknowledgement", &run.publish_latency);
    let held = run.held_us.load(Ordering::Relaxed) as f64 / 1e6 / figures.spent.wall.as_secs_f64();
    report.number("held_percent", "publisher held back", (held * 100.0).min(100.0), "% of the time");
    report.number("drain_s", "drained in", figures.drained.as_secs_f64(), "s");
    report.number("items", "items in the whole run", figures.total as f64, "");
    let mut faults = [0; 3];
    for watcher in &run.watchers {
        watcher.faults(figures.total).iter().zip(&mut faults).for_each(|(fault, sum)| *sum += fault);
    }
    for (name, count) in ["lost", "reordered", "damaged"].into_iter().zip(faults) {
        report.must_be_none(name, count);
    }
    if figures.delivered == 0 {
        report.fail("nothing was delivered".to_owned());
    }
    let broken = run.broken.lock().unwrap_or_else(PoisonError::into_inner);
    report.must_be_none("sessions_broken", broken.len() as u64);
    broken.iter().take(5).for_each(|why| report.fail(why.clone()));
    report
}

const NODE: &str = "load/fanout";
const HELD_PAUSE: Duration = Duration::from_millis(1);
const STOP_PAUSE: Duration = Duration::from_millis(50);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Draining goes on while something arrives.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
