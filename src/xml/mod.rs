//! Bytes to elements and back: XML as RFC 6120 §11 restricts it.
//!
//! [`Parser`] turns the bytes of a stream into its header, its children and its end, as they
//! arrive; [`parse_document`] turns one whole document into one [`Element`]. Both hold every limit
//! of [`Limits`] while they read, before memory is spent. [`Element::write`] is the way back: what
//! it writes parses to an equal element.
//!
//! Not here: what an element means, where bytes come from, which stream error a fault becomes.

mod element;
mod letters;
mod limits;
mod name;
mod parser;
mod scope;

#[cfg(test)]
mod tests;

pub use element::{Element, Node, escape_attribute, escape_text};
pub use limits::{Limits, XmlError};
pub use parser::{Parser, XmlEvent, parse_document};
