//! Pages of every list (XEP-0059).

use std::fmt::Debug;
use std::sync::Arc;

use super::hand::{Hand, SERVICE, jid, subscription};
use crate::jid::BareJid;
use crate::pubsub::{
    Affiliation, Edge, Expire, ItemId, Node, NodeAddress, NodeId, NodeKey, Order, Page, Payloads, Selection,
    Subscription, SubscriptionState,
};
use crate::store::{Failure, ITEMS_PAGE_BYTES_MAX, Item, Lapse, List, Store};
use crate::time::Timestamp;

/// Reads a list in pages of two, from each end, and wants it to be `whole` each time.
async fn walk<T: PartialEq + Debug + Clone>(whole: &[T], read: impl AsyncFn(Page) -> Result<List<T>, Failure>) {
    for (start, forward) in [(Edge::First, true), (Edge::Last, false)] {
        let (mut edge, mut walked) = (start, Vec::new());
        for _ in 0..=whole.len() {
            let page = read(Page { max: 2, edge }).await.unwrap();
            assert_eq!(page.count, whole.len() as u64);
            let done = page.complete;
            edge = match (forward, &page.first, &page.last) {
                (true, _, Some(last)) => Edge::After(last.clone()),
                (false, Some(first), _) => Edge::Before(first.clone()),
                _ => break,
            };
            assert_index(&page, if forward { walked.len() } else { whole.len() - walked.len() - page.entries.len() });
            let at = if forward { walked.len() } else { 0 };
            walked.splice(at..at, page.entries);
            assert_eq!(done, walked.len() == whole.len(), "complete says whether more is there");
            if done {
                break;
            }
        }
        assert_eq!(walked, whole);
        // Beyond the end there is an empty page.
        if !whole.is_empty() {
            let page = read(Page { max: 100, edge: Edge::First }).await.unwrap();
            let (first, last) = (page.first.unwrap(), page.last.unwrap());
            for edge in [Edge::After(last), Edge::Before(first)] {
                let beyond = read(Page { max: 2, edge }).await.unwrap();
                assert!(beyond.entries.is_empty() && beyond.complete && beyond.first.is_none());
            }
        }
    }
    for number in 0..whole.len() {
        let places =
            [(Edge::At(number as u64), number), (Edge::AtEnd((whole.len() - number) as u64), number.max(2) - 2)];
        for (at, (edge, from)) in places.into_iter().enumerate() {
            let page = read(Page { max: 2, edge }).await.unwrap();
            let to = if at == 0 { whole.len().min(number + 2) } else { number };
            assert_eq!(page.entries, whole[from..to], "at {number}");
            assert_index(&page, from);
        }
    }
    let counted = read(Page { max: 0, edge: Edge::First }).await.unwrap();
    assert_eq!((counted.count, counted.entries.len()), (whole.len() as u64, 0));
    assert_eq!((counted.first, counted.last, counted.index), (None, None, None));
    assert_eq!(counted.complete, whole.is_empty());
}

/// The index may be left out, but it may not be wrong.
fn assert_index<T>(page: &List<T>, expected: usize) {
    if let Some(index) = page.index {
        assert_eq!(index, expected as u64);
    }
}

pub async fn items_are_paged_in_both_directions(store: Arc<dyn Store>) {
    let hand = with_items(&*store, 7).await;
    let whole = store.read_items(hand.node.key, Selection::All, page(100, Edge::First)).await.unwrap();
    assert_eq!(names(&whole), ["i0", "i1", "i2", "i3", "i4", "i5", "i6"]);
    assert_eq!((whole.first.as_deref(), whole.last.as_deref(), whole.index), (Some("1"), Some("7"), Some(0)));
    walk(&whole.entries, async |page| store.read_items(hand.node.key, Selection::All, page).await).await;
    let item = &whole.entries[2];
    assert_eq!(item.fact, hand.items["i2"]);
    assert_eq!(&*item.payload.as_ref().unwrap().xml, b"<a>2</a>");
}

pub async fn pages_of_items_stay_in_place_while_items_go(store: Arc<dyn Store>) {
    let mut hand = with_items(&*store, 8).await;
    let key = hand.node.key;
    let first = store.read_items(key, Selection::All, page(3, Edge::First)).await.unwrap();
    assert_eq!(names(&first), ["i0", "i1", "i2"]);
    // The edge itself goes, one moves to the end, one comes.
    hand.retract("i2");
    hand.retract("i0");
    hand.publish("i4", "<again/>");
    hand.publish("new", "<new/>");
    hand.commit(&*store).await;
    let next = store.read_items(key, Selection::All, page(3, Edge::After(first.last.unwrap()))).await.unwrap();
    assert_eq!(names(&next), ["i3", "i5", "i6"]);
    assert_eq!(next.count, 7);
    let end = store.read_items(key, Selection::All, page(9, Edge::After(next.last.unwrap()))).await.unwrap();
    assert_eq!(names(&end), ["i7", "i4", "new"]);
    assert_eq!((end.index, end.complete), (Some(4), true));
    let back = store.read_items(key, Selection::All, page(2, Edge::Before(first.first.unwrap()))).await.unwrap();
    assert!(back.entries.is_empty() && back.complete);
}

pub async fn items_come_in_the_order_of_their_creation_too(store: Arc<dyn Store>) {
    let mut hand = with_items(&*store, 5).await;
    for again in ["i3", "i0"] {
        hand.publish(again, "<a>again</a>");
    }
    hand.commit(&*store).await;
    let key = hand.node.key;
    let read = async |selection: Selection, page: Page, order: Order| {
        store.read_items_by(key, selection, page, order, Payloads::Read).await
    };
    let whole = read(Selection::All, page(9, Edge::First), Order::Modification).await.unwrap();
    assert_eq!(names(&whole), ["i1", "i2", "i4", "i3", "i0"]);
    let whole = read(Selection::All, page(9, Edge::First), Order::Creation).await.unwrap();
    assert_eq!(names(&whole), ["i0", "i1", "i2", "i3", "i4"]);
    walk(&whole.entries, async |page| read(Selection::All, page, Order::Creation).await).await;
    let newest = read(Selection::Newest(2), page(9, Edge::First), Order::Creation).await.unwrap();
    assert_eq!(names(&newest), ["i3", "i4"]);
    walk(&newest.entries, async |page| read(Selection::Newest(2), page, Order::Creation).await).await;
    // An item that went and came again is new.
    hand.retract("i0");
    hand.publish("i0", "<a>new</a>");
    hand.commit(&*store).await;
    let whole = read(Selection::All, page(9, Edge::First), Order::Creation).await.unwrap();
    assert_eq!(names(&whole), ["i1", "i2", "i3", "i4", "i0"]);
}

pub async fn payloads_are_left_where_none_are_wanted(store: Arc<dyn Store>) {
    let hand = with_items(&*store, 3).await;
    let key = hand.node.key;
    for order in [Order::Modification, Order::Creation] {
        let list = store.read_items_by(key, Selection::All, page(9, Edge::First), order, Payloads::Left).await.unwrap();
        assert_eq!(names(&list), ["i0", "i1", "i2"]);
        assert!(list.entries.iter().all(|item| item.payload.is_none() && item.fact.publisher.local().is_some()));
    }
}

pub async fn owners_and_publishers_are_named_among_members(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for (who, affiliation) in [
        ("zoe@localhost", Affiliation::Owner),
        ("bob@localhost", Affiliation::Publisher),
        ("ann@localhost", Affiliation::Publisher),
        ("max@localhost", Affiliation::Member),
        ("eve@localhost", Affiliation::Outcast),
    ] {
        hand.affiliate(who, affiliation);
    }
    hand.commit(&*store).await;
    let leading = store.read_leading(hand.node.key, 9).await.unwrap();
    let expected = [
        (jid("zoe@localhost"), Affiliation::Owner),
        (jid("ann@localhost"), Affiliation::Publisher),
        (jid("bob@localhost"), Affiliation::Publisher),
    ];
    assert!(leading.ends_with(&expected), "{leading:?}");
    assert_eq!(store.read_leading(hand.node.key, 1).await.unwrap(), leading[..1]);
}

pub async fn subscriptions_that_end_are_listed_earliest_first(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let at = |seconds: i64| Expire::At(Timestamp::from_seconds(seconds));
    hand.subscribe("never@localhost", "s0", SubscriptionState::Subscribed);
    let late = hand.lease("late@localhost", "s1", at(300));
    let early = hand.lease("early@localhost/p", "s2", at(100));
    let temporary = hand.lease("here@localhost", "s3", Expire::Presence);
    hand.commit(&*store).await;
    let address = hand.node.address.clone();
    let by =
        async |seconds: i64, max: usize| store.lapsing(Lapse::By(Timestamp::from_seconds(seconds)), max).await.unwrap();
    let of = |subscription: &Subscription| (address.clone(), subscription.clone());
    assert_eq!(by(99, 9).await, []);
    assert_eq!(by(100, 9).await, [of(&early)]);
    assert_eq!(by(1000, 9).await, [of(&early), of(&late)]);
    assert_eq!(by(1000, 1).await, [of(&early)]);
    assert_eq!(store.lapsing(Lapse::WithPresence, 9).await.unwrap(), [of(&temporary)]);
    // A lease that was renewed, one that was given up, and a subscription that ended.
    hand.lease("early@localhost/p", "s2", at(900));
    hand.subscribe("late@localhost", "s1", SubscriptionState::Subscribed);
    hand.subscribe("here@localhost", "s3", SubscriptionState::None);
    hand.commit(&*store).await;
    assert_eq!(by(899, 9).await, []);
    assert_eq!(by(900, 9).await.len(), 1);
    assert_eq!(store.lapsing(Lapse::WithPresence, 9).await.unwrap(), []);
}

pub async fn the_newest_items_are_a_list_of_their_own(store: Arc<dyn Store>) {
    let hand = with_items(&*store, 6).await;
    let key = hand.node.key;
    for (count, expected) in [(0, 0), (1, 1), (4, 4), (6, 6), (7, 6), (u64::MAX, 6)] {
        let whole = store.read_items(key, Selection::Newest(count), page(100, Edge::First)).await.unwrap();
        assert_eq!(whole.entries.len(), expected, "{count}");
        assert_eq!(names(&whole), ["i0", "i1", "i2", "i3", "i4", "i5"][6 - expected..]);
        walk(&whole.entries, async |page| store.read_items(key, Selection::Newest(count), page).await).await;
    }
}

pub async fn items_asked_by_name_come_in_that_order(store: Arc<dyn Store>) {
    let hand = with_items(&*store, 5).await;
    let these = |ids: &[&str]| Selection::These(ids.iter().map(|id| ItemId::parse(id).unwrap()).collect());
    let asked = these(&["i4", "none", "i0", "i4", "i2"]);
    let whole = store.read_items(hand.node.key, asked.clone(), page(100, Edge::First)).await.unwrap();
    assert_eq!(names(&whole), ["i4", "i0", "i2"]);
    assert!(whole.entries.iter().all(|item| item.payload.is_some()));
    walk(&whole.entries, async |page| store.read_items(hand.node.key, asked.clone(), page).await).await;
    let elsewhere = page(2, Edge::After(hand.items["i1"].seq.0.to_string()));
    assert_eq!(store.read_items(hand.node.key, asked, elsewhere).await, Err(Failure::NoSuchEdge));
    walk(&[], async |page| store.read_items(hand.node.key, these(&["none"]), page).await).await;
}

pub async fn a_page_of_items_ends_when_it_is_heavy(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for number in 0..4 {
        hand.publish(&format!("i{number}"), &"x".repeat(ITEMS_PAGE_BYTES_MAX / 2 + 1));
    }
    hand.commit(&*store).await;
    let key = hand.node.key;
    let first = store.read_items(key, Selection::All, page(4, Edge::First)).await.unwrap();
    assert_eq!((names(&first), first.complete, first.count), (vec!["i0", "i1"], false, 4));
    let rest = store.read_items(key, Selection::All, page(4, Edge::After(first.last.unwrap()))).await.unwrap();
    assert_eq!((names(&rest), rest.complete, rest.index), (vec!["i2", "i3"], true, Some(2)));
    let last = store.read_items(key, Selection::All, page(4, Edge::Last)).await.unwrap();
    assert_eq!((names(&last), last.complete), (vec!["i2", "i3"], false));
    let these = Selection::These(["i3", "i1", "i2"].map(|id| ItemId::parse(id).unwrap()).to_vec());
    let named = store.read_items(key, these, page(4, Edge::First)).await.unwrap();
    assert_eq!((names(&named), named.complete), (vec!["i3", "i1"], false));
}

pub async fn an_edge_that_is_none_is_refused(store: Arc<dyn Store>) {
    let hand = with_items(&*store, 1).await;
    let (key, service, carol) = (hand.node.key, jid(SERVICE), jid("carol@localhost"));
    for edge in ["", "x", "1x", "-1", "99999999999999999999999", "\u{7}"] {
        for edge in [Edge::After(edge.to_owned()), Edge::Before(edge.to_owned())] {
            let page = page(2, edge.clone());
            let refused = |failure: Option<Failure>| assert_eq!(failure, Some(Failure::NoSuchEdge), "{edge:?}");
            refused(store.read_items(key, Selection::All, page.clone()).await.err());
            refused(store.read_node_subscriptions(key, page.clone()).await.err());
            refused(store.read_subscriptions_of(service.clone(), carol.clone(), None, page).await.err());
        }
    }
    let nonsense = page(2, Edge::After(String::new()));
    assert_eq!(store.read_nodes(service.clone(), None, nonsense.clone()).await, Err(Failure::NoSuchEdge));
    assert_eq!(store.read_node_affiliations(key, nonsense.clone()).await, Err(Failure::NoSuchEdge));
    assert_eq!(store.read_affiliations_of(service, carol, None, nonsense).await, Err(Failure::NoSuchEdge));
    // A number that no seq can be, and one that none is yet, are places nevertheless.
    for place in [u64::MAX, 1000] {
        let beyond = store.read_items(key, Selection::All, page(2, Edge::After(place.to_string()))).await.unwrap();
        assert!(beyond.entries.is_empty());
        let before = store.read_items(key, Selection::All, page(2, Edge::Before(place.to_string()))).await.unwrap();
        assert_eq!(before.entries.len(), 1);
    }
}

pub async fn subscriptions_of_a_node_are_paged(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let whole = subscribers();
    for subscription in whole.iter().rev() {
        hand.subscribe(&subscription.jid.to_string(), subscription.subid.as_str(), subscription.state);
    }
    hand.commit(&*store).await;
    let key = hand.node.key;
    walk(&whole, async |page| store.read_node_subscriptions(key, page).await).await;
    // The edge goes meanwhile; its place stays.
    let first = store.read_node_subscriptions(key, page(2, Edge::First)).await.unwrap();
    let edge = &whole[1];
    hand.subscribe(&edge.jid.to_string(), edge.subid.as_str(), SubscriptionState::None);
    hand.commit(&*store).await;
    let next = store.read_node_subscriptions(key, page(2, Edge::After(first.last.unwrap()))).await.unwrap();
    assert_eq!(next.entries, whole[2..4]);
}

pub async fn subscriptions_of_an_entity_are_paged(store: Arc<dyn Store>) {
    let (mut whole, mut keys) = (Vec::new(), Vec::new());
    for node in ["b", "a", "c 1:x"] {
        let mut hand = Hand::create(&*store, SERVICE, node).await;
        for (who, subid) in [("carol@localhost", "s1"), ("carol@localhost/p", "s2"), ("carol@localhost/p", "s3")] {
            let subscription = hand.subscribe(who, subid, SubscriptionState::Subscribed);
            whole.push((NodeId::parse(node).unwrap(), subscription));
        }
        hand.subscribe("carola@localhost", "s4", SubscriptionState::Subscribed);
        hand.commit(&*store).await;
        keys.push(hand.node.key);
    }
    let mut elsewhere = Hand::create(&*store, "carol@localhost", "a").await;
    elsewhere.subscribe("carol@localhost", "s5", SubscriptionState::Subscribed);
    elsewhere.commit(&*store).await;
    whole.sort_by(|one, other| one.0.cmp(&other.0));
    let (service, carol) = (jid(SERVICE), jid("carol@localhost"));
    let read = async |node: Option<NodeKey>, page| {
        store.read_subscriptions_of(service.clone(), carol.clone(), node, page).await
    };
    walk(&whole, async |page| read(None, page).await).await;
    walk(&whole[3..6], async |page| read(Some(keys[0]), page).await).await;
    walk(&[], async |page| read(Some(elsewhere.node.key), page).await).await;
}

pub async fn affiliations_are_paged(store: Arc<dyn Store>) {
    let people = ["a.example", "carol@localhost", "dave@localhost", "eve@localhost", "ö@localhost"];
    let all = [
        Affiliation::Owner,
        Affiliation::Publisher,
        Affiliation::PublishOnly,
        Affiliation::Member,
        Affiliation::Outcast,
    ];
    let (mut of_carol, mut keys) = (Vec::new(), Vec::new());
    for (node, affiliation) in ["e", "d", "c", "b", "a"].into_iter().zip(all) {
        let mut hand = Hand::create(&*store, SERVICE, node).await;
        people.iter().for_each(|who| hand.affiliate(who, affiliation));
        hand.commit(&*store).await;
        of_carol.insert(0, (hand.node.address.node.clone(), affiliation));
        keys.push(hand.node.key);
    }
    let of_node: Vec<(BareJid, Affiliation)> = people.iter().map(|who| (jid(who), Affiliation::Owner)).collect();
    walk(&of_node, async |page| store.read_node_affiliations(keys[0], page).await).await;
    let (service, carol) = (jid(SERVICE), jid("carol@localhost"));
    let read = async |service: &BareJid, node: Option<NodeKey>, page| {
        store.read_affiliations_of(service.clone(), carol.clone(), node, page).await
    };
    walk(&of_carol, async |page| read(&service, None, page).await).await;
    walk(&of_carol[4..], async |page| read(&service, Some(keys[0]), page).await).await;
    walk(&[], async |page| read(&jid("other.example"), None, page).await).await;
}

pub async fn nodes_are_paged_bytewise(store: Arc<dyn Store>) {
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["z", "a/b", "a", "Z", "ä", "a b", "\u{1f600}", "~"] {
        nodes.push(Hand::create(&*store, SERVICE, name).await.node);
    }
    Hand::create(&*store, "other.example", "a").await;
    nodes.sort_by(|one, other| one.address.node.as_str().as_bytes().cmp(other.address.node.as_str().as_bytes()));
    let service = jid(SERVICE);
    walk(&nodes, async |page| store.read_nodes(service.clone(), None, page).await).await;
    let from = store.read_nodes(service.clone(), None, page(1, Edge::After("b".to_owned()))).await.unwrap();
    assert_eq!(from.entries[0].address.node.as_str(), "z", "an edge that no node has is a place");
}

pub async fn what_an_account_watches_is_read_in_slices(store: Arc<dyn Store>) {
    let carol = jid("carol@localhost");
    let mut whole: Vec<(Node, Subscription)> = Vec::new();
    for (service, node) in [(SERVICE, "b"), ("carol@localhost", "a"), (SERVICE, "a")] {
        let mut hand = Hand::create(&*store, service, node).await;
        let bare = hand.subscribe("carol@localhost", "s9", SubscriptionState::Subscribed);
        let full = hand.subscribe("carol@localhost/p", "s1", SubscriptionState::Pending);
        hand.subscribe("dave@localhost", "s1", SubscriptionState::Subscribed);
        hand.commit(&*store).await;
        whole.extend([(hand.node.clone(), bare), (hand.node, full)]);
    }
    for max in [1, 2, 4, 100] {
        let (mut after, mut read) = (None, Vec::new());
        loop {
            let slice = store.read_watched(carol.clone(), after.clone(), max).await.unwrap();
            assert!(slice.len() <= max);
            let Some((node, subscription)) = slice.last() else { break };
            after = Some((node.key, subscription.clone()));
            read.extend(slice);
        }
        assert_eq!(read, whole, "in slices of {max}");
    }
    assert!(store.read_watched(jid("carola@localhost"), None, 10).await.unwrap().is_empty());
}

pub async fn what_a_domain_watches_is_read_in_slices(store: Arc<dyn Store>) {
    let mut whole: Vec<(Node, Subscription)> = Vec::new();
    for node in ["b", "a"] {
        let mut hand = Hand::create(&*store, SERVICE, node).await;
        let entities = ["bot.example", "bot.example/x", "carol@bot.example", "dave@bot.example/p"];
        let subscribed = entities.map(|jid| hand.subscribe(jid, "s1", SubscriptionState::Subscribed));
        hand.subscribe("carol@other.bot.example", "s1", SubscriptionState::Subscribed);
        hand.subscribe("bot.example@localhost", "s1", SubscriptionState::Subscribed);
        hand.commit(&*store).await;
        whole.extend(subscribed.map(|subscription| (hand.node.clone(), subscription)));
    }
    for max in [1, 3, 100] {
        let (mut after, mut read) = (None, Vec::new());
        loop {
            let slice = store.read_watched_at("bot.example".to_owned(), after.clone(), max).await.unwrap();
            assert!(slice.len() <= max);
            let Some((node, subscription)) = slice.last() else { break };
            after = Some((node.key, subscription.clone()));
            read.extend(slice);
        }
        assert_eq!(read, whole, "in slices of {max}");
    }
    let (mut after, mut domains) = (String::new(), Vec::new());
    while let Some(domain) = store.next_subscriber_domain(after).await.unwrap() {
        domains.push(domain.clone());
        after = domain;
    }
    assert_eq!(domains, ["bot.example", "localhost", "other.bot.example"]);
}

pub async fn nodes_of_accounts_come_with_their_last_items(store: Arc<dyn Store>) {
    let mut tune = Hand::create(&*store, "carol@localhost", "tune").await;
    tune.publish("b", "<b/>");
    tune.publish("a", "<a/>");
    tune.publish("c", "<c/>");
    tune.commit(&*store).await;
    tune.retract("c");
    tune.commit(&*store).await;
    let empty = Hand::create(&*store, "dave@localhost", "tune").await;
    let mut other = Hand::create(&*store, "carol@localhost", "other").await;
    other.publish("x", "<x/>");
    other.commit(&*store).await;
    let node = |text: &str| NodeId::parse(text).unwrap();
    let accounts = vec![jid("carol@localhost"), jid("nobody@localhost"), jid("dave@localhost")];
    let found = store.read_personal(accounts, vec![node("tune"), node("absent")]).await.unwrap();
    let nodes: Vec<&Node> = found.iter().map(|(node, _)| node).collect();
    assert_eq!(nodes, [&tune.node, &empty.node]);
    let last = found[0].1.as_ref().unwrap();
    assert_eq!((last.fact.clone(), found[1].1.is_none()), (tune.items["a"].clone(), true));
    assert_eq!(last.payload.as_ref().map(|payload| &*payload.xml), Some(&b"<a/>"[..]));
    let address = |service: &str, name: &str| NodeAddress { service: jid(service), node: node(name) };
    let asked = [("carol@localhost", "other"), ("dave@localhost", "tune"), ("carol@localhost", "tune")];
    let newest = store.read_newest(asked.map(|(service, name)| address(service, name)).to_vec()).await.unwrap();
    let ids: Vec<&str> = newest.iter().map(|(_, item)| item.fact.id.as_str()).collect();
    assert_eq!(ids, ["x", "a"]);
    assert_eq!((&newest[1].0, newest[1].1.payload.is_some()), (&tune.node, true));
}

pub async fn items_that_pass_with_their_publishers_are_found(store: Arc<dyn Store>) {
    let passes = |hand: &mut Hand, value: &str| {
        let field = crate::pubsub::RawField { name: "pubsub#purge_offline".into(), values: vec![value.to_owned()] };
        let config = Arc::new(hand.node.config.with(&[field], &super::hand::policy()).unwrap());
        hand.node.config = config.clone();
        hand.tell(crate::pubsub::EventKind::Configured { config });
    };
    let bob = jid("bob@localhost");
    let found = async || {
        let found = store.read_passing(bob.clone(), 9).await.unwrap();
        found.map(|found| found.into_iter().map(|(node, fact)| (node.key, fact.seq)).collect::<Vec<_>>())
    };
    let mut stays = Hand::create(&*store, SERVICE, "stays").await;
    stays.publish("a", "<a/>");
    stays.commit(&*store).await;
    assert_eq!((found().await, store.next_passing(String::new()).await.unwrap()), (None, None));
    // What stands when it is configured, and what comes after.
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let first = hand.publish("a", "<a/>");
    hand.commit(&*store).await;
    passes(&mut hand, "1");
    let second = hand.publish("b", "<b/>");
    hand.commit(&*store).await;
    let key = hand.node.key;
    assert_eq!(found().await, Some(vec![(key, first), (key, second)]));
    assert_eq!(store.next_passing(String::new()).await.unwrap(), Some(bob.clone()));
    assert_eq!(store.next_passing(bob.to_string()).await.unwrap(), None);
    assert_eq!(store.read_passing(jid("alice@localhost"), 9).await.unwrap(), None);
    // As long as he has one he is known to have.
    hand.retract("a");
    hand.commit(&*store).await;
    store.settle_passing(bob.clone()).await.unwrap();
    assert_eq!(found().await, Some(vec![(key, second)]));
    hand.retract("b");
    hand.commit(&*store).await;
    store.settle_passing(bob.clone()).await.unwrap();
    assert_eq!(found().await, None);
    // Until the node keeps its items whoever goes.
    hand.publish("c", "<c/>");
    hand.commit(&*store).await;
    assert!(found().await.is_some());
    passes(&mut hand, "0");
    hand.commit(&*store).await;
    assert_eq!(found().await, None);
}

pub async fn lists_of_what_is_absent_are_empty(store: Arc<dyn Store>) {
    let (key, service, carol) = (NodeKey(404), jid(SERVICE), jid("carol@localhost"));
    let these = Selection::These(vec![ItemId::parse("i").unwrap()]);
    for selection in [Selection::All, Selection::Newest(3), these] {
        walk(&[], async |page| store.read_items(key, selection.clone(), page).await).await;
    }
    walk(&[], async |page| store.read_node_subscriptions(key, page).await).await;
    walk(&[], async |page| store.read_node_affiliations(key, page).await).await;
    walk(&[], async |page| store.read_nodes(service.clone(), None, page).await).await;
    for node in [None, Some(key)] {
        walk(&[], async |page| store.read_subscriptions_of(service.clone(), carol.clone(), node, page).await).await;
        walk(&[], async |page| store.read_affiliations_of(service.clone(), carol.clone(), node, page).await).await;
    }
}

async fn with_items(store: &dyn Store, count: usize) -> Hand {
    let mut hand = Hand::create(store, SERVICE, "n").await;
    for number in 0..count {
        hand.publish(&format!("i{number}"), &format!("<a>{number}</a>"));
    }
    hand.commit(store).await;
    hand
}

/// In the order of lists.
fn subscribers() -> Vec<Subscription> {
    [
        ("bob@localhost", "s9"),
        ("bob@localhost/a", "s1"),
        ("bob@localhost/a", "s2"),
        ("bob@localhost/a/b 1:", "s0"),
        ("bob@localhosta", "s1"),
        ("carol.example", "'\"\u{1f600}"),
        ("ö@localhost/\u{1f600}", "s1"),
    ]
    .map(|(who, subid)| subscription(who, subid, SubscriptionState::Subscribed))
    .to_vec()
}

fn names(list: &List<Item>) -> Vec<&str> {
    list.entries.iter().map(|item| item.fact.id.as_str()).collect()
}

fn page(max: u64, edge: Edge) -> Page {
    Page { max, edge }
}
