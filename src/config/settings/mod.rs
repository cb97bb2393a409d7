//! The table of settings: a row each, in the order of the reference.

mod credentials;
mod im;
mod kind;
mod limits;
mod listen;
mod process;
mod pubsub;
mod streams;
mod value;

use super::Config;
pub use kind::Kind;
pub use value::Value;

/// One setting, from which its parser, its variable, its flag and its documentation are made.
pub struct Setting {
    /// `section.name`, as in a file's `[section]`, in `--set` and in the reference.
    pub key: &'static str,
    pub kind: Kind,
    pub unset: Unset,
    /// What it does: a sentence.
    pub meaning: &'static str,
    /// Why the default, or the limit, is what it is; empty where there is nothing to say.
    pub why: &'static str,
    /// Puts a value of the setting's kind in its place.
    pub(super) apply: Apply,
}

/// What holds when nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// This value, written as in `--set`.
    Is(&'static str),
    /// Something that depends on other settings.
    Follows(&'static str),
}

/// Settings that are secrets: not taken from the command line, which every user of the machine can read.
pub const SECRET_SETTINGS: &[&str] = &["component_of.secret"];

/// Every setting, section by section.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().copied().flatten()
}

const SECTIONS: &[&[Setting]] = &[
    listen::XMPP,
    listen::COMPONENT_OF,
    listen::HTTP,
    credentials::JWT,
    listen::ADMIN,
    pubsub::PUBSUB,
    process::DATA,
    credentials::AUTH,
    limits::LIMITS,
    streams::SM,
    streams::BOSH,
    process::STORE,
    pubsub::RETENTION,
    pubsub::WEBHOOKS,
    im::IM,
    im::CONTACT,
    process::TLS,
    process::LOG,
];

type Apply = fn(&mut Config, Value);

/// A row of the table, with its default.
const fn setting(key: &'static str, kind: Kind, default: &'static str) -> Row {
    Row { key, kind, unset: Unset::Is(default), meaning: "", why: "" }
}

/// A row whose default follows from something else.
const fn follows(key: &'static str, kind: Kind, what: &'static str) -> Row {
    Row { key, kind, unset: Unset::Follows(what), meaning: "", why: "" }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

/// A setting that nothing is done with yet.
struct Row {
    key: &'static str,
    kind: Kind,
    unset: Unset,
    meaning: &'static str,
    why: &'static str,
}

impl Row {
    const fn means(self, meaning: &'static str) -> Self {
        Row { meaning, ..self }
    }

    const fn why(self, why: &'static str) -> Self {
        Row { why, ..self }
    }

    const fn sets(self, apply: Apply) -> Setting {
        let Row { key, kind, unset, meaning, why } = self;
        Setting { key, kind, unset, meaning, why, apply }
    }
}
