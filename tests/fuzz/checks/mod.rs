//! What must hold for any input. The targets of cargo-fuzz and the short run in `short.rs` share them.

pub mod jid;
pub mod sasl;
pub mod stanza;
pub mod xml_parser;
