//! Every field set and got, every bad value refused, and what is kept read again.

use proptest::prelude::*;

use super::fields::{CONTACTS_MAX, EXPIRE_SECONDS_MAX, GROUPS_MAX, TEXT_BYTES_MAX};
use super::*;
use crate::pubsub::world::World;

fn policy() -> ServicePolicy {
    World::new().policy
}

fn set(name: &str, values: &[&str]) -> Result<NodeConfig, Refusal> {
    let values = values.iter().map(|value| value.to_string()).collect();
    NodeConfig::new(&policy()).with(&[RawField { name: name.to_owned(), values }], &policy())
}

fn got(name: &str, values: &[&str]) -> Vec<String> {
    Field::named(name).unwrap().values(&set(name, values).unwrap())
}

/// Field, values submitted, values got. Two rows for each field at least, so that one of them
/// is not its default.
const TAKEN: &[(&str, &[&str], &[&str])] = &[
    ("title", &["A"], &["A"]),
    ("title", &[], &[""]),
    ("description", &["two\nlines"], &["two\nlines"]),
    ("description", &[""], &[""]),
    ("type", &["http://www.w3.org/2005/Atom"], &["http://www.w3.org/2005/Atom"]),
    ("type", &[""], &[""]),
    ("language", &["en"], &["en"]),
    ("language", &[""], &[""]),
    ("contact", &["romeo@d", "Juliet@D/x"], &["romeo@d", "juliet@d/x"]),
    ("contact", &[], &[]),
    ("contact", &[""], &[]),
    ("access_model", &["whitelist"], &["whitelist"]),
    ("access_model", &["open"], &["open"]),
    ("access_model", &["presence"], &["presence"]),
    ("access_model", &["roster"], &["roster"]),
    ("access_model", &["authorize"], &["authorize"]),
    ("roster_groups_allowed", &["Friends", "Work mates"], &["Friends", "Work mates"]),
    ("roster_groups_allowed", &[""], &[]),
    ("item_expire", &["60"], &["60"]),
    ("item_expire", &["max"], &["max"]),
    ("publish_node_full", &["reject"], &["reject"]),
    ("publish_node_full", &["discard-oldest"], &["discard-oldest"]),
    ("publish_node_full", &["retract-oldest"], &["retract-oldest"]),
    ("itemreply", &["none"], &["none"]),
    ("itemreply", &["owner"], &["owner"]),
    ("itemreply", &["publisher"], &["publisher"]),
    ("deliver_notifications", &["0"], &["0"]),
    ("deliver_notifications", &["1"], &["1"]),
    ("presence_based_delivery", &["1"], &["1"]),
    ("presence_based_delivery", &["0"], &["0"]),
    ("purge_offline", &["1"], &["1"]),
    ("purge_offline", &["0"], &["0"]),
    ("notify_sub", &["1"], &["1"]),
    ("tempsub", &["true"], &["1"]),
    ("node_type", &["collection"], &["collection"]),
    ("node_type", &["leaf"], &["leaf"]),
    ("children_association_policy", &["all"], &["all"]),
    ("children_association_policy", &["whitelist"], &["whitelist"]),
    ("children_association_policy", &[""], &["owners"]),
    ("children_association_whitelist", &["romeo@d", "Juliet@D/x"], &["romeo@d", "juliet@d"]),
    ("children_association_whitelist", &[""], &[]),
    ("children_max", &["7"], &["7"]),
    ("children_max", &["max"], &["1000"]),
    ("children_max", &[""], &["1000"]),
    ("tempsub", &["0"], &["0"]),
    ("notify_sub", &["0"], &["0"]),
    ("hidden", &["1"], &["1"]),
    ("hidden", &["0"], &["0"]),
    ("publish_model", &["subscribers"], &["subscribers"]),
    ("publish_model", &["open"], &["open"]),
    ("publish_model", &["publishers"], &["publishers"]),
    ("persist_items", &["0"], &["0"]),
    ("persist_items", &["true"], &["1"]),
    ("max_items", &["1"], &["1"]),
    ("max_items", &["50"], &["50"]),
    ("max_items", &["max"], &["50"]),
    ("deliver_payloads", &["false"], &["0"]),
    ("deliver_payloads", &["1"], &["1"]),
    ("max_payload_size", &["1"], &["1"]),
    ("max_payload_size", &["1000"], &["1000"]),
    ("notify_config", &["1"], &["1"]),
    ("notify_config", &["0"], &["0"]),
    ("notify_delete", &["0"], &["0"]),
    ("notify_delete", &["1"], &["1"]),
    ("notify_retract", &["0"], &["0"]),
    ("notify_retract", &["1"], &["1"]),
    ("notification_type", &["normal"], &["normal"]),
    ("notification_type", &["headline"], &["headline"]),
    ("send_last_published_item", &["never"], &["never"]),
    ("send_last_published_item", &["on_sub"], &["on_sub"]),
    ("send_last_published_item", &["on_sub_and_presence"], &["on_sub_and_presence"]),
    ("subscribe", &["0"], &["0"]),
    ("subscribe", &["1"], &["1"]),
];

/// Field, and values that it does not take.
const REFUSED: &[(&str, &[&str])] = &[
    ("title", &["a", "b"]),
    ("title", &["\u{1}"]),
    ("description", &["\0"]),
    ("type", &["\u{ffff}"]),
    ("language", &["en", "de"]),
    ("contact", &["@"]),
    ("contact", &["a@b", "romeo d"]),
    ("access_model", &["friends"]),
    ("roster_groups_allowed", &["\u{1}"]),
    ("item_expire", &["0"]),
    ("item_expire", &["3155760001"]),
    ("item_expire", &["soon"]),
    ("publish_node_full", &["burst"]),
    ("itemreply", &["owners"]),
    ("deliver_notifications", &["no"]),
    ("presence_based_delivery", &[""]),
    ("notify_sub", &["2"]),
    ("hidden", &["yes"]),
    ("pubsub#hidden", &["1"]),
    ("tidings#title", &["a"]),
    ("collection", &["parent"]),
    ("children", &["a"]),
    ("children_max", &["1001"]),
    ("children_association_policy", &["friends"]),
    ("children_association_whitelist", &["@"]),
    ("node_type", &["branch"]),
    ("body_xslt", &["https://example.org/body.xsl"]),
    ("dataform_xslt", &["https://example.org/form.xsl"]),
    ("purge_offline", &["2"]),
    ("tempsub", &["always"]),
    ("access_model", &["Open"]),
    ("access_model", &[]),
    ("publish_model", &["everyone"]),
    ("persist_items", &["yes"]),
    ("persist_items", &["1", "1"]),
    ("max_items", &["0"]),
    ("max_items", &["51"]),
    ("max_items", &["-1"]),
    ("max_items", &["18446744073709551616"]),
    ("max_items", &["many"]),
    ("deliver_payloads", &[]),
    ("max_payload_size", &["0"]),
    ("max_payload_size", &["1001"]),
    ("max_payload_size", &["max"]),
    ("notify_config", &["TRUE"]),
    ("notify_delete", &[""]),
    ("notify_retract", &["2"]),
    ("notification_type", &["chat"]),
    ("send_last_published_item", &["on_presence"]),
    ("subscribe", &["maybe"]),
    ("node_type", &[]),
    ("pubsub#", &["1"]),
    ("", &["1"]),
];

// rows: 168, F1, F3, F5, F6, F7, F8, F9, F10, F18, F20, F22, F24, F11, F12, F14, F15, F16, F17, F19, F21, F25, F27, F28, F29
#[test]
fn every_field_is_set_and_got() {
    for (name, values, expected) in TAKEN {
        assert_eq!(got(name, values), *expected, "{name} {values:?}");
        let prefixed = Field::named(name).unwrap().var();
        assert_eq!(set(&prefixed, values), set(name, values), "{prefixed}");
    }
    for field in FIELDS {
        let default = field.values(&NodeConfig::new(&policy()));
        let other = |row: &&(&str, &[&str], &[&str])| row.0 == field.name && *row.2 != default;
        assert!(TAKEN.iter().any(|row| other(&row)), "no other value of {} was tried", field.name);
    }
}

/// A field is set alone: the others are as they were.
#[test]
fn a_field_changes_no_other() {
    for (name, values, _) in TAKEN {
        let changed = set(name, values).unwrap();
        for other in FIELDS.iter().filter(|field| field.name != *name) {
            assert_eq!(other.values(&changed), other.values(&NodeConfig::new(&policy())), "{name} {}", other.name);
        }
    }
}

// rows: 302, 324, 552
#[test]
fn every_bad_value_is_refused_by_name() {
    for (name, values) in REFUSED {
        let Err(Refusal::InvalidConfig { field, .. }) = set(name, values) else { panic!("{name} {values:?}") };
        assert_eq!(&*field, RawField { name: name.to_string(), values: vec![] }.bare_name());
    }
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert!(set("title", &[&long]).is_err() && set("title", &[&long[1..]]).is_ok());
    assert!(set("roster_groups_allowed", &["a"; GROUPS_MAX + 1]).is_err());
    assert!(set("item_expire", &[&EXPIRE_SECONDS_MAX.to_string()]).is_ok());
    assert!(set("contact", &["a@b"; CONTACTS_MAX + 1]).is_err() && set("contact", &["a@b"; CONTACTS_MAX]).is_ok());
}

/// Clients send whole forms, with fields that are not offered here: one that asks for nothing else than
/// what is so anyway does no harm.
#[test]
fn a_field_that_cannot_be_set_takes_what_holds_anyway() {
    for (name, values, _) in FIXED {
        for value in *values {
            assert_eq!(set(name, &[value]), Ok(NodeConfig::new(&policy())), "{name} {value:?}");
        }
        assert!(set(name, &["something", "else"]).is_err() && set(name, &["else"]).is_err(), "{name}");
        assert!(Field::named(name).is_none(), "{name} is offered");
    }
}

#[test]
fn one_bad_field_leaves_all_as_they_were() {
    let good = RawField { name: "title".to_owned(), values: vec!["x".to_owned()] };
    let bad = RawField { name: "max_items".to_owned(), values: vec!["0".to_owned()] };
    assert!(NodeConfig::new(&policy()).with(&[good, bad], &policy()).is_err());
}

#[test]
fn what_is_kept_is_read_again() {
    for (name, values, _) in TAKEN {
        let config = set(name, values).unwrap();
        assert_eq!(NodeConfig::from_text(&config.to_text(), &policy()), Ok(config), "{name} {values:?}");
    }
    assert_eq!(NodeConfig::from_text("", &policy()), Ok(NodeConfig::new(&policy())));
    assert!(NodeConfig::from_text("colour=red\n", &policy()).is_err());
}

#[test]
fn a_limit_that_the_operator_lowers_holds_for_what_is_kept() {
    let kept = set("max_items", &["max"]).unwrap().to_text();
    let lowered = ServicePolicy { items_max: 5, payload_bytes_max: 7, ..policy() };
    let config = NodeConfig::from_text(&kept, &lowered).unwrap();
    assert_eq!((config.max_items, config.max_payload_size), (5, 7));
}

#[test]
fn the_most_stays_the_most_when_the_operator_allows_more() {
    let kept = NodeConfig::from_text(&set("max_items", &["max"]).unwrap().to_text(), &policy()).unwrap();
    let raised = ServicePolicy { items_max: 1000, ..policy() };
    let asked = |value: &str| kept.with(&[RawField { name: "max_items".into(), values: vec![value.into()] }], &raised);
    assert!(asked("max").unwrap().equals(&kept) && asked("50").unwrap().equals(&kept));
    assert!(!asked("51").unwrap().equals(&kept));
    let number = set("max_items", &["50"]).unwrap();
    assert!(set("max_items", &["max"]).unwrap().equals(&number), "it is the value that counts");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_as_it_was_kept(title in "(?s)[ -~\\n\\r\\t\\\\é\u{2028}\u{85}=]{0,40}", last in ".{0,20}") {
        if let (Ok(one), Ok(two)) = (set("title", &[&title]), set("description", &[&last])) {
            let config = NodeConfig { description: two.description, ..one };
            prop_assert_eq!(NodeConfig::from_text(&config.to_text(), &policy()), Ok(config));
        }
    }
}

#[test]
fn a_field_of_numbers_knows_its_limits() {
    let policy = ServicePolicy { items_max: 7, payload_bytes_max: 99, ..policy() };
    let range = |name: &str| Field::named(name).unwrap().range(&policy);
    assert_eq!((range("max_items"), range("max_payload_size")), (Some((1, 7)), Some((1, 99))));
    assert_eq!((range("title"), range("persist_items")), (None, None));
    let numbers = FIELDS.iter().filter(|field| field.kind == FieldKind::Number);
    assert!(numbers.clone().count() > 1 && numbers.into_iter().all(|field| field.range(&policy).is_some()));
}
