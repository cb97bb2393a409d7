//! The state and then the events, on every transport, while somebody publishes without pause: whoever reads both has
//! everything once, in the order of the log, without a gap.
//!
//! A cursor says which position it is, so this is a property of what was read and not of when: from the bookmark at the
//! end of the state on, each event is the next one of its node's log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::transports::{Lines, Socket};
use super::*;
use crate::pubsub::{NodeKey, Seq};

/// A reader on one of the transports.
enum Reader {
    Events(Events),
    Lines(Lines),
    Socket(Box<Socket>),
}

/// One thing that was said, in whichever form.
struct Said {
    kind: String,
    cursor: Option<String>,
    object: Value,
}

impl Reader {
    async fn open(caller: &Caller, transport: usize, path: &str) -> Self {
        match transport {
            0 => Reader::Events(caller.watch(path, None).await),
            1 => Reader::Lines(caller.lines(path).await),
            _ => Reader::Socket(Box::new(caller.socket(path).await)),
        }
    }

    async fn next(&mut self) -> Said {
        let object = match self {
            Reader::Events(events) => loop {
                let block = events.next().await.expect("no end yet");
                if block.data.is_none() && block.id.is_none() {
                    continue;
                }
                let kind = block.event.unwrap_or_else(|| "bookmark".to_owned());
                return Said { kind, cursor: block.id, object: block.data.unwrap_or_default() };
            },
            Reader::Lines(lines) => lines.next().await.expect("no end yet"),
            Reader::Socket(socket) => socket.object().await,
        };
        let text = |name: &str| object[name].as_str().map(str::to_owned);
        Said { kind: text("type").unwrap(), cursor: text("cursor"), object }
    }
}

/// What a reader that keeps a copy has of one node.
type Copy = BTreeMap<String, Value>;

/// Reads until the last item of every node has come, and holds each event against the one before.
async fn read_all(
    door: Arc<Door>,
    mut reader: Reader,
    nodes: usize,
    past_state: Arc<AtomicUsize>,
) -> HashMap<String, Copy> {
    let mut copies: HashMap<String, Copy> = HashMap::new();
    let mut at: Option<HashMap<NodeKey, Seq>> = None;
    let (mut state, mut ended, mut pace) = (HashSet::new(), 0, 0_u32);
    while ended < nodes {
        let said = reader.next().await;
        if let Some(cursor) = &said.cursor {
            let positions = door.rooms.cursors.decode_all(cursor).expect("a cursor of ours");
            let now: HashMap<NodeKey, Seq> = positions.into_iter().map(|at| (at.node, at.seq)).collect();
            match &at {
                // The bookmark at the end of the state.
                None => {
                    assert_eq!((&*said.kind, now.len()), ("bookmark", nodes));
                    past_state.fetch_add(1, Ordering::Relaxed);
                }
                Some(before) if said.kind == "bookmark" => assert_eq!(*before, now, "nothing was passed over"),
                Some(before) => {
                    let steps: u64 =
                        now.iter().map(|(node, seq)| seq.0.checked_sub(before[node].0).expect("forwards")).sum();
                    assert_eq!(steps, 1, "an event came twice, or one is missing: {}", said.object);
                }
            }
            at = Some(now);
        }
        let (Some(node), Some(id)) = (said.object["node"].as_str(), said.object["id"].as_str()) else {
            assert_eq!(said.kind, "bookmark", "{}", said.object);
            continue;
        };
        assert!(
            at.is_some() || state.insert((node.to_owned(), id.to_owned())),
            "an item came twice in the state: {id}"
        );
        let copy = copies.entry(node.to_owned()).or_default();
        match &*said.kind {
            "published" => drop(copy.insert(id.to_owned(), said.object["data"].clone())),
            "retracted" => drop(copy.remove(id)),
            other => panic!("{other}"),
        }
        ended += usize::from(id == LAST);
        // Not as fast as it can, so that pages of the state grow old meanwhile.
        pace += 1;
        if pace.is_multiple_of(8) {
            tokio::task::yield_now().await;
        }
    }
    copies
}

/// Publishes, overwrites and retracts over one connection until it is told to stop.
async fn publish_on(caller: Arc<Caller>, lane: u32, done: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let mut sender = connect(caller.address).await;
    let mut count = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let node = if count.is_multiple_of(3) { "m" } else { "n" };
        let method = if count.is_multiple_of(5) { "DELETE" } else { "PUT" };
        let path = format!("/v1/nodes/{node}/items/{}", (count * 7 + lane * 13) % ITEMS);
        let body =
            Full::new(Bytes::from(if method == "PUT" { format!("{}", count * 10 + lane) } else { String::new() }));
        let request = hyper::Request::builder().method(method).uri(path).header("host", "x");
        let request = request.header("authorization", &caller.credential).header("content-type", "application/json");
        let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        assert!(matches!(response.status().as_u16(), 200 | 201 | 204 | 404), "{}", response.status());
        response.into_body().collect().await.unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_has_everything_once_while_publishing_goes_on() {
    let stage = Arc::new(Stage::open().await);
    let alice = Arc::new(stage.caller("alice", &[]).await);
    for node in ["n", "m"] {
        alice.create(node, r#"{"max_items":100}"#).await;
        for id in 0..ITEMS {
            alice.publish(node, &id.to_string(), "0").await;
        }
    }
    let (done, stop, past_state) =
        (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let lanes: Vec<_> =
        (0..LANES).map(|lane| tokio::spawn(publish_on(alice.clone(), lane, done.clone(), stop.clone()))).collect();
    let mut readers = vec![];
    for number in 0..6 {
        // Each begins in the midst of it, and at another moment.
        while done.load(Ordering::Relaxed) < number * BETWEEN {
            tokio::task::yield_now().await;
        }
        let (path, nodes) = match number % 2 {
            0 => ("/v1/nodes/n/items?watch=true&initial=true", 1),
            _ => ("/v1/watch?node=n&node=m&initial=true", 2),
        };
        let reader = Reader::open(&alice, number / 2, path).await;
        readers.push(tokio::spawn(read_all(stage.door.clone(), reader, nodes, past_state.clone())));
    }
    // It goes on until each of them has had its state, and for a while after that.
    while past_state.load(Ordering::Relaxed) < readers.len() {
        assert!(readers.iter().all(|reader| !reader.is_finished()), "a reader has ended before the end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let enough = done.load(Ordering::Relaxed) + BETWEEN;
    while done.load(Ordering::Relaxed) < enough {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for lane in lanes {
        lane.await.unwrap();
    }
    let mut expected = HashMap::new();
    for node in ["n", "m"] {
        alice.publish(node, LAST, "0").await;
        let listed = alice.get(&format!("/v1/nodes/{node}/items?limit=100")).await.json();
        let item = |item: &Value| (item["id"].as_str().unwrap().to_owned(), item["data"].clone());
        expected.insert(node.to_owned(), listed["items"].as_array().unwrap().iter().map(item).collect::<Copy>());
    }
    for (number, reader) in readers.into_iter().enumerate() {
        let copies = reader.await.unwrap();
        assert_eq!(copies.len(), 1 + number % 2);
        for (node, copy) in copies {
            assert_eq!(copy, expected[&node], "reader {number}, {node}");
        }
    }
}

const ITEMS: u32 = 60;
const LANES: u32 = 4;
/// Publishes between the beginnings of two readers.
const BETWEEN: usize = 150;
/// The id of the last item of a node.
const LAST: &str = "the-end";
