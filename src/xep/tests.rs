//! Who answers what, and what service discovery says of it.

use std::collections::BTreeSet;

use super::pubsub::tests::{Given, policy};
use super::*;
use crate::pubsub::Verb;
use crate::xml::{Limits, parse_document};

fn xml(text: &str) -> Element {
    parse_document(text.as_bytes(), &Limits::authenticated()).expect(text)
}

#[test]
fn every_claim_is_made_once() {
    let mut claimed = BTreeSet::new();
    for claim in EXTENSIONS.iter().flat_map(|extension| extension.claims) {
        for (kind, at) in claim.kinds.iter().flat_map(|kind| claim.at.iter().map(move |at| (kind, at))) {
            assert!(claimed.insert(format!("{} {} {kind:?} {at:?}", claim.name, claim.ns)), "{}", claim.name);
        }
    }
    let numbers: Vec<u16> = EXTENSIONS.iter().map(|extension| extension.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn every_feature_that_is_a_claimed_namespace_is_claimed_where_it_is_advertised() {
    let claims = || EXTENSIONS.iter().flat_map(|extension| extension.claims);
    for feature in EXTENSIONS.iter().flat_map(|extension| extension.features) {
        let at: Vec<Entity> =
            claims().filter(|claim| claim.ns == feature.var).flat_map(|claim| claim.at).copied().collect();
        // Nodes are asked by way of their service.
        let advertised = feature.of.iter().filter(|entity| **entity != Entity::Node);
        // What the server does for its users is asked of their accounts (XEP-0191 §3.1, XEP-0280 §3).
        let claimed =
            |entity: &Entity| at.contains(entity) || *entity == Entity::Server && at.contains(&Entity::Account);
        assert!(at.is_empty() || advertised.clone().all(claimed), "{}", feature.var);
    }
    // That there are rosters is told by what a server is; of their versions the stream tells.
    for claim in claims().filter(|claim| ![pubsub::NS_OWNER, "jabber:iq:roster"].contains(&claim.ns)) {
        for at in claim.at {
            let told = |entity: Entity| features(entity, &policy()).contains(&claim.ns);
            assert!(told(*at) || told(Entity::Server), "{} at {at:?} is not advertised", claim.ns);
        }
    }
}

#[test]
fn no_feature_is_advertised_twice() {
    for entity in [Entity::Server, Entity::Service, Entity::Node, Entity::Account] {
        let all = features(entity, &policy());
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{entity:?}");
    }
}

#[test]
fn a_request_is_answered_by_whom_it_is_addressed_to() {
    let caller = Given::default().caller;
    let host = |name: &str| Host {
        domain: BareJid::parse(name).unwrap(),
        service: BareJid::parse(&format!("pubsub.{name}")).unwrap(),
    };
    let hosts = [host("b.example"), host("c.example")];
    let own = || Some(Target::Account(BareJid::parse("a@b.example").unwrap()));
    for (to, target) in [
        (None, own()),
        (Some("a@b.example"), own()),
        (Some("A@B.example"), own()),
        (Some("b.example"), Some(Target::Server(hosts[0].clone()))),
        (Some("c.example"), Some(Target::Server(hosts[1].clone()))),
        (Some("pubsub.c.example"), Some(Target::Service(hosts[1].service.clone()))),
        (Some("pubsub.b.example/node"), None),
        (Some("other@b.example"), Some(Target::Contact(BareJid::parse("other@b.example").unwrap()))),
        (Some("other@elsewhere.example"), None),
        (Some("other@pubsub.b.example"), None),
        (Some("a@b.example/home"), None),
        (Some("elsewhere.example"), None),
    ] {
        let to = to.map(|to| Jid::parse(to).unwrap());
        assert_eq!(Target::of(&hosts, &caller, to.as_ref()), target, "{to:?}");
    }
}

#[test]
fn what_nobody_claims_is_unavailable() {
    for (target, kind, element) in [
        ("b.example", RequestKind::Get, "<query xmlns='jabber:iq:unheard-of'/>"),
        ("b.example", RequestKind::Set, "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        ("a@b.example", RequestKind::Set, "<command xmlns='http://jabber.org/protocol/commands'/>"),
        ("b.example", RequestKind::Get, "<command xmlns='http://jabber.org/protocol/commands'/>"),
        ("b.example", RequestKind::Get, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>"),
        ("other@b.example", RequestKind::Get, "<ping xmlns='urn:xmpp:ping'/>"),
        ("other@b.example", RequestKind::Set, "<enable xmlns='urn:xmpp:carbons:2'/>"),
        ("a@b.example", RequestKind::Get, "<query xmlns='jabber:iq:version'/>"),
    ] {
        let error = Given { target, kind, ..Given::default() }.work(element).err().expect(element);
        assert_eq!(error.condition, Condition::ServiceUnavailable, "{element} at {target}");
    }
}

fn said(target: &'static str, element: &str) -> Element {
    match (Given { target, kind: RequestKind::Get, ..Given::default() }).work(element) {
        Ok(Work::Done(Body::Element(element))) => element,
        _ => panic!("{element} at {target} is answered at once"),
    }
}

fn vars(query: &Element) -> Vec<&str> {
    query.children().filter(|child| child.name() == "feature").filter_map(|feature| feature.attr("var")).collect()
}

const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";

// rows: 9, 74, 75, 76, 77, 558
#[test]
fn a_service_says_what_it_is_and_what_it_can() {
    let query = said("pubsub.b.example", INFO);
    let identity = query.child("identity", disco::NS_INFO).unwrap();
    assert_eq!((identity.attr("category"), identity.attr("type")), (Some("pubsub"), Some("service")));
    assert_eq!(vars(&query), features(Entity::Service, &policy()));
    for var in ["http://jabber.org/protocol/pubsub", disco::NS_INFO, disco::NS_ITEMS, "http://jabber.org/protocol/rsm"]
    {
        assert!(vars(&query).contains(&var), "{var}");
    }
}

#[test]
fn a_server_and_an_account_say_what_they_are() {
    for (target, category, kind) in [("b.example", "server", "im"), ("a@b.example", "account", "registered")] {
        let query = said(target, INFO);
        let identity = query.child("identity", disco::NS_INFO).unwrap();
        assert_eq!((identity.attr("category"), identity.attr("type")), (Some(category), Some(kind)));
        assert!(vars(&query).contains(&disco::NS_INFO));
        let personal = query.children().any(|child| child.attr("type") == Some("pep"));
        let services: Vec<&str> = vars(&query).into_iter().filter(|var| var.contains("pubsub")).collect();
        assert_eq!((personal, services.is_empty()), (category == "account", category != "account"), "{target}");
    }
}

#[test]
fn a_server_lists_its_service() {
    let query = said("b.example", "<query xmlns='http://jabber.org/protocol/disco#items'/>");
    let jids: Vec<_> = query.children().map(|item| item.attr("jid").unwrap()).collect();
    assert_eq!(jids, ["pubsub.b.example"]);
}

#[test]
fn a_node_that_no_entity_has_is_not_found() {
    for ns in [disco::NS_INFO, disco::NS_ITEMS] {
        let asked = Given { target: "b.example", kind: RequestKind::Get, ..Given::default() };
        let error = asked.work(&format!("<query xmlns='{ns}' node='n'/>")).err().unwrap();
        assert_eq!(error.condition, Condition::ItemNotFound);
    }
}

// rows: 72, 78, 79, 82, 83
#[test]
fn questions_about_nodes_go_to_the_engine() {
    let verb = |element: &str| Given { kind: RequestKind::Get, ..Given::default() }.verb(element);
    let asked = verb("<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>").unwrap();
    assert!(matches!(asked, Verb::Metadata { node } if node.as_str() == "n"));
    let asked = verb("<query xmlns='http://jabber.org/protocol/disco#items' node='n'/>").unwrap();
    assert!(matches!(asked, Verb::Items { node, .. } if node.as_str() == "n"));
    let asked = verb(
        "<query xmlns='http://jabber.org/protocol/disco#items'>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>5000</max></set></query>",
    );
    assert!(matches!(asked.unwrap(), Verb::Nodes { page } if page.max == 1000));
}

#[test]
fn software_tells_its_name_and_version_and_nothing_else() {
    let query = said("pubsub.b.example", "<query xmlns='jabber:iq:version'/>");
    let words: Vec<_> = query.children().map(|child| (child.name(), child.text())).collect();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    assert_eq!(words, [("name", "Tidings".to_owned()), ("version", version)]);
}

#[test]
fn everybody_answers_a_ping() {
    for target in ["b.example", "pubsub.b.example", "a@b.example"] {
        let asked = Given { target, kind: RequestKind::Get, ..Given::default() };
        assert!(matches!(asked.work("<ping xmlns='urn:xmpp:ping'/>"), Ok(Work::Done(Body::Empty))), "{target}");
    }
}

#[test]
fn an_answer_is_addressed_back_and_keeps_its_id() {
    let envelope = Envelope {
        id: "a'<b".to_owned(),
        from: Jid::parse("pubsub.b.example").ok(),
        to: Jid::parse("a@b.example/o'neil").ok(),
    };
    let iq = |bytes: &Bytes| {
        let framed = [b"<s xmlns='jabber:client'>", &bytes[..], b"</s>"].concat();
        let frame = xml(std::str::from_utf8(&framed).unwrap());
        crate::xmpp::Stanza::parse(frame.children().next().unwrap().clone()).unwrap()
    };
    let expect = |kind: IqKind| {
        crate::xmpp::Stanza::Iq(Iq {
            id: envelope.id.clone(),
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            kind,
        })
    };
    let element = || Element::new("query", "urn:x").with_child(Element::new("y", "urn:y"));
    assert_eq!(iq(&envelope.result(&Body::Empty)), expect(IqKind::Result(None)));
    assert_eq!(iq(&envelope.result(&Body::Element(element()))), expect(IqKind::Result(Some(element()))));
    let written = Body::Written(element().to_bytes());
    assert_eq!(iq(&envelope.result(&written)), expect(IqKind::Result(Some(element()))));
    let error = StanzaError::new(Condition::Conflict).with_text("no");
    let trouble = Trouble { error: error.clone(), beside: Some(element()) };
    assert_eq!(iq(&envelope.error(&trouble)), expect(IqKind::Error(error, Some(element()))));
}
