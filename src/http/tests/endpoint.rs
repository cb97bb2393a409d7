//! An endpoint of webhooks that does as it is told.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::*;

/// What the endpoint does with one request.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    Answer(u16),
    Redirect,
    /// Says how long to wait.
    Later(u64),
    Hang,
    /// Closes in the middle of its answer.
    Break,
    /// Answers with more than anybody wants to read.
    Flood,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Called {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub raw: Vec<u8>,
    pub event: Value,
}

impl Called {
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap()
    }
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Does>>,
    otherwise: Mutex<Option<Does>>,
    called: Mutex<Vec<Called>>,
    connections: std::sync::atomic::AtomicUsize,
    changed: Notify,
}

#[derive(Clone)]
pub struct Endpoint {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Endpoint {
    pub async fn open(at: &str) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let endpoint = Endpoint { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = endpoint.state.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                state.connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::spawn(serve_one(socket, state.clone()));
            }
        });
        endpoint
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it does with the next requests; after them, everything is well, or as `always` says.
    pub fn script(&self, does: &[Does]) {
        *self.state.script.lock().unwrap() = does.iter().copied().collect();
    }

    pub fn always(&self, does: Option<Does>) {
        *self.state.otherwise.lock().unwrap() = does;
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub fn calls(&self) -> Vec<Called> {
        self.state.called.lock().unwrap().clone()
    }

    /// Waits until so many events have come, challenges not counted.
    pub async fn called(&self, count: usize) -> Vec<Called> {
        timeout(PATIENCE, async {
            loop {
                let changed = self.state.changed.notified();
                let calls = self.calls();
                if calls.len() >= count {
                    return calls;
                }
                changed.await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{count} calls, not {:?}", self.calls().len()))
    }
}

async fn serve_one(mut socket: TcpStream, state: Arc<State>) {
    let mut unread = Vec::new();
    loop {
        let Some((head, body)) = read_request(&mut socket, &mut unread).await else { return };
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let event: Value = serde_json::from_slice(&body).unwrap();
        if event["type"] == "tidings.challenge" {
            let challenge = event["challenge"].as_str().unwrap();
            let _ = socket.write_all(answer(200, "", challenge).as_bytes()).await;
            continue;
        }
        let called = Called {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            raw: body,
            event,
        };
        state.called.lock().unwrap().push(called);
        state.changed.notify_waiters();
        let next = state.script.lock().unwrap().pop_front();
        let does = next.or(*state.otherwise.lock().unwrap()).unwrap_or(Does::Answer(204));
        let text = match does {
            Does::Answer(status) => answer(status, "", ""),
            Does::Redirect => answer(302, "Location: http://127.0.0.1:1/elsewhere\r\n", ""),
            Does::Later(seconds) => answer(503, &format!("Retry-After: {seconds}\r\n"), ""),
            Does::Hang => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return;
            }
            Does::Break => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
                return;
            }
            Does::Flood => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
                while socket.write_all(&[b'x'; 65536]).await.is_ok() {}
                return;
            }
        };
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

async fn read_request(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(unread[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if unread.len() >= whole {
                let body = unread[end + 4..whole].to_vec();
                unread.drain(..whole);
                return Some((head, body));
            }
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => unread.extend_from_slice(&buffer[..read]),
        }
    }
}
