//! What can be written as a setting.

use std::path::PathBuf;

use super::Value;
use crate::delivery::webhook::{Networks, Schedule};
use crate::jid::BareJid;

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// URIs with spaces between them.
    Uris,
    Flag,
    Count {
        min: u64,
        max: u64,
    },
    Text,
    Word(&'static [&'static str]),
    /// An IP address and a port, of which 0 lets the system choose; or `off`.
    Address,
    /// A JID without a local part.
    Domain,
    Path,
    /// Networks such as `10.0.0.0/8`, with commas between.
    Networks,
    /// Seconds, with commas between.
    Waits,
}

impl Kind {
    /// Reads a value as `--set` and variables bear it.
    pub(in crate::config) fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Uris if text.split_whitespace().all(is_uri) => {
                Ok(Value::Uris(text.split_whitespace().map(str::to_owned).collect()))
            }
            Kind::Uris => Err(self.wanted()),
            Kind::Flag => match text {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => Err(self.wanted()),
            },
            Kind::Count { min, max } => match text.replace('_', "").parse::<u64>() {
                Ok(count) if (min..=max).contains(&count) => Ok(Value::Count(count)),
                _ => Err(self.wanted()),
            },
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Word(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Kind::Word(_) => Err(self.wanted()),
            Kind::Address if text == "off" => Ok(Value::Address(None)),
            Kind::Address => text.parse().map(|address| Value::Address(Some(address))).map_err(|_| self.wanted()),
            Kind::Domain => match BareJid::parse(text) {
                Ok(jid) if jid.local().is_none() => Ok(Value::Domain(jid)),
                _ => Err(self.wanted()),
            },
            Kind::Path if text.is_empty() => Err(self.wanted()),
            Kind::Path => Ok(Value::Path(PathBuf::from(text))),
            Kind::Networks if Networks::parse(text).is_none() => Err(self.wanted()),
            Kind::Waits if Schedule::parse(text).is_none() => Err(self.wanted()),
            Kind::Networks | Kind::Waits => Ok(Value::Text(text.to_owned())),
        }
    }

    /// What should have been written.
    pub(in crate::config) fn wanted(self) -> String {
        match self {
            Kind::Uris => "must be URIs with spaces between them, such as \"mailto:a@example.org\"".to_owned(),
            Kind::Flag => "must be true or false".to_owned(),
            Kind::Count { min, max: u64::MAX } => format!("must be a whole number, at least {min}"),
            Kind::Count { min, max } => format!("must be a whole number from {min} to {max}"),
            Kind::Text => "must be text in quotes".to_owned(),
            Kind::Word(words) => format!("must be one of {}", words.join(", ")),
            Kind::Address => {
                "must be an IP address and a port, such as \"127.0.0.1:5222\" or \"[::1]:5222\", or \"off\"".to_owned()
            }
            Kind::Domain => "must be the name of a host, such as \"example.org\"".to_owned(),
            Kind::Path => "must be the path of a file or folder".to_owned(),
            Kind::Networks => "must be networks with commas between, such as \"10.0.0.0/8, fd00::/8\"".to_owned(),
            Kind::Waits => "must be at most 100 numbers of seconds with commas between".to_owned(),
        }
    }
}

/// A scheme and what follows it (RFC 3986 §3.1), of characters that need no escape.
fn is_uri(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    let parts = text.split_once(':');
    parts.is_some_and(|(before, after)| {
        scheme(before) && !after.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
    })
}
