//! Watchers over HTTP: what an idle event stream costs in memory, and what a delivered event costs.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::door::{Door, Io};
use crate::http_publish::{Connection, Pace, pace};
use crate::measure::{Histogram, Moment, Report};
use crate::nchan;
use crate::options::{Options, Target};
use crate::server::Server;

/// What all watchers and publishers share.
struct Shared {
    began: Instant,
    measuring: AtomicBool,
    stop: AtomicBool,
    open: AtomicU64,
    events: AtomicU64,
    broken: AtomicU64,
    latency: Histogram,
}

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let process = server.process().ok_or("watchers wants --pid with --connect")?;
    let door = Door::new(options, server)?;
    let place = Place::of(options);
    let shared = Arc::new(Shared {
        began: Instant::now(),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        open: AtomicU64::new(0),
        events: AtomicU64::new(0),
        broken: AtomicU64::new(0),
        latency: Histogram::new(),
    });
    let mut first = Connection::open(&door, String::new()).await?;
    first.post(place.create, "{}").await?;
    let mut report = Report::new("watchers", server);
    tokio::time::sleep(SETTLE_BEFORE).await;
    let before = process.resident_kib()?;
    let mut watching = JoinSet::new();
    // Beside the whole, the slope: what the first of them need may be there already, or be needed once.
    let tenth = options.sessions / 10;
    let mut at_tenth = before;
    for number in 0..options.sessions {
        if number == tenth && tenth > 0 {
            open(&shared, number as u64).await?;
            tokio::time::sleep(Duration::from_secs(options.settle)).await;
            at_tenth = process.resident_kib()?;
        }
        watching.spawn(watch(Arc::clone(&shared), Arc::clone(&door), place));
        // As many handshakes at once as the listener's queue takes.
        while shared.open.load(Ordering::Relaxed) + BEGINNING_MAX <= number as u64 {
            opening(&shared)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    open(&shared, options.sessions as u64).await?;
    tokio::time::sleep(Duration::from_secs(options.settle)).await;
    let after = process.resident_kib()?;
    let each = after.saturating_sub(before) as f64 / options.sessions as f64;
    let slope = after.saturating_sub(at_tenth) as f64 / (options.sessions - tenth) as f64;
    report.word("transport", "transport", if options.https { "TLS" } else { "plain" });
    report.number("watchers", "idle event streams", options.sessions as f64, "");
    report.number("kib_per_watcher", "resident per idle event stream", each, "KiB");
    report.number("kib_per_watcher_slope", "the same as the slope from a tenth of them", slope, "KiB");

    let padding = "x".repeat(options.payload_bytes.saturating_sub(r#"{"at":000000000000,"p":""}"#.len()));
    let mut publishing = JoinSet::new();
    for number in 0..options.inflight {
        let connection = Connection::open(&door, String::new()).await?;
        let pace = pace(options, number);
        publishing.spawn(publish(Arc::clone(&shared), connection, padding.clone(), place, pace));
    }
    tokio::time::sleep(Duration::from_secs(options.warmup)).await;
    shared.measuring.store(true, Ordering::Relaxed);
    let (from, started) = (shared.events.load(Ordering::Relaxed), Moment::now(server)?);
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let spent = started.until(&Moment::now(server)?);
    let events = shared.events.load(Ordering::Relaxed) - from;
    shared.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = publishing.join_next().await {
        ended??;
    }
    watching.shutdown().await;
    report.number("inflight", "publishes in flight", options.inflight as f64, "");
    if let Some(rate) = options.rate {
        report.number("rate", "publishes asked for", rate as f64, "/s");
    }
    report.number("events_per_second", "events delivered", spent.rate(events), "/s");
    report.spent(&spent, "event", events);
    report.latency("delivery", "publish to delivery", &shared.latency);
    report.must_be_none("watchers_broken", shared.broken.load(Ordering::Relaxed));
    Ok(report)
}

/// Until so many event streams are open.
async fn open(shared: &Shared, count: u64) -> Outcome<()> {
    while shared.open.load(Ordering::Relaxed) < count {
        opening(shared)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn opening(shared: &Shared) -> Outcome<()> {
    match shared.broken.load(Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err("a watcher could not be opened".into()),
    }
}

/// Where a server has the one stream.
#[derive(Clone, Copy)]
struct Place {
    create: &'static str,
    publish: &'static str,
    watch: &'static str,
}

impl Place {
    fn of(options: &Options) -> Place {
        match options.target {
            Target::Nchan => Place { create: nchan::PUBLISH, publish: nchan::PUBLISH, watch: nchan::WATCH },
            _ => Place {
                create: "/v1/nodes/load%2Fwatched/items?create=true",
                publish: "/v1/nodes/load%2Fwatched/items",
                watch: "/v1/nodes/load%2Fwatched/items?watch=true&types=published",
            },
        }
    }
}

async fn publish(
    shared: Arc<Shared>,
    mut connection: Connection,
    padding: String,
    place: Place,
    pace: Option<Pace>,
) -> Outcome<()> {
    let mut ticks = pace.map(|(first, each)| tokio::time::interval_at(first, each));
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        // A JSON number has no leading noughts: a first digit keeps the width.
        let at = FIRST_DIGIT + shared.began.elapsed().as_micros() as u64;
        connection.post(place.publish, &format!("{{\"at\":{at},\"p\":\"{padding}\"}}")).await?;
    }
    Ok(())
}

/// Opens one event stream and counts what comes, until the driver ends it.
async fn watch(shared: Arc<Shared>, door: Arc<Door>, place: Place) {
    if let Err(why) = follow(&shared, &door, place).await
        && shared.broken.fetch_add(1, Ordering::Relaxed) == 0
    {
        eprintln!("a watcher: {why}");
    }
}

async fn follow(shared: &Shared, door: &Door, place: Place) -> Outcome<()> {
    let mut io = door.dial().await?;
    let (path, head) = (place.watch, &door.head);
    let request = format!("GET {path} HTTP/1.1\r\n{head}Accept: text/event-stream\r\n\r\n");
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let mut reader = Reader::default();
    while poll_fn(|cx| reader.poll(cx, &mut io, shared)).await? {}
    Err("the server closed an event stream".into())
}

/// What one watcher knows between two readings.
#[derive(Default)]
struct Reader {
    open: bool,
    /// The end of what was read, which may be the beginning of a mark.
    kept: Vec<u8>,
}

impl Reader {
    /// Reads once; whether the stream goes on. What is read stands on the stack of the poll, so that a reading takes
    /// much and a watcher that waits holds nothing.
    fn poll(&mut self, cx: &mut Context<'_>, io: &mut Io, shared: &Shared) -> Poll<Outcome<bool>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
        let mut unread = ReadBuf::uninit(&mut bytes);
        unread.put_slice(&self.kept);
        ready!(Pin::new(io).poll_read(cx, &mut unread))?;
        if unread.filled().len() == self.kept.len() {
            return Poll::Ready(Ok(false));
        }
        Poll::Ready(self.take(unread.filled(), shared).map(|()| true))
    }

    fn take(&mut self, unread: &[u8], shared: &Shared) -> Outcome<()> {
        let mut taken = 0;
        if self.open || unread.len() >= STATUS.len() {
            if !self.open && !unread.starts_with(STATUS) {
                return Err(format!("no event stream: {}", String::from_utf8_lossy(unread)).into());
            }
            if !std::mem::replace(&mut self.open, true) {
                shared.open.fetch_add(1, Ordering::Relaxed);
            }
            let now = shared.began.elapsed().as_micros() as u64;
            for at in memchr::memmem::find_iter(unread, MARK) {
                let digits = at + MARK.len()..at + MARK.len() + DIGITS;
                let Some(digits) = unread.get(digits.clone()) else { break };
                taken = at + MARK.len() + DIGITS;
                let sent = std::str::from_utf8(digits)?.parse::<u64>()?.saturating_sub(FIRST_DIGIT);
                shared.events.fetch_add(1, Ordering::Relaxed);
                if shared.measuring.load(Ordering::Relaxed) {
                    shared.latency.record(Duration::from_micros(now.saturating_sub(sent)));
                }
            }
        }
        self.kept.clear();
        self.kept.extend_from_slice(&unread[taken.max(unread.len().saturating_sub(MARK.len() + DIGITS - 1))..]);
        Ok(())
    }
}

const STATUS: &[u8] = b"HTTP/1.1 200";
const MARK: &[u8] = b"{\"at\":";
const FIRST_DIGIT: u64 = 100_000_000_000;
const DIGITS: usize = 12;
/// The most of one reading.
const READ_BYTES: usize = 64 * 1024;
/// Event streams that are begun and not open yet.
const BEGINNING_MAX: u64 = 64;
/// The server has started, and what its start needed is given back.
const SETTLE_BEFORE: Duration = Duration::from_secs(2);
