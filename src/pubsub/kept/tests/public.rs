//! Public subscribers (XEP-0465).

use super::{Row, Town, asked, check};
use crate::pubsub::Refusal;

#[test]
fn public_subscribers() {
    check(&[
        Row(
            "the first makes the node",
            "",
            "romeo subscribe n public",
            "romeo@d fresh7 subscribed public=1, last item due; romeo@d fresh7 subscribed public=1 | pub: create; put romeo@d#1; #1 romeo@d by pubsub.d (romeo@d)",
        ),
        Row(
            "without a word nothing is made",
            "",
            "romeo subscribe n",
            "romeo@d fresh7 subscribed, last item due; romeo@d fresh7 subscribed",
        ),
        Row(
            "the next joins them",
            "romeo subscribe n public",
            "juliet subscribe n public",
            "juliet@d fresh9 subscribed public=1, last item due; juliet@d fresh9 subscribed public=1 | pub: put juliet@d#2; #2 juliet@d by pubsub.d (juliet@d)",
        ),
        Row(
            "who was subscribed becomes public",
            "romeo subscribe n",
            "romeo subscribe n public",
            "romeo@d fresh7 subscribed public=1, last item due; romeo@d fresh7 subscribed public=1 | pub: create; put romeo@d#1; #1 romeo@d by pubsub.d (romeo@d)",
        ),
        Row(
            "and is so no more without the word (XEP-0465 §4.3)",
            "romeo subscribe n public; juliet subscribe n public",
            "romeo subscribe n",
            "romeo@d fresh7 subscribed, last item due; romeo@d fresh7 subscribed | pub: drop romeo@d#1; #3 romeo@d retracted",
        ),
        Row(
            "the last takes the node along",
            "romeo subscribe n public",
            "romeo subscribe n",
            "romeo@d fresh7 subscribed, last item due; romeo@d fresh7 subscribed | pub: erase; #2 deleted",
        ),
        Row(
            "who ends it is no subscriber",
            "romeo subscribe n public; juliet subscribe n public",
            "romeo unsubscribe n",
            "unsubscribed; romeo@d fresh7 none public=1 | pub: drop romeo@d#1; #3 romeo@d retracted",
        ),
        Row(
            "nor who is put out",
            "romeo subscribe n public; juliet subscribe n public",
            "hamlet set n romeo=outcast",
            "done; romeo@d is outcast; romeo@d fresh7 none public=1 | pub: drop romeo@d#1; #3 romeo@d retracted",
        ),
        Row(
            "who waits is none yet",
            "hamlet configure n access_model=authorize",
            "romeo subscribe n public",
            "romeo@d fresh9 pending public=1; romeo@d fresh9 pending public=1",
        ),
        Row(
            "and is one when he is let in",
            "hamlet configure n access_model=authorize; romeo subscribe n public",
            "hamlet approve n romeo",
            "done; romeo@d fresh9 subscribed public=1 | pub: create; put romeo@d#1; #1 romeo@d by pubsub.d (romeo@d)",
        ),
        Row(
            "or the node is opened",
            "hamlet configure n access_model=authorize; romeo subscribe n public",
            "hamlet configure n access_model=open",
            "done; romeo@d fresh9 subscribed public=1; #2 configured | pub: create; put romeo@d#1; #1 romeo@d by pubsub.d (romeo@d)",
        ),
        Row(
            "two subscriptions of one are one",
            "romeo subscribe n public; romeo subscribe n romeo/pc public",
            "romeo unsubscribe n",
            "unsubscribed; romeo@d fresh7 none public=1",
        ),
        Row(
            "of which one without the word takes back both",
            "romeo subscribe n public; romeo subscribe n romeo/pc public",
            "romeo subscribe n",
            "romeo@d fresh7 subscribed, last item due; romeo@d fresh7 subscribed; romeo@d/pc fresh9 subscribed | pub: erase; #2 deleted",
        ),
        Row(
            "who takes it back while he waits is let in without",
            "hamlet configure n access_model=authorize; romeo subscribe n public; romeo subscribe n",
            "hamlet approve n romeo",
            "done; romeo@d fresh9 subscribed",
        ),
        Row(
            "and waits on",
            "hamlet configure n access_model=authorize; romeo subscribe n public",
            "romeo subscribe n",
            "romeo@d fresh9 pending; romeo@d fresh9 pending",
        ),
        Row(
            "nobody makes another public",
            "",
            "root subscribe n romeo public",
            "romeo@d fresh7 subscribed, last item due; romeo@d fresh7 subscribed",
        ),
        Row(
            "with the node",
            "romeo subscribe n public",
            "hamlet delete n",
            "done; erase; #1 deleted | pub: erase; #2 deleted",
        ),
        Row("it is read by whom the node is", "romeo subscribe n public", "juliet items pub", "read items All"),
        Row(
            "to all others it is not there",
            "romeo subscribe n public; hamlet configure n access_model=whitelist",
            "romeo items pub",
            "NodeAbsent",
        ),
        Row(
            "nor is there anything to end",
            "romeo subscribe n public; hamlet configure n access_model=whitelist",
            "romeo unsubscribe pub",
            "NodeAbsent",
        ),
        Row(
            "but what one began oneself",
            "romeo subscribe n public; romeo subscribe pub; hamlet configure n access_model=whitelist",
            "romeo unsubscribe pub",
            "unsubscribed; romeo@d fresh9 none",
        ),
        Row("as where nobody is public", "romeo subscribe n", "romeo items pub", "NodeAbsent"),
        Row("and where there is no node", "", "romeo items urn:xmpp:pps:subscribers:0/other", "NodeAbsent"),
    ]);
}

/// XEP-0465 §5, whether there is one or not.
#[test]
fn public_subscribers_are_not_written_by_hand() {
    for before in ["romeo subscribe n public", "romeo subscribe n"] {
        for asked_of in [
            "hamlet create pub",
            "root create urn:xmpp:pps:subscribers:0/other",
            "hamlet publish pub romeo@d",
            "hamlet retract pub romeo@d",
            "root purge pub",
            "hamlet delete pub",
            "hamlet configure pub access_model=open",
            "hamlet set pub romeo=owner",
            "hamlet let pub romeo",
        ] {
            let mut town = Town::new();
            town.ask(&asked(before)).unwrap();
            assert_eq!(town.ask(&asked(asked_of)), Err(Refusal::Forbidden), "{asked_of}");
        }
    }
}
