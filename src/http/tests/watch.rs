use super::*;

const WATCH: &str = "/v1/nodes/n/items?watch=true";

#[tokio::test]
async fn a_stream_speaks_at_once_and_then_tells_every_event() {
    let (stage, alice) = Stage::with_node().await;
    let mut events = alice.watch(WATCH, None).await;
    let greeting = events.next().await.unwrap();
    assert_eq!((greeting.retry, greeting.comments), (Some(2000), 1));
    // Where it stands, for a client that is cut off before the first event.
    let here = events.next().await.unwrap();
    assert!(here.id.is_some() && here.data.is_none());

    let cursor = alice.publish("n", "a", r#"{"v":1}"#).await;
    let event = events.event().await;
    assert_eq!((event.summary(), event.id.as_deref()), (("published", "a"), Some(cursor.as_str())));
    let data = event.data.unwrap();
    assert_eq!((&data["data"], &data["publisher"]), (&serde_json::json!({"v": 1}), &"alice@localhost".into()));
    assert_eq!((&data["cursor"], &data["node"], &data["type"]), (&cursor.into(), &"n".into(), &"published".into()));

    alice.delete("/v1/nodes/n/items/a").await;
    assert_eq!(events.event().await.summary(), ("retracted", "a"));
    alice.json("PATCH", "/v1/nodes/n", r#"{"title":"T"}"#).await;
    let configured = events.event().await;
    assert_eq!(configured.summary().0, "configured");
    assert_eq!(configured.data.unwrap()["config"]["title"], "T");
    alice.publish("n", "b", "1").await;
    alice.delete("/v1/nodes/n/items").await;
    assert_eq!(events.event().await.summary(), ("published", "b"));
    assert_eq!(events.event().await.summary(), ("purged", ""));
    alice.delete("/v1/nodes/n").await;
    assert_eq!(events.event().await.summary(), ("deleted", ""));
    assert_eq!(events.next().await, None);
    let gone = alice.ask("GET", WATCH, &[("accept", "text/event-stream")], None).await;
    assert_eq!((gone.status, gone.problem().as_str()), (410, "node-deleted"));
    stage.close().await;
}

#[tokio::test]
async fn a_reader_resumes_where_it_was() {
    let (stage, alice) = Stage::with_node().await;
    let mut cursors = vec![];
    for id in ["a", "b", "c"] {
        cursors.push(alice.publish("n", id, "1").await);
    }
    let first = async |events: &mut Events| events.event().await.summary().1.to_owned();
    let mut since = alice.watch(&format!("{WATCH}&since={}", cursors[0]), None).await;
    assert_eq!((first(&mut since).await, first(&mut since).await), ("b".to_owned(), "c".to_owned()));
    // What a browser says when it comes back beats what its URL says.
    let mut back = alice.watch(&format!("{WATCH}&since={}", cursors[0]), Some(&cursors[1])).await;
    assert_eq!(first(&mut back).await, "c");
    let mut earliest = alice.watch(&format!("{WATCH}&since=earliest"), None).await;
    assert_eq!(first(&mut earliest).await, "a");
    // List, then watch from there.
    let listed = alice.get("/v1/nodes/n/items").await;
    alice.publish("n", "d", "1").await;
    let mut after = alice.watch(&format!("{WATCH}&since={}", listed.header("tidings-cursor")), None).await;
    assert_eq!(first(&mut after).await, "d");
    let wrong = alice.ask("GET", &format!("{WATCH}&since=nonsense"), &[("accept", "text/event-stream")], None).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "not-a-cursor"));
    stage.close().await;
}

#[tokio::test]
async fn the_state_comes_first_where_it_is_asked_for() {
    let (stage, alice) = Stage::with_node().await;
    // More than one page, with items that were overwritten.
    for id in 0..40 {
        alice.publish("n", &id.to_string(), &id.to_string()).await;
    }
    let head = alice.publish("n", "0", "100").await;
    let mut events = alice.watch(&format!("{WATCH}&initial=true"), None).await;
    let mut ids = vec![];
    let bookmark = loop {
        let block = events.next().await.unwrap();
        match (&block.data, &block.id) {
            (Some(_), None) => ids.push(block.summary().1.parse::<u32>().unwrap()),
            (None, Some(_)) => break block,
            _ => assert!(block.retry.is_some(), "{block:?}"),
        }
    };
    assert_eq!(bookmark.id.as_deref(), Some(head.as_str()));
    let expected: Vec<u32> = (1..40).chain([0]).collect();
    assert_eq!(ids, expected);
    alice.publish("n", "1", "101").await;
    assert_eq!(events.event().await.summary(), ("published", "1"));
    // Whoever comes back with a cursor that holds goes on from there.
    let mut back = alice.watch(&format!("{WATCH}&initial=true"), Some(&head)).await;
    assert_eq!(back.event().await.summary(), ("published", "1"));
    stage.close().await;
}

#[tokio::test]
async fn a_cursor_that_is_gone_is_answered_with_a_reset() {
    let (stage, alice, old) = Stage::with_a_cursor_that_is_gone().await;
    for (initial, id) in [("false", true), ("true", false)] {
        let mut events = alice.watch(&format!("{WATCH}&initial={initial}"), Some(&old)).await;
        let reset = events.event().await;
        assert_eq!((reset.summary().0, reset.id.is_some()), ("reset", id), "{initial}");
        let data = reset.data.unwrap();
        assert_eq!((&data["type"], &data["status"]), (&"reset".into(), &410.into()));
        assert_eq!(events.event().await.summary(), ("published", "b"), "{initial}");
        // The news bears a cursor from which all that is retained comes.
        let earliest = data["earliest"].as_str().unwrap();
        let mut again = alice.watch(&format!("{WATCH}&since={earliest}"), None).await;
        assert_eq!(again.event().await.summary(), ("published", "b"), "{initial}");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_cursor_below_what_is_retained_is_gone() {
    let retention = engine::Retention { events: 3, ..engine::Retention::default() };
    let options = engine::Options { retention, tail_bytes_max: 1, ..engine::Options::default() };
    let stage = Stage::with(Options::default(), options).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_items":2}"#).await;
    let old = alice.publish("n", "first", "1").await;
    for id in 0..20 {
        alice.publish("n", &id.to_string(), "1").await;
    }
    let mut events = alice.watch(WATCH, Some(&old)).await;
    assert_eq!(events.event().await.summary().0, "reset");
    let mut last = String::new();
    while last != "19" {
        let event = events.event().await;
        assert!(matches!(event.summary().0, "published" | "retracted"), "{event:?}");
        last = event.summary().1.to_owned();
    }
    stage.close().await;
}

#[tokio::test]
async fn what_is_not_shown_still_moves_the_position() {
    let options = Options { heartbeat: Duration::from_millis(50), ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    let mut events = alice.watch(&format!("{WATCH}&types=retracted"), None).await;
    assert!(events.next().await.unwrap().retry.is_some());
    assert!(events.next().await.unwrap().id.is_some());
    // Silence is broken by a comment.
    let beat = events.next().await.unwrap();
    assert_eq!((beat.comments, &beat.id, &beat.data), (1, &None, &None));
    let cursor = alice.publish("n", "a", "1").await;
    let bookmark = loop {
        let block = events.next().await.unwrap();
        assert_eq!(block.data, None);
        if block.id.is_some() {
            break block.id;
        }
    };
    assert_eq!(bookmark, Some(cursor));
    alice.delete("/v1/nodes/n/items/a").await;
    assert_eq!(events.event().await.summary(), ("retracted", "a"));
    stage.close().await;
}

#[tokio::test]
async fn a_lost_right_or_credential_ends_the_stream_with_a_reason() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("n", "{}").await;
    let mut events = bob.watch(WATCH, None).await;
    assert!(events.next().await.is_some());
    assert_eq!(alice.json("PUT", "/v1/nodes/n/affiliations", r#"{"bob@localhost":"outcast"}"#).await.status, 204);
    alice.publish("n", "secret", "1").await;
    let end = events.event().await;
    assert_eq!((end.event.as_deref(), &end.data.unwrap()["status"]), (Some("end"), &403.into()));
    assert_eq!(events.next().await, None);
    let refused = bob.ask("GET", WATCH, &[("accept", "text/event-stream")], None).await;
    assert_eq!(refused.status, 403);

    let mut events = alice.watch(WATCH, None).await;
    assert!(events.next().await.is_some());
    let account = BareJid::parse("alice@localhost").unwrap();
    stage.access.set_disabled(&account, true).await.unwrap();
    let end = events.event().await;
    assert_eq!((end.event.as_deref(), &end.data.unwrap()["status"]), (Some("end"), &401.into()));
    assert_eq!(events.next().await, None);
    stage.close().await;
}

#[tokio::test]
async fn a_token_that_expires_ends_its_streams() {
    let (stage, _) = Stage::with_node().await;
    let account = BareJid::parse("alice@localhost").unwrap();
    let new = NewToken { account, scopes: vec![], expires_seconds: Some(1) };
    let token = stage.access.create_token(new).await.unwrap().text;
    let brief = Caller { address: stage.http, credential: format!("Bearer {token}") };
    let mut events = brief.watch(WATCH, None).await;
    let end = events.event().await;
    assert_eq!((end.event.as_deref(), &end.data.unwrap()["status"]), (Some("end"), &401.into()));
    assert_eq!(events.next().await, None);
    assert_eq!(brief.get("/v1/nodes").await.status, 401);
    stage.close().await;
}

#[tokio::test]
async fn streams_end_when_their_time_or_the_server_does() {
    let (stage, alice) = Stage::with_node().await;
    let mut timed = alice.watch(&format!("{WATCH}&timeout=1"), None).await;
    let mut endless = alice.watch(WATCH, None).await;
    while timed.next().await.is_some() {}
    for _ in 0..2 {
        endless.next().await.unwrap();
    }
    stage.close().await;
    let farewell = endless.next().await.unwrap();
    assert!(farewell.retry.is_some_and(|wait| (2000..=10_000).contains(&wait)), "{farewell:?}");
    assert_eq!(endless.next().await, None);
}

#[tokio::test]
async fn watches_are_limited_and_refuse_what_means_nothing_to_them() {
    let options = Options { watches_per_account: 2, ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    let reply = alice.ask("GET", WATCH, &[("accept", "image/png")], None).await;
    assert_eq!((reply.status, reply.problem().as_str()), (406, "not-acceptable"));
    assert!(reply.json()["detail"].as_str().unwrap().contains("text/event-stream"));
    let stream = [("accept", "text/event-stream")];
    assert_eq!(alice.ask("HEAD", WATCH, &stream, None).await.status, 405);
    for query in ["limit=5", "types=none", "timeout=0", "initial=yes", "since=earliest&initial=true", "wait=5"] {
        assert_eq!(alice.ask("GET", &format!("{WATCH}&{query}"), &stream, None).await.status, 400, "{query}");
    }
    let first = alice.watch(WATCH, None).await;
    let _second = alice.watch(WATCH, None).await;
    let third = alice.ask("GET", WATCH, &stream, None).await;
    assert_eq!((third.status, third.problem().as_str()), (429, "too-many-watches"));
    drop(first);
    // The server notices that a reader is gone, and not only at the next event.
    for attempt in 0.. {
        let again = alice.send("GET", WATCH, &stream, None).await;
        if again.status() == 200 {
            break;
        }
        assert!(attempt < 200, "the place is not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.close().await;
}

#[tokio::test]
async fn a_reader_that_stands_still_loses_nothing_and_stops_nobody() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_items":1}"#).await;
    let mut slow = alice.watch(&format!("{WATCH}&types=published"), None).await;
    assert!(slow.next().await.is_some());
    let mut fast = alice.watch(&format!("{WATCH}&types=published"), None).await;
    // Far more than sockets, batches and tails hold.
    let text = format!("\"{}\"", "x".repeat(50_000));
    for id in 0..400 {
        alice.publish("n", &id.to_string(), &text).await;
        assert_eq!(fast.event().await.summary(), ("published", id.to_string().as_str()));
    }
    for id in 0..400 {
        assert_eq!(slow.event().await.summary(), ("published", id.to_string().as_str()));
    }
    stage.close().await;
}
