//! What was acknowledged survives `kill -9` at any instant, and what was not can be asked for again under
//! its key without being done twice.
//!
//! Several publishers write over HTTP and keep, outside the server, what was acknowledged. The server
//! is killed after a number of acknowledgements that differs from round to round, started again on the
//! same data, and must hold every acknowledged item, byte for byte, in a log without a gap.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::server::{Client, Server};

/// Item id to body, of everything that was acknowledged.
type Ledger = Arc<Mutex<BTreeMap<String, String>>>;

/// Publishes until the server is gone.
async fn publish(mut client: Client, round: usize, publisher: usize, ledger: Ledger, acknowledged: Arc<AtomicUsize>) {
    for number in 0.. {
        let id = format!("{round}-{publisher}-{number}");
        let body = format!("{{\"round\":{round},\"publisher\":{publisher},\"number\":{number}}}");
        let Some((status, answer)) = client.ask("PUT", &format!("/v1/nodes/n/items/{id}"), &body).await else {
            return;
        };
        assert_eq!(status, 201, "{answer}");
        ledger.lock().expect("no publisher has panicked").insert(id, body);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads all current items, and checks that what was acknowledged is among them as it was sent.
async fn check(server: &Server, ledger: &Ledger) {
    let mut client = server.client().await;
    let mut found = BTreeMap::new();
    let mut path = "/v1/nodes/n/items?limit=100".to_owned();
    loop {
        let (status, body) = client.ask("GET", &path, "").await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).expect("JSON");
        for item in page["items"].as_array().expect("items") {
            let id = item["id"].as_str().expect("an id").to_owned();
            found.insert(id, (item["seq"].as_u64().expect("a seq"), item["data"].clone()));
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/nodes/n/items?limit=100&after={next}"),
            None => break,
        }
    }
    let ledger = ledger.lock().expect("no publisher has panicked");
    for (id, body) in ledger.iter() {
        let (_, data) = found.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        let sent: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(*data, sent, "{id} is not what was sent");
    }
    let mut seqs: Vec<u64> = found.values().map(|(seq, _)| *seq).collect();
    seqs.sort_unstable();
    let gapless: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, gapless, "one event for each item, and no gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::default();
    for (round, kill_after) in [1, 7, 40, 150, 3, 90].into_iter().enumerate() {
        let server = Server::start(dir.path(), &[]);
        if round == 0 {
            let config = r#"{"max_items":10000}"#;
            let created = server.client().await.ask("PUT", "/v1/nodes/n", config).await;
            assert!(matches!(created, Some((201, _))), "{created:?}");
        }
        check(&server, &ledger).await;
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..4 {
            let client = server.client().await;
            publishers.spawn(publish(client, round, publisher, ledger.clone(), acknowledged.clone()));
        }
        while acknowledged.load(Ordering::Relaxed) < kill_after {
            tokio::task::yield_now().await;
        }
        server.kill();
        while let Some(ended) = publishers.join_next().await {
            ended.expect("a publisher ends when the server is gone");
        }
    }
    let server = Server::start(dir.path(), &[]);
    check(&server, &ledger).await;
    server.kill();
}

/// Posts under keys until the server is gone; the answers by key, and none for the one that was not
/// answered.
async fn post_once(mut client: Client, round: usize, publisher: usize, keys: Keys, answered: Arc<AtomicUsize>) {
    for number in 0.. {
        let key = format!("{round}-{publisher}-{number}");
        keys.lock().expect("no publisher has panicked").insert(key.clone(), None);
        let answer = client.ask_once(Some(&key), "POST", "/v1/nodes/n/items", &format!("\"{key}\"")).await;
        let Some((status, answer)) = answer else { return };
        assert_eq!(status, 201, "{answer}");
        keys.lock().expect("no publisher has panicked").insert(key, Some(answer));
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// What was answered under each key.
type Keys = Arc<Mutex<BTreeMap<String, Option<String>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_under_a_key_happens_once_through_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = Keys::default();
    for (round, kill_after) in [1, 5, 23, 2, 60, 11].into_iter().enumerate() {
        let server = Server::start(dir.path(), &[]);
        if round == 0 {
            let created = server.client().await.ask("PUT", "/v1/nodes/n", r#"{"max_items":10000}"#).await;
            assert!(matches!(created, Some((201, _))), "{created:?}");
        }
        let answered = Arc::new(AtomicUsize::new(0));
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..4 {
            let client = server.client().await;
            publishers.spawn(post_once(client, round, publisher, keys.clone(), answered.clone()));
        }
        while answered.load(Ordering::Relaxed) < kill_after {
            tokio::task::yield_now().await;
        }
        server.kill();
        while let Some(ended) = publishers.join_next().await {
            ended.expect("a publisher ends when the server is gone");
        }

        // Everything is asked for again, whether it was answered or not: five times, as a client would.
        let server = Server::start(dir.path(), &[]);
        let mut client = server.client().await;
        let asked: Vec<(String, Option<String>)> =
            keys.lock().expect("no publisher has panicked").clone().into_iter().collect();
        for (key, first) in &asked {
            let mut first = first.clone();
            for _ in 0..5 {
                let body = format!("\"{key}\"");
                let again = client.ask_once(Some(key), "POST", "/v1/nodes/n/items", &body).await;
                let (status, answer) = again.expect("an answer");
                assert_eq!(status, 201, "{answer}");
                assert_eq!(*first.get_or_insert(answer.clone()), answer, "the first answer, again");
            }
            keys.lock().expect("no publisher has panicked").insert(key.clone(), first);
        }
        let (_, page) = client.ask("GET", "/v1/nodes/n/items?limit=0", "").await.expect("an answer");
        let page: Value = serde_json::from_str(&page).expect("JSON");
        assert_eq!(page["count"], asked.len(), "one item for each key");
        server.kill();
    }
}
