use super::*;

#[tokio::test]
async fn a_publish_is_answered_with_where_and_what_it_is() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("orders%2F42", "{}").await;
    let reply = alice.json("PUT", "/v1/nodes/orders%2F42/items/a%20b", r#"{"v":1}"#).await;
    assert_eq!(reply.status, 201);
    let object = reply.json();
    assert_eq!((&object["node"], &object["id"]), (&"orders/42".into(), &"a b".into()));
    assert!(object["seq"].is_u64() && object["published"].as_str().unwrap().ends_with('Z'));
    assert_eq!(reply.header("tidings-cursor"), object["cursor"].as_str().unwrap());
    assert_eq!(reply.header("location"), "/v1/nodes/orders%2F42/items/a%20b");
    let shown = alice.get(reply.header("location")).await;
    assert_eq!((shown.status, shown.header("etag")), (200, reply.header("etag")));
    let again = alice.json("PUT", "/v1/nodes/orders%2F42/items/a%20b", r#"{"v":2}"#).await;
    assert_eq!(again.status, 200);
    assert_ne!(again.header("etag"), reply.header("etag"));

    let posted = alice.json("POST", "/v1/nodes/orders%2F42/items", "5").await;
    assert_eq!(posted.status, 201);
    let shown = alice.get(posted.header("location")).await;
    assert_eq!((shown.status, &shown.body[..]), (200, &b"5"[..]));
    stage.close().await;
}

#[tokio::test]
async fn bodies_are_taken_by_type_and_nothing_else_is() {
    let (stage, alice) = Stage::with_node().await;
    let put = async |content_type: &str, body: &[u8]| {
        alice.ask("PUT", "/v1/nodes/n/items/i", &[], Some((content_type, body))).await
    };
    for (content_type, body, status) in [
        ("application/json; charset=utf-8", &b"{}"[..], 201),
        ("application/ld+json", b"{}", 200),
        ("application/xml", b"<a xmlns='urn:x'/>", 200),
        ("text/plain", b"text", 200),
        ("application/atom+xml", b"<entry xmlns='http://www.w3.org/2005/Atom'/>", 200),
        ("application/atom+xml", b"<entry xmlns='urn:x'/>", 422),
        ("application/xml", b"<a/>", 422),
        ("application/xml", b"<!DOCTYPE a><a xmlns='urn:x'/>", 422),
        ("application/json", b"{\"a\":", 422),
        ("application/json", b"\xff", 422),
        ("application/json", b"", 422),
        ("text/plain; charset=latin1", b"x", 415),
        ("image/png", b"x", 415),
        ("application/x-www-form-urlencoded", b"a=b", 415),
        ("application/cloudevents+json", b"{}", 422),
        ("application/cloudevents+xml", b"<e/>", 415),
        ("", b"x", 415),
        // Nothing at all is an item without a payload, which this node does not take.
        ("", b"", 422),
    ] {
        let reply = put(content_type, body).await;
        assert_eq!(reply.status, status, "{content_type} {reply:?}");
        if status == 415 {
            let event = content_type.contains("cloudevents");
            assert!(event || reply.header("accept").contains("application/atom+xml"));
        }
    }
    let gzip =
        alice.ask("PUT", "/v1/nodes/n/items/i", &[("content-encoding", "gzip")], Some(("text/plain", b"x"))).await;
    assert_eq!((gzip.status, gzip.problem().as_str()), (415, "unsupported-encoding"));
    stage.close().await;
}

#[tokio::test]
async fn a_node_comes_to_be_when_it_is_asked_for() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    let absent = alice.json("POST", "/v1/nodes/n/items", "1").await;
    assert_eq!((absent.status, absent.problem().as_str()), (404, "item-not-found"));
    assert_eq!(alice.json("POST", "/v1/nodes/n/items?create=1", "1").await.status, 400);
    assert_eq!(alice.json("POST", "/v1/nodes/n/items?create=true", "1").await.status, 201);
    assert_eq!(alice.json("POST", "/v1/nodes/n/items", "2").await.status, 201);
    stage.close().await;
}

#[tokio::test]
async fn conditions_hold_or_the_write_does_not_happen() {
    let (stage, alice) = Stage::with_node().await;
    let put = async |name: &str, value: &str, body: &str| {
        alice.ask("PUT", "/v1/nodes/n/items/i", &[(name, value)], Some(("application/json", body.as_bytes()))).await
    };
    assert_eq!(put("if-match", "*", "0").await.status, 412);
    let first = put("if-none-match", "*", "1").await;
    assert_eq!(first.status, 201);
    let first = first.header("etag").to_owned();
    assert_eq!(put("if-none-match", "*", "2").await.status, 412);
    assert_eq!(put("if-match", &format!("W/{first}"), "2").await.status, 412);
    let second = put("if-match", &format!("\"x\", {first}"), "2").await;
    assert_eq!(second.status, 200);
    let stale = put("if-match", &first, "3").await;
    assert_eq!((stale.status, stale.problem().as_str()), (412, "precondition-failed"));
    assert_eq!(put("if-match", "unquoted", "3").await.status, 400);
    assert_eq!(put("if-none-match", &first, "3").await.status, 400);
    assert_eq!(alice.get("/v1/nodes/n/items/i").await.body, "2");

    let retract = async |value: &str| alice.ask("DELETE", "/v1/nodes/n/items/i", &[("if-match", value)], None).await;
    assert_eq!(retract(&first).await.status, 412);
    let gone = retract(second.header("etag")).await;
    assert_eq!(gone.status, 204);
    assert!(!gone.header("tidings-cursor").is_empty());
    assert_eq!(alice.delete("/v1/nodes/n/items/i").await.status, 404);

    // A node of the same name is another node: what named a state of the first names none of it.
    let named = alice.json("PUT", "/v1/nodes/n/items/i", "4").await.header("etag").to_owned();
    assert_eq!(alice.delete("/v1/nodes/n").await.status, 204);
    alice.create("n", "{}").await;
    alice.publish("n", "i", "5").await;
    assert_eq!(put("if-match", &named, "6").await.status, 412);
    stage.close().await;
}

#[tokio::test]
async fn what_is_too_big_is_refused() {
    let options = Options { body_bytes_max: 4096, ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_payload_size":1000}"#).await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    assert_eq!(alice.json("PUT", "/v1/nodes/n/items/i", &text(900)).await.status, 201);
    let payload = alice.json("PUT", "/v1/nodes/n/items/i", &text(2000)).await;
    assert_eq!((payload.status, payload.problem().as_str()), (413, "payload-too-big"));
    let body = alice.json("PUT", "/v1/nodes/n/items/i", &text(5000)).await;
    assert_eq!((body.status, body.problem().as_str()), (413, "body-too-large"));
    stage.close().await;
}

#[tokio::test]
async fn large_bodies_share_a_budget() {
    let options = Options { body_memory_bytes_max: 64 * 1024, ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", "{}").await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    // What could never fit is refused as long as it does not fit; what fits is taken, again and again.
    let big = alice.json("PUT", "/v1/nodes/n/items/i", &text(100_000)).await;
    assert_eq!((big.status, big.problem().as_str(), big.header("retry-after")), (503, "overloaded", "1"));
    for _ in 0..3 {
        assert!(alice.json("PUT", "/v1/nodes/n/items/i", &text(40_000)).await.status < 300);
    }
    stage.close().await;
}

#[tokio::test]
async fn scopes_narrow_what_a_token_may() {
    let stage = Stage::open().await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("orders%2F1", "{}").await;
    alice.create("stock", "{}").await;
    let publisher = stage.caller("alice", &["publish:orders/*"]).await;
    let reader = stage.caller("alice", &["read:orders/*"]).await;
    for (caller, method, path, status) in [
        (&publisher, "POST", "/v1/nodes/orders%2F1/items", 201),
        (&publisher, "POST", "/v1/nodes/stock/items", 403),
        (&publisher, "POST", "/v1/nodes/orders%2F2/items?create=true", 403),
        (&publisher, "GET", "/v1/nodes/orders%2F1/items", 403),
        (&publisher, "GET", "/v1/nodes/orders%2F1", 403),
        (&publisher, "DELETE", "/v1/nodes/orders%2F1/items", 403),
        (&reader, "GET", "/v1/nodes/orders%2F1/items", 200),
        (&reader, "GET", "/v1/nodes/orders%2F1", 200),
        (&reader, "GET", "/v1/nodes/stock/items", 403),
        (&reader, "POST", "/v1/nodes/orders%2F1/items", 403),
        (&reader, "DELETE", "/v1/nodes/orders%2F1", 403),
        (&reader, "GET", "/v1/nodes/orders%2F1/affiliations", 403),
        // Its own, not everyone's.
        (&reader, "GET", "/v1/nodes/orders%2F1/subscriptions", 200),
        (&publisher, "GET", "/v1/nodes/orders%2F1/subscriptions", 403),
        (&reader, "DELETE", "/v1/nodes/orders%2F1/subscriptions/alice%40localhost", 403),
    ] {
        let body = (method == "POST").then_some(("application/json", &b"1"[..]));
        let reply = caller.ask(method, path, &[], body).await;
        assert_eq!(reply.status, status, "{method} {path} {reply:?}");
        if status == 403 {
            assert_eq!(reply.problem(), "insufficient-scope");
            assert!(reply.header("www-authenticate").contains("insufficient_scope"));
        }
    }
    let listed = reader.get("/v1/nodes").await.json();
    assert_eq!(listed["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(listed["nodes"][0]["node"], "orders/1");
    stage.close().await;
}
