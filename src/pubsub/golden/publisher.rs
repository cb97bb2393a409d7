//! XEP-0060 §7: publish and retract.

use std::sync::Arc;

use super::{Row, asked_request, check, given_world};
use crate::pubsub::world::WORDS;
use crate::pubsub::{Change, Given, NodeKey, NodeState, Seq, decide};
use crate::time::Timestamp;

#[test]
fn publish() {
    check(PUBLISH);
}

#[test]
fn publish_to_what_is_not_there() {
    check(AUTO_CREATE);
}

#[test]
fn publish_options() {
    check(OPTIONS);
}

#[test]
fn retract() {
    check(RETRACT);
}

/// The operator has lowered a limit: one publish does not remove a thousand items, but each removes more
/// than it adds, until the node is within its limit.
#[test]
fn a_node_that_holds_too_many_is_brought_down_in_steps() {
    let ids: Vec<String> = (0..150).map(|number| format!("i{number}")).collect();
    let mut world = given_world(&format!("items:{}", ids.join(",")));
    let NodeState::Present(node) = &mut world.here_mut().node else { unreachable!() };
    let node = Arc::make_mut(node);
    (node.last_seq, Arc::make_mut(&mut node.config).max_items) = (Seq(200), 2);
    for expected in [85, 20, 2, 2] {
        let request = asked_request("hamlet publish _");
        let (facts, mut fresh) = (world.facts(&request), format!("x{expected}"));
        let mut fresh_id = || std::mem::replace(&mut fresh, "y".to_owned());
        let mut given = Given {
            now: Timestamp(2),
            node_key: NodeKey(2),
            kept_key: NodeKey(3),
            words: &WORDS,
            fresh_id: &mut fresh_id,
        };
        let decision = decide(request, &facts, &mut given).unwrap();
        for change in decision.changes {
            match change {
                Change::PutItem { fact, .. } => world.here_mut().items.insert(fact.seq, fact),
                Change::RemoveItem { fact } => world.here_mut().items.remove(&fact.seq),
                other => panic!("{other:?}"),
            };
        }
        let node = decision.node.unwrap();
        assert_eq!((node.items, world.here().items.len()), (expected, expected as usize));
        world.here_mut().node = NodeState::Present(Arc::new(node));
    }
}

#[rustfmt::skip]
const PUBLISH: &[Row] = &[
    // rows: 45, 48, 229, 232, 234
    Row("a publication is kept and logged", "",
        "hamlet publish a", "published a#21; put a#21; #21 a by hamlet@d"),
    // rows: 47, 228, 230, 255
    Row("an item without an id is given one", "",
        "hamlet publish _", "published n1#21; put n1#21; #21 n1 by hamlet@d"),
    // rows: 231, 247, 497, 522
    Row("an item of the same id is overwritten, and is the newest now", "items:a,b",
        "hamlet publish a", "published a#21*; put a#21 over #11; #21 a by hamlet@d over #11"),
    // rows: 19, 238, 239
    Row("the publisher is the caller's bare JID", "",
        "horatio/phone publish a", "published a#21; put a#21; #21 a by horatio@d"),
    // rows: 248
    Row("who is nothing to the node does not publish", "", "romeo publish a", "Forbidden"),
    // rows: 27, 248
    Row("a member does not publish", "", "juliet publish a", "Forbidden"),
    // rows: 4, 29, 248
    Row("an outcast does not publish, whatever the model", "publish_model=open", "tybalt publish a", "Outcast"),
    // rows: 26
    Row("publish-only publishes", "", "ophelia publish a", "published a#21; put a#21; #21 a by ophelia@d"),
    // rows: 26, 31
    Row("publish-only does not destroy another's item by overwriting it", "items:a", "ophelia publish a", "Forbidden"),
    // rows: 26, 231
    Row("publish-only overwrites its own", "items:a/ophelia",
        "ophelia publish a", "published a#21*; put a#21 over #11; #21 a by ophelia@d over #11"),
    // rows: 25, 30, 231
    Row("a publisher overwrites another's item", "items:a",
        "horatio publish a", "published a#21*; put a#21 over #11; #21 a by horatio@d over #11"),
    // rows: 14, F21
    Row("the open model lets anyone publish", "publish_model=open",
        "visitor publish a", "published a#21; put a#21; #21 a by visitor@d"),
    Row("the open model gives nobody another's items", "publish_model=open items:a", "romeo publish a", "Forbidden"),
    // rows: 14, F21
    Row("the subscribers model lets subscribers publish", "publish_model=subscribers subs:romeo/phone",
        "romeo publish a", "published a#21; put a#21; #21 a by romeo@d"),
    Row("the subscribers model lets nobody else publish", "publish_model=subscribers subs:juliet",
        "romeo publish a", "Forbidden"),
    Row("a subscription without the right to read is none", "publish_model=subscribers access_model=whitelist subs:romeo",
        "romeo publish a", "Forbidden"),
    Row("an administrator publishes everywhere", "items:a",
        "root publish a", "published a#21*; put a#21 over #11; #21 a by root@d over #11"),
    // rows: 256
    Row("a node that keeps items wants one", "", "hamlet publish", "ItemRequired"),
    // rows: 256
    Row("also when it delivers no payloads", "deliver_payloads=0", "hamlet publish", "ItemRequired"),
    // rows: 257
    Row("a node that delivers payloads wants one", "", "hamlet publish a:bare", "PayloadRequired"),
    // rows: 52, 257
    Row("also when it keeps nothing", "persist_items=0", "hamlet publish a:bare", "PayloadRequired"),
    // rows: 257
    Row("no item bears no payload either", "persist_items=0", "hamlet publish", "PayloadRequired"),
    // rows: 45, 46
    Row("a notification-only node takes an empty item", "deliver_payloads=0",
        "hamlet publish a:bare", "published a#21; put a#21; #21 a by hamlet@d bare"),
    // rows: 45, 46
    Row("a notification-only node keeps a payload for retrieval", "deliver_payloads=0",
        "hamlet publish a", "published a#21; put a#21; #21 a by hamlet@d"),
    // rows: 50, 51
    Row("a transient notification is an event without an item", "persist_items=0 deliver_payloads=0",
        "hamlet publish", "published -#21; #21 - by hamlet@d bare"),
    // rows: 50, 258
    Row("a transient notification bears no item", "persist_items=0 deliver_payloads=0",
        "hamlet publish a:bare", "ItemForbidden"),
    // rows: 53, 54
    Row("a transient item is logged and not kept", "persist_items=0",
        "hamlet publish _", "published n1#21; #21 n1 by hamlet@d"),
    // rows: 252, F12
    Row("a payload may be as large as the node says", "max_payload_size=20",
        "hamlet publish a:20b", "published a#21; put a#21; #21 a by hamlet@d"),
    // rows: 252, F12
    Row("a payload may not be larger", "max_payload_size=20",
        "hamlet publish a:21b", "PayloadTooBig { bytes: 21, bytes_max: 20 }"),
    // rows: 253, F29
    Row("a payload of the node's type is taken", "type=urn-x",
        "hamlet publish a", "published a#21; put a#21; #21 a by hamlet@d"),
    // rows: 253, F29
    Row("a payload of another namespace is not", "type=urn-x", "hamlet publish a:ns=urn-y",
        "InvalidPayload { why: \"the namespace of the payload is not the node's type\" }"),
    // rows: 242, 244, 245, 498, F11
    Row("the oldest makes room", "max_items=2 items:a,b",
        "hamlet publish c", "published c#21; put c#21; drop a#11; #21 c by hamlet@d; #22 a retracted"),
    // rows: 245, F17
    Row("and quietly where retractions are not told", "max_items=2 items:a,b notify_retract=0",
        "hamlet publish c", "published c#21; put c#21; drop a#11; #21 c by hamlet@d; #22 a retracted quietly"),
    // rows: 498
    Row("overwriting needs no room", "max_items=2 items:a,b",
        "hamlet publish a", "published a#21*; put a#21 over #11; #21 a by hamlet@d over #11"),
    // rows: 497, 498
    Row("what a batch overwrites does not make room for it", "max_items=2 items:a,b", "hamlet publish a c",
        "published a#21* c#22; put a#21 over #11; put c#22; drop b#12; #21 a by hamlet@d over #11; #22 c by hamlet@d; #23 b retracted"),
    // rows: 526
    Row("a batch is published in its order", "", "hamlet publish b a",
        "published b#21 a#22; put b#21; put a#22; #21 b by hamlet@d; #22 a by hamlet@d"),
    // rows: 527
    Row("one bad item fails the batch", "", "hamlet publish a b:bare", "PayloadRequired"),
    // rows: 527
    Row("one item of somebody else's fails the batch", "items:b", "ophelia publish a b", "Forbidden"),
    // rows: 528
    Row("a batch does not push out a part of itself", "max_items=2",
        "hamlet publish a b c", "TooManyItems { items: 3, items_max: 2 }"),
    Row("a batch has a limit of its own", "",
        "hamlet publish a b c e f g", "TooManyItems { items: 6, items_max: 5 }"),
    // rows: 521
    Row("no id twice in a batch", "", "hamlet publish a b a", "DuplicateItem { item: \"a\" }"),
    Row("create only, and it is there", "items:a", "hamlet publish a:absent", "PreconditionFailed"),
    Row("create only, and it is not", "",
        "hamlet publish a:absent", "published a#21; put a#21; #21 a by hamlet@d"),
    Row("replace only, and it is not there", "", "hamlet publish a:present", "PreconditionFailed"),
    Row("compare and swap", "items:a",
        "hamlet publish a:at11", "published a#21*; put a#21 over #11; #21 a by hamlet@d over #11"),
    Row("compare, and the node is another by now", "items:a", "hamlet publish a:at11/9", "PreconditionFailed"),
    Row("compare, and it is another by now", "items:a", "hamlet publish a:at10", "PreconditionFailed"),
    Row("one condition that fails fails the batch", "items:a", "hamlet publish b a:absent", "PreconditionFailed"),
];

#[rustfmt::skip]
const AUTO_CREATE: &[Row] = &[
    // rows: 250, 270
    Row("no node, no auto-create", "absent", "romeo publish a", "NodeAbsent"),
    // rows: 259, 260, 451
    Row("auto-create makes the publisher an owner", "absent policy:auto_create=1", "romeo publish a",
        "published anew a#1; create; romeo@d is owner; put a#1; #1 a by romeo@d"),
    Row("a caller who may create can ask for it", "absent", "romeo publish a create",
        "published anew a#1; create; romeo@d is owner; put a#1; #1 a by romeo@d"),
    // rows: 286, 289
    Row("asking is not enough where administrators create", "absent policy:create=admins",
        "romeo publish a create", "MayNotCreate"),
    // rows: 270, 286
    Row("who may not create finds no node", "absent policy:create=admins policy:auto_create=1",
        "romeo publish a", "NodeAbsent"),
    // rows: 130
    Row("a deleted node is gone", "deleted", "romeo publish a", "NodeGone { redirect: None }"),
    Row("a deleted node may be begun anew", "deleted policy:auto_create=1", "romeo publish a",
        "published anew a#1; create; romeo@d is owner; put a#1; #1 a by romeo@d"),
    // rows: 130, 340
    Row("a node that has moved does not rise by itself", "moved policy:auto_create=1",
        "romeo publish a", "NodeGone { redirect: Some(\"xmpp:elsewhere\") }"),
    Row("a node that has moved rises when asked for", "moved", "romeo publish a create",
        "published anew a#1; create; romeo@d is owner; put a#1; #1 a by romeo@d"),
    // rows: 269
    Row("publish options configure the new node", "absent policy:auto_create=1", "romeo publish a b max_items=1",
        "TooManyItems { items: 2, items_max: 1 }"),
    // rows: 266
    Row("no node is made with an option that there is not", "absent policy:auto_create=1", "romeo publish a colour=red",
        "InvalidConfig { field: \"colour\", why: \"there is no such field\" }"),
    // rows: 302
    Row("no node is made with a model that is not offered", "absent policy:auto_create=1",
        "romeo publish a access_model=friends",
        "InvalidConfig { field: \"access_model\", why: \"not an access model\" }"),
    // rows: 527
    Row("what cannot be published makes no node", "absent policy:auto_create=1", "romeo publish a:bare", "PayloadRequired"),
];

#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    // rows: 265, 268, F60
    Row("options that hold let it pass", "max_items=3",
        "hamlet publish a max_items=3 access_model=open", "published a#21; put a#21; #21 a by hamlet@d"),
    // rows: 168, 268
    Row("it is the value that is compared", "persist_items=1 max_items=50",
        "hamlet publish a persist_items=true max_items=max", "published a#21; put a#21; #21 a by hamlet@d"),
    // rows: 267
    Row("an option that does not hold fails it", "max_items=3",
        "hamlet publish a access_model=open max_items=4", "OptionsMismatch { field: \"max_items\" }"),
    // rows: 267
    Row("a value that is not offered holds nowhere", "",
        "hamlet publish a access_model=presence", "OptionsMismatch { field: \"access_model\" }"),
    // rows: 266
    Row("an unknown option fails it", "", "hamlet publish a colour=red",
        "InvalidConfig { field: \"colour\", why: \"there is no such field\" }"),
    // rows: 248
    Row("who may not publish learns nothing of the configuration", "", "romeo publish a max_items=4", "Forbidden"),
];

#[rustfmt::skip]
const RETRACT: &[Row] = &[
    // rows: 276, F17
    Row("a retraction is told where retractions are", "items:a,b",
        "hamlet retract a", "retracted; drop a#11; #21 a retracted"),
    // rows: F17
    Row("and is quiet where they are not", "items:a notify_retract=0",
        "hamlet retract a", "retracted; drop a#11; #21 a retracted quietly"),
    // rows: 277
    Row("the request may ask for it to be told", "items:a notify_retract=0",
        "hamlet retract a notify=1", "retracted; drop a#11; #21 a retracted"),
    // rows: 273
    Row("the request may ask for quiet", "items:a",
        "hamlet retract a notify=0", "retracted; drop a#11; #21 a retracted quietly"),
    // rows: 526
    Row("several go in the order asked", "items:a,b",
        "hamlet retract b a", "retracted; drop b#12; drop a#11; #21 b retracted; #22 a retracted"),
    // rows: 280
    Row("an item that is not there", "items:a", "hamlet retract b", "ItemAbsent"),
    // rows: 527
    Row("one that is not there fails all", "items:a", "hamlet retract a b", "ItemAbsent"),
    // rows: 282
    Row("nothing named", "items:a", "hamlet retract", "ItemRequired"),
    Row("one named twice", "items:a", "hamlet retract a a", "DuplicateItem { item: \"a\" }"),
    Row("more than one request may name", "items:a",
        "hamlet retract a b c e f g", "TooManyItems { items: 6, items_max: 5 }"),
    // rows: 283
    Row("a node that keeps nothing", "persist_items=0", "hamlet retract a", "NotPersistent"),
    // rows: 280
    Row("no node", "absent", "hamlet retract a", "NodeAbsent"),
    // rows: 25, 30
    Row("a publisher retracts another's item", "items:a", "horatio retract a", "retracted; drop a#11; #21 a retracted"),
    // rows: 26, 31
    Row("publish-only retracts its own", "items:a/ophelia", "ophelia retract a", "retracted; drop a#11; #21 a retracted"),
    // rows: 26, 31, 279
    Row("publish-only does not retract another's", "items:a/ophelia,b", "ophelia retract a b", "Forbidden"),
    // rows: 27, 279
    Row("a member retracts nothing", "items:a/juliet", "juliet retract a", "Forbidden"),
    // rows: 28, 279
    Row("who is nothing to the node retracts nothing", "items:a/romeo", "romeo retract a", "Forbidden"),
    // rows: 29, 279
    Row("an outcast retracts nothing", "items:a/tybalt publish_model=open", "tybalt retract a", "Outcast"),
    Row("who publishes by the model takes back its own", "items:a/romeo publish_model=open",
        "romeo retract a", "retracted; drop a#11; #21 a retracted"),
    Row("and nobody else's", "items:a publish_model=open", "romeo retract a", "Forbidden"),
    Row("compare and retract", "items:a", "hamlet retract a:at11", "retracted; drop a#11; #21 a retracted"),
    Row("compare, and it is another by now", "items:a", "hamlet retract a:at10", "PreconditionFailed"),
];

#[test]
fn a_full_node() {
    check(FULL);
}

#[rustfmt::skip]
const FULL: &[Row] = &[
    // rows: 243, 245, 478, F22
    Row("the oldest is retracted", "max_items=2 items:a,b", "hamlet publish c",
        "published c#21; put c#21; drop a#11; #21 c by hamlet@d; #22 a retracted"),
    // rows: 243, 246, F22
    Row("or discarded, and nobody is told", "max_items=2 publish_node_full=discard-oldest items:a,b", "hamlet publish c",
        "published c#21; put c#21; drop a#11; #21 c by hamlet@d; #22 a retracted quietly"),
    // rows: 243, 251, F22
    Row("or the new one is refused", "max_items=2 publish_node_full=reject items:a,b", "hamlet publish c", "NodeFull"),
    Row("a batch for which there is no room, too", "max_items=3 publish_node_full=reject items:a,b", "hamlet publish c d", "NodeFull"),
    Row("one is overwritten on a full node", "max_items=2 publish_node_full=reject items:a,b", "hamlet publish b",
        "published b#21*; put b#21 over #12; #21 b by hamlet@d over #12"),
];
