//! Stream headers: what a client's says, and ours (RFC 6120 §4.7, §4.8).

use super::error::{StreamCondition, StreamError};
use super::{CLIENT_NS, STREAMS_NS, XML_NS};
use crate::jid::{BareJid, Jid};
use crate::xml::{Element, escape_attribute};

/// A client's stream header as it was parsed.
#[derive(Clone, Debug)]
pub struct Header {
    /// The root element, with its attributes and without children.
    pub root: Element,
    /// The default namespace that it declares.
    pub default_ns: Option<String>,
}

/// What a header says, right or wrong: our own header, which goes before any error, needs it too.
pub(super) struct Opening {
    pub to: Address,
    pub from: Address,
    pub version: Version,
    /// The default language of the client's stanzas (RFC 6120 §4.7.4).
    pub language: Option<String>,
    fault: Option<StreamError>,
}

/// An attribute that should hold an address.
pub(super) enum Address {
    Absent,
    Malformed,
    Given(BareJid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// To be taken for 0.9 (RFC 6120 §4.7.5).
    Absent,
    Malformed,
    Given(u32, u32),
}

impl Opening {
    pub fn read(header: &Header) -> Self {
        let root = &header.root;
        Opening {
            to: Address::domain(root.attr("to")),
            from: Address::bare(root.attr("from")),
            version: Version::parse(root.attr("version")),
            language: root.attr_ns(XML_NS, "lang").filter(|tag| is_language(tag)).map(str::to_owned),
            fault: fault(header),
        }
    }

    /// What is wrong with the header, whichever hosts are served.
    pub fn check(&self) -> Result<(), StreamError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if !matches!(self.version, Version::Given(1.., _)) {
            return Err(StreamCondition::UnsupportedVersion.because("version 1.0 of XMPP is needed"));
        }
        if matches!(self.to, Address::Malformed) {
            return Err(StreamCondition::ImproperAddressing.because("'to' must be a domain"));
        }
        if matches!(self.from, Address::Malformed) {
            return Err(StreamCondition::ImproperAddressing.because("'from' must be an address"));
        }
        Ok(())
    }
}

impl Address {
    pub fn given(&self) -> Option<&BareJid> {
        match self {
            Address::Given(jid) => Some(jid),
            Address::Absent | Address::Malformed => None,
        }
    }

    fn domain(text: Option<&str>) -> Self {
        match text.map(BareJid::parse) {
            None => Address::Absent,
            Some(Ok(jid)) if jid.local().is_none() => Address::Given(jid),
            Some(_) => Address::Malformed,
        }
    }

    fn bare(text: Option<&str>) -> Self {
        match text.map(Jid::parse) {
            None => Address::Absent,
            Some(Ok(jid)) => Address::Given(jid.bare().clone()),
            Some(Err(_)) => Address::Malformed,
        }
    }
}

impl Version {
    fn parse(text: Option<&str>) -> Self {
        let Some(text) = text else { return Version::Absent };
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u32>().ok()).flatten()
        };
        match text.split_once('.').map(|(major, minor)| (number(major), number(minor))) {
            Some((Some(major), Some(minor))) => Version::Given(major, minor),
            _ => Version::Malformed,
        }
    }

    /// What our header says: the lower one of the client's and ours, and nothing to a client of 0.9
    /// (RFC 6120 §4.7.5).
    fn answer(self) -> Option<(u32, u32)> {
        match self {
            Version::Absent => None,
            Version::Malformed => Some(VERSION),
            Version::Given(major, minor) => Some((major, minor).min(VERSION)),
        }
    }
}

/// Our stream header. `to` is the client's `from`, where it gave one (RFC 6120 §4.7.2).
pub(super) fn render(host: &str, to: Option<&BareJid>, id: &str, version: Version) -> Vec<u8> {
    let mut bytes = b"<?xml version='1.0'?><stream:stream from='".to_vec();
    escape_attribute(&mut bytes, host);
    bytes.extend_from_slice(b"' id='");
    escape_attribute(&mut bytes, id);
    if let Some(to) = to {
        bytes.extend_from_slice(b"' to='");
        escape_attribute(&mut bytes, to.as_str());
    }
    if let Some((major, minor)) = version.answer() {
        bytes.extend_from_slice(format!("' version='{major}.{minor}").as_bytes());
    }
    // RFC 6120 §4.7.4: English is what all texts here are written in, so it answers every preference.
    bytes.extend_from_slice(b"' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
    bytes
}

fn fault(header: &Header) -> Option<StreamError> {
    if header.root.ns() != STREAMS_NS {
        return Some(StreamCondition::InvalidNamespace.because("the root is not in the stream namespace"));
    }
    if header.root.name() != "stream" {
        return Some(StreamCondition::BadFormat.because("a stream begins with <stream>"));
    }
    // RFC 6120 §4.8.2: where the default is the stream namespace itself, each child of the stream
    // declares its own ("prefix-free canonicalization").
    match header.default_ns.as_deref() {
        Some(CLIENT_NS | STREAMS_NS) => None,
        _ => Some(StreamCondition::InvalidNamespace.because("the default namespace must be jabber:client")),
    }
}

/// Whether a text has the form of a language tag (RFC 5646 §2.1), so that it may be stamped on stanzas.
fn is_language(tag: &str) -> bool {
    tag.len() <= LANGUAGE_BYTES_MAX
        && tag.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

const VERSION: (u32, u32) = (1, 0);

/// RFC 5646 §4.4.1 wants room for 35 characters.
const LANGUAGE_BYTES_MAX: usize = 64;
