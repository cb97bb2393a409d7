//! Which nodes stand in which collections.

use std::sync::Arc;

use super::hand::{Hand, jid};
use crate::pubsub::{Affiliation, Change, EventKind, Graph, Held, NodeId, NodeKey, Seq, SubscriptionState};
use crate::store::Store;

pub async fn a_collection_is_found_from_both_ends(store: Arc<dyn Store>) {
    let [mut top, mut mid, leaf, other] = nodes(&*store, ["top", "mid", "leaf", "other"]).await;
    hold(&mut top, &mid);
    hold(&mut top, &other);
    top.affiliate("alice@localhost", Affiliation::Publisher);
    top.subscribe("alice@localhost/pc", "s", SubscriptionState::Pending);
    top.commit(&*store).await;
    hold(&mut mid, &leaf);
    mid.commit(&*store).await;
    let read = async |node: Option<&str>, named: &[&str]| -> Graph {
        let named = named.iter().map(|name| name_of(name)).collect();
        store.read_graph(jid(SERVICE), node.map(name_of), named, jid("alice@localhost")).await.unwrap()
    };
    let graph = read(Some("mid"), &["leaf", "absent", "top"]).await;
    assert_eq!(keys(&graph.parents), [top.node.key]);
    assert_eq!(graph.children, [Held { node: name_of("leaf"), key: leaf.node.key, hidden: false }]);
    assert_eq!(graph.above, [top.node.key]);
    assert_eq!(keys(&graph.named), [leaf.node.key, top.node.key]);
    let (of_leaf, of_top) = (&graph.named[0], &graph.named[1]);
    let mut above = of_leaf.above.clone();
    above.sort();
    let mut expected = vec![top.node.key, mid.node.key];
    expected.sort();
    assert_eq!(above, expected);
    assert_eq!((of_leaf.parents, of_leaf.children, of_leaf.subscribed), (1, 0, false));
    assert_eq!((of_top.parents, of_top.children, of_top.subscribed), (0, 2, true));
    assert_eq!((of_leaf.affiliation, of_top.affiliation), (Affiliation::None, Affiliation::Publisher));
    assert_eq!(of_top.node.version, top.node.version);
    let relations = store.read_relations(top.node.key).await.unwrap();
    assert_eq!(relations, (vec![], vec![name_of("mid"), name_of("other")]));
    assert!(read(None, &[]).await.parents.is_empty() && read(Some("absent"), &[]).await.children.is_empty());

    // What goes out is held no more, and what is deleted neither holds nor is held.
    top.tell(EventKind::Dissociated { node: name_of("other"), deleted: false, hidden: false });
    top.change(Change::Dissociate { child: other.node.key });
    top.commit(&*store).await;
    assert_eq!(store.read_relations(top.node.key).await.unwrap().1, [name_of("mid")]);
    mid.delete(None);
    mid.commit(&*store).await;
    assert_eq!(store.read_relations(top.node.key).await.unwrap().1, []);
    assert_eq!(store.read_relations(leaf.node.key).await.unwrap().0, []);
    assert_eq!(top.log(&*store).await, top.told);
}

pub async fn what_is_below_a_collection_comes_by_distance(store: Arc<dyn Store>) {
    let [mut top, mut left, mut right, leaf] = nodes(&*store, ["top", "left", "right", "leaf"]).await;
    // By two ways, one of which is shorter.
    for child in [&left, &right] {
        hold(&mut top, child);
    }
    top.commit(&*store).await;
    hold(&mut right, &leaf);
    hold(&mut right, &left);
    right.commit(&*store).await;
    hold(&mut left, &leaf);
    left.commit(&*store).await;
    let below = async |depth, max| -> Vec<(NodeKey, u32)> {
        let found = store.read_descendants(top.node.key, depth, max).await.unwrap();
        found.into_iter().map(|(node, distance)| (node.key, distance)).collect()
    };
    let (left, right, leaf) = ((left.node.key, 1), (right.node.key, 1), (leaf.node.key, 2));
    assert_eq!(below(u32::MAX, 9).await, [left, right, leaf]);
    assert_eq!(below(1, 9).await, [left, right]);
    assert_eq!(below(9, 1).await, [left]);
    assert_eq!(below(0, 9).await, []);
}

async fn nodes<const N: usize>(store: &dyn Store, names: [&str; N]) -> [Hand; N] {
    let mut hands = Vec::new();
    for name in names {
        hands.push(Hand::create(store, SERVICE, name).await);
    }
    hands.try_into().ok().expect("one for each")
}

fn hold(collection: &mut Hand, child: &Hand) {
    let node = child.node.address.node.clone();
    collection.tell(EventKind::Associated { node, at: Seq(7), created: child.node.key.0 % 2 == 0, hidden: false });
    collection.change(Change::Associate { child: child.node.key });
}

fn keys(related: &[crate::pubsub::Related]) -> Vec<NodeKey> {
    related.iter().map(|related| related.node.key).collect()
}

fn name_of(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

const SERVICE: &str = "pubsub.localhost";
