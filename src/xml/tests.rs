use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0' xml:lang='de'>";

/// All events of a stream that arrives in one piece, up to its first fault.
fn events(text: impl AsRef<[u8]>, limits: Limits) -> (Vec<XmlEvent>, Option<XmlError>) {
    let mut parser = Parser::new(limits);
    let mut input = text.as_ref();
    let mut events = Vec::new();
    loop {
        match parser.feed(&mut input) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => {
                assert!(input.is_empty(), "all of the input is taken");
                return (events, None);
            }
            Err(error) => return (events, Some(error)),
        }
    }
}

#[test]
fn a_stream_is_its_header_its_stanzas_and_its_end() {
    let text = format!("\n{HEADER}\n<iq id='1'><ping xmlns='urn:xmpp:ping'/></iq> <a/>text</stream:stream>");
    let (events, error) = events(text.replace("text", ""), Limits::authenticated());
    assert_eq!(error, None);
    let XmlEvent::StreamStart { header, default_ns } = &events[0] else { panic!("{events:?}") };
    assert!(header.is("stream", "http://etherx.jabber.org/streams"));
    assert_eq!(header.attr("to"), Some("example.org"));
    assert_eq!(header.attr_ns("http://www.w3.org/XML/1998/namespace", "lang"), Some("de"));
    assert_eq!(&**default_ns, "jabber:client");
    let ping =
        Element::new("iq", "jabber:client").with_attr("id", "1").with_child(Element::new("ping", "urn:xmpp:ping"));
    assert_eq!(events[1], XmlEvent::Element(ping));
    assert_eq!(events[2], XmlEvent::Element(Element::new("a", "jabber:client")));
    assert_eq!(events[3], XmlEvent::StreamEnd);
    assert_eq!(events.len(), 4);
}
