//! Configurations as forms (XEP-0060 §16.4), made from the one description of every field.

use crate::jid::BareJid;
use crate::pubsub::{Affiliation, FIELDS, Field, FieldKind, Node, NodeConfig, NodeId, PREFIX, ServicePolicy};
use crate::xep::pubsub::{NS_METADATA, NS_NODE_CONFIG};
use crate::xmpp::{Field as FormField, FieldType, Form, FormType, Validation};

/// A node's configuration: to be filled in, with what every field means (XEP-0060 §8.2.2).
pub(in crate::xep) fn to_fill_in(config: &NodeConfig, policy: &ServicePolicy) -> Form {
    let form = Form::of_type(FormType::Form, NS_NODE_CONFIG);
    let fields = FIELDS.iter().filter(|field| fits(field, config));
    let mut form = fields.fold(form, |form, field| form.with_field(described(field, config, policy)));
    if policy.is_personal() {
        // Accounts have no collections.
        let kind = form.fields.iter_mut().find(|field| field.name.as_deref() == Some("pubsub#node_type"));
        kind.into_iter().for_each(|field| field.options.retain(|(_, value)| value == "leaf"));
    }
    form
}

/// The same of a node, with where it stands in the graph of collections (XEP-0248 §7.2.1, §8.3).
pub(in crate::xep) fn to_fill_in_of_node(
    config: &NodeConfig,
    policy: &ServicePolicy,
    collections: &[NodeId],
    children: &[NodeId],
) -> Form {
    let mut form = to_fill_in(config, policy);
    let field = |(name, label): (&str, &str), nodes: &[NodeId]| FormField {
        values: nodes.iter().map(|node| node.as_str().to_owned()).collect(),
        ..FormField::new(&format!("{PREFIX}{name}"), FieldType::TextMulti).with_label(label)
    };
    if !policy.is_personal() {
        form.fields.push(field(COLLECTION, collections));
        if config.is_collection() {
            form.fields.push(field(CHILDREN, children));
        }
    }
    form
}

/// What a form says of the graph of collections, which is no part of a configuration.
pub(in crate::xep) const COLLECTION: (&str, &str) = ("collection", "The collections in which the node stands");
pub(in crate::xep) const CHILDREN: (&str, &str) = ("children", "The nodes that the collection holds");

/// Whether a field says anything of a node of this type.
pub(super) fn fits(field: &Field, config: &NodeConfig) -> bool {
    if config.is_collection() { !OF_LEAVES.contains(&field.name) } else { !field.name.starts_with("children") }
}

/// A node's configuration as subscribers are told of it (XEP-0060 §8.2.5.3).
pub(super) fn as_told(config: &NodeConfig) -> Form {
    let form = Form::of_type(FormType::Result, NS_NODE_CONFIG);
    let told =
        |field: &Field| FormField { name: Some(name(field)), values: field.values(config), ..FormField::default() };
    FIELDS.iter().filter(|field| fits(field, config)).fold(form, |form, field| form.with_field(told(field)))
}

/// What anybody may know of a node (XEP-0060 §5.4). A text that is empty is left out.
pub(in crate::xep) fn metadata(node: &Node, leading: &[(BareJid, Affiliation)]) -> Form {
    let shown = |field: &&Field| field.in_metadata || field.name == "max_items";
    let mut form = Form::of_type(FormType::Result, NS_METADATA);
    for field in FIELDS.iter().filter(shown) {
        let values: Vec<String> = field.values(&node.config).into_iter().filter(|value| !value.is_empty()).collect();
        if !values.is_empty() {
            // XEP-0060 §5.4, §16.4.3.
            let kind = if field.name == "language" { FieldType::ListSingle } else { field_type(field.kind) };
            let told = FormField::new(&name(field), kind).with_label(field.label);
            form.fields.push(FormField { values, ..told });
        }
    }
    let creator = FormField::new("pubsub#creator", FieldType::JidSingle).with_label("Who created the node");
    let created = FormField::new("pubsub#creation_date", FieldType::TextSingle).with_label("When it was created");
    let counted = FormField::new("pubsub#num_subscribers", FieldType::TextSingle).with_label("How many subscribe");
    let mut form = form
        .with_field(creator.with_value(node.creator.as_str()))
        .with_field(created.with_value(node.created.to_string()))
        .with_field(counted.with_value(node.subscribers.to_string()));
    for (name, label, wanted) in [
        ("pubsub#owner", "Who owns the node", Affiliation::Owner),
        ("pubsub#publisher", "Who publishes to the node", Affiliation::Publisher),
    ] {
        let of = leading.iter().filter(|(_, affiliation)| *affiliation == wanted);
        let values: Vec<String> = of.map(|(jid, _)| jid.to_string()).collect();
        if !values.is_empty() {
            form.fields.push(FormField { values, ..FormField::new(name, FieldType::JidMulti).with_label(label) });
        }
    }
    form
}

fn described(field: &Field, config: &NodeConfig, policy: &ServicePolicy) -> FormField {
    let values = field.values(config);
    let described = to_answer(&name(field), field.kind, field.label, values.clone());
    if field.name == "roster_groups_allowed" {
        // A client fills in more: which groups there are, only their owner's roster knows.
        let options = values.into_iter().map(|group| (None, group)).collect();
        return FormField { kind: Some(FieldType::ListMulti), options, ..described };
    }
    if field.kind == FieldKind::Number && !values.iter().all(|value| value.parse::<u64>().is_ok()) {
        // `max` is no number, and a client that checks would not send it back.
        return FormField { validation: None, ..described };
    }
    let range = field.range(policy).map(|(least, most)| Validation::whole(least, most));
    FormField { validation: range.or(described.validation.clone()), ..described }
}

/// A field of any table, as a form asks for it.
pub(in crate::xep) fn to_answer(name: &str, kind: FieldKind, label: &str, values: Vec<String>) -> FormField {
    let options = match kind {
        FieldKind::Choice(choices) | FieldKind::Choices(choices) => {
            choices.iter().map(|(value, label)| (Some((*label).to_owned()), (*value).to_owned())).collect()
        }
        _ => Vec::new(),
    };
    let validation = (kind == FieldKind::Number).then(Validation::integer);
    FormField { values, options, validation, ..FormField::new(name, field_type(kind)).with_label(label) }
}

fn name(field: &Field) -> String {
    field.var()
}

/// XEP-0004 §3.3.
pub(in crate::xep) fn field_type(kind: FieldKind) -> FieldType {
    match kind {
        FieldKind::Boolean => FieldType::Boolean,
        FieldKind::Number | FieldKind::Text => FieldType::TextSingle,
        FieldKind::Secret => FieldType::TextPrivate,
        FieldKind::Texts => FieldType::TextMulti,
        FieldKind::Jid => FieldType::JidSingle,
        FieldKind::Jids => FieldType::JidMulti,
        FieldKind::Choice(_) => FieldType::ListSingle,
        FieldKind::Choices(_) => FieldType::ListMulti,
    }
}

/// What a collection has nothing to do with: it holds no items (XEP-0248 §4.1).
const OF_LEAVES: &[&str] = &[
    "type",
    "publish_model",
    "persist_items",
    "max_items",
    "item_expire",
    "publish_node_full",
    "itemreply",
    "deliver_payloads",
    "max_payload_size",
    "notify_retract",
    "purge_offline",
    "send_last_published_item",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::RawField;
    use crate::xep::pubsub::tests::policy;

    fn changed() -> NodeConfig {
        let field = |name: &str, value: &str| RawField { name: name.to_owned(), values: vec![value.to_owned()] };
        let fields = [
            field("pubsub#title", "Orders & <more>"),
            field("pubsub#contact", "a@b.example"),
            field("pubsub#access_model", "whitelist"),
            field("pubsub#max_items", "7"),
            field("pubsub#notify_config", "true"),
        ];
        NodeConfig::new(&policy()).with(&fields, &policy()).unwrap()
    }

    // rows: 310, 311, 312, 320
    #[test]
    fn a_form_that_is_sent_back_unchanged_changes_nothing() {
        for config in [NodeConfig::new(&policy()), changed()] {
            let form = Form { kind: FormType::Submit, ..to_fill_in(&config, &policy()) };
            let read = Form::parse(&form.to_element()).unwrap();
            let fields: Vec<RawField> = read
                .answers()
                .map(|(name, values)| RawField { name: name.to_owned(), values: values.to_vec() })
                .collect();
            let other = if config == changed() { NodeConfig::new(&policy()) } else { changed() };
            assert_eq!(other.with(&fields, &policy()), Ok(config));
        }
    }

    // rows: 311, 312, 313
    #[test]
    fn the_form_has_every_field_with_its_type_and_choices() {
        let form = to_fill_in(&changed(), &policy());
        assert_eq!((form.kind, form.form_type()), (FormType::Form, Some(NS_NODE_CONFIG)));
        for described in FIELDS.iter().filter(|field| fits(field, &changed())) {
            let field = form.field(&described.var()).expect(described.name);
            assert_eq!(field.values, described.values(&changed()), "{}", described.name);
            assert!(field.label.is_some() && field.kind.is_some(), "{}", described.name);
            let choices: Vec<&str> = field.options.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(choices.is_empty(), field.kind != Some(FieldType::ListSingle), "{}", described.name);
            if let [value] = field.values.as_slice() {
                assert!(choices.is_empty() || choices.contains(&value.as_str()), "{}", described.name);
            }
        }
        let limits = form.field("pubsub#max_items").unwrap().validation.clone();
        assert_eq!(limits, Some(Validation::whole(1, policy().items_max)));
        assert_eq!(form.field("pubsub#title").unwrap().validation, None);
        let model = form.field("pubsub#access_model").unwrap();
        let models = ["open", "presence", "roster", "authorize", "whitelist"];
        assert_eq!(model.options.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), models);
    }
}
