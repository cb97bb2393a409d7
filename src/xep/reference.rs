//! `docs/fields.md`: every field of every form, made from the tables that forms are made from.

use std::fmt::Write as _;

use crate::engine;
use crate::jid::BareJid;
use crate::pubsub::{FIELDS, FieldKind, NodeConfig, OPTIONS, ServicePolicy, SubscriptionOptions, SubscriptionPolicy};
use crate::xep::Entity;
use crate::xep::commands::{self, Command, Question, Whom};
use crate::xep::pubsub::form::{self, field_type};

/// The document, with the limits that hold where nothing is set.
pub fn reference() -> String {
    let policy = engine::Options::default()
        .policy(BareJid::parse("pubsub.example.org").expect("it is an address, and a domain is one's service"));
    let mut out = String::from(HEAD);
    configuration(&mut out, &policy);
    options(&mut out, &policy.subscriptions);
    all_commands(&mut out);
    out
}

fn configuration(out: &mut String, policy: &ServicePolicy) {
    out.push_str(CONFIGURATION);
    out.push_str("\n| field | JSON | form | default | takes | |\n|---|---|---|---|---|---|\n");
    let new = NodeConfig::new(policy);
    for field in FIELDS {
        let default = match field.values(&new).join(", ") {
            text if text.is_empty() => "nothing".to_owned(),
            text => format!("`{text}`"),
        };
        let _ = writeln!(
            out,
            "| `{}` | `{}` {} | {} | {default} | {} | {} |",
            commands::var(field),
            field.name,
            json_type(field.kind),
            field_type(field.kind).as_str(),
            takes(field.kind, field.range(policy)),
            field.label,
        );
    }
    for (name, label) in [form::COLLECTION, form::CHILDREN] {
        let (json, kind) = (json_type(FieldKind::Texts), field_type(FieldKind::Texts).as_str());
        let _ = writeln!(out, "| `pubsub#{name}` | `{name}` {json} | {kind} | nothing | names of nodes | {label} |");
    }
}

fn options(out: &mut String, policy: &SubscriptionPolicy) {
    out.push_str(OPTIONS_HEAD);
    out.push_str("\n| field | JSON | form | default | takes | |\n|---|---|---|---|---|---|\n");
    let standard = SubscriptionOptions::default();
    for field in OPTIONS {
        let default = match field.values(&standard).join(", ") {
            text if text.is_empty() => "nothing".to_owned(),
            text => format!("`{text}`"),
        };
        let _ = writeln!(
            out,
            "| `pubsub#{}` | `{}` {} | {} | {default} | {} | {} |",
            field.name,
            field.name,
            json_type(field.kind),
            field_type(field.kind).as_str(),
            takes(field.kind, field.range(policy)),
            field.label,
        );
    }
}

fn takes(kind: FieldKind, range: Option<(u64, u64)>) -> String {
    match (kind, range) {
        (FieldKind::Choice(choices) | FieldKind::Choices(choices), _) => {
            let choice = |(value, meaning): &(&str, &str)| format!("`{value}`: {meaning}");
            choices.iter().map(choice).collect::<Vec<String>>().join("; ")
        }
        (_, Some((least, most))) => format!("{least} to {most}"),
        (FieldKind::Boolean, _) => "`1`, `0`, `true`, `false`".to_owned(),
        (FieldKind::Jid | FieldKind::Jids, _) => "addresses".to_owned(),
        (FieldKind::Number, None) => "whole numbers".to_owned(),
        (FieldKind::Text | FieldKind::Texts | FieldKind::Secret, _) => "text".to_owned(),
    }
}

fn json_type(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Boolean => "boolean",
        FieldKind::Number => "number",
        FieldKind::Text | FieldKind::Secret | FieldKind::Jid | FieldKind::Choice(_) => "string",
        FieldKind::Texts | FieldKind::Jids | FieldKind::Choices(_) => "array of strings",
    }
}

fn all_commands(out: &mut String) {
    out.push_str(COMMANDS);
    for (entity, head) in [(Entity::Service, SERVICE_COMMANDS), (Entity::Server, SERVER_COMMANDS)] {
        out.push_str(head);
        for command in commands::all().filter(|command| command.at == entity) {
            one_command(out, command);
        }
    }
}

fn one_command(out: &mut String, command: &Command) {
    let whom = match command.whom {
        Whom::Everyone => "everyone",
        Whom::Creators => "those who may create nodes",
        Whom::Owners => "owners of a node, and administrators",
        Whom::Administrators => "administrators",
    };
    let _ = write!(out, "\n### {}\n\n`{}`, for {whom}.\n", command.name, command.node);
    if !command.asks.is_empty() {
        out.push_str("\n| field | form | default | takes | |\n|---|---|---|---|---|\n");
    }
    for question in command.asks {
        let default = match (question.default, question.required) {
            (Some(value), _) => format!("`{value}`"),
            (None, true) => "required".to_owned(),
            (None, false) => "nothing".to_owned(),
        };
        let kind = field_type(question.kind).as_str();
        let _ =
            writeln!(out, "| `{}` | {kind} | {default} | {} | {} |", question.name, answers(question), question.label);
    }
}

fn answers(question: &Question) -> String {
    match (question.kind, question.range) {
        (FieldKind::Choice(choices), _) => {
            choices.iter().map(|(value, _)| format!("`{value}`")).collect::<Vec<String>>().join(", ")
        }
        (_, Some((least, most))) => format!("{least} to {most}"),
        (kind, None) => match kind {
            FieldKind::Jid => "an address".to_owned(),
            FieldKind::Jids => "addresses".to_owned(),
            FieldKind::Texts => "lines".to_owned(),
            _ => "text".to_owned(),
        },
    }
}

const HEAD: &str = "\
# Fields

Every field of every form that is offered, made from the tables from which the forms are made, with the limits that
hold where nothing else is set (see [configuration](configuration.md)).
";
const OPTIONS_HEAD: &str = "\n## Subscription options\n\nWhat a subscriber may choose (XEP-0060 §6.3, §16.4.2), in `http://jabber.org/protocol/pubsub#subscribe_options`.\n";
const CONFIGURATION: &str = "
## Node configuration

XEP-0060 §16.4.4, form type `http://jabber.org/protocol/pubsub#node_config`. Over HTTP the same fields are members of
`config`, by their JSON names. Numbers bear their limits in forms (XEP-0122).
";
const COMMANDS: &str = "
## Ad-hoc commands

XEP-0050. Where a command goes on with a second form, that is a node's configuration as above.
";
const SERVICE_COMMANDS: &str = "\nAt the pub/sub service, form type `tidings:commands:0`:\n";
const SERVER_COMMANDS: &str = "\nAt the server (XEP-0133), form type `http://jabber.org/protocol/admin`:\n";
