//! Feeds over the real engine and the store in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{self, Answered, Wrong};
use crate::jid::{FullJid, Jid};
use crate::pubsub::{Caller, EventKind, ItemId, Media, NewItem, NodeId, Payload, Precondition, Request, Role, Verb};
use crate::store::memory::MemoryStore;
use crate::time::SystemClock;

pub(super) struct Stage {
    pub engine: Engine,
    pub delivery: Delivery,
    pub store: Arc<MemoryStore>,
    stop: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stage {
    /// With one node, `n`.
    pub async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let (engine, turns) = Engine::new(store.clone(), Arc::new(SystemClock), engine::Options::default());
        let stop = CancellationToken::new();
        let delivery = Delivery::new(engine.clone(), Options::default(), stop.clone());
        tokio::spawn(turns.run(Arc::new(delivery.clone()), stop.clone()));
        tokio::spawn(delivery.clone().run(stop.clone()));
        let stage = Stage { engine, delivery, store, stop };
        stage.ask("owner", Verb::Create { node: Some(node()), config: Vec::new() }).await.unwrap();
        stage
    }

    pub async fn ask(&self, who: &str, verb: Verb) -> Result<Answered, Wrong> {
        let caller = Caller { jid: Jid::Bare(bare(who)), role: Role::Account };
        self.engine.ask(Request { caller, service: bare("pubsub"), verb }).await
    }

    pub async fn subscribe(&self, jid: Jid) {
        let who = jid.bare().local().unwrap().to_owned();
        self.ask(&who, Verb::Subscribe { node: node(), jid, options: None }).await.unwrap();
    }

    pub async fn publish(&self, id: &str) {
        let payload =
            Payload { media: Media::Xml, namespace: Arc::from("urn:x"), xml: Arc::from(&b"<x xmlns='urn:x'/>"[..]) };
        let item = NewItem { id: ItemId::parse(id), payload: Some(payload), precondition: Precondition::None };
        let verb = Verb::Publish { node: node(), items: vec![item], options: None, create: false };
        self.ask("owner", verb).await.unwrap();
    }
}

/// The ids of the next events that the session is shown, so many of them.
pub(super) async fn shown(feed: &mut Feed, count: usize) -> Result<Vec<String>, Behind> {
    let mut ids = Vec::new();
    while ids.len() < count {
        tokio::time::timeout(Duration::from_secs(10), feed.ready()).await.expect("an event");
        feed.pull(1 << 20, &mut |shown| {
            if let EventKind::Published { item: Some(item), .. } = &shown.entry.event.kind {
                ids.push(item.to_string());
            }
            1
        })?;
    }
    Ok(ids)
}

pub(super) fn bare(local: &str) -> BareJid {
    BareJid::parse(&format!("{local}@localhost")).unwrap()
}

pub(super) fn full(local: &str) -> FullJid {
    bare(local).with_resource("r").unwrap()
}

pub(super) fn node() -> NodeId {
    NodeId::parse("n").unwrap()
}

/// The reading of subscriptions begins when the feed is polled first, which is after the event here.
#[tokio::test]
async fn an_event_between_becoming_available_and_reading_subscriptions_is_shown() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    stage.publish("before").await;
    let mut feed = stage.delivery.attach(full("bob"), Role::Account, stage.delivery.moment());
    feed.set_available(true, stage.delivery.moment());
    stage.publish("first").await;
    stage.publish("second").await;
    assert_eq!(shown(&mut feed, 2).await.unwrap(), ["first", "second"]);
    stage.publish("third").await;
    assert_eq!(shown(&mut feed, 1).await.unwrap(), ["third"]);
}

#[tokio::test]
async fn an_event_right_after_binding_is_shown_to_who_subscribed_by_full_jid() {
    let stage = Stage::new().await;
    stage.subscribe(full("bob").into()).await;
    let bound = stage.delivery.moment();
    stage.publish("first").await;
    let mut feed = stage.delivery.attach(full("bob"), Role::Account, bound);
    assert_eq!(shown(&mut feed, 1).await.unwrap(), ["first"]);
}

#[tokio::test]
async fn what_was_published_while_a_session_was_not_available_is_not_shown() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.delivery.attach(full("bob"), Role::Account, stage.delivery.moment());
    stage.publish("early").await;
    feed.set_available(true, stage.delivery.moment());
    stage.publish("now").await;
    assert_eq!(shown(&mut feed, 1).await.unwrap(), ["now"]);
}

#[tokio::test]
async fn a_store_that_fails_a_few_times_costs_no_subscription() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.delivery.attach(full("bob"), Role::Account, stage.delivery.moment());
    feed.set_available(true, stage.delivery.moment());
    stage.publish("first").await;
    stage.store.fail_next(3);
    assert_eq!(shown(&mut feed, 1).await.unwrap(), ["first"]);
}

#[tokio::test]
async fn a_session_whose_subscriptions_cannot_be_read_is_told_and_not_left_without() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.delivery.attach(full("bob"), Role::Account, stage.delivery.moment());
    stage.store.fail_next(1000);
    let outcome = shown(&mut feed, 1).await;
    assert!(matches!(outcome, Err(Behind::Unreadable)), "{outcome:?}");
}
