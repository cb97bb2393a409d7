//! What a transport hands to a session: bytes both ways, and what is known of the peer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte pipe, encrypted or not.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Turns a plain pipe into an encrypted one; for STARTTLS (RFC 6120 §5).
pub type Upgrade = Box<dyn FnOnce(Box<dyn Io>) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>> + Send>;

pub struct Pipe {
    pub io: Box<dyn Io>,
    pub peer: SocketAddr,
    /// How to encrypt it; absent when it is encrypted already.
    pub upgrade: Option<Upgrade>,
    /// Held until the peer is authenticated: how many may be on the way is limited.
    pub unauthenticated: Option<Box<dyn Send>>,
}
