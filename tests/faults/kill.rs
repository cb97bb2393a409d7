//! What was acknowledged survives `kill -9` at any instant, and what was not can be asked for again under
//! its key without being done twice.
//!
//! Several publishers write over HTTP and keep, outside the server, what was acknowledged. The server
//! is killed after a number of acknowledgements that differs from round to round, started again on the
//! same data, and must hold every acknowledged item, byte for byte, in a log without a gap.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

/// Has four publish at once, each counting what it is answered, and kills the server under them when
/// it has answered so often.
async fn kill_under_four<F: Future<Output = ()> + Send + 'static>(
    server: Server,
    answers: usize,
    publish: impl Fn(Client, usize, Arc<AtomicUsize>) -> F,
) {
    let answered = Arc::new(AtomicUsize::new(0));
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..4 {
        publishers.spawn(publish(server.client().await, publisher, answered.clone()));
    }
    while answered.load(Ordering::Relaxed) < answers {
        tokio::task::yield_now().await;
    }
    server.kill();
    while let Some(ended) = publishers.join_next().await {
        ended.expect("a publisher ends when the server is gone");
    }
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
        kill_under_four(server, kill_after, |client, publisher, answered| {
            publish(client, round, publisher, ledger.clone(), answered)
        })
        .await;
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
        kill_under_four(server, kill_after, |client, publisher, answered| {
            post_once(client, round, publisher, keys.clone(), answered)
        })
        .await;

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

/// What an endpoint was called with: ids in order of arrival.
type Calls = Arc<Mutex<Vec<(String, u64)>>>;

/// An endpoint that answers 200 to everything, and keeps what it was called with before it answers.
async fn endpoint(calls: Calls) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("it can listen");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let calls = calls.clone();
            tokio::spawn(async move {
                let (mut unread, mut buffer) = (Vec::new(), [0; 4096]);
                loop {
                    let text = String::from_utf8_lossy(&unread).into_owned();
                    let whole = text.split_once("\r\n\r\n").filter(|(_, body)| body.ends_with('}'));
                    let Some((_, body)) = whole else {
                        match socket.read(&mut buffer).await {
                            Ok(0) | Err(_) => return,
                            Ok(read) => unread.extend_from_slice(&buffer[..read]),
                        }
                        continue;
                    };
                    let event: Value = serde_json::from_str(body).expect("one event");
                    let answer = event["challenge"].as_str().unwrap_or("").to_owned();
                    if answer.is_empty() {
                        let id = event["id"].as_str().expect("an id").to_owned();
                        let seq = event["sequence"].as_str().and_then(|seq| seq.parse().ok()).expect("a sequence");
                        calls.lock().expect("nobody has panicked").push((id, seq));
                    }
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
                    if socket.write_all(head.as_bytes()).await.is_err() {
                        return;
                    }
                    unread.clear();
                }
            });
        }
    });
    address
}

/// P19: between the 200 of an endpoint and our keeping of it the server may die; then it sends again,
/// under the same id, and nothing is left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_called_with_everything_through_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let calls = Calls::default();
    let address = endpoint(calls.clone()).await;
    for (round, kill_after) in [3, 40, 9, 25].into_iter().enumerate() {
        let server = Server::start(dir.path(), &WEBHOOKS);
        let mut client = server.client().await;
        if round == 0 {
            client.ask("PUT", "/v1/nodes/n", r#"{"max_items":10000}"#).await.expect("an answer");
            let wish = format!("{{\"url\":\"http://{address}/\"}}");
            let created = client.ask("POST", "/v1/nodes/n/webhooks", &wish).await;
            assert!(matches!(created, Some((201, _))), "{created:?}");
        }
        let begun = calls.lock().expect("nobody has panicked").len();
        for number in 0..50 {
            let path = format!("/v1/nodes/n/items/{round}-{number}");
            let published = client.ask("PUT", &path, "1").await;
            assert!(matches!(published, Some((201, _))), "{published:?}");
        }
        // Killed with some of them delivered: the 200 of the last is seldom kept by then.
        while calls.lock().expect("nobody has panicked").len() < begun + kill_after {
            tokio::task::yield_now().await;
        }
        server.kill();
    }
    let _server = Server::start(dir.path(), &WEBHOOKS);
    let deadline = Instant::now() + Duration::from_secs(30);
    while calls.lock().expect("nobody has panicked").last().is_none_or(|(_, seq)| *seq < 200) {
        assert!(Instant::now() < deadline, "{:?}", calls.lock().expect("nobody has panicked").last());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let calls = calls.lock().expect("nobody has panicked").clone();
    let mut ids = BTreeMap::new();
    let (mut reached, mut again) = (0, 0);
    for (id, seq) in calls {
        assert_eq!(*ids.entry(seq).or_insert_with(|| id.clone()), id, "an event keeps its id");
        // In order, but for what is sent again after a start.
        assert!(seq <= reached + 1, "{seq} came after {reached}: something was left out");
        again += usize::from(seq <= reached);
        reached = reached.max(seq);
    }
    assert_eq!((reached, ids.len()), (200, 200), "every event came");
    assert!(again > 0, "nothing was sent again: the kill never fell between an answer and its keeping");
}

/// Endpoints on this machine are allowed.
const WEBHOOKS: [&str; 2] = ["webhooks.allow_http=true", "webhooks.networks=127.0.0.0/8"];
