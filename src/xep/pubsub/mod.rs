//! XEP-0060: Publish-Subscribe. One file a verb, named as the rule it speaks of in `crate::pubsub`.
//!
//! A request is one verb within `<pubsub/>`; [`VERBS`] is the list of them all, and a test holds the
//! features that service discovery advertises to it. Refusals become errors in [`errors`], events
//! become messages in [`notify`], configurations become forms in [`form`].

mod affiliations;
pub mod approval;
pub(super) mod associate;
mod configure;
mod create;
mod delete;
pub(super) mod errors;
pub(super) mod form;
mod items;
pub mod notify;
mod options;
mod publish;
mod purge;
mod retract;
mod subscribe;
mod subscriptions;

use crate::jid::Jid;
use crate::pubsub::{
    AccessModel, ItemId, NodeConfig, NodeId, OWN_PREFIX, PREFIX, RawField, SendLast, ServicePolicy, SubId,
};
use crate::xep::{Asked, Claim, Entity, Extension, Feature, RequestKind, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, Form, FormType, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 60,
    name: "Publish-Subscribe",
    version: "1.30.0",
    features: FEATURES,
    claims: &[
        Claim { name: "pubsub", ns: NS_PUBSUB, kinds: BOTH, at: AT, handler: request },
        Claim { name: "pubsub", ns: NS_OWNER, kinds: BOTH, at: AT, handler: request },
    ],
};

/// Accounts are services, too (XEP-0163).
const AT: &[Entity] = &[Entity::Server, Entity::Service, Entity::Account, Entity::Contact];

/// A verb as it is written: the element within `<pubsub/>` of a namespace, in an iq of a type.
pub(super) struct Spelling {
    pub(super) ns: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: RequestKind,
    translate: fn(&Words<'_>) -> Result<Work, StanzaError>,
}

/// Every verb that is understood.
pub(super) const VERBS: &[Spelling] = &[
    spelling(NS_PUBSUB, "create", RequestKind::Set, create::create),
    spelling(NS_PUBSUB, "publish", RequestKind::Set, publish::publish),
    spelling(NS_PUBSUB, "retract", RequestKind::Set, retract::retract),
    spelling(NS_PUBSUB, "subscribe", RequestKind::Set, subscribe::subscribe),
    spelling(NS_PUBSUB, "unsubscribe", RequestKind::Set, subscribe::unsubscribe),
    spelling(NS_PUBSUB, "options", RequestKind::Get, options::options),
    spelling(NS_PUBSUB, "options", RequestKind::Set, options::set_options),
    spelling(NS_PUBSUB, "default", RequestKind::Get, options::default),
    spelling(NS_PUBSUB, "items", RequestKind::Get, items::items),
    spelling(NS_PUBSUB, "subscriptions", RequestKind::Get, subscriptions::own),
    spelling(NS_PUBSUB, "affiliations", RequestKind::Get, affiliations::own),
    spelling(NS_OWNER, "configure", RequestKind::Get, configure::configuration),
    spelling(NS_OWNER, "configure", RequestKind::Set, configure::configure),
    spelling(NS_OWNER, "default", RequestKind::Get, configure::default),
    spelling(NS_OWNER, "delete", RequestKind::Set, delete::delete),
    spelling(NS_OWNER, "purge", RequestKind::Set, purge::purge),
    spelling(NS_OWNER, "collection", RequestKind::Set, associate::collection),
    spelling(NS_OWNER, "subscriptions", RequestKind::Get, subscriptions::of_node),
    spelling(NS_OWNER, "subscriptions", RequestKind::Set, subscriptions::set),
    spelling(NS_OWNER, "affiliations", RequestKind::Get, affiliations::of_node),
    spelling(NS_OWNER, "affiliations", RequestKind::Set, affiliations::set),
];

/// What service discovery says of a service (XEP-0060 §10): the features of [`VERBS`], and those that
/// tell how a verb is understood.
const FEATURES: &[Feature] = &[
    Feature::always(NS_PUBSUB, &[Entity::Service, Entity::Node]),
    Feature {
        var: "http://jabber.org/protocol/pubsub#access-open",
        of: SERVICE,
        offered: |policy| NodeConfig::new(policy).access_model == AccessModel::Open,
    },
    Feature {
        var: "http://jabber.org/protocol/pubsub#access-presence",
        of: SERVICE,
        offered: |policy| NodeConfig::new(policy).access_model == AccessModel::Presence,
    },
    Feature {
        var: "http://jabber.org/protocol/pubsub#access-whitelist",
        of: SERVICE,
        offered: |policy| NodeConfig::new(policy).access_model == AccessModel::Whitelist,
    },
    Feature {
        var: "http://jabber.org/protocol/pubsub#auto-create",
        of: SERVICE,
        offered: |policy: &ServicePolicy| policy.auto_create,
    },
    Feature::always("http://jabber.org/protocol/pubsub#config-node", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#create-and-configure", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#create-nodes", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#delete-items", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#delete-nodes", SERVICE),
    Feature {
        // The command is one of services.
        var: "http://jabber.org/protocol/pubsub#get-pending",
        of: SERVICE,
        offered: |policy: &ServicePolicy| !policy.is_personal(),
    },
    Feature::always("http://jabber.org/protocol/pubsub#instant-nodes", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#item-ids", SERVICE),
    Feature {
        // XEP-0060 §6.1.7: where it is the default of every node.
        var: "http://jabber.org/protocol/pubsub#last-published",
        of: SERVICE,
        offered: |policy| NodeConfig::new(policy).send_last_published_item == SendLast::OnSubAndPresence,
    },
    Feature::always("http://jabber.org/protocol/pubsub#leased-subscription", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#manage-subscriptions", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#member-affiliation", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#meta-data", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#modify-affiliations", SERVICE),
    Feature {
        var: "http://jabber.org/protocol/pubsub#multi-items",
        of: SERVICE,
        offered: |policy: &ServicePolicy| policy.items_max > 1,
    },
    Feature {
        var: "http://jabber.org/protocol/pubsub#multi-subscribe",
        of: SERVICE,
        offered: |policy: &ServicePolicy| policy.subscriptions.multi_subscribe,
    },
    Feature::always("http://jabber.org/protocol/pubsub#outcast-affiliation", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#persistent-items", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#presence-notifications", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#publish", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#publish-only-affiliation", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#publish-options", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#publish-node-full", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#publisher-affiliation", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#purge-nodes", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#retract-items", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#retrieve-affiliations", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#retrieve-default", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#retrieve-default-sub", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#retrieve-items", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#retrieve-subscriptions", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#rsm", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#subscribe", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#subscription-notifications", SERVICE),
    Feature::always("http://jabber.org/protocol/pubsub#subscription-options", SERVICE),
];

/// One verb, in the request that bears it.
pub(super) struct Words<'a> {
    pub(super) asked: &'a Asked<'a>,
    /// The verb's element.
    pub(super) verb: &'a Element,
    /// The element that goes with it, where one is given: `<configure/>` with `<create/>`, `<options/>`
    /// with `<subscribe/>`, `<publish-options/>` with `<publish/>`.
    pub(super) companion: Option<&'a Element>,
}

/// Finds the verb of a request.
fn request(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let ns = asked.element.ns();
    let words: Vec<&Element> = asked.element.children().filter(|child| child.ns() == ns).collect();
    let companion_of = |name: &str| COMPANIONS.iter().find(|(verb, _)| *verb == name).map(|(_, companion)| *companion);
    // The first word is the verb, unless it goes with another one: options may stand before it.
    let goes_with_another = |word: &&Element| words.iter().any(|other| companion_of(other.name()) == Some(word.name()));
    let mut verbs = words.iter().filter(|word| !goes_with_another(word));
    let (Some(verb), None) = (verbs.next(), verbs.next()) else {
        return Err(bad_request("a request has one verb"));
    };
    let mut companions = words.iter().filter(|word| goes_with_another(word));
    let companion = companions.next().copied();
    if companions.next().is_some() {
        return Err(bad_request("an element of the request is given twice"));
    }
    let named = |spelling: &&Spelling| verb.is(spelling.name, spelling.ns);
    match VERBS.iter().find(|spelling| named(spelling) && spelling.kind == asked.kind) {
        Some(spelling) => (spelling.translate)(&Words { asked, verb, companion }),
        None if VERBS.iter().any(|spelling| named(&spelling)) => {
            Err(bad_request("this verb goes into an iq of the other type"))
        }
        None => Err(StanzaError::new(Condition::FeatureNotImplemented)),
    }
}

impl<'a> Words<'a> {
    /// The node that the verb must name. What no node can be called, no node is called.
    pub(super) fn node(&self) -> Result<NodeId, StanzaError> {
        match self.verb.attr("node") {
            // XEP-0060 §7.2.3.3, §8.2.3.3.
            None | Some("") => Err(errors::node_required()),
            Some(node) => NodeId::parse(node).ok_or_else(|| StanzaError::new(Condition::ItemNotFound)),
        }
    }

    /// The node that the verb may name.
    pub(super) fn node_opt(&self) -> Result<Option<NodeId>, StanzaError> {
        self.verb.attr("node").is_some().then(|| self.node()).transpose()
    }

    /// The subscribed address (XEP-0060 §6.1.1, §6.2.1).
    pub(super) fn jid(&self) -> Result<Jid, StanzaError> {
        jid(self.verb)
    }

    pub(super) fn subid(&self) -> Option<SubId> {
        subid(self.verb)
    }

    /// Children of the verb with this name.
    pub(super) fn children(&self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.verb.children().filter(|child| child.is(name, self.verb.ns()))
    }

    /// Where the companion stands, counted from the verb.
    pub(super) fn companion_follows(&self) -> bool {
        let at = |wanted: &Element| self.asked.element.children().position(|child| std::ptr::eq(child, wanted));
        self.companion.is_none_or(|companion| at(companion) > at(self.verb))
    }
}

/// The address in `jid`.
fn jid(element: &Element) -> Result<Jid, StanzaError> {
    match element.attr("jid") {
        None | Some("") => Err(errors::with_condition(bad_request("the request names no address"), "jid-required")),
        Some(text) => Jid::parse(text).map_err(|_| errors::invalid_jid()),
    }
}

fn subid(element: &Element) -> Option<SubId> {
    element.attr("subid").map(|subid| SubId(subid.into()))
}

/// The name of an item. What no item can be called, no item is called, which is not always an error.
fn item_id(element: &Element) -> Result<Option<ItemId>, StanzaError> {
    match element.attr("id") {
        None | Some("") => Err(errors::with_condition(bad_request("an item has no id"), "item-required")),
        Some(id) => Ok(ItemId::parse(id)),
    }
}

/// The fields of the form within an element, which must be submitted and, where it says of what kind
/// it is, be of this kind.
fn submitted(parent: &Element, form_type: &str) -> Result<Option<Vec<RawField>>, StanzaError> {
    let form = Form::within(parent).map_err(|error| bad_request(error.to_string()))?;
    let Some(form) = form else { return Ok(None) };
    if form.kind != FormType::Submit {
        return Err(bad_request("the form is not of type submit"));
    }
    if form.form_type().is_some_and(|given| given != form_type) {
        return Err(bad_request("the form is of another kind"));
    }
    let field = |(name, values): (&str, &[String])| RawField { name: name.to_owned(), values: values.to_vec() };
    Ok(Some(form.answers().map(field).collect()))
}

/// The fields of a node's configuration. Others than those of the registered form are none of ours
/// (XEP-0004 §3.1: fields that are not understood are ignored).
fn configuration(parent: &Element) -> Result<Option<Vec<RawField>>, StanzaError> {
    let fields = submitted(parent, NS_NODE_CONFIG)?;
    let ours = |field: &RawField| field.name.starts_with(PREFIX) || field.name.starts_with(OWN_PREFIX);
    Ok(fields.map(|fields| fields.into_iter().filter(ours).collect()))
}

const fn spelling(
    ns: &'static str,
    name: &'static str,
    kind: RequestKind,
    translate: fn(&Words<'_>) -> Result<Work, StanzaError>,
) -> Spelling {
    Spelling { ns, name, kind, translate }
}

/// Which element goes with which verb (XEP-0060 §8.1.3, §6.3.7, §7.1.5).
const COMPANIONS: &[(&str, &str)] =
    &[("create", "configure"), ("subscribe", "options"), ("publish", "publish-options")];
const BOTH: &[RequestKind] = &[RequestKind::Get, RequestKind::Set];
const SERVICE: &[Entity] = &[Entity::Service];

// XEP-0060 §15.
pub(super) const NS_PUBSUB: &str = "http://jabber.org/protocol/pubsub";
pub(super) const NS_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
pub(super) const NS_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
pub(super) const NS_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
const NS_NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
const NS_METADATA: &str = "http://jabber.org/protocol/pubsub#meta-data";
const NS_SUBSCRIBE_OPTIONS: &str = "http://jabber.org/protocol/pubsub#subscribe_options";
const NS_SUBSCRIBE_AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";
const NS_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";

#[cfg(test)]
pub(super) mod tests;
