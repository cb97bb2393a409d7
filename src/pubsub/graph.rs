//! Which nodes stand in which collections (XEP-0248), and what may be done to that.
//!
//! Who holds whom is the parent's: a change of it is an event of the parent's log. A request that
//! changes the graph is decided upon the part of it that it needs, read for it alone.

use std::collections::HashSet;
use std::sync::Arc;

use crate::pubsub::audience::may_know;
use crate::pubsub::draft::Draft;
use crate::pubsub::{
    Affiliation, Associating, Caller, Change, Decision, EventKind, Facts, Given, Node, NodeId, NodeKey, RawField,
    Refusal, Reply, Request, Role, Seq, ServicePolicy, Share, Verb, kept, rights,
};

/// What a request that changes the graph must know of it.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The collections in which the addressed node stands.
    pub parents: Vec<Related>,
    /// The nodes that it holds.
    pub children: Vec<Held>,
    /// What stands above it.
    pub above: Vec<NodeKey>,
    /// Of the nodes that [`named`] asks for, those that are there.
    pub named: Vec<Related>,
}

/// A node in a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub node: NodeId,
    pub key: NodeKey,
    pub hidden: bool,
}

/// A node beside the addressed one.
#[derive(Clone, Debug)]
pub struct Related {
    pub node: Arc<Node>,
    /// What the caller is to it.
    pub affiliation: Affiliation,
    /// Whether the caller has a subscription to it, of whatever state.
    pub subscribed: bool,
    /// What stands above it: at most [`ABOVE_MAX`] and one.
    pub above: Vec<NodeKey>,
    pub children: u64,
    pub parents: u64,
}

/// What a configuration says of the graph.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub collections: Option<Vec<NodeId>>,
    pub children: Option<Vec<NodeId>>,
}

/// The nodes beside the addressed one that must be known before this request can be decided; nothing,
/// where it does not touch the graph. Accounts have no collections.
pub fn named(request: &Request) -> Option<Vec<NodeId>> {
    if request.service.local().is_some() {
        return None;
    }
    match &request.verb {
        Verb::Associate { node, .. } | Verb::Dissociate { node, .. } => Some(vec![node.clone()]),
        Verb::Delete { .. } => Some(Vec::new()),
        Verb::Create { config, .. } | Verb::Configure { config, .. } => {
            let touches = |field: &RawField| GRAPH_FIELDS.contains(&field.bare_name()) || makes_collection(field);
            if !config.iter().any(touches) {
                return None;
            }
            let (wanted, _) = Wanted::split(config).ok()?;
            Some(wanted.collections.into_iter().flatten().chain(wanted.children.into_iter().flatten()).collect())
        }
        _ => None,
    }
}

/// Whether a field asks for a collection.
pub(super) fn makes_collection(field: &RawField) -> bool {
    field.bare_name() == "node_type" && field.values == ["collection"]
}

impl Wanted {
    /// Takes out of a configuration what it says of the graph.
    pub fn split(config: &[RawField]) -> Result<(Self, Vec<RawField>), Refusal> {
        let mut wanted = Wanted::default();
        let mut rest = Vec::new();
        for field in config {
            let into = match field.bare_name() {
                "collection" => &mut wanted.collections,
                "children" => &mut wanted.children,
                _ => {
                    rest.push(field.clone());
                    continue;
                }
            };
            let max = rights::CHANGES_MAX;
            let invalid = |why: String| Refusal::InvalidConfig { field: field.bare_name().into(), why: why.into() };
            let mut nodes: Vec<NodeId> = Vec::new();
            // An empty value is the root, and there is none.
            for value in field.values.iter().filter(|value| !value.is_empty()) {
                let node = NodeId::parse(value).ok_or(Refusal::NodeAbsent)?;
                if !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
            if nodes.len() > max {
                return Err(invalid(format!("at most {max} values")));
            }
            *into = Some(nodes);
        }
        Ok((wanted, rest))
    }

    /// The same, under the rules of a service.
    pub fn of(config: &[RawField], policy: &ServicePolicy) -> Result<(Self, Vec<RawField>), Refusal> {
        if policy.is_personal() { Ok((Wanted::default(), config.to_vec())) } else { Self::split(config) }
    }

    /// Whether these nodes may stand in collections, or hold nodes, at all.
    pub fn check(&self, policy: &ServicePolicy) -> Result<(), Refusal> {
        kept::check_names(&policy.service, self.collections.iter().chain(&self.children).flatten())
    }

    /// Makes the graph as it is wanted around the drafted node, which is new where `created`.
    pub fn apply(
        self,
        draft: &mut Draft,
        created: bool,
        caller: &Caller,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<(), Refusal> {
        let graph = &facts.graph;
        let own = draft.node.key;
        let collections = self.collections.map(|names| graph.all(caller, &names)).transpose()?;
        let kept: Vec<&Related> = match &collections {
            None => graph.parents.iter().collect(),
            Some(wanted) => wanted.clone(),
        };
        if kept.len() > facts.policy.parents_max {
            return Err(too_deep());
        }
        // The addressed node alone is above its children, and all that will be above it.
        let mut above: HashSet<NodeKey> = HashSet::from([own]);
        for parent in &kept {
            above.insert(parent.node.key);
            above.extend(&parent.above);
        }
        if above.len() > ABOVE_MAX + 1 {
            return Err(too_deep());
        }
        for parent in collections.iter().flatten() {
            if parent.node.key == own || parent.above.contains(&own) {
                return Err(cycle());
            }
            if graph.parents.iter().all(|standing| standing.node.key != parent.node.key) {
                parent.may_take(caller, 1)?;
                let (child, at) = (Held::of(&draft.node), draft.node.last_seq);
                draft.share(parent.share(given, |share| share.associate(child, at, created)));
            }
        }
        if let Some(wanted) = &collections {
            let gone =
                graph.parents.iter().filter(|standing| wanted.iter().all(|kept| kept.node.key != standing.node.key));
            for parent in gone {
                let child = Held::of(&draft.node);
                draft.share(parent.share(given, |share| share.dissociate(child, false)));
            }
        }
        match self.children {
            Some(children) => hold(draft, &children, &above, caller, facts),
            None => Ok(()),
        }
    }
}

/// Makes these the children of the drafted node.
fn hold(
    draft: &mut Draft,
    children: &[NodeId],
    above: &HashSet<NodeKey>,
    caller: &Caller,
    facts: &Facts,
) -> Result<(), Refusal> {
    let graph = &facts.graph;
    if !draft.node.config.is_collection() {
        return if children.is_empty() { Ok(()) } else { Err(Refusal::InvalidGraph { why: LEAF }) };
    }
    let wanted = graph.all_children(caller, children)?;
    if wanted.len() as u64 > draft.node.config.children_max {
        return Err(Refusal::TooManyChildren { children_max: draft.node.config.children_max });
    }
    for child in &wanted {
        if above.contains(&child.node.key) {
            return Err(cycle());
        }
        if graph.children.iter().all(|held| held.key != child.node.key) {
            child.may_stand_in_one_more(&facts.policy)?;
            draft.associate(Held::of(&child.node), child.node.last_seq, false);
        }
    }
    let gone = graph.children.iter().filter(|held| wanted.iter().all(|child| child.node.key != held.key));
    for child in gone {
        draft.dissociate(child.clone(), false);
    }
    Ok(())
}

/// XEP-0248 §7.5.
pub(super) fn associate(caller: &Caller, facts: &Facts, given: &Given<'_>) -> Result<Decision, Refusal> {
    let collection = rights::present(facts)?;
    let child = facts.graph.child(caller)?;
    let entitled = facts.affiliation == Affiliation::Owner || child.is_owned(caller);
    if !collection.config.is_collection() {
        return Err(Refusal::InvalidGraph { why: LEAF });
    }
    if caller.role != Role::Admin && !(entitled && lets(collection, caller, facts.affiliation)) {
        return Err(Refusal::Forbidden);
    }
    let mut draft = Draft::over(collection, given.now);
    if facts.graph.children.iter().any(|held| held.key == child.node.key) {
        return Ok(draft.done(Reply::Done));
    }
    if child.node.key == collection.key || facts.graph.above.contains(&child.node.key) {
        return Err(cycle());
    }
    if facts.graph.above.len() > ABOVE_MAX {
        return Err(too_deep());
    }
    if facts.graph.children.len() as u64 >= collection.config.children_max {
        return Err(Refusal::TooManyChildren { children_max: collection.config.children_max });
    }
    child.may_stand_in_one_more(&facts.policy)?;
    draft.associate(Held::of(&child.node), child.node.last_seq, false);
    Ok(draft.done(Reply::Done))
}

/// XEP-0248 §7.6: the owners of either may.
pub(super) fn dissociate(caller: &Caller, facts: &Facts, given: &Given<'_>) -> Result<Decision, Refusal> {
    let collection = rights::present(facts)?;
    let child = facts.graph.child(caller)?;
    let entitled = facts.affiliation == Affiliation::Owner || child.is_owned(caller);
    if caller.role != Role::Admin && !entitled {
        return Err(Refusal::Forbidden);
    }
    if facts.graph.children.iter().all(|held| held.key != child.node.key) {
        return Err(Refusal::NotAssociated);
    }
    let mut draft = Draft::over(collection, given.now);
    draft.dissociate(Held::of(&child.node), false);
    Ok(draft.done(Reply::Done))
}

impl Graph {
    /// The nodes of these names, all of them, as far as the caller may know of them.
    fn all(&self, caller: &Caller, names: &[NodeId]) -> Result<Vec<&Related>, Refusal> {
        let find = |name: &NodeId| self.named.iter().find(|related| related.node.address.node == *name);
        names.iter().map(|name| find(name).filter(|found| found.is_known(caller)).ok_or(Refusal::NodeAbsent)).collect()
    }

    /// The same; one that is held already need not be known.
    fn all_children(&self, caller: &Caller, names: &[NodeId]) -> Result<Vec<&Related>, Refusal> {
        let held = |related: &Related| self.children.iter().any(|held| held.key == related.node.key);
        let find = |name: &NodeId| self.named.iter().find(|related| related.node.address.node == *name);
        let may = |found: &&Related| found.is_known(caller) || held(found);
        names.iter().map(|name| find(name).filter(may).ok_or(Refusal::NodeAbsent)).collect()
    }

    fn child(&self, caller: &Caller) -> Result<&Related, Refusal> {
        self.named.first().filter(|child| child.is_known(caller)).ok_or(Refusal::NodeAbsent)
    }
}

impl Held {
    pub(super) fn of(node: &Node) -> Self {
        Held { node: node.address.node.clone(), key: node.key, hidden: node.config.hidden }
    }
}

impl Related {
    fn is_known(&self, caller: &Caller) -> bool {
        may_know(&self.node.config, self.affiliation, caller.role, self.subscribed)
    }

    fn is_owned(&self, caller: &Caller) -> bool {
        caller.role == Role::Admin || self.affiliation == Affiliation::Owner
    }

    /// May the caller add so many nodes to this one (XEP-0248 §7.2.3)?
    fn may_take(&self, caller: &Caller, more: u64) -> Result<(), Refusal> {
        let config = &self.node.config;
        if !config.is_collection() {
            return Err(Refusal::InvalidGraph { why: LEAF });
        }
        if !lets(&self.node, caller, self.affiliation) {
            return Err(Refusal::Forbidden);
        }
        if self.children + more > config.children_max {
            return Err(Refusal::TooManyChildren { children_max: config.children_max });
        }
        Ok(())
    }

    fn may_stand_in_one_more(&self, policy: &ServicePolicy) -> Result<(), Refusal> {
        if self.parents >= policy.parents_max as u64 { Err(too_deep()) } else { Ok(()) }
    }

    /// What is done to this node beside the addressed one.
    pub(super) fn share(&self, given: &Given<'_>, work: impl FnOnce(&mut Draft)) -> Share {
        let mut draft = Draft::over(&self.node, given.now);
        work(&mut draft);
        draft.into_share(Some(&self.node))
    }
}

/// Whether the policy of a collection lets somebody associate nodes with it (XEP-0248 §7.2.1).
fn lets(collection: &Node, caller: &Caller, affiliation: Affiliation) -> bool {
    let config = &collection.config;
    caller.role == Role::Admin
        || affiliation == Affiliation::Owner
        || match config.children_association_policy {
            Associating::Owners => false,
            Associating::All => affiliation != Affiliation::Outcast,
            Associating::Whitelist => {
                config.children_association_whitelist.iter().any(|jid| **jid == *caller.jid.bare().as_str())
            }
        }
}

impl Draft {
    fn associate(&mut self, child: Held, at: Seq, created: bool) {
        let Held { node, key, hidden } = child;
        self.log(EventKind::Associated { node, at, created, hidden });
        self.change(Change::Associate { child: key });
    }

    pub(super) fn dissociate(&mut self, child: Held, deleted: bool) {
        let Held { node, key, hidden } = child;
        self.log(EventKind::Dissociated { node, deleted, hidden });
        self.change(Change::Dissociate { child: key });
    }
}

fn cycle() -> Refusal {
    Refusal::InvalidGraph { why: "a collection would be within itself" }
}

fn too_deep() -> Refusal {
    Refusal::InvalidGraph { why: "the node would be below too many collections" }
}

const GRAPH_FIELDS: &[&str] = &["collection", "children", "children_max"];
const LEAF: &str = "only a collection holds nodes";
/// What may stand above one node.
pub const ABOVE_MAX: usize = 1000;
