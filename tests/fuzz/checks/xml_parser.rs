//! Any bytes, in any pieces: no panic, the same events however they are cut, and whatever was read
//! is read again as it is written.
//!
//! The first byte is the size of the pieces, the others are the stream.

use tidings::payload;
use tidings::xml::{Element, Limits, Parser, XmlError, XmlEvent, parse_document};

pub fn check(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let limits = Limits { stanza_bytes: 2048, token_bytes: 64, ..Limits::authenticated() };
    let whole = events(std::iter::once(stream), limits);
    assert_eq!(events(stream.chunks(usize::from(*size).max(1)), limits), whole);
    for event in whole.0 {
        match event {
            XmlEvent::Element(element) => is_read_again(&element),
            XmlEvent::StreamStart { header, .. } => is_read_again(&header),
            XmlEvent::StreamEnd => {}
        }
    }
    if let Ok(element) = parse_document(stream, &limits) {
        is_read_again(&element);
    }
    for payload in
        [payload::from_json(stream), payload::from_text(stream), payload::from_xml(stream)].into_iter().flatten()
    {
        payload::to_http(&payload);
        payload::to_json(&payload);
        let element = parse_document(payload::to_xml(&payload), &Limits::authenticated()).expect("a payload is XML");
        assert_eq!(payload::from_element(&element), Ok(payload));
    }
}

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>, limits: Limits) -> (Vec<XmlEvent>, Option<XmlError>) {
    let mut parser = Parser::new(limits);
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            match parser.feed(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(piece.is_empty(), "all of the input is taken");
    }
    (events, None)
}

fn is_read_again(element: &Element) {
    let bytes = element.to_bytes();
    // Written out, names and values may be longer than the small limits above.
    assert_eq!(parse_document(&bytes, &Limits::authenticated()).as_ref(), Ok(element));
}
