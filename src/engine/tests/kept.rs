//! What the service keeps, over turns that hold many requests, or one.

use super::*;
use crate::payload::{from_xml, to_xml};

fn sums() -> NodeId {
    NodeId::parse("urn:xmpp:pubsub-attachments:summary:1/n").unwrap()
}

fn attachments() -> NodeId {
    NodeId::parse("urn:xmpp:pubsub-attachments:1/xmpp:pubsub.localhost?;node=n;item=1").unwrap()
}

fn whose(number: usize) -> Jid {
    Jid::parse(&format!("u{number}@localhost")).unwrap()
}

/// One who attaches a reaction of two, or takes it back.
fn reaction(stage: &Stage, number: usize, reacts: bool) -> BoxFuture<'static, Result<Answered, Wrong>> {
    let id = ItemId::parse(whose(number).bare().as_str()).unwrap();
    let verb = if reacts {
        let emoji = ["a", "b"][number % 2];
        let xml = format!(
            "<attachments xmlns='urn:xmpp:pubsub-attachments:1'><noticed/><reactions><reaction>{emoji}</reaction>\
             </reactions></attachments>"
        );
        let payload = Some(from_xml(xml.as_bytes()).unwrap());
        let items = vec![NewItem { id: Some(id), payload, precondition: Precondition::None }];
        Verb::Publish { node: attachments(), items, options: None, create: false }
    } else {
        Verb::Retract { node: attachments(), items: vec![id], notify: None, precondition: Precondition::None }
    };
    let caller = Caller { jid: whose(number), role: Role::Account };
    let request = Request { caller, service: BareJid::parse("pubsub.localhost").unwrap(), verb };
    let engine = stage.engine.clone();
    let mut asking = async move { engine.ask(request).await }.boxed();
    match (&mut asking).now_or_never() {
        Some(answer) => std::future::ready(answer).boxed(),
        None => asking,
    }
}

async fn open(stage: &Stage) {
    let open = RawField { name: "pubsub#publish_model".to_owned(), values: vec!["open".to_owned()] };
    stage.ask(Verb::Create { node: Some(NodeId::parse("n").unwrap()), config: vec![open] }).await.unwrap();
    stage.publish("n", "1").await.unwrap();
}

async fn sum(stage: &Stage) -> String {
    let page = Page { max: 10, edge: Edge::First };
    let verb = Verb::Items { node: sums(), selection: Selection::All, page, view: View::default() };
    match stage.ask(verb).await {
        Ok(Answered { answer: Answer::Items { list, .. }, .. }) => {
            let payload = list.entries[0].payload.clone().unwrap();
            String::from_utf8(to_xml(&payload).to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// A turn counts each of its requests upon what the ones before it have made of the sum.
#[tokio::test]
async fn all_that_one_turn_attaches_is_counted() {
    let stage = Stage::new(Options::default());
    open(&stage).await;
    let (first, second) = (stage.hold(), stage.hold());
    let one = reaction(&stage, 0, true);
    assert_eq!(first.begun.await.unwrap().len(), 2, "the attachment and its sum are one commit");
    // These wait for the turn under way, which has begun the nodes.
    let others: Vec<_> = (1..40).map(|number| reaction(&stage, number, true)).collect();
    let back: Vec<_> = (1..11).map(|number| reaction(&stage, number, false)).collect();
    first.go.send(Ok(())).unwrap();
    one.await.unwrap();
    second.go.send(Ok(())).unwrap();
    for answer in join_all(others.into_iter().chain(back)).await {
        answer.unwrap();
    }
    let expected = "<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'><noticed count='30'/><reactions>\
                    <reaction count='15'>a</reaction><reaction count='15'>b</reaction></reactions></summary>";
    assert_eq!(sum(&stage).await, expected);
    // The same from what is stored.
    assert_eq!(sum(&Stage::over(stage.store.clone())).await, expected);
}

/// A request at a node waits for what is being committed of that which is kept of it, and the other way round.
#[tokio::test]
async fn what_is_kept_is_decided_with_its_node() {
    let stage = Stage::new(Options::default());
    open(&stage).await;
    let held = stage.hold();
    let retracts = stage.ask(Verb::Retract {
        node: NodeId::parse("n").unwrap(),
        items: vec![ItemId::parse("1").unwrap()],
        notify: None,
        precondition: Precondition::None,
    });
    held.begun.await.unwrap();
    let attaches = reaction(&stage, 1, true);
    tokio::task::yield_now().await;
    held.go.send(Ok(())).unwrap();
    retracts.await.unwrap();
    assert!(matches!(attaches.await, Err(Wrong::Refused(crate::pubsub::Refusal::ItemAbsent))));
}

/// However many have attached something, one who does so reads what he attached before, and the sum.
#[tokio::test]
async fn a_sum_is_counted_on_and_not_counted_again() {
    let first = Stage::new(Options::default());
    open(&first).await;
    for answer in join_all((0..300).map(|number| reaction(&first, number, true))).await {
        answer.unwrap();
    }
    let stage = Stage::over(first.store.clone());
    stage.store.take_asked();
    reaction(&stage, 7, true).await.unwrap();
    let asked = stage.store.take_asked();
    assert!(!asked.operations.iter().any(|operation| operation.starts_with("read_")), "{:?}", asked.operations);
    let facts = asked.facts;
    let payloads = facts.iter().filter(|ask| matches!(ask, Ask::Payload(..))).count();
    assert_eq!((payloads, facts.iter().any(|ask| matches!(ask, Ask::Oldest(..)))), (2, false), "{facts:?}");
    assert!(facts.len() < 16, "{facts:?}");
}

/// A publisher pays nothing for attachments where there are none; of a full node, one question, once.
#[tokio::test]
async fn who_publishes_pays_nothing_for_what_is_not_attached() {
    let first = Stage::new(Options::default());
    let few = RawField { name: "pubsub#max_items".to_owned(), values: vec!["2".to_owned()] };
    first.ask(Verb::Create { node: Some(NodeId::parse("n").unwrap()), config: vec![few] }).await.unwrap();
    for number in 0..5 {
        first.publish("n", &number.to_string()).await.unwrap();
    }
    let asked = first.store.take_asked().facts;
    let beside = |ask: &&Ask| matches!(ask, Ask::Node(address) if address.node == sums());
    assert_eq!(asked.iter().filter(beside).count(), 1, "{asked:?}");
}
