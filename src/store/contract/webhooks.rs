//! Endpoints and their deliveries that have failed.

use std::sync::Arc;

use super::hand::{Hand, SERVICE, jid};
use crate::pubsub::Seq;
use crate::store::{ATTEMPTS_KEPT, Attempted, Parked, Settled, Store, Webhook};
use crate::time::Timestamp;

pub async fn a_webhook_comes_back_and_is_listed(store: Arc<dyn Store>) {
    let one = Hand::create(&*store, SERVICE, "one").await;
    let other = Hand::create(&*store, SERVICE, "other").await;
    assert_eq!(store.webhook("a".to_owned()).await.unwrap(), None);
    for (id, hand) in [("a", &one), ("b", &other), ("c", &one)] {
        store.put_webhook(webhook(id, hand)).await.unwrap();
    }
    assert_eq!(store.webhook("a".to_owned()).await.unwrap(), Some(webhook("a", &one)));
    let ids = |list: Vec<Webhook>| list.into_iter().map(|webhook| webhook.id).collect::<Vec<_>>();
    assert_eq!(ids(store.node_webhooks(one.node.key).await.unwrap()), ["a", "c"]);
    assert_eq!(ids(store.webhooks(None, 2).await.unwrap()), ["a", "b"]);
    assert_eq!(ids(store.webhooks(Some("b".to_owned()), 2).await.unwrap()), ["c"]);
    let changed = Webhook { disabled: Some("gone".to_owned()), position: Seq(9), ..webhook("a", &one) };
    store.put_webhook(changed.clone()).await.unwrap();
    assert_eq!(store.webhook("a".to_owned()).await.unwrap(), Some(changed));
    assert!(store.remove_webhook("a".to_owned()).await.unwrap());
    assert!(!store.remove_webhook("a".to_owned()).await.unwrap());
    assert_eq!(ids(store.node_webhooks(one.node.key).await.unwrap()), ["c"]);
}

pub async fn deliveries_are_settled_as_one(store: Arc<dyn Store>) {
    let hand = Hand::create(&*store, SERVICE, "n").await;
    store.put_webhook(webhook("a", &hand)).await.unwrap();
    store.put_webhook(webhook("b", &hand)).await.unwrap();
    let settled = Settled {
        id: "a".to_owned(),
        position: Seq(7),
        failing_since: Some(Timestamp(5)),
        parked: vec![parked(3, Some(30)), parked(5, Some(10)), parked(6, None)],
        delivered: vec![],
        attempts: vec![attempted(0), attempted(1)],
    };
    assert_eq!(store.settle_webhooks(vec![settled.clone()]).await.unwrap(), [true]);
    let kept = store.webhook("a".to_owned()).await.unwrap().unwrap();
    assert_eq!((kept.position, kept.failing_since), (Seq(7), Some(Timestamp(5))));
    let of = |id: &str, dead, after| store.parked(id.to_owned(), dead, Seq(after), 10);
    assert_eq!(of("a", false, 0).await.unwrap(), [parked(3, Some(30)), parked(5, Some(10))]);
    assert_eq!(of("a", false, 3).await.unwrap(), [parked(5, Some(10))]);
    assert_eq!(of("a", true, 0).await.unwrap(), [parked(6, None)]);
    assert_eq!(store.parked("a".to_owned(), false, Seq(0), 1).await.unwrap().len(), 1);
    assert_eq!(store.parked_counts("a".to_owned()).await.unwrap(), (2, 1));
    assert_eq!(store.parked_counts("b".to_owned()).await.unwrap(), (0, 0));

    // One is delivered, one is given up.
    let later = Settled {
        position: Seq(8),
        failing_since: None,
        parked: vec![Parked { attempts: 10, ..parked(3, None) }],
        delivered: vec![Seq(5)],
        attempts: vec![attempted(2)],
        ..settled.clone()
    };
    let stranger = Settled { id: "x".to_owned(), ..settled.clone() };
    assert_eq!(store.settle_webhooks(vec![stranger, later]).await.unwrap(), [false, true]);
    assert_eq!(of("a", false, 0).await.unwrap(), []);
    let dead: Vec<(Seq, u32)> = of("a", true, 0).await.unwrap().iter().map(|dead| (dead.seq, dead.attempts)).collect();
    assert_eq!(dead, [(Seq(3), 10), (Seq(6), 2)]);
    assert_eq!(store.attempts("a".to_owned()).await.unwrap(), [attempted(0), attempted(1), attempted(2)]);
    assert_eq!(store.attempts("b".to_owned()).await.unwrap(), []);
    // Of an endpoint that is no more, nothing is kept.
    store.remove_webhook("a".to_owned()).await.unwrap();
    assert_eq!(store.settle_webhooks(vec![settled]).await.unwrap(), [false]);
    assert_eq!(store.attempts("a".to_owned()).await.unwrap(), []);
    assert_eq!(store.parked_counts("a".to_owned()).await.unwrap(), (0, 0));
}

pub async fn the_latest_attempts_are_kept_and_no_others(store: Arc<dyn Store>) {
    let hand = Hand::create(&*store, SERVICE, "n").await;
    store.put_webhook(webhook("a", &hand)).await.unwrap();
    store.put_webhook(webhook("b", &hand)).await.unwrap();
    let settle = async |id: &str, numbers: std::ops::Range<u64>| {
        let attempts = numbers.map(attempted).collect();
        let (id, position) = (id.to_owned(), Seq(7));
        let settled = Settled { id, position, failing_since: None, parked: vec![], delivered: vec![], attempts };
        assert_eq!(store.settle_webhooks(vec![settled]).await.unwrap(), [true]);
    };
    let numbers = async |id: &str| -> Vec<u64> {
        store.attempts(id.to_owned()).await.unwrap().iter().map(|attempted| attempted.number).collect()
    };
    settle("a", 0..70).await;
    settle("b", 0..1).await;
    settle("a", 70..ATTEMPTS_KEPT + 30).await;
    assert_eq!(numbers("a").await, (30..ATTEMPTS_KEPT + 30).collect::<Vec<_>>());
    settle("a", ATTEMPTS_KEPT + 30..3 * ATTEMPTS_KEPT).await;
    assert_eq!(numbers("a").await, (2 * ATTEMPTS_KEPT..3 * ATTEMPTS_KEPT).collect::<Vec<_>>());
    assert_eq!(numbers("b").await, [0]);
}

fn attempted(number: u64) -> Attempted {
    Attempted {
        number,
        seq: Seq(number + 3),
        attempt: 2,
        time: Timestamp(1_000_000 + number.cast_signed()),
        took_ms: 17,
        outcome: "answered 204".to_owned(),
        success: number.is_multiple_of(2),
    }
}

fn webhook(id: &str, hand: &Hand) -> Webhook {
    Webhook {
        id: id.to_owned(),
        address: hand.node.address.clone(),
        node: hand.node.key,
        owner: jid("alice@localhost"),
        url: "https://example.org/hook?x=1".to_owned(),
        types: vec!["published".to_owned(), "retracted".to_owned()],
        key: vec![0, 1, 255],
        ordered: true,
        created: Timestamp(17),
        disabled: None,
        failing_since: None,
        position: Seq(3),
    }
}

fn parked(seq: u64, due: Option<i64>) -> Parked {
    let body = Arc::from(format!("{{\"seq\":{seq}}}").into_bytes());
    Parked { seq: Seq(seq), attempts: 2, due: due.map(Timestamp), error: "500".to_owned(), body }
}
