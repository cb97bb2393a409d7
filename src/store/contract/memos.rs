//! What was answered under idempotency keys.

use std::sync::Arc;

use super::hand::{Hand, SERVICE, jid};
use crate::pubsub::{ItemId, Published, Seq};
use crate::store::{Ask, Failure, Found, Memo, MemoKey, Store};
use crate::time::Timestamp;

pub async fn a_memo_is_kept_with_its_commit_or_not_at_all(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    hand.publish("a", "<a/>");
    let kept = memo(&hand, "bob@localhost", "k", 100);
    let mut part = hand.part();
    part.memos.push(kept.clone());
    store.commit(vec![part]).await.unwrap();
    assert_eq!(found(&*store, &kept.key).await, (Some(kept.clone()), 1));

    // A part that is stale undoes the memos of the whole batch.
    let mut stale = hand.clone();
    stale.node.version += 7;
    stale.publish("b", "<b/>");
    let lost = memo(&hand, "bob@localhost", "lost", 100);
    let mut part = stale.part();
    part.memos.push(lost.clone());
    assert_eq!(store.commit(vec![part]).await, Err(Failure::Stale));
    assert_eq!(found(&*store, &lost.key).await, (None, 1));

    // The same key again, after it had expired: one memo, the newer one.
    hand.publish("a", "<c/>");
    let newer = Memo { fingerprint: [9; 32], expires: Timestamp::from_seconds(500), ..kept.clone() };
    let mut part = hand.part();
    part.memos.push(newer.clone());
    store.commit(vec![part]).await.unwrap();
    assert_eq!(found(&*store, &kept.key).await, (Some(newer), 1));
}

pub async fn memos_of_a_caller_are_counted_and_forgotten(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    let mut other = Hand::create(&*store, SERVICE, "m").await;
    hand.publish("a", "<a/>");
    other.publish("a", "<a/>");
    let (mut part, mut beside) = (hand.part(), other.part());
    for number in 0..5 {
        part.memos.push(memo(&hand, "bob@localhost", &format!("k{number}"), number * 10));
    }
    part.memos.push(memo(&hand, "eve@localhost", "k0", 1000));
    beside.memos.push(memo(&other, "bob@localhost", "k0", 1000));
    store.commit(vec![part, beside]).await.unwrap();

    let of = |hand: &Hand, caller: &str, key: &str| memo(hand, caller, key, 0).key;
    assert_eq!(found(&*store, &of(&hand, "bob@localhost", "k4")).await.1, 6);
    assert_eq!(found(&*store, &of(&hand, "eve@localhost", "k0")).await.1, 1);
    store.forget_memos(Timestamp::from_seconds(20)).await.unwrap();
    for (key, left) in [("k0", false), ("k1", false), ("k2", false), ("k3", true), ("k4", true)] {
        let (memo, count) = found(&*store, &of(&hand, "bob@localhost", key)).await;
        assert_eq!((memo.is_some(), count), (left, 3), "{key}");
    }
    assert!(found(&*store, &of(&other, "bob@localhost", "k0")).await.0.is_some());
    store.forget_memos(Timestamp::from_seconds(5000)).await.unwrap();
    assert_eq!(found(&*store, &of(&hand, "bob@localhost", "k4")).await, (None, 0));
    assert_eq!(found(&*store, &of(&hand, "eve@localhost", "k0")).await, (None, 0));
}

async fn found(store: &dyn Store, key: &MemoKey) -> (Option<Memo>, u64) {
    match store.gather(vec![Ask::Memo(key.clone())]).await.unwrap().remove(0) {
        Found::Memo(memo, count) => (memo.map(|memo| *memo), count),
        other => panic!("{other:?}"),
    }
}

fn memo(hand: &Hand, caller: &str, key: &str, expires: i64) -> Memo {
    let items = vec![
        Published { id: ItemId::parse("é \"x\""), seq: Seq(7), replaced: true, time: Timestamp(1_234_567) },
        Published { id: None, seq: Seq(8), replaced: false, time: Timestamp(-5) },
    ];
    let key = MemoKey { caller: jid(caller), address: hand.node.address.clone(), key: Arc::from(key) };
    let expires = Timestamp::from_seconds(expires);
    Memo { key, fingerprint: [3; 32], node: hand.node.key, created: true, items, expires }
}
