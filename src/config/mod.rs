//! Every setting: its type, default, meaning, reason and limit. One table, [`settings`], makes the
//! parser, the variables, the flags, the mistakes and the reference, so that none can lag behind.
//!
//! Settings come, the later over the earlier, from the defaults, a TOML file, variables such as
//! `TIDINGS__XMPP__LISTEN`, and flags (`--data`, `--set key=value`). [`load`] either gives a whole
//! [`Config`] of checked values or names every mistake with its place.
//!
//! Nobody imports this room but `server`, `cli` and `main`: every other room is handed plain options.

mod hooks;
mod mistake;
mod read;
mod reference;
mod settings;
mod verify;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::access::{JwtAlgorithm, VerifierKind};
use crate::delivery::webhook::{Networks, Schedule};
use crate::jid::BareJid;
use crate::pubsub::{SubscriptionPolicy, Template, WhoCreates};
pub use crate::stream::component::{Secret, Served};

pub use crate::store::sqlite::Durability;
pub use mistake::{Mistake, Place};
pub use reference::reference;
pub use settings::{Kind, Setting, Unset, settings};

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub xmpp: Xmpp,
    pub http: Http,
    pub jwt: Jwt,
    pub admin: Admin,
    pub pubsub: Pubsub,
    /// The hosts, the one of `xmpp.domain` and `pubsub.service` first.
    pub hosts: Vec<Host>,
    /// Senders of webhooks, from `[[hook]]`.
    pub hooks: Vec<crate::http::Hook>,
    pub webhooks: Webhooks,
    /// Components that may connect.
    pub components: Vec<Served>,
    pub component_of: ComponentOf,
    /// What holds for nodes by their names, in the order of the file.
    pub templates: Vec<Template>,
    pub data: Data,
    pub auth: Auth,
    pub limits: Limits,
    pub sm: Sm,
    pub bosh: Bosh,
    pub store: Store,
    pub retention: Retention,
    pub im: Im,
    pub contact: crate::xep::Contacts,
    pub tls: Tls,
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Xmpp {
    pub domain: BareJid,
    pub listen: Option<SocketAddr>,
    pub listen_tls: Option<SocketAddr>,
    pub listen_component: Option<SocketAddr>,
}

/// The server behind which this one is a component.
#[derive(Clone, Debug)]
pub struct ComponentOf {
    /// Empty where there is none.
    pub host: String,
    pub domain: Option<BareJid>,
    pub secret: Secret,
    pub users: Option<BareJid>,
    pub retry_seconds: u64,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: Option<SocketAddr>,
    pub origins: Vec<String>,
}

/// Whose JSON Web Tokens are taken; of nobody where `issuer` is empty.
#[derive(Clone, Debug, Default)]
pub struct Jwt {
    pub issuer: String,
    pub audience: String,
    pub keys: String,
    pub authorities: Option<PathBuf>,
    pub algorithms: Vec<JwtAlgorithm>,
    pub types: Vec<String>,
    pub strangers: bool,
    pub scopes: bool,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
pub struct Pubsub {
    pub service: BareJid,
    pub auto_create: bool,
    pub create: WhoCreates,
    pub items_max: u64,
    pub attached_items_max: u64,
    pub children_max: u64,
    pub parents_max: usize,
    pub subscriptions: SubscriptionPolicy,
    pub bounces_max: u64,
    pub missed_items_max: usize,
}

/// A domain whose accounts are kept here, and its pub/sub service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub domain: BareJid,
    pub service: BareJid,
    /// Its certificate and key; that of the server where absent.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug)]
pub struct Data {
    pub dir: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Auth {
    pub scram_iterations: u32,
    pub plain: Plain,
    pub sha1: bool,
    pub verifier: VerifierKind,
    pub oauthbearer: bool,
    pub downgrade_protection: bool,
    pub client_ca: Option<PathBuf>,
    /// The host at which everybody is let in under a name of his own.
    pub anonymous: Option<BareJid>,
    pub anonymous_public: bool,
    /// 0: no tokens.
    pub fast_days: u64,
}

/// Whether PLAIN is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Tls,
    Off,
}

/// What HTTP may bring, and how long its connections may be silent, slow or deaf.
#[derive(Clone, Debug, Default)]
pub struct HttpLimits {
    pub body_bytes: usize,
    pub head_bytes: usize,
    pub requests_per_second: u64,
    pub bytes_per_second: u64,
    pub connections: usize,
    pub head_seconds: u64,
    pub body_bytes_per_second: u64,
    pub stall_seconds: u64,
    pub heartbeat_seconds: u64,
    pub wait_seconds: u64,
}

/// For each, 0 is off only where [`settings`] says so.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections_per_second: u32,
    pub pending_authentications: u32,
    pub stanza_bytes: usize,
    pub memory_bytes: u64,
    pub tail_bytes: usize,
    pub watches_per_account: usize,
    pub commands_waiting: usize,
    pub command_seconds: u32,
    pub sessions_per_account: usize,
    pub stanzas_per_second: u32,
    pub bytes_per_second: u32,
    pub http: HttpLimits,
    pub idempotency_keys_per_account: u64,
    pub requests_in_flight: usize,
    pub engine_queue: usize,
    pub password_checks_waiting: usize,
    pub auth_failures: u32,
    pub auth_block_seconds: u64,
    pub registrations_per_hour: u32,
    pub negotiation_seconds: u64,
    pub ping_seconds: u64,
    pub idle_seconds: u64,
    pub stall_seconds: u64,
    pub anonymous_sessions: usize,
}

/// Streams over HTTP requests.
#[derive(Clone, Debug, Default)]
pub struct Bosh {
    pub wait_seconds: u64,
    pub inactivity_seconds: u64,
    pub polling_seconds: u64,
    pub pause_seconds: u64,
    pub sessions: usize,
}

/// Stream management.
#[derive(Clone, Debug)]
pub struct Sm {
    pub resume_seconds: u64,
    pub queue_stanzas: usize,
    pub queue_bytes: usize,
    pub hibernated_per_account: usize,
    pub ack_seconds: u64,
}

/// Outbound webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub allow_http: bool,
    pub networks: Networks,
    pub retry: Schedule,
    pub timeout_seconds: u64,
    pub ca_file: PathBuf,
    pub per_node: usize,
}

#[derive(Clone, Debug)]
pub struct Store {
    pub durability: Durability,
    pub readers: usize,
}

#[derive(Clone, Debug)]
pub struct Retention {
    pub events: u64,
    pub days: u64,
    pub bytes: u64,
}

/// Instant messaging between the accounts.
#[derive(Clone, Debug, Default)]
pub struct Im {
    pub roster_items: u64,
    pub blocked_addresses: usize,
    pub offline_messages: u64,
    pub change_password: bool,
    pub remove_account: bool,
    pub register: bool,
    pub client_state: bool,
    pub archive_days: u64,
    pub archive_messages: u64,
    pub archive_default: crate::im::Policy,
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// 0: only when asked to.
    pub reload_seconds: u64,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where settings are looked for. The default is nowhere: every default stands.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Names and values of variables; those that do not begin with [`VARIABLE_PREFIX`] are passed over.
    pub variables: Vec<(String, String)>,
    /// `key=value` each.
    pub sets: Vec<String>,
    pub data: Option<PathBuf>,
}

impl Sources {
    /// The sources of this process: the file given, or that of `TIDINGS_CONFIG`, or `./tidings.toml`
    /// where it stands; and the variables.
    pub fn of_process(config: Option<PathBuf>, data: Option<PathBuf>, sets: Vec<String>) -> Self {
        let named = config.or_else(|| std::env::var_os("TIDINGS_CONFIG").map(PathBuf::from));
        let file = named.or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Sources { file, variables, sets, data }
    }
}

/// Reads and checks everything; all mistakes in the order of the sources and of the lines.
pub fn load(sources: &Sources) -> Result<Config, Vec<Mistake>> {
    let (given, mut mistakes) = read::read(sources);
    let (config, more) = verify::complete(given);
    mistakes.extend(more);
    mistakes.sort_by_key(Mistake::order);
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
}

/// `TIDINGS__XMPP__LISTEN` is `xmpp.listen`.
pub const VARIABLE_PREFIX: &str = "TIDINGS__";

/// The file that is read where none is named.
pub const FILE: &str = "tidings.toml";

#[cfg(test)]
mod tests;
