//! XML in, request out; answer in, XML out: what the files beside this one share.

mod answers;
mod end_to_end;
mod features;
mod requests;

use std::sync::Arc;

use super::*;
use crate::engine::{Answer, Answered, Position};
use crate::jid::BareJid;
use crate::messaging::Messaging;
use crate::pubsub::{
    Affiliation, Caller, Edge, FIELDS, Node, NodeAddress, NodeKey, Page, Precondition, Published, Reply, Role,
    Selection, Seq, Subscription, SubscriptionState, Under, Verb, View, WhoCreates,
};
use crate::store::List;
use crate::time::Timestamp;
use crate::xep::{Body, Host, Options, Target, features};
use crate::xml::{Limits, parse_document};
use crate::xmpp::{NS_RSM, SetResult};

pub(in crate::xep) fn policy() -> ServicePolicy {
    ServicePolicy {
        service: BareJid::parse("pubsub.b.example").unwrap(),
        who_creates: WhoCreates::Accounts,
        auto_create: false,
        templates: std::sync::Arc::default(),
        payload_bytes_max: 100_000,
        items_max: 10_000,
        children_max: 1000,
        parents_max: 16,
        of_server: false,
        batch_items_max: 16,
        attached_items_max: 16,
        subscriptions: crate::pubsub::SubscriptionPolicy::default(),
    }
}

/// A request, but for its element.
pub(in crate::xep) struct Given {
    pub(in crate::xep) caller: Caller,
    pub(in crate::xep) target: &'static str,
    pub(in crate::xep) kind: RequestKind,
}

impl Default for Given {
    fn default() -> Self {
        let caller = Caller { jid: Jid::parse("a@b.example/home").unwrap(), role: Role::Account };
        Given { caller, target: "pubsub.b.example", kind: RequestKind::Set }
    }
}

/// Instant messaging with nobody in it.
pub(in crate::xep) fn messaging() -> Messaging {
    Messaging::new(engine(), Default::default())
}

/// An engine whose turns nobody runs.
pub(in crate::xep) fn engine() -> crate::engine::Engine {
    let store = Arc::new(crate::store::memory::MemoryStore::new());
    crate::engine::Engine::new(store, Arc::new(crate::time::SystemClock), Default::default()).0
}

impl Given {
    pub(in crate::xep) fn work(&self, element: &str) -> Result<Work, StanzaError> {
        let host =
            Host { domain: BareJid::parse("b.example").unwrap(), service: BareJid::parse("pubsub.b.example").unwrap() };
        let hosts = [host];
        let to = Jid::parse(self.target).unwrap();
        let asked = Asked {
            caller: self.caller.clone(),
            target: Target::of(&hosts, &self.caller, Some(&to)).unwrap(),
            kind: self.kind,
            element: parse_document(element.as_bytes(), &Limits::authenticated()).expect(element),
            policy: policy(),
            hosts: &hosts,
            messaging: &messaging(),
            engine: &engine(),
            access: None,
            now: Timestamp::from_seconds(1_000_000_000),
            started: Timestamp::from_seconds(1_000_000_000 - 90),
            options: &Options::default(),
        };
        asked.work()
    }

    /// What the engine is asked.
    pub(in crate::xep) fn verb(&self, element: &str) -> Result<Verb, StanzaError> {
        match self.work(element)? {
            Work::Ask(ask) => {
                assert_eq!(
                    (ask.request.caller, ask.request.service.as_str()),
                    (self.caller.clone(), "pubsub.b.example")
                );
                Ok(ask.request.verb)
            }
            Work::Done(_) | Work::Command(_) | Work::Wait(_) => panic!("{element} needs no engine"),
        }
    }
}

fn within(ns: &str, words: &str) -> String {
    format!("<pubsub xmlns='{ns}'>{words}</pubsub>")
}

fn set(words: &str) -> Result<Verb, StanzaError> {
    Given::default().verb(&within(NS_PUBSUB, words))
}

fn get(words: &str) -> Result<Verb, StanzaError> {
    Given { kind: RequestKind::Get, ..Given::default() }.verb(&within(NS_PUBSUB, words))
}

fn owner_set(words: &str) -> Result<Verb, StanzaError> {
    Given::default().verb(&within(NS_OWNER, words))
}

fn owner_get(words: &str) -> Result<Verb, StanzaError> {
    Given { kind: RequestKind::Get, ..Given::default() }.verb(&within(NS_OWNER, words))
}

/// Verbs have no equality of their own; what they show is all that they are.
#[track_caller]
fn assert_verb(got: Result<Verb, StanzaError>, expected: &Verb) {
    assert_eq!(format!("{:?}", got.expect("a request")), format!("{expected:?}"));
}

/// condition, type, and the condition of XEP-0060.
#[track_caller]
fn assert_error(got: Result<Verb, StanzaError>, condition: &str, kind: &str, application: &str) {
    let error = got.expect_err("an error");
    let words: Vec<String> = error
        .application
        .iter()
        .map(|word| match word.attr("feature") {
            Some(feature) => format!("{} {feature}", word.name()),
            None => word.name().to_owned(),
        })
        .collect();
    assert_eq!((error.condition.name(), error.kind.as_str(), words.join(" ").as_str()), (condition, kind, application));
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn item(name: &str) -> ItemId {
    ItemId::parse(name).unwrap()
}

fn jid_of(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn field(name: &str, values: &[&str]) -> RawField {
    RawField { name: name.to_owned(), values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn form_of(kind: &str, form_type: &str, fields: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='{kind}'><field var='FORM_TYPE' type='hidden'><value>{form_type}</value></field>\
         {fields}</x>"
    )
}

const TITLE: &str = "<field var='pubsub#title'><value>T</value></field>";

pub(in crate::xep::pubsub) fn a_node() -> Node {
    let service = BareJid::parse("pubsub.b.example").unwrap();
    let fields = [field("title", &["Orders"]), field("contact", &["help@b.example"])];
    Node {
        key: NodeKey(7),
        address: NodeAddress { service, node: node("n") },
        config: Arc::new(NodeConfig::new(&policy()).with(&fields, &policy()).unwrap()),
        creator: BareJid::parse("a@b.example").unwrap(),
        created: Timestamp::from_seconds(0),
        last_seq: Seq(3),
        floor_seq: Seq(1),
        items: 3,
        owners: 1,
        subscribers: 0,
        version: 4,
    }
}
