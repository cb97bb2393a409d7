//! What is written is read as it was.

use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Element, XmlError> {
    parse_document(bytes, &Limits::authenticated())
}

#[test]
fn awkward_elements_are_read_as_they_were_written() {
    let mut lang = Element::new("a", "u").with_attr("plain", "'\"<>&\t\r\n ").with_text("]]>\r\n\t<&>'\"\r");
    lang.set_attr_ns(XML_NS, "lang", "de");
    lang.set_attr_ns("v", "b", "1");
    lang.set_attr_ns("v", "c", "2");
    lang.set_attr_ns("w'\n", "b", "3");
    let nested = Element::new("a", "")
        .with_child(Element::new("b", "u").with_child(Element::new("c", "").with_child(Element::new("d", "u"))))
        .with_text(" ")
        .with_child(lang.clone());
    let reserved = Element::new("a", "u")
        .with_child(Element::new("x", XML_NS).with_child(Element::new("b", "u")).with_child(Element::new("c", "")));
    for element in [lang, nested, Element::new("x", XML_NS), reserved, Element::new("a", "u\t\r\n<>&'\" v")] {
        assert_eq!(read(&element.to_bytes()), Ok(element.clone()), "{element}");
    }
}

#[test]
fn an_element_declares_its_namespace_only_where_it_differs() {
    let mut out = Vec::new();
    let element = Element::new("a", "u").with_child(Element::new("b", "u")).with_child(Element::new("c", "v"));
    element.write(&mut out, "u");
    assert_eq!(out, b"<a><b/><c xmlns='v'/></a>");
    assert_eq!(element.to_string(), "<a xmlns='u'><b/><c xmlns='v'/></a>");
}

#[test]
fn what_no_xml_can_hold_is_replaced() {
    let element = Element::new("a", "u").with_attr("b", "\0\u{1f}\u{fffe}").with_text("x\u{1}\u{ffff}\u{ffee}\u{b}");
    let expected = Element::new("a", "u")
        .with_attr("b", "\u{fffd}\u{fffd}\u{fffd}")
        .with_text("x\u{fffd}\u{fffd}\u{ffee}\u{fffd}");
    assert_eq!(read(&element.to_bytes()), Ok(expected));
}

fn xml_char() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::char::range(' ', '~'),
        2 => prop::sample::select(vec!['\t', '\n', '\r', ']', '>', '<', '&', '\'', '"', '\u{85}', '\u{2028}', '\u{fffd}', '\u{10ffff}']),
        1 => any::<char>().prop_filter("an XML character", |c| {
            matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        }),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(xml_char(), 0..24).prop_map(String::from_iter)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["item", "a", "message", "n0", "xml", "é", "日本", "a.b-c_1"]).prop_map(str::to_owned),
        "[a-zA-Z_][a-zA-Z0-9._-]{0,6}".prop_filter("no declaration", |name| name != "xmlns"),
    ]
}

fn ns() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["", "jabber:client", "u", "v", XML_NS]).prop_map(str::to_owned),
        text().prop_filter("not reserved", |ns| ns != "http://www.w3.org/2000/xmlns/"),
    ]
}

fn leaf() -> impl Strategy<Value = Element> {
    (name(), ns(), prop::collection::vec((ns(), name(), text()), 0..4)).prop_map(|(name, ns, attributes)| {
        let mut element = Element::new(name, ns);
        for (ns, name, value) in attributes {
            element.set_attr_ns(&ns, &name, value);
        }
        element
    })
}

fn element() -> impl Strategy<Value = Element> {
    leaf().prop_recursive(5, 24, 4, |inner| {
        let node = prop_oneof![inner.prop_map(Ok), text().prop_map(Err)];
        (leaf(), prop::collection::vec(node, 0..4)).prop_map(|(mut element, nodes)| {
            for node in nodes {
                match node {
                    Ok(child) => element.push(child),
                    Err(text) => element.push_text(text),
                }
            }
            element
        })
    })
}

proptest! {
    #[test]
    fn every_element_is_read_as_it_was_written(element in element()) {
        prop_assert_eq!(read(&element.to_bytes()), Ok(element));
    }

    #[test]
    fn every_element_is_read_as_it_was_written_in_a_stream(element in element(), size in 1..40usize) {
        let mut whole = HEADER.as_bytes().to_vec();
        element.write(&mut whole, "jabber:client");
        let (events, error) = events_of(whole.chunks(size), Limits::authenticated());
        prop_assert_eq!(error, None);
        prop_assert_eq!(&events[1..], &[XmlEvent::Element(element)]);
    }

    #[test]
    fn any_text_is_written_well_formed(text in any::<String>(), value in any::<String>()) {
        let element = Element::new("a", "u").with_attr("b", value).with_text(text);
        let once = read(&element.to_bytes());
        prop_assert!(once.is_ok(), "{:?}", once);
        let once = once.expect("checked above");
        prop_assert_eq!(read(&once.to_bytes()), Ok(once));
    }

    #[test]
    fn what_was_read_is_written_and_read_again(bytes in "[<>/a-c='\" &;#x]{0,40}") {
        if let Ok(element) = read(bytes.as_bytes()) {
            prop_assert_eq!(read(&element.to_bytes()), Ok(element));
        }
    }
}
