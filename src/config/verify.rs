//! From values to a configuration, and the rules that join several settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::{Mistake, Place};
use super::read::{Given, GivenTemplate};
use super::settings::{Unset, settings};
use super::{
    Admin, Auth, ComponentOf, Config, Data, Durability, Host, Http, HttpLimits, Jwt, Limits, Log, LogFormat, Plain,
    Pubsub, Retention, Secret, Sm, Store, Tls, Webhooks, Xmpp,
};
use crate::access::{JwtAlgorithm, VerifierKind};
use crate::delivery::webhook::{Networks, Schedule};
use crate::jid::BareJid;
use crate::pubsub::{NodeConfig, Refusal, ServicePolicy, SubscriptionPolicy, WhoCreates};
use crate::server::STANZA_OVERHEAD_BYTES;

pub fn complete(given: Given) -> (Config, Vec<Mistake>) {
    let mut config = blank();
    let mut checks = Checks { given, mistakes: Vec::new() };
    for setting in settings() {
        let written = checks.given.values.get(setting.key).map(|(value, _)| value.clone());
        let value = written.or_else(|| match setting.unset {
            Unset::Is(text) => Some(setting.kind.parse(text).expect("a test parses every default")),
            Unset::Follows(_) => None,
        });
        if let Some(value) = value {
            (setting.apply)(&mut config, value);
        }
    }
    config.hooks = std::mem::take(&mut checks.given.hooks);
    checks.hosts(&mut config);
    checks.components(&mut config);
    checks.component_of(&mut config);
    checks.templates(&mut config);
    checks.certificate(&config.tls);
    checks.anonymous(&config);
    checks.encryption("http.listen", config.http.listen, &config.tls);
    checks.encryption("admin.listen", config.admin.listen, &config.tls);
    checks.ports(&config);
    checks.origins(&config.http.origins);
    checks.jwt(&config.jwt);
    (config, checks.mistakes)
}

struct Checks {
    given: Given,
    mistakes: Vec<Mistake>,
}

impl Checks {
    fn hosts(&mut self, config: &mut Config) {
        if !self.given.values.contains_key("pubsub.service") {
            match service_of(&config.xmpp.domain) {
                Some(service) => config.pubsub.service = service,
                None => self.wrong("xmpp.domain", "xmpp.domain leaves no room for pubsub. before it"),
            }
        }
        let first =
            Host { domain: config.xmpp.domain.clone(), service: config.pubsub.service.clone(), certificate: None };
        let mut taken = vec![first.domain.clone()];
        if first.service == first.domain {
            self.wrong("pubsub.service", "pubsub.service must not be xmpp.domain");
        } else {
            taken.push(first.service.clone());
        }
        config.hosts = vec![first];
        for host in std::mem::take(&mut self.given.hosts) {
            let Some(service) = host.service.or_else(|| service_of(&host.domain)) else {
                self.mistakes.push(Mistake::new(&host.place, "host.domain leaves no room for pubsub. before it"));
                continue;
            };
            for jid in [&host.domain, &service] {
                if taken.contains(jid) {
                    let what = format!("{jid} stands for two things: domains and services must differ");
                    self.mistakes.push(Mistake::new(&host.place, what));
                }
                taken.push(jid.clone());
            }
            let certificate = match (host.certificate, host.key) {
                (None, None) => None,
                (Some(certificate), Some(key)) => Some((certificate, key)),
                _ => {
                    let what = "host.certificate and host.key go together";
                    self.mistakes.push(Mistake::new(&host.place, what));
                    None
                }
            };
            for path in certificate.iter().flat_map(|(certificate, key)| [certificate, key]) {
                if let Err(error) = readable(path) {
                    self.mistakes.push(Mistake::new(&host.place, format!("{}: {error}", path.display())));
                }
            }
            config.hosts.push(Host { domain: host.domain, service, certificate });
        }
    }

    fn components(&mut self, config: &mut Config) {
        let mut taken: Vec<BareJid> =
            config.hosts.iter().flat_map(|host| [host.domain.clone(), host.service.clone()]).collect();
        for component in std::mem::take(&mut self.given.components) {
            if taken.contains(&component.served.domain) {
                let what =
                    format!("{} stands for two things: a component needs a domain of its own", component.served.domain);
                self.mistakes.push(Mistake::new(&component.place, what));
            }
            if component.served.secret.len() < SECRET_BYTES_MIN {
                let what = format!("component.secret must have {SECRET_BYTES_MIN} bytes or more");
                self.mistakes.push(Mistake::new(&component.place, what));
            }
            taken.push(component.served.domain.clone());
            config.components.push(component.served);
        }
    }

    fn component_of(&mut self, config: &mut Config) {
        let of = &mut config.component_of;
        if of.host.is_empty() {
            return;
        }
        if of.host.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
            self.wrong("component_of.host", "component_of.host must be host:port");
        }
        if of.secret.len() < SECRET_BYTES_MIN {
            let what = format!("component_of.secret must have {SECRET_BYTES_MIN} bytes or more");
            self.wrong("component_of.secret", what);
        }
        let domain = of.domain.get_or_insert_with(|| config.pubsub.service.clone()).clone();
        if !config.hosts.iter().any(|host| host.service == domain) {
            self.wrong("component_of.domain", "component_of.domain must be a pub/sub service of this server");
        }
        let above = domain.domain().split_once('.').and_then(|(_, above)| BareJid::parse(above).ok());
        match of.users.take().or(above) {
            Some(users) if config.hosts.iter().any(|host| host.domain == users) => {
                let what =
                    format!("{users} is a host of this server: set xmpp.domain to another than the other server's");
                self.wrong("component_of.users", what);
            }
            Some(users) => of.users = Some(users),
            None => self.wrong("component_of.users", "component_of.users must be set: nothing follows for it"),
        }
    }

    /// Each must be a configuration that a new node may have, or every node of its names were refused.
    fn templates(&mut self, config: &mut Config) {
        let policy = ServicePolicy {
            service: config.pubsub.service.clone(),
            who_creates: config.pubsub.create,
            auto_create: config.pubsub.auto_create,
            templates: Arc::default(),
            payload_bytes_max: (config.limits.stanza_bytes as u64).saturating_sub(STANZA_OVERHEAD_BYTES),
            items_max: config.pubsub.items_max,
            children_max: config.pubsub.children_max,
            parents_max: config.pubsub.parents_max,
            of_server: false,
            batch_items_max: 1,
            attached_items_max: config.pubsub.attached_items_max,
            subscriptions: config.pubsub.subscriptions.clone(),
        };
        let given = std::mem::take(&mut self.given.templates);
        if let Some(beyond) = given.get(TEMPLATES_MAX) {
            let what = format!("at most {TEMPLATES_MAX} templates are read: each name is compared with all");
            self.mistakes.push(Mistake::new(&beyond.place, what));
        }
        for GivenTemplate { template, place } in given {
            if let Err(Refusal::InvalidConfig { field, why }) = NodeConfig::new(&policy).with(&template.config, &policy)
            {
                self.mistakes.push(Mistake::new(&place, format!("template.config.{field}: {why}")));
            }
            config.templates.push(template);
        }
    }

    fn certificate(&mut self, tls: &Tls) {
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => self.wrong("tls.certificate", "tls.certificate needs tls.key"),
            (None, Some(_)) => self.wrong("tls.key", "tls.key needs tls.certificate"),
            _ => {}
        }
        for (key, path) in [("tls.certificate", &tls.certificate), ("tls.key", &tls.key)] {
            if let Some(path) = path
                && let Err(error) = readable(path)
            {
                self.wrong(key, format!("{key} {}: {error}", path.display()));
            }
        }
    }

    /// Strangers are let in at a host of their own, and beyond this machine only when that is said twice.
    fn anonymous(&mut self, config: &Config) {
        let Some(domain) = &config.auth.anonymous else { return };
        if *domain == config.xmpp.domain || !config.hosts.iter().any(|host| host.domain == *domain) {
            let what = format!("auth.anonymous {domain} must be a [[host]] of its own, and not xmpp.domain");
            self.wrong("auth.anonymous", what);
        }
        // Streams come over WebSockets and BOSH, too.
        let listeners = [
            ("xmpp.listen", config.xmpp.listen),
            ("xmpp.listen_tls", config.xmpp.listen_tls),
            ("http.listen", config.http.listen),
        ];
        for (key, address) in listeners {
            let public = address.filter(|address| !address.ip().to_canonical().is_loopback());
            if let Some(address) = public.filter(|_| !config.auth.anonymous_public) {
                let what = format!(
                    "auth.anonymous lets everybody in who reaches {key} {address}: set auth.anonymous_public if that \
                     is meant"
                );
                self.wrong("auth.anonymous", what);
            }
        }
    }

    fn encryption(&mut self, key: &'static str, listen: Option<SocketAddr>, tls: &Tls) {
        if let Some(address) = listen
            && !address.ip().to_canonical().is_loopback()
            && tls.certificate.is_none()
        {
            let what = format!(
                "{key} {address} is not loopback, and plain HTTP would show passwords and tokens to the network: set \
                 tls.certificate and tls.key, or listen on 127.0.0.1 behind a proxy that speaks TLS"
            );
            self.wrong(key, what);
        }
    }

    fn ports(&mut self, config: &Config) {
        let listeners = [
            ("xmpp.listen", config.xmpp.listen),
            ("xmpp.listen_tls", config.xmpp.listen_tls),
            ("xmpp.listen_component", config.xmpp.listen_component),
            ("http.listen", config.http.listen),
            ("admin.listen", config.admin.listen),
        ];
        for (at, (key, address)) in listeners.iter().enumerate() {
            let clash = listeners[..at].iter().find(|(_, other)| clash(*address, *other));
            if let Some((other, _)) = clash {
                // The place of whichever was written: the defaults do not clash.
                let named = if self.given.values.contains_key(key) { key } else { other };
                self.wrong(named, format!("{key} and {other} are the same address"));
            }
        }
    }

    /// RFC 6454 §6.2: a scheme, a host, a port where it is not the scheme's, and nothing else.
    fn origins(&mut self, origins: &[String]) {
        for origin in origins {
            let rest = origin.strip_prefix("https://").or(origin.strip_prefix("http://"));
            let well = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '*', '@', '?', '#', ',']));
            if !well || *origin != origin.to_ascii_lowercase() {
                self.wrong("http.origins", format!("http.origins: {origin} is not like https://app.example.org"));
            }
        }
    }

    fn jwt(&mut self, jwt: &Jwt) {
        if jwt.issuer.is_empty() {
            return;
        }
        for (key, value) in [("jwt.audience", &jwt.audience), ("jwt.keys", &jwt.keys)] {
            if value.is_empty() {
                self.wrong("jwt.issuer", format!("jwt.issuer needs {key}"));
            }
        }
        if jwt.algorithms.is_empty() {
            self.wrong("jwt.algorithms", format!("jwt.algorithms takes some of {}", JwtAlgorithm::NAMES.join(", ")));
        }
        if jwt.types.is_empty() {
            self.wrong("jwt.types", "jwt.types must name a type");
        }
        if jwt.keys.contains("://") && !jwt.keys.starts_with("https://") {
            self.wrong("jwt.keys", "jwt.keys must be a path or an https URL");
        }
    }

    fn wrong(&mut self, key: &str, what: impl Into<String>) {
        let place = self.given.values.get(key).map_or(Place::Defaults, |(_, place)| place.clone());
        self.mistakes.push(Mistake::new(&place, what));
    }
}

fn service_of(domain: &BareJid) -> Option<BareJid> {
    BareJid::parse(&format!("pubsub.{domain}")).ok()
}

fn clash(one: Option<SocketAddr>, other: Option<SocketAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    let any = |ip: IpAddr| ip.is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || any(one.ip()) || any(other.ip()))
}

fn readable(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path).map(drop)
}

/// Whoever guesses it speaks for a whole domain.
const SECRET_BYTES_MIN: usize = 16;
/// More than anybody writes by hand.
const TEMPLATES_MAX: usize = 256;

/// A configuration in which nothing stands yet. The table fills every field; a test holds that.
fn blank() -> Config {
    let jid = BareJid::parse("unset.invalid").expect("a valid domain");
    let listen = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 1));
    Config {
        xmpp: Xmpp { domain: jid.clone(), listen, listen_tls: listen, listen_component: listen },
        http: Http { listen, origins: Vec::new() },
        jwt: Jwt::default(),
        admin: Admin { listen },
        pubsub: Pubsub {
            service: jid,
            auto_create: false,
            create: WhoCreates::Admins,
            items_max: 0,
            attached_items_max: 0,
            children_max: 0,
            parents_max: 0,
            subscriptions: SubscriptionPolicy::default(),
            bounces_max: 0,
            missed_items_max: 0,
        },
        hosts: Vec::new(),
        hooks: Vec::new(),
        webhooks: blank_webhooks(),
        components: Vec::new(),
        component_of: ComponentOf {
            host: String::new(),
            domain: None,
            secret: Secret::new(""),
            users: None,
            retry_seconds: 0,
        },
        templates: Vec::new(),
        data: Data { dir: PathBuf::new() },
        auth: Auth {
            scram_iterations: 0,
            plain: Plain::Off,
            sha1: false,
            verifier: VerifierKind::Argon2id,
            oauthbearer: false,
            downgrade_protection: false,
            client_ca: None,
            anonymous: None,
            anonymous_public: true,
            fast_days: 0,
        },
        limits: blank_limits(),
        sm: Sm { resume_seconds: 0, queue_stanzas: 0, queue_bytes: 0, hibernated_per_account: 0, ack_seconds: 0 },
        bosh: super::Bosh::default(),
        store: Store { durability: Durability::Relaxed, readers: 0 },
        contact: crate::xep::Contacts::default(),
        retention: Retention { events: 0, days: 0, bytes: 0 },
        im: super::Im::default(),
        tls: Tls { certificate: None, key: None, reload_seconds: 0 },
        log: Log { format: LogFormat::Json, filter: String::new() },
    }
}

fn blank_limits() -> Limits {
    Limits {
        connections_per_second: 0,
        pending_authentications: 0,
        stanza_bytes: 0,
        memory_bytes: 0,
        tail_bytes: 0,
        watches_per_account: 0,
        commands_waiting: 0,
        command_seconds: 0,
        sessions_per_account: 0,
        stanzas_per_second: 0,
        bytes_per_second: 0,
        http: HttpLimits::default(),
        idempotency_keys_per_account: 0,
        requests_in_flight: 0,
        engine_queue: 0,
        password_checks_waiting: 0,
        auth_failures: 0,
        auth_block_seconds: 0,
        registrations_per_hour: 0,
        negotiation_seconds: 0,
        ping_seconds: 0,
        idle_seconds: 0,
        anonymous_sessions: 0,
    }
}

fn blank_webhooks() -> Webhooks {
    Webhooks {
        allow_http: true,
        networks: Networks::default(),
        retry: Schedule::default(),
        timeout_seconds: 0,
        ca_file: PathBuf::new(),
        per_node: 0,
    }
}
