//! What is known of the TLS connection under a stream: how it can be bound to, and whom the peer's
//! certificate names.

use std::fmt;

use crate::jid::BareJid;

/// What a handshake yielded. The default is a connection that is encrypted and nothing more: TLS that
/// ends elsewhere, or under HTTP.
#[derive(Clone, Default)]
pub struct Secured {
    /// `tls-exporter` (RFC 9266): with TLS 1.3 alone.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of the certificate that this connection was shown.
    pub end_point: Option<Vec<u8>>,
    /// The addresses in the peer's certificate (XEP-0178 §2), whose chain was verified.
    pub certified: Vec<BareJid>,
}

/// A type of channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    Exporter,
    EndPoint,
}

impl Secured {
    /// The data to bind to, where this connection has them.
    pub fn binding(&self, binding: Binding) -> Option<&[u8]> {
        match binding {
            Binding::Exporter => self.exporter.as_deref(),
            Binding::EndPoint => self.end_point.as_deref(),
        }
    }

    /// The types that this connection has, the stronger first.
    pub fn bindings(&self) -> Vec<Binding> {
        Binding::ALL.into_iter().filter(|binding| self.binding(*binding).is_some()).collect()
    }
}

impl Binding {
    pub const ALL: [Binding; 2] = [Binding::Exporter, Binding::EndPoint];

    /// Its name in the registry of channel bindings.
    pub fn name(self) -> &'static str {
        match self {
            Binding::Exporter => "tls-exporter",
            Binding::EndPoint => "tls-server-end-point",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|binding| binding.name() == name)
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secured {{ bindings: {:?}, certified: {:?} }}", self.bindings(), self.certified)
    }
}
