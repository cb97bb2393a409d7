//! One task a connection: it drives a stream over a pipe, routes what the peer sends, and pulls what
//! the peer watches. Knows no XEP.
//!
//! Not here: what may be said when (`stream`), where a stanza goes (`router`), what an event looks
//! like (`xep`, behind `router`). RFC 6120, RFC 6121 §4.

mod component;
mod credentials;
mod framing;
mod hibernate;
mod inline;
mod live;
mod negotiate;
mod pipe;
mod quiet;
mod rate;
mod resumption;
mod standing;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::delivery::Delivery;
use crate::router::Router;
use crate::stream;
use crate::xml;

pub use component::{Upstream, UpstreamOptions};
pub use pipe::{Carrier, Io, Messages, Pipe, Upgrade};
pub use rate::RateOptions;

/// The settings of sessions.
#[derive(Clone, Debug)]
pub struct Options {
    pub stream: stream::Options,
    pub limits_unauthenticated: xml::Limits,
    pub limits: xml::Limits,
    /// From the first byte to a bound resource.
    pub negotiation_max: Duration,
    /// Silence after which the peer is pinged.
    pub ping_after: Duration,
    /// Silence after which the peer is taken for dead.
    pub dead_after: Duration,
    /// Time without progress of a write after which the peer is taken for dead.
    pub stuck_after: Duration,
    /// Requests of one session on their way through the engine; beyond it nothing is read.
    pub requests_in_flight_max: usize,
    /// Queued output up to which a session goes on to pull what it watches.
    pub output_pull_bytes: usize,
    /// Queued output beyond which a session stops reading requests.
    pub output_bytes_max: usize,
    /// Stanzas of others that may wait for a session.
    pub inbox_max: usize,
    pub sm: SmOptions,
    pub rate: RateOptions,
    /// Who may connect as a component.
    pub components: Arc<[stream::component::Served]>,
    pub limits_component: xml::Limits,
    /// Stanzas of others that may wait for a component.
    pub link_inbox_max: usize,
    /// Requests of one component on their way through the engine; beyond it nothing is read.
    pub link_requests_max: usize,
    /// Sessions of one account at a time.
    pub sessions_per_account_max: usize,
}

/// The limits of stream management (XEP-0198).
#[derive(Clone, Copy, Debug)]
pub struct SmOptions {
    /// How long a session that lost its connection may be resumed; with zero none may.
    pub resume_max: Duration,
    /// Stanzas, and bytes of them, that a session may have unacknowledged once its connection is lost.
    /// One with a connection gets no more events beyond it.
    pub queue_stanzas_max: usize,
    pub queue_bytes_max: usize,
    /// Sessions of one account without a connection.
    pub hibernated_per_account_max: usize,
    /// How long an answer to `<r/>` may take.
    pub ack_wait: Duration,
}

impl Default for SmOptions {
    fn default() -> Self {
        SmOptions {
            resume_max: Duration::from_secs(600),
            queue_stanzas_max: 1000,
            queue_bytes_max: 4 << 20,
            hibernated_per_account_max: 5,
            ack_wait: Duration::from_secs(30),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            stream: stream::Options::default(),
            limits_unauthenticated: xml::Limits::unauthenticated(),
            limits: xml::Limits::authenticated(),
            negotiation_max: Duration::from_secs(30),
            ping_after: Duration::from_secs(60),
            dead_after: Duration::from_secs(180),
            stuck_after: Duration::from_secs(300),
            requests_in_flight_max: 64,
            output_pull_bytes: 64 << 10,
            output_bytes_max: 1 << 20,
            inbox_max: 256,
            sm: SmOptions::default(),
            rate: RateOptions::default(),
            components: Arc::new([]),
            limits_component: xml::Limits { stanza_bytes: 1 << 20, ..xml::Limits::authenticated() },
            link_inbox_max: 4096,
            link_requests_max: 512,
            sessions_per_account_max: 10,
        }
    }
}

/// What every session needs; to be cloned and handed about.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    access: Access,
    delivery: Delivery,
    router: Router,
    options: Options,
    resumption: resumption::Resumption,
    stop: CancellationToken,
}

impl Sessions {
    /// `stop` asks every session to finish what it was asked and to close.
    pub fn new(access: Access, delivery: Delivery, router: Router, options: Options, stop: CancellationToken) -> Self {
        let resumption = resumption::Resumption::default();
        Sessions { shared: Arc::new(Shared { access, delivery, router, options, resumption, stop }) }
    }

    /// The largest message that is taken in: larger than what may be sent, so that it can be said what
    /// is wrong.
    pub fn message_bytes_max(&self) -> usize {
        self.shared.options.limits.stanza_bytes + MESSAGE_MARGIN
    }

    /// The same of a peer that has not said who it is.
    pub fn message_bytes_unauthenticated_max(&self) -> usize {
        self.shared.options.limits_unauthenticated.stanza_bytes + MESSAGE_MARGIN
    }

    /// What one message may consist of, by the same measure.
    pub fn message_limits(&self) -> xml::Limits {
        xml::Limits { stanza_bytes: self.message_bytes_max(), ..self.shared.options.limits }
    }

    /// Speaks with a peer until one of both ends it.
    pub async fn run(&self, pipe: Pipe) {
        let peer = pipe.peer;
        // Negotiation needs much that a session does not: it is a future of its own, and gone after.
        let negotiated = Box::pin(negotiate::negotiate(self.shared.clone(), pipe)).await;
        if let Some(established) = negotiated {
            tracing::debug!(%peer, session = %established.jid(), "session begins");
            Box::pin(live::live(&self.shared, established)).await;
        }
    }
}

const MESSAGE_MARGIN: usize = 64 << 10;
