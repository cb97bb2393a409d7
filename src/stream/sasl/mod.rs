//! SASL as XMPP wears it (RFC 6120 §6): the elements around a mechanism's messages, and the mechanisms.
//!
//! Not here: what the negotiation does with the outcome (`authentication`).

mod bearer;
mod exchange;
mod plain;
pub(super) mod scram;
mod token;

pub(super) use exchange::{Context, Exchange, Pending, Step};
pub use scram::{ScramHash, ScramOffer};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::SASL_NS;
use super::secured::Binding;
use crate::xml::Element;

/// The mechanisms that can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    Scram(ScramHash),
    /// Bound to its channel, so offered where there is something to bind to.
    ScramPlus(ScramHash),
    Plain,
    /// By the certificate that the peer has shown (XEP-0178).
    External,
    Anonymous,
    /// By a token of OAuth (RFC 7628).
    OauthBearer,
    /// HT-SHA-256: a token of FAST, bound to its channel or to none (XEP-0484). Never in the list of
    /// mechanisms: SASL2 offers them apart.
    Token(Option<Binding>),
}

/// The failures of RFC 6120 §6.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslCondition {
    Aborted,
    AccountDisabled,
    CredentialsExpired,
    EncryptionRequired,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    MechanismTooWeak,
    NotAuthorized,
    TemporaryAuthFailure,
}

/// What the peer says in the SASL namespace.
pub(super) enum Said {
    Auth {
        mechanism: Option<String>,
        /// Absent where the peer wants to be asked first.
        initial: Result<Option<Vec<u8>>, SaslCondition>,
    },
    Response(Result<Vec<u8>, SaslCondition>),
    Abort,
    /// An element that only a server sends, or nobody.
    Unknown,
}

impl Mechanism {
    /// All of them, the preferred first.
    pub const ALL: [Mechanism; 13] = [
        Mechanism::External,
        Mechanism::ScramPlus(ScramHash::Sha256),
        Mechanism::ScramPlus(ScramHash::Sha512),
        Mechanism::ScramPlus(ScramHash::Sha1),
        Mechanism::Scram(ScramHash::Sha256),
        Mechanism::Scram(ScramHash::Sha512),
        Mechanism::Scram(ScramHash::Sha1),
        Mechanism::OauthBearer,
        Mechanism::Plain,
        Mechanism::Anonymous,
        Mechanism::TOKENS[0],
        Mechanism::TOKENS[1],
        Mechanism::TOKENS[2],
    ];

    /// Those of FAST, the stronger first.
    pub const TOKENS: [Mechanism; 3] =
        [Mechanism::Token(Some(Binding::Exporter)), Mechanism::Token(Some(Binding::EndPoint)), Mechanism::Token(None)];

    /// Its name in the registry of SASL mechanisms.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Scram(ScramHash::Sha1) => "SCRAM-SHA-1",
            Mechanism::Scram(ScramHash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(ScramHash::Sha512) => "SCRAM-SHA-512",
            Mechanism::ScramPlus(ScramHash::Sha1) => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramPlus(ScramHash::Sha256) => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramPlus(ScramHash::Sha512) => "SCRAM-SHA-512-PLUS",
            Mechanism::Plain => "PLAIN",
            Mechanism::External => "EXTERNAL",
            Mechanism::Anonymous => "ANONYMOUS",
            Mechanism::OauthBearer => "OAUTHBEARER",
            Mechanism::Token(Some(Binding::Exporter)) => "HT-SHA-256-EXPR",
            Mechanism::Token(Some(Binding::EndPoint)) => "HT-SHA-256-ENDP",
            Mechanism::Token(None) => "HT-SHA-256-NONE",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Whether it may be used in the clear: it hands no secret to whoever listens, and proves itself anew
    /// each time.
    pub fn is_safe_in_the_clear(self) -> bool {
        match self {
            Mechanism::Scram(_) | Mechanism::Anonymous => true,
            Mechanism::ScramPlus(_)
            | Mechanism::Plain
            | Mechanism::External
            | Mechanism::OauthBearer
            | Mechanism::Token(_) => false,
        }
    }
}

impl SaslCondition {
    /// The name of its element.
    pub fn name(self) -> &'static str {
        match self {
            SaslCondition::Aborted => "aborted",
            SaslCondition::AccountDisabled => "account-disabled",
            SaslCondition::CredentialsExpired => "credentials-expired",
            SaslCondition::EncryptionRequired => "encryption-required",
            SaslCondition::IncorrectEncoding => "incorrect-encoding",
            SaslCondition::InvalidAuthzid => "invalid-authzid",
            SaslCondition::InvalidMechanism => "invalid-mechanism",
            SaslCondition::MalformedRequest => "malformed-request",
            SaslCondition::MechanismTooWeak => "mechanism-too-weak",
            SaslCondition::NotAuthorized => "not-authorized",
            SaslCondition::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// RFC 6120 §6.5.
    pub(super) fn element(self) -> Element {
        Element::new("failure", SASL_NS).with_child(Element::new(self.name(), SASL_NS))
    }
}

impl Said {
    /// Reads an element of the SASL namespace.
    pub fn read(element: &Element) -> Self {
        match element.name() {
            "auth" => Said::Auth {
                mechanism: element.attr("mechanism").map(str::to_owned),
                initial: if element.nodes().is_empty() { Ok(None) } else { data(element, Zero::Equals).map(Some) },
            },
            "response" => Said::Response(data(element, Zero::Nothing)),
            "abort" => Said::Abort,
            _ => Said::Unknown,
        }
    }
}

/// A challenge, or an additional message with success; without data the element stays empty.
pub(super) fn element(name: &'static str, ns: &'static str, data: &[u8]) -> Element {
    Element::new(name, ns).with_text(STANDARD.encode(data))
}

/// How a message of no bytes is written: `=` in `<auth/>` (RFC 6120 §6.4.2), nothing elsewhere.
#[derive(PartialEq, Eq)]
pub(super) enum Zero {
    Equals,
    Nothing,
}

pub(super) fn data(element: &Element, zero: Zero) -> Result<Vec<u8>, SaslCondition> {
    if element.children().next().is_some() {
        return Err(SaslCondition::MalformedRequest);
    }
    let text = element.text();
    if zero == Zero::Equals && text == "=" {
        return Ok(Vec::new());
    }
    // RFC 6120 §6.3.5: canonical base64, padding bits zero; no white space.
    let data = STANDARD.decode(text).map_err(|_| SaslCondition::IncorrectEncoding)?;
    if data.len() > MESSAGE_BYTES_MAX { Err(SaslCondition::MalformedRequest) } else { Ok(data) }
}

/// So many handshakes may fail on one stream, the last of which ends it: the first try and two more,
/// as few as RFC 6120 §6.4.5 allows.
pub const AUTH_FAILURES_MAX: u32 = 3;

/// The largest message of a mechanism: two addresses and a password at their largest fit.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
