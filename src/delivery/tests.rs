//! Feeds over the real engine and the store in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{self, Answer, Answered, Wrong};
use crate::jid::{FullJid, Jid};
use crate::pubsub::{
    Affiliation, Caller, EventKind, ItemId, Media, NewItem, NodeId, Payload, Precondition, Public, RawField, Reply,
    Request, Role, Show, SubscriptionPolicy, Verb,
};
use crate::store::memory::MemoryStore;
use crate::time::{Clock, Timestamp};

/// Stands still until it is moved.
pub(super) struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

pub(super) struct Stage {
    pub clock: Arc<Hand>,
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
        Stage::with(false).await
    }

    pub async fn with(multi_subscribe: bool) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(Hand(AtomicI64::new(NOW))));
        let subscriptions = SubscriptionPolicy { multi_subscribe, digest_ms_min: 1, ..SubscriptionPolicy::default() };
        let options = engine::Options { subscriptions, ..engine::Options::default() };
        let (engine, turns) = Engine::new(store.clone(), clock.clone(), options);
        let stop = CancellationToken::new();
        let options = Options { multi_subscribe, ..Options::default() };
        let delivery = Delivery::new(engine.clone(), options, stop.clone());
        tokio::spawn(turns.run(Arc::new(delivery.clone()), stop.clone()));
        tokio::spawn(delivery.clone().run(stop.clone()));
        let stage = Stage { clock, engine, delivery, store, stop };
        stage.ask("owner", Verb::Create { node: Some(node()), config: Vec::new() }).await.unwrap();
        stage
    }

    pub async fn ask(&self, who: &str, verb: Verb) -> Result<Answered, Wrong> {
        let caller = Caller { jid: Jid::Bare(bare(who)), role: Role::Account };
        self.engine.ask(Request { caller, service: BareJid::parse("pubsub.localhost").unwrap(), verb }).await
    }

    pub async fn subscribe(&self, jid: Jid) {
        self.subscribe_with(jid, &[]).await;
    }

    pub async fn subscribe_with(&self, jid: Jid, options: &[(&str, &str)]) {
        let who = jid.bare().local().unwrap().to_owned();
        let options = Some(options.iter().map(|(name, value)| raw(name, &[value])).collect());
        self.ask(&who, Verb::Subscribe { node: node(), jid, options, public: Public::AsItIs }).await.unwrap();
    }

    pub async fn set_options(&self, jid: Jid, options: Vec<RawField>) {
        let who = jid.bare().local().unwrap().to_owned();
        self.ask(&who, Verb::SetOptions { node: node(), jid, subid: None, options }).await.unwrap();
    }

    /// An available session.
    pub fn online(&self, full: FullJid, show: Show) -> Feed {
        let mut feed = self.delivery.attach(full, Role::Account, self.delivery.moment());
        feed.set_available(showing(show), self.delivery.moment());
        feed
    }

    /// Waits until this JID is not subscribed any more.
    async fn ended(&self, jid: Jid) {
        let gone = async {
            let who = jid.bare().local().unwrap().to_owned();
            while self.ask(&who, Verb::Options { node: node(), jid: jid.clone(), subid: None }).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the subscription ends");
    }

    async fn stands(&self, jid: Jid) -> bool {
        let who = jid.bare().local().unwrap().to_owned();
        self.ask(&who, Verb::Options { node: node(), jid, subid: None }).await.is_ok()
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

/// The ids of the next notifications that the session is shown, so many of them: those of a digest
/// together.
async fn notified(feed: &mut Feed, count: usize) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    while all.len() < count {
        tokio::time::timeout(Duration::from_secs(10), feed.ready()).await.expect("a notification");
        let mut show = |shown: Shown<'_>| {
            let single = std::slice::from_ref(shown.entry);
            let events = if shown.digest.is_empty() { single } else { shown.digest };
            all.push(events.iter().map(|entry| item_of(&entry.event.kind)).collect());
            1
        };
        feed.pull(1 << 20, &mut show).unwrap();
    }
    all
}

fn item_of(kind: &EventKind) -> String {
    match kind {
        EventKind::Published { item: Some(item), .. } => item.to_string(),
        EventKind::Retracted { item, .. } => format!("-{item}"),
        other => format!("{other:?}"),
    }
}

fn raw(name: &str, values: &[&str]) -> RawField {
    RawField { name: format!("pubsub#{name}"), values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn showing(show: Show) -> Option<Available> {
    Some(Available { show, priority: 0 })
}

const NOW: i64 = 1_000_000_000;

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
    feed.set_available(showing(Show::Online), stage.delivery.moment());
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
    feed.set_available(showing(Show::Online), stage.delivery.moment());
    stage.publish("now").await;
    assert_eq!(shown(&mut feed, 1).await.unwrap(), ["now"]);
}

#[tokio::test]
async fn a_store_that_fails_a_few_times_costs_no_subscription() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.delivery.attach(full("bob"), Role::Account, stage.delivery.moment());
    feed.set_available(showing(Show::Online), stage.delivery.moment());
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

// rows: 508, 510, F38
#[tokio::test]
async fn a_temporary_subscription_ends_with_the_last_available_session() {
    let stage = Stage::new().await;
    tokio::spawn(stage.delivery.clone().run_leases(stage.stop.clone()));
    stage.subscribe_with(bare("bob").into(), &[("expire", "presence")]).await;
    stage.subscribe_with(full("bob").into(), &[("expire", "presence")]).await;
    let mut here = stage.online(full("bob"), Show::Online);
    let mut there = stage.online(bare("bob").with_resource("there").unwrap(), Show::Online);
    stage.publish("a").await;
    assert_eq!(shown(&mut here, 2).await.unwrap(), ["a", "a"]);
    // Its subscriptions have been read, or it would not know what ends with it.
    assert_eq!(shown(&mut there, 1).await.unwrap(), ["a"]);
    here.set_available(None, stage.delivery.moment());
    stage.ended(full("bob").into()).await;
    assert!(stage.stands(bare("bob").into()).await, "another session is available");
    drop(there);
    stage.ended(bare("bob").into()).await;
}

// rows: 508, 510
#[tokio::test]
async fn temporary_subscriptions_do_not_outlive_the_server() {
    let stage = Stage::new().await;
    stage.subscribe_with(bare("bob").into(), &[("expire", "presence")]).await;
    stage.subscribe(bare("carol").into()).await;
    stage.delivery.end_temporary().await.unwrap();
    assert!(!stage.stands(bare("bob").into()).await);
    assert!(stage.stands(bare("carol").into()).await);
}

// rows: 463, F38
#[tokio::test]
async fn a_lease_ends_at_its_time_unless_it_was_renewed() {
    let stage = Stage::new().await;
    let at = |seconds: i64| Timestamp::from_seconds(NOW + seconds).to_string();
    for who in ["bob", "carol"] {
        stage.subscribe_with(bare(who).into(), &[("expire", &at(100))]).await;
    }
    stage.set_options(bare("carol").into(), vec![raw("expire", &[&at(1000)])]).await;
    stage.clock.0.store(NOW + 99, Ordering::SeqCst);
    // As after a restart: nothing is known but what the store knows.
    stage.delivery.end_temporary().await.unwrap();
    let leases = tokio::spawn(stage.delivery.clone().run_leases(stage.stop.clone()));
    assert!(stage.stands(bare("bob").into()).await);
    stage.clock.0.store(NOW + 100, Ordering::SeqCst);
    stage.ended(bare("bob").into()).await;
    assert!(stage.stands(bare("carol").into()).await);
    assert!(!leases.is_finished());
}

// rows: F36, F37
#[tokio::test]
async fn a_digest_has_all_that_came_since_the_last() {
    let stage = Stage::new().await;
    stage.subscribe_with(bare("bob").into(), &[("digest", "1"), ("digest_frequency", "100")]).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    for id in ["a", "b", "c"] {
        stage.publish(id).await;
    }
    assert_eq!(notified(&mut feed, 1).await, [["a", "b", "c"]]);
    stage.publish("d").await;
    assert_eq!(notified(&mut feed, 1).await, [["d"]]);
    for id in ["e", "f"] {
        stage.publish(id).await;
    }
    stage.set_options(bare("bob").into(), vec![raw("digest", &["0"])]).await;
    assert_eq!(notified(&mut feed, 2).await, [["e"], ["f"]]);
}

/// What a digest holds when a lease ends is shown before, however rare digests are.
// rows: F37, F38
#[tokio::test]
async fn a_digest_comes_before_the_lease_ends() {
    let stage = Stage::new().await;
    let end = Timestamp::from_seconds(NOW + 2).to_string();
    let options = [("digest", "1"), ("digest_frequency", "3600000"), ("expire", &*end)];
    stage.subscribe_with(bare("bob").into(), &options).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    for id in ["a", "b"] {
        stage.publish(id).await;
    }
    assert_eq!(notified(&mut feed, 1).await, [["a", "b"]]);
}

// rows: F40
#[tokio::test]
async fn a_session_is_shown_events_in_the_presence_that_its_subscriber_names() {
    let stage = Stage::new().await;
    let values = vec![raw("show-values", &["chat", "online"])];
    let verb = Verb::Subscribe { node: node(), jid: bare("bob").into(), options: Some(values), public: Public::AsItIs };
    stage.ask("bob", verb).await.unwrap();
    let mut feed = stage.online(full("bob"), Show::Chat);
    stage.publish("a").await;
    assert_eq!(notified(&mut feed, 1).await, [["a"]]);
    feed.set_available(showing(Show::Away), stage.delivery.moment());
    stage.publish("b").await;
    tokio::time::timeout(Duration::from_secs(10), feed.ready()).await.unwrap();
    feed.pull(1 << 20, &mut |_| panic!("nothing is wanted now")).unwrap();
    feed.set_available(showing(Show::Online), stage.delivery.moment());
    stage.publish("c").await;
    assert_eq!(notified(&mut feed, 1).await, [["c"]]);
}

// rows: 147, 538
#[tokio::test]
async fn subscriptions_of_one_address_share_a_notification() {
    let stage = Stage::with(true).await;
    for options in [&[][..], &[("include_body", "1")], &[("deliver", "0")]] {
        stage.subscribe_with(bare("bob").into(), options).await;
    }
    stage.subscribe(full("bob").into()).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    stage.publish("a").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        tokio::time::timeout(Duration::from_secs(10), feed.ready()).await.unwrap();
        let mut show = |shown: Shown<'_>| {
            seen.push((shown.to.to_string(), shown.subids.len(), shown.with_body));
            1
        };
        feed.pull(1 << 20, &mut show).unwrap();
    }
    seen.sort();
    assert_eq!(seen, [("bob@localhost".to_owned(), 2, true), ("bob@localhost/r".to_owned(), 1, false)]);
}

/// Whoever was told that a subscription has ended sees nothing more, whatever was on its way.
#[tokio::test]
async fn nothing_is_shown_once_an_unsubscription_was_answered() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    stage.publish("a").await;
    assert_eq!(notified(&mut feed, 1).await, [["a"]]);
    stage.publish("b").await;
    feed.ready().await;
    stage.ask("bob", Verb::Unsubscribe { node: node(), jid: bare("bob").into(), subid: None }).await.unwrap();
    feed.pull(1 << 20, &mut |_| panic!("it was answered")).unwrap();
}

/// A subscription of somebody else takes nobody's right, so that no watcher asks for its own again.
#[tokio::test]
async fn subscribing_costs_the_watchers_of_the_node_nothing() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    stage.publish("a").await;
    assert_eq!(notified(&mut feed, 1).await, [["a"]]);
    let answered = stage.ask("owner", Verb::Watch { node: node() }).await.unwrap();
    let Answer::Reply(Reply::Watching { node: found }) = answered.answer else { panic!("a node") };
    let tail = stage.engine.tails(vec![found]).await.unwrap().pop().flatten().unwrap();
    let access = tail.access();
    stage.subscribe(bare("carol").into()).await;
    stage.ask("carol", Verb::Unsubscribe { node: node(), jid: bare("carol").into(), subid: None }).await.unwrap();
    assert_eq!(tail.access(), access);
}

/// Whoever follows four nodes of each of 200 accounts, and is subscribed to these and a fifth besides, is shown each
/// last item once, and those that come to the one and to the other are read at once.
#[tokio::test]
async fn last_items_are_read_at_once_however_many_contacts_there_are() {
    let stage = Stage::new().await;
    let names = ["mood", "tune", "place", "act", "face"].map(|name| NodeId::parse(name).unwrap());
    let me = bare("me");
    let ask = async |who: &BareJid, service: &BareJid, verb: Verb| {
        let caller = Caller { jid: Jid::Bare(who.clone()), role: Role::Account };
        stage.engine.ask(Request { caller, service: service.clone(), verb }).await.unwrap();
    };
    let accounts: Vec<BareJid> = (0..CONTACTS).map(|number| bare(&format!("c{number}"))).collect();
    for account in &accounts {
        for name in &names {
            let config =
                vec![raw("access_model", &["open"]), raw("send_last_published_item", &["on_sub_and_presence"])];
            ask(account, account, Verb::Create { node: Some(name.clone()), config }).await;
            let items = vec![new_item("current")];
            ask(account, account, Verb::Publish { node: name.clone(), items, options: None, create: false }).await;
            let subscribe =
                Verb::Subscribe { node: name.clone(), jid: me.clone().into(), options: None, public: Public::AsItIs };
            ask(&me, account, subscribe).await;
        }
    }
    let expected = CONTACTS * names.len();
    let followed = names[1..].iter().cloned().collect();
    stage.store.take_asked();
    let mut feed = stage.online(full("me"), Show::Online);
    feed.follow(Personal { accounts: accounts.into_iter().collect(), nodes: Arc::new(followed) });
    assert_eq!(shown(&mut feed, expected).await.unwrap().len(), expected);
    let asked = stage.store.take_asked().operations;
    let times = |operation: &str| asked.iter().filter(|name| **name == operation).count();
    assert_eq!((times("read_personal"), times("read_newest")), (1, 1), "{asked:?}");
    assert_eq!(times("read_items_by") + times("read_log"), 0, "{asked:?}");
    // The subscriptions come in slices, when the session is bound and when it is available.
    assert!(times("read_watched") <= 2 * (1 + expected / 256), "{asked:?}");
}

const CONTACTS: usize = 200;

fn new_item(id: &str) -> NewItem {
    let payload =
        Payload { media: Media::Xml, namespace: Arc::from("urn:x"), xml: Arc::from(&b"<x xmlns='urn:x'/>"[..]) };
    NewItem { id: ItemId::parse(id), payload: Some(payload), precondition: Precondition::None }
}

async fn configure(stage: &Stage, fields: &[(&str, &str)]) {
    let config = fields.iter().map(|(name, value)| raw(name, &[value])).collect();
    stage.ask("owner", Verb::Configure { node: node(), config }).await.unwrap();
}

async fn let_in(stage: &Stage, who: &str, affiliation: Affiliation) {
    let verb = Verb::SetAffiliations { node: node(), changes: vec![(bare(who), affiliation)] };
    stage.ask("owner", verb).await.unwrap();
}

/// XEP-0060 §12.2: who gains access is shown the last item, and then what comes.
// rows: 499
#[tokio::test]
async fn who_may_read_again_is_shown_the_last_item_and_what_follows() {
    let stage = Stage::new().await;
    configure(&stage, &[("send_last_published_item", "on_sub")]).await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    stage.publish("a").await;
    assert_eq!(shown(&mut feed, 1).await.unwrap(), ["a"]);
    for granted in ["model", "list"] {
        configure(&stage, &[("access_model", "whitelist")]).await;
        let hidden = format!("hidden-{granted}");
        stage.publish("before").await;
        stage.publish(&hidden).await;
        nothing(&mut feed).await;
        match granted {
            "model" => configure(&stage, &[("access_model", "open")]).await,
            _ => let_in(&stage, "bob", Affiliation::Member).await,
        }
        assert_eq!(shown(&mut feed, 1).await.unwrap(), [hidden], "{granted}");
        stage.publish("next").await;
        assert_eq!(shown(&mut feed, 1).await.unwrap(), ["next"], "{granted}");
    }
}

/// Nothing is remembered for those who are kept out, and what is shown is no less for it: whatever was
/// published after the right was given comes, however soon.
#[tokio::test]
async fn what_is_published_as_soon_as_a_right_is_given_is_shown() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    configure(&stage, &[("access_model", "whitelist"), ("send_last_published_item", "never")]).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    stage.publish("a").await;
    nothing(&mut feed).await;
    let_in(&stage, "bob", Affiliation::Member).await;
    // Rights change again before the session has looked.
    stage.publish("b").await;
    let_in(&stage, "carol", Affiliation::Member).await;
    stage.publish("c").await;
    assert_eq!(shown(&mut feed, 2).await.unwrap(), ["b", "c"]);
}

/// Who is kept out hears nothing of the end of the node either.
#[tokio::test]
async fn who_is_kept_out_is_not_told_of_the_end() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    configure(&stage, &[("access_model", "whitelist")]).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    stage.publish("a").await;
    nothing(&mut feed).await;
    stage.ask("owner", Verb::Delete { node: node(), redirect: None }).await.unwrap();
    nothing(&mut feed).await;
}

/// A node that becomes hidden is gone for those who merely watch it: they are shown nothing more. Its subscribers know
/// of it still.
#[tokio::test]
async fn a_node_that_becomes_hidden_is_gone_for_those_who_merely_watch_it() {
    let stage = Stage::new().await;
    stage.subscribe(bare("bob").into()).await;
    let mut feed = stage.online(full("bob"), Show::Online);
    let (ring, caller) = (Ring::default(), Caller { jid: bare("carol").into(), role: Role::Account });
    let service = BareJid::parse("pubsub.localhost").unwrap();
    let mut follower = stage.delivery.follow(caller, service, node(), Start::Now, &ring).await.unwrap();
    stage.publish("a").await;
    assert_eq!(follower.advance(|_| true).await, Followed::Shown);
    let hidden = RawField { name: "tidings#hidden".to_owned(), values: vec!["1".to_owned()] };
    stage.ask("owner", Verb::Configure { node: node(), config: vec![hidden] }).await.unwrap();
    stage.publish("b").await;
    let followed = follower.advance(|entry| panic!("shown: {:?}", entry.event)).await;
    assert_eq!(followed, Followed::Ended(Ending::Deleted));
    assert_eq!(shown(&mut feed, 2).await.unwrap(), ["a", "b"]);
}

/// Gives the session every chance to show something, and it shows nothing.
async fn nothing(feed: &mut Feed) {
    let idle = async {
        loop {
            feed.ready().await;
            feed.pull(1 << 20, &mut |shown| panic!("shown: {:?}", shown.entry.event)).unwrap();
        }
    };
    // All that it waits for is done by tasks of this thread, which have their turns meanwhile.
    assert!(tokio::time::timeout(Duration::from_millis(60), idle).await.is_err());
}

/// Items go with the last available session of who published them, and no others do.
#[tokio::test]
async fn what_a_publisher_leaves_behind_goes_where_its_node_wants_that() {
    let stage = Stage::new().await;
    tokio::spawn(stage.delivery.clone().run_leases(stage.stop.clone()));
    configure(&stage, &[("purge_offline", "1"), ("publish_model", "open"), ("notify_retract", "1")]).await;
    let publish = async |who: &str, id: &str| {
        let verb = Verb::Publish { node: node(), items: vec![new_item(id)], options: None, create: false };
        stage.ask(who, verb).await.unwrap();
    };
    stage.subscribe(bare("carol").into()).await;
    let mut watching = stage.online(full("carol"), Show::Online);
    let here = stage.online(full("bob"), Show::Online);
    let mut there = stage.online(bare("bob").with_resource("there").unwrap(), Show::Online);
    publish("owner", "o").await;
    publish("bob", "b").await;
    assert_eq!(notified(&mut watching, 2).await, [["o"], ["b"]]);
    drop(here);
    // Another session is available.
    publish("bob", "c").await;
    assert_eq!(notified(&mut watching, 1).await, [["c"]]);
    there.set_available(None, stage.delivery.moment());
    let mut gone = notified(&mut watching, 2).await.concat();
    gone.sort();
    assert_eq!(gone, ["-b", "-c"]);
    // Who never becomes available goes offline with his last session.
    drop(there);
    let silent = stage.delivery.attach(full("bob"), Role::Account, stage.delivery.moment());
    publish("bob", "s").await;
    assert_eq!(notified(&mut watching, 1).await, [["s"]]);
    drop(silent);
    assert_eq!(notified(&mut watching, 1).await, [["-s"]]);
    // As when the server starts: nobody is online.
    publish("bob", "d").await;
    stage.delivery.end_temporary().await.unwrap();
    let mut rest = notified(&mut watching, 3).await.concat();
    rest.sort();
    assert_eq!(rest, ["-d", "-o", "d"]);
}
