//! Any stanza: no panic, and whatever was understood is understood again as it is written; so are the
//! forms, errors, delays and parts of lists within it.

use tidings::xml::{Element, Limits, parse_document};
use tidings::xmpp::caps::MarkForm;
use tidings::xmpp::{Delay, Form, NS_DATA, NS_RSM, SetRequest, Stanza, StanzaError};

pub fn check(data: &[u8]) {
    let document = [b"<stream xmlns='jabber:client'>", data, b"</stream>"].concat();
    let Ok(stream) = parse_document(&document, &Limits::authenticated()) else { return };
    for element in stream.children() {
        within(element, 0);
        match Stanza::parse(element.clone()) {
            Ok(stanza) => {
                let written = stanza.clone().into_element().to_bytes();
                let read = parse_document(&written, &Limits::authenticated()).expect("a stanza is XML");
                assert_eq!(Stanza::parse(read), Ok(stanza));
            }
            Err(malformed) => assert!(!malformed.why.is_empty() || malformed.name.is_none()),
        }
    }
}

fn within(element: &Element, depth: usize) {
    if element.is("x", NS_DATA)
        && let Ok(form) = Form::parse(element)
    {
        assert_eq!(Form::parse(&form.to_element()), Ok(form));
    }
    if element.is("set", NS_RSM)
        && let Ok(asked) = SetRequest::parse(element)
    {
        assert_eq!(SetRequest::parse(&asked.to_element()), Ok(asked));
    }
    if element.is("error", "jabber:client") {
        let error = StanzaError::parse(element);
        assert_eq!(StanzaError::parse(&error.to_element("jabber:client")), error);
    }
    if let Some(delay) = Delay::parse(element) {
        assert_eq!(Delay::parse(&delay.to_element()), Some(delay));
    }
    for form in [MarkForm::Slashes, MarkForm::Separators] {
        let _ = form.text(element);
    }
    for child in element.children().filter(|_| depth < 64) {
        within(child, depth + 1);
    }
}
