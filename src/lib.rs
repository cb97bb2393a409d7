//! Tidings: an XMPP publish-subscribe server (XEP-0060) in which every API resource is a node.
//!
//! The rooms, in the order that data flows. `docs/ARCHITECTURE.md` is the map, and
//! `tests/tidy.rs` holds who may import whom.

pub mod access;
pub mod cli;
pub mod config;
pub mod counts;
pub mod delivery;
pub mod engine;
pub mod http;
pub mod im;
pub mod jid;
pub mod messaging;
pub mod net;
pub mod payload;
pub mod pubsub;
pub mod router;
pub mod server;
pub mod session;
pub mod store;
pub mod stream;
pub mod time;
pub mod xep;
pub mod xml;
pub mod xmpp;
