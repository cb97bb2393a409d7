//! XEP-0060 §5 and §6: subscribe, unsubscribe, retrieve, discover; and following the log.

use super::{Row, asked_request, check, given_world};
use crate::pubsub::{Refusal, Reply, rights};

#[test]
fn subscribe() {
    check(SUBSCRIBE);
}

#[test]
fn unsubscribe() {
    check(UNSUBSCRIBE);
}

#[test]
fn options() {
    check(OPTIONS);
}

#[test]
fn read() {
    check(READ);
}

// rows: 127, 128
#[test]
fn a_bare_jid_has_so_many_subscriptions_and_no_more() {
    let mut world = given_world("");
    for number in 0..rights::SUBSCRIPTIONS_MAX {
        let decision = world.ask(asked_request(&format!("romeo subscribe romeo/{number}"))).unwrap();
        assert!(matches!(decision.reply, Reply::Subscribed { .. }));
    }
    let refused = world.ask(asked_request("romeo subscribe romeo"));
    assert_eq!(refused, Err(Refusal::TooManySubscriptions));
    assert!(world.ask(asked_request("romeo subscribe romeo/3")).is_ok(), "what stands is still answered");
    assert!(world.ask(asked_request("juliet subscribe juliet")).is_ok(), "another's number does not count");
    assert!(world.ask(asked_request("romeo unsubscribe romeo/3")).is_ok());
    assert!(world.ask(asked_request("romeo subscribe romeo")).is_ok());
}

#[rustfmt::skip]
const SUBSCRIBE: &[Row] = &[
    // rows: 6, 57, 113, 114, 145, 149
    Row("anyone subscribes to an open node", "",
        "visitor subscribe visitor", "visitor@d n1 subscribed, last item due; visitor@d n1 subscribed"),
    // rows: 115
    Row("a full JID of one's own", "",
        "romeo/pc subscribe romeo/phone", "romeo@d/phone n1 subscribed, last item due; romeo@d/phone n1 subscribed"),
    // rows: 146
    Row("a second request finds what stands", "subs:romeo", "romeo subscribe romeo", "romeo@d s1 subscribed, last item due"),
    // rows: 148
    Row("another full JID is another entity", "subs:romeo,romeo/pc",
        "romeo subscribe romeo/phone", "romeo@d/phone n1 subscribed, last item due; romeo@d/phone n1 subscribed"),
    // rows: 12, 40, F25
    Row("no last item where the owner wants none", "send_last_published_item=never",
        "romeo subscribe romeo", "romeo@d n1 subscribed; romeo@d n1 subscribed"),
    // rows: 149
    Row("no last item where none is kept", "persist_items=0",
        "romeo subscribe romeo", "romeo@d n1 subscribed; romeo@d n1 subscribed"),
    // rows: 183
    Row("with options", "", "romeo subscribe romeo deliver=0 digest_frequency=2000",
        "romeo@d n1 subscribed deliver=0 digest_frequency=2000, last item due; romeo@d n1 subscribed deliver=0 digest_frequency=2000"),
    Row("a second request changes the options that it bears", "subs:romeo option:digest=1", "romeo subscribe romeo deliver=0",
        "romeo@d s1 subscribed deliver=0 digest=1, last item due; romeo@d s1 subscribed deliver=0 digest=1"),
    // rows: 182
    Row("options that cannot be honoured", "", "romeo subscribe romeo subscription_depth=all",
        "InvalidOptions { field: \"subscription_depth\", why: \"the node is no collection: there is nothing below it\" }"),
    // rows: 141, 143
    Row("several where they are allowed", "policy:multi_subscribe=1 subs:romeo",
        "romeo subscribe romeo", "romeo@d n1 subscribed, last item due; romeo@d n1 subscribed"),
    // rows: 115, 116
    Row("another's JID is not subscribed", "", "romeo subscribe juliet", "InvalidJid"),
    // rows: 116
    Row("not by an owner either", "", "hamlet subscribe juliet", "InvalidJid"),
    // rows: 116, 117
    Row("an administrator subscribes anyone", "",
        "root subscribe juliet", "juliet@d n1 subscribed, last item due; juliet@d n1 subscribed"),
    Row("and finds what stands", "subs:juliet", "root subscribe juliet", "juliet@d s1 subscribed, last item due"),
    Row("but nobody who may not read", "access_model=whitelist", "root subscribe romeo", "NotOnWhitelist"),
    // rows: 61, 120
    Row("a whitelist keeps others out", "access_model=whitelist", "romeo subscribe romeo", "NotOnWhitelist"),
    // rows: 27, 61
    Row("a member is on the whitelist", "access_model=whitelist",
        "juliet subscribe juliet", "juliet@d n1 subscribed, last item due; juliet@d n1 subscribed"),
    // rows: 62, 530
    Row("so is the owner", "access_model=whitelist",
        "hamlet subscribe hamlet", "hamlet@d n1 subscribed, last item due; hamlet@d n1 subscribed"),
    // rows: 530
    Row("and a publisher", "access_model=whitelist",
        "horatio subscribe horatio", "horatio@d n1 subscribed, last item due; horatio@d n1 subscribed"),
    // rows: 4, 29, 126
    Row("an outcast is kept out of an open node", "", "tybalt subscribe tybalt", "Outcast"),
    // rows: 26
    Row("publish-only does not subscribe", "", "ophelia subscribe ophelia", "Forbidden"),
    // rows: 129, F27
    Row("an owner may close subscribing", "subscribe=0", "romeo subscribe romeo", "SubscriptionsClosed"),
    // rows: 146
    Row("which ends nothing that stands", "subscribe=0 subs:romeo",
        "romeo subscribe romeo", "romeo@d s1 subscribed, last item due"),
    // rows: 130
    Row("a node that has moved says where to", "moved",
        "romeo subscribe romeo", "NodeGone { redirect: Some(\"xmpp:elsewhere\") }"),
    // rows: 131
    Row("no node", "absent", "romeo subscribe romeo", "NodeAbsent"),
];

#[rustfmt::skip]
const UNSUBSCRIBE: &[Row] = &[
    // rows: 153
    Row("a subscription is ended by its JID", "subs:romeo", "romeo unsubscribe romeo", "unsubscribed; romeo@d s1 none"),
    // rows: 160
    Row("and by its identifier", "subs:romeo/pc,romeo",
        "romeo unsubscribe romeo s2", "unsubscribed; romeo@d s2 none"),
    // rows: 148
    Row("each full JID by itself", "subs:romeo,romeo/pc",
        "romeo/phone unsubscribe romeo/pc", "unsubscribed; romeo@d/pc s2 none"),
    // rows: 162
    Row("another identifier ends nothing", "subs:romeo", "romeo unsubscribe romeo s2", "InvalidSubId"),
    // rows: 156
    Row("who is not subscribed", "subs:romeo/pc", "romeo unsubscribe romeo", "NotSubscribed"),
    // rows: 157, 158
    Row("another's subscription is not ended", "subs:juliet", "romeo unsubscribe juliet", "Forbidden"),
    // rows: 158
    Row("but by an administrator", "subs:juliet", "root unsubscribe juliet", "unsubscribed; juliet@d s1 none"),
    Row("who has lost the right to read may go", "access_model=whitelist subs:romeo",
        "romeo unsubscribe romeo", "unsubscribed; romeo@d s1 none"),
    // rows: 155
    Row("of several one is named", "policy:multi_subscribe=1 subs:romeo,romeo", "romeo unsubscribe romeo", "SubIdRequired"),
    // rows: 142
    Row("and ended alone", "policy:multi_subscribe=1 subs:romeo,romeo", "romeo unsubscribe romeo s2", "unsubscribed; romeo@d s2 none"),
    // rows: 159
    Row("no node", "absent", "romeo unsubscribe romeo", "NodeAbsent"),
];

#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    // rows: 165, 166
    Row("a subscriber sees its options", "subs:romeo option:digest=1", "romeo options romeo", "options of romeo@d s1 subscribed digest=1"),
    // rows: 180, 181
    Row("and changes them", "subs:romeo option:digest=1", "romeo set-options romeo deliver=0 digest=0",
        "done; romeo@d s1 subscribed deliver=0"),
    Row("to what they are: nothing happens", "subs:romeo", "romeo set-options romeo deliver=1", "done"),
    // rows: 171
    Row("from any of its resources", "subs:romeo/phone", "romeo/pc set-options romeo/phone deliver=0",
        "done; romeo@d/phone s1 subscribed deliver=0"),
    // rows: 171, 172
    Row("nobody else does", "subs:romeo", "juliet options romeo", "Forbidden"),
    // rows: 172
    Row("nor changes them", "subs:romeo", "hamlet set-options romeo deliver=0", "Forbidden"),
    Row("but an administrator", "subs:romeo", "root set-options romeo deliver=0", "done; romeo@d s1 subscribed deliver=0"),
    // rows: 173
    Row("who is not subscribed has none", "subs:romeo/pc", "romeo options romeo", "NotSubscribed"),
    // rows: 176
    Row("of several one is named", "policy:multi_subscribe=1 subs:romeo,romeo", "romeo options romeo", "SubIdRequired"),
    Row("by its identifier", "policy:multi_subscribe=1 subs:romeo,romeo", "romeo options romeo#s2", "options of romeo@d s2 subscribed"),
    // rows: 177
    Row("another identifier", "subs:romeo", "romeo options romeo#s9", "InvalidSubId"),
    // rows: 179
    Row("no node", "absent", "romeo options romeo", "NodeAbsent"),
    // rows: 182
    Row("what cannot be honoured changes nothing", "subs:romeo", "romeo set-options romeo deliver=0 digest_frequency=1",
        "InvalidOptions { field: \"digest_frequency\", why: \"at least 1000 milliseconds\" }"),
    // rows: 189
    Row("the defaults of a node", "", "romeo default-options here", "default options"),
    // rows: 190
    Row("the defaults of the service", "absent", "romeo default-options", "default options"),
    Row("of a node that is not there", "absent", "romeo default-options here", "NodeAbsent"),
    // rows: 463, F38
    Row("a lease that is over ends", "subs:romeo option:expire=1970-01-01T00:00:00.500000Z", "root lapse romeo#s1",
        "done; romeo@d s1 none expire=1970-01-01T00:00:00.500000Z"),
    Row("one that is not goes on", "subs:romeo option:expire=1970-01-01T00:00:09Z", "root lapse romeo#s1", "done"),
    Row("what has no end has none", "subs:romeo", "root lapse romeo#s1", "done"),
    Row("one that has gone has gone", "", "root lapse romeo#s1", "done"),
    // rows: 211
    Row("who has several says under which it reads", "policy:multi_subscribe=1 subs:romeo,romeo", "romeo items-under", "SubIdRequired"),
    Row("any of them will do", "policy:multi_subscribe=1 subs:romeo,romeo", "romeo items-under s2", "read items All"),
    // rows: 212
    Row("but none that it does not have", "subs:romeo", "romeo items-under s2", "InvalidSubId"),
    Row("those of other resources are others'", "subs:romeo/pc,romeo", "romeo items-under", "read items All"),
    Row("who is not subscribed has none to name", "", "romeo items-under s2", "read items All"),
];

#[rustfmt::skip]
const READ: &[Row] = &[
    // rows: 28, 57, 195, 196, 201
    Row("anyone retrieves from an open node", "items:a", "visitor items", "read items All"),
    // rows: 208
    Row("the newest", "items:a", "romeo items newest:2", "read items Newest(2)"),
    // rows: 207, 210
    Row("by their ids", "items:a", "romeo items b a", "read items These([\"b\", \"a\"])"),
    Row("more ids than one request may name", "items:a", "romeo items a b c e f g", "TooManyItems { items: 6, items_max: 5 }"),
    // rows: 61, 199, 218, 556
    Row("a whitelist keeps others out", "access_model=whitelist items:a", "romeo items", "NotOnWhitelist"),
    // rows: 27, 61
    Row("a member retrieves without being subscribed", "access_model=whitelist", "juliet items", "read items All"),
    // rows: 200, 530
    Row("the owner may always", "access_model=whitelist", "hamlet items", "read items All"),
    // rows: 200, 530
    Row("and a publisher", "access_model=whitelist", "horatio items", "read items All"),
    // rows: 26
    Row("publish-only retrieves nothing", "", "ophelia items", "Forbidden"),
    // rows: 29, 220
    Row("an outcast retrieves nothing", "", "tybalt items", "Outcast"),
    // rows: 214
    Row("nothing is kept", "persist_items=0", "romeo items", "NotPersistent"),
    Row("who may not read does not learn whether anything is kept", "persist_items=0", "tybalt items", "Outcast"),
    // rows: 221
    Row("no node", "absent", "romeo items", "NodeAbsent"),
    Row("a reader follows the log", "", "visitor watch", "watching n at #20"),
    Row("also of a node that keeps nothing", "persist_items=0", "romeo watch", "watching n at #20"),
    // rows: 556
    Row("nobody else does", "access_model=whitelist", "romeo watch", "NotOnWhitelist"),
    Row("the log of a deleted node is gone", "deleted", "hamlet watch", "NodeGone { redirect: None }"),
    // rows: 78
    Row("anyone lists the nodes", "absent", "visitor nodes", "read nodes of pubsub.d for visitor@d"),
    Row("an administrator lists them all", "absent", "root nodes", "read nodes of pubsub.d for anybody"),
    // rows: 82
    Row("anyone may know of a node", "access_model=whitelist", "visitor metadata", "metadata of n"),
    Row("but of none that is not there", "absent", "visitor metadata", "NodeAbsent"),
    // rows: 96
    Row("one's own subscriptions everywhere", "absent", "romeo subscriptions", "read subscriptions of romeo@d everywhere"),
    // rows: 101, 102
    Row("or at one node", "", "romeo subscriptions here", "read subscriptions of romeo@d here"),
    Row("which must be there", "absent", "romeo subscriptions here", "NodeAbsent"),
    // rows: 105
    Row("one's own affiliations everywhere", "absent", "romeo affiliations", "read affiliations of romeo@d everywhere"),
    // rows: 109
    Row("or at one node", "", "tybalt affiliations here", "read affiliations of tybalt@d here"),
    Row("which must be there", "deleted", "romeo affiliations here", "NodeGone { redirect: None }"),
];

#[test]
fn access_models() {
    check(ACCESS);
}

#[rustfmt::skip]
const ACCESS: &[Row] = &[
    // rows: 60, 132, 134
    Row("who may not come in waits for an owner", "access_model=authorize",
        "romeo subscribe romeo", "romeo@d n1 pending; romeo@d n1 pending"),
    // rows: 125
    Row("asking twice does not help", "access_model=authorize subs:romeo?", "romeo subscribe romeo", "SubscriptionPending"),
    // rows: 132
    Row("a member comes in at once", "access_model=authorize",
        "juliet subscribe juliet", "juliet@d n1 subscribed, last item due; juliet@d n1 subscribed"),
    Row("a node that opened lets in who waits", "subs:romeo?",
        "romeo subscribe romeo", "romeo@d s1 subscribed, last item due; romeo@d s1 subscribed"),
    // rows: 196, 213
    Row("who waits retrieves nothing", "access_model=authorize subs:romeo?", "romeo items", "SubscriptionRequired"),
    // rows: 34
    Row("and follows nothing", "access_model=authorize subs:romeo?", "romeo watch", "SubscriptionRequired"),
    // rows: 60, 196
    Row("a subscriber retrieves", "access_model=authorize subs:romeo", "romeo items", "read items All"),
    Row("a request can be taken back", "access_model=authorize subs:romeo?",
        "romeo unsubscribe romeo", "unsubscribed; romeo@d s1 none"),
    // rows: 58
    Row("who sees the owner's presence subscribes", "access_model=presence sees:romeo",
        "romeo subscribe romeo", "romeo@d n1 subscribed, last item due; romeo@d n1 subscribed"),
    // rows: 118
    Row("who does not see it does not", "access_model=presence sees:!romeo", "romeo subscribe romeo", "PresenceRequired"),
    // rows: 118
    Row("nor does somebody unknown", "access_model=presence", "visitor subscribe visitor", "PresenceRequired"),
    // rows: 197, 216
    Row("nor retrieve", "access_model=presence sees:!romeo", "romeo items", "PresenceRequired"),
    // rows: 197
    Row("those who see it do", "access_model=presence sees:romeo", "romeo items", "read items All"),
    // rows: 59, F24
    Row("a group of the roster subscribes", "access_model=roster roster_groups_allowed=Friends sees:romeo/Friends",
        "romeo subscribe romeo", "romeo@d n1 subscribed, last item due; romeo@d n1 subscribed"),
    // rows: 119, F24
    Row("another group does not", "access_model=roster roster_groups_allowed=Friends sees:romeo/Foes",
        "romeo subscribe romeo", "NotInRosterGroup"),
    // rows: 198, 217
    Row("nor retrieves", "access_model=roster roster_groups_allowed=Friends sees:romeo/Foes", "romeo items", "NotInRosterGroup"),
    // rows: 198
    Row("who is in the group must see the owner, too", "access_model=roster roster_groups_allowed=Friends sees:!romeo/Friends",
        "romeo items", "NotInRosterGroup"),
    // rows: 198
    Row("the group retrieves", "access_model=roster roster_groups_allowed=Friends sees:romeo/Friends", "romeo items", "read items All"),
    Row("an outcast is one in every roster", "access_model=presence sees:tybalt", "tybalt subscribe tybalt", "Outcast"),
    Row("a hidden node is absent to strangers", "hidden=1", "romeo subscribe romeo", "NodeAbsent"),
    Row("on every path", "hidden=1", "romeo metadata", "NodeAbsent"),
    Row("also to an outcast", "hidden=1", "tybalt items", "NodeAbsent"),
    Row("it is not made by publishing", "hidden=1 policy:auto_create=1", "romeo publish a", "NodeAbsent"),
    Row("its name is not free, and nobody says why", "hidden=1", "romeo create here", "MayNotCreate"),
    Row("subscribers know it", "hidden=1 subs:romeo", "romeo items", "read items All"),
    Row("members know it", "hidden=1", "juliet metadata", "metadata of n"),
    Row("administrators know it", "hidden=1", "root metadata", "metadata of n"),
    Row("its grave is hidden, too", "deleted buried", "romeo subscribe romeo", "NodeAbsent"),
];
