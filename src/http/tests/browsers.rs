//! What browsers need, and what other pages must not get: tickets, origins. And the numbers.

use super::*;

const WATCH: &str = "/v1/nodes/n/items?watch=true";

async fn ticket(caller: &Caller, body: &str) -> String {
    let reply = caller.json("POST", "/v1/tickets", body).await;
    assert_eq!((reply.status, reply.header("cache-control")), (201, "no-store"), "{reply:?}");
    reply.json()["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_opens_one_watch_of_the_nodes_it_names() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    for node in ["n", "m", "*"] {
        alice.create(node, "{}").await;
    }
    let nobody = Caller { address: stage.http, credential: String::new() };
    let with =
        |path: &str, ticket: &str| format!("{path}{}ticket={ticket}", if path.contains('?') { '&' } else { '?' });
    let first = ticket(&alice, r#"{"nodes":["n"]}"#).await;
    let mut events = nobody.watch(&with(WATCH, &first), None).await;
    alice.publish("n", "a", "1").await;
    assert_eq!(events.event().await.summary(), ("published", "a"));
    let again = nobody.get(&with(WATCH, &first)).await;
    assert_eq!((again.status, again.problem().as_str()), (401, "unauthorized"));
    // For nothing but watching, and for nothing but these nodes.
    for (nodes, path, status) in [
        (r#"["n"]"#, "/v1/nodes/m/items?watch=true&wait=0", 403),
        (r#"["*"]"#, "/v1/nodes/m/items?watch=true&wait=0", 403),
        (r#"["*"]"#, "/v1/nodes/%2A/items?watch=true&wait=0", 204),
        (r#"["n","m"]"#, "/v1/watch?node=n&node=m&wait=0", 204),
        (r#"["n"]"#, "/v1/watch?node=n&node=m&wait=0", 403),
        (r#"["n"]"#, "/v1/services/other.localhost/nodes/n/items?watch=true&wait=0", 401),
        (r#"["n"]"#, "/v1/nodes/n/items", 400),
        (r#"["n"]"#, "/v1/nodes/n/items/a", 401),
        (r#"["n"]"#, "/v1/nodes", 401),
    ] {
        let ticket = ticket(&alice, &format!(r#"{{"nodes":{nodes}}}"#)).await;
        assert_eq!(nobody.get(&with(path, &ticket)).await.status, status, "{nodes} {path}");
    }
    let post = ticket(&alice, r#"{"nodes":["n"]}"#).await;
    assert_eq!(nobody.json("POST", &with("/v1/nodes/n/items", &post), "1").await.status, 401);
    let both = ticket(&alice, r#"{"nodes":["n"]}"#).await;
    assert_eq!(alice.get(&with(WATCH, &both)).await.status, 400);
    assert_eq!(nobody.get(&with(WATCH, "tkt_nonsense")).await.status, 401);
    // No other credential is ever taken from a URL.
    let token = alice.credential.strip_prefix("Bearer ").unwrap();
    assert_eq!(nobody.get(&with(WATCH, token)).await.status, 401);
    assert_eq!(nobody.get(&format!("{WATCH}&access_token={token}")).await.status, 401);
    stage.close().await;
}

#[tokio::test]
async fn a_ticket_is_no_better_than_the_credential_it_came_from() {
    let (stage, alice) = Stage::with_node().await;
    let narrow = stage.caller("alice", &["read:m", "publish:*"]).await;
    assert_eq!(narrow.json("POST", "/v1/tickets", r#"{"nodes":["n"]}"#).await.status, 403);
    for (body, status) in [
        (r#"{"nodes":[]}"#, 422),
        (r#"{"nodes":[""]}"#, 422),
        (r#"{"nodes":["n"],"seconds":0}"#, 422),
        (r#"{"nodes":["n"],"seconds":61}"#, 422),
        (r#"{"nodes":"n"}"#, 400),
        (r#"{"nodes":["n"],"typo":1}"#, 400),
        (r#"{"#, 400),
    ] {
        assert_eq!(alice.json("POST", "/v1/tickets", body).await.status, status, "{body}");
    }
    let account = BareJid::parse("alice@localhost").unwrap();
    let issued = stage.access.create_token(NewToken { account, scopes: vec![], expires_seconds: None }).await.unwrap();
    let brief = Caller { address: stage.http, credential: format!("Bearer {}", issued.text) };
    let (unused, used) = (ticket(&brief, r#"{"nodes":["n"]}"#).await, ticket(&brief, r#"{"nodes":["n"]}"#).await);
    let nobody = Caller { address: stage.http, credential: String::new() };
    let mut events = nobody.watch(&format!("{WATCH}&ticket={used}"), None).await;
    stage.access.revoke_token(&issued.id).await.unwrap();
    assert_eq!(events.event().await.event.as_deref(), Some("end"));
    assert_eq!(nobody.get(&format!("{WATCH}&ticket={unused}")).await.status, 401);
    stage.close().await;
}

/// H8: whose page asks is looked at before anything else, and nothing is ever allowed to everybody.
#[tokio::test]
async fn only_pages_of_allowed_origins_may_ask() {
    let options = Options { origins: vec!["https://app.example".to_owned()], ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    for (origin, status) in [
        ("https://app.example", 200),
        ("http://localhost", 200),
        ("https://evil", 403),
        ("null", 403),
        ("https://app.example.evil.com", 403),
    ] {
        let headers = [("origin", origin), ("cookie", "session=x")];
        let reply = alice.ask("GET", "/v1/nodes", &headers, None).await;
        assert_eq!(reply.status, status, "{origin}");
        assert_eq!(reply.headers.contains_key("access-control-allow-origin"), origin == "https://app.example");
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
    }
    let upgrade = [
        ("origin", "https://evil"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(alice.ask("GET", WATCH, &upgrade, None).await.status, 403);
    // A cookie is nobody's credential.
    let nobody = Caller { address: stage.http, credential: String::new() };
    assert_eq!(nobody.ask("GET", "/v1/nodes", &[("cookie", "session=x")], None).await.status, 401);
    let asking = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    let preflight = nobody.ask("OPTIONS", "/v1/nodes/n", &asking, None).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "https://app.example"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
    assert_eq!(nobody.ask("OPTIONS", "/v1/nodes/n", &[], None).await.status, 405);
    stage.close().await;
}

#[tokio::test]
async fn the_numbers_are_told_in_the_form_of_prometheus() {
    let (stage, alice) = Stage::with_node().await;
    let mut events = alice.watch(WATCH, None).await;
    for number in 0..3 {
        alice.publish("n", &number.to_string(), "1").await;
        events.event().await;
    }
    let scraper = Caller { address: stage.admin, credential: String::new() };
    let reply = scraper.get("/metrics").await;
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    for line in ["tidings_watches 1", "tidings_watch_events_total 3", "tidings_engine_test 7"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(' ').unwrap();
        assert!(value.parse::<u64>().is_ok() && text.contains(&format!("# TYPE {name} ")), "{line}");
    }
    // The public listener has no such page.
    assert_eq!(alice.get("/metrics").await.status, 404);
    stage.close().await;
}

/// H4: streams that are opened and reset at once close the connection, and nobody else's.
#[tokio::test]
async fn rapid_resets_close_the_connection_and_no_other() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (stage, alice) = Stage::with_node().await;
    let mut raw = TcpStream::connect(stage.http).await.unwrap();
    let frame = |length: usize, kind: u8, flags: u8, stream: u32| {
        let mut head = (length as u32).to_be_bytes()[1..].to_vec();
        head.extend([kind, flags]);
        head.extend(stream.to_be_bytes());
        head
    };
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(0, 4, 0, 0));
    // HPACK, all from the static table: GET, http, /.
    let block = [0x82, 0x86, 0x84];
    for number in 0..2_000_u32 {
        let stream = number * 2 + 1;
        attack.extend(frame(block.len(), 1, 5, stream));
        attack.extend(block);
        attack.extend(frame(4, 3, 0, stream));
        attack.extend(8_u32.to_be_bytes());
    }
    let _ = raw.write_all(&attack).await;
    let mut answer = BytesMut::new();
    let all = async { while raw.read_buf(&mut answer).await.is_ok_and(|count| count > 0) {} };
    timeout(PATIENCE, all).await.expect("the connection is closed");
    // GOAWAY, with ENHANCE_YOUR_CALM (RFC 9113 §7).
    let mut rest = &answer[..];
    let mut calm = false;
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let payload = rest.get(9..9 + length).unwrap_or_default();
        calm |= rest[3] == 7 && payload.get(4..8) == Some(&[0, 0, 0, 11]);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    assert!(calm, "{answer:x?}");
    assert_eq!(alice.get("/v1/nodes/n").await.status, 200);
    stage.close().await;
}
