//! The door over real sockets, with the engine and a store in memory behind it.

mod admin;
mod attacks;
mod browsers;
mod connections;
mod endpoint;
mod examples;
mod floods;
mod hidden;
mod hooks;
mod ingest;
mod initial;
mod publish;
mod read;
mod refusals;
#[path = "../../../tests/scenes/secrets.rs"]
#[allow(dead_code, reason = "scenes see more than HTTP shows")]
mod secrets;
mod subscriptions;
mod transports;
mod watch;
mod watch_rights;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::access::{self, Access, NewPassword, NewToken, NewUser};
use crate::delivery::webhook::{self, Webhooks};
use crate::delivery::{self, Delivery};
use crate::engine::{self, Engine};
use crate::http::{Api, Door, Metric, MetricKind, Options, Rooms, Secret, serve};
use crate::jid::BareJid;
use crate::store::memory::MemoryStore;
use crate::time::SystemClock;

/// A server, and what it takes to talk to it.
struct Stage {
    door: Arc<Door>,
    store: Arc<MemoryStore>,
    http: SocketAddr,
    admin: SocketAddr,
    access: Access,
    closing: CancellationToken,
    over: CancellationToken,
    served: Vec<JoinHandle<()>>,
}

impl Stage {
    async fn open() -> Self {
        Stage::with(Options::default(), engine::Options::default()).await
    }

    /// With a node `n` that belongs to alice.
    async fn with_node() -> (Self, Caller) {
        let stage = Stage::open().await;
        let alice = stage.caller("alice", &[]).await;
        alice.create("n", "{}").await;
        (stage, alice)
    }

    /// With a node that had a namesake, a cursor of that one, and an item `b`.
    async fn with_a_cursor_that_is_gone() -> (Self, Caller, String) {
        let (stage, alice) = Stage::with_node().await;
        let gone = alice.publish("n", "a", "1").await;
        alice.delete("/v1/nodes/n").await;
        alice.create("n", "{}").await;
        alice.publish("n", "b", "1").await;
        (stage, alice, gone)
    }

    async fn with(options: Options, engine_options: engine::Options) -> Self {
        Stage::with_webhooks(options, engine_options, webhook::Options::default()).await
    }

    async fn with_webhooks(
        options: Options,
        engine_options: engine::Options,
        webhook_options: webhook::Options,
    ) -> Self {
        Stage::over(Arc::new(MemoryStore::new()), options, engine_options, webhook_options).await
    }

    /// A server over what another one has left.
    async fn over(
        store: Arc<MemoryStore>,
        options: Options,
        engine_options: engine::Options,
        webhook_options: webhook::Options,
    ) -> Self {
        secrets::listen();
        secrets::own();
        secrets::ears().check("the options", format!("{options:?}").as_bytes()).unwrap();
        let (closing, over) = (CancellationToken::new(), CancellationToken::new());
        let clock = Arc::new(SystemClock);
        let access_options = access::Options { scram_iterations: 4096, ..access::Options::default() };
        let access = Access::new(store.clone(), clock.clone(), access_options);
        let (engine, turns) = Engine::new(store.clone(), clock.clone(), engine_options);
        let delivery = Delivery::new(engine.clone(), delivery::Options::default(), closing.clone());
        tokio::spawn(turns.run(Arc::new(delivery.clone()), over.clone()));
        tokio::spawn(delivery.clone().run(over.clone()));
        let cursors = delivery.cursors().clone();
        let cuts = access.revocations();
        let webhooks = Webhooks::new(delivery.clone(), webhook_options, cuts, closing.clone()).unwrap();
        let calling = tokio::spawn(webhooks.clone().run());
        let metric = Metric::one("tidings_engine_test", "What another room tells.", MetricKind::Gauge, || 7);
        let metrics = vec![metric];
        let rooms = Rooms { engine, delivery, cursors, access: access.clone(), webhooks, clock, metrics };
        let service = BareJid::parse("pubsub.localhost").unwrap();
        let door = Door::new(rooms, service, closing.clone(), options.clone());
        let mut addresses = vec![];
        let mut served = vec![calling];
        for api in [Api::Public(door.clone()), Api::Admin(door.clone())] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            served.push(tokio::spawn(serve(listener, api, None, closing.clone(), options.clone())));
        }
        Stage { door, store, http: addresses[0], admin: addresses[1], access, closing, over, served }
    }

    /// How many watches are open.
    fn watches(&self) -> u64 {
        self.door.watches.count()
    }

    /// An account with a token of these scopes; none for everything.
    async fn caller(&self, name: &str, scopes: &[&str]) -> Caller {
        let token = self.token(name, scopes, false).await;
        Caller { address: self.http, credential: format!("Bearer {token}") }
    }

    async fn administrator(&self) -> Caller {
        let token = self.token("root", &[], true).await;
        Caller { address: self.admin, credential: format!("Bearer {token}") }
    }

    async fn token(&self, name: &str, scopes: &[&str], admin: bool) -> String {
        let password = format!("{name}-password");
        secrets::ears().keep(&password);
        let new = NewUser { name: name.to_owned(), password: NewPassword::Chosen(password), admin, verifier: None };
        // The account may be there already: then only the token is new.
        let _ = self.access.add_user(new).await;
        let account = BareJid::parse(&format!("{name}@localhost")).unwrap();
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let text = self.access.create_token(NewToken { account, scopes, expires_seconds: None }).await.unwrap().text;
        secrets::ears().keep(&text);
        text
    }

    /// Stops the server, which must end by itself.
    async fn close(mut self) {
        self.closing.cancel();
        for served in std::mem::take(&mut self.served) {
            timeout(PATIENCE, served).await.expect("the server ends in time").unwrap();
        }
        self.over.cancel();
    }
}

/// Security row L3: no test ends with a secret in the log.
impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            secrets::ears().check_log().unwrap();
        }
    }
}

/// Somebody who asks.
struct Caller {
    address: SocketAddr,
    credential: String,
}

/// What was answered.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Reply {
    /// A secret is shown to nobody but whom it is made for, once.
    fn look_through(&self, path: &str) {
        secrets::ears().overhear_json(&self.body);
        if self.status >= 400 || path == "/metrics" {
            secrets::ears().check("a problem", format!("{:?}", self.headers).as_bytes()).unwrap();
            secrets::ears().check("a problem", &self.body).unwrap();
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// The stable part of a problem's type.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let object = self.json();
        assert_eq!(object["status"], self.status, "{self:?}");
        object["type"].as_str().unwrap().strip_prefix("urn:tidings:problem:").unwrap().to_owned()
    }
}

type Body<'a> = Option<(&'a str, &'a [u8])>;

impl Caller {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Body<'_>) -> Reply {
        let response = self.send(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect()).await.expect("a whole answer in time").unwrap().to_bytes();
        for (name, value) in [("x-content-type-options", "nosniff"), ("content-security-policy", "default-src 'none'")]
        {
            assert_eq!(parts.headers[name], value, "{method} {path}");
        }
        let reply = Reply { status: parts.status.as_u16(), headers: parts.headers, body };
        reply.look_through(path);
        reply
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> hyper::Response<Incoming> {
        let mut sender = connect(self.address).await;
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        if !self.credential.is_empty() {
            request = request.header("authorization", &self.credential);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut bytes = Bytes::new();
        if let Some((content_type, body)) = body {
            if !content_type.is_empty() {
                request = request.header("content-type", content_type);
            }
            secrets::ears().overhear_json(body);
            bytes = Bytes::copy_from_slice(body);
        }
        let request = request.body(Full::new(bytes)).unwrap();
        timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], None).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &[], None).await
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(method, path, &[], Some(("application/json", body.as_bytes()))).await
    }

    /// Creates a node, which must succeed.
    async fn create(&self, node: &str, config: &str) {
        let reply = self.json("PUT", &format!("/v1/nodes/{node}"), config).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }

    /// Publishes JSON, which must succeed; the cursor of it.
    async fn publish(&self, node: &str, item: &str, data: &str) -> String {
        let reply = self.json("PUT", &format!("/v1/nodes/{node}/items/{item}"), data).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        reply.json()["cursor"].as_str().unwrap().to_owned()
    }

    /// Watches; the answer must be a stream.
    async fn watch(&self, path: &str, last: Option<&str>) -> Events {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let response = self.send("GET", path, &headers, None).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { body: response.into_body(), unread: BytesMut::new() }
    }
}

/// An event stream, block by block.
struct Events {
    body: Incoming,
    unread: BytesMut,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Block {
    event: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    comments: usize,
    data: Option<Value>,
}

impl Events {
    /// The next block; none at the end of the stream.
    async fn next(&mut self) -> Option<Block> {
        timeout(PATIENCE, self.block()).await.expect("a block in time")
    }

    /// The next block that bears data.
    async fn event(&mut self) -> Block {
        loop {
            let block = self.next().await.expect("an event, and not the end");
            if block.data.is_some() {
                return block;
            }
        }
    }

    async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block = self.unread.split_to(end + 2);
                return Some(Block::read(std::str::from_utf8(&block).unwrap()));
            }
            let frame = self.body.frame().await?.ok()?;
            self.unread.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}

impl Block {
    fn read(text: &str) -> Self {
        let mut block = Block::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => block.event = Some(name.to_owned()),
                Some(("id", id)) => block.id = Some(id.to_owned()),
                Some(("retry", wait)) => block.retry = Some(wait.parse().unwrap()),
                Some(("data", data)) => block.data = Some(serde_json::from_str(data).unwrap()),
                _ if line.starts_with(':') => block.comments += 1,
                _ => assert_eq!(line, ""),
            }
        }
        block
    }

    /// Its name and the item that it is of.
    fn summary(&self) -> (&str, &str) {
        let id = self.data.as_ref().and_then(|data| data["id"].as_str());
        (self.event.as_deref().unwrap_or(""), id.unwrap_or(""))
    }
}

/// A secret of a sender of webhooks.
fn signed_with(secret: &str) -> Secret {
    secrets::ears().keep(secret);
    Secret::new(secret.as_bytes().to_vec())
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);
