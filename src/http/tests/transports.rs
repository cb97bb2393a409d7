//! The other ways to be told: lines, long polls, WebSockets, several nodes, HTTP/2.

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Empty;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;

const WATCH: &str = "/v1/nodes/n/items?watch=true";

/// Lines of JSON, one by one.
pub(super) struct Lines {
    body: Incoming,
    unread: BytesMut,
}

impl Lines {
    pub(super) async fn next(&mut self) -> Option<Value> {
        timeout(PATIENCE, self.line()).await.expect("a line in time")
    }

    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end + 1);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.ok()?;
            self.unread.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }

    /// The next that is no bookmark: its type and item.
    async fn event(&mut self) -> (String, String) {
        loop {
            let object = self.next().await.expect("an event, and not the end");
            if object["type"] != "bookmark" {
                let text = |name: &str| object[name].as_str().unwrap_or("").to_owned();
                return (text("type"), text("id"));
            }
        }
    }
}

impl Caller {
    pub(super) async fn lines(&self, path: &str) -> Lines {
        let response = self.send("GET", path, &[("accept", "application/x-ndjson")], None).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Lines { body: response.into_body(), unread: BytesMut::new() }
    }

    async fn handshake(&self, path: &str, more: &[(&str, &str)]) -> hyper::Response<Incoming> {
        let mut headers = vec![
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.extend_from_slice(more);
        self.upgrade(path, &headers).await
    }

    async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> hyper::Response<Incoming> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = hyper::Request::builder().uri(path).header("host", "localhost");
        if !self.credential.is_empty() {
            request = request.header("authorization", &self.credential);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    pub(super) async fn socket(&self, path: &str) -> Socket {
        let response = self.handshake(path, &[("sec-websocket-protocol", "other, tidings.v1")]).await;
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], "tidings.v1");
        let upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        Socket(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }
}

pub(super) struct Socket(WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>);

impl Socket {
    async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("a message in time")
    }

    pub(super) async fn object(&mut self) -> Value {
        match self.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The next that is no bookmark: its type and item.
    async fn event(&mut self) -> (String, String) {
        loop {
            let object = self.object().await;
            if object["type"] != "bookmark" {
                let text = |name: &str| object[name].as_str().unwrap_or("").to_owned();
                return (text("type"), text("id"));
            }
        }
    }

    async fn say(&mut self, object: Value) {
        self.0.send(Message::text(object.to_string())).await.unwrap();
    }

    async fn close_code(&mut self) -> CloseCode {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code,
                Some(Ok(_)) => {}
                other => panic!("no closing: {other:?}"),
            }
        }
    }
}

fn published(id: &str) -> (String, String) {
    ("published".to_owned(), id.to_owned())
}

#[tokio::test]
async fn every_transport_takes_the_cursor_of_every_other() {
    let (stage, alice) = Stage::with_node().await;
    let first = alice.publish("n", "a", r#"{"v":1}"#).await;
    for id in ["b", "c", "d"] {
        alice.publish("n", id, "1").await;
    }
    // Begun by event stream, resumed by lines, then by WebSocket, then by long poll.
    let mut events = alice.watch(&format!("{WATCH}&since={first}"), None).await;
    let event = events.event().await;
    assert_eq!(event.summary(), ("published", "b"));
    let mut lines = alice.lines(&format!("{WATCH}&since={}", event.id.unwrap())).await;
    let line = lines.next().await.unwrap();
    assert_eq!((&line["id"], &line["type"], &line["data"]), (&json!("c"), &json!("published"), &json!(1)));
    let mut socket = alice.socket(&format!("{WATCH}&since={}", line["cursor"].as_str().unwrap())).await;
    let object = socket.object().await;
    assert_eq!(object["id"], "d");
    let head = object["cursor"].as_str().unwrap();
    alice.publish("n", "e", "1").await;
    let polled = alice.get(&format!("{WATCH}&since={head}&wait=5")).await;
    assert_eq!((polled.status, polled.json()["events"][0]["id"].as_str()), (200, Some("e")));
    assert_eq!(polled.json()["cursor"], polled.header("tidings-cursor"));
    let mut back = alice.watch(WATCH, Some(polled.header("tidings-cursor"))).await;
    alice.publish("n", "f", "1").await;
    assert_eq!(back.event().await.summary(), ("published", "f"));
    stage.close().await;
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_there_is_something_and_else_in_time() {
    let (stage, alice) = Stage::with_node().await;
    let nothing = alice.get(&format!("{WATCH}&wait=0")).await;
    assert_eq!((nothing.status, nothing.body.len()), (204, 0));
    let cursor = nothing.header("tidings-cursor").to_owned();
    let path = format!("{WATCH}&since={cursor}");
    let waiting = async {
        let reply = alice.ask("GET", &path, &[("prefer", "wait=20")], None).await;
        assert_eq!(reply.header("preference-applied"), "wait=20");
        reply
    };
    let publishing = async {
        // The poll most likely waits by now; it must answer either way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        alice.publish("n", "a", "1").await
    };
    let (reply, cursor) = tokio::join!(waiting, publishing);
    assert_eq!(reply.json()["events"].as_array().unwrap().len(), 1);
    assert_eq!(reply.json()["cursor"], cursor.as_str());
    // All that is there comes at once, and what is not shown moves the position too.
    alice.publish("n", "b", "1").await;
    alice.delete("/v1/nodes/n/items/b").await;
    let reply = alice.get(&format!("{WATCH}&since={cursor}")).await;
    let types: Vec<_> = reply.json()["events"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["published", "retracted"]);
    let passed = alice.get(&format!("{WATCH}&since={cursor}&types=purged&wait=0")).await;
    assert_eq!((passed.status, passed.header("tidings-cursor")), (204, reply.header("tidings-cursor")));
    stage.close().await;
}

#[tokio::test]
async fn a_cursor_that_is_gone_is_refused_where_the_status_can_be_read() {
    let (stage, alice, old) = Stage::with_a_cursor_that_is_gone().await;
    let path = format!("{WATCH}&since={old}");
    for accept in ["application/json", "application/x-ndjson"] {
        let reply = alice.ask("GET", &path, &[("accept", accept)], None).await;
        assert_eq!((reply.status, reply.problem().as_str()), (410, "cursor-gone"), "{accept}");
        let earliest = reply.json()["earliest"].as_str().unwrap().to_owned();
        assert!(reply.json()["latest"].is_string());
        let again = alice.get(&format!("{WATCH}&since={earliest}")).await;
        assert_eq!(again.json()["events"][0]["id"], "b");
    }
    let refused = alice.handshake(&path, &[]).await;
    assert_eq!(refused.status(), 410);
    let nonsense = alice.get(&format!("{WATCH}&since=nonsense")).await;
    assert_eq!((nonsense.status, nonsense.problem().as_str()), (400, "not-a-cursor"));
    stage.close().await;
}

#[tokio::test]
async fn lines_break_silence_by_bookmarks_and_end_with_a_reason() {
    let options = Options { heartbeat: Duration::from_millis(50), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("n", "{}").await;
    alice.publish("n", "a", "1").await;
    let mut lines = bob.lines(&format!("{WATCH}&initial=true&types=published,purged")).await;
    assert_eq!(lines.next().await.unwrap()["id"], "a");
    let state = lines.next().await.unwrap();
    assert_eq!(state["type"], "bookmark");
    assert_eq!(lines.next().await.unwrap(), state);
    alice.delete("/v1/nodes/n/items/a").await;
    let mut moved = lines.next().await.unwrap();
    while moved == state {
        moved = lines.next().await.unwrap();
    }
    assert_eq!(moved["type"], "bookmark");
    alice.json("PUT", "/v1/nodes/n/affiliations", r#"{"bob@localhost":"outcast"}"#).await;
    alice.publish("n", "secret", "1").await;
    let end = loop {
        let line = lines.next().await.unwrap();
        if line["type"] != "bookmark" {
            break line;
        }
    };
    assert_eq!((&end["type"], &end["problem"]["status"]), (&json!("end"), &json!(403)));
    assert_eq!(lines.next().await, None);
    stage.close().await;
}

#[tokio::test]
async fn several_nodes_have_one_stream_and_one_cursor() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    for node in ["a", "b", "c%2F1"] {
        alice.create(node, "{}").await;
    }
    alice.publish("a", "a1", "1").await;
    let path = "/v1/watch?node=a&node=b&node=c/1&node=a";
    let mut events = alice.watch(&format!("{path}&initial=true"), None).await;
    let initial = events.event().await;
    assert_eq!((initial.summary(), initial.id.as_ref()), (("published", "a1"), None));
    let bookmark = events.next().await.unwrap().id.unwrap();
    let mut cursors = vec![bookmark.clone()];
    for (node, item) in [("b", "b1"), ("c%2F1", "c1"), ("a", "a2"), ("b", "b2")] {
        alice.publish(node, item, "1").await;
        let event = events.event().await;
        assert_eq!(event.summary(), ("published", item));
        let data = event.data.unwrap();
        assert_eq!((&data["cursor"], &data["node"]), (&json!(event.id), &json!(node.replace("%2F", "/"))));
        cursors.push(event.id.unwrap());
    }
    // Each cursor is a place in all of them, on every transport.
    let polled = alice.get(&format!("{path}&since={}", cursors[2])).await;
    let mut ids: Vec<_> =
        polled.json()["events"].as_array().unwrap().iter().map(|event| event["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"a2\"", "\"b2\""]);
    assert_eq!(alice.get(&format!("{path}&wait=0&since={}", polled.header("tidings-cursor"))).await.status, 204);
    // And one of them alone.
    let alone = alice.get(&format!("/v1/nodes/b/items?watch=true&since={}", cursors[2])).await;
    assert_eq!(alone.json()["events"][0]["id"], "b2");
    // A node that the cursor does not know has no place that would be silent about it.
    alice.create("d", "{}").await;
    let more = alice.get(&format!("/v1/watch?node=a&node=d&since={}", cursors[2])).await;
    assert_eq!((more.status, more.problem().as_str()), (410, "cursor-gone"));
    assert_eq!(more.json()["node"], "d");
    // The end of one node is not the end of the stream.
    alice.delete("/v1/nodes/b").await;
    assert_eq!(events.event().await.summary(), ("deleted", ""));
    alice.publish("a", "a3", "1").await;
    assert_eq!(events.event().await.summary(), ("published", "a3"));
    alice.delete("/v1/nodes/a").await;
    alice.delete("/v1/nodes/c%2F1").await;
    assert_eq!(events.event().await.summary(), ("deleted", ""));
    assert_eq!(events.event().await.summary(), ("deleted", ""));
    assert_eq!(events.next().await, None);
    stage.close().await;
}

#[tokio::test]
async fn a_watch_of_several_nodes_is_refused_as_a_whole() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("a", "{}").await;
    alice.create("closed", r#"{"access_model":"whitelist"}"#).await;
    let bob = stage.caller("bob", &["read:a", "read:closed"]).await;
    for (query, status) in [
        ("", 400),
        ("node=", 400),
        ("node=a&watch=true", 400),
        ("node=a&limit=1", 400),
        ("node=a&node=absent", 403),
        ("node=a&node=closed", 403),
        ("node=a&wait=0", 204),
    ] {
        let reply = bob.get(&format!("/v1/watch?{query}")).await;
        assert_eq!(reply.status, status, "{query} {reply:?}");
    }
    assert_eq!(alice.get("/v1/watch?node=a&node=absent&wait=0").await.status, 404);
    let many: Vec<String> = (0..101).map(|number| format!("node=n{number}")).collect();
    assert_eq!(alice.get(&format!("/v1/watch?{}", many.join("&"))).await.status, 400);
    assert_eq!(alice.json("POST", "/v1/watch?node=a", "{}").await.status, 405);
    stage.close().await;
}

#[tokio::test]
async fn a_socket_takes_further_nodes_and_leaves_them() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &["publish:*", "manage:*", "read:a", "read:b"]).await;
    for node in ["a", "b", "c"] {
        alice.create(node, "{}").await;
    }
    alice.publish("b", "b1", "1").await;
    let mut socket = alice.socket("/v1/watch").await;
    socket.say(json!({"type": "subscribe", "node": "a"})).await;
    let subscribed = socket.object().await;
    assert_eq!((&subscribed["type"], &subscribed["node"]), (&json!("subscribed"), &json!("a")));
    alice.publish("a", "a1", "1").await;
    assert_eq!(socket.event().await, published("a1"));
    socket.say(json!({"type": "subscribe", "node": "b", "initial": true})).await;
    assert_eq!(socket.event().await.0, "subscribed");
    assert_eq!(socket.event().await, published("b1"));
    alice.publish("b", "b2", "1").await;
    assert_eq!(socket.event().await, published("b2"));
    for (said, status) in [
        (json!({"type": "subscribe", "node": "b"}), 409),
        (json!({"type": "subscribe", "node": "c"}), 403),
        (json!({"type": "subscribe", "node": "a", "since": "nonsense"}), 409),
        (json!({"type": "subscribe", "node": ""}), 400),
        (json!({"type": "unsubscribe", "node": "c"}), 404),
        (json!({"type": "ack", "cursor": "nonsense"}), 400),
        (json!({"type": "nonsense"}), 400),
        (json!({"type": "subscribe", "node": "a", "typo": 1}), 400),
        (json!([]), 400),
    ] {
        socket.say(said.clone()).await;
        let mut reply = socket.object().await;
        while reply["type"] == "bookmark" {
            reply = socket.object().await;
        }
        assert_eq!((&reply["type"], &reply["problem"]["status"]), (&json!("error"), &json!(status)), "{said}");
    }
    socket.say(json!({"type": "unsubscribe", "node": "a"})).await;
    assert_eq!(socket.event().await.0, "unsubscribed");
    alice.publish("a", "a2", "1").await;
    alice.publish("b", "b3", "1").await;
    assert_eq!(socket.event().await, published("b3"));
    stage.close().await;
    assert_eq!(socket.close_code().await, CloseCode::Restart);
}

#[tokio::test]
async fn a_socket_that_acknowledges_is_not_run_ahead_of() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_items":1}"#).await;
    let start = alice.publish("n", "x", "1").await;
    let mut socket = alice.socket(&format!("{WATCH}&types=published")).await;
    let here = socket.object().await;
    assert_eq!(here["cursor"], start.as_str());
    socket.say(json!({"type": "ack", "cursor": here["cursor"]})).await;
    assert_eq!(socket.event().await.0, "acknowledged");
    // Some of these may be run ahead by one chunk; all of them may not.
    for number in 0..1100 {
        alice.publish("n", "x", &number.to_string()).await;
    }
    let mut last = Value::Null;
    let mut seen = 0;
    // Up to the window they must come; beyond it, none may.
    let patience = |seen| if seen < 1000 { PATIENCE } else { Duration::from_millis(300) };
    while let Ok(Some(message)) = timeout(patience(seen), socket.0.next()).await {
        last = serde_json::from_str(message.unwrap().to_text().unwrap()).unwrap();
        seen += 1;
    }
    assert!((1000..1100).contains(&seen), "{seen}");
    socket.say(json!({"type": "ack", "cursor": last["cursor"]})).await;
    assert_eq!(socket.event().await.0, "acknowledged");
    for number in seen..1100 {
        let object = socket.object().await;
        assert_eq!(object["data"], number);
    }
    stage.close().await;
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let (stage, alice) = Stage::with_node().await;
    let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let version = ("sec-websocket-version", "13");
    for (more, status) in [
        (&[key][..], 426),
        (&[key, ("sec-websocket-version", "8")], 426),
        (&[version], 400),
        (&[version, ("sec-websocket-key", "short")], 400),
        (&[version, key, ("sec-websocket-protocol", "chat")], 400),
        (&[version, key, ("last-event-id", "nonsense")], 400),
        (&[version, key], 101),
    ] {
        let headers: Vec<_> = upgrade.iter().chain(more).copied().collect();
        assert_eq!(alice.upgrade(WATCH, &headers).await.status(), status, "{more:?}");
    }
    let stranger = Caller { address: stage.http, credential: String::new() };
    assert_eq!(stranger.handshake(WATCH, &[]).await.status(), 401);
    let big = "x".repeat(20_000);
    assert_eq!(alice.handshake(WATCH, &[("x-big", &big)]).await.status(), 431);
    stage.close().await;
}

#[tokio::test]
async fn a_client_that_breaks_the_framing_is_closed_with_the_reason() {
    let (stage, alice) = Stage::with_node().await;
    // RFC 6455 §5: a frame of the client, raw, and how it is closed.
    let long_ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat();
    let long_text = [&[0x81, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..]].concat();
    for (frame, code) in [
        // Of 2^63 bytes, which nobody makes room for; of 2^48.
        (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..], CloseCode::Size),
        (&long_text, CloseCode::Size),
        // Not masked; a reserved bit; an unknown opcode; a control frame too long; one in fragments.
        (&[0x81, 0x02, b'h', b'i'], CloseCode::Protocol),
        (&[0xc1, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
        (&[0x83, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
        (&long_ping, CloseCode::Protocol),
        (&[0x09, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
        // A continuation of nothing; text that is not UTF-8; no text at all.
        (&[0x80, 0x80, 1, 2, 3, 4], CloseCode::Protocol),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], CloseCode::Invalid),
        (&[0x82, 0x80, 1, 2, 3, 4], CloseCode::Unsupported),
    ] {
        let response = alice.handshake(WATCH, &[]).await;
        assert_eq!(response.status(), 101);
        let mut raw = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        tokio::io::AsyncWriteExt::write_all(&mut raw, frame).await.unwrap();
        let mut socket = Socket(WebSocketStream::from_raw_socket(raw, Role::Client, None).await);
        assert_eq!(socket.close_code().await, code, "{frame:x?}");
    }
    // A message in a million pieces is still limited as a whole.
    let response = alice.handshake(WATCH, &[]).await;
    let mut raw = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut pieces = vec![0x01, 0x81, 0, 0, 0, 0, b'x'];
    for _ in 0..70_000 {
        pieces.extend_from_slice(&[0x00, 0x81, 0, 0, 0, 0, b'x']);
    }
    let _ = tokio::io::AsyncWriteExt::write_all(&mut raw, &pieces).await;
    let mut socket = Socket(WebSocketStream::from_raw_socket(raw, Role::Client, None).await);
    assert_eq!(socket.close_code().await, CloseCode::Size);
    stage.close().await;
}

#[tokio::test]
async fn http2_carries_many_watches_on_one_connection() {
    let (stage, alice) = Stage::with_node().await;
    let socket = TcpStream::connect(stage.http).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(executor, TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let mut streams = vec![];
    for number in 0..50 {
        let accept = if number % 2 == 0 { "text/event-stream" } else { "application/x-ndjson" };
        let request = hyper::Request::builder()
            .uri(format!("http://localhost{WATCH}"))
            .header("authorization", &alice.credential)
            .header("accept", accept)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
        streams.push(response.into_body());
    }
    alice.publish("n", "a", "1").await;
    for (number, body) in streams.into_iter().enumerate() {
        if number % 2 == 0 {
            let mut events = Events { body, unread: BytesMut::new() };
            assert_eq!(events.event().await.summary(), ("published", "a"));
        } else {
            let mut lines = Lines { body, unread: BytesMut::new() };
            assert_eq!(lines.event().await, published("a"));
        }
    }
    stage.close().await;
}
