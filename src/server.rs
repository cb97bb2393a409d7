//! The composition root: builds the rooms, wires them, stops them in order. No logic.

mod numbers;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, Access, Fetch, Issuer, KeySource};
use crate::config::{Config, Host, Plain, Served};
use crate::counts::Counts;
use crate::delivery::webhook::{self, Webhooks};
use crate::delivery::{self, Delivery};
use crate::engine::{self, Engine, Retention};
use crate::http::{self, Door};
use crate::messaging::{self, Messaging};
use crate::net::{self, Bosh, BoshOptions, Gate, GateOptions, Serve, Transport};
use crate::router::{self, Router};
use crate::session::{self, Sessions};
use crate::store::Store;
use crate::stream::{self, Mechanism, ScramHash};
use crate::time::{Clock, SystemClock};
use crate::xep::{self, Xep};
use crate::xml;

/// What a server is made of beside its configuration.
pub struct Parts {
    pub store: Arc<dyn Store>,
    /// PEM files: the chain, and its key.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a server listens; absent for what is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub xmpp: Option<SocketAddr>,
    pub xmpp_tls: Option<SocketAddr>,
    pub component: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// A server that serves.
pub struct Running {
    pub addresses: Addresses,
    pub access: Access,
    pub engine: Engine,
    pub certificates: Arc<net::Certificates>,
    store: Arc<dyn Store>,
    messaging: Messaging,
    /// Stop accepting, finish what was asked, close.
    leaving: CancellationToken,
    /// Nobody asks any more: the engine may end.
    over: CancellationToken,
    peers: TaskTracker,
    rooms: TaskTracker,
}

/// Why a server cannot start, in a sentence that says what to do.
#[derive(Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Listeners that are bound and not served yet.
struct Bound {
    xmpp: Option<TcpListener>,
    xmpp_tls: Option<TcpListener>,
    component: Option<TcpListener>,
    http: Option<TcpListener>,
    admin: Option<TcpListener>,
}

/// Builds and starts a server. When this returns it serves.
pub async fn start(config: &Config, parts: Parts) -> Result<Running, StartError> {
    let certificates = net::Certificates::load(certificate_files(config, &parts), config.auth.client_ca.clone())
        .map_err(|error| StartError(error.to_string()))?;
    let bound = bind(config).await?;
    let addresses = bound.addresses();

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (leaving, over) = (CancellationToken::new(), CancellationToken::new());
    let (peers, rooms) = (TaskTracker::new(), TaskTracker::new());
    let counts: Arc<Counts> = Arc::default();
    let access = Access::new(parts.store.clone(), clock.clone(), access_options(config, &counts)?);
    let (engine, turns) = Engine::new(parts.store.clone(), clock.clone(), engine_options(config));
    let delivery = Delivery::new(engine.clone(), delivery_options(config), leaving.clone());
    rooms.spawn(turns.run(Arc::new(delivery.clone()), over.clone()));
    rooms.spawn(delivery.clone().run(over.clone()));
    delivery.end_temporary().await.map_err(|failure| StartError(failure.to_string()))?;
    rooms.spawn(delivery.clone().run_leases(over.clone()));
    let messaging = Messaging::new(engine.clone(), messaging_options(config, &counts));
    rooms.spawn(messaging.clone().run_archive(over.clone()));
    let xep = Xep::new(engine.clone(), messaging.clone(), xep_hosts(config), xep_options(config));
    xep.administer(xep::Administration { access: access.clone() });
    let session_options = session_options(config, &xep, &counts);
    let router = Router::new(messaging.clone(), xep);
    if let Some(herald) = router.herald(&delivery) {
        rooms.spawn(herald.run(over.clone()));
    }
    let sessions = Sessions::new(access.clone(), delivery.clone(), router, session_options, leaving.clone());

    let gate = Gate::new(gate_options(config), counts.clone());
    let doors = [
        (bound.xmpp, Transport::StartTls),
        (bound.xmpp_tls, Transport::DirectTls),
        (bound.component, Transport::Component),
    ];
    for (listener, transport) in doors.into_iter().filter_map(|(listener, transport)| Some((listener?, transport))) {
        rooms.spawn(net::serve(Serve {
            listener,
            transport,
            certificates: certificates.clone(),
            negotiation_max: Duration::from_secs(config.limits.negotiation_seconds),
            gate: gate.clone(),
            sessions: sessions.clone(),
            stop: leaving.clone(),
            tracker: peers.clone(),
        }));
    }
    let (options, cuts) = (webhook_options(config, &addresses), access.revocations());
    let webhooks = Webhooks::new(delivery.clone(), options, cuts, leaving.clone()).map_err(StartError)?;
    rooms.spawn(webhooks.clone().run());
    if let Some(options) = upstream_options(config) {
        let of = &config.component_of;
        let wait_max = Duration::from_secs(of.retry_seconds);
        peers.spawn(net::join(of.host.clone(), wait_max, options, sessions.clone(), leaving.clone()));
    }
    let cursors = delivery.cursors().clone();
    let bosh = Bosh::new(bosh_options(config), gate.clone(), sessions.clone(), peers.clone());
    let metrics = numbers::metrics(&counts, &engine, &delivery, &bosh, &certificates, &clock);
    let http_options = http_options(config, &counts);
    let rooms_asked =
        http::Rooms { engine: engine.clone(), delivery, cursors, access: access.clone(), webhooks, clock, metrics };
    let door = Door::new(rooms_asked, config.pubsub.service.clone(), leaving.clone(), http_options.clone());
    offer_streams(&door, bosh, &peers, gate, sessions);
    if config.tls.reload_seconds > 0 {
        let every = Duration::from_secs(config.tls.reload_seconds);
        rooms.spawn(certificates.clone().watch(every, leaving.clone()));
    }
    serve_http(config, &certificates, (bound.http, bound.admin), &door, &peers, &http_options)?;
    Ok(Running { addresses, access, engine, certificates, store: parts.store, messaging, leaving, over, peers, rooms })
}

impl Running {
    /// Finishes what was asked, tells everyone, and closes the store. What was acknowledged is kept,
    /// what is on its way is answered or not acknowledged.
    pub async fn stop(self) {
        self.leaving.cancel();
        self.peers.close();
        if tokio::time::timeout(DRAIN_MAX, self.peers.wait()).await.is_err() {
            tracing::warn!("some peers did not leave in time");
        }
        if tokio::time::timeout(DRAIN_MAX, self.messaging.settled()).await.is_err() {
            tracing::warn!("some who left could not be remembered in time");
        }
        self.over.cancel();
        self.rooms.close();
        if tokio::time::timeout(DRAIN_MAX, self.rooms.wait()).await.is_err() {
            tracing::warn!("some rooms did not end in time");
        }
        if let Err(failure) = self.store.close().await {
            tracing::error!(%failure, "the store could not be closed");
        }
    }
}

impl Bound {
    fn addresses(&self) -> Addresses {
        let of = |listener: &Option<TcpListener>| listener.as_ref().and_then(|bound| bound.local_addr().ok());
        Addresses {
            xmpp: of(&self.xmpp),
            xmpp_tls: of(&self.xmpp_tls),
            component: of(&self.component),
            http: of(&self.http),
            admin: of(&self.admin),
        }
    }
}

async fn bind(config: &Config) -> Result<Bound, StartError> {
    // Without a component nobody is expected there.
    let component = config.xmpp.listen_component.filter(|_| !config.components.is_empty());
    Ok(Bound {
        component: bind_one(component, "xmpp.listen_component").await?,
        xmpp: bind_one(config.xmpp.listen, "xmpp.listen").await?,
        xmpp_tls: bind_one(config.xmpp.listen_tls, "xmpp.listen_tls").await?,
        http: bind_one(config.http.listen, "http.listen").await?,
        admin: bind_one(config.admin.listen, "admin.listen").await?,
    })
}

async fn bind_one(address: Option<SocketAddr>, setting: &str) -> Result<Option<TcpListener>, StartError> {
    match address {
        None => Ok(None),
        Some(address) => net::bind(address, setting).await.map(Some).map_err(|error| StartError(error.to_string())),
    }
}

fn serve_http(
    config: &Config,
    certificates: &Arc<net::Certificates>,
    (http, admin): (Option<TcpListener>, Option<TcpListener>),
    door: &Arc<Door>,
    peers: &TaskTracker,
    options: &http::Options,
) -> Result<(), StartError> {
    let doors = [
        (http, config.http.listen, http::Api::Public(door.clone())),
        (admin, config.admin.listen, http::Api::Admin(door.clone())),
    ];
    for (listener, address, api) in doors {
        let (Some(listener), Some(address)) = (listener, address) else { continue };
        let tls = if address.ip().is_loopback() { None } else { Some(https(certificates)?) };
        peers.spawn(http::serve(listener, api, tls, door.closing().clone(), options.clone()));
    }
    Ok(())
}

fn https(certificates: &Arc<net::Certificates>) -> Result<Arc<rustls::ServerConfig>, StartError> {
    certificates.http_config().map_err(|error| StartError(error.to_string()))
}

/// The server's own certificate, for all hosts that have none, and those of the others.
fn certificate_files(config: &Config, parts: &Parts) -> Vec<net::CertificateFiles> {
    let names = |host: &Host| [&host.domain, &host.service].map(|jid| jid.domain().to_owned());
    let (own, others): (Vec<&Host>, Vec<&Host>) = config.hosts.iter().partition(|host| host.certificate.is_none());
    let first = net::CertificateFiles {
        domains: own.into_iter().flat_map(names).collect(),
        certificate: parts.certificate.clone(),
        key: parts.key.clone(),
    };
    let others = others.into_iter().filter_map(|host| {
        let (certificate, key) = host.certificate.clone()?;
        Some(net::CertificateFiles { domains: names(host).to_vec(), certificate, key })
    });
    std::iter::once(first).chain(others).collect()
}

fn delivery_options(config: &Config) -> delivery::Options {
    delivery::Options {
        bounces_max: config.pubsub.bounces_max,
        missed_items_max: config.pubsub.missed_items_max,
        multi_subscribe: config.pubsub.subscriptions.multi_subscribe,
        ..delivery::Options::default()
    }
}

fn access_options(config: &Config, counts: &Arc<Counts>) -> Result<access::Options, StartError> {
    let (issuers, fetch) = issuers(config)?;
    Ok(access::Options {
        domains: config.hosts.iter().map(|host| host.domain.to_string()).collect(),
        verifier: config.auth.verifier,
        scram_iterations: config.auth.scram_iterations,
        checks_waiting_max: config.limits.password_checks_waiting,
        failures_max: config.limits.auth_failures,
        failures_block_seconds: i64::try_from(config.limits.auth_block_seconds).unwrap_or(i64::MAX),
        fast_token_seconds: i64::try_from(config.auth.fast_days * 86_400).unwrap_or(i64::MAX),
        anonymous_sessions_max: config.limits.anonymous_sessions,
        registrations_per_hour_max: config.limits.registrations_per_hour,
        issuers,
        fetch,
        counts: counts.clone(),
        ..access::Options::default()
    })
}

fn issuers(config: &Config) -> Result<(Vec<Issuer>, Option<Fetch>), StartError> {
    let jwt = &config.jwt;
    if jwt.issuer.is_empty() {
        return Ok((vec![], None));
    }
    let (keys, fetch) = if jwt.keys.starts_with("https://") {
        let fetch = http::fetcher(jwt.authorities.as_deref()).map_err(StartError)?;
        (KeySource::Url(jwt.keys.clone()), Some(fetch))
    } else {
        (KeySource::File(PathBuf::from(&jwt.keys)), None)
    };
    let issuer = Issuer {
        name: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        algorithms: jwt.algorithms.clone(),
        types: jwt.types.clone(),
        keys,
        domain: config.xmpp.domain.to_string(),
        strangers: jwt.strangers,
        scopes: jwt.scopes,
    };
    Ok((vec![issuer], fetch))
}

fn engine_options(config: &Config) -> engine::Options {
    let stanza_bytes = config.limits.stanza_bytes as u64;
    engine::Options {
        queue_max: config.limits.engine_queue,
        tail_bytes_max: config.limits.tail_bytes,
        // Half of the budget for events, the rest for sessions and facts.
        tails_bytes_max: usize::try_from(config.limits.memory_bytes / 2).unwrap_or(usize::MAX),
        retention: Retention {
            events: config.retention.events,
            seconds: i64::try_from(config.retention.days.saturating_mul(86_400)).unwrap_or(i64::MAX),
            bytes: config.retention.bytes,
            ..Retention::default()
        },
        who_creates: config.pubsub.create,
        auto_create: config.pubsub.auto_create,
        templates: config.templates.clone().into(),
        servers: config
            .hosts
            .iter()
            .filter(|host| host.service != host.domain)
            .map(|host| host.domain.clone())
            .collect(),
        payload_bytes_max: stanza_bytes.saturating_sub(STANZA_OVERHEAD_BYTES),
        items_max: config.pubsub.items_max,
        attached_items_max: config.pubsub.attached_items_max,
        children_max: config.pubsub.children_max,
        parents_max: config.pubsub.parents_max,
        subscriptions: config.pubsub.subscriptions.clone(),
        memos_per_caller_max: config.limits.idempotency_keys_per_account,
        ..engine::Options::default()
    }
}

fn xep_options(config: &Config) -> xep::Options {
    xep::Options {
        command_sessions_max: config.limits.commands_waiting,
        command_session_seconds: config.limits.command_seconds,
        contacts: config.contact.clone(),
        change_password: config.im.change_password,
        remove_account: config.im.remove_account,
        register: config.im.register,
        ..xep::Options::default()
    }
}

fn messaging_options(config: &Config, counts: &Arc<Counts>) -> messaging::Options {
    let mut options = messaging::Options { counts: counts.clone(), ..messaging::Options::default() };
    options.limits.items_max = config.im.roster_items;
    options.limits.blocked_max = config.im.blocked_addresses;
    options.offline.messages_max = config.im.offline_messages;
    options.archive = messaging::ArchiveOptions {
        seconds: i64::try_from(config.im.archive_days.saturating_mul(86_400)).unwrap_or(i64::MAX),
        messages_max: config.im.archive_messages,
        others: config.im.archive_default,
        ..options.archive
    };
    options
}

fn session_options(config: &Config, xep: &Xep, counts: &Arc<Counts>) -> session::Options {
    let defaults = session::Options::default();
    let limits = xml::Limits { stanza_bytes: config.limits.stanza_bytes, ..defaults.limits };
    let said = |limits: &xml::Limits, idle_seconds: u64| stream::Limits {
        max_bytes: Some(limits.stanza_bytes as u64),
        idle_seconds: Some(idle_seconds),
    };
    let stream = stream::Options {
        hosts: config.hosts.iter().map(|host| host.domain.clone()).collect(),
        mechanisms: mechanisms(config),
        anonymous: config.auth.anonymous.clone(),
        show_offer: config.auth.downgrade_protection,
        fast: config.auth.fast_days > 0,
        register: config.im.register,
        client_state: config.im.client_state,
        announced: config.hosts.iter().map(|host| (host.domain.clone(), xep.announced(&host.domain))).collect(),
        bind_features: router::BIND_FEATURES.to_vec(),
        limits_unauthenticated: said(&defaults.limits_unauthenticated, config.limits.negotiation_seconds),
        limits: said(&limits, config.limits.idle_seconds),
    };
    session::Options {
        stream,
        limits,
        counts: counts.clone(),
        components: config.components.iter().cloned().collect(),
        rate: session::RateOptions {
            stanzas_per_second: config.limits.stanzas_per_second,
            bytes_per_second: config.limits.bytes_per_second,
        },
        negotiation_max: Duration::from_secs(config.limits.negotiation_seconds),
        ping_after: Duration::from_secs(config.limits.ping_seconds),
        dead_after: Duration::from_secs(config.limits.idle_seconds),
        stuck_after: Duration::from_secs(config.limits.stall_seconds),
        sm: session::SmOptions {
            resume_max: Duration::from_secs(config.sm.resume_seconds),
            queue_stanzas_max: config.sm.queue_stanzas,
            queue_bytes_max: config.sm.queue_bytes,
            hibernated_per_account_max: config.sm.hibernated_per_account,
            ack_wait: Duration::from_secs(config.sm.ack_seconds),
        },
        requests_in_flight_max: config.limits.requests_in_flight,
        sessions_per_account_max: config.limits.sessions_per_account,
        ..defaults
    }
}

fn xep_hosts(config: &Config) -> Vec<xep::Host> {
    config.hosts.iter().map(|host| xep::Host { domain: host.domain.clone(), service: host.service.clone() }).collect()
}

fn gate_options(config: &Config) -> GateOptions {
    GateOptions {
        connections_per_second: config.limits.connections_per_second,
        pending_authentications: config.limits.pending_authentications,
    }
}

fn webhook_options(config: &Config, addresses: &Addresses) -> webhook::Options {
    let own = [addresses.xmpp, addresses.xmpp_tls, addresses.http, addresses.admin];
    webhook::Options {
        allow_http: config.webhooks.allow_http,
        networks: config.webhooks.networks.clone(),
        timeout: Duration::from_secs(config.webhooks.timeout_seconds),
        schedule: config.webhooks.retry.clone(),
        per_node_max: config.webhooks.per_node,
        ca_file: config.webhooks.ca_file.clone(),
        own: own.into_iter().flatten().collect(),
        ..webhook::Options::default()
    }
}

/// What becomes a WebSocket for XMPP over HTTP goes to the sessions, and so does what is posted for them.
fn offer_streams(door: &Door, bosh: Arc<Bosh>, peers: &TaskTracker, gate: Arc<Gate>, sessions: Sessions) {
    let peers = peers.clone();
    let sockets: http::TakeSocket = Box::new(move |socket, peer, secure, place| {
        let (gate, sessions) = (gate.clone(), sessions.clone());
        peers.spawn(async move {
            net::websocket(socket, peer, secure, gate, sessions).await;
            drop(place);
        });
    });
    let posts: http::TakePost = Box::new(move |bytes, peer, secure| {
        let bosh = bosh.clone();
        Box::pin(async move {
            let net::Posted { status, media, body } = bosh.answer(bytes, peer, secure).await;
            http::Posted { status, media, body }
        })
    });
    door.offer_streams(http::Streams { sockets, posts });
}

fn bosh_options(config: &Config) -> BoshOptions {
    BoshOptions {
        wait: Duration::from_secs(config.bosh.wait_seconds),
        inactivity: Duration::from_secs(config.bosh.inactivity_seconds),
        polling: Duration::from_secs(config.bosh.polling_seconds),
        pause_max: Duration::from_secs(config.bosh.pause_seconds),
        sessions_max: config.bosh.sessions,
    }
}

/// Present where this server is a component of another.
fn upstream_options(config: &Config) -> Option<session::UpstreamOptions> {
    let of = &config.component_of;
    let (domain, users) = (of.domain.clone()?, of.users.clone()?);
    let served = Served { domain, secret: of.secret.clone() };
    (!of.host.is_empty()).then_some(session::UpstreamOptions { served, users })
}

/// What is offered where the channel bears it, the preferred first.
fn mechanisms(config: &Config) -> Vec<Mechanism> {
    let hashes = [ScramHash::Sha256, ScramHash::Sha512].into_iter().chain(config.auth.sha1.then_some(ScramHash::Sha1));
    let mut mechanisms = Vec::new();
    if config.auth.client_ca.is_some() {
        mechanisms.push(Mechanism::External);
    }
    mechanisms.extend(hashes.clone().map(Mechanism::ScramPlus));
    mechanisms.extend(hashes.map(Mechanism::Scram));
    if config.auth.oauthbearer {
        mechanisms.push(Mechanism::OauthBearer);
    }
    if config.auth.plain == Plain::Tls {
        mechanisms.push(Mechanism::Plain);
    }
    mechanisms
}

fn http_options(config: &Config, counts: &Arc<Counts>) -> http::Options {
    http::Options {
        counts: counts.clone(),
        domains: config.hosts.iter().map(|host| host.domain.to_string()).collect(),
        origins: config.http.origins.clone(),
        services: config.hosts.iter().map(|host| host.service.clone()).collect(),
        body_bytes_max: config.limits.http.body_bytes,
        header_bytes_max: config.limits.http.head_bytes,
        connections_max: config.limits.http.connections,
        header_time: Duration::from_secs(config.limits.http.head_seconds),
        body_rate_min: config.limits.http.body_bytes_per_second,
        write_stall_time: Duration::from_secs(config.limits.http.stall_seconds),
        heartbeat: Duration::from_secs(config.limits.http.heartbeat_seconds),
        wait: Duration::from_secs(config.limits.http.wait_seconds) / 2,
        wait_max: Duration::from_secs(config.limits.http.wait_seconds),
        watches_per_account: config.limits.watches_per_account,
        rates: http::Rates {
            requests_per_second: config.limits.http.requests_per_second,
            bytes_per_second: config.limits.http.bytes_per_second,
        },
        hooks: config.hooks.clone(),
        ..http::Options::default()
    }
}

/// What a stanza needs beside the payload that it bears.
pub const STANZA_OVERHEAD_BYTES: u64 = 8192;
/// How long peers, and then rooms, may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(15);
