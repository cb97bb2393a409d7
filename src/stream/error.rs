//! Stream errors (RFC 6120 §4.9): each ends its stream.

use std::fmt;

use super::STREAM_ERROR_NS;
use crate::xml::Element;

/// The defined conditions of RFC 6120 §4.9.3, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCondition {
    BadFormat,
    BadNamespacePrefix,
    Conflict,
    ConnectionTimeout,
    HostGone,
    HostUnknown,
    ImproperAddressing,
    InternalServerError,
    InvalidFrom,
    InvalidNamespace,
    InvalidXml,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    RemoteConnectionFailed,
    Reset,
    ResourceConstraint,
    RestrictedXml,
    /// Where to connect instead: a domain or address, with `:port` where it matters.
    SeeOtherHost(String),
    SystemShutdown,
    UndefinedCondition,
    UnsupportedEncoding,
    UnsupportedFeature,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

/// A condition, with what helps a person to understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    pub condition: StreamCondition,
    /// English, for a person.
    pub text: Option<String>,
    /// An application-specific condition (RFC 6120 §4.9.4): `<stanza-too-big xmlns='urn:xmpp:errors'/>`.
    pub application: Option<Box<Element>>,
}

impl StreamCondition {
    /// The name of its element.
    pub fn name(&self) -> &'static str {
        match self {
            StreamCondition::BadFormat => "bad-format",
            StreamCondition::BadNamespacePrefix => "bad-namespace-prefix",
            StreamCondition::Conflict => "conflict",
            StreamCondition::ConnectionTimeout => "connection-timeout",
            StreamCondition::HostGone => "host-gone",
            StreamCondition::HostUnknown => "host-unknown",
            StreamCondition::ImproperAddressing => "improper-addressing",
            StreamCondition::InternalServerError => "internal-server-error",
            StreamCondition::InvalidFrom => "invalid-from",
            StreamCondition::InvalidNamespace => "invalid-namespace",
            StreamCondition::InvalidXml => "invalid-xml",
            StreamCondition::NotAuthorized => "not-authorized",
            StreamCondition::NotWellFormed => "not-well-formed",
            StreamCondition::PolicyViolation => "policy-violation",
            StreamCondition::RemoteConnectionFailed => "remote-connection-failed",
            StreamCondition::Reset => "reset",
            StreamCondition::ResourceConstraint => "resource-constraint",
            StreamCondition::RestrictedXml => "restricted-xml",
            StreamCondition::SeeOtherHost(_) => "see-other-host",
            StreamCondition::SystemShutdown => "system-shutdown",
            StreamCondition::UndefinedCondition => "undefined-condition",
            StreamCondition::UnsupportedEncoding => "unsupported-encoding",
            StreamCondition::UnsupportedFeature => "unsupported-feature",
            StreamCondition::UnsupportedStanzaType => "unsupported-stanza-type",
            StreamCondition::UnsupportedVersion => "unsupported-version",
        }
    }

    /// The condition with a sentence for a person.
    pub fn because(self, text: impl Into<String>) -> StreamError {
        StreamError { condition: self, text: Some(text.into()), application: None }
    }
}

impl StreamError {
    /// The same error with an application-specific condition.
    #[must_use]
    pub fn with_application(mut self, application: Element) -> Self {
        self.application = Some(Box::new(application));
        self
    }

    /// `<stream:error>` as it stands in a stream whose header bound the prefix (RFC 6120 §4.9.2).
    pub(super) fn render(&self) -> Vec<u8> {
        let mut condition = Element::new(self.condition.name(), STREAM_ERROR_NS);
        if let StreamCondition::SeeOtherHost(host) = &self.condition {
            condition.push_text(host.as_str());
        }
        let mut bytes = b"<stream:error>".to_vec();
        condition.write(&mut bytes, super::CLIENT_NS);
        if let Some(text) = &self.text {
            let mut element = Element::new("text", STREAM_ERROR_NS).with_text(text.as_str());
            element.set_attr_ns(super::XML_NS, "lang", "en");
            element.write(&mut bytes, super::CLIENT_NS);
        }
        if let Some(application) = &self.application {
            application.write(&mut bytes, super::CLIENT_NS);
        }
        bytes.extend_from_slice(b"</stream:error>");
        bytes
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        StreamError { condition, text: None, application: None }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.name())?;
        match &self.text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StreamError {}
