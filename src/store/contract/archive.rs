//! Archives of messages.

use std::sync::Arc;

use super::accounts::account;
use super::hand::{Hand, SERVICE, jid};
use crate::im::{Policy, Preferences, StoredStanza};
use crate::jid::Jid;
use crate::pubsub::NodeKey;
use crate::store::{ArchiveEntry, ArchivePlace, ArchiveQuery, ArchiveRange, Failure, Filing, Keeping, Store, Waiting};
use crate::time::Timestamp;

pub async fn numbers_of_messages_are_never_handed_out_twice(store: Arc<dyn Store>) {
    let first = store.reserve_archive_numbers(3).await.unwrap();
    let second = store.reserve_archive_numbers(2).await.unwrap();
    assert_eq!((first.end - first.start, second.end - second.start), (3, 2));
    assert!(second.start >= first.end && first.start > 0);
}

pub async fn an_archive_is_read_from_both_ends(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    for number in 1..=7 {
        put(
            &*store,
            &[entry("alice@localhost", number, "bob@x"), entry("bob@x", number + 100, "alice@localhost")],
            100,
        )
        .await;
    }
    let with = |range| ArchiveQuery { range, ..ArchiveQuery::all_of(alice.clone(), 0) };
    let ask = |place, max| with(ArchiveRange { place, ..ArchiveRange::all(max) });
    let rows: [(ArchivePlace, usize, &[i64], bool); 9] = [
        (ArchivePlace::First, 3, &[1, 2, 3], false),
        (ArchivePlace::After(3), 3, &[4, 5, 6], false),
        (ArchivePlace::After(6), 3, &[7], true),
        (ArchivePlace::After(7), 3, &[], true),
        (ArchivePlace::Last, 3, &[5, 6, 7], false),
        (ArchivePlace::Before(5), 3, &[2, 3, 4], false),
        (ArchivePlace::Before(2), 3, &[1], true),
        (ArchivePlace::First, 7, &[1, 2, 3, 4, 5, 6, 7], true),
        (ArchivePlace::Last, 9, &[1, 2, 3, 4, 5, 6, 7], true),
    ];
    for (place, max, numbers, complete) in rows {
        let page = store.read_archive(ask(place, max)).await.unwrap();
        let found: Vec<i64> = page.entries.iter().map(|entry| entry.number).collect();
        assert_eq!((&found[..], page.complete), (numbers, complete), "{place:?} {max}");
    }
    let page = store.read_archive(ask(ArchivePlace::Last, 1)).await.unwrap();
    assert_eq!((page.entries[0].time, &*page.entries[0].xml), (Timestamp(70), &b"<message n='7'/>"[..]));
    let counted = store.read_archive(ask(ArchivePlace::First, 0)).await.unwrap();
    assert_eq!((counted.count, counted.complete, counted.entries.len()), (Some(7), false, 0));
    // A message of another archive is none of this one.
    for place in [ArchivePlace::After(101), ArchivePlace::Before(99)] {
        assert_eq!(store.read_archive(ask(place, 3)).await, Err(Failure::NoSuchEdge));
    }
    let light = with(ArchiveRange { bytes_max: 20, ..ArchiveRange::all(9) });
    assert_eq!(store.read_archive(light).await.unwrap().entries.len(), 2);
    assert_eq!(store.archive_ends(alice).await.unwrap(), Some([(1, Timestamp(10)), (7, Timestamp(70))]));
    assert_eq!(store.archive_ends(jid("eve@x")).await.unwrap(), None);
    let nobody = store.read_archive(ArchiveQuery::all_of(jid("eve@x"), 9)).await.unwrap();
    assert!(nobody.entries.is_empty() && nobody.complete);
}

pub async fn an_archive_is_searched(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    for (number, with) in [(1, "bob@x/a"), (2, "eve@x"), (3, "bob@x/b"), (4, "bob@x"), (5, "eve@x/q"), (6, "bob@x/a")] {
        put(&*store, &[entry("alice@localhost", number, with)], 100).await;
    }
    let ask = |with, range| ArchiveQuery { owner: alice.clone(), with, range };
    let all = || ArchiveRange::all(100);
    let bob = |resource: Option<&str>| Some((jid("bob@x"), resource.map(str::to_owned)));
    let rows: [(ArchiveQuery, &[i64]); 10] = [
        (ask(bob(None), all()), &[1, 3, 4, 6]),
        (ask(bob(Some("a")), all()), &[1, 6]),
        (ask(bob(None), ArchiveRange { place: ArchivePlace::Last, max: 2, ..all() }), &[4, 6]),
        // An edge need not match what is looked for.
        (ask(bob(None), ArchiveRange { place: ArchivePlace::After(2), ..all() }), &[3, 4, 6]),
        (ask(None, ArchiveRange { start: Some(Timestamp(20)), end: Some(Timestamp(40)), ..all() }), &[2, 3, 4]),
        (ask(bob(None), ArchiveRange { start: Some(Timestamp(21)), ..all() }), &[3, 4, 6]),
        (ask(None, ArchiveRange { after: Some(2), before: Some(6), ..all() }), &[3, 4, 5]),
        (ask(None, ArchiveRange { after: Some(1), before: Some(6), place: ArchivePlace::After(3), ..all() }), &[4, 5]),
        (ask(None, ArchiveRange { these: Some(vec![6, 2, 2]), ..all() }), &[2, 6]),
        (ask(bob(None), ArchiveRange { these: Some(vec![6, 2]), ..all() }), &[6]),
    ];
    for (asked, numbers) in rows {
        let page = store.read_archive(asked.clone()).await.unwrap();
        let found: Vec<i64> = page.entries.iter().map(|entry| entry.number).collect();
        assert_eq!(found, numbers, "{asked:?}");
        let counted = ArchiveQuery { range: ArchiveRange { max: 0, ..asked.range }, ..asked };
        assert!(store.read_archive(counted).await.unwrap().count >= Some(numbers.len() as u64));
    }
    for range in [
        ArchiveRange { these: Some(vec![1, 9]), ..all() },
        ArchiveRange { after: Some(9), ..all() },
        ArchiveRange { before: Some(9), ..all() },
    ] {
        assert_eq!(store.read_archive(ask(None, range)).await, Err(Failure::NoSuchEdge));
    }
}

/// The archive of a node is its log.
pub async fn what_was_published_is_an_archive(store: Arc<dyn Store>) {
    let mut hand = Hand::create(&*store, SERVICE, "n").await;
    for (item, payload) in [("a", "<a/>"), ("b", "<b/>"), ("a", "<c/>"), ("d", "<d/>")] {
        hand.publish(item, payload);
    }
    hand.commit(&*store).await;
    let node = hand.node.key;
    let seqs = async |range: ArchiveRange| {
        let page = store.read_published(node, None, range).await?;
        Ok::<_, Failure>((page.entries.iter().map(|event| event.seq.0).collect::<Vec<_>>(), page.complete))
    };
    let first = hand.node.last_seq.0 - 3;
    let at = |number: u64| i64::try_from(first + number).unwrap();
    let all = || ArchiveRange::all(100);
    assert_eq!(seqs(all()).await, Ok(((first..first + 4).collect(), true)));
    let last = ArchiveRange { place: ArchivePlace::Last, max: 2, ..all() };
    assert_eq!(seqs(last).await, Ok((vec![first + 2, first + 3], false)));
    let before = ArchiveRange { place: ArchivePlace::Before(at(2)), ..all() };
    assert_eq!(seqs(before).await, Ok((vec![first, first + 1], true)));
    // An item that has gone is in it no more, and still names a place.
    hand.retract("b");
    hand.commit(&*store).await;
    assert_eq!(seqs(all()).await, Ok((vec![first, first + 2, first + 3], true)));
    let after = ArchiveRange { place: ArchivePlace::After(at(1)), ..all() };
    assert_eq!(seqs(after).await, Ok((vec![first + 2, first + 3], true)));
    assert_eq!(seqs(ArchiveRange { these: Some(vec![at(1)]), ..all() }).await, Err(Failure::NoSuchEdge));
    assert_eq!(seqs(ArchiveRange { these: Some(vec![at(3)]), ..all() }).await, Ok((vec![first + 3], true)));
    // The retraction itself, and what is not there, name none.
    for nowhere in [at(4), at(9), -1] {
        assert_eq!(seqs(ArchiveRange { after: Some(nowhere), ..all() }).await, Err(Failure::NoSuchEdge));
    }
    let page = store.read_published(node, None, ArchiveRange { max: 0, ..all() }).await.unwrap();
    assert_eq!((page.count, page.entries.len()), (Some(3), 0));
    let nobody = store.read_published(node, Some(jid("nobody@x")), all()).await.unwrap();
    assert!(nobody.entries.is_empty());
    assert_eq!(store.read_published(NodeKey(9999), None, all()).await.unwrap().entries, []);
}

pub async fn the_oldest_messages_make_room_and_grow_old(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    for number in 1..=5 {
        put(&*store, &[entry("alice@localhost", number, "bob@x")], 3).await;
    }
    put(&*store, &[entry("bob@x", 6, "alice@localhost")], 3).await;
    let numbers = async |owner: &str| {
        let page = store.read_archive(ArchiveQuery::all_of(jid(owner), 9)).await.unwrap();
        page.entries.iter().map(|entry| (entry.number, entry.time.0)).collect::<Vec<_>>()
    };
    assert_eq!(numbers("alice@localhost").await, [(3, 30), (4, 40), (5, 50)]);
    let range = ArchiveRange { place: ArchivePlace::After(2), ..ArchiveRange::all(9) };
    let gone = ArchiveQuery { range, ..ArchiveQuery::all_of(alice, 9) };
    assert_eq!(store.read_archive(gone).await, Err(Failure::NoSuchEdge));
    // The clock was set back: time stands still in the archive.
    put(&*store, &[ArchiveEntry { time: Timestamp(7), ..entry("alice@localhost", 8, "bob@x") }], 3).await;
    assert_eq!(numbers("alice@localhost").await, [(4, 40), (5, 50), (8, 50)]);
    store.forget_archived(Timestamp(50)).await.unwrap();
    assert_eq!(numbers("alice@localhost").await, [(5, 50), (8, 50)]);
    assert_eq!(numbers("bob@x").await, [(6, 60)]);
    // What was forgotten counts no more.
    put(&*store, &[entry("alice@localhost", 9, "bob@x")], 3).await;
    assert_eq!(numbers("alice@localhost").await, [(5, 50), (8, 50), (9, 90)]);
}

pub async fn a_filing_that_finds_no_room_leaves_nothing(store: Arc<dyn Store>) {
    let bob = jid("bob@x");
    let filing = |number| Filing {
        entries: vec![entry("alice@localhost", number, "bob@x")],
        waiting: Some(Waiting {
            owner: bob.clone(),
            stanza: StoredStanza { time: Timestamp(number), xml: Arc::from(&b"<message/>"[..]) },
            max: 2,
        }),
    };
    let filed = store.file(vec![filing(1), filing(2), filing(3)], 10).await.unwrap();
    assert_eq!(filed, [true, true, false]);
    assert_eq!(store.kept_messages(bob, 0, 9).await.unwrap().len(), 2);
    let page = store.read_archive(ArchiveQuery::all_of(jid("alice@localhost"), 9)).await.unwrap();
    assert_eq!(page.entries.len(), 2);
}

pub async fn what_an_account_keeps_goes_with_it(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    let keeping = async || store.archive_preferences(vec![alice.clone(), jid("eve@x")]).await.unwrap();
    assert_eq!(keeping().await, [Keeping::Nobody, Keeping::Nobody]);
    store.put_account(account("alice@localhost")).await.unwrap();
    assert_eq!(keeping().await, [Keeping::Unsaid, Keeping::Nobody]);
    put(&*store, &[entry("alice@localhost", 1, "bob@x")], 9).await;
    assert_eq!(keeping().await[0], Keeping::Unsaid);
    let jids = |texts: &[&str]| texts.iter().map(|text| Jid::parse(text).unwrap()).collect::<Vec<_>>();
    for others in Policy::ALL {
        let said = Preferences { others, always: jids(&["a@x", "ü@x/3:r"]), never: jids(&["x"]) };
        store.set_archive_preferences(alice.clone(), said.clone()).await.unwrap();
        assert_eq!(keeping().await[0], Keeping::As(said));
    }
    store.set_archive_preferences(alice.clone(), Preferences::default()).await.unwrap();
    assert_eq!(keeping().await[0], Keeping::As(Preferences::default()));
    assert_eq!(store.read_archive(ArchiveQuery::all_of(alice.clone(), 9)).await.unwrap().entries.len(), 1);
    store.remove_account(alice.clone()).await.unwrap();
    assert_eq!(keeping().await[0], Keeping::Nobody);
    store.put_account(account("alice@localhost")).await.unwrap();
    assert_eq!(keeping().await[0], Keeping::Unsaid);
    assert_eq!(store.archive_ends(alice).await.unwrap(), None);
}

async fn put(store: &dyn Store, entries: &[ArchiveEntry], messages_max: u64) {
    let filing = Filing { entries: entries.to_vec(), waiting: None };
    assert_eq!(store.file(vec![filing], messages_max).await.unwrap(), [true]);
}

fn entry(owner: &str, number: i64, with: &str) -> ArchiveEntry {
    let with = Jid::parse(with).unwrap();
    ArchiveEntry {
        owner: jid(owner),
        number,
        time: Timestamp(number * 10),
        with: with.bare().clone(),
        resource: with.resource().map(Arc::from),
        xml: format!("<message n='{number}'/>").into_bytes().into(),
    }
}
