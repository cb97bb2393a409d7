//! Commands that create, configure, delete, empty and find nodes.

use crate::access::glob_matches;
use crate::engine::Answer;
use crate::pubsub::{
    Edge, FieldKind, Node, NodeConfig, NodeId, Page, RawField, Refusal, Reply, Request, Verb, may_create,
};
use crate::xep::Entity;
use crate::xep::commands::answers::{self, Answers, Question, table};
use crate::xep::commands::{Command, NS_OURS, Note, Run, Screen, Then, Whom, errors};
use crate::xep::pubsub::form::to_fill_in_of_node;
use crate::xmpp::{Field, FieldType, Form, FormType, StanzaError};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        node: "tidings:commands:0#create-node",
        name: "Create a node",
        at: Entity::Service,
        whom: Whom::Creators,
        asks: CREATE,
        next: |run| Box::pin(create(run)),
    },
    Command {
        node: "tidings:commands:0#configure-node",
        name: "Configure a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: &[NODE],
        next: |run| Box::pin(configure(run)),
    },
    Command {
        node: "tidings:commands:0#delete-node",
        name: "Delete a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: DELETE,
        next: |run| Box::pin(delete(run)),
    },
    Command {
        node: "tidings:commands:0#purge-node",
        name: "Remove all items of a node",
        at: Entity::Service,
        whom: Whom::Owners,
        asks: &[NODE],
        next: |run| Box::pin(purge(run)),
    },
    Command {
        node: "tidings:commands:0#list-nodes",
        name: "List and search nodes",
        at: Entity::Service,
        whom: Whom::Everyone,
        asks: LIST,
        next: |run| Box::pin(list(run)),
    },
];

/// The question that most commands on a node begin with.
pub(super) const NODE: Question = Question::needed("node", FieldKind::Text, "The name of the node");

/// Name, then configuration, which may be left as it is offered.
async fn create(run: &Run) -> Result<Screen, StanzaError> {
    let Some(named) = run.answered(0, CREATE)? else {
        let instructions = "Name the node. It can be completed with the default configuration.";
        return Ok(Screen::Ask(answers::form(NS_OURS, "Create a node", instructions, CREATE), Then::Either));
    };
    let node = named.text("node").map(|_| named.node("node")).transpose()?;
    let config = match run.answers.get(1) {
        Some(filled) => configuration(filled),
        None if run.finish => Vec::new(),
        None => return Ok(Screen::Ask(offered(run, node.as_ref()).await?, Then::Complete)),
    };
    let answered = run.ask(Verb::Create { node, config }).await?;
    let Answer::Reply(Reply::Created { node }) = answered.answer else { return Err(errors::internal()) };
    let told = answers::told("node", FieldType::TextSingle, "The name of the node", vec![node.to_string()]);
    let form = Form::of_type(FormType::Result, NS_OURS).with_field(told);
    Ok(Screen::Done(vec![Note::info(format!("The node {node} was created."))], Some(form)))
}

/// The configuration with which a node would begin. Whoever could not make one of that name is told so before he fills
/// it in; of a hidden node he learns when he has.
async fn offered(run: &Run, node: Option<&NodeId>) -> Result<Form, StanzaError> {
    let policy = run.policy();
    let Some(node) = node else {
        return Ok(titled(to_fill_in_of_node(&NodeConfig::new(&policy), &policy, &[], &[]), "a new node"));
    };
    if !may_create(&run.caller, &policy, Some(node)) {
        return Err(Run::refused(
            &Verb::Create { node: Some(node.clone()), config: Vec::new() },
            &Refusal::MayNotCreate,
        ));
    }
    let verb = Verb::Metadata { node: node.clone() };
    let request = Request { caller: run.caller.clone(), service: run.service.clone(), verb };
    if run.shared.engine.ask(request).await.is_ok() {
        return Err(Run::refused(&Verb::Create { node: Some(node.clone()), config: Vec::new() }, &Refusal::NodeExists));
    }
    let config = policy.new_config(node).unwrap_or_else(|_| NodeConfig::new(&policy));
    Ok(titled(to_fill_in_of_node(&config, &policy, &[], &[]), node.as_str()))
}

/// Which node, then its configuration as it stands.
async fn configure(run: &Run) -> Result<Screen, StanzaError> {
    let Some(named) = run.answered(0, &[NODE])? else {
        return Ok(Screen::Ask(
            answers::form(NS_OURS, "Configure a node", "Name the node to be configured.", &[NODE]),
            Then::Next,
        ));
    };
    let node = named.node("node")?;
    let Some(filled) = run.answers.get(1) else {
        let answered = run.ask(Verb::Configuration { node: node.clone() }).await?;
        let Answer::Configuration { node: found, collections, children } = answered.answer else {
            return Err(errors::internal());
        };
        let form = to_fill_in_of_node(&found.config, &run.policy(), &collections, &children);
        return Ok(Screen::Ask(titled(form, node.as_str()), Then::Complete));
    };
    let config = configuration(filled);
    run.ask(Verb::Configure { node: node.clone(), config }).await?;
    Ok(Screen::done(format!("The node {node} was configured.")))
}

async fn delete(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, DELETE)? else {
        let instructions = "The node goes with its items, subscriptions and affiliations.";
        return Ok(Screen::Ask(answers::form(NS_OURS, "Delete a node", instructions, DELETE), Then::Complete));
    };
    let node = given.node("node")?;
    let redirect = given.text("redirect").map(std::sync::Arc::from);
    run.ask(Verb::Delete { node: node.clone(), redirect }).await?;
    Ok(Screen::done(format!("The node {node} was deleted.")))
}

async fn purge(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, &[NODE])? else {
        let instructions = "Every item of the node goes; the node stays.";
        let form = answers::form(NS_OURS, "Remove all items of a node", instructions, &[NODE]);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let node = given.node("node")?;
    run.ask(Verb::Purge { node: node.clone() }).await?;
    Ok(Screen::done(format!("All items of the node {node} were removed.")))
}

/// Nodes by name, a page at a time.
async fn list(run: &Run) -> Result<Screen, StanzaError> {
    let Some(given) = run.answered(0, LIST)? else {
        let instructions = "Nodes are shown by name. Without a pattern all of them are.";
        let form = answers::form(NS_OURS, "List and search nodes", instructions, LIST);
        return Ok(Screen::Ask(form, Then::Complete));
    };
    let search = Search::of(&given, run.shared.options.list_entries_max)?;
    let found = search.walk(run).await?;
    let row = |node: &Node| {
        vec![
            node.address.node.to_string(),
            node.config.title.to_string(),
            node.items.to_string(),
            node.config.access_model.as_str().to_owned(),
            node.config.publish_model.as_str().to_owned(),
            node.creator.to_string(),
        ]
    };
    let mut form = table(NS_OURS, "Nodes", COLUMNS, found.nodes.iter().map(row));
    let mut notes = vec![Note::info(match found.nodes.len() {
        0 => "No node was found.".to_owned(),
        1 => "One node was found.".to_owned(),
        count => format!("{count} nodes were found."),
    })];
    if let Some(next) = found.next {
        notes.push(Note::info(format!("There may be more: ask again for those after {next}")));
        form.fields.push(Field::new("after", FieldType::Hidden).with_value(next));
    }
    Ok(Screen::Done(notes, Some(form)))
}

const COLUMNS: &[(&str, FieldKind, &str)] = &[
    ("node", FieldKind::Text, "Node"),
    ("title", FieldKind::Text, "Title"),
    ("items", FieldKind::Number, "Items"),
    ("access_model", FieldKind::Text, "Access model"),
    ("publish_model", FieldKind::Text, "Publish model"),
    ("creator", FieldKind::Jid, "Created by"),
];

struct Search {
    glob: String,
    /// What every name begins with that the glob covers.
    prefix: String,
    edge: Edge,
    max: usize,
}

struct Nodes {
    nodes: Vec<Node>,
    /// Where to go on.
    next: Option<String>,
}

impl Search {
    fn of(given: &Answers, entries_max: u64) -> Result<Self, StanzaError> {
        // Prepared as names are, so that what looks alike is found.
        let glob = given.text("pattern").map(|_| given.node("pattern")).transpose()?;
        let mut glob = glob.map_or_else(|| "*".to_owned(), |glob| glob.to_string());
        if !glob.contains('*') {
            glob.push('*');
        }
        let mut prefix = glob.split('*').next().unwrap_or("").to_owned();
        // A place in the list is a name; the beginning of one need not be.
        while NodeId::parse(&prefix).is_none_or(|node| node.as_str() != prefix) && prefix.pop().is_some() {}
        let max = given.number("max").unwrap_or(LIST_MAX).clamp(1, LIST_MAX.min(entries_max));
        let edge = match given.text("after") {
            Some(_) => Edge::After(given.node("after")?.to_string()),
            None if prefix.is_empty() => Edge::First,
            None => Edge::After(prefix.clone()),
        };
        Ok(Search { glob, prefix, edge, max: usize::try_from(max).unwrap_or(usize::MAX) })
    }

    /// From the first name that may be covered to the last one, or to where it becomes too much.
    async fn walk(mut self, run: &Run) -> Result<Nodes, StanzaError> {
        let mut nodes = Vec::new();
        if self.edge == Edge::After(self.prefix.clone()) && glob_matches(&self.glob, &self.prefix) {
            nodes.extend(self.named_as_the_prefix(run).await?);
        }
        let mut seen = 0;
        loop {
            let page = Page { max: PAGE_NODES, edge: self.edge.clone() };
            let answered = run.ask(Verb::Nodes { page }).await?;
            let Answer::Nodes(list) = answered.answer else { return Err(errors::internal()) };
            for node in list.entries {
                let name = node.address.node.as_str();
                if !name.starts_with(&self.prefix) {
                    if name > self.prefix.as_str() {
                        return Ok(Nodes { nodes, next: None });
                    }
                    continue;
                }
                if glob_matches(&self.glob, name) {
                    if nodes.len() >= self.max {
                        let next = nodes.last().map(|node: &Node| node.address.node.to_string());
                        return Ok(Nodes { nodes, next });
                    }
                    nodes.push(node);
                }
            }
            seen += PAGE_NODES;
            match list.last {
                Some(last) if !list.complete && seen < SEARCHED_MAX => self.edge = Edge::After(last),
                last => return Ok(Nodes { nodes, next: last.filter(|_| !list.complete) }),
            }
        }
    }

    /// The node whose name is the prefix itself, before which the list was entered.
    async fn named_as_the_prefix(&self, run: &Run) -> Result<Option<Node>, StanzaError> {
        let Some(node) = NodeId::parse(&self.prefix) else { return Ok(None) };
        let verb = Verb::Metadata { node };
        let request = Request { caller: run.caller.clone(), service: run.service.clone(), verb: verb.clone() };
        match run.shared.engine.ask(request).await {
            Ok(answered) => match answered.answer {
                Answer::Metadata { node, .. } => Ok(Some(Node::clone(&node))),
                _ => Err(errors::internal()),
            },
            Err(crate::engine::Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => Ok(None),
            Err(_) => run.ask(verb).await.map(|_| None),
        }
    }
}

/// A configuration to be filled in, and whose it is.
fn titled(mut form: Form, node: &str) -> Form {
    form.title = Some(format!("Configuration of {node}"));
    form
}

/// The fields of a configuration; others are none of ours (XEP-0004 §3.1).
fn configuration(filled: &Answers) -> Vec<RawField> {
    let ours = |field: &&RawField| field.name.starts_with("pubsub#") || field.name.starts_with("tidings#");
    filled.fields().iter().filter(ours).cloned().collect()
}

/// Nodes of one answer.
const LIST_MAX: u64 = 500;
/// Nodes that a search asks for at a time.
const PAGE_NODES: u64 = 250;
/// Nodes that a search looks at before it answers with what it has.
const SEARCHED_MAX: u64 = 5000;

const CREATE: &[Question] =
    &[Question::optional("node", FieldKind::Text, "The name of the node; without one the service makes it")];

const DELETE: &[Question] = &[
    NODE,
    Question::optional("redirect", FieldKind::Text, "A URI where subscribers are to look instead, if there is one"),
];

const LIST: &[Question] = &[
    Question::optional(
        "pattern",
        FieldKind::Text,
        "The names wanted, with * for any characters; without a *, how names begin",
    ),
    Question::optional("after", FieldKind::Text, "Only names after this one, in the order of the list"),
    Question::number("max", "How many nodes to show", "50", (1, LIST_MAX)),
];
