//! `<options/>` and the `<default/>` of subscribers (XEP-0060 §6.3, §6.4).

use crate::engine::Answer;
use crate::pubsub::{OPTIONS, OptionField, RawField, Reply, SubscriptionOptions, SubscriptionPolicy, Verb};
use crate::xep::pubsub::{NS_PUBSUB, NS_SUBSCRIBE_OPTIONS, Words, configure, form, submitted};
use crate::xep::{Asked, Body, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Field as FormField, Form, FormType, StanzaError, Validation};

/// XEP-0060 §6.3.2.
pub(super) fn options(words: &Words<'_>) -> Result<Work, StanzaError> {
    let (node, jid, subid) = (words.node()?, words.jid()?, words.subid());
    let request = words.asked.request(Verb::Options { node: node.clone(), jid, subid });
    let policy = words.asked.policy.subscriptions.clone();
    Ok(Work::ask(request, move |answered| {
        let Answer::Reply(Reply::Options { subscription }) = answered.answer else { return None };
        let options = Element::new("options", NS_PUBSUB)
            .with_attr("node", node.as_str())
            .with_attr("jid", subscription.jid.to_string())
            .with_attr("subid", subscription.subid.as_str())
            .with_child(to_fill_in(&subscription.options, &policy).to_element());
        Some(Body::Element(Element::new("pubsub", NS_PUBSUB).with_child(options)))
    }))
}

/// XEP-0060 §6.3.5. Who cancels must have been able to ask, and changes nothing.
pub(super) fn set_options(words: &Words<'_>) -> Result<Work, StanzaError> {
    let (node, jid, subid) = (words.node()?, words.jid()?, words.subid());
    if Form::within(words.verb).is_ok_and(|form| form.is_some_and(|form| form.kind == FormType::Cancel)) {
        let request = words.asked.request(Verb::Options { node, jid, subid });
        return Ok(Work::ask(request, |_| Some(Body::Empty)));
    }
    let options = answers(words.verb)?.ok_or_else(|| bad_request("the options have no form"))?;
    let options = of_guest(words.asked, Some(options)).unwrap_or_default();
    Ok(Work::ask(words.asked.request(Verb::SetOptions { node, jid, subid, options }), configure::done))
}

/// XEP-0060 §6.4.
pub(super) fn default(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node_opt()?;
    let request = words.asked.request(Verb::DefaultOptions { node: node.clone() });
    Ok(Work::ask(request, move |answered| {
        let Answer::Reply(Reply::DefaultOptions { options }) = answered.answer else { return None };
        let default = Element::new("default", NS_PUBSUB)
            .with_attr_opt("node", node.as_ref().map(|node| node.as_str()))
            .with_child(as_they_are(&options).to_element());
        Some(Body::Element(Element::new("pubsub", NS_PUBSUB).with_child(default)))
    }))
}

/// The options in a request to subscribe (XEP-0060 §6.3.7).
pub(super) fn beside_subscribe(words: &Words<'_>) -> Result<Option<Vec<RawField>>, StanzaError> {
    let Some(options) = words.companion else { return Ok(None) };
    let addressed = options.attr("node").is_some() || options.attr("jid").is_some();
    if addressed || !words.companion_follows() {
        return Err(bad_request("options follow the subscription and name neither node nor jid"));
    }
    answers(options)
}

/// An anonymous session subscribes for as long as it lasts: its name is nobody's later, and nobody could end
/// what it leaves (XEP-0060 §6.1.3.6, §12.5).
pub(super) fn of_guest(asked: &Asked<'_>, options: Option<Vec<RawField>>) -> Option<Vec<RawField>> {
    if !asked.is_guest() {
        return options;
    }
    let expire = RawField { name: "pubsub#expire".to_owned(), values: vec!["presence".to_owned()] };
    let kept = options.into_iter().flatten().filter(|field| field.name != expire.name);
    Some(kept.chain([expire.clone()]).collect())
}

/// The options that came of it (XEP-0060 §6.3.7).
pub(super) fn resulting(options: &SubscriptionOptions) -> Element {
    Element::new("options", NS_PUBSUB).with_child(as_they_are(options).to_element())
}

/// What was submitted. Fields other than those of the registered form are none of ours.
fn answers(parent: &Element) -> Result<Option<Vec<RawField>>, StanzaError> {
    let fields = submitted(parent, NS_SUBSCRIBE_OPTIONS)?;
    let ours = |field: &RawField| field.name.starts_with("pubsub#");
    Ok(fields.map(|fields| fields.into_iter().filter(ours).collect()))
}

fn to_fill_in(options: &SubscriptionOptions, policy: &SubscriptionPolicy) -> Form {
    let form = Form::of_type(FormType::Form, NS_SUBSCRIBE_OPTIONS);
    OPTIONS.iter().fold(form, |form, field| form.with_field(described(field, options, policy)))
}

fn as_they_are(options: &SubscriptionOptions) -> Form {
    let told = |field: &OptionField| FormField {
        name: Some(format!("pubsub#{}", field.name)),
        values: field.values(options),
        ..FormField::default()
    };
    OPTIONS
        .iter()
        .fold(Form::of_type(FormType::Result, NS_SUBSCRIBE_OPTIONS), |form, field| form.with_field(told(field)))
}

fn described(field: &OptionField, options: &SubscriptionOptions, policy: &SubscriptionPolicy) -> FormField {
    let name = format!("pubsub#{}", field.name);
    let described = form::to_answer(&name, field.kind, field.label, field.values(options));
    let range = field.range(policy).map(|(least, most)| Validation::whole(least, most));
    FormField { validation: range.or(described.validation.clone()), ..described }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::Expire;
    use crate::time::Timestamp;
    use crate::xmpp::FieldType;

    fn changed() -> SubscriptionOptions {
        let end = Timestamp::from_seconds(2_000_000_000);
        let raw = |name: &str, values: &[&str]| RawField {
            name: format!("pubsub#{name}"),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let fields = [raw("deliver", &["0"]), raw("show-values", &["chat", "dnd"]), raw("digest", &["true"])];
        let policy = SubscriptionPolicy { lease_seconds_max: i64::MAX / 1_000_000, ..SubscriptionPolicy::default() };
        let options = SubscriptionOptions::default().with(&fields, &policy, Timestamp(0)).unwrap();
        SubscriptionOptions { expire: Expire::At(end), ..options }
    }

    // rows: 165, 166, 180
    #[test]
    fn a_form_that_is_sent_back_unchanged_changes_nothing() {
        let policy = SubscriptionPolicy { lease_seconds_max: i64::MAX / 1_000_000, ..SubscriptionPolicy::default() };
        for (options, other) in
            [(SubscriptionOptions::default(), changed()), (changed(), SubscriptionOptions::default())]
        {
            let form = Form { kind: FormType::Submit, ..to_fill_in(&options, &policy) };
            let parent = Element::new("options", NS_PUBSUB).with_child(form.to_element());
            let fields = answers(&parent).unwrap().unwrap();
            assert_eq!(other.with(&fields, &policy, Timestamp(0)), Ok(options));
        }
    }

    // rows: 166, 167, F35, F36, F37, F38, F39, F40, F41, F42
    #[test]
    fn the_form_has_every_option_with_its_type_and_choices() {
        let form = to_fill_in(&changed(), &SubscriptionPolicy::default());
        assert_eq!((form.kind, form.form_type()), (FormType::Form, Some(NS_SUBSCRIBE_OPTIONS)));
        for described in OPTIONS {
            let field = form.field(&format!("pubsub#{}", described.name)).expect(described.name);
            assert_eq!(field.values, described.values(&changed()), "{}", described.name);
            let listed = matches!(field.kind, Some(FieldType::ListSingle | FieldType::ListMulti));
            assert_eq!(field.options.is_empty(), !listed, "{}", described.name);
            for value in field.values.iter().filter(|_| listed) {
                assert!(field.options.iter().any(|(_, option)| option == value), "{}", described.name);
            }
        }
    }
}
