//! Turns over a store whose commits are held back or fail as a test wants it.

mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use proptest::prelude::*;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::engine::{Answer, Answered, Committed, Engine, Options, Sink, Tail, Wrong};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Caller, Edge, ItemId, Media, NewItem, NodeId, Page, Payload, Precondition, Public, RawField, Reply, Request, Role,
    Selection, Seq, SubscriptionState, Verb, View,
};
use crate::store::memory::MemoryStore;
use crate::store::{Ask, Failure, NodeCommit, Store as _};
use crate::time::SystemClock;

/// An engine whose turns run on a task of their own.
struct Stage {
    store: Arc<MemoryStore>,
    engine: Engine,
    over: CancellationToken,
}

/// Nobody watches.
struct Nobody;

impl Sink for Nobody {
    fn committed(&self, _: &Committed<'_>) {}
    fn grown(&self, _: Vec<Arc<Tail>>) {}
}

/// A commit that is held back.
struct Held {
    begun: oneshot::Receiver<Vec<String>>,
    go: oneshot::Sender<Result<(), Failure>>,
}

impl Stage {
    fn new(options: Options) -> Self {
        Stage::of(Arc::new(MemoryStore::new()), options)
    }

    /// With nothing in memory of what is stored.
    fn over(store: Arc<MemoryStore>) -> Self {
        Stage::of(store, Options::default())
    }

    fn of(store: Arc<MemoryStore>, options: Options) -> Self {
        let (engine, turns) = Engine::new(store.clone(), Arc::new(SystemClock), options);
        let over = CancellationToken::new();
        tokio::spawn(turns.run(Arc::new(Nobody), over.clone()));
        Stage { store, engine, over }
    }

    /// Holds the next commit back, or the next after those that are held already.
    fn hold(&self) -> Held {
        let (begin, begun) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        self.store.twist(Box::new(move |batch| {
            let _ = begin.send(batch.iter().map(name).collect());
            Box::pin(async move { gone.await.unwrap_or(Ok(())) })
        }));
        Held { begun, go }
    }

    /// Asked at once: the request has its place in the queue when this returns.
    fn publish(&self, node: &str, item: &str) -> BoxFuture<'static, Result<Answered, Wrong>> {
        let items = vec![self::item(item)];
        self.ask(Verb::Publish { node: NodeId::parse(node).unwrap(), items, options: None, create: true })
    }

    fn ask(&self, verb: Verb) -> BoxFuture<'static, Result<Answered, Wrong>> {
        let caller = Caller { jid: Jid::parse("root@localhost").unwrap(), role: Role::Admin };
        let request = Request { caller, service: BareJid::parse("pubsub.localhost").unwrap(), verb };
        let engine = self.engine.clone();
        let mut asking = async move { engine.ask(request).await }.boxed();
        // The first poll puts it into the queue.
        match (&mut asking).now_or_never() {
            Some(answer) => std::future::ready(answer).boxed(),
            None => asking,
        }
    }

    /// The items of a node with their seqs, as the store has them.
    async fn items(&self, node: &str) -> BTreeMap<Seq, String> {
        let page = Page { max: 1000, edge: Edge::First };
        let node = NodeId::parse(node).unwrap();
        match self.ask(Verb::Items { node, selection: Selection::All, page, view: View::default() }).await {
            Ok(Answered { answer: Answer::Items { list, .. }, .. }) => {
                list.entries.into_iter().map(|item| (item.fact.seq, item.fact.id.as_str().to_owned())).collect()
            }
            _ => BTreeMap::new(),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

#[tokio::test]
async fn while_one_turn_is_committed_the_next_is_decided() {
    let stage = Stage::new(Options::default());
    let (first, second, third) = (stage.hold(), stage.hold(), stage.hold());
    let one = stage.publish("a", "1");
    assert_eq!(first.begun.await.unwrap(), ["a"]);
    let others = [stage.publish("b", "1"), stage.publish("c", "1"), stage.publish("b", "2")];
    // It touches what is being committed, so that it waits, and the one after it too.
    let (again, last) = (stage.publish("a", "2"), stage.publish("d", "1"));
    tokio::task::yield_now().await;
    first.go.send(Ok(())).unwrap();
    assert_eq!(seq(one.await), 1);
    assert_eq!(second.begun.await.unwrap(), ["b", "c"]);
    second.go.send(Ok(())).unwrap();
    assert_eq!(join_all(others).await.into_iter().map(seq).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(third.begun.await.unwrap(), ["a", "d"]);
    third.go.send(Ok(())).unwrap();
    assert_eq!(seq(again.await), 2);
    assert_eq!(seq(last.await), 1);
}

#[tokio::test]
async fn a_commit_that_fails_takes_no_other_with_it() {
    let stage = Stage::new(Options::default());
    let (first, second) = (stage.hold(), stage.hold());
    let one = stage.publish("a", "1");
    first.begun.await.unwrap();
    let other = stage.publish("b", "1");
    let reading = stage.ask(Verb::Metadata { node: NodeId::parse("a").unwrap() });
    first.go.send(Err(Failure::Full)).unwrap();
    second.go.send(Ok(())).unwrap();
    assert!(matches!(one.await, Err(Wrong::Failed(Failure::Full))));
    assert_eq!(seq(other.await), 1);
    assert!(matches!(reading.await, Err(Wrong::Refused(_))), "the node was never made");
    assert_eq!(stage.items("a").await, BTreeMap::new());
    assert_eq!(seq(stage.publish("a", "1").await), 1);
}

#[tokio::test]
async fn a_turn_that_another_writer_outran_is_decided_again() {
    let stage = Stage::new(Options::default());
    let (first, second) = (stage.hold(), stage.hold());
    let asked = [stage.publish("a", "1"), stage.publish("b", "1")];
    first.go.send(Err(Failure::Stale)).unwrap();
    first.begun.await.unwrap();
    second.go.send(Ok(())).unwrap();
    assert_eq!(join_all(asked).await.into_iter().map(seq).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(second.begun.await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn whoever_is_outrun_again_and_again_is_refused() {
    let stage = Stage::new(Options::default());
    for _ in 0..4 {
        stage.hold().go.send(Err(Failure::Stale)).unwrap();
    }
    assert!(matches!(stage.publish("a", "1").await, Err(Wrong::Failed(Failure::Stale))));
    assert_eq!(seq(stage.publish("a", "1").await), 1);
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let stage = Stage::new(Options::default());
    let held = stage.hold();
    let one = stage.publish("a", "1");
    held.begun.await.unwrap();
    let (same, other) = (stage.publish("a", "2"), stage.publish("b", "1"));
    stage.over.cancel();
    tokio::task::yield_now().await;
    assert!(matches!(stage.publish("c", "1").await, Err(Wrong::Failed(Failure::Closed))));
    held.go.send(Ok(())).unwrap();
    assert_eq!([seq(one.await), seq(same.await), seq(other.await)], [1, 2, 1]);
}

/// However many are subscribed, nobody's subscription is looked at but the caller's own: not even by the
/// first request at a node of which nothing is in memory.
#[tokio::test]
async fn no_request_reads_who_is_subscribed() {
    let first = Stage::new(Options::default());
    let node = || NodeId::parse("n").unwrap();
    first.publish("n", "1").await.unwrap();
    let everyone: Vec<_> = (0..200).map(|number| Jid::parse(&format!("s{number}@localhost")).unwrap()).collect();
    for some in everyone.chunks(50) {
        let changes = some.iter().map(|jid| (jid.clone(), None, SubscriptionState::Subscribed)).collect();
        first.ask(Verb::SetSubscriptions { node: node(), changes }).await.unwrap();
    }
    let caller = Jid::parse("root@localhost").unwrap();
    let verbs = [
        Verb::Publish { node: node(), items: vec![item("2")], options: None, create: false },
        Verb::Subscribe { node: node(), jid: caller.clone(), options: None, public: Public::AsItIs },
        Verb::Unsubscribe { node: node(), jid: caller.clone(), subid: None },
        Verb::Retract {
            node: node(),
            items: vec![ItemId::parse("1").unwrap()],
            notify: None,
            precondition: Precondition::None,
        },
        Verb::Configure { node: node(), config: Vec::new() },
        Verb::Purge { node: node() },
        Verb::Delete { node: node(), redirect: None },
    ];
    for verb in verbs {
        let cold = Stage::over(first.store.clone());
        cold.store.take_asked();
        cold.ask(verb.clone()).await.unwrap();
        let asked = cold.store.take_asked();
        // Leases, items that are due, and old logs are looked for when an engine begins, each by an index.
        let beside = ["reserve_node_keys", "due_items", "stale_logs", "forget_tombstones", "forget_memos"];
        let own = ["gather", "commit", "read_graph"];
        let other = asked.operations.iter().find(|name| !own.contains(name) && !beside.contains(name));
        assert_eq!(other, None, "{verb:?}: {asked:?}");
        let of_others = asked.facts.iter().find(|ask| match ask {
            Ask::Subscriptions(_, jid) => jid != caller.bare(),
            Ask::Waiting(..) => !matches!(verb, Verb::Delete { .. }),
            _ => false,
        });
        assert_eq!(of_others, None, "{verb:?}: {asked:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However long each commit takes, and whatever fails: each node's log is without a gap, in the
    /// order of asking, and holds what was answered with success and nothing else.
    #[test]
    fn each_node_keeps_the_order_of_asking(
        asks in prop::collection::vec((0..4_usize, 0..3_usize), 1..60),
        commits in prop::collection::vec((0..4_usize, 0..8_u8), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::new(Options { turn_requests_max: 7, ..Options::default() });
            for (patience, fate) in commits {
                stage.store.twist(Box::new(move |_| Box::pin(async move {
                    for _ in 0..patience {
                        tokio::task::yield_now().await;
                    }
                    match fate {
                        0 => Err(Failure::Full),
                        1 => Err(Failure::Stale),
                        _ => Ok(()),
                    }
                })));
            }
            let mut asked = Vec::new();
            for (number, (node, pause)) in asks.into_iter().enumerate() {
                asked.push((node, number, stage.publish(NODES[node], &number.to_string())));
                for _ in 0..pause {
                    tokio::task::yield_now().await;
                }
            }
            let mut expected: BTreeMap<usize, BTreeMap<Seq, String>> = BTreeMap::new();
            for (node, number, answer) in asked {
                match answer.await {
                    Ok(answered) => {
                        let seq = answered.at.expect("a publish has its place").seq;
                        let of_node = expected.entry(node).or_default();
                        let last = of_node.last_key_value().map_or(0, |(seq, _)| seq.0);
                        prop_assert_eq!(seq.0, last + 1, "in order and without a gap");
                        of_node.insert(seq, number.to_string());
                    }
                    Err(wrong) => prop_assert!(matches!(wrong, Wrong::Failed(Failure::Full | Failure::Stale))),
                }
            }
            for (node, items) in expected {
                prop_assert_eq!(stage.items(NODES[node]).await, items);
            }
            Ok(())
        })?;
    }
}

fn seq(answer: Result<Answered, Wrong>) -> u64 {
    match answer {
        Ok(Answered { answer: Answer::Reply(Reply::Published { items, .. }), .. }) => items[0].seq.0,
        other => panic!("not published: {other:?}"),
    }
}

fn item(id: &str) -> NewItem {
    NewItem {
        id: Some(ItemId::parse(id).unwrap()),
        payload: Some(Payload { media: Media::Xml, namespace: "urn:x".into(), xml: (*b"<x/>").into() }),
        precondition: Precondition::None,
    }
}

fn name(commit: &NodeCommit) -> String {
    commit.node.address.node.as_str().to_owned()
}

const NODES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked of a graph of collections, none is within itself, both ends say the same, and a
    /// node that is deleted is held by nobody.
    #[test]
    fn no_sequence_of_requests_makes_a_cycle(steps in prop::collection::vec((0..5u8, 0..7usize, 0..7usize, 0..7usize), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::new(Options::default());
            let asked: Vec<_> = steps.iter().map(|step| stage.ask(graph_verb(*step))).collect();
            join_all(asked).await;
            for name in GRAPH {
                let Some((key, parents, children)) = stage.relations(name).await else { continue };
                let below = stage.store.read_descendants(key, u32::MAX, 99).await.unwrap();
                assert!(below.iter().all(|(node, _)| node.key != key), "{name} is within itself: {steps:?}");
                for child in children {
                    let (_, of_child, _) = stage.relations(child.as_str()).await.expect("what is held is there");
                    assert!(of_child.contains(&NodeId::parse(name).unwrap()));
                }
                for parent in parents {
                    let (_, _, of_parent) = stage.relations(parent.as_str()).await.expect("what holds is there");
                    assert!(of_parent.contains(&NodeId::parse(name).unwrap()));
                }
            }
        });
    }
}

const GRAPH: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn graph_verb((kind, one, two, three): (u8, usize, usize, usize)) -> Verb {
    let node = |index: usize| NodeId::parse(GRAPH[index]).unwrap();
    let field = |name: &str, values: Vec<&str>| RawField {
        name: format!("pubsub#{name}"),
        values: values.into_iter().map(str::to_owned).collect(),
    };
    let collection = field("node_type", vec!["collection"]);
    let (above, below) = (field("collection", vec![GRAPH[two]]), field("children", vec![GRAPH[two], GRAPH[three]]));
    match kind {
        0 => Verb::Create { node: Some(node(one)), config: vec![collection, above] },
        1 => Verb::Associate { collection: node(one), node: node(two) },
        2 => Verb::Configure { node: node(one), config: vec![above, field("children", vec![GRAPH[three]])] },
        3 if two == three => Verb::Delete { node: node(one), redirect: None },
        3 => Verb::Create { node: Some(node(one)), config: vec![collection] },
        _ => Verb::Configure { node: node(one), config: vec![below] },
    }
}

impl Stage {
    async fn relations(&self, name: &str) -> Option<(crate::pubsub::NodeKey, Vec<NodeId>, Vec<NodeId>)> {
        let verb = Verb::Configuration { node: NodeId::parse(name).unwrap() };
        match self.ask(verb).await.ok()?.answer {
            Answer::Configuration { node, collections, children } => Some((node.key, collections, children)),
            other => panic!("{other:?}"),
        }
    }
}
