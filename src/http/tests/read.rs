use super::*;

#[tokio::test]
async fn an_item_is_served_in_the_form_that_is_asked_for() {
    let (stage, alice) = Stage::with_node().await;
    let xml = "<a xmlns='urn:x'>5 &lt; 6</a>";
    alice.ask("PUT", "/v1/nodes/n/items/x", &[], Some(("application/xml", xml.as_bytes()))).await;
    let get = async |accept: &str| alice.ask("GET", "/v1/nodes/n/items/x", &[("accept", accept)], None).await;
    let native = get("*/*").await;
    assert_eq!((native.header("content-type"), &native.body[..]), ("application/xml", xml.as_bytes()));
    let json = get("application/json").await;
    assert_eq!((json.header("content-type"), json.json()), ("application/json", xml.into()));
    assert_ne!(json.header("etag"), native.header("etag"));
    assert_eq!(json.header("vary"), "accept");

    // Each representation is validated by its own tag.
    let again = async |accept: &str, tag: &str| {
        alice.ask("GET", "/v1/nodes/n/items/x", &[("accept", accept), ("if-none-match", tag)], None).await
    };
    let unchanged = again("*/*", native.header("etag")).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), native.header("etag"));
    assert_eq!(again("application/json", native.header("etag")).await.status, 200);
    // And a write takes either, for both are of one state of the item.
    let headers = [("if-match", json.header("etag"))];
    let swapped = alice.ask("PUT", "/v1/nodes/n/items/x", &headers, Some(("text/plain", b"x"))).await;
    assert_eq!(swapped.status, 200);
    let head = alice.ask("HEAD", "/v1/nodes/n/items/x", &[], None).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "1"));
    stage.close().await;
}

#[tokio::test]
async fn lists_go_page_by_page_in_both_directions() {
    let (stage, alice) = Stage::with_node().await;
    for id in ["a", "b", "c", "d", "e"] {
        alice.publish("n", id, &format!("\"{id}\"")).await;
    }
    let mut seen = vec![];
    for order in ["asc", "desc"] {
        let mut edge = String::new();
        loop {
            let reply = alice.get(&format!("/v1/nodes/n/items?limit=2&order={order}{edge}")).await;
            let page = reply.json();
            assert_eq!((reply.status, &page["count"]), (200, &5.into()));
            assert_eq!(reply.header("tidings-cursor"), page["cursor"].as_str().unwrap());
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            edge = format!("&after={next}");
        }
    }
    assert_eq!(seen.concat(), "abcdeedcba");
    let item = alice.get("/v1/nodes/n/items?limit=1").await.json()["items"][0].clone();
    assert_eq!((&item["type"], &item["data"]), (&"application/json".into(), &"a".into()));
    assert_eq!(item["publisher"], "alice@localhost");
    let back = alice.get("/v1/nodes/n/items?limit=2&order=desc").await.json();
    let onward = back["next"].as_str().unwrap();
    let page = alice.get(&format!("/v1/nodes/n/items?limit=2&order=desc&after={onward}")).await.json();
    let prev = page["prev"].as_str().unwrap();
    let first = alice.get(&format!("/v1/nodes/n/items?limit=2&order=desc&before={prev}")).await.json();
    assert_eq!(first["items"], back["items"]);
    let count = alice.get("/v1/nodes/n/items?limit=0").await.json();
    assert_eq!((&count["count"], count["items"].as_array().unwrap().len()), (&5.into(), 0));
    for query in ["limit=1000", "limit=x", "colour=red", "since=now", "types=published", "after=x&before=y", "order=up"]
    {
        assert_eq!(alice.get(&format!("/v1/nodes/n/items?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(alice.get("/v1/nodes/n/items?after=nonsense").await.problem(), "page-not-found");
    stage.close().await;
}

#[tokio::test]
async fn nodes_are_created_shown_configured_and_deleted() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    let created =
        alice.json("PUT", "/v1/nodes/n", r#"{"title":"News","max_items":5,"contact":["alice@localhost"]}"#).await;
    assert_eq!((created.status, created.header("location")), (201, "/v1/nodes/n"));
    let shown = alice.get("/v1/nodes/n").await;
    let config = shown.json()["config"].clone();
    assert_eq!(
        (&config["title"], &config["max_items"], &config["persist_items"]),
        (&"News".into(), &5.into(), &true.into())
    );
    assert_eq!(config["contact"], serde_json::json!(["alice@localhost"]));
    // Who does not own it sees what the metadata shows.
    let config = bob.get("/v1/nodes/n").await.json()["config"].clone();
    assert_eq!((&config["title"], config.get("max_items")), (&"News".into(), None));

    // Again: the fields that are named are set, the others stay. What is shown can be put back.
    let configured = alice.json("PUT", "/v1/nodes/n", r#"{"title":"Olds"}"#).await;
    assert_eq!((configured.status, &configured.json()["config"]["max_items"]), (200, &5.into()));
    let whole = String::from_utf8(configured.body.to_vec()).unwrap();
    assert_eq!(alice.json("PUT", "/v1/nodes/n", &whole).await.json()["config"], configured.json()["config"]);
    let only = alice.ask("PUT", "/v1/nodes/n", &[("if-none-match", "*")], Some(("application/json", b"{}"))).await;
    assert_eq!(only.status, 412);
    assert_eq!(bob.json("PUT", "/v1/nodes/n", r#"{"title":"Mine"}"#).await.status, 403);

    for (body, pointer) in [
        (r#"{"max_items":"many"}"#, "/max_items"),
        (r#"{"max_items":0}"#, "/max_items"),
        (r#"{"access_model":"friends"}"#, "/access_model"),
        (r#"{"colour":"red"}"#, "/colour"),
        (r#"{"persist_items":"1"}"#, "/persist_items"),
        (r#"{"language":"xx yy zz"}"#, "/language"),
        (r#"{"config":{"max_items":0}}"#, "/config/max_items"),
        (r#"{"config":{"colour":1}}"#, "/config/colour"),
        (r#"{"config":{"persist_items":"1"}}"#, "/config/persist_items"),
    ] {
        let reply = alice.json("PATCH", "/v1/nodes/n", body).await;
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-config"), "{body}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    let created = alice.json("PUT", "/v1/nodes/m", r#"{"config":{"colour":1}}"#).await;
    assert_eq!((created.status, &created.json()["errors"][0]["pointer"]), (422, &"/config/colour".into()));
    assert_eq!(alice.json("PATCH", "/v1/nodes/n", "[]").await.status, 400);
    assert_eq!(alice.ask("PATCH", "/v1/nodes/n", &[], Some(("text/plain", b"{}"))).await.status, 415);
    let patched = alice.json("PATCH", "/v1/nodes/n", r#"{"access_model":"whitelist"}"#).await;
    assert_eq!((patched.status, &patched.json()["config"]["access_model"]), (200, &"whitelist".into()));
    assert_eq!(bob.get("/v1/nodes/n/items").await.problem(), "closed-node");

    assert_eq!(bob.delete("/v1/nodes/n").await.status, 403);
    assert_eq!(alice.delete("/v1/nodes/n").await.status, 204);
    for path in ["/v1/nodes/n", "/v1/nodes/n/items", "/v1/nodes/n/items/i"] {
        let gone = alice.get(path).await;
        assert_eq!((gone.status, gone.problem().as_str()), (410, "node-deleted"), "{path}");
    }
    stage.close().await;
}

#[tokio::test]
async fn affiliations_are_changed_all_or_none() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    alice.create("n", r#"{"access_model":"whitelist"}"#).await;
    let path = "/v1/nodes/n/affiliations";
    assert_eq!(bob.get(path).await.status, 403);
    assert_eq!(alice.json("PUT", path, r#"{"bob@localhost":"publisher","x":"king"}"#).await.status, 422);
    assert_eq!(bob.json("POST", "/v1/nodes/n/items", "1").await.status, 403);
    assert_eq!(alice.json("PUT", path, r#"{"bob@localhost":"publisher"}"#).await.status, 204);
    assert_eq!(bob.json("POST", "/v1/nodes/n/items", "1").await.status, 201);
    let list = alice.get(path).await.json();
    let expected = serde_json::json!([
        {"jid": "alice@localhost", "affiliation": "owner"}, {"jid": "bob@localhost", "affiliation": "publisher"},
    ]);
    assert_eq!((&list["affiliations"], &list["count"]), (&expected, &2.into()));
    assert_eq!(alice.json("PUT", path, r#"{"alice@localhost":"none"}"#).await.problem(), "last-owner");
    let subscriptions = alice.get("/v1/nodes/n/subscriptions").await.json();
    assert_eq!(subscriptions["subscriptions"], serde_json::json!([]));
    stage.close().await;
}

#[tokio::test]
async fn a_purge_takes_everything() {
    let (stage, alice) = Stage::with_node().await;
    for id in ["a", "b"] {
        alice.publish("n", id, "1").await;
    }
    assert_eq!(alice.delete("/v1/nodes/n/items").await.status, 204);
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 0);
    stage.close().await;
}

#[tokio::test]
async fn paths_and_services_that_are_not_there_are_not_found() {
    let (stage, alice) = Stage::with_node().await;
    for (path, status) in [
        ("/", 404),
        ("/v1/admin/users", 404),
        ("/v1/nodes/../admin/users", 404),
        ("/v1/nodes/%2e%2e", 400),
        ("/v1/nodes//items", 400),
        ("/v1/nodes/n/items;x", 404),
        ("/v1/nodes/%00", 400),
        ("/v1/services/pubsub.localhost/nodes/n", 200),
        ("/v1/services/pubsub.localhost/nodes/n/items", 200),
        // Anybody's name is not a service that nodes could be made at.
        ("/v1/services/bob%40localhost/nodes", 404),
        ("/v1/services/example.org/nodes/n", 404),
        ("/livez", 404),
    ] {
        assert_eq!(alice.get(path).await.status, status, "{path}");
    }
    assert_eq!(alice.json("PUT", "/v1/services/bob%40localhost/nodes/n", "{}").await.status, 404);
    let wrong = alice.ask("PATCH", "/v1/nodes/n/items", &[], None).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET, POST, DELETE, HEAD"));
    stage.close().await;
}

#[tokio::test]
async fn nobody_reads_anything() {
    let (stage, _) = Stage::with_node().await;
    let with = |credential: &str| Caller { address: stage.http, credential: credential.to_owned() };
    for (credential, status) in [
        ("", 401),
        ("Bearer tdg_nonsense", 401),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", 401),
        // alice@localhost:wrong, alice@localhost:alice-password
        ("Basic YWxpY2VAbG9jYWxob3N0Ondyb25n", 401),
        ("Basic YWxpY2VAbG9jYWxob3N0OmFsaWNlLXBhc3N3b3Jk", 200),
    ] {
        let reply = with(credential).get("/v1/nodes/n/items").await;
        assert_eq!(reply.status, status, "{credential}");
        if status == 401 {
            assert_eq!(reply.problem(), "unauthorized");
            assert!(reply.headers.get_all("www-authenticate").iter().count() == 2, "{credential}");
        }
    }
    assert_eq!(with("").get("/v1/nodes/n/items?access_token=tdg_x").await.status, 401);
    stage.close().await;
}
