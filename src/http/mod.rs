//! The HTTP door: REST requests become requests of the core, and its answers become JSON, XML and
//! event streams. `docs/http-api.md` is its contract.
//!
//! A request is read in this order: the path (`path`), the method (`routes`), the caller (`auth`), the
//! query (`query`), the headers, and the body last (`body`), so that nobody makes the server take a
//! body for nothing. One file a verb asks the engine; `problem` answers everything that fails.
//!
//! Not here: rules (`pubsub` decides), what a payload is (`payload`), who is woken (`delivery`), and
//! anything of XMPP. No handler keeps state between requests but for the streams of `watch`, which
//! keep a position.

mod accept;
mod admin;
mod affiliations;
mod auth;
mod batch;
mod body;
mod cloudevents;
mod conditional;
mod configure;
mod cors;
mod create;
mod delete;
mod fetch;
mod heads;
mod health;
mod hooks;
mod http2;
mod idempotency;
mod items;
mod json;
mod metrics;
mod ndjson;
mod nodes;
mod openapi;
mod operations;
mod page;
mod pairs;
mod path;
mod problem;
mod publish;
mod purge;
mod pushing;
mod query;
mod quota;
mod retract;
mod routes;
mod serve;
mod streams;
mod subscriptions;
mod takeover;
mod tickets;
mod upgrade;
mod watch;
mod webhooks_in;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::counts::{Counts, Limit};
use crate::delivery::webhook::Webhooks;
use crate::delivery::{Cursors, Delivery};
use crate::engine::Engine;
use crate::jid::BareJid;
use crate::time::Clock;

pub use fetch::fetcher;
pub use metrics::{Metric, MetricKind, Sample};
pub use quota::Rates;
pub use serve::serve;
pub use streams::{Posted, Streams, TakePost, TakeSocket};
pub use webhooks_in::{Algorithm, Encoding, Generic, Hook, HookForm, Scheme, Secret, check_template};

/// What the door asks.
pub struct Rooms {
    pub engine: Engine,
    pub delivery: Delivery,
    pub cursors: Cursors,
    pub access: Access,
    pub webhooks: Webhooks,
    pub clock: Arc<dyn Clock>,
    /// What the other rooms tell of themselves.
    pub metrics: Vec<Metric>,
}

/// The door itself, shared by its listeners and streams.
pub struct Door {
    rooms: Rooms,
    /// Of whose nodes `/v1/nodes` speaks.
    service: BareJid,
    /// Cancelled when the server stops: streams end, and readiness is over.
    closing: CancellationToken,
    options: Options,
    watches: watch::Watches,
    /// Who takes over what becomes a stream of XMPP.
    streams: OnceLock<Arc<Streams>>,
    /// One permit a KiB of request bodies that are larger than a connection's own buffer.
    body_memory: Arc<Semaphore>,
    in_flight: idempotency::InFlight,
    quotas: quota::Quotas,
}

/// Every limit and interval of the door.
#[derive(Clone, Debug)]
pub struct Options {
    /// Services that are kept here beside the one that `/v1/nodes` speaks of.
    pub services: Vec<BareJid>,
    /// The domains that streams of XMPP can be opened to.
    pub domains: Vec<String>,
    /// Whose pages may use the API from a browser, as `https://app.example.org`.
    pub origins: Vec<String>,
    /// Connections that are open at once; more wait unaccepted.
    pub connections_max: usize,
    /// A TLS handshake that has not ended by then is cut.
    pub handshake_time: Duration,
    /// A request head that is not there by then, counted from the end of the last request, closes the
    /// connection.
    pub header_time: Duration,
    pub header_bytes_max: usize,
    pub body_bytes_max: usize,
    /// What all large bodies may hold at once.
    pub body_memory_bytes_max: usize,
    /// In each of these windows a body must bring `body_rate_min` bytes a second on the average.
    pub body_window: Duration,
    pub body_rate_min: u64,
    /// A peer that takes nothing of what is written to it for so long is cut.
    pub write_stall_time: Duration,
    /// How long requests under way may take to end when the server stops.
    pub drain_time: Duration,
    /// Entries of a page when the caller names no limit.
    pub page_entries: u64,
    /// Entries of a page at most. A page of items is held in memory.
    pub page_entries_max: u64,
    pub watches_per_account: usize,
    /// A stream that was silent for so long says so.
    pub heartbeat: Duration,
    /// How long `EventSource` waits before it comes back.
    pub retry: Duration,
    /// The same at the end of the server, at most: drawn for each stream, so that they do not all come
    /// back at once.
    pub retry_closing_max: Duration,
    /// The longest `timeout` that a watcher may ask for.
    pub watch_seconds_max: u64,
    /// How long a long poll waits that names no time, and that names the longest.
    pub wait: Duration,
    pub wait_max: Duration,
    /// What one account may ask for.
    pub rates: Rates,
    /// Senders of webhooks that publish here.
    pub hooks: Vec<Hook>,
    /// Where logins and limits that were hit are counted.
    pub counts: Arc<Counts>,
}

impl Door {
    /// To be called in a runtime: a task rings for the watchers until `closing`.
    pub fn new(rooms: Rooms, service: BareJid, closing: CancellationToken, options: Options) -> Arc<Self> {
        let body_memory = Arc::new(Semaphore::new(options.body_memory_bytes_max / body::PERMIT_BYTES));
        let watches = watch::Watches::new(options.watches_per_account, options.counts.clone());
        tokio::spawn(watches.clone().mind(rooms.access.revocations(), closing.clone()));
        let (in_flight, quotas) = (idempotency::InFlight::default(), quota::Quotas::new(options.rates));
        let streams = OnceLock::new();
        Arc::new(Door { rooms, service, closing, options, watches, streams, body_memory, in_flight, quotas })
    }

    /// Offers streams of XMPP over WebSockets and over requests, which go to `streams`.
    pub fn offer_streams(&self, streams: Streams) {
        let _ = self.streams.set(Arc::new(streams));
    }

    /// Cancelled when the server stops.
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// All numbers, those of the other rooms and our own.
    fn metrics(self: &Arc<Self>, headers: &HeaderMap) -> Response {
        let (open, shown) = (self.clone(), self.clone());
        let own = [
            Metric::one(
                "tidings_watches",
                "Streams, WebSockets and long polls that are open.",
                MetricKind::Gauge,
                move || open.watches.count(),
            ),
            Metric::one(
                "tidings_watch_events_total",
                "Events shown to watchers over HTTP.",
                MetricKind::Counter,
                move || shown.watches.shown(),
            ),
        ];
        metrics::answer(headers, self.rooms.metrics.iter().chain(&own))
    }

    /// One more request of an account, whose body has so many bytes as far as is known.
    fn admit(&self, account: &BareJid, bytes: u64) -> Result<quota::Told, problem::Problem> {
        self.quotas.admit(account, bytes).inspect_err(|_| self.options.counts.hit(Limit::HttpRate))
    }

    /// Whether this server keeps the nodes of a service.
    fn keeps(&self, service: &BareJid) -> bool {
        *service == self.service || self.options.services.contains(service)
    }
}

/// What a listener serves.
///
/// One table of our own (`routes`) in place of a router's patterns: a path must be split before it is decoded, and
/// only once.
#[derive(Clone)]
pub enum Api {
    /// Everything of `/v1` but administration.
    Public(Arc<Door>),
    /// Health, accounts, tokens.
    Admin(Arc<Door>),
}

impl Api {
    async fn answer(self, request: Request) -> Response {
        match self {
            Api::Public(door) => answer(door, request).await,
            Api::Admin(door) => answer_admin(door, request).await,
        }
    }
}

async fn answer(door: Arc<Door>, request: Request) -> Response {
    if let Err(problem) = routes::require_host(&request) {
        return routes::harden(problem.into_response());
    }
    if streams::is_ours(&door, request.uri().path()) {
        return routes::harden(streams::answer(&door, request));
    }
    let asking = match cors::Asking::read(&request, &door.options.origins) {
        Ok(asking) => asking,
        Err(problem) => return routes::harden(problem.into_response()),
    };
    let mut response = match asking.answer_preflight() {
        Some(response) => response,
        None if streams::is_post(&door, request.uri().path()) => streams::post(&door, request).await,
        None => match openapi::answer(request.method(), request.uri().path()) {
            Some(response) => response,
            None => routes::answer(door, request).await,
        },
    };
    asking.allow(&mut response);
    routes::harden(response)
}

async fn answer_admin(door: Arc<Door>, request: Request) -> Response {
    if let Err(problem) = routes::require_host(&request) {
        return routes::harden(problem.into_response());
    }
    routes::harden(admin::answer(door, request).await)
}

impl Default for Options {
    fn default() -> Self {
        Options {
            services: vec![],
            domains: vec![],
            origins: vec![],
            connections_max: 20_000,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            body_bytes_max: 1024 * 1024,
            body_memory_bytes_max: 64 * 1024 * 1024,
            body_window: Duration::from_secs(30),
            body_rate_min: 1024,
            write_stall_time: Duration::from_secs(300),
            drain_time: Duration::from_secs(10),
            page_entries: 50,
            page_entries_max: 100,
            watches_per_account: 1000,
            heartbeat: Duration::from_secs(15),
            retry: Duration::from_secs(2),
            retry_closing_max: Duration::from_secs(10),
            watch_seconds_max: 24 * 60 * 60,
            wait: Duration::from_secs(30),
            wait_max: Duration::from_secs(60),
            rates: Rates { requests_per_second: 0, bytes_per_second: 16 << 20 },
            hooks: vec![],
            counts: Arc::default(),
        }
    }
}
