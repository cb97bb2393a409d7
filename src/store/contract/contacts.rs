//! Rosters, block lists, and messages that wait.

use std::sync::Arc;

use super::accounts::account;
use super::hand::{Hand, jid};
use crate::im::{Departure, Links, Roster, RosterChange, RosterItem, RosterPlace, StoredStanza};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Change, Contact, Edge, Event, EventKind, Node, NodeConfig, NodeState, Page, Selection, Seq, SubId,
    Subscription, SubscriptionOptions, SubscriptionState,
};
use crate::store::{Ask, Filing, Found, Store, Waiting};
use crate::time::Timestamp;

pub async fn a_roster_comes_back_as_it_was_written(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    assert_eq!(store.roster(alice.clone()).await.unwrap(), Roster::default());
    let mut items = vec![
        item("bob@localhost", Links { to: true, from: true, ..Links::default() }),
        item("carol@localhost", Links { pending_out: true, approved: true, ..Links::default() }),
        item("zoë@localhost", Links { pending_in: true, ..Links::default() }),
    ];
    items[0].groups = ["", "a:b", "12:x", "Freunde \u{1f600}"].map(Arc::from).to_vec();
    items[1].name = None;
    items[2].request = Some(Arc::from(&b"<presence type='subscribe'/>"[..]));
    items[2].listed = false;
    for (at, change) in [2, 0, 1].into_iter().enumerate() {
        let versions = store.put_roster(vec![set(&alice, &items[change])]).await.unwrap();
        assert_eq!(versions, [at as u64 + 1]);
    }
    assert_eq!(store.roster(alice.clone()).await.unwrap(), Roster { version: 3, items: items.clone() });
    let changed = RosterItem { name: Some("B.".into()), groups: vec![], ..items[0].clone() };
    store.put_roster(vec![set(&alice, &changed), gone(&alice, "carol@localhost")]).await.unwrap();
    items[0] = changed;
    items.remove(1);
    assert_eq!(store.roster(alice).await.unwrap(), Roster { version: 5, items });
    assert_eq!(store.roster(jid("bob@localhost")).await.unwrap(), Roster::default());
}

pub async fn both_sides_of_a_subscription_change_at_once(store: Arc<dyn Store>) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
    let asked = item("bob@localhost", Links { pending_out: true, ..Links::default() });
    let asking =
        RosterItem { listed: false, ..item("alice@localhost", Links { pending_in: true, ..Links::default() }) };
    store.put_roster(vec![set(&alice, &asked)]).await.unwrap();
    let versions = store.put_roster(vec![set(&alice, &asked), set(&bob, &asking)]).await.unwrap();
    assert_eq!(versions, [2, 1]);
    let of = vec![(alice.clone(), bob.clone()), (bob.clone(), alice.clone()), (bob.clone(), bob.clone())];
    let places = store.roster_places(of).await.unwrap();
    assert_eq!(places[0], RosterPlace { item: Some(asked), listed: 1, waiting: 0, version: 2 });
    assert_eq!(places[1], RosterPlace { item: Some(asking), listed: 0, waiting: 1, version: 1 });
    assert_eq!(places[2], RosterPlace { item: None, listed: 0, waiting: 1, version: 1 });
}

pub async fn access_models_see_what_stands_in_the_roster(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    let mut bob = item("bob@localhost", Links { from: true, ..Links::default() });
    bob.groups = vec!["Friends".into(), "Work".into()];
    let hidden =
        RosterItem { listed: false, ..item("carol@localhost", Links { pending_in: true, ..Links::default() }) };
    store.put_roster(vec![set(&alice, &bob), set(&alice, &hidden)]).await.unwrap();
    let ask = |owner: &str, contact: &str| Ask::Contact(jid(owner), jid(contact));
    let asks = vec![
        ask("alice@localhost", "bob@localhost"),
        ask("alice@localhost", "carol@localhost"),
        ask("alice@localhost", "dave@localhost"),
        ask("bob@localhost", "alice@localhost"),
    ];
    let found: Vec<Option<Contact>> = store
        .gather(asks)
        .await
        .unwrap()
        .into_iter()
        .map(|found| match found {
            Found::Contact(contact) => contact,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = Contact { to: false, from: true, groups: vec!["Friends".into(), "Work".into()] };
    assert_eq!(found, [Some(expected), None, None, None]);
}

pub async fn a_block_list_is_replaced(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    let jids = |names: &[&str]| names.iter().map(|name| Jid::parse(name).unwrap()).collect::<Vec<Jid>>();
    assert!(blocked(&*store, alice.clone()).await.is_empty());
    store.set_blocked(alice.clone(), jids(&["mallory@x.example/r", "evil.example", "bob@localhost"])).await.unwrap();
    let expected = jids(&["bob@localhost", "evil.example", "mallory@x.example/r"]);
    assert_eq!(blocked(&*store, alice.clone()).await, expected);
    store.set_blocked(alice.clone(), jids(&["evil.example", "evil.example"])).await.unwrap();
    assert_eq!(blocked(&*store, alice.clone()).await, jids(&["evil.example"]));
    assert!(blocked(&*store, jid("bob@localhost")).await.is_empty());
    store.set_blocked(alice.clone(), vec![]).await.unwrap();
    assert!(blocked(&*store, alice).await.is_empty());
}

pub async fn messages_wait_in_order_and_are_bounded(store: Arc<dyn Store>) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
    let message =
        |number: i64| StoredStanza { time: Timestamp(number), xml: format!("<m n='{number}'/>").into_bytes().into() };
    for number in 1..=3 {
        assert!(keep(&*store, alice.clone(), message(number)).await);
    }
    assert!(!keep(&*store, alice.clone(), message(4)).await);
    assert!(keep(&*store, bob.clone(), message(5)).await);
    let first = store.kept_messages(alice.clone(), 0, 2).await.unwrap();
    assert_eq!(first.iter().map(|(_, kept)| kept.clone()).collect::<Vec<_>>(), [message(1), message(2)]);
    let rest = store.kept_messages(alice.clone(), first[1].0, 2).await.unwrap();
    assert_eq!(rest.iter().map(|(_, kept)| kept.clone()).collect::<Vec<_>>(), [message(3)]);
    store.forget_messages(alice.clone(), first[1].0).await.unwrap();
    assert_eq!(store.kept_messages(alice.clone(), 0, 9).await.unwrap(), rest);
    assert!(keep(&*store, alice, message(4)).await);
    assert_eq!(store.kept_messages(bob, 0, 9).await.unwrap().len(), 1);
}

pub async fn the_last_departure_is_kept_of_accounts(store: Arc<dyn Store>) {
    let (alice, nobody) = (jid("alice@localhost"), jid("nobody@localhost"));
    store.put_account(account("alice@localhost")).await.unwrap();
    assert_eq!(store.departure(alice.clone()).await.unwrap(), None);
    let went = |at: i64, status: &str| Departure { at: Timestamp(at), status: status.to_owned() };
    for departure in [went(1, "home, O'Neill"), went(2, "")] {
        store.put_departure(alice.clone(), departure.clone()).await.unwrap();
        assert_eq!(store.departure(alice.clone()).await.unwrap(), Some(departure));
    }
    store.put_departure(nobody.clone(), went(3, "")).await.unwrap();
    assert_eq!(store.departure(nobody).await.unwrap(), None);
    store.remove_account(alice.clone()).await.unwrap();
    assert_eq!(store.departure(alice).await.unwrap(), None);
}

pub async fn removing_an_account_takes_its_roster(store: Arc<dyn Store>) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
    let kept = || StoredStanza { time: Timestamp(1), xml: Arc::from(&b"<m/>"[..]) };
    for owner in [&alice, &bob] {
        store.put_roster(vec![set(owner, &item("carol@localhost", Links::default()))]).await.unwrap();
        store.set_blocked(owner.clone(), vec![Jid::parse("evil.example").unwrap()]).await.unwrap();
        assert!(keep(&*store, owner.clone(), kept()).await);
    }
    store.remove_account(alice.clone()).await.unwrap();
    // A client that comes back with the version of the roster that is gone must not take it for this one.
    assert_eq!(store.roster(alice.clone()).await.unwrap(), Roster { version: 2, items: vec![] });
    assert!(blocked(&*store, alice.clone()).await.is_empty());
    assert!(store.kept_messages(alice, 0, 9).await.unwrap().is_empty());
    assert_eq!(store.roster(bob.clone()).await.unwrap().items.len(), 1);
    assert_eq!(blocked(&*store, bob.clone()).await.len(), 1);
    assert_eq!(store.kept_messages(bob, 0, 9).await.unwrap().len(), 1);
}

fn item(name: &str, links: Links) -> RosterItem {
    RosterItem { jid: jid(name), name: Some("N '<&".into()), groups: vec![], links, listed: true, request: None }
}

fn set(owner: &BareJid, item: &RosterItem) -> RosterChange {
    RosterChange { owner: owner.clone(), contact: item.jid.clone(), item: Some(item.clone()) }
}

fn gone(owner: &BareJid, contact: &str) -> RosterChange {
    RosterChange { owner: owner.clone(), contact: jid(contact), item: None }
}

async fn blocked(store: &dyn Store, owner: BareJid) -> Vec<Jid> {
    let mut lists = store.blocked(vec![jid("nobody@localhost"), owner]).await.unwrap();
    assert!(lists.len() == 2 && lists[0].is_empty());
    lists.remove(1)
}

pub async fn who_has_the_name_of_a_removed_account_next_inherits_nothing(store: Arc<dyn Store>) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
    let service = jid("pubsub.localhost");
    let affiliation = |jid: &BareJid, affiliation| Change::SetAffiliation { jid: jid.clone(), affiliation };
    // One node of the account, one that it owns alone, one that it owns with another, and one to which it
    // is subscribed.
    Hand::create(&*store, "alice@localhost", "tune").await;
    let mut alone = Hand::new(&*store, "pubsub.localhost", "alone").await;
    alone.change(affiliation(&alice, Affiliation::Owner));
    alone.commit(&*store).await;
    let mut shared = Hand::new(&*store, "pubsub.localhost", "shared").await;
    shared.change(affiliation(&alice, Affiliation::Owner));
    shared.change(affiliation(&bob, Affiliation::Owner));
    shared.node.owners = 2;
    for hand in [&mut alone, &mut shared] {
        hand.node.config = Arc::new(NodeConfig { shown_owner: Some(alice.clone()), ..(*hand.node.config).clone() });
    }
    alone.change(affiliation(&bob, Affiliation::Member));
    alone.commit(&*store).await;
    shared.commit(&*store).await;
    let mut other = Hand::new(&*store, "pubsub.localhost", "other").await;
    other.change(affiliation(&bob, Affiliation::Owner));
    other.node.subscribers = 2;
    for (to, state) in [
        ("alice@localhost", SubscriptionState::Subscribed),
        ("alice@localhost/pc", SubscriptionState::Pending),
        ("bob@localhost", SubscriptionState::Subscribed),
    ] {
        let subscription = Subscription {
            jid: Jid::parse(to).unwrap(),
            subid: SubId(to.into()),
            state,
            options: SubscriptionOptions::standard(),
        };
        other.change(Change::SetSubscription { subscription });
    }
    other.commit(&*store).await;
    let both = Links { to: true, from: true, ..Links::default() };
    store.put_roster(vec![set(&bob, &item("alice@localhost", both))]).await.unwrap();

    store.remove_account(alice.clone()).await.unwrap();
    let page = || Page { max: 9, edge: Edge::First };
    assert!(store.read_affiliations_of(service.clone(), alice.clone(), None, page()).await.unwrap().entries.is_empty());
    assert!(
        store.read_subscriptions_of(service.clone(), alice.clone(), None, page()).await.unwrap().entries.is_empty()
    );
    assert!(store.read_watched(alice.clone(), None, 9).await.unwrap().is_empty());
    let nodes = store.read_nodes(alice.clone(), None, page()).await.unwrap();
    assert_eq!((nodes.count, nodes.entries.len()), (0, 0));
    let owners = |hand: &Hand| store.read_leading(hand.node.key, 9);
    assert_eq!(owners(&alone).await.unwrap(), [(service.clone(), Affiliation::Owner)]);
    assert_eq!(owners(&shared).await.unwrap(), [(bob.clone(), Affiliation::Owner)]);
    let found = store.gather([&alone, &shared, &other].map(|hand| Ask::Node(hand.node.address.clone())).into()).await;
    let nodes: Vec<Arc<Node>> = found
        .unwrap()
        .into_iter()
        .map(|found| match found {
            Found::Node(NodeState::Present(node)) => node,
            other => panic!("{other:?}"),
        })
        .collect();
    let shown: Vec<_> = nodes.iter().map(|node| node.config.shown_owner.clone()).collect();
    assert_eq!(shown, [Some(service.clone()), Some(bob.clone()), None]);
    let counted: Vec<_> = nodes.iter().map(|node| (node.owners, node.subscribers, node.version)).collect();
    let after = |hand: &Hand| hand.node.version + 1;
    assert_eq!(counted, [(1, 0, after(&alone)), (1, 0, after(&shared)), (1, 1, after(&other))]);
    let roster = store.roster(bob).await.unwrap();
    assert_eq!((roster.items[0].links, roster.version), (Links::default(), 2));
}

/// Whose account is removed is publicly subscribed no more (XEP-0465).
pub async fn who_is_removed_is_told_by_no_node(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    let mut public = Hand::new(&*store, "pubsub.localhost", "public").await;
    let options = Arc::new(SubscriptionOptions { public: true, ..SubscriptionOptions::default() });
    let (to, state) = (Jid::from(alice.clone()), SubscriptionState::Subscribed);
    let subscription = Subscription { jid: to, subid: SubId("public".into()), state, options };
    public.change(Change::SetSubscription { subscription });
    public.node.subscribers = 1;
    public.commit(&*store).await;
    let mut all = Hand::new(&*store, "pubsub.localhost", "urn:xmpp:pps:subscribers:0/public").await;
    all.node.owners = 0;
    all.publish("alice@localhost", "<subscriber/>");
    all.publish("bob@localhost", "<subscriber/>");
    all.commit(&*store).await;

    store.remove_account(alice).await.unwrap();
    let page = Page { max: 9, edge: Edge::First };
    let left = store.read_items(all.node.key, Selection::All, page).await.unwrap();
    let left: Vec<&str> = left.entries.iter().map(|item| item.fact.id.as_str()).collect();
    assert_eq!(left, ["bob@localhost"], "who is publicly subscribed is told by the node for it");
    let NodeState::Present(node) = all.found(&*store).await else { panic!("the node is there") };
    assert_eq!((node.items, node.last_seq, node.version), (1, Seq(2), all.node.version + 1));
    let log = store.read_log(all.node.key, Seq(0), 9, 9999).await.unwrap().unwrap();
    let bears = |event: &Event| matches!(&event.kind, EventKind::Published { payload: Some(_), .. });
    assert_eq!(log.events.iter().map(bears).collect::<Vec<_>>(), [false, true]);
}

/// Where at most three may wait.
async fn keep(store: &dyn Store, owner: BareJid, stanza: StoredStanza) -> bool {
    let waiting = Some(Waiting { owner, stanza, max: 3 });
    store.file(vec![Filing { entries: vec![], waiting }], 0).await.unwrap()[0]
}
