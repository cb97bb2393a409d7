//! The examples of `/openapi.json`: each of them is sent, and does what the document says.

use super::endpoint::Endpoint;
use super::*;
use crate::delivery::webhook::Networks;
use crate::http::{Hook, HookForm, Scheme};

/// Every operation, so that each finds what those before it have made.
const ORDER: &[&str] = &[
    "createNode",
    "showNode",
    "configureNode",
    "listNodes",
    "publish",
    "publishAs",
    "publishBatch",
    "listOrWatchItems",
    "showItem",
    "watchNodes",
    "issueTicket",
    "subscribe",
    "showSubscription",
    "setSubscriptionOptions",
    "setSubscriptions",
    "listSubscriptions",
    "unsubscribe",
    "setAffiliations",
    "listAffiliations",
    "createWebhook",
    "listWebhooks",
    "showWebhook",
    "enableWebhook",
    "listDeadLetters",
    "replayWebhook",
    "webhookKeys",
    "receiveWebhook",
    "removeWebhook",
    "retract",
    "purge",
    "deleteNode",
];
const SECRET: &str = "a secret of a sender";

#[tokio::test]
async fn every_example_does_what_the_document_says() {
    let sender = Hook {
        source: "sender".to_owned(),
        scheme: Scheme::GitLab,
        secrets: vec![signed_with(SECRET)],
        tolerance_seconds: 300,
        node: "orders/42".to_owned(),
        item: None,
        account: BareJid::parse("juliet@localhost").unwrap(),
        create: false,
        form: HookForm::Body,
    };
    let webhooks = webhook::Options {
        allow_http: true,
        networks: Networks::parse("127.0.0.0/8").unwrap(),
        ..webhook::Options::default()
    };
    let options = Options { hooks: vec![sender], ..Options::default() };
    let stage = Stage::with_webhooks(options, engine::Options::default(), webhooks).await;
    let juliet = stage.caller("juliet", &[]).await;
    let endpoint = Endpoint::open("127.0.0.1:0").await;
    let document = Caller { address: stage.http, credential: String::new() };
    let mut response = document.send("GET", "/openapi.json", &[], None).await;
    let document: Value = serde_json::from_slice(&response.body_mut().collect().await.unwrap().to_bytes()).unwrap();
    let mut operations = std::collections::BTreeMap::new();
    for (path, place) in document["paths"].as_object().unwrap() {
        for (method, operation) in place.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            if !path.starts_with("/v1/services/") {
                let id = operation["operationId"].as_str().unwrap();
                operations.insert(id, (path, place, method.to_uppercase(), operation));
            }
        }
    }
    let mut ids: Vec<&str> = ORDER.to_vec();
    ids.sort_unstable();
    assert_eq!(operations.keys().copied().collect::<Vec<_>>(), ids, "each operation has its turn");
    let mut webhook = String::new();
    for id in ORDER {
        let (path, place, method, operation) = &operations[id];
        let mut path = (*path).clone();
        for parameter in place["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let example = match path.as_str() {
                "/v1/hooks/{id}" => "sender",
                path if path.contains("/webhooks/{id}") && name == "id" => &webhook,
                _ => parameter["example"].as_str().unwrap_or_else(|| panic!("{id}: no example of {name}")),
            };
            let encoded = example.replace('/', "%2F").replace('@', "%40");
            path = path.replace(&format!("{{{name}}}"), &encoded);
        }
        match *id {
            "watchNodes" => path.push_str("?node=orders%2F42&since=earliest&wait=0"),
            "listOrWatchItems" => path.push_str("?limit=10"),
            _ => {}
        }
        let contents = operation["requestBody"]["content"].as_object();
        let examples: Vec<Option<(&str, Vec<u8>)>> = match contents {
            None => vec![None],
            Some(contents) => {
                contents.iter().map(|(media, content)| Some((media.as_str(), body(id, content)))).collect()
            }
        };
        for example in examples {
            let headers: &[(&str, &str)] = if *id == "receiveWebhook" { &[("x-gitlab-token", SECRET)] } else { &[] };
            let sent = example.as_ref().map(|(media, body)| {
                let text = String::from_utf8(body.clone()).unwrap();
                (*media, text.replace("https://shop.example/hook", &endpoint.url()).into_bytes())
            });
            let body = sent.as_ref().map(|(media, body)| (*media, &body[..]));
            let reply = juliet.ask(method, &path, headers, body).await;
            let shown = format!("{id}: {method} {path} {:?}: {reply:?}", sent.as_ref().map(|(media, _)| media));
            assert!((200..300).contains(&reply.status), "{shown}");
            let answer = &operation["responses"][reply.status.to_string()];
            assert!(!answer.is_null(), "not an answer of the document: {shown}");
            if !reply.body.is_empty() {
                let media = reply.header("content-type").split(';').next().unwrap();
                assert!(!answer["content"][media].is_null(), "not content of the document: {shown}");
            }
            if *id == "createWebhook" {
                webhook = reply.json()["id"].as_str().unwrap().to_owned();
            }
        }
    }
    stage.close().await;
}

fn body(id: &str, content: &Value) -> Vec<u8> {
    match &content["example"] {
        Value::Null => panic!("{id}: a body without an example"),
        Value::String(text) => text.as_bytes().to_vec(),
        example => serde_json::to_vec(example).unwrap(),
    }
}
