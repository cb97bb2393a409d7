//! Streams whose every element is a document of its own (RFC 7395 §3.3): what our stream's bytes are
//! there, and the other way round.

use bytes::Bytes;

use super::negotiate::stream_error;
use crate::counts::Counts;
use crate::stream::{Header, Input, StreamCondition};
use crate::xml::{Element, Limits, parse_document};

/// One whole element of our stream, or its header or end, as a document.
pub(super) fn document(element: Bytes) -> Bytes {
    if let Some(rest) = strip(&element, b"<?xml version='1.0'?><stream:stream") {
        let end = find(rest, b" xmlns='jabber:client'").unwrap_or(rest.len());
        return Bytes::from([b"<open xmlns='", FRAMING_NS.as_bytes(), b"'", &rest[..end], b"/>"].concat());
    }
    if &element[..] == b"</stream:stream>" {
        return Bytes::from([b"<close xmlns='", FRAMING_NS.as_bytes(), b"'/>"].concat());
    }
    // What stands in no stream must declare what the stream would have.
    let name = element.iter().position(|byte| matches!(byte, b' ' | b'>' | b'/')).unwrap_or(element.len());
    let declared: &[u8] = match &element[..name] {
        b"<iq" | b"<message" | b"<presence" => b" xmlns='jabber:client'",
        b"<stream:features" | b"<stream:error" => b" xmlns:stream='http://etherx.jabber.org/streams'",
        _ => return element,
    };
    Bytes::from([&element[..name], declared, &element[name..]].concat())
}

/// What a document of the peer says.
pub(super) fn input(document: &[u8], limits: &Limits, counts: &Counts) -> Input {
    if document.first() != Some(&b'<') {
        return Input::Malformed(StreamCondition::BadFormat.because("a frame begins with '<'"));
    }
    let element = match parse_document(document, limits) {
        Ok(element) => element,
        Err(error) => return Input::Malformed(stream_error(&error, counts)),
    };
    match (element.name(), element.ns() == FRAMING_NS) {
        ("open", true) => {
            let mut root = Element::new("stream", "http://etherx.jabber.org/streams");
            for (ns, name, value) in element.attributes() {
                root.set_attr_ns(ns, name, value);
            }
            Input::Header(Header { root, default_ns: Some("jabber:client".to_owned()) })
        }
        ("close", true) => Input::End,
        // §3.3.2.
        ("open" | "close", false) => Input::Malformed(
            StreamCondition::InvalidNamespace.because("a header stands in the framed stream namespace"),
        ),
        _ => Input::Element(element),
    }
}

fn strip<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    bytes.strip_prefix(prefix)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

const FRAMING_NS: &str = "urn:ietf:params:xml:ns:xmpp-framing";

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str) -> String {
        String::from_utf8(document(Bytes::copy_from_slice(text.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn every_element_of_a_stream_is_a_document() {
        for (stream, document) in [
            (
                "<?xml version='1.0'?><stream:stream from='b' id='i' version='1.0' xml:lang='en' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams'>",
                "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='b' id='i' version='1.0' xml:lang='en'/>",
            ),
            ("</stream:stream>", "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
            ("<iq id='1'/>", "<iq xmlns='jabber:client' id='1'/>"),
            ("<message><body>x</body></message>", "<message xmlns='jabber:client'><body>x</body></message>"),
            ("<presence/>", "<presence xmlns='jabber:client'/>"),
            ("<a xmlns='urn:xmpp:sm:3' h='1'/>", "<a xmlns='urn:xmpp:sm:3' h='1'/>"),
            (
                "<stream:features><bind xmlns='u'/></stream:features>",
                "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='u'/></stream:features>",
            ),
        ] {
            assert_eq!(framed(stream), document);
            parse_document(document.as_bytes(), &Limits::authenticated()).unwrap();
        }
    }

    #[test]
    fn documents_are_read_as_what_they_say() {
        let read = |text: &str| input(text.as_bytes(), &Limits::authenticated(), &Counts::default());
        let Input::Header(header) = read("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='b' version='1.0'/>")
        else {
            panic!("a header")
        };
        assert_eq!((header.root.attr("to"), header.default_ns.as_deref()), (Some("b"), Some("jabber:client")));
        assert!(matches!(read("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"), Input::End));
        assert!(matches!(read("<message xmlns='jabber:client'/>"), Input::Element(_)));
        for (text, condition) in [
            (" <a/>", StreamCondition::BadFormat),
            ("", StreamCondition::BadFormat),
            ("<open to='b'/>", StreamCondition::InvalidNamespace),
            ("<a/><b/>", StreamCondition::NotWellFormed),
            ("<a>", StreamCondition::NotWellFormed),
            ("<!DOCTYPE a><a/>", StreamCondition::RestrictedXml),
            ("<!-- x --><a/>", StreamCondition::RestrictedXml),
        ] {
            let Input::Malformed(error) = read(text) else { panic!("{text}") };
            assert_eq!(error.condition, condition, "{text}");
        }
        let long = format!("<a>{}</a>", "x".repeat(300 << 10));
        let Input::Malformed(error) = read(&long) else { panic!("too long") };
        assert_eq!(error.condition, StreamCondition::PolicyViolation);
    }
}
