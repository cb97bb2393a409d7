//! Deliveries of webhooks in parallel mode: publishes at a steady rate over many nodes, each with an endpoint on
//! loopback over plain HTTP; some endpoints may hang and some may be dead. Measured at the endpoints, from the moment
//! at which an item is sent to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::door::Door;
use crate::http_publish::Connection;
use crate::measure::{Histogram, Moment, Report};
use crate::options::Options;
use crate::server::Server;

/// What the endpoints have seen, and what is to be counted of it.
struct Seen {
    began: Instant,
    delivered: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
    latency: Histogram,
    /// Endpoints with a lower number answer nothing any more once `broken` is set.
    hanging: usize,
    broken: AtomicBool,
}

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    server.token.as_ref().ok_or("webhooks wants an API token")?;
    let door = Door::new(options, server)?;
    let rate = options.rate.unwrap_or(RATE);
    let seen = Arc::new(Seen {
        began: Instant::now(),
        delivered: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        latency: Histogram::new(),
        hanging: options.hanging,
        broken: AtomicBool::new(false),
    });
    let (alive, dying) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (alive_at, dying_at) = (alive.local_addr()?, dying.local_addr()?);
    let endpoints = tokio::spawn(listen(alive, Arc::clone(&seen)));
    let dead = tokio::spawn(listen(dying, Arc::clone(&seen)));
    let mut setup = Connection::open(&door, String::new()).await?;
    for number in 0..options.sessions {
        let sick = options.hanging..options.hanging + options.dead;
        let at = if sick.contains(&number) { dying_at } else { alive_at };
        create(&mut setup, number, at).await?;
    }
    // They have shown that they want to be endpoints; now some of them are none any more.
    seen.broken.store(true, Ordering::Relaxed);
    dead.abort();

    let connections = options.inflight;
    let mut publishing = JoinSet::new();
    for number in 0..connections {
        let connection = Connection::open(&door, String::new()).await?;
        publishing.spawn(publish(Arc::clone(&seen), connection, options.clone(), number));
    }
    tokio::time::sleep(Duration::from_secs(options.warmup)).await;
    seen.measuring.store(true, Ordering::Relaxed);
    let (before, first) = (Moment::now(server)?, seen.delivered.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (after, last) = (Moment::now(server)?, seen.delivered.load(Ordering::Relaxed));
    seen.measuring.store(false, Ordering::Relaxed);
    seen.stop.store(true, Ordering::Relaxed);
    let mut published = 0;
    while let Some(ended) = publishing.join_next().await {
        published += ended??;
    }
    // What was published to healthy endpoints must arrive, and not only most of it.
    let patience = Instant::now() + SETTLE_LIMIT;
    while seen.delivered.load(Ordering::Relaxed) < published && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let missing = published.saturating_sub(seen.delivered.load(Ordering::Relaxed));
    endpoints.abort();

    let (spent, count) = (before.until(&after), last - first);
    let mut report = Report::new("webhooks", server);
    report.number("endpoints", "endpoints", options.sessions as f64, "");
    report.number("hanging", "of which hang", options.hanging as f64, "");
    report.number("dead", "of which are dead", options.dead as f64, "");
    report.number("rate", "publishes asked for", rate as f64, "/s");
    report.number("payload_bytes", "payload", options.payload_bytes as f64, "bytes");
    report.number("deliveries_per_s", "delivered", spent.rate(count), "/s");
    report.spent(&spent, "delivery", count);
    report.latency("delivery", "from publish to delivery", &seen.latency);
    let p95 = seen.latency.quantile(0.95).as_secs_f64() * 1e3;
    report.number("delivery_p95_ms", "from publish to delivery p95", p95, "ms");
    report.must_be_none("missing", missing);
    if count == 0 {
        report.fail("nothing was delivered".to_owned());
    }
    Ok(report)
}

async fn create(setup: &mut Connection, number: usize, endpoint: SocketAddr) -> Outcome<()> {
    let node = node(number);
    setup.post(&format!("/v1/nodes/{node}/items?create=true"), "0").await?;
    let wish = format!("{{\"url\":\"http://{endpoint}/{number}\",\"types\":[\"published\"],\"mode\":\"parallel\"}}");
    setup.post(&format!("/v1/nodes/{node}/webhooks"), &wish).await
}

/// Publishes its share at a steady rate; how many went to endpoints that are well.
async fn publish(seen: Arc<Seen>, mut connection: Connection, options: Options, number: usize) -> Outcome<u64> {
    let connections = options.inflight as u64;
    let mut ticks =
        tokio::time::interval(Duration::from_secs_f64(connections as f64 / options.rate.unwrap_or(RATE) as f64));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let padding = "x".repeat(options.payload_bytes.saturating_sub(r#"{"t":000000000000000000,"p":""}"#.len()));
    let (mut round, mut healthy) = (number as u64, 0);
    while !seen.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let at = (round % options.sessions as u64) as usize;
        round += connections;
        let body = format!("{{\"t\":{},\"p\":\"{padding}\"}}", FIRST + seen.began.elapsed().as_nanos() as u64);
        connection.post(&format!("/v1/nodes/{}/items", node(at)), &body).await?;
        healthy += u64::from(at >= options.hanging + options.dead);
    }
    Ok(healthy)
}

async fn listen(listener: TcpListener, seen: Arc<Seen>) {
    let mut open = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        open.spawn(endpoint(tcp, Arc::clone(&seen)));
        while open.try_join_next().is_some() {}
    }
}

/// One connection to an endpoint; ends with it.
async fn endpoint(mut tcp: TcpStream, seen: Arc<Seen>) {
    let _ = tcp.set_nodelay(true);
    let mut bytes = Vec::with_capacity(8192);
    loop {
        let Some(end) = whole(&bytes) else {
            match tcp.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let now = seen.began.elapsed();
        let hangs = seen.broken.load(Ordering::Relaxed) && number(&bytes).is_some_and(|number| number < seen.hanging);
        if hangs {
            std::future::pending::<()>().await;
        }
        let challenge = member(&bytes[..end], b"\"challenge\":\"").map(|text| text.to_vec()).unwrap_or_default();
        if challenge.is_empty() {
            let stamp =
                member(&bytes[..end], b"\"t\":").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            if let Some(sent) = stamp.and_then(|stamp: u64| stamp.checked_sub(FIRST)) {
                if seen.measuring.load(Ordering::Relaxed) {
                    seen.latency.record(now.saturating_sub(Duration::from_nanos(sent)));
                }
                seen.delivered.fetch_add(1, Ordering::Relaxed);
            }
        }
        bytes.drain(..end);
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", challenge.len()).into_bytes();
        answer.extend_from_slice(&challenge);
        if tcp.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Where the first request ends, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
    (bytes.len() >= head + length).then_some(head + length)
}

/// Which endpoint a request is for: `POST /7 HTTP/1.1`.
fn number(bytes: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(bytes.split(|byte| *byte == b'\r').next()?).ok()?;
    line.split(' ').nth(1)?.strip_prefix('/')?.parse().ok()
}

/// What stands between a member's beginning and the next quote, comma or brace.
fn member<'a>(bytes: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    let rest = &bytes[memchr::memmem::find(bytes, begin)? + begin.len()..];
    Some(&rest[..rest.iter().position(|byte| matches!(byte, b'"' | b',' | b'}'))?])
}

fn node(number: usize) -> String {
    format!("load%2Fhook%2F{number}")
}

/// Publishes a second, where nothing else is asked for.
const RATE: u64 = 2000;
/// A first digit keeps the width of a stamp.
const FIRST: u64 = 100_000_000_000_000_000;
/// For what is still on its way when the measurement ends.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
