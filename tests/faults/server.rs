//! A server of its own process, and a client of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;

pub struct Server {
    process: Child,
    http: SocketAddr,
    token: String,
}

impl Server {
    /// A server with its data in `dir/data`, and these settings beside those that tests need.
    pub fn start(dir: &Path, settings: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(arguments(dir, settings));
        Server::run(command, dir, |_| dir.to_owned())
    }

    /// Runs a command that becomes the server, and waits until it serves. `seen` tells where what the
    /// process knows as `dir` is to be found.
    pub fn run(mut command: Command, dir: &Path, seen: impl Fn(&Child) -> PathBuf) -> Server {
        let _ = std::fs::remove_file(dir.join(READY_FILE));
        let mut process = command.stdout(Stdio::null()).spawn().expect("the server can be started");
        let deadline = Instant::now() + PATIENCE;
        let addresses: Value = loop {
            let ready = seen(&process).join(READY_FILE);
            if let Some(addresses) = std::fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                break addresses;
            }
            let ended = process.try_wait().expect("a process of ours");
            assert!(ended.is_none(), "the server has ended: {ended:?}");
            assert!(Instant::now() < deadline, "the server does not serve");
            std::thread::sleep(Duration::from_millis(10));
        };
        let http = addresses["http"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        let token = std::fs::read_to_string(seen(&process).join("data/admin.token")).expect("a token");
        Server { process, http, token: token.trim().to_owned() }
    }

    pub fn kill(mut self) {
        self.process.kill().expect("it can be killed");
    }

    pub fn process(&self) -> u32 {
        self.process.id()
    }

    pub async fn client(&self) -> Client {
        let socket = tokio::net::TcpStream::connect(self.http).await.expect("it listens");
        let (sender, connection) = handshake(TokioIo::new(socket)).await.expect("it speaks HTTP");
        tokio::spawn(connection);
        Client { sender, token: self.token.clone(), host: self.http.to_string() }
    }
}

impl Drop for Server {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the program is to be called with.
pub fn arguments(dir: &Path, settings: &[&str]) -> Vec<String> {
    let text = |path: PathBuf| path.to_str().expect("a path that is text").to_owned();
    let mut arguments = vec!["serve".to_owned(), "--data".to_owned(), text(dir.join("data"))];
    arguments.extend(["--ready-file".to_owned(), text(dir.join(READY_FILE))]);
    let ports =
        ["xmpp.listen", "xmpp.listen_tls", "http.listen", "admin.listen"].map(|key| format!("{key}=127.0.0.1:0"));
    let others = ["pubsub.items_max=10000"].iter().chain(settings).map(|set| (*set).to_owned());
    for set in ports.into_iter().chain(others) {
        arguments.extend(["--set".to_owned(), set]);
    }
    arguments
}

pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    token: String,
    host: String,
}

impl Client {
    /// Status and body; nothing where the server was gone before it answered.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        self.ask_once(None, method, path, body).await
    }

    /// The same under an idempotency key.
    pub async fn ask_once(&mut self, key: Option<&str>, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut request = hyper::Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request
            .header("Host", &self.host)
            .header("Content-Type", "application/json")
            .header("Authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body.to_owned())))
            .expect("a request");
        self.sender.ready().await.ok()?;
        let response = self.sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

const READY_FILE: &str = "test-ready.json";
const PATIENCE: Duration = Duration::from_secs(30);
