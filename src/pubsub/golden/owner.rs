//! XEP-0060 §8: create, configure, delete, purge, and who is what to a node.

use super::{Row, asked_request, check, given_world};
use crate::pubsub::{Refusal, Unchanged, rights};

#[test]
fn create() {
    check(CREATE);
}

#[test]
fn configure() {
    check(CONFIGURE);
}

#[test]
fn delete_and_purge() {
    check(END);
}

#[test]
fn affiliations() {
    check(AFFILIATIONS);
}

#[test]
fn subscriptions() {
    check(SUBSCRIPTIONS);
}

#[test]
fn so_many_changes_and_no_more() {
    let many = |verb: &str, state: &str| {
        let changes: Vec<String> = (0..=rights::CHANGES_MAX).map(|number| format!("u{number}={state}")).collect();
        given_world("").ask(asked_request(&format!("hamlet {verb} {}", changes.join(" "))))
    };
    let why = "more changes than one request may bear";
    let unchanged = Unchanged::Affiliations(Vec::new());
    assert_eq!(many("set-affiliations", "member"), Err(Refusal::InvalidChange { why, unchanged }));
    let unchanged = Unchanged::Subscriptions(Vec::new());
    assert_eq!(many("set-subscriptions", "none"), Err(Refusal::InvalidChange { why, unchanged }));
}

#[rustfmt::skip]
const CREATE: &[Row] = &[
    // rows: 285, 293
    Row("the creator is the first owner", "absent", "romeo create here", "created n; create; romeo@d is owner"),
    // rows: 292, 294
    Row("a node without a name is given one", "absent", "romeo create", "created n1; create; romeo@d is owner"),
    // rows: 301, 303
    Row("a node is created and configured", "absent",
        "romeo create here access_model=whitelist title=x", "created n; create; romeo@d is owner"),
    // rows: 290, 520
    Row("a name is taken once", "", "romeo create here", "NodeExists"),
    Row("also for an administrator", "", "root create here", "NodeExists"),
    Row("the name of a deleted node is free", "moved", "romeo create here", "created n; create; romeo@d is owner"),
    // rows: 286, 288
    Row("where accounts create, others are told to register", "absent", "visitor create here", "RegistrationRequired"),
    // rows: 286, 289
    Row("where administrators create, accounts may not", "absent policy:create=admins", "romeo create here", "MayNotCreate"),
    Row("nor strangers", "absent policy:create=admins", "visitor create here", "MayNotCreate"),
    Row("administrators may", "absent policy:create=admins", "root create here", "created n; create; root@d is owner"),
    Row("anyone may where anyone may", "absent policy:create=anyone",
        "visitor create here", "created n; create; visitor@d is owner"),
    Row("who may not create does not learn what exists", "policy:create=admins", "romeo create here", "MayNotCreate"),
    // rows: 302
    Row("a model that is not offered", "absent", "romeo create here access_model=friends",
        "InvalidConfig { field: \"access_model\", why: \"not an access model\" }"),
    // rows: 299, F13
    Row("a leaf is what there is", "absent", "romeo create here node_type=leaf", "created n; create; romeo@d is owner"),
    // rows: 17, F13
    Row("a collection is another kind", "absent", "romeo create here node_type=collection",
        "created n; create; romeo@d is owner"),
    Row("a leaf holds no nodes", "absent", "romeo create here children=m",
        "InvalidGraph { why: \"only a collection holds nodes\" }"),
];

#[rustfmt::skip]
const CONFIGURE: &[Row] = &[
    // rows: 310, 311
    Row("an owner sees the configuration", "", "hamlet configuration", "configuration"),
    // rows: 316, 555
    Row("nobody else does", "", "horatio configuration", "Forbidden"),
    // rows: 323, 325
    Row("a change is in the log", "", "hamlet configure title=x", "done; #21 configured"),
    Row("what changes nothing is no event", "title=x", "hamlet configure title=x max_items=50", "done"),
    // XEP-0248 §7.2.3.4, §7.2.4
    Row("a collection stays one", "node_type=collection", "hamlet configure node_type=leaf",
        "InvalidGraph { why: \"a collection stays one\" }"),
    Row("an administrator configures", "", "root configure title=x", "done; #21 configured"),
    // rows: 316, 555
    Row("a publisher does not", "", "horatio configure title=x", "Forbidden"),
    // rows: 316, 555
    Row("nor who is nothing to the node", "", "romeo configure title=x", "Forbidden"),
    // rows: 319
    Row("no node", "absent", "hamlet configure title=x", "NodeAbsent"),
    // rows: 324
    Row("a field that there is not", "", "hamlet configure colour=red",
        "InvalidConfig { field: \"colour\", why: \"there is no such field\" }"),
    // rows: 324, F11
    Row("a value that the operator does not allow", "", "hamlet configure max_items=51",
        "InvalidConfig { field: \"max_items\", why: \"not a whole number from 1 to 50\" }"),
    // rows: 16, 242, 498
    Row("a smaller node lets the oldest go", "items:a,b,c max_items=3", "hamlet configure max_items=1",
        "done; drop a#11; drop b#12; #21 configured; #22 a retracted; #23 b retracted"),
    // rows: F17
    Row("as the new configuration tells retractions", "items:a,b max_items=3",
        "hamlet configure max_items=1 notify_retract=0", "done; drop a#11; #21 configured; #22 a retracted quietly"),
    Row("the last of two values counts", "items:a,b,c max_items=3", "hamlet configure max_items=1 max_items=2",
        "done; drop a#11; #21 configured; #22 a retracted"),
    Row("also when it is the smaller", "items:a,b,c max_items=3", "hamlet configure max_items=2 max_items=1",
        "done; drop a#11; drop b#12; #21 configured; #22 a retracted; #23 b retracted"),
    // rows: 552
    Row("a node of the largest size", "items:a,b max_items=2", "hamlet configure max_items=max", "done; #21 configured"),
    // rows: 38, F19
    Row("a node that keeps nothing any more is empty", "items:a,b",
        "hamlet configure persist_items=0", "done; empty; #21 configured; #22 purged"),
    Row("an empty one need not be emptied", "", "hamlet configure persist_items=0", "done; #21 configured"),
    // rows: 65
    Row("an open node is closed without a word to its subscribers", "subs:romeo",
        "hamlet configure access_model=whitelist", "done; #21 configured"),
    Row("items may bear the owner's address", "two-owners", "gertrude configure itemreply=owner",
        "done; #21 configured; shows gertrude@d"),
    Row("which stays, whoever configures later", "two-owners itemreply=owner", "gertrude configure title=t",
        "done; #21 configured; shows hamlet@d"),
    Row("never an administrator's", "", "root configure itemreply=owner", "done; #21 configured; shows hamlet@d"),
    Row("and no longer, where it is the publisher's again", "itemreply=owner", "hamlet configure itemreply=publisher",
        "done; #21 configured"),
    Row("nor where nobody's", "itemreply=owner", "hamlet configure itemreply=none", "done; #21 configured"),
    Row("who waits is let in when the node opens", "access_model=authorize subs:juliet,romeo?",
        "hamlet configure access_model=open", "done; romeo@d s2 subscribed; #21 configured"),
    Row("and not when something else changes", "access_model=authorize subs:romeo?", "hamlet configure title=t",
        "done; #21 configured"),
];

#[rustfmt::skip]
const END: &[Row] = &[
    // rows: 337, 338, 342
    Row("an owner deletes", "items:a subs:romeo", "hamlet delete", "done; erase; #21 deleted"),
    // rows: 340, 341, 343
    Row("and says where to look", "", "hamlet delete xmpp:new", "done; erase to xmpp:new; #21 deleted to xmpp:new"),
    Row("in words that a form can bear", "", "hamlet delete xmpp:\u{1}",
        "InvalidConfig { field: \"redirect\", why: \"no control characters\" }"),
    Row("an administrator deletes", "", "root delete", "done; erase; #21 deleted"),
    // rows: 345, 555
    Row("a publisher does not", "", "horatio delete", "Forbidden"),
    // rows: 347
    Row("no node", "absent", "hamlet delete", "NodeAbsent"),
    Row("it is deleted once", "deleted", "hamlet delete", "NodeGone { redirect: None }"),
    // rows: 350, 351, 352
    Row("an owner purges, in one event", "items:a,b", "hamlet purge", "done; empty; #21 purged"),
    // rows: 352
    Row("an empty node too", "", "hamlet purge", "done; empty; #21 purged"),
    // rows: 354, 555
    Row("a publisher does not purge", "items:a/horatio", "horatio purge", "Forbidden"),
    // rows: 26, 354
    Row("publish-only does not purge", "items:a/ophelia", "ophelia purge", "Forbidden"),
    // rows: 355
    Row("a node that keeps nothing", "persist_items=0", "hamlet purge", "NotPersistent"),
    // rows: 356
    Row("no node to purge", "absent", "hamlet purge", "NodeAbsent"),
];

#[rustfmt::skip]
const AFFILIATIONS: &[Row] = &[
    // rows: 405
    Row("an owner sees all", "", "hamlet node-affiliations", "read all affiliations"),
    // rows: 409, 555
    Row("nobody else does", "", "horatio node-affiliations", "Forbidden"),
    // rows: 410
    Row("no node", "absent", "hamlet node-affiliations", "NodeAbsent"),
    // rows: 63, 413, 418
    Row("several at once", "", "hamlet set-affiliations romeo=member juliet=publisher",
        "done; romeo@d is member; juliet@d is publisher"),
    // rows: 411
    Row("what is so already is no change", "", "hamlet set-affiliations juliet=member", "done"),
    // rows: 426, 427
    Row("none removes the entry", "", "hamlet set-affiliations juliet=none", "done; juliet@d is none"),
    Row("an administrator sets them", "", "root set-affiliations romeo=owner", "done; romeo@d is owner"),
    // rows: 416, 555
    Row("a publisher does not", "", "horatio set-affiliations romeo=member", "Forbidden"),
    // rows: 417
    Row("no node to set them at", "absent", "hamlet set-affiliations romeo=member", "NodeAbsent"),
    // rows: 419, 420, 422
    Row("the only owner stays", "", "hamlet set-affiliations juliet=none hamlet=none",
        "LastOwner { unchanged: Affiliations([(juliet@d, Member), (hamlet@d, Owner)]) }"),
    // rows: 420
    Row("an administrator is none of the owners", "", "root set-affiliations hamlet=none",
        "LastOwner { unchanged: Affiliations([(hamlet@d, Owner)]) }"),
    // rows: 32
    Row("one of two owners resigns", "two-owners", "hamlet set-affiliations hamlet=none", "done; hamlet@d is none"),
    Row("both do not", "two-owners", "hamlet set-affiliations hamlet=none gertrude=none",
        "LastOwner { unchanged: Affiliations([(hamlet@d, Owner), (gertrude@d, Owner)]) }"),
    Row("an owner hands the node over", "", "hamlet set-affiliations hamlet=none romeo=owner",
        "done; hamlet@d is none; romeo@d is owner"),
    // rows: 32, 419, 421, 422
    Row("items bear the address of an owner who stays one", "two-owners itemreply=owner",
        "hamlet set-affiliations romeo=owner", "done; romeo@d is owner; shows hamlet@d"),
    Row("and of another when that one resigns", "two-owners itemreply=owner",
        "hamlet set-affiliations hamlet=none romeo=owner", "done; hamlet@d is none; romeo@d is owner; shows gertrude@d"),
    Row("of the one to whom the node is handed over", "itemreply=owner", "hamlet set-affiliations hamlet=none romeo=owner",
        "done; hamlet@d is none; romeo@d is owner; shows romeo@d"),
    Row("an owner resigns before becoming something else", "two-owners", "hamlet set-affiliations romeo=member gertrude=publisher",
        "InvalidChange { why: \"an owner becomes nothing else without resigning first\", unchanged: Affiliations([(romeo@d, None), (gertrude@d, Owner)]) }"),
    // rows: 32, 421
    Row("an owner is not banned", "two-owners", "hamlet set-affiliations gertrude=outcast",
        "InvalidChange { why: \"an owner becomes nothing else without resigning first\", unchanged: Affiliations([(gertrude@d, Owner)]) }"),
    // rows: 32, 421
    Row("a publisher does not become a member", "", "hamlet set-affiliations horatio=member",
        "InvalidChange { why: \"a publisher becomes a member only by way of none\", unchanged: Affiliations([(horatio@d, Publisher)]) }"),
    // rows: 424, 425
    Row("nobody twice", "", "hamlet set-affiliations romeo=member romeo=owner", "DuplicateChange { jid: romeo@d }"),
    // rows: 29, 33
    Row("a ban ends every subscription of the banned", "subs:romeo,romeo/pc,juliet", "hamlet set-affiliations romeo=outcast",
        "done; romeo@d is outcast; romeo@d s1 none; romeo@d/pc s2 none"),
    // rows: 33, 61, 556
    Row("so does the loss of the right to read", "access_model=whitelist subs:juliet", "hamlet set-affiliations juliet=none",
        "done; juliet@d is none; juliet@d s1 none"),
    // rows: 26
    Row("and becoming publish-only", "subs:romeo", "hamlet set-affiliations romeo=publish-only",
        "done; romeo@d is publish-only; romeo@d s1 none"),
    Row("who still may read stays subscribed", "subs:juliet", "hamlet set-affiliations juliet=none", "done; juliet@d is none"),
    Row("each loses its own", "subs:juliet,romeo", "hamlet set-affiliations tybalt=none romeo=outcast juliet=publisher",
        "done; tybalt@d is none; romeo@d is outcast; romeo@d s2 none; juliet@d is publisher"),
];

#[rustfmt::skip]
const SUBSCRIPTIONS: &[Row] = &[
    // rows: 381
    Row("an owner sees all", "", "hamlet node-subscriptions", "read all subscriptions"),
    // rows: 387, 555
    Row("nobody else does", "", "horatio node-subscriptions", "Forbidden"),
    // rows: 388
    Row("no node", "absent", "hamlet node-subscriptions", "NodeAbsent"),
    // rows: 389, 392, 396, 401, 402
    Row("several at once", "subs:romeo", "hamlet set-subscriptions romeo=none juliet/pc=subscribed",
        "done; romeo@d s1 none; juliet@d/pc n1 subscribed"),
    // rows: 390
    Row("what is so already is no change", "subs:romeo", "hamlet set-subscriptions romeo=subscribed juliet=none", "done"),
    Row("by identifier", "subs:romeo,romeo/pc", "hamlet set-subscriptions romeo/pc#s2=none", "done; romeo@d/pc s2 none"),
    // rows: 394, 555
    Row("a publisher sets none", "", "horatio set-subscriptions romeo=none", "Forbidden"),
    // rows: 395
    Row("no node to set them at", "absent", "hamlet set-subscriptions romeo=none", "NodeAbsent"),
    // rows: 397, 398
    Row("a wrong identifier fails all", "subs:romeo,juliet", "hamlet set-subscriptions juliet=none romeo#s9=none",
        "InvalidChange { why: \"there is no subscription with that identifier\", unchanged: Subscriptions([(juliet@d, Subscribed), (romeo@d, Subscribed)]) }"),
    // rows: 29, 397
    Row("an outcast is subscribed by nobody", "", "hamlet set-subscriptions tybalt=subscribed",
        "InvalidChange { why: \"the entity may not read the node\", unchanged: Subscriptions([(tybalt@d, None)]) }"),
    // rows: 61
    Row("nor is anyone who is not on the whitelist", "access_model=whitelist", "hamlet set-subscriptions juliet=subscribed romeo=subscribed",
        "InvalidChange { why: \"the entity may not read the node\", unchanged: Subscriptions([(juliet@d, None), (romeo@d, None)]) }"),
    Row("an owner subscribes others to a node that is closed to their own requests", "subscribe=0",
        "hamlet set-subscriptions romeo=subscribed", "done; romeo@d n1 subscribed"),
    Row("no state that nothing leads to", "", "hamlet set-subscriptions romeo=pending",
        "InvalidChange { why: \"only the states none and subscribed can be set\", unchanged: Subscriptions([(romeo@d, None)]) }"),
    // rows: 400
    Row("nobody twice under one identifier", "subs:romeo", "hamlet set-subscriptions romeo#s1=none romeo#s1=subscribed",
        "DuplicateChange { jid: romeo@d }"),
    Row("so many a bare JID and no more", "subs:romeo/1,romeo/2,romeo/3,romeo/4,romeo/5,romeo/6,romeo/7,romeo/8,romeo/9",
        "hamlet set-subscriptions romeo=subscribed romeo/10=none romeo/1=none romeo/11=subscribed",
        "done; romeo@d n1 subscribed; romeo@d/1 s1 none; romeo@d/11 n2 subscribed"),
    Row("counted as the entries change them", "subs:romeo/1,romeo/2,romeo/3,romeo/4,romeo/5,romeo/6,romeo/7,romeo/8,romeo/9",
        "hamlet set-subscriptions romeo=subscribed romeo/11=subscribed",
        "InvalidChange { why: \"the entity may have no more subscriptions to the node\", unchanged: Subscriptions([(romeo@d, None), (romeo@d/11, None)]) }"),
];

#[test]
fn approve() {
    check(APPROVE);
}

#[test]
fn expire() {
    check(EXPIRE);
}

#[rustfmt::skip]
const APPROVE: &[Row] = &[
    // rows: 362, 365
    Row("an owner lets in", "access_model=authorize subs:romeo?", "hamlet approve romeo s1", "done; romeo@d s1 subscribed"),
    // rows: 362, 365
    Row("or turns away", "access_model=authorize subs:romeo?", "hamlet deny romeo s1", "done; romeo@d s1 none"),
    Row("without the identifier too", "access_model=authorize subs:romeo?", "hamlet approve romeo", "done; romeo@d s1 subscribed"),
    Row("another request is not meant", "access_model=authorize subs:romeo?", "hamlet approve romeo s7", "NotPending"),
    Row("another address is not meant", "access_model=authorize subs:romeo/pc?", "hamlet approve romeo", "NotPending"),
    Row("the first answer counts", "access_model=authorize subs:romeo", "hamlet deny romeo s1", "NotPending"),
    Row("nobody is let in who did not ask", "access_model=authorize", "hamlet approve romeo", "NotPending"),
    Row("nobody is let in where he may not read", "access_model=whitelist subs:romeo?", "hamlet approve romeo", "NotOnWhitelist"),
    Row("only owners answer", "access_model=authorize subs:romeo?", "horatio approve romeo s1", "Forbidden"),
    Row("nobody lets himself in", "access_model=authorize subs:romeo?", "romeo approve romeo s1", "Forbidden"),
    Row("an administrator answers", "access_model=authorize subs:romeo?", "root approve romeo s1", "done; romeo@d s1 subscribed"),
    // rows: 391
    Row("the list of subscriptions approves", "access_model=authorize subs:romeo?",
        "hamlet set-subscriptions romeo#s1=subscribed", "done; romeo@d s1 subscribed"),
    Row("and denies", "access_model=authorize subs:romeo?", "hamlet set-subscriptions romeo=none", "done; romeo@d s1 none"),
    Row("an owner invites", "access_model=authorize", "hamlet set-subscriptions romeo=subscribed", "done; romeo@d n1 subscribed"),
    // rows: 377
    Row("who is made a publisher need not wait", "access_model=authorize subs:romeo?",
        "hamlet set-affiliations romeo=publisher", "done; romeo@d is publisher; romeo@d s1 subscribed"),
    // rows: 378
    Row("who is made an outcast is turned away", "access_model=authorize subs:romeo?",
        "hamlet set-affiliations romeo=outcast", "done; romeo@d is outcast; romeo@d s1 none"),
    Row("who is no member any more goes on waiting", "access_model=authorize subs:romeo?",
        "hamlet set-affiliations romeo=none", "done"),
    Row("a subscriber stays one", "access_model=authorize subs:juliet",
        "hamlet set-affiliations juliet=none", "done; juliet@d is none"),
    Row("an owner asks who waits", "", "hamlet pending here", "read who waits here for anybody"),
    Row("or everywhere, at his nodes", "", "hamlet pending", "read who waits everywhere for hamlet@d"),
    Row("an administrator, at all", "", "root pending", "read who waits everywhere for anybody"),
    // rows: 373
    Row("others do not", "", "horatio pending here", "Forbidden"),
];

#[rustfmt::skip]
const EXPIRE: &[Row] = &[
    // rows: F8
    Row("what is old enough goes", "item_expire=1 items:a,b", "root expire",
        "2 expired; drop a#11; drop b#12; #21 a retracted; #22 b retracted"),
    Row("quietly, where nobody shall be told", "item_expire=1 notify_retract=0 items:a", "root expire",
        "1 expired; drop a#11; #21 a retracted quietly"),
    // rows: F8
    Row("what is not stays", "item_expire=3 items:a", "root expire", "0 expired"),
    // rows: F8
    Row("max is no limit of time", "item_expire=max items:a", "root expire", "0 expired"),
    Row("nobody asks for it but the service", "item_expire=1 items:a", "horatio expire", "Forbidden"),
];

#[test]
fn templates() {
    check(TEMPLATES);
    let config = |given: &str, asked: &str| {
        let mut world = given_world(given);
        world.ask(asked_request(asked)).unwrap().node.unwrap().config
    };
    let reserved = config("absent policy:reserved=romeo", "romeo create here");
    assert_eq!((reserved.access_model.as_str(), &*reserved.title), ("whitelist", "reserved"));
    let published = config("absent policy:reserved=romeo", "romeo publish a title=mine");
    assert_eq!((published.access_model.as_str(), &*published.title), ("whitelist", "mine"));
    let first = config("absent policy:template=n policy:template=*", "romeo create here");
    assert_eq!(first.max_items, 3);
    assert_ne!(config("absent policy:template=other", "romeo create here").max_items, 3);
}

#[rustfmt::skip]
const TEMPLATES: &[Row] = &[
    Row("a name is reserved", "absent policy:reserved=romeo", "horatio create here", "MayNotCreate"),
    Row("also from publishers", "absent policy:reserved=romeo policy:auto_create=1", "horatio publish a", "NodeAbsent"),
    Row("and from those who insist", "absent policy:reserved=romeo", "horatio publish a create", "MayNotCreate"),
    Row("for one of several", "absent policy:reserved=juliet,romeo", "romeo create here", "created n; create; romeo@d is owner"),
    Row("or for a pattern", "absent policy:reserved=*", "visitor create here", "created n; create; visitor@d is owner"),
    Row("who may, may though others may not create", "absent policy:create=admins policy:reserved=romeo",
        "romeo create here", "created n; create; romeo@d is owner"),
    Row("an administrator may", "absent policy:reserved=romeo", "root create here", "created n; create; root@d is owner"),
    Row("a publish makes what a template lets it make", "absent policy:reserved=romeo", "romeo publish a",
        "published anew a#1; create; romeo@d is owner; put a#1; #1 a by romeo@d"),
    Row("and not what it does not", "absent policy:template=* policy:auto_create=1", "romeo publish a", "NodeAbsent"),
    Row("a reserved node that stands is told to exist", "policy:reserved=romeo", "romeo create here", "NodeExists"),
    Row("an instant node has no reserved name", "absent policy:reserved=horatio", "visitor create", "RegistrationRequired"),
];
