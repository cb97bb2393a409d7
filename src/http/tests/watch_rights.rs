//! Who is shown what while rights, items and readers change: nothing is lost, doubled, or shown to
//! somebody who may not see it any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Well below the heartbeat and the wait of a poll, after which they would look anyway; a second is
/// promised, and a machine that is busy with other tests may need more.
const AT_ONCE: Duration = Duration::from_secs(8);
const WATCH: &str = "/v1/nodes/n/items?watch=true";

/// The state, then the events, while somebody publishes, overwrites and retracts without pause. What a
/// reader makes of it must be what is there in the end, and no position may come twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_and_then_the_events_are_whole_while_publishing_goes_on() {
    let stage = Arc::new(Stage::open().await);
    let alice = Arc::new(stage.caller("alice", &[]).await);
    alice.create("n", r#"{"max_items":100}"#).await;
    for id in 0..60 {
        alice.publish("n", &id.to_string(), "0").await;
    }
    let done = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..4)
        .map(|lane| {
            let (alice, done) = (alice.clone(), done.clone());
            tokio::spawn(async move {
                for count in 0..200_u32 {
                    let item = format!("/v1/nodes/n/items/{}", (count * 7 + lane * 13) % 60);
                    if count.is_multiple_of(5) {
                        alice.delete(&item).await;
                    } else {
                        alice.json("PUT", &item, &format!("{}", count * 10 + lane)).await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut readers = vec![];
    for number in 0..4 {
        // Each begins in the midst of it, and at another time.
        while done.load(Ordering::Relaxed) < number * 180 + 20 {
            tokio::task::yield_now().await;
        }
        let events = alice.watch(&format!("{WATCH}&initial=true"), None).await;
        readers.push(tokio::spawn(read_until_the_end(events)));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    alice.publish("n", "the-end", "0").await;
    let listed = alice.get("/v1/nodes/n/items?limit=100").await.json();
    let expected: BTreeMap<String, Value> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item["data"].clone()))
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

/// What a reader that keeps a copy has at the end.
async fn read_until_the_end(mut events: Events) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    let mut seen = std::collections::HashSet::new();
    let mut in_state = true;
    loop {
        let block = events.next().await.expect("the end has not come yet");
        if let Some(id) = &block.id {
            in_state = false;
            assert!(seen.insert(id.clone()), "a position came twice: {block:?}");
        }
        let Some(data) = block.data else { continue };
        let id = data["id"].as_str().unwrap().to_owned();
        match block.event.as_deref() {
            Some("published") => {
                let twice = state.insert(id.clone(), data["data"].clone()).is_some();
                assert!(!(in_state && twice), "an item came twice in the state: {id}");
                if id == "the-end" {
                    return state;
                }
            }
            // It may have gone before its page was read: then it never came.
            Some("retracted") => drop(state.remove(&id)),
            other => panic!("{other:?}"),
        }
    }
}

/// A reader that stands still has thousands of events to come when it loses its right. What it reads
/// afterwards is what was encoded before, which is what its socket and one chunk hold, and no more.
#[tokio::test]
async fn a_reader_that_stood_still_is_encoded_nothing_after_its_removal() {
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let stage = Stage::open().await;
        let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
        alice.create("n", r#"{"max_items":1}"#).await;
        // A small receive buffer, so that little is on its way.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut reader = socket.connect(stage.http).await.unwrap();
        let head = format!(
            "GET {WATCH}&types=published HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nauthorization: {}\r\n\r\n",
            bob.credential
        );
        reader.write_all(head.as_bytes()).await.unwrap();
        let text = format!("\"{}\"", "x".repeat(100_000));
        for number in 0..100 {
            alice.publish("n", &number.to_string(), &text).await;
        }
        let removed = alice.json("PUT", "/v1/nodes/n/affiliations", r#"{"bob@localhost":"outcast"}"#).await;
        assert_eq!(removed.status, 204);
        for number in 0..5 {
            alice.publish("n", &format!("after-{number}"), &text).await;
        }
        let read = read_all(&mut reader).await;
        assert!(read.contains("\"status\":403") && !read.contains("after-"), "{accept}");
        let shown = read.matches("\"publisher\"").count();
        assert!(shown < 80, "{accept}: {shown} of 100 were encoded, though nobody took them");
        stage.close().await;
    }
}

/// A watch of one node and one of several, on every transport: each is done when it has ended, and gives what it was told.
async fn every_watch(stage: &Stage, caller: &Arc<Caller>) -> Vec<(String, JoinHandle<String>)> {
    let mut watches = vec![];
    for path in [WATCH, "/v1/watch?node=n&node=m"] {
        for accept in ["text/event-stream", "application/x-ndjson"] {
            let response = caller.send("GET", path, &[("accept", accept)], None).await;
            assert_eq!(response.status(), 200, "{path} {accept}");
            let told = async move { response.into_body().collect().await.unwrap().to_bytes() };
            let told = async move { String::from_utf8(told.await.to_vec()).unwrap() };
            watches.push((format!("{path} {accept}"), tokio::spawn(told)));
        }
        let mut socket = caller.socket(path).await;
        let told = async move {
            loop {
                let object = socket.object().await;
                if object["type"] == "end" {
                    return object.to_string();
                }
            }
        };
        watches.push((format!("{path} by WebSocket"), tokio::spawn(told)));
        let (polling, at) = (caller.clone(), format!("{path}&wait=60"));
        let told = async move {
            let reply = polling.get(&at).await;
            assert_eq!(reply.status, 401, "{reply:?}");
            reply.json().to_string()
        };
        watches.push((format!("{path} by long poll"), tokio::spawn(told)));
    }
    // The polls must have begun; what counts is that they end.
    while stage.watches() < watches.len() as u64 {
        tokio::task::yield_now().await;
    }
    watches
}

async fn brief(stage: &Stage, expires_seconds: Option<u64>) -> (Arc<Caller>, String) {
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    alice.create("m", "{}").await;
    let account = BareJid::parse("alice@localhost").unwrap();
    let issued = stage.access.create_token(NewToken { account, scopes: vec![], expires_seconds }).await.unwrap();
    (Arc::new(Caller { address: stage.http, credential: format!("Bearer {}", issued.text) }), issued.id)
}

/// H7: whoever may not watch any more is told at once, on every transport.
#[tokio::test]
async fn a_revocation_ends_every_transport_at_once() {
    let stage = Stage::open().await;
    let (brief, id) = brief(&stage, None).await;
    let watches = every_watch(&stage, &brief).await;
    stage.access.revoke_token(&id).await.unwrap();
    for (name, watch) in watches {
        let told = timeout(AT_ONCE, watch).await.unwrap_or_else(|_| panic!("{name} goes on")).unwrap();
        assert!(told.contains("credential-ended"), "{name}: {told}");
    }
    stage.close().await;
}

/// H7: a credential ends by itself, and with it what it has opened.
#[tokio::test]
async fn an_expiry_ends_every_transport_in_time() {
    const LASTS: Duration = Duration::from_secs(5);
    let stage = Stage::open().await;
    let began = tokio::time::Instant::now();
    let (brief, _) = brief(&stage, Some(LASTS.as_secs())).await;
    for (name, watch) in every_watch(&stage, &brief).await {
        // Five seconds are promised; the token was made after `began`.
        let told = tokio::time::timeout_at(began + LASTS + AT_ONCE, watch).await;
        let told = told.unwrap_or_else(|_| panic!("{name} goes on")).unwrap();
        assert!(told.contains("credential-ended"), "{name}: {told}");
    }
    assert!(began.elapsed() >= LASTS, "nothing ends before its time");
    stage.close().await;
}

/// A stream takes its connection over; what was pipelined before it is answered first, and what
/// comes after is not.
#[tokio::test]
async fn a_stream_that_takes_its_connection_over_owes_nothing_to_the_requests_before_it() {
    let (stage, alice) = Stage::with_node().await;
    alice.publish("n", "a", "1").await;
    let mut raw = TcpStream::connect(stage.http).await.unwrap();
    let request = |path: &str| {
        let credential = &alice.credential;
        format!(
            "GET {path} HTTP/1.1\r\nhost: l\r\naccept: text/event-stream, */*\r\nauthorization: {credential}\r\n\r\n"
        )
    };
    let three = [
        request("/v1/nodes/n/items/a"),
        request(&format!("{WATCH}&since=earliest&timeout=1")),
        request("/v1/nodes/n/items/a"),
    ];
    raw.write_all(three.concat().as_bytes()).await.unwrap();
    let read = read_all(&mut raw).await;
    assert_eq!(read.matches("HTTP/1.1 200 OK").count(), 2, "{read}");
    assert!(read.find("etag").unwrap() < read.find("text/event-stream").unwrap());
    assert!(read.contains("connection: close") && read.contains("event: published"), "{read}");
    assert!(read.ends_with("\r\n0\r\n\r\n"), "{read}");
    stage.close().await;
}

/// What comes until the server closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut read = BytesMut::new();
    let all = async { while stream.read_buf(&mut read).await.unwrap() > 0 {} };
    timeout(PATIENCE, all).await.expect("the stream ends");
    String::from_utf8(read.to_vec()).unwrap()
}

/// A hidden node in a collection is named in no stream of the collection, neither when it comes nor when it goes.
#[tokio::test]
async fn a_collection_does_not_name_the_hidden_nodes_in_it() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("q", r#"{"node_type":"collection"}"#).await;
    let mut live = bob.watch("/v1/nodes/q/items?watch=true", None).await;
    for (node, hidden) in [("veiled", true), ("plain", false)] {
        alice.create(node, &format!(r#"{{"collection":["q"],"hidden":{hidden}}}"#)).await;
    }
    alice.delete("/v1/nodes/veiled").await;
    alice.delete("/v1/nodes/plain").await;
    let mut replayed = bob.watch("/v1/nodes/q/items?watch=true&since=earliest", None).await;
    for events in [&mut live, &mut replayed] {
        for kind in ["associated", "dissociated"] {
            let data = events.event().await.data.unwrap();
            assert_eq!((&data["type"], &data["child"]), (&kind.into(), &"plain".into()));
        }
    }
    stage.close().await;
}
