//! What a transport hands to a session: bytes both ways, and what is known of the peer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::stream::Secured;

/// A byte pipe, encrypted or not.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Turns a plain pipe into an encrypted one, and says what its handshake yielded; for STARTTLS
/// (RFC 6120 §5).
pub type Upgrade = Box<dyn FnOnce(Box<dyn Io>) -> Upgrading + Send>;

type Upgrading = Pin<Box<dyn Future<Output = io::Result<(Box<dyn Io>, Secured)>> + Send>>;

pub struct Pipe {
    pub io: Box<dyn Io>,
    pub peer: SocketAddr,
    /// How to encrypt it; absent when it is encrypted already.
    pub upgrade: Option<Upgrade>,
    /// Where it is encrypted already: what the handshake yielded.
    pub secured: Secured,
    /// Held until the peer is authenticated: how many may be on the way is limited.
    pub unauthenticated: Option<Box<dyn Send>>,
}
