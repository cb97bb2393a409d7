//! Sockets: each transport yields a byte pipe and what is known of the peer.
//!
//! Not here: what the bytes mean (`stream`, `session`). HTTP has its own listener in `http`.

mod gate;
mod socket;
mod tcp;
mod tls;
mod upstream;
mod websocket;

pub use gate::{Gate, GateOptions};
pub use tcp::{Serve, Transport, bind, serve};
pub use tls::{TlsError, acceptor, http_config, xmpp_config};
pub use upstream::join;
pub use websocket::websocket;
