//! Any requests in any order leave what the service keeps as it must be.

use proptest::prelude::*;

use super::{Town, asked, named, request};
use crate::pubsub::{Role, Verb};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done in whatever order, sums are true, and nothing is kept of what is not there.
    #[test]
    fn no_sequence_of_requests_breaks_what_is_kept(history in proptest::collection::vec(lines(), 1..60)) {
        let mut town = Town::new();
        for line in history {
            let _ = town.ask(&asked(&line));
        }
    }

    /// Who may not read a node, reads nothing that is kept of it.
    #[test]
    fn nobody_reads_what_is_kept_who_may_not_read(history in proptest::collection::vec(lines(), 1..40)) {
        let mut town = Town::new();
        for line in history {
            let _ = town.ask(&asked(&line));
        }
        for caller in ["hamlet", "juliet", "romeo", "tybalt"] {
            let reads = |town: &mut Town, node: &str| town.ask(&asked(&format!("{caller} watch {node}"))).is_ok();
            let of_node = reads(&mut town, "n");
            for kept in ["att:x", "att:y", "sum"].map(named).into_iter().filter(|kept| town.place(kept).is_some()).collect::<Vec<_>>() {
                let read = town.ask(&request(&format!("{caller}/pc"), Role::Account, Verb::Watch { node: kept })).is_ok();
                prop_assert_eq!(read, of_node, "{}", caller);
            }
        }
    }
}

fn lines() -> impl Strategy<Value = String> {
    let who = || prop::sample::select(vec!["hamlet", "juliet", "romeo", "tybalt", "root"]);
    let id = || prop::sample::select(vec!["x", "y", "z", "w"]);
    let words = prop::sample::select(vec!["", "noticed", "noticed,heart", "heart,star", "star,star"]);
    let kept = || prop::sample::select(vec!["att:x", "att:y", "sum", "n"]);
    let verb = prop::sample::select(vec!["purge", "delete", "create", "expire", "subscribe", "configure"]);
    let field = prop::sample::select(vec![
        "max_items=1",
        "max_items=4",
        "persist_items=0",
        "persist_items=1",
        "access_model=whitelist",
        "access_model=authorize",
        "access_model=open",
        "publish_model=open",
        "publish_model=subscribers",
        "hidden=1",
        "item_expire=1",
        "publish_node_full=reject",
        "notify_retract=0",
    ]);
    let change = prop::sample::select(vec![
        "romeo=outcast",
        "romeo=none",
        "juliet=none",
        "romeo=publisher",
        "romeo=publish-only",
    ]);
    prop_oneof![
        4 => (id(), id()).prop_map(|(one, other)| format!("hamlet publish n {one} {other}")),
        2 => (who(), id()).prop_map(|(who, id)| format!("{who} publish n {id}")),
        6 => (who(), id(), words).prop_map(|(who, id, words)| format!("{who} attach {id} {words}")),
        2 => (who(), id(), who()).prop_map(|(who, id, whose)| format!("{who} retract att:{id} {whose}@d")),
        2 => (who(), id()).prop_map(|(who, id)| format!("{who} retract n {id}")),
        2 => (who(), kept(), verb).prop_map(|(who, node, verb)| format!("{who} {verb} {node}")),
        2 => field.prop_map(|field| format!("hamlet configure n {field}")),
        3 => (who(), any::<bool>()).prop_map(|(who, public)| format!("{who} subscribe n{}", if public { " public" } else { "" })),
        1 => (who(), who()).prop_map(|(who, whom)| format!("{who} unsubscribe n {whom}")),
        1 => who().prop_map(|who| format!("hamlet approve n {who}")),
        1 => change.prop_map(|change| format!("hamlet set n {change}")),
    ]
}
