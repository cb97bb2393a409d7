//! From what a publisher sent to a payload.

use std::fmt;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::{ATOM_NS, JSON_NS, TEXT_NS};
use crate::pubsub::{Media, Payload};
use crate::xml::{Element, Limits, XmlError, escape_text, parse_document};

/// Why what was sent cannot be a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// Nothing but white space.
    Empty,
    NotUtf8,
    /// What is wrong with the JSON, and where.
    NotJson(String),
    /// Arrays and objects deeper in each other than [`JSON_DEPTH_MAX`].
    JsonTooDeep,
    NotXml(XmlError),
    /// XEP-0060 tells payloads apart by the namespace of their root.
    NoNamespace,
    /// Sent as Atom, but neither an entry nor a feed.
    NotAtom,
    /// A character of plain text that no XML can hold (XML 1.0 §2.2).
    Character(char),
}

/// The payload of an `<item/>`. It declares its namespace itself, wherever it had it from.
pub fn from_element(element: &Element) -> Result<Payload, PayloadError> {
    if element.ns().is_empty() {
        return Err(PayloadError::NoNamespace);
    }
    Ok(Payload { media: media(element), namespace: element.ns_shared().clone(), xml: Arc::from(element.to_bytes()) })
}

/// A body of `application/json`. It is kept as it was written, numbers, order and all; only the
/// white space around it is dropped.
pub fn from_json(body: &[u8]) -> Result<Payload, PayloadError> {
    let text = utf8(body)?;
    // RFC 8259 §8.1 allows to ignore the byte order mark that some editors put before it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_matches(is_json_space).is_empty() {
        return Err(PayloadError::Empty);
    }
    check_json(text)?;
    let text = text.trim_matches(is_json_space);
    // Of the characters that JSON may hold as they are, XML refuses these two. They can only stand
    // in a string, where an escape means the same (RFC 8259 §7).
    let text = match text.contains(['\u{fffe}', '\u{ffff}']) {
        true => &text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"),
        false => text,
    };
    Ok(contained(Media::Json, "json", JSON_NS, text))
}

/// A body of `application/xml`: one element with a namespace. What it is, is seen from its root.
pub fn from_xml(body: &[u8]) -> Result<Payload, PayloadError> {
    from_element(&document(body)?)
}

/// A body of `application/atom+xml`.
pub fn from_atom(body: &[u8]) -> Result<Payload, PayloadError> {
    let payload = from_xml(body)?;
    match payload.media {
        Media::Atom => Ok(payload),
        Media::Xml | Media::Json | Media::Text => Err(PayloadError::NotAtom),
    }
}

/// A body of `text/plain`, kept to the byte.
pub fn from_text(body: &[u8]) -> Result<Payload, PayloadError> {
    let text = utf8(body)?;
    if text.is_empty() {
        return Err(PayloadError::Empty);
    }
    match text.chars().find(|c| !is_xml_char(*c)) {
        Some(character) => Err(PayloadError::Character(character)),
        None => Ok(contained(Media::Text, "text", TEXT_NS, text)),
    }
}

fn media(element: &Element) -> Media {
    let is_text_only = || element.children().next().is_none();
    match (element.ns(), element.name()) {
        (ATOM_NS, "entry" | "feed") => Media::Atom,
        (JSON_NS, "json") if is_text_only() && check_json(&element.text()).is_ok() => Media::Json,
        (TEXT_NS, "text") if is_text_only() => Media::Text,
        _ => Media::Xml,
    }
}

/// The canonical form of an element with text alone, as `Element::to_bytes` writes it.
fn contained(media: Media, name: &str, ns: &'static str, text: &str) -> Payload {
    let mut xml = Vec::with_capacity(text.len() + text.len() / 16 + 64);
    xml.extend_from_slice(format!("<{name} xmlns='{ns}'>").as_bytes());
    escape_text(&mut xml, text);
    xml.extend_from_slice(format!("</{name}>").as_bytes());
    Payload { media, namespace: Arc::from(ns), xml: Arc::from(xml) }
}

fn document(body: &[u8]) -> Result<Element, PayloadError> {
    if body.trim_ascii().is_empty() {
        return Err(PayloadError::Empty);
    }
    // Around it will stand message, event, items and item: a peer with the same limits must be able
    // to read it there.
    let limits = Limits::authenticated();
    let limits = Limits { depth: limits.depth - WRAPPED_IN, elements: limits.elements - WRAPPED_IN, ..limits };
    parse_document(body, &limits).map_err(PayloadError::NotXml)
}

fn utf8(body: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(body).map_err(|_| PayloadError::NotUtf8)
}

/// Whether a text is one JSON value. Its depth is counted apart, for the reader that ignores
/// values sets no limit to it.
fn check_json(text: &str) -> Result<(), PayloadError> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| PayloadError::NotJson(error.to_string()))?;
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(PayloadError::JsonTooDeep);
        }
    }
    Ok(())
}

/// White space around and between the tokens of JSON (RFC 8259 §2).
pub(super) fn is_json_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_xml_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayloadError::Empty => f.write_str("the body is empty"),
            PayloadError::NotUtf8 => f.write_str("the body is not encoded in UTF-8"),
            PayloadError::NotJson(what) => write!(f, "the body is not JSON: {what}"),
            PayloadError::JsonTooDeep => {
                write!(f, "arrays and objects of the JSON stand more than {JSON_DEPTH_MAX} deep in each other")
            }
            PayloadError::NotXml(error) => error.fmt(f),
            PayloadError::NoNamespace => f.write_str("the root element has no namespace; declare one with xmlns"),
            PayloadError::NotAtom => write!(f, "the root element is neither an entry nor a feed of {ATOM_NS}"),
            PayloadError::Character(character) => write!(
                f,
                "the text has the character U+{:04X}, which cannot travel in XML; send it as JSON",
                u32::from(*character)
            ),
        }
    }
}

impl std::error::Error for PayloadError {}

/// How deep arrays and objects may stand in each other: as deep as most readers of JSON follow.
pub const JSON_DEPTH_MAX: usize = 128;

const WRAPPED_IN: usize = 4;
