//! What a transport hands to a session: bytes both ways, and what is known of the peer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::counts::SessionKind;
use crate::stream::Secured;

/// A byte pipe, encrypted or not.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Turns a plain pipe into an encrypted one, and says what its handshake yielded; for STARTTLS
/// (RFC 6120 §5).
pub type Upgrade = Box<dyn FnOnce(Box<dyn Io>) -> Upgrading + Send>;

type Upgrading = Pin<Box<dyn Future<Output = io::Result<(Box<dyn Io>, Secured)>> + Send>>;

/// A pipe that carries whole messages: a WebSocket, a series of HTTP requests.
pub trait Messages: Send + Unpin {
    /// The next message; nothing when the peer will send none. An empty one is only a sign of life.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;
    /// Waits until a message can be taken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Takes a message, after `poll_ready`.
    fn send(&mut self, message: Bytes) -> io::Result<()>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Makes the peer show by the transport's own means that it is there: an empty message comes then. False
    /// where there are none.
    fn probe(&mut self) -> bool;
}

/// What a transport carries.
pub enum Carrier {
    Bytes(Box<dyn Io>),
    Messages(Box<dyn Messages>),
}

pub struct Pipe {
    pub kind: SessionKind,
    pub carrier: Carrier,
    pub peer: SocketAddr,
    /// How to encrypt it; absent when it is encrypted already.
    pub upgrade: Option<Upgrade>,
    /// Nothing protects it, and nothing will.
    pub clear: bool,
    /// Where it is encrypted already: what the handshake yielded.
    pub secured: Secured,
    /// Held until the peer is authenticated: how many may be on the way is limited.
    pub unauthenticated: Option<Box<dyn Send>>,
}
