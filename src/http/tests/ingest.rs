//! Every publish form beside the plain ones: keys, batches, streams, CloudEvents, rates.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::http::Rates;

async fn keyed(caller: &Caller, method: &str, path: &str, key: &str, body: &str) -> Reply {
    caller.ask(method, path, &[("idempotency-key", key)], Some(("application/json", body.as_bytes()))).await
}

#[tokio::test]
async fn the_same_key_and_body_is_one_publish() {
    let (stage, alice) = Stage::with_node().await;
    alice.create("m", "{}").await;
    let first = keyed(&alice, "POST", "/v1/nodes/n/items", "\"k 1\"", "{\"v\":1}").await;
    assert_eq!((first.status, first.headers.get("idempotent-replayed")), (201, None));
    for _ in 0..3 {
        let again = keyed(&alice, "POST", "/v1/nodes/n/items", "\"k 1\"", "{\"v\":1}").await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.body, first.body);
        for name in ["etag", "location", "tidings-cursor"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
    }
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 1);

    let other = keyed(&alice, "POST", "/v1/nodes/n/items", "\"k 1\"", "{\"v\":2}").await;
    assert_eq!((other.status, other.problem().as_str()), (422, "key-reused"));
    let elsewhere = keyed(&alice, "PUT", "/v1/nodes/n/items/i", "\"k 1\"", "{\"v\":1}").await;
    assert_eq!(elsewhere.status, 422);
    // Another node, and another caller, have keys of their own.
    assert_eq!(keyed(&alice, "POST", "/v1/nodes/m/items", "\"k 1\"", "{\"v\":2}").await.status, 201);
    let root = Caller { address: stage.http, credential: stage.administrator().await.credential };
    assert_eq!(keyed(&root, "POST", "/v1/nodes/n/items", "\"k 1\"", "{\"v\":2}").await.status, 201);
    for malformed in ["", "\"", "a\"b"] {
        assert_eq!(keyed(&alice, "POST", "/v1/nodes/n/items", malformed, "1").await.status, 400, "{malformed:?}");
    }
    stage.close().await;
}

#[tokio::test]
async fn what_was_refused_is_not_remembered_and_conditions_belong_to_the_request() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    let absent = keyed(&alice, "PUT", "/v1/nodes/n/items/i", "k", "1").await;
    assert_eq!(absent.status, 404);
    alice.create("n", "{}").await;
    assert_eq!(keyed(&alice, "PUT", "/v1/nodes/n/items/i", "k", "1").await.status, 201);

    let put = async |condition: (&str, &str), body: &str| {
        let headers = [("idempotency-key", "c"), condition];
        alice.ask("PUT", "/v1/nodes/n/items/j", &headers, Some(("application/json", body.as_bytes()))).await
    };
    let created = put(("if-none-match", "*"), "1").await;
    assert_eq!(created.status, 201);
    // The retry of a creation that had succeeded has succeeded, and not failed because it is there.
    assert_eq!(put(("if-none-match", "*"), "1").await.body, created.body);
    assert_eq!(put(("if-match", "*"), "1").await.problem(), "key-reused");
    let tag = created.header("etag").to_owned();
    let swap = async || {
        let headers = [("idempotency-key", "s"), ("if-match", tag.as_str())];
        alice.ask("PUT", "/v1/nodes/n/items/j", &headers, Some(("application/json", b"2"))).await
    };
    let swapped = swap().await;
    assert_eq!(swapped.status, 200);
    assert_eq!((swap().await.body, swap().await.status), (swapped.body, 200));
    stage.close().await;
}

#[tokio::test]
async fn keys_are_counted() {
    let engine = engine::Options { memos_per_caller_max: 2, ..engine::Options::default() };
    let stage = Stage::with(Options::default(), engine).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    for key in ["a", "b"] {
        assert_eq!(keyed(&alice, "POST", "/v1/nodes/n/items", key, "1").await.status, 201);
    }
    let third = keyed(&alice, "POST", "/v1/nodes/n/items", "c", "1").await;
    assert_eq!((third.status, third.problem().as_str(), third.header("retry-after")), (429, "too-many-keys", "60"));
    assert_eq!(keyed(&alice, "POST", "/v1/nodes/n/items", "a", "1").await.header("idempotent-replayed"), "true");
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 2);
    stage.close().await;
}

#[tokio::test]
async fn a_key_in_flight_is_a_conflict() {
    let (stage, alice) = Stage::with_node().await;
    let asked = (0..16).map(|_| keyed(&alice, "POST", "/v1/nodes/n/items", "k", "1"));
    let replies = futures_util::future::join_all(asked).await;
    // However they fell: done once, and whoever was not answered with it was told to wait.
    assert!(replies.iter().any(|reply| reply.status == 201));
    for reply in &replies {
        assert!(reply.status == 201 || (reply.status, reply.problem().as_str()) == (409, "key-in-flight"), "{reply:?}");
    }
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 1);
    // Held as long as its request is under way, and no longer.
    assert_eq!(keyed(&alice, "POST", "/v1/nodes/n/items", "k", "1").await.header("idempotent-replayed"), "true");
    stage.close().await;
}

#[tokio::test]
async fn an_array_is_published_whole_or_not_at_all() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_payload_size":200}"#).await;
    let batch = async |body: &str| alice.json("POST", "/v1/nodes/n/items:batch", body).await;
    let big = format!(r#"[{{"data":1}},{{"data":"{}"}}]"#, "x".repeat(300));
    for (body, status, pointer) in [
        (r#"[{"id":"a","data":1},{"id":"b","data":2},{"id":"","data":3}]"#, 422, "/2/id"),
        (r#"[{"id":"a","data":1},{"id":"b"}]"#, 422, "/1"),
        (r#"[{"id":"a","data":1},{"id":"b","data":2},{"id":"a","data":3}]"#, 422, "/2"),
        (r#"[{"data":1},{"data":"<a/>","type":"application/xml"}]"#, 422, "/1/data"),
        (r#"[{"data":1},{"data":1,"key":"k"}]"#, 422, "/1/key"),
        (r#"[{"data":1},5]"#, 422, "/1"),
        (&big, 413, "/1"),
        ("[]", 422, ""),
    ] {
        let reply = batch(body).await;
        assert_eq!((reply.status, &reply.json()["errors"][0]["pointer"]), (status, &pointer.into()), "{body}");
    }
    for body in ["{}", "[{\"data\":1}", "", "5"] {
        assert_eq!(batch(body).await.status, 400, "{body}");
    }
    let many = vec![r#"{"data":1}"#; 257].join(",");
    assert_eq!(batch(&format!("[{many}]")).await.problem(), "max-items-exceeded");
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 0);

    let reply =
        batch(r#"[{"id":"a","data":{"n":1.10}},{"data":"T","type":"text/plain"},{"id":"c","data":null}]"#).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let items = reply.json()["items"].clone();
    assert_eq!((&items[0]["id"], &items[0]["replaced"], &items[2]["id"]), (&"a".into(), &false.into(), &"c".into()));
    let seq = |at: usize| items[at]["seq"].as_u64().unwrap();
    assert_eq!((seq(1), seq(2)), (seq(0) + 1, seq(0) + 2));
    assert_eq!(alice.get("/v1/nodes/n/items/a").await.body, r#"{"n":1.10}"#);
    assert_eq!(alice.get("/v1/nodes/n/items/c").await.body, "null");
    assert_eq!(alice.get(&format!("/v1/nodes/n/items/{}", items[1]["id"].as_str().unwrap())).await.body, "T");

    let again = || keyed(&alice, "POST", "/v1/nodes/n/items:batch", "k", r#"[{"data":1},{"data":2}]"#);
    let (one, two) = (again().await, again().await);
    assert_eq!((one.status, two.status, two.header("idempotent-replayed")), (201, 201, "true"));
    // Where nothing is new, everything was replaced.
    assert_eq!(batch(r#"[{"id":"a","data":{"n":1.10}},{"id":"c","data":null}]"#).await.status, 200);
    assert_eq!(one.body, two.body);
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 5);
    stage.close().await;
}

#[tokio::test]
async fn cloud_events_come_in_three_modes() {
    let (stage, alice) = Stage::with_node().await;
    let structured = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"door","n":7,"data":{"v":1}}"#;
    let event_type = "application/cloudevents+json";
    let post =
        async |path: &str, kind: &str, body: &str| alice.ask("POST", path, &[], Some((kind, body.as_bytes()))).await;
    let first = post("/v1/nodes/n/items?item=subject", event_type, structured).await;
    assert_eq!((first.status, &first.json()["id"]), (201, &"door".into()));
    assert_eq!(alice.get("/v1/nodes/n/items/door").await.body, structured);
    // An event is one event, however often it is sent; the same id with another content is a mistake.
    let again = post("/v1/nodes/n/items?item=subject", event_type, structured).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
    let changed = structured.replace("\"v\":1", "\"v\":2");
    assert_eq!(post("/v1/nodes/n/items?item=subject", event_type, &changed).await.problem(), "key-reused");

    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
        ("ce-time", "2026-11-21T00:00:00.5Z"),
        ("ce-comexample", "x%20%E2%82%AC"),
    ];
    for (kind, body, data) in [
        ("application/json", "{\"n\":1e2}", serde_json::json!({"n": 100.0})),
        ("text/plain", "a\nb", "a\nb".into()),
        ("application/xml", "<a/>", "<a/>".into()),
    ] {
        let path = format!("/v1/nodes/n/items/{}", kind.replace('/', "-"));
        let mut headers = binary.to_vec();
        headers[1].1 = kind;
        assert_eq!(alice.ask("PUT", &path, &headers, Some((kind, body.as_bytes()))).await.status, 201, "{kind}");
        let event = alice.get(&path).await.json();
        assert_eq!((&event["data"], &event["datacontenttype"]), (&data, &kind.into()));
        assert_eq!((&event["time"], &event["comexample"]), (&"2026-11-21T00:00:00.5Z".into(), &"x €".into()));
    }
    let image = alice.ask("PUT", "/v1/nodes/n/items/png", &binary, Some(("image/png", b"\x89PNG"))).await;
    assert_eq!(image.status, 201);
    assert_eq!(alice.get("/v1/nodes/n/items/png").await.json()["data_base64"], "iVBORw==");

    let batch_type = "application/cloudevents-batch+json";
    let event = |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/b","type":"t","data":1}}"#);
    for path in ["/v1/nodes/n/items", "/v1/nodes/n/items:batch"] {
        let wrong = format!("[{},{}]", event("x"), event("").replace("\"type\":\"t\"", "\"type\":5"));
        let reply = post(path, batch_type, &wrong).await;
        assert_eq!((reply.status, &reply.json()["errors"][0]["pointer"]), (422, &"/1/type".into()), "{reply:?}");
        let reply = post(&format!("{path}?item=id"), batch_type, &format!("[{},{}]", event("x"), event(path))).await;
        assert_eq!((reply.status, &reply.json()["items"][1]["id"]), (201, &path.into()), "{reply:?}");
    }
    assert_eq!(post("/v1/nodes/n/items?item=colour", event_type, structured).await.status, 400);
    assert_eq!(post("/v1/nodes/n/items?item=id", "application/json", "1").await.status, 400);
    stage.close().await;
}

#[tokio::test]
async fn what_is_no_cloud_event_is_refused_with_its_place() {
    let (stage, alice) = Stage::with_node().await;
    for (event, pointer) in [
        (r#"{"id":"1","source":"/s","type":"t"}"#, "/specversion"),
        (r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#, "/specversion"),
        (r#"{"specversion":"1.0","source":"/s","type":"t"}"#, "/id"),
        (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#, "/id"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, "/source"),
        (r#"{"specversion":"1.0","id":"1","source":"/s"}"#, "/type"),
        (r#"{"specversion":"1.0","id":1,"source":"/s","type":"t"}"#, "/id"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"now"}"#, "/time"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","Ext":"x"}"#, "/Ext"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":{}}"#, "/ext"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":""}"#, "/data_base64"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"!"}"#, "/data_base64"),
        (r#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#, ""),
        ("[]", ""),
        ("5", ""),
    ] {
        let body = Some(("application/cloudevents+json", event.as_bytes()));
        let reply = alice.ask("POST", "/v1/nodes/n/items", &[], body).await;
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-event"), "{event}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{event}");
    }
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 0);
    stage.close().await;
}

#[tokio::test]
async fn a_stream_of_lines_is_answered_line_by_line() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_items":10000}"#).await;
    let lines = concat!(
        "{\"id\":\"a\",\"data\":1}\n",
        "\n",
        "{\"id\":\"a\",\"data\":2,\"key\":\"k\"}\r\n",
        "{\"id\":\"a\",\"data\":2,\"key\":\"k\"}\n",
        "{\"id\":\"a\",\"data\":3,\"key\":\"k\"}\n",
        "nonsense\n",
        "{\"id\":\"b\"}\n",
        "{\"id\":\"c\",\"data\":[1,2]}",
    );
    let reply =
        alice.ask("POST", "/v1/nodes/n/items:batch", &[], Some(("application/x-ndjson", lines.as_bytes()))).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let answers: Vec<Value> =
        std::str::from_utf8(&reply.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(u64, u64)> =
        answers.iter().map(|it| (it["line"].as_u64().unwrap(), it["status"].as_u64().unwrap())).collect();
    assert_eq!(told, [(1, 201), (3, 200), (4, 200), (5, 422), (6, 422), (7, 422), (8, 201)]);
    assert_eq!((&answers[2]["replayed"], &answers[2]["seq"]), (&true.into(), &answers[1]["seq"]));
    assert_eq!(answers[3]["type"], "urn:tidings:problem:key-reused");
    assert_eq!(alice.get("/v1/nodes/n/items/a").await.body, "2");
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 2);

    for (key, status) in [(String::new(), 422), ("x".repeat(256), 422), ("x".repeat(255), 201)] {
        let line = format!("{{\"data\":1,\"key\":\"{key}\"}}");
        let body = Some(("application/x-ndjson", line.as_bytes()));
        let reply = alice.ask("POST", "/v1/nodes/n/items:batch", &[], body).await;
        assert_eq!(reply.json()["status"], status, "{} bytes: {:?}", key.len(), reply.body);
    }

    // A stream as a whole has no key, and no condition.
    for header in ["idempotency-key", "if-match"] {
        let body = Some(("application/x-ndjson", &b"{\"data\":1}"[..]));
        assert_eq!(alice.ask("POST", "/v1/nodes/n/items:batch", &[(header, "*")], body).await.status, 400);
    }
    let nobody = Caller { address: stage.http, credential: String::new() };
    let body = Some(("application/x-ndjson", &b"{\"data\":1}"[..]));
    assert_eq!(nobody.ask("POST", "/v1/nodes/n/items:batch", &[], body).await.status, 401);
    assert_eq!(alice.ask("POST", "/v1/nodes/n/items:batch", &[], Some(("text/csv", b"a,b"))).await.status, 415);
    stage.close().await;
}

/// Sends lines until `ended` says how it goes, over a socket of its own.
async fn stream(stage: &Stage, caller: &Caller) -> TcpStream {
    let mut socket = TcpStream::connect(stage.http).await.unwrap();
    let head = format!(
        "POST /v1/nodes/n/items:batch HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: \
         application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        caller.credential
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn read_until(socket: &mut TcpStream, seen: &mut String, what: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(what) {
        let read = timeout(PATIENCE, socket.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert!(read > 0, "the connection ended before {what:?}: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn a_line_is_answered_before_the_next_is_sent() {
    let (stage, alice) = Stage::with_node().await;
    let mut socket = stream(&stage, &alice).await;
    let mut seen = String::new();
    for number in 1..=20 {
        socket.write_all(chunk("{\"data\":1}\n").as_bytes()).await.unwrap();
        read_until(&mut socket, &mut seen, &format!("\"line\":{number},")).await;
    }
    // Half a line, and then nothing more: the connection is answered and closed at the server's end.
    socket.write_all(chunk("{\"data\"").as_bytes()).await.unwrap();
    stage.closing.cancel();
    read_until(&mut socket, &mut seen, "urn:tidings:problem:stopping").await;
    stage.close().await;
}

#[tokio::test]
async fn a_sender_that_reads_nothing_is_paused_and_then_cut() {
    let options = Options { write_stall_time: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    let mut socket = stream(&stage, &alice).await;
    // Tiny lines have large answers: the buffers between the two are full long before this has ended.
    let lines = chunk(&"x\n".repeat(4096));
    let sent = timeout(PATIENCE, async {
        for _ in 0..100_000 {
            socket.write_all(lines.as_bytes()).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    assert!(sent.await.expect("it is cut in time").is_err(), "nobody reads 60 GB of answers");
    stage.close().await;
}

#[tokio::test]
async fn an_idle_stream_is_cut_and_a_revoked_one_too() {
    let options = Options { body_window: Duration::from_millis(100), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    let mut socket = stream(&stage, &alice).await;
    let mut seen = String::new();
    socket.write_all(chunk("{\"data\":1}\n{\"da").as_bytes()).await.unwrap();
    read_until(&mut socket, &mut seen, "urn:tidings:problem:body-too-slow").await;
    assert!(seen.contains("\"line\":1,") && seen.contains("\"line\":2,"), "{seen}");

    let mut socket = stream(&stage, &alice).await;
    let mut seen = String::new();
    socket.write_all(chunk("{\"data\":1}\n").as_bytes()).await.unwrap();
    read_until(&mut socket, &mut seen, "\"line\":1,").await;
    stage.access.set_disabled(&BareJid::parse("alice@localhost").unwrap(), true).await.unwrap();
    socket.write_all(chunk("{\"data\":1}\n").as_bytes()).await.unwrap();
    read_until(&mut socket, &mut seen, "urn:tidings:problem:").await;
    stage.close().await;
}

/// H1: a line that comes byte by byte, so that something always has come of late.
#[tokio::test]
async fn a_line_that_dribbles_is_cut_and_lines_that_come_now_and_then_are_not() {
    let options = Options { body_window: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    for (lines, cut) in [(true, false), (false, true)] {
        let (mut socket, mut seen) = (stream(&stage, &alice).await, String::new());
        socket.write_all(chunk("{\"data\":\"").as_bytes()).await.unwrap();
        for _ in 0..20 {
            let sent = if lines { "\"}\n{\"data\":\"" } else { "x" };
            // What is cut may have been closed by now.
            let _ = socket.write_all(chunk(sent).as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let _ = socket.write_all(chunk("\"}\n").as_bytes()).await;
        let _ = socket.write_all(b"0\r\n\r\n").await;
        read_until(&mut socket, &mut seen, "0\r\n\r\n").await;
        assert_eq!(seen.contains("urn:tidings:problem:body-too-slow"), cut, "{seen}");
        assert_eq!(seen.matches("\"status\":201").count(), if lines { 21 } else { 0 }, "{seen}");
    }
    stage.close().await;
}

#[tokio::test]
async fn an_account_has_a_rate() {
    let rates = Rates { requests_per_second: 5, bytes_per_second: 1000 };
    let stage = Stage::with(Options { rates, ..Options::default() }, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    let created = alice.json("PUT", "/v1/nodes/n", "{}").await;
    assert_eq!(
        created.header("ratelimit-policy"),
        "\"requests\";q=10;w=2;qu=\"requests\", \"bytes\";q=2000;w=2;qu=\"content-bytes\""
    );
    assert!(created.header("ratelimit").starts_with("\"requests\";r=9;t=1, \"bytes\";r=1998;"), "{created:?}");
    let replies = futures_util::future::join_all((0..30).map(|_| alice.json("POST", "/v1/nodes/n/items", "1"))).await;
    let refused = replies.iter().find(|reply| reply.status == 429).expect("more than the rate was asked");
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("rate-limited", "1"));
    assert!(refused.header("ratelimit").contains("\"requests\";r=0;"), "{refused:?}");
    // Another account is not concerned.
    let bob = stage.caller("bob", &[]).await;
    assert_eq!(bob.get("/v1/nodes").await.status, 200);
    // What is refused before anybody is known counts for nobody.
    assert_eq!(Caller { address: stage.http, credential: String::new() }.get("/v1/nodes").await.status, 401);
    stage.close().await;
}
