//! Acknowledged publishes over HTTP/1.1: keep-alive connections, one publish in flight on each, each to its own node.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::door::{Door, Io};
use crate::measure::{Histogram, Report};
use crate::options::Options;
use crate::publish::{Run, measure};
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    server.token.as_ref().ok_or("http-publish wants an API token")?;
    let door = Door::new(options, server)?;
    let run = Arc::new(Run::new(options));
    let padding = "x".repeat(options.payload_bytes.saturating_sub(r#"{"n":000000000000,"p":""}"#.len()));
    let mut publishing = JoinSet::new();
    for number in 0..options.inflight {
        let mut connection = Connection::open(&door, format!("load%2Fhttp%2F{number}")).await?;
        connection.publish("?create=true", &body(0, &padding)).await?;
        let pace = pace(options, number);
        publishing.spawn(go(Arc::clone(&run), connection, padding.clone(), pace));
    }
    let mut report = measure("http-publish", options, server, &run).await?;
    while let Some(ended) = publishing.join_next().await {
        ended??;
    }
    // What a commit costs here at the least: the same bytes, written behind others and synced.
    if let Some(folder) = server.folder() {
        report.latency("sync", "write and sync of a payload", &sync(folder, options.payload_bytes)?);
    }
    Ok(report)
}

/// When one of the connections publishes first, and how often.
pub type Pace = (tokio::time::Instant, Duration);

/// A steady rate over all of them together, where one is asked for.
pub fn pace(options: &Options, number: usize) -> Option<Pace> {
    let each = Duration::from_secs_f64(options.inflight as f64 / options.rate? as f64);
    Some((tokio::time::Instant::now() + each.mul_f64(number as f64 / options.inflight as f64), each))
}

/// One after another, with pauses, as a server does that has little to do.
fn sync(folder: &Path, bytes: usize) -> Outcome<Histogram> {
    let mut file = std::fs::File::create(folder.join("sync"))?;
    let latency = Histogram::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&vec![b'x'; bytes.next_multiple_of(4096)])?;
        file.sync_data()?;
        latency.record(begun.elapsed());
        std::thread::sleep(SYNC_PAUSE);
    }
    Ok(latency)
}

async fn go(run: Arc<Run>, mut connection: Connection, padding: String, pace: Option<Pace>) -> Outcome<()> {
    let mut number = 0;
    let mut ticks = pace.map(|(first, each)| tokio::time::interval_at(first, each));
    while !run.stop.load(Ordering::Relaxed) {
        number += 1;
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let sent = Instant::now();
        connection.publish("", &body(number, &padding)).await?;
        run.acknowledged(sent.elapsed());
    }
    Ok(())
}

fn body(number: u64, padding: &str) -> String {
    // A JSON number has no leading noughts: a first digit keeps the width.
    format!("{{\"n\":{},\"p\":\"{padding}\"}}", 100_000_000_000 + number)
}

/// One keep-alive connection that publishes to one node.
pub struct Connection {
    io: Io,
    head: String,
    node: String,
    bytes: Vec<u8>,
}

impl Connection {
    pub async fn open(door: &Door, node: String) -> Outcome<Connection> {
        Ok(Connection { io: door.dial().await?, head: door.head.clone(), node, bytes: Vec::new() })
    }

    pub async fn publish(&mut self, query: &str, body: &str) -> Outcome<()> {
        let path = format!("/v1/nodes/{}/items{query}", self.node);
        self.post(&path, body).await
    }

    /// Posts, which must succeed.
    pub async fn post(&mut self, path: &str, body: &str) -> Outcome<()> {
        let mut request = Vec::with_capacity(body.len() + 512);
        let (head, length) = (&self.head, body.len());
        write!(request, "POST {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")?;
        self.ask(&request).await
    }

    /// What is answered, head and all; it must succeed.
    pub async fn get(&mut self, path: &str) -> Outcome<Vec<u8>> {
        let head = &self.head;
        let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n");
        self.ask(request.as_bytes()).await?;
        Ok(self.bytes.clone())
    }

    /// The position of a node's log.
    pub async fn cursor(&mut self) -> Outcome<String> {
        let path = format!("/v1/nodes/{}/items?limit=0", self.node);
        let answer = self.get(&path).await?;
        let text = String::from_utf8_lossy(&answer).to_string();
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("tidings-cursor:"));
        Ok(line.and_then(|line| line.split_once(": ")).ok_or("an answer without a cursor")?.1.to_owned())
    }

    async fn ask(&mut self, request: &[u8]) -> Outcome<()> {
        match self.status(request).await? {
            200..=202 => Ok(()),
            _ => Err(format!("a publish failed: {}", String::from_utf8_lossy(&self.bytes)).into()),
        }
    }

    /// Asks, whatever is answered; the status.
    pub async fn status(&mut self, request: &[u8]) -> Outcome<u16> {
        self.io.write_all(request).await?;
        self.io.flush().await?;
        match tokio::time::timeout(ANSWER_LIMIT, self.answer()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("a request was not answered within {ANSWER_LIMIT:?}").into()),
        }
    }

    async fn answer(&mut self) -> Outcome<u16> {
        self.bytes.clear();
        loop {
            if self.io.read_buf(&mut self.bytes).await? == 0 {
                return Err("the server closed a publisher's connection".into());
            }
            if let Some(end) = whole(&self.bytes)? {
                let status = self.bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
                let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
                return match status {
                    Some(status) if end == self.bytes.len() => Ok(status),
                    _ => Err(format!("no answer: {}", String::from_utf8_lossy(&self.bytes)).into()),
                };
            }
        }
    }
}

/// Where the answer ends, once it is whole. An answer to a publish has a `Content-Length`.
fn whole(bytes: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let length = bytes[..head].split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(LENGTH.len())?;
        let value = name.eq_ignore_ascii_case(LENGTH).then(|| value.trim_ascii())?;
        std::str::from_utf8(value).ok()?.parse::<usize>().ok()
    });
    let length = length.ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes[..head]);
        format!("an answer without Content-Length: {text}")
    })?;
    Ok((bytes.len() >= head + length).then_some(head + length))
}

const LENGTH: &[u8] = b"content-length:";
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const SYNCS: usize = 200;
const SYNC_PAUSE: Duration = Duration::from_millis(5);
