//! The rules of one session, without sockets.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot::{Receiver, channel};
use tokio::time::Instant;

use super::body::{BIND_NS, Body};
use super::state::{State, Terms};
use super::{BoshOptions, Posted};
use crate::xml::Limits;

/// A session whose stream has begun, with `hold` requests held.
fn session(hold: u8) -> (State, Instant) {
    let now = Instant::now();
    let body = body(&format!("rid='100' ver='1.6' wait='60' hold='{hold}' to='b'"), "");
    let terms = Terms::agree(&BoshOptions::default(), &body).unwrap();
    let (reply, mut first) = channel();
    let (mut state, _) = State::begin("sid".into(), terms, body, reply, now).unwrap();
    assert!(state.take_inbound(now).unwrap().starts_with(b"<open "));
    assert!(first.try_recv().is_err(), "there is nothing to answer yet");
    say(&mut state, "<features/>", now);
    assert!(text(&mut first).contains("sid='sid'"));
    (state, now)
}

fn body(attributes: &str, payloads: &str) -> Body {
    let text = format!("<body xmlns='{BIND_NS}' {attributes}>{payloads}</body>");
    Body::read(text.as_bytes(), Limits::authenticated(), |_| true).unwrap()
}

fn ask(state: &mut State, attributes: &str, payloads: &str, now: Instant) -> Receiver<Posted> {
    let (reply, answer) = channel();
    state.request(body(&format!("sid='sid' {attributes}"), payloads), reply, now);
    answer
}

fn say(state: &mut State, xml: &str, now: Instant) {
    state.say(Bytes::copy_from_slice(xml.as_bytes()));
    state.flush(now);
}

fn heard(state: &mut State, now: Instant) -> Vec<String> {
    let all = std::iter::from_fn(|| state.take_inbound(now));
    all.filter(|bytes| !bytes.is_empty()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
}

fn text(answer: &mut Receiver<Posted>) -> String {
    String::from_utf8(answer.try_recv().expect("it is answered").body.to_vec()).unwrap()
}

fn is_waiting(answer: &mut Receiver<Posted>) -> bool {
    answer.try_recv().is_err()
}

const EMPTY: &str = "<body xmlns='http://jabber.org/protocol/httpbind'/>";
const AGAIN: &str = "<body xmlns='http://jabber.org/protocol/httpbind' type='error'/>";

fn ended(condition: &str) -> String {
    format!("<body xmlns='{BIND_NS}' type='terminate' condition='{condition}'/>")
}

#[test]
fn one_request_waits_and_the_next_releases_it() {
    let (mut state, now) = session(1);
    let mut first = ask(&mut state, "rid='101'", "", now);
    assert!(is_waiting(&mut first));
    let mut second = ask(&mut state, "rid='102'", "<iq/>", now);
    assert_eq!(text(&mut first), EMPTY);
    assert!(is_waiting(&mut second));
    say(&mut state, "<a/>", now);
    assert!(text(&mut second).ends_with("<a/></body>"));
    // What comes while nobody asks waits.
    say(&mut state, "<b/>", now);
    say(&mut state, "<c/>", now);
    assert!(text(&mut ask(&mut state, "rid='103'", "", now)).ends_with("<b/><c/></body>"));
}

#[test]
fn requests_are_taken_and_answered_in_order() {
    let (mut state, now) = session(1);
    let mut second = ask(&mut state, "rid='102'", "<b xmlns='u'/>", now);
    assert!(heard(&mut state, now).is_empty());
    say(&mut state, "<x/>", now);
    assert!(is_waiting(&mut second), "the one before comes first");
    let mut first = ask(&mut state, "rid='101'", "<a xmlns='u'/>", now);
    assert_eq!(heard(&mut state, now), ["<a xmlns='u'/>", "<b xmlns='u'/>"]);
    assert!(text(&mut first).ends_with("<x/></body>"));
    assert!(is_waiting(&mut second));
}

#[test]
fn one_whose_predecessor_does_not_come_is_to_be_sent_again() {
    let (mut state, now) = session(1);
    let mut second = ask(&mut state, "rid='102'", "<b xmlns='u'/>", now);
    state.expire(102, now + Duration::from_secs(60));
    assert_eq!(text(&mut second), AGAIN);
    ask(&mut state, "rid='101'", "<a xmlns='u'/>", now);
    ask(&mut state, "rid='102'", "<b xmlns='u'/>", now);
    assert_eq!(heard(&mut state, now), ["<a xmlns='u'/>", "<b xmlns='u'/>"]);
}

#[test]
fn a_lost_answer_is_given_again_and_nothing_is_taken_twice() {
    let (mut state, now) = session(1);
    drop(ask(&mut state, "rid='101'", "<a xmlns='u'/>", now));
    state.lost(101, now);
    say(&mut state, "<x/>", now);
    let mut next = ask(&mut state, "rid='102'", "<b xmlns='u'/>", now);
    let given = text(&mut next);
    assert!(given.ends_with("<x/></body>"));
    assert_eq!(text(&mut ask(&mut state, "rid='102'", "<b xmlns='u'/>", now)), given);
    assert_eq!(text(&mut ask(&mut state, "rid='101'", "<a xmlns='u'/>", now)), EMPTY);
    assert_eq!(heard(&mut state, now), ["<a xmlns='u'/>", "<b xmlns='u'/>"]);
    // Both answers are kept, and none before them.
    assert_eq!(text(&mut ask(&mut state, "rid='100'", "", now)), ended("item-not-found"));
    assert!(state.is_over());
}

#[test]
fn a_request_that_is_held_may_be_sent_again() {
    let (mut state, now) = session(1);
    let mut lost = ask(&mut state, "rid='101'", "", now);
    let mut again = ask(&mut state, "rid='101'", "", now);
    assert_eq!(text(&mut lost), AGAIN);
    state.lost(101, now);
    assert!(is_waiting(&mut again), "the connection that was lost is not the one that waits");
    say(&mut state, "<x/>", now);
    assert!(text(&mut again).ends_with("<x/></body>"));
}

#[test]
fn a_request_is_repeated_so_often_and_no_more() {
    let (mut state, now) = session(1);
    let mut last = ask(&mut state, "rid='101'", "", now);
    for _ in 0..10 {
        last = ask(&mut state, "rid='101'", "", now);
    }
    assert!(is_waiting(&mut last));
    assert_eq!(text(&mut ask(&mut state, "rid='101'", "", now)), ended("policy-violation"));
    assert_eq!(text(&mut last), ended("other-request"));
}

#[test]
fn an_answer_is_given_to_no_other_key() {
    let (mut state, now) = session(1);
    let k1 = "0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33"; // SHA-1 of "foo"
    let k2 = "a5e49d1eff85d5fd8bca19da3adb8b2f5c8f0c4a"; // not of anything that is used
    ask(&mut state, &format!("rid='101' newkey='{k1}'"), "<iq/>", now);
    say(&mut state, "<x/>", now);
    let mut next = ask(&mut state, "rid='102' key='foo'", "<iq/>", now);
    assert!(is_waiting(&mut next), "the key is right");
    assert_eq!(text(&mut ask(&mut state, &format!("rid='102' key='{k2}'"), "<iq/>", now)), ended("item-not-found"));
    assert_eq!(text(&mut next), ended("other-request"));
}

#[test]
fn empty_requests_that_follow_each_other_too_soon_end_the_session() {
    let (mut state, now) = session(1);
    let mut first = ask(&mut state, "rid='101'", "", now);
    let mut second = ask(&mut state, "rid='102'", "", now + Duration::from_secs(4));
    assert_eq!(text(&mut second), ended("policy-violation"));
    assert_eq!(text(&mut first), ended("other-request"));

    let (mut state, now) = session(1);
    ask(&mut state, "rid='101'", "", now);
    let mut second = ask(&mut state, "rid='102'", "", now + Duration::from_secs(5));
    assert!(is_waiting(&mut second));
}

#[test]
fn who_polls_may_ask_again_at_once_when_something_came() {
    let (mut state, now) = session(0);
    assert_eq!(state.terms.inactivity, Duration::from_secs(70));
    say(&mut state, "<x/>", now);
    assert!(text(&mut ask(&mut state, "rid='101'", "", now)).ends_with("<x/></body>"));
    assert_eq!(text(&mut ask(&mut state, "rid='102'", "", now)), EMPTY);
    assert_eq!(text(&mut ask(&mut state, "rid='103'", "", now)), ended("policy-violation"));
}

#[test]
fn a_pause_releases_all_and_lengthens_the_silence() {
    let (mut state, now) = session(1);
    let mut held = ask(&mut state, "rid='101'", "", now);
    let mut pause = ask(&mut state, "rid='102' pause='100'", "", now);
    assert_eq!((text(&mut held).as_str(), text(&mut pause).as_str()), (EMPTY, EMPTY));
    assert_eq!(state.gone_at(), Some(now + Duration::from_secs(100)));
    let _held = ask(&mut state, "rid='103'", "", now);
    assert_eq!(state.gone_at(), None);
    state.expire(103, now + Duration::from_secs(60));
    assert_eq!(state.gone_at(), Some(now + Duration::from_secs(120)));
    assert!(!state.abandon(now + Duration::from_secs(119)));
    assert!(state.abandon(now + Duration::from_secs(120)));
}

#[test]
fn the_end_is_told_on_the_oldest_request() {
    let (mut state, now) = session(1);
    let mut held = ask(&mut state, "rid='101'", "", now);
    let mut end = ask(&mut state, "rid='102' type='terminate'", "<presence type='unavailable'/>", now);
    assert_eq!(text(&mut held), EMPTY);
    assert_eq!(
        heard(&mut state, now),
        [
            "<presence xmlns='jabber:client' type='unavailable'/>",
            "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
        ]
    );
    say(&mut state, "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", now);
    assert_eq!(text(&mut end), format!("<body xmlns='{BIND_NS}' type='terminate'/>"));
    assert!(state.close(now));
}

#[test]
fn a_stream_error_waits_for_the_next_request() {
    let (mut state, now) = session(1);
    say(&mut state, "<a/>", now);
    say(&mut state, "<stream:error xmlns:stream='s'><conflict/></stream:error>", now);
    assert!(!state.close(now), "nobody knows yet");
    let told = text(&mut ask(&mut state, "rid='101'", "<iq/>", now));
    assert!(told.contains("type='terminate' condition='remote-stream-error'"), "{told}");
    assert!(told.contains("<a/><stream:error "), "{told}");
    assert!(state.is_over());
}

#[test]
fn a_client_is_held_up_while_nobody_listens_to_it() {
    let (mut state, now) = session(1);
    let large = format!("<iq>{}</iq>", "x".repeat(70 << 10));
    let mut first = ask(&mut state, "rid='101'", &large, now);
    let mut second = ask(&mut state, "rid='102'", &large, now);
    assert!(is_waiting(&mut first), "more would come if it were answered");
    assert!(is_waiting(&mut second));
    while state.take_inbound(now).is_some() {}
    assert_eq!(text(&mut first), EMPTY);
    assert!(is_waiting(&mut second));
}

#[test]
fn what_waits_to_be_fetched_is_limited() {
    let (mut state, now) = session(1);
    say(&mut state, &format!("<a>{}</a>", "x".repeat(64 << 10)), now);
    assert!(state.is_full(now));
    ask(&mut state, "rid='101'", "<iq/>", now);
    assert!(!state.is_full(now));
}

/// A pause is answered at once, so that nothing else holds up whoever asks for one after the other.
#[test]
fn what_waits_to_be_read_is_limited() {
    let (mut state, now) = session(1);
    let large = format!("<iq>{}</iq>", "x".repeat(200 << 10));
    let answers = (101..200).map(|rid| text(&mut ask(&mut state, &format!("rid='{rid}' pause='1'"), &large, now)));
    let answers: Vec<String> = answers.take_while(|answer| !answer.contains("condition=")).collect();
    let bytes = answers.len() * large.len();
    assert!(((4 << 20)..=(4 << 20) + large.len()).contains(&bytes), "{bytes} bytes were taken");
    assert!(state.is_over());
}

#[test]
fn the_lower_version_is_spoken_and_numbers_are_numbers() {
    for (theirs, ours) in [("1.6", "1.6"), ("1.11", "1.11"), ("1.20", "1.11"), ("1.9", "1.9"), ("2.0", "1.11")] {
        let body = body(&format!("rid='1' ver='{theirs}'"), "");
        let terms = Terms::agree(&BoshOptions::default(), &body).unwrap();
        let (reply, mut first) = channel();
        let (mut state, _) = State::begin("sid".into(), terms, body, reply, Instant::now()).unwrap();
        say(&mut state, "<features/>", Instant::now());
        let told = text(&mut first);
        assert!(told.contains(&format!(" ver='{ours}'")), "{told}");
    }
    for wrong in ["1", "1.x", "", "1.6.1"] {
        assert!(Terms::agree(&BoshOptions::default(), &body(&format!("ver='{wrong}'"), "")).is_err(), "{wrong}");
    }
}

#[test]
fn the_ids_of_sessions_do_not_repeat() {
    let ids: std::collections::HashSet<String> = (0..100_000).map(|_| super::fresh_sid()).collect();
    assert_eq!(ids.len(), 100_000);
    assert!(ids.iter().all(|id| id.len() == 32));
}
