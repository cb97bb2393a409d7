//! What is advertised is what works.

use std::collections::BTreeSet;

use super::*;
use crate::pubsub::{Expire, SubscriptionOptions, SubscriptionPolicy};

/// Which feature tells of a verb, and an example of it (XEP-0060 §10).
const EXAMPLES: &[(&str, RequestKind, &str, &str)] = &[
    (NS_PUBSUB, RequestKind::Set, "create-nodes", "<create node='n'/>"),
    (NS_PUBSUB, RequestKind::Set, "publish", "<publish node='n'><item id='i'><x xmlns='urn:x'/></item></publish>"),
    (NS_PUBSUB, RequestKind::Set, "delete-items", "<retract node='n'><item id='i'/></retract>"),
    (NS_PUBSUB, RequestKind::Set, "subscribe", "<subscribe node='n' jid='a@b.example'/>"),
    (NS_PUBSUB, RequestKind::Set, "subscribe", "<unsubscribe node='n' jid='a@b.example'/>"),
    (NS_PUBSUB, RequestKind::Get, "subscription-options", "<options node='n' jid='a@b.example'/>"),
    (
        NS_PUBSUB,
        RequestKind::Set,
        "subscription-options",
        "<options node='n' jid='a@b.example'><x xmlns='jabber:x:data' type='submit'/></options>",
    ),
    (NS_PUBSUB, RequestKind::Get, "retrieve-default-sub", "<default/>"),
    (NS_PUBSUB, RequestKind::Get, "retrieve-items", "<items node='n'/>"),
    (NS_PUBSUB, RequestKind::Get, "retrieve-subscriptions", "<subscriptions/>"),
    (NS_PUBSUB, RequestKind::Get, "retrieve-affiliations", "<affiliations/>"),
    (NS_OWNER, RequestKind::Get, "config-node", "<configure node='n'/>"),
    (
        NS_OWNER,
        RequestKind::Set,
        "config-node",
        "<configure node='n'><x xmlns='jabber:x:data' type='submit'/></configure>",
    ),
    (NS_OWNER, RequestKind::Get, "retrieve-default", "<default/>"),
    (NS_OWNER, RequestKind::Set, "delete-nodes", "<delete node='n'/>"),
    (NS_OWNER, RequestKind::Set, "collections", "<collection node='n'><associate node='m'/></collection>"),
    (NS_OWNER, RequestKind::Set, "purge-nodes", "<purge node='n'/>"),
    (NS_OWNER, RequestKind::Get, "manage-subscriptions", "<subscriptions node='n'/>"),
    (NS_OWNER, RequestKind::Set, "manage-subscriptions", "<subscriptions node='n'/>"),
    (NS_OWNER, RequestKind::Get, "modify-affiliations", "<affiliations node='n'/>"),
    (NS_OWNER, RequestKind::Set, "modify-affiliations", "<affiliations node='n'/>"),
];

/// Features that tell how a verb is understood rather than that it is.
fn manners() -> BTreeSet<&'static str> {
    let mut manners = BTreeSet::new();
    let config = NodeConfig::new(&policy());
    let mut holds = |feature: &'static str, is_so: bool| {
        assert!(is_so, "{feature}");
        manners.insert(feature);
    };
    holds("access-open", config.access_model == AccessModel::Open);
    let configured =
        "<create node='n'/><configure>{}</configure>".replace("{}", &form_of("submit", NS_NODE_CONFIG, TITLE));
    holds("create-and-configure", matches!(set(&configured), Ok(Verb::Create { config, .. }) if config.len() == 1));
    holds("instant-nodes", matches!(set("<create/>"), Ok(Verb::Create { node: None, .. })));
    let published = "<publish node='n'><item id='i'/></publish>";
    holds("item-ids", matches!(set(published), Ok(Verb::Publish { items, .. }) if items[0].id == Some(item("i"))));
    for (feature, affiliation) in [
        ("member-affiliation", Affiliation::Member),
        ("outcast-affiliation", Affiliation::Outcast),
        ("publisher-affiliation", Affiliation::Publisher),
        ("publish-only-affiliation", Affiliation::PublishOnly),
    ] {
        let word = feature.strip_suffix("-affiliation").unwrap();
        let changed =
            owner_set(&format!("<affiliations node='n'><affiliation jid='c@d' affiliation='{word}'/></affiliations>"));
        holds(feature, matches!(changed, Ok(Verb::SetAffiliations { changes, .. }) if changes[0].1 == affiliation));
    }
    let fields = form::metadata(&a_node(), &[]).fields;
    holds("meta-data", fields.iter().any(|field| field.name.as_deref() == Some("pubsub#creator")));
    let several = config.with(&[field("max_items", &["20"])], &policy());
    holds("multi-items", several.is_ok_and(|config| config.max_items == 20));
    let lease = [field("expire", &["2038-01-01T00:00:00Z"])];
    let leased = SubscriptionOptions::default().with(&lease, &policy().subscriptions, Timestamp(0));
    holds("leased-subscription", leased.is_ok_and(|leased| matches!(leased.expire, Expire::At(_))));
    holds("persistent-items", config.persist_items);
    let several = field("collection", &["a", "b"]);
    let several = crate::pubsub::Request {
        caller: Given::default().caller,
        service: policy().service,
        verb: Verb::Configure { node: node("n"), config: vec![several] },
    };
    holds("multi-collections", crate::pubsub::named(&several).is_some_and(|nodes| nodes.len() == 2));
    let available = config.with(&[field("presence_based_delivery", &["1"])], &policy());
    holds("presence-notifications", available.is_ok_and(|config| config.presence_based_delivery));
    let command = "http://jabber.org/protocol/pubsub#get-pending";
    holds("get-pending", crate::xep::commands::all().any(|offered| offered.node == command));
    let ago = crate::xml::Element::new("ago", "urn:xmpp:ago:0").with_attr("secs", "60");
    let came = crate::xml::Element::new("presence", crate::xmpp::NS_CLIENT).with_child(ago);
    let came = match crate::xmpp::Stanza::parse(came) {
        Ok(crate::xmpp::Stanza::Presence(came)) => came,
        _ => unreachable!("it is a presence"),
    };
    holds("since", crate::xep::since::away_seconds(&came) == Some(60));
    let refuses = config.with(&[field("publish_node_full", &["reject"])], &policy());
    holds("publish-node-full", refuses.is_ok_and(|config| config.node_full == crate::pubsub::NodeFull::Reject));
    let state = crate::pubsub::SubscriptionState::Subscribed;
    let subscription =
        Subscription { jid: jid_of("c@d"), subid: SubId("s".into()), state, options: SubscriptionOptions::standard() };
    let change = [crate::pubsub::Change::SetSubscription { subscription }];
    holds("subscription-notifications", !crate::pubsub::notices(&config, None, &change).is_empty());
    let options = form_of("submit", NS_PUBLISH_OPTIONS, TITLE);
    let with_options = format!("<publish node='n'/><publish-options>{options}</publish-options>");
    holds(
        "publish-options",
        matches!(set(&with_options), Ok(Verb::Publish { options: Some(options), .. }) if options.len() == 1),
    );
    let told = set("<retract node='n' notify='true'><item id='i'/></retract>");
    holds("retract-items", matches!(told, Ok(Verb::Retract { notify: Some(true), .. })));
    let paged = get("<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><max>3</max></set>");
    holds("rsm", matches!(paged, Ok(Verb::Items { page: Page { max: 3, .. }, .. })));
    manners
}

// rows: 10, 22, 76, 459, 472, 164, 187, 463, 478, 483, 487, 488, 536, 204, 224, 261, 271, 306, 308, 329, 337, 445, 447, 453, 454, 455, 456, 457, 460, 461, 464,
// 465, 466, 467, 468, 470, 471, 474, 475, 476, 477, 479, 480, 481, 482, 484, 485, 486, 489
#[test]
fn the_features_that_are_advertised_are_those_that_work() {
    for spelling in VERBS {
        let example = |(ns, kind, _, words): &(&str, RequestKind, &str, &str)| {
            *ns == spelling.ns && *kind == spelling.kind && words.starts_with(&format!("<{}", spelling.name))
        };
        assert!(EXAMPLES.iter().any(example), "{} has no example", spelling.name);
    }
    let mut expected = manners();
    for (ns, kind, feature, words) in EXAMPLES {
        let given = Given { kind: *kind, ..Given::default() };
        assert!(given.work(&within(ns, words)).is_ok(), "{words}");
        expected.insert(feature);
    }
    let prefix = format!("{NS_PUBSUB}#");
    let advertised = features(Entity::Service, &policy());
    let advertised: BTreeSet<&str> = advertised.iter().filter_map(|var| var.strip_prefix(&prefix)).collect();
    assert_eq!(advertised, expected);
}

// rows: 141, 469
#[test]
fn several_subscriptions_are_advertised_when_they_are_taken() {
    let var = "http://jabber.org/protocol/pubsub#multi-subscribe";
    assert!(!features(Entity::Service, &policy()).contains(&var));
    let several = SubscriptionPolicy { multi_subscribe: true, ..SubscriptionPolicy::default() };
    assert!(features(Entity::Service, &ServicePolicy { subscriptions: several, ..policy() }).contains(&var));
}

// rows: 261, 451
#[test]
fn automatic_creation_is_advertised_when_it_is_on() {
    let var = "http://jabber.org/protocol/pubsub#auto-create";
    assert!(!features(Entity::Service, &policy()).contains(&var));
    assert!(features(Entity::Service, &ServicePolicy { auto_create: true, ..policy() }).contains(&var));
}
