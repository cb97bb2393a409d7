//! Sockets: each transport yields a byte pipe and what is known of the peer.
//!
//! Not here: what the bytes mean (`stream`, `session`). HTTP has its own listener in `http`, which hands
//! on what is posted for `bosh`.

mod bosh;
mod gate;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod upstream;
mod websocket;
mod x509;

pub use bosh::{Bosh, BoshOptions, Posted};
pub use gate::{Gate, GateOptions};
pub use tcp::{Serve, Transport, bind, serve};
pub use tls::{CertificateFiles, Certificates, TlsError};
pub use upstream::join;
pub use websocket::websocket;
