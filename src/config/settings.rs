//! The table of settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Config, Durability, LogFormat, Plain, Secret};
use crate::access::{ITERATIONS_MIN, JwtAlgorithm, VerifierKind};
use crate::delivery::webhook::{Networks, Schedule};
use crate::jid::BareJid;
use crate::pubsub::WhoCreates;

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
    pub(super) apply: fn(&mut Config, Value),
}

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

/// What holds when nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// This value, written as in `--set`.
    Is(&'static str),
    /// Something that depends on other settings.
    Follows(&'static str),
}

/// A value of its setting's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Uris(Vec<String>),
    Flag(bool),
    Count(u64),
    Text(String),
    Address(Option<SocketAddr>),
    Domain(BareJid),
    Path(PathBuf),
}

/// Settings that are secrets: not taken from the command line, which every user of the machine can read.
pub const SECRET_SETTINGS: &[&str] = &["component_of.secret"];

impl Kind {
    /// Reads a value as `--set` and variables bear it.
    pub(super) fn parse(self, text: &str) -> Result<Value, String> {
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
    pub(super) fn wanted(self) -> String {
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

/// Every setting, section by section.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "xmpp.domain",
        kind: Kind::Domain,
        unset: Unset::Is("localhost"),
        meaning: "The host whose accounts are kept here: users are `name@domain`.",
        why: "Accounts keep their domain. Choose it before the first start.",
        apply: |config, value| config.xmpp.domain = value.domain(),
    },
    Setting {
        key: "xmpp.listen",
        kind: Kind::Address,
        unset: Unset::Is("127.0.0.1:5222"),
        meaning: "Where XMPP clients connect; STARTTLS is required.",
        why: "Loopback until somebody decides otherwise.",
        apply: |config, value| config.xmpp.listen = value.address(),
    },
    Setting {
        key: "xmpp.listen_tls",
        kind: Kind::Address,
        unset: Unset::Is("127.0.0.1:5223"),
        meaning: "Where XMPP clients connect with TLS from the first byte (XEP-0368, ALPN `xmpp-client`).",
        why: "",
        apply: |config, value| config.xmpp.listen_tls = value.address(),
    },
    Setting {
        key: "xmpp.listen_component",
        kind: Kind::Address,
        unset: Unset::Is("127.0.0.1:5347"),
        meaning: "Where components connect (XEP-0114), once there is a `[[component]]`.",
        why: "The protocol has no encryption: keep it on loopback, or on a network of your own.",
        apply: |config, value| config.xmpp.listen_component = value.address(),
    },
    Setting {
        key: "component_of.host",
        kind: Kind::Text,
        unset: Unset::Is(""),
        meaning: "Another server behind which this one is a component (XEP-0114), as `host:port`; empty for none.",
        why: "The users of a Prosody, ejabberd or Openfire that stands already reach the pub/sub service through it.",
        apply: |config, value| config.component_of.host = value.text(),
    },
    Setting {
        key: "component_of.domain",
        kind: Kind::Domain,
        unset: Unset::Follows("`pubsub.service`"),
        meaning: "The service that the other server knows as its component.",
        why: "",
        apply: |config, value| config.component_of.domain = Some(value.domain()),
    },
    Setting {
        key: "component_of.secret",
        kind: Kind::Text,
        unset: Unset::Is(""),
        meaning: "The secret that is shared with the other server, of 16 bytes or more.",
        why: "",
        apply: |config, value| config.component_of.secret = Secret::new(value.text()),
    },
    Setting {
        key: "component_of.users",
        kind: Kind::Domain,
        unset: Unset::Follows("`component_of.domain` without its first label"),
        meaning: "The domain of the other server whose users may do what accounts may: create nodes, above all.",
        why: "Everyone else who comes through the other server is a stranger here.",
        apply: |config, value| config.component_of.users = Some(value.domain()),
    },
    Setting {
        key: "http.listen",
        kind: Kind::Address,
        unset: Unset::Is("127.0.0.1:8080"),
        meaning: "Where the HTTP API is served.",
        why: "Plain HTTP on loopback; on any other address TLS is required, so `tls.certificate` and `tls.key` must \
              be set, for tokens travel in its headers.",
        apply: |config, value| config.http.listen = value.address(),
    },
    Setting {
        key: "http.origins",
        kind: Kind::Text,
        unset: Unset::Is(""),
        meaning: "Whose pages may use the API from a browser, as `https://app.example.org`, separated by spaces.",
        why: "Pages of other origins are refused, WebSockets included. Those of this server itself always may.",
        apply: |config, value| config.http.origins = value.words(),
    },
    Setting {
        key: "jwt.issuer",
        kind: Kind::Text,
        unset: Unset::Is(""),
        meaning: "The issuer (`iss`) whose JSON Web Tokens are taken as bearer tokens; nobody's where it is empty.",
        why: "An issuer speaks for the accounts of `xmpp.domain`: `sub` is a bare JID there, or its local part. \
              Nobody administers by such a token.",
        apply: |config, value| config.jwt.issuer = value.text(),
    },
    Setting {
        key: "jwt.audience",
        kind: Kind::Text,
        unset: Unset::Is(""),
        meaning: "What the `aud` of a token must name.",
        why: "A token that was made for another service must not open this one.",
        apply: |config, value| config.jwt.audience = value.text(),
    },
    Setting {
        key: "jwt.keys",
        kind: Kind::Text,
        unset: Unset::Is(""),
        meaning: "The issuer's JSON Web Key Set: a path, or an https URL.",
        why: "It is read when a token names a key that is not known, at most once a minute.",
        apply: |config, value| config.jwt.keys = value.text(),
    },
    Setting {
        key: "jwt.authorities",
        kind: Kind::Path,
        unset: Unset::Follows("what the system trusts"),
        meaning: "Certificates, as PEM, that may vouch for the host of `jwt.keys`, beside those that the system trusts.",
        why: "",
        apply: |config, value| config.jwt.authorities = Some(value.path()),
    },
    Setting {
        key: "jwt.algorithms",
        kind: Kind::Text,
        unset: Unset::Is("RS256 PS256 ES256 EdDSA"),
        meaning: "The algorithms that a token may be signed with, separated by spaces.",
        why: "Of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA: public keys only. Fewer is better.",
        apply: |config, value| {
            let words = value.words();
            let known: Vec<_> = words.iter().filter_map(|word| JwtAlgorithm::named(word)).collect();
            // One that is not known leaves none, which the check of the whole refuses.
            config.jwt.algorithms = if known.len() == words.len() { known } else { Vec::new() };
        },
    },
    Setting {
        key: "jwt.types",
        kind: Kind::Text,
        unset: Unset::Is("at+jwt"),
        meaning: "The types (`typ`) of token that are taken, separated by spaces.",
        why: "RFC 9068 §4: an identity token must not pass for an access token. Some issuers still write `JWT`.",
        apply: |config, value| config.jwt.types = value.words(),
    },
    Setting {
        key: "jwt.strangers",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        meaning: "Whether a token may speak for an account that is not kept here.",
        why: "Then the issuer alone says who there is, and an account cannot be disabled here.",
        apply: |config, value| config.jwt.strangers = value.flag(),
    },
    Setting {
        key: "jwt.scopes",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        meaning: "Whether the words of `scope` that are scopes of this server, as `read:orders/*`, narrow a token.",
        why: "With it, a token without such a word allows nothing.",
        apply: |config, value| config.jwt.scopes = value.flag(),
    },
    Setting {
        key: "admin.listen",
        kind: Kind::Address,
        unset: Unset::Is("127.0.0.1:8081"),
        meaning: "Where metrics, readiness and `/v1/admin` are served.",
        why: "Apart from the API, so that it can stay unreachable from outside. On an address that is not loopback \
              it is held to the rule of `http.listen`.",
        apply: |config, value| config.admin.listen = value.address(),
    },
    Setting {
        key: "pubsub.service",
        kind: Kind::Domain,
        unset: Unset::Follows("`pubsub.` and `xmpp.domain`"),
        meaning: "The JID of the pub/sub service.",
        why: "Nodes keep the service that they were created at. Choose it before the first start.",
        apply: |config, value| config.pubsub.service = value.domain(),
    },
    Setting {
        key: "pubsub.auto_create",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        meaning: "Whether publishing to a node that is not there creates it, for those who may create nodes.",
        why: "A typo in a node's name should fail, not create a node that nobody watches.",
        apply: |config, value| config.pubsub.auto_create = value.flag(),
    },
    Setting {
        key: "pubsub.create",
        kind: Kind::Word(&["admins", "accounts", "anyone"]),
        unset: Unset::Is("accounts"),
        meaning: "Who may create nodes: administrators, whoever has an account here, or anyone.",
        why: "",
        apply: |config, value| {
            config.pubsub.create = match value.text().as_str() {
                "admins" => WhoCreates::Admins,
                "anyone" => WhoCreates::Anyone,
                _ => WhoCreates::Accounts,
            };
        },
    },
    Setting {
        key: "pubsub.items_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        unset: Unset::Is("10000"),
        meaning: "The most items that a node may be configured to keep, and what `max_items=max` means.",
        why: "Items are kept until they are displaced; this bounds what one owner can fill.",
        apply: |config, value| config.pubsub.items_max = value.count(),
    },
    Setting {
        key: "pubsub.multi_subscribe",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        meaning: "Whether one JID may have several subscriptions to a node, each with options of its own.",
        why: "Most clients count on one, and on a second request finding the first.",
        apply: |config, value| config.pubsub.subscriptions.multi_subscribe = value.flag(),
    },
    Setting {
        key: "pubsub.lease_seconds_max",
        kind: Kind::Count { min: 1, max: 3_155_760_000 },
        unset: Unset::Is("31622400"),
        meaning: "The longest lease of a subscription, in seconds; one that is asked for until later ends then.",
        why: "A year, and a day to renew it. Subscriptions that ask for no lease do not end by themselves.",
        apply: |config, value| {
            config.pubsub.subscriptions.lease_seconds_max = i64::try_from(value.count::<u64>()).unwrap_or(i64::MAX);
        },
    },
    Setting {
        key: "pubsub.digest_ms_min",
        kind: Kind::Count { min: 1, max: 86_400_000 },
        unset: Unset::Is("1000"),
        meaning: "The shortest time between two digests that a subscriber may ask for, in milliseconds.",
        why: "Below a second a digest spares nobody anything.",
        apply: |config, value| config.pubsub.subscriptions.digest_ms_min = value.count(),
    },
    Setting {
        key: "pubsub.bounces_max",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        unset: Unset::Is("16"),
        meaning: "Notifications that a session may send back with an error that may pass, one after the other, before \
                  the subscription ends; 0 for any number.",
        why: "One that says that nobody is there ends the subscription at once (XEP-0060 §12.4).",
        apply: |config, value| config.pubsub.bounces_max = value.count(),
    },
    Setting {
        key: "data.dir",
        kind: Kind::Path,
        unset: Unset::Is("tidings-data"),
        meaning: "The folder with the database, certificates and secrets. `--data` is short for it.",
        why: "Relative to where the server is started, so that the first minute needs no decision.",
        apply: |config, value| config.data.dir = value.path(),
    },
    Setting {
        key: "auth.scram_iterations",
        kind: Kind::Count { min: ITERATIONS_MIN as u64, max: 10_000_000 },
        unset: Unset::Is("100000"),
        meaning: "PBKDF2 rounds for new passwords.",
        why: "What XEP-0438 calls high. Each PLAIN or Basic login costs the server as many, each SCRAM login the \
              client. At least what RFC 7677 demands. Generated secrets of 128 bits or more use 10000.",
        apply: |config, value| config.auth.scram_iterations = value.count(),
    },
    Setting {
        key: "auth.plain",
        kind: Kind::Word(&["tls", "off"]),
        unset: Unset::Is("tls"),
        meaning: "Whether SASL PLAIN is offered on connections with TLS, or not at all.",
        why: "Some libraries know nothing else. Without TLS it is never offered.",
        apply: |config, value| {
            config.auth.plain = if value.text() == "off" { Plain::Off } else { Plain::Tls };
        },
    },
    Setting {
        key: "auth.sha1",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        meaning: "Whether SCRAM-SHA-1 is offered, after the better ones.",
        why: "RFC 6120 makes it mandatory to implement, and older clients know nothing else.",
        apply: |config, value| config.auth.sha1 = value.flag(),
    },
    Setting {
        key: "auth.verifier",
        kind: Kind::Word(&["scram", "argon2id"]),
        unset: Unset::Is("scram"),
        meaning: "How new passwords are kept unless `user add --verifier` says otherwise: as SCRAM keys, or as an \
                  Argon2id hash, which is dearer to attack and allows PLAIN and Basic only.",
        why: "Never both for one account: a thief attacks the cheaper one.",
        apply: |config, value| {
            config.auth.verifier = VerifierKind::parse(&value.text()).unwrap_or_default();
        },
    },
    Setting {
        key: "auth.oauthbearer",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        meaning: "Whether SASL OAUTHBEARER is offered on connections with TLS: with the tokens that HTTP takes, those \
                  without scopes.",
        why: "A service that publishes with a token can watch with it too, and needs no password.",
        apply: |config, value| config.auth.oauthbearer = value.flag(),
    },
    Setting {
        key: "auth.downgrade_protection",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        meaning: "Whether SCRAM shows the client a hash of what was offered, so that it notices what somebody has taken \
                  away on the way (XEP-0474).",
        why: "RFC 5802 has clients sign what they do not know. Some forget to: for those it can be switched off.",
        apply: |config, value| config.auth.downgrade_protection = value.flag(),
    },
    Setting {
        key: "auth.client_ca",
        kind: Kind::Path,
        unset: Unset::Follows("no client is asked for a certificate"),
        meaning: "Authorities, as PEM, whose client certificates log in by SASL EXTERNAL the accounts that they name \
                  as `xmppAddr` (XEP-0178).",
        why: "Off unless somebody runs such an authority: what it signs opens every account that it names.",
        apply: |config, value| config.auth.client_ca = Some(value.path()),
    },
    Setting {
        key: "auth.anonymous",
        kind: Kind::Domain,
        unset: Unset::Follows("nobody is let in without an account"),
        meaning: "A `[[host]]` at which everybody is let in by SASL ANONYMOUS, as a stranger with a name for the time \
                  of one session. Nothing else is offered there.",
        why: "A host of its own, so that a stranger's address can never be an account's.",
        apply: |config, value| config.auth.anonymous = Some(value.domain()),
    },
    Setting {
        key: "auth.anonymous_public",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        meaning: "Whether strangers may come from beyond this machine.",
        why: "A second key, so that what was tried on loopback does not become public with one line.",
        apply: |config, value| config.auth.anonymous_public = value.flag(),
    },
    Setting {
        key: "auth.fast_days",
        kind: Kind::Count { min: 0, max: 3_650 },
        unset: Unset::Is("21"),
        meaning: "For how long a client that has logged in may come back with a token instead of the password \
                  (XEP-0484); a token that is used is replaced daily. 0 is off.",
        why: "Long enough for a holiday. Another password ends all tokens at once.",
        apply: |config, value| config.auth.fast_days = value.count(),
    },
    Setting {
        key: "limits.connections_per_second",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        unset: Unset::Is("50"),
        meaning: "New connections a second from one address prefix (/32 or /64); those beyond it wait. 0 is off.",
        why: "A TLS handshake costs the server more than the client.",
        apply: |config, value| config.limits.connections_per_second = value.count(),
    },
    Setting {
        key: "limits.pending_authentications",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        unset: Unset::Is("100"),
        meaning: "Connections from one address prefix that have not logged in yet. 0 is off.",
        why: "Whoever has not said who he is should not hold much.",
        apply: |config, value| config.limits.pending_authentications = value.count(),
    },
    Setting {
        key: "limits.stanza_bytes",
        kind: Kind::Count { min: 10_000, max: 16 << 20 },
        unset: Unset::Is("262144"),
        meaning: "The largest stanza that a client may send. A payload may have 8192 bytes less, on every door.",
        why: "RFC 6120 §13.12 demands at least 10000.",
        apply: |config, value| config.limits.stanza_bytes = value.count(),
    },
    Setting {
        key: "limits.memory_bytes",
        kind: Kind::Count { min: 64 << 20, max: u64::MAX },
        unset: Unset::Is("1073741824"),
        meaning: "The budget for what is kept in memory for watchers and clients, shared bytes counted once.",
        why: "Beyond it the oldest of what is kept goes, and new connections are refused, before the system kills \
              the process.",
        apply: |config, value| config.limits.memory_bytes = value.count(),
    },
    Setting {
        key: "limits.tail_bytes",
        kind: Kind::Count { min: 4_096, max: 1 << 30 },
        unset: Unset::Is("1048576"),
        meaning: "Recent events of one node that are kept in memory for its watchers.",
        why: "A watcher that falls below reads from disk, and is not slower for the others.",
        apply: |config, value| config.limits.tail_bytes = value.count(),
    },
    Setting {
        key: "limits.watches_per_account",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        unset: Unset::Is("1000"),
        meaning: "Streams and long polls over HTTP that one account may have open.",
        why: "",
        apply: |config, value| config.limits.watches_per_account = value.count(),
    },
    Setting {
        key: "limits.commands_waiting",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        unset: Unset::Is("1000"),
        meaning: "Ad-hoc commands whose form has been shown and not been sent back yet.",
        why: "Ten of one session at most, of which the oldest makes room.",
        apply: |config, value| config.limits.commands_waiting = value.count(),
    },
    Setting {
        key: "limits.command_seconds",
        kind: Kind::Count { min: 1, max: 86_400 },
        unset: Unset::Is("600"),
        meaning: "How long the form of an ad-hoc command may take to be sent back.",
        why: "Long enough to look something up, short enough not to keep what was left behind.",
        apply: |config, value| config.limits.command_seconds = value.count(),
    },
    Setting {
        key: "limits.sessions_per_account",
        kind: Kind::Count { min: 1, max: 100_000 },
        unset: Unset::Is("10"),
        meaning: "XMPP sessions that one account may have.",
        why: "",
        apply: |config, value| config.limits.sessions_per_account = value.count(),
    },
    Setting {
        key: "limits.stanzas_per_second",
        kind: Kind::Count { min: 0, max: u32::MAX as u64 },
        unset: Unset::Is("20000"),
        meaning: "Stanzas that one XMPP session may send in a second; twice as many may come at once. 0 is off.",
        why: "Beyond it a session is read more slowly, and hurts nobody but itself.",
        apply: |config, value| config.limits.stanzas_per_second = value.count(),
    },
    Setting {
        key: "limits.bytes_per_second",
        kind: Kind::Count { min: 0, max: u32::MAX as u64 },
        unset: Unset::Is("16777216"),
        meaning: "Bytes that one XMPP session may send in a second; twice as many may come at once. 0 is off.",
        why: "White space counts too.",
        apply: |config, value| config.limits.bytes_per_second = value.count(),
    },
    Setting {
        key: "limits.http_body_bytes",
        kind: Kind::Count { min: 1_024, max: 64 << 20 },
        unset: Unset::Is("1048576"),
        meaning: "The largest body of an HTTP request.",
        why: "A batch is larger than an item.",
        apply: |config, value| config.limits.http.body_bytes = value.count(),
    },
    Setting {
        key: "limits.http_head_bytes",
        kind: Kind::Count { min: 8_192, max: 1 << 20 },
        unset: Unset::Is("16384"),
        meaning: "The largest head of an HTTP request.",
        why: "",
        apply: |config, value| config.limits.http.head_bytes = value.count(),
    },
    Setting {
        key: "limits.http_connections",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        unset: Unset::Is("20000"),
        meaning: "HTTP connections of each listener at once; those beyond it wait unaccepted.",
        why: "Each takes a descriptor, and an open stream some 12 KB.",
        apply: |config, value| config.limits.http.connections = value.count(),
    },
    Setting {
        key: "limits.http_head_seconds",
        kind: Kind::Count { min: 1, max: 600 },
        unset: Unset::Is("10"),
        meaning: "The time that a request has to bring its head, from the end of the last one; a connection without one is closed.",
        why: "Whoever has not asked for anything should not hold anything for long.",
        apply: |config, value| config.limits.http.head_seconds = value.count(),
    },
    Setting {
        key: "limits.http_body_bytes_per_second",
        kind: Kind::Count { min: 1, max: 1 << 30 },
        unset: Unset::Is("1024"),
        meaning: "A body that brings less than this, over 30 s on the average, is cut.",
        why: "Slower than this is nobody who means well.",
        apply: |config, value| config.limits.http.body_bytes_per_second = value.count(),
    },
    Setting {
        key: "limits.http_stall_seconds",
        kind: Kind::Count { min: 1, max: 86_400 },
        unset: Unset::Is("300"),
        meaning: "A peer that takes nothing of what is written to it for so long is cut.",
        why: "A reader that is slow loses nothing; one that is gone should not stay.",
        apply: |config, value| config.limits.http.stall_seconds = value.count(),
    },
    Setting {
        key: "limits.http_heartbeat_seconds",
        kind: Kind::Count { min: 1, max: 3_600 },
        unset: Unset::Is("15"),
        meaning: "A stream that was silent for so long says so.",
        why: "Proxies give up connections that are silent for a minute, often.",
        apply: |config, value| config.limits.http.heartbeat_seconds = value.count(),
    },
    Setting {
        key: "limits.http_requests_per_second",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        unset: Unset::Is("0"),
        meaning: "HTTP requests a second of one account, and twice as many at once; those beyond it are told when to \
                  come back. 0 is off.",
        why: "How many are too many depends on who the callers are.",
        apply: |config, value| config.limits.http.requests_per_second = value.count(),
    },
    Setting {
        key: "limits.http_bytes_per_second",
        kind: Kind::Count { min: 0, max: 1 << 40 },
        unset: Unset::Is("16777216"),
        meaning: "Bytes of request bodies a second of one account, and twice as many at once. Streams are slowed \
                  down, other requests are told when to come back. 0 is off.",
        why: "One account should not take the whole disk.",
        apply: |config, value| config.limits.http.bytes_per_second = value.count(),
    },
    Setting {
        key: "limits.idempotency_keys_per_account",
        kind: Kind::Count { min: 1, max: 1_000_000_000 },
        unset: Unset::Is("1000000"),
        meaning: "Idempotency keys of one account that are remembered, each for a day; those beyond it are told to \
                  come back.",
        why: "Each takes some 200 bytes of disk. A key that were forgotten early would break a promise in silence.",
        apply: |config, value| config.limits.idempotency_keys_per_account = value.count(),
    },
    Setting {
        key: "limits.requests_in_flight",
        kind: Kind::Count { min: 1, max: 10_000 },
        unset: Unset::Is("64"),
        meaning: "Requests of one XMPP session that are worked on at once; the next is read when one is answered.",
        why: "Enough to fill a commit, too few to fill the queue.",
        apply: |config, value| config.limits.requests_in_flight = value.count(),
    },
    Setting {
        key: "limits.engine_queue",
        kind: Kind::Count { min: 16, max: 1_000_000 },
        unset: Unset::Is("8192"),
        meaning: "Requests of all clients that wait for a commit; those beyond it are told to come back.",
        why: "More waiting makes nobody faster.",
        apply: |config, value| config.limits.engine_queue = value.count(),
    },
    Setting {
        key: "limits.password_checks_waiting",
        kind: Kind::Count { min: 1, max: 100_000 },
        unset: Unset::Is("256"),
        meaning: "Passwords that wait to be checked; those beyond it are told to come back.",
        why: "A check costs tens of milliseconds of a core: a longer queue would outlast the clients' patience.",
        apply: |config, value| config.limits.password_checks_waiting = value.count(),
    },
    Setting {
        key: "limits.auth_failures",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        unset: Unset::Is("10"),
        meaning: "Wrong credentials of one user from one address prefix, after which that pair must wait.",
        why: "By user alone there is only a delay of at most 5 s, so that nobody can lock an administrator out.",
        apply: |config, value| config.limits.auth_failures = value.count(),
    },
    Setting {
        key: "limits.auth_block_seconds",
        kind: Kind::Count { min: 1, max: 86_400 },
        unset: Unset::Is("900"),
        meaning: "For how long it must wait.",
        why: "",
        apply: |config, value| config.limits.auth_block_seconds = value.count(),
    },
    Setting {
        key: "limits.negotiation_seconds",
        kind: Kind::Count { min: 1, max: 600 },
        unset: Unset::Is("30"),
        meaning: "The time from the first byte of an XMPP connection to a bound resource.",
        why: "Whoever has not said who he is should not hold anything for long. A TLS handshake has 10 s of it.",
        apply: |config, value| config.limits.negotiation_seconds = value.count(),
    },
    Setting {
        key: "limits.ping_seconds",
        kind: Kind::Count { min: 1, max: 86_400 },
        unset: Unset::Is("60"),
        meaning: "Silence of a client after which it is asked whether it is there.",
        why: "Short of what routers and firewalls allow a silent connection.",
        apply: |config, value| config.limits.ping_seconds = value.count(),
    },
    Setting {
        key: "limits.idle_seconds",
        kind: Kind::Count { min: 2, max: 86_400 },
        unset: Unset::Is("180"),
        meaning: "Silence of a client after which its connection is given up, as is advertised (XEP-0478).",
        why: "Two answers may be lost on their way.",
        apply: |config, value| config.limits.idle_seconds = value.count(),
    },
    Setting {
        key: "limits.anonymous_sessions",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        unset: Unset::Is("1000"),
        meaning: "Anonymous sessions at a time.",
        why: "Each has an account of its own, so that no limit by account holds them.",
        apply: |config, value| config.limits.anonymous_sessions = value.count(),
    },
    Setting {
        key: "sm.resume_seconds",
        kind: Kind::Count { min: 0, max: 86_400 },
        unset: Unset::Is("600"),
        meaning: "How long a session whose connection was lost may be resumed (XEP-0198). 0 is never.",
        why: "A tunnel, a change of networks, a laptop's lid; beyond it a new session costs less than waiting.",
        apply: |config, value| config.sm.resume_seconds = value.count(),
    },
    Setting {
        key: "sm.queue_stanzas",
        kind: Kind::Count { min: 16, max: 1_000_000 },
        unset: Unset::Is("1000"),
        meaning: "Stanzas that a session without a connection may have unacknowledged; with one more it ends.",
        why: "Events of nodes are kept as positions, and no more are shown until some are acknowledged.",
        apply: |config, value| config.sm.queue_stanzas = value.count(),
    },
    Setting {
        key: "sm.queue_bytes",
        kind: Kind::Count { min: 65_536, max: 1 << 30 },
        unset: Unset::Is("4194304"),
        meaning: "Bytes of such stanzas, events of nodes apart.",
        why: "",
        apply: |config, value| config.sm.queue_bytes = value.count(),
    },
    Setting {
        key: "sm.hibernated_per_account",
        kind: Kind::Count { min: 1, max: 100_000 },
        unset: Unset::Is("5"),
        meaning: "Sessions of one account that may wait to be resumed; with one more the oldest ends.",
        why: "They count among `limits.sessions_per_account` too.",
        apply: |config, value| config.sm.hibernated_per_account = value.count(),
    },
    Setting {
        key: "sm.ack_seconds",
        kind: Kind::Count { min: 1, max: 3_600 },
        unset: Unset::Is("30"),
        meaning: "How long a client may take to answer a request for acknowledgement before its connection is given \
                  up; its session can be resumed.",
        why: "A dead connection is noticed by this before the system notices.",
        apply: |config, value| config.sm.ack_seconds = value.count(),
    },
    Setting {
        key: "bosh.wait_seconds",
        kind: Kind::Count { min: 1, max: 3_600 },
        unset: Unset::Is("60"),
        meaning: "How long a request of a stream over HTTP (XEP-0124) is kept waiting for something to answer.",
        why: "Below the time after which proxies cut requests.",
        apply: |config, value| config.bosh.wait_seconds = value.count(),
    },
    Setting {
        key: "bosh.inactivity_seconds",
        kind: Kind::Count { min: 1, max: 3_600 },
        unset: Unset::Is("60"),
        meaning: "How long such a client may be without a request before it is taken for gone.",
        why: "",
        apply: |config, value| config.bosh.inactivity_seconds = value.count(),
    },
    Setting {
        key: "bosh.polling_seconds",
        kind: Kind::Count { min: 0, max: 600 },
        unset: Unset::Is("5"),
        meaning: "The least time between two requests of such a client that bring nothing. With 0 there is none.",
        why: "Whoever asks more often should let his requests wait.",
        apply: |config, value| config.bosh.polling_seconds = value.count(),
    },
    Setting {
        key: "bosh.pause_seconds",
        kind: Kind::Count { min: 0, max: 3_600 },
        unset: Unset::Is("120"),
        meaning: "The longest pause that such a client may ask for. With 0 none may.",
        why: "As long as it takes to come from one page to the next.",
        apply: |config, value| config.bosh.pause_seconds = value.count(),
    },
    Setting {
        key: "bosh.sessions",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        unset: Unset::Is("10000"),
        meaning: "Streams over HTTP requests at a time.",
        why: "They cost no connection while nobody asks, so that no limit of connections holds them.",
        apply: |config, value| config.bosh.sessions = value.count(),
    },
    Setting {
        key: "store.durability",
        kind: Kind::Word(&["full", "relaxed"]),
        unset: Unset::Is("full"),
        meaning: "Whether a publish that was answered survives the loss of power, or only the death of the process.",
        why: "One commit serves all that queued up, so that the full promise is affordable.",
        apply: |config, value| {
            config.store.durability = if value.text() == "relaxed" { Durability::Relaxed } else { Durability::Full };
        },
    },
    Setting {
        key: "store.readers",
        kind: Kind::Count { min: 1, max: 64 },
        unset: Unset::Is("4"),
        meaning: "Connections that read the database at once.",
        why: "Reads of a disk wait more than they work.",
        apply: |config, value| config.store.readers = value.count(),
    },
    Setting {
        key: "retention.events",
        kind: Kind::Count { min: 1, max: 100_000_000 },
        unset: Unset::Is("10000"),
        meaning: "Events that a node's log keeps for watchers that come back.",
        why: "Whichever of the three limits is reached first holds.",
        apply: |config, value| config.retention.events = value.count(),
    },
    Setting {
        key: "retention.days",
        kind: Kind::Count { min: 1, max: 36_500 },
        unset: Unset::Is("7"),
        meaning: "For how long a node's log keeps an event, and the name of a deleted node is remembered.",
        why: "A week lets a watcher miss a long weekend.",
        apply: |config, value| config.retention.days = value.count(),
    },
    Setting {
        key: "retention.bytes",
        kind: Kind::Count { min: 65_536, max: 1 << 40 },
        unset: Unset::Is("67108864"),
        meaning: "Bytes of payload that a node's log keeps.",
        why: "",
        apply: |config, value| config.retention.bytes = value.count(),
    },
    Setting {
        key: "webhooks.allow_http",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        meaning: "Whether webhooks are sent to URLs of `http:` too.",
        why: "What is sent is signed and not encrypted: for endpoints behind a wall, and for trying things out.",
        apply: |config, value| config.webhooks.allow_http = value.flag(),
    },
    Setting {
        key: "webhooks.networks",
        kind: Kind::Networks,
        unset: Unset::Is(""),
        meaning: "Networks to which webhooks are sent though they are not on the internet.",
        why: "Loopback, private, link-local and all other reserved addresses are refused otherwise: whoever creates a \
              webhook would make this server ask for him where he cannot.",
        apply: |config, value| config.webhooks.networks = Networks::parse(&value.text()).unwrap_or_default(),
    },
    Setting {
        key: "webhooks.retry_seconds",
        kind: Kind::Waits,
        unset: Unset::Is("0,5,300,1800,7200,18000,36000,50400,72000,86400"),
        meaning: "How long to wait before each attempt of a delivery, the first among them, give or take a fifth; after \
                  the last it is a dead letter.",
        why: "Some 75 hours: an endpoint may be down over a weekend.",
        apply: |config, value| config.webhooks.retry = Schedule::parse(&value.text()).unwrap_or_default(),
    },
    Setting {
        key: "webhooks.timeout_seconds",
        kind: Kind::Count { min: 1, max: 300 },
        unset: Unset::Is("15"),
        meaning: "For one attempt, from the resolution of the name to the end of the answer.",
        why: "",
        apply: |config, value| config.webhooks.timeout_seconds = value.count(),
    },
    Setting {
        key: "webhooks.per_node",
        kind: Kind::Count { min: 0, max: 10_000 },
        unset: Unset::Is("100"),
        meaning: "Webhooks of one node.",
        why: "Each is a task and up to 64 connections.",
        apply: |config, value| config.webhooks.per_node = value.count(),
    },
    Setting {
        key: "webhooks.ca_file",
        kind: Kind::Path,
        unset: Unset::Is("/etc/ssl/certs/ca-certificates.crt"),
        meaning: "The authorities whose certificates endpoints may show, as PEM.",
        why: "Where Debian keeps them.",
        apply: |config, value| config.webhooks.ca_file = value.path(),
    },
    Setting {
        key: "im.roster_items",
        kind: Kind::Count { min: 1, max: 100_000 },
        unset: Unset::Is("2000"),
        meaning: "Contacts that one account may have. As many requests of strangers may wait beside them.",
        why: "Presence goes to each of them.",
        apply: |config, value| config.im.roster_items = value.count(),
    },
    Setting {
        key: "im.blocked_addresses",
        kind: Kind::Count { min: 1, max: 100_000 },
        unset: Unset::Is("1000"),
        meaning: "Addresses that one account may block (XEP-0191).",
        why: "They are looked through for each message that the account is sent.",
        apply: |config, value| config.im.blocked_addresses = value.count(),
    },
    Setting {
        key: "im.offline_messages",
        kind: Kind::Count { min: 0, max: 10_000 },
        unset: Unset::Is("100"),
        meaning: "Messages that wait for an account until it comes online (XEP-0160); 0 keeps none. Events of nodes \
                  never wait here.",
        why: "Whoever writes more to somebody who is away is told that it did not arrive.",
        apply: |config, value| config.im.offline_messages = value.count(),
    },
    Setting {
        key: "im.change_password",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        meaning: "Whether an account may change its password over XMPP (XEP-0077). What was opened with the old one \
                  ends, and the account's API tokens are revoked.",
        why: "",
        apply: |config, value| config.im.change_password = value.flag(),
    },
    Setting {
        key: "im.remove_account",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        meaning: "Whether an account may remove itself over XMPP (XEP-0077), with its roster, archive and tokens. \
                  Nobody makes one that way.",
        why: "",
        apply: |config, value| config.im.remove_account = value.flag(),
    },
    Setting {
        key: "im.archive_days",
        kind: Kind::Count { min: 0, max: 36_500 },
        unset: Unset::Is("30"),
        meaning: "How long messages stay in the archives of accounts (XEP-0313); 0 keeps no archives. Events of nodes \
                  never enter them.",
        why: "A device that comes online once a month misses nothing.",
        apply: |config, value| config.im.archive_days = value.count(),
    },
    Setting {
        key: "im.archive_messages",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        unset: Unset::Is("10000"),
        meaning: "Messages in the archive of one account; the oldest make room.",
        why: "",
        apply: |config, value| config.im.archive_messages = value.count(),
    },
    Setting {
        key: "im.archive_default",
        kind: Kind::Word(&["always", "roster", "never"]),
        unset: Unset::Is("always"),
        meaning: "Whose messages are archived for those who have not chosen (XEP-0441): everybody's, those of \
                  contacts, or nobody's.",
        why: "Clients that synchronise their devices from the archive rely on finding everything there.",
        apply: |config, value| {
            config.im.archive_default = crate::im::Policy::parse(&value.text()).unwrap_or_default();
        },
    },
    Setting {
        key: "contact.abuse",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about abuse of the service (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.abuse = value.uris(),
    },
    Setting {
        key: "contact.admin",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about its administration (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.admin = value.uris(),
    },
    Setting {
        key: "contact.feedback",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about what people think of it (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.feedback = value.uris(),
    },
    Setting {
        key: "contact.sales",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about what it costs (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.sales = value.uris(),
    },
    Setting {
        key: "contact.security",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about its security (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.security = value.uris(),
    },
    Setting {
        key: "contact.status",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about whether it is up (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.status = value.uris(),
    },
    Setting {
        key: "contact.support",
        kind: Kind::Uris,
        unset: Unset::Is(""),
        meaning: "Where to write about help with it (XEP-0157), as URIs.",
        why: "",
        apply: |config, value| config.contact.support = value.uris(),
    },
    Setting {
        key: "tls.certificate",
        kind: Kind::Path,
        unset: Unset::Follows("a self-signed certificate in the data folder"),
        meaning: "The chain of certificates for all listeners with TLS, as PEM, the server's own first.",
        why: "The self-signed one is for trying things out: clients must be told to trust it.",
        apply: |config, value| config.tls.certificate = Some(value.path()),
    },
    Setting {
        key: "tls.key",
        kind: Kind::Path,
        unset: Unset::Follows("the key of the self-signed certificate"),
        meaning: "The private key of the certificate, as PEM.",
        why: "",
        apply: |config, value| config.tls.key = Some(value.path()),
    },
    Setting {
        key: "tls.reload_seconds",
        kind: Kind::Count { min: 0, max: 86_400 },
        unset: Unset::Is("10"),
        meaning: "How often the files of certificates are looked at; new connections get what stands in them. 0 is \
                  only when the process gets SIGHUP.",
        why: "Whatever renews certificates then need not know of this server. Where a file cannot be used the former \
              certificate stays.",
        apply: |config, value| config.tls.reload_seconds = value.count(),
    },
    Setting {
        key: "log.format",
        kind: Kind::Word(&["text", "json"]),
        unset: Unset::Is("text"),
        meaning: "How log lines look. `--log-format` is short for it.",
        why: "",
        apply: |config, value| {
            config.log.format = if value.text() == "json" { LogFormat::Json } else { LogFormat::Text };
        },
    },
    Setting {
        key: "log.filter",
        kind: Kind::Text,
        unset: Unset::Is("info"),
        meaning: "What is logged, as `level` or `target=level,…`; the variable `TIDINGS_LOG` goes before it.",
        why: "Nothing is logged for each message at this level, and never a payload, password or token at any.",
        apply: |config, value| config.log.filter = value.text(),
    },
];
