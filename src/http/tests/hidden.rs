//! Security row A11: whoever may not know of a node cannot tell it from one that is not there, neither by
//! the answer nor by the work that it takes, of which what the store is asked is the measure.

use super::*;
use crate::pubsub::WhoCreates;

const MODELS: [&str; 5] = ["open", "whitelist", "authorize", "presence", "roster"];

/// What a stranger asks over HTTP.
const QUESTIONS: &[(&str, &str, &str)] = &[
    ("GET", "", ""),
    ("PUT", "", "{}"),
    ("PATCH", "", r#"{"title":"mine"}"#),
    ("DELETE", "", ""),
    ("GET", "/items", ""),
    ("GET", "/items?watch=true&wait=0", ""),
    ("GET", "/items?watch=true&initial=true", ""),
    ("DELETE", "/items", ""),
    ("POST", "/items", "1"),
    ("GET", "/items/a", ""),
    ("PUT", "/items/a", "1"),
    ("DELETE", "/items/a", ""),
    ("GET", "/subscriptions", ""),
    ("PUT", "/subscriptions/bob@localhost", "{}"),
    ("DELETE", "/subscriptions/bob@localhost", ""),
    ("GET", "/affiliations", ""),
    ("PUT", "/affiliations", r#"{"bob@localhost":"owner"}"#),
    ("POST", "/webhooks", r#"{"url":"https://example.com/"}"#),
];

#[tokio::test]
async fn a_hidden_node_costs_what_an_absent_one_costs() {
    let stage = Stage::open().await;
    let (alice, bob) = (stage.caller("alice", &[]).await, stage.caller("bob", &[]).await);
    for model in MODELS {
        for number in 0..QUESTIONS.len() {
            let node = format!("{model}-{number}");
            alice.create(&node, &format!(r#"{{"hidden":true,"access_model":"{model}"}}"#)).await;
            alice.publish(&node, "a", "1").await;
        }
    }
    let store = stage.store.clone();
    stage.close().await;
    // Nothing is remembered by a server that was started just now.
    let engine_options = engine::Options { who_creates: WhoCreates::Admins, ..engine::Options::default() };
    let stage = Stage::over(store, Options::default(), engine_options, webhook::Options::default()).await;
    let bob = Caller { address: stage.http, ..bob };
    bob.get("/v1/nodes/first").await;
    for (number, (method, path, body)) in QUESTIONS.iter().enumerate() {
        // Before anything was remembered of them, and after.
        for again in [false, true] {
            let absent = asked(&stage, &bob, method, &format!("/v1/nodes/absent-{number}{path}"), body).await;
            assert!(absent.0 >= 400, "{method} {path}: {absent:?}");
            for model in MODELS {
                let hidden = asked(&stage, &bob, method, &format!("/v1/nodes/{model}-{number}{path}"), body).await;
                assert_eq!(hidden, absent, "{method} {path} of one that is hidden, {model}, again {again}");
            }
        }
    }
    stage.close().await;
}

/// The answer, and what the store was asked for it.
async fn asked(stage: &Stage, bob: &Caller, method: &str, path: &str, body: &str) -> (u16, String, Vec<String>) {
    stage.store.take_asked();
    let body = (!body.is_empty()).then_some(("application/json", body.as_bytes()));
    let reply = bob.ask(method, path, &[], body).await;
    let asked = stage.store.take_asked();
    let kinds = asked.facts.iter().map(|ask| format!("{ask:?}").split('(').next().unwrap_or_default().to_owned());
    (reply.status, reply.problem(), asked.operations.iter().map(|name| (*name).to_owned()).chain(kinds).collect())
}
