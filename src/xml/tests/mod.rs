//! The rows X1 to X12 of the attacks that concern a parser, and the pair of reading and writing.

mod limits;
mod round_trip;
mod rules;
mod splits;

use super::*;

const STREAM_NS: &str = "http://etherx.jabber.org/streams";
const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0' xml:lang='de'>";

/// All events of a stream that arrives in these pieces, up to its first fault.
fn events_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> (Vec<XmlEvent>, Option<XmlError>) {
    let mut parser = Parser::new(limits);
    let mut events = Vec::new();
    for (number, mut input) in pieces.into_iter().enumerate() {
        if number % 2 == 1 {
            parser.rest();
        }
        loop {
            match parser.feed(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.feed(&mut &b"<more/>"[..]), Err(error.clone()), "an error is final");
                    return (events, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "all of the input is taken");
    }
    (events, None)
}

/// The children of a stream, and how it failed.
fn stanzas(text: impl AsRef<[u8]>, limits: Limits) -> (Vec<Element>, Option<XmlError>) {
    let whole = [HEADER.as_bytes(), text.as_ref()].concat();
    let (events, error) = events_of([&whole[..]], limits);
    let stanzas = events
        .into_iter()
        .filter_map(|event| match event {
            XmlEvent::Element(element) => Some(element),
            XmlEvent::StreamStart { .. } | XmlEvent::StreamEnd => None,
        })
        .collect();
    (stanzas, error)
}

/// The same, where one stanza is expected.
fn stanza(text: impl AsRef<[u8]>) -> Element {
    let (mut stanzas, error) = stanzas(text, Limits::authenticated());
    assert_eq!((stanzas.len(), error), (1, None));
    stanzas.remove(0)
}
