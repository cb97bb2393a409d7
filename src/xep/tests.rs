//! Who answers what, and what service discovery says of it.

use std::collections::BTreeSet;

use super::pubsub::tests::{Given, engine, messaging, policy};
use super::*;
use crate::pubsub::Verb;
use crate::xml::{Limits, parse_document};
use crate::xmpp::caps::Mark;

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
        ("other@b.example", RequestKind::Set, "<command xmlns='http://jabber.org/protocol/commands'/>"),
        ("b.example", RequestKind::Get, "<command xmlns='http://jabber.org/protocol/commands'/>"),
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
        assert!(personal && !services.is_empty(), "{target}");
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

fn server(options: Options) -> Xep {
    let domain = BareJid::parse("b.example").unwrap();
    let service = BareJid::parse("pubsub.b.example").unwrap();
    Xep::new(engine(), messaging(), vec![Host { domain, service }], options)
}

/// What a server says of itself, of a node where one is given.
async fn info(server: &Xep, node: Option<String>) -> Iq {
    let query = Element::new("query", "http://jabber.org/protocol/disco#info").with_attr_opt("node", node);
    let (id, to) = ("i".to_owned(), Some(Jid::parse("b.example").unwrap()));
    let asked = Iq { id, from: None, to, kind: IqKind::Get(query) };
    let answer = server.answer(Given::default().caller, asked).await.expect("an answer");
    let text = String::from_utf8(answer.iq.to_vec()).unwrap().replacen("<iq", "<iq xmlns='jabber:client'", 1);
    match crate::xmpp::Stanza::parse(xml(&text)) {
        Ok(crate::xmpp::Stanza::Iq(iq)) => iq,
        other => panic!("{other:?}"),
    }
}

/// XEP-0115 §6.3, XEP-0390 §5.2.
#[tokio::test]
async fn the_hashes_that_are_announced_are_those_of_what_is_answered() {
    let abuse = vec!["mailto:abuse@b.example".to_owned()];
    let contacts = Contacts { abuse, ..Contacts::default() };
    let server = server(Options { contacts, ..Options::default() });
    let announced = server.announced(&BareJid::parse("b.example").unwrap());
    let [older, newer] = announced.as_slice() else { panic!("{announced:?}") };
    let presence = |c: &Element| Element::new("presence", NS_CLIENT).with_child(c.clone());
    for (element, algorithm) in [(older, "sha-1"), (newer, "sha-256")] {
        let mark = Mark::of(&presence(element), &[algorithm]).expect("a mark");
        let IqKind::Result(Some(answer)) = info(&server, Some(mark.node.clone())).await.kind else {
            panic!("nothing is answered to {}", mark.node);
        };
        assert_eq!(answer.attr("node"), Some(&*mark.node));
        let hash = crate::messaging::capabilities_hash(mark.form, &mark.algorithm, &answer);
        assert_eq!(hash.as_ref(), Some(&mark.hash));
        let IqKind::Result(Some(plain)) = info(&server, None).await.kind else { panic!("no answer") };
        assert_eq!(plain.children().collect::<Vec<_>>(), answer.children().collect::<Vec<_>>());
        assert!(plain.children().any(|child| child.is("x", "jabber:x:data")));
        let of_another = info(&server, Some(format!("{}x", mark.node))).await.kind;
        assert!(matches!(of_another, IqKind::Error(..)));
    }
    assert!(server.announced(&BareJid::parse("elsewhere.example").unwrap()).is_empty());
}

#[tokio::test]
async fn registration_is_told_of_where_something_of_it_is_done() {
    for (change_password, remove_account, register, told) in [
        (false, false, false, false),
        (true, false, false, true),
        (false, true, false, true),
        (false, false, true, true),
    ] {
        let server = server(Options { change_password, remove_account, register, ..Options::default() });
        let IqKind::Result(Some(answer)) = info(&server, None).await.kind else { panic!("no answer") };
        assert_eq!(crate::xmpp::caps::features(&answer).any(|feature| feature == "jabber:iq:register"), told);
    }
}

/// XEP-0012 §5.
#[test]
fn a_server_tells_for_how_long_it_has_been_running() {
    for target in ["b.example", "pubsub.b.example"] {
        let given = Given { target, kind: RequestKind::Get, ..Given::default() };
        let Ok(Work::Done(Body::Element(query))) = given.work("<query xmlns='jabber:iq:last'/>") else {
            panic!("no answer of {target}");
        };
        assert_eq!((query.attr("seconds"), query.text()), (Some("90"), String::new()));
    }
}
