//! Acknowledged publishes over HTTP/1.1: keep-alive connections, one publish in flight on each, each to its own node.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::measure::Report;
use crate::options::Options;
use crate::publish::{Run, measure};
use crate::server::Server;

pub async fn run(options: &Options, server: &Server) -> Outcome<Report> {
    let token = server.token.clone().ok_or("http-publish wants an API token")?;
    let address = server.http()?;
    let run = Arc::new(Run::new(options));
    let padding = "x".repeat(options.payload_bytes.saturating_sub(r#"{"n":000000000000,"p":""}"#.len()));
    let mut publishing = JoinSet::new();
    for number in 0..options.inflight {
        let head = format!("Host: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let mut connection = Connection::open(address, head, format!("load%2Fhttp%2F{number}")).await?;
        connection.publish("?create=true", &body(0, &padding)).await?;
        publishing.spawn(go(Arc::clone(&run), connection, padding.clone()));
    }
    let report = measure("http-publish", options, server, &run).await?;
    while let Some(ended) = publishing.join_next().await {
        ended??;
    }
    Ok(report)
}

async fn go(run: Arc<Run>, mut connection: Connection, padding: String) -> Outcome<()> {
    let mut number = 0;
    while !run.stop.load(Ordering::Relaxed) {
        number += 1;
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
    tcp: TcpStream,
    head: String,
    node: String,
    bytes: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr, head: String, node: String) -> Outcome<Connection> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Connection { tcp, head, node, bytes: Vec::new() })
    }

    pub async fn publish(&mut self, query: &str, body: &str) -> Outcome<()> {
        let mut request = Vec::with_capacity(body.len() + 512);
        let (node, head, length) = (&self.node, &self.head, body.len());
        write!(request, "POST /v1/nodes/{node}/items{query} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}")?;
        self.tcp.write_all(&request).await?;
        match tokio::time::timeout(ANSWER_LIMIT, self.answer()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("a publish was not answered within {ANSWER_LIMIT:?}").into()),
        }
    }

    async fn answer(&mut self) -> Outcome<()> {
        self.bytes.clear();
        loop {
            if self.tcp.read_buf(&mut self.bytes).await? == 0 {
                return Err("the server closed a publisher's connection".into());
            }
            if let Some(end) = whole(&self.bytes)? {
                let ok = self.bytes.starts_with(b"HTTP/1.1 201") || self.bytes.starts_with(b"HTTP/1.1 200");
                return match ok && end == self.bytes.len() {
                    true => Ok(()),
                    false => Err(format!("a publish failed: {}", String::from_utf8_lossy(&self.bytes)).into()),
                };
            }
        }
    }
}

/// Where the answer ends, once it is whole. An answer to a publish has a `Content-Length`.
fn whole(bytes: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let length = length.ok_or_else(|| format!("an answer without Content-Length: {text}"))?;
    Ok((bytes.len() >= head + length).then_some(head + length))
}

const ANSWER_LIMIT: Duration = Duration::from_secs(60);
