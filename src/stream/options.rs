//! What an operator chooses about client streams.

use std::sync::Arc;

use super::sasl::Mechanism;
use crate::jid::BareJid;
use crate::xml::Element;

/// The settings that all client streams of a listener share.
#[derive(Clone, Debug)]
pub struct Options {
    /// The domains that are served: addresses without a local part. The first one signs the errors of
    /// those who name none.
    pub hosts: Vec<BareJid>,
    /// What is offered, the preferred first, where the channel bears it: PLAIN under TLS, `-PLUS` where
    /// there is something to bind to, EXTERNAL to whoever has shown a certificate.
    pub mechanisms: Vec<Mechanism>,
    /// The one of the hosts at which nobody has an account and everybody gets a name for the time of
    /// his session: ANONYMOUS is offered there, and nothing else.
    pub anonymous: Option<BareJid>,
    /// Whether SCRAM shows clients a hash of what was offered, so that they notice what was taken away on
    /// the way (XEP-0474).
    pub show_offer: bool,
    /// Whether tokens are issued and taken (XEP-0484).
    pub fast: bool,
    /// Whether whoever has no account may make one (XEP-0077).
    pub register: bool,
    /// Whether clients may say that nobody looks at them (XEP-0352).
    pub client_state: bool,
    /// What each host says of itself among the features of a stream that has authenticated.
    pub announced: Arc<[(BareJid, Vec<Element>)]>,
    /// What can be enabled with Bind 2 beside stream management, by the names of XEP-0386 §3.1.
    pub bind_features: Vec<&'static str>,
    /// What the parser enforces until the peer has authenticated.
    pub limits_unauthenticated: Limits,
    /// What the parser enforces from then on.
    pub limits: Limits,
}

/// The limits that are advertised (XEP-0478 §3.1). They are enforced elsewhere; what is said here must
/// be what is done there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The largest first-level element, in bytes.
    pub max_bytes: Option<u64>,
    /// After so many seconds of silence the peer is probed or let go.
    pub idle_seconds: Option<u64>,
}

/// What the stream runs over when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Clear TCP: nothing but STARTTLS is offered or accepted first.
    StartTls,
    /// TLS from the first byte (XEP-0368, or a WebSocket under HTTPS).
    Tls,
    /// In the clear, and to stay so: loopback, where the operator has allowed it. PLAIN is not offered.
    Clear,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            hosts: vec![BareJid::parse("localhost").expect("localhost is a domain")],
            mechanisms: Mechanism::ALL.into_iter().filter(|one| !matches!(one, Mechanism::Anonymous)).collect(),
            anonymous: None,
            show_offer: true,
            fast: true,
            register: false,
            client_state: true,
            announced: Arc::new([]),
            bind_features: Vec::new(),
            limits_unauthenticated: Limits::default(),
            limits: Limits::default(),
        }
    }
}
