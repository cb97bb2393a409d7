//! Bad input: whatever the form in which something is published, a problem says what is wrong and where, and nothing is
//! stored.

use super::*;
use crate::http::{Hook, HookForm, Scheme};

/// One request that cannot be: how it is published, with which query, of which type, and its body; then the status, the
/// kind, and where it is wrong: a pointer among the errors, or words of the detail.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str, Where<'a>);

#[derive(Clone, Copy, Debug)]
enum Where<'a> {
    At(&'a str),
    Says(&'a str),
}
use Where::{At, Says};

const ITEMS: &str = "POST /v1/nodes/n/items";
const PUT: &str = "PUT /v1/nodes/n/items/7";
const BATCH: &str = "POST /v1/nodes/n/items:batch";
const HOOK: &str = "POST /v1/hooks/sender";
const JSON: &str = "application/json";
const XML: &str = "application/xml";
const EVENT: &str = "application/cloudevents+json";
const EVENTS: &str = "application/cloudevents-batch+json";
const LINES: &str = "application/x-ndjson";
const SECRET: &str = "a secret of a sender";

async fn stage() -> (Stage, Caller) {
    let sender = Hook {
        source: "sender".to_owned(),
        scheme: Scheme::GitLab,
        secrets: vec![signed_with(SECRET)],
        tolerance_seconds: 300,
        node: "n".to_owned(),
        item: Some("{/number}".to_owned()),
        account: BareJid::parse("alice@localhost").unwrap(),
        create: false,
        form: HookForm::Body,
    };
    let options = Options { hooks: vec![sender], body_bytes_max: 4096, ..Options::default() };
    let stage = Stage::with(options, engine::Options::default()).await;
    let alice = stage.caller("alice", &[]).await;
    alice.create("n", r#"{"max_payload_size":300}"#).await;
    (stage, alice)
}

async fn hold(cases: &[Case<'_>]) {
    let (stage, alice) = stage().await;
    let mut first = None;
    for (form, query, media, body, status, kind, place) in cases {
        let (method, path) = form.split_once(' ').unwrap();
        let path = format!("{path}{query}");
        let headers: &[(&str, &str)] = if *form == HOOK { &[("x-gitlab-token", SECRET)] } else { &[] };
        let reply = alice.ask(method, &path, headers, Some((media, body))).await;
        let shown =
            format!("{form}{query} {media} {}: {reply:?}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        assert_eq!((reply.status, reply.problem().as_str()), (*status, *kind), "{shown}");
        let problem = reply.json();
        match place {
            At(pointer) => assert_eq!(problem["errors"][0]["pointer"], *pointer, "{shown}"),
            Says(words) => assert!(problem["detail"].as_str().unwrap().contains(words), "{shown}"),
        }
        let list = alice.get("/v1/nodes/n/items").await;
        assert_eq!(list.json()["count"], 0, "{shown}");
        // Not an event either.
        assert_eq!(
            first.get_or_insert(list.header("tidings-cursor").to_owned()),
            list.header("tidings-cursor"),
            "{shown}"
        );
    }
    stage.close().await;
}

#[tokio::test]
async fn an_item_that_cannot_be_is_refused_with_its_place() {
    let (long, longer) = (format!("\"{}\"", "x".repeat(400)), format!("\"{}\"", "x".repeat(5000)));
    for form in [ITEMS, PUT, HOOK] {
        let create = if form == HOOK { "?create=true" } else { "?create=maybe" };
        let kind = if form == HOOK { "unknown-parameter" } else { "bad-request" };
        let cases: [Case<'_>; 3] = [
            (form, "?colour=red", JSON, b"1", 400, "unknown-parameter", Says("\"colour\"")),
            (form, create, JSON, b"1", 400, kind, Says("create")),
            (form, "?create=true&create=true&x", JSON, b"1", 400, kind, Says("create")),
        ];
        hold(&cases[..if form == HOOK { 2 } else { 3 }]).await;
        // A sender's body is read for the name of the item first.
        let template = form == HOOK;
        let at = |otherwise| if template { At("/number") } else { otherwise };
        let kind = |otherwise| if template { "invalid-content" } else { otherwise };
        hold(&[
            (form, "", JSON, b"{\"number\":1,\"a\":", 422, kind("invalid-payload"), at(Says("line 1 column 16"))),
            (form, "", JSON, b"", 422, kind("invalid-payload"), at(At(""))),
            (form, "", XML, b"<a xmlns='urn:x'><b></a>", 422, kind("invalid-payload"), at(At(""))),
            (form, "", XML, b"<a/>", 422, kind("invalid-payload"), at(At(""))),
            (form, "", "application/atom+xml", b"<a xmlns='urn:x'/>", 422, kind("invalid-payload"), at(At(""))),
            (form, "", "text/plain", b"a\0b", 422, kind("invalid-payload"), at(Says("U+0000"))),
            (form, "", "text/plain", b"\xff", 422, kind("invalid-payload"), at(At(""))),
            (form, "", JSON, longer.as_bytes(), 413, "body-too-large", Says("4096 bytes")),
        ])
        .await;
        let numbered = format!("{{\"number\":1,\"p\":{long}}}");
        hold(&[
            (form, "", JSON, numbered.as_bytes(), 413, "payload-too-big", Says("at most 300")),
            (form, "", "image/png", b"{\"number\":1}", 415, "unsupported-media-type", Says("application/json")),
        ])
        .await;
    }
}

#[tokio::test]
async fn a_batch_whose_third_item_cannot_be_is_refused_as_a_whole() {
    let (long, longer) = ("x".repeat(400), "x".repeat(5000));
    let array = |third: &str| format!("[{{\"data\":1}},{{\"id\":\"b\",\"data\":2}},{third}]");
    let third = [
        (array("{\"data\":1,\"type\":\"image/png\"}"), 422, "invalid-content", At("/2/type")),
        (array("{\"id\":\"\",\"data\":1}"), 422, "invalid-content", At("/2/id")),
        (array("{\"id\":7,\"data\":1}"), 422, "invalid-content", At("/2")),
        (array("{\"data\":1,\"colour\":1}"), 422, "invalid-content", At("/2")),
        (array("{\"data\":\"<a>\",\"type\":\"application/xml\"}"), 422, "invalid-payload", At("/2/data")),
        (array("{\"data\":\"a\\u0000\",\"type\":\"text/plain\"}"), 422, "invalid-payload", At("/2/data")),
        (array("{\"id\":\"b\",\"data\":3}"), 422, "duplicate-item", At("/2")),
        (array("{\"id\":\"c\"}"), 422, "payload-required", At("/2")),
        (array(&format!("{{\"data\":\"{long}\"}}")), 413, "payload-too-big", At("/2")),
        (array("{\"data\":"), 400, "bad-request", Says("line 1 column")),
        (array(&format!("{{\"data\":\"{longer}\"}}")), 413, "body-too-large", Says("4096 bytes")),
    ];
    let cases: Vec<Case<'_>> =
        third.iter().map(|(body, status, kind, at)| (BATCH, "", JSON, body.as_bytes(), *status, *kind, *at)).collect();
    hold(&cases).await;
    hold(&[
        (BATCH, "?colour=red", JSON, b"[{\"data\":1}]", 400, "unknown-parameter", Says("\"colour\"")),
        (BATCH, "?create=1", JSON, b"[{\"data\":1}]", 400, "bad-request", Says("create")),
        (BATCH, "?item=id", JSON, b"[{\"data\":1}]", 400, "bad-request", Says("item")),
        (BATCH, "?colour=red", LINES, b"{\"data\":1}\n", 400, "unknown-parameter", Says("\"colour\"")),
    ])
    .await;
}

#[tokio::test]
async fn an_event_that_cannot_be_is_refused_with_its_place() {
    let event = |more: &str| format!("{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\"{more}}}");
    let good = |id: &str| event(",\"type\":\"t\"").replace("\"id\":\"1\"", &format!("\"id\":\"{id}\""));
    let long = event(&format!(",\"type\":\"t\",\"data\":\"{}\"", "x".repeat(400)));
    let wrong = [
        (event(""), 422, "invalid-event", At("/type")),
        (event(",\"type\":7"), 422, "invalid-event", At("/type")),
        (event(",\"type\":\"t\",\"time\":\"soon\""), 422, "invalid-event", At("/time")),
        (event(",\"type\":\"t\",\"An Attribute\":1"), 422, "invalid-event", At("/An Attribute")),
        (good("1")[..30].to_owned(), 422, "invalid-event", Says("line 1 column")),
        (long, 413, "payload-too-big", Says("at most 300")),
    ];
    let mut cases: Vec<Case<'_>> = vec![];
    for form in [ITEMS, PUT] {
        cases.extend(
            wrong.iter().map(|(body, status, kind, at)| (form, "", EVENT, body.as_bytes(), *status, *kind, *at)),
        );
    }
    hold(&cases).await;
    let batches: Vec<(String, u16, &str, String)> = wrong[..4]
        .iter()
        .map(|(body, status, kind, at)| {
            let At(pointer) = at else { unreachable!("these have a pointer") };
            (format!("[{},{},{body}]", good("a"), good("b")), *status, *kind, format!("/2{pointer}"))
        })
        .collect();
    for form in [ITEMS, BATCH] {
        let cases: Vec<Case<'_>> = batches
            .iter()
            .map(|(body, status, kind, at)| (form, "", EVENTS, body.as_bytes(), *status, *kind, At(at)))
            .collect();
        hold(&cases).await;
    }
    hold(&[
        (ITEMS, "?item=colour", EVENT, good("1").as_bytes(), 400, "bad-request", Says("item")),
        (ITEMS, "?item=subject", EVENT, good("1").as_bytes(), 422, "invalid-content", At("/subject")),
        (PUT, "", EVENTS, format!("[{}]", good("1")).as_bytes(), 400, "bad-request", Says("post it")),
    ])
    .await;
}

/// Binary mode: the attributes are headers.
#[tokio::test]
async fn an_attribute_in_a_header_that_cannot_be_is_named() {
    let (stage, alice) = stage().await;
    let good = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    for (name, value, pointer) in [
        ("ce-specversion", "2.0", "/specversion"),
        ("ce-id", "", "/id"),
        ("ce-time", "soon", "/time"),
        ("ce-subject", "%zz", "/subject"),
        ("ce-type", "", "/type"),
    ] {
        let mut headers: Vec<_> = good.into_iter().filter(|(other, _)| *other != name).collect();
        headers.push((name, value));
        let reply = alice.ask("POST", "/v1/nodes/n/items", &headers, Some((JSON, b"{}"))).await;
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-event"), "{name}: {value}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{reply:?}");
    }
    let reply = alice.ask("POST", "/v1/nodes/n/items", &good, Some((JSON, b"{\"a\":"))).await;
    assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-event"), "{reply:?}");
    assert!(reply.json()["detail"].as_str().unwrap().contains("line 1 column"), "{reply:?}");
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 0);
    stage.close().await;
}

/// Of a stream each line is by itself: those that can be are stored, and the others are told by their numbers.
#[tokio::test]
async fn a_line_that_cannot_be_is_told_by_its_number() {
    let (stage, alice) = stage().await;
    let lines = format!(
        "{{\"data\":1}}\n{{\"data\":\n{{\"id\":\"\",\"data\":1}}\n{{\"data\":\"<a>\",\"type\":\"application/xml\"}}\n\
         {{\"data\":\"{}\"}}\n{{\"data\":\"{}\"}}\n{{\"data\":2}}\n",
        "x".repeat(400),
        "x".repeat(5000)
    );
    let reply = alice.ask("POST", "/v1/nodes/n/items:batch", &[], Some((LINES, lines.as_bytes()))).await;
    let told: Vec<Value> =
        std::str::from_utf8(&reply.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<(u64, u64, &str, &Value)> = told
        .iter()
        .map(|it| {
            let kind = it["type"].as_str().unwrap_or("").rsplit(':').next().unwrap();
            (it["line"].as_u64().unwrap(), it["status"].as_u64().unwrap(), kind, &it["errors"][0]["pointer"])
        })
        .collect();
    let (none, whole) = (&Value::Null, &Value::from(""));
    assert_eq!(
        kinds,
        [
            (1, 201, "", none),
            (2, 422, "invalid-content", whole),
            (3, 422, "invalid-content", &"/id".into()),
            (4, 422, "invalid-payload", &"/data".into()),
            (5, 413, "payload-too-big", none),
            (6, 413, "line-too-long", none),
            (7, 201, "", none),
        ]
    );
    assert_eq!(alice.get("/v1/nodes/n/items").await.json()["count"], 2);
    stage.close().await;
}
