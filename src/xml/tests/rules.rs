//! What is XML, what is restricted, and what a stream is.

use super::*;

/// The kind of fault alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    NotWellFormed,
    Restricted,
    Encoding,
    Stray,
    Limit,
}

fn kind(error: Option<XmlError>) -> Fault {
    match error {
        None => Fault::None,
        Some(XmlError::NotWellFormed(_)) => Fault::NotWellFormed,
        Some(XmlError::Restricted(_)) => Fault::Restricted,
        Some(XmlError::UnsupportedEncoding) => Fault::Encoding,
        Some(XmlError::StrayText) => Fault::Stray,
        Some(error) => {
            assert!(error.is_limit());
            Fault::Limit
        }
    }
}

#[test]
fn a_stream_is_its_header_its_stanzas_and_its_end() {
    let text = format!("\n{HEADER}\n<iq id='1'><ping xmlns='urn:xmpp:ping'/></iq> <a/>\r\n</stream:stream>\n dropped");
    let (events, error) = events_of([text.as_bytes()], Limits::authenticated());
    assert_eq!(error, None);
    let XmlEvent::StreamStart { header, default_ns } = &events[0] else { panic!("{events:?}") };
    assert!(header.is("stream", STREAM_NS));
    assert_eq!(header.attr("to"), Some("example.org"));
    assert_eq!(header.attr_ns(XML_NS, "lang"), Some("de"));
    assert_eq!(header.nodes(), []);
    assert_eq!(&**default_ns, "jabber:client");
    let ping = Element::new("ping", "urn:xmpp:ping");
    let iq = Element::new("iq", "jabber:client").with_attr("id", "1").with_child(ping);
    assert_eq!(
        events[1..],
        [XmlEvent::Element(iq), XmlEvent::Element(Element::new("a", "jabber:client")), XmlEvent::StreamEnd]
    );
}

#[test]
fn a_stream_may_end_where_it_begins_or_be_anything_else() {
    let (events, error) = events_of([&b"<stream xmlns='u'/>"[..]], Limits::unauthenticated());
    assert_eq!(error, None);
    assert!(
        matches!(&events[..], [XmlEvent::StreamStart { default_ns, .. }, XmlEvent::StreamEnd] if &**default_ns == "u")
    );
    // Whether it is a stream of XMPP, the session decides by name and namespace.
    let (events, _) = events_of([&b"<x:y xmlns:x='u'>"[..]], Limits::unauthenticated());
    let [XmlEvent::StreamStart { header, default_ns }] = &events[..] else { panic!("{events:?}") };
    assert!(header.is("y", "u") && default_ns.is_empty());
}

#[test]
fn a_nested_stream_is_a_stanza_and_opens_nothing() {
    let (stanzas, error) = stanzas("<stream:stream to='b.example'><a/></stream:stream><a/>", Limits::authenticated());
    assert_eq!(error, None);
    assert!(stanzas[0].is("stream", STREAM_NS));
    assert_eq!(stanzas[1].name(), "a");
}

#[test]
fn a_header_is_refused_where_it_is_not_one() {
    let encoding_utf16 = b"<?xml version='1.0' encoding='UTF-16'?><a>";
    let rows: &[(&[u8], Fault)] = &[
        (b"<?xml version='1.0' encoding='utf-8' standalone='yes'?> <a>", Fault::None),
        (b"<?xml version=\"1.0\"?>\n<a>", Fault::None),
        (encoding_utf16, Fault::Encoding),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a>", Fault::Encoding),
        (b"\xFF\xFE<\0", Fault::Encoding),
        (b"\xFE\xFF\0<", Fault::Encoding),
        (b"\0<", Fault::Encoding),
        (b"<?xml version='1.1'?><a>", Fault::NotWellFormed),
        (b"<?xml version='1.0'?><?xml version='1.0'?><a>", Fault::NotWellFormed),
        (b"<?xml?><a>", Fault::NotWellFormed),
        (b"<?xml-stylesheet href='x'?><a>", Fault::NotWellFormed),
        (b"<?php ?><a>", Fault::Restricted),
        (b"<?l ?><a>", Fault::Restricted),
        (b"<?xl ?><a>", Fault::Restricted),
        (b"<!-- x --><a>", Fault::Restricted),
        (b"<!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;\">]><a>", Fault::Restricted),
        (b"<!D", Fault::Restricted),
        (b"<?xml version='1.0'?><!DOCTYPE a>", Fault::Restricted),
        (b"<!ELEMENT a>", Fault::NotWellFormed),
        (b"GET / HTTP/1.1\r\n", Fault::NotWellFormed),
        (b"\x16\x03\x01", Fault::NotWellFormed),
        (b"\xEF\xBB\xBF<a>", Fault::NotWellFormed),
        (b"<![CDATA[x]]>", Fault::NotWellFormed),
        (b"</a>", Fault::NotWellFormed),
        (b"< a>", Fault::NotWellFormed),
        (b"<b:a>", Fault::NotWellFormed),
        (b"<stream:stream to='x'>", Fault::NotWellFormed),
    ];
    for (text, fault) in rows {
        let (_, error) = events_of([*text], Limits::unauthenticated());
        assert_eq!(kind(error), *fault, "{}", text.escape_ascii());
    }
}

#[test]
fn a_stanza_is_refused_where_it_is_not_xml_or_restricted() {
    let rows: &[(&[u8], Fault)] = &[
        (b"<a><![CDATA[<&]]></a>", Fault::None),
        (b"<a>&lt;&gt;&amp;&apos;&quot;&#65;&#x42;</a>", Fault::None),
        (b"<a b='&#10;&#x10FFFF;'/>", Fault::None),
        // X1, X12: what RFC 6120 section 11.1 restricts.
        (b"<a>&x;</a>", Fault::Restricted),
        (b"<a b='&x;'/>", Fault::Restricted),
        (b"<a>&lolololololol;</a>", Fault::Restricted),
        (b"<a><!-- x --></a>", Fault::Restricted),
        (b"<!-- x -->", Fault::Restricted),
        (b"<a><?php ?></a>", Fault::Restricted),
        (b"<a><!DOCTYPE b></a>", Fault::Restricted),
        (b"<?xml version='1.0'?><a/>", Fault::NotWellFormed),
        // Characters that no reference may name (XML 1.0 section 4.1).
        (b"<a>&#0;</a>", Fault::NotWellFormed),
        (b"<a>&#xD800;</a>", Fault::NotWellFormed),
        (b"<a>&#xFFFE;</a>", Fault::NotWellFormed),
        (b"<a>&#x110000;</a>", Fault::NotWellFormed),
        (b"<a>&#;</a>", Fault::NotWellFormed),
        (b"<a>&;</a>", Fault::NotWellFormed),
        (b"<a>& </a>", Fault::NotWellFormed),
        (b"<a b='&#0;'/>", Fault::NotWellFormed),
        // X9: bytes that are not UTF-8.
        (b"<a>\xEB></a>", Fault::NotWellFormed),
        (b"<a>\xC0\x80</a>", Fault::NotWellFormed),
        (b"<a>\xE0\x80\xAF</a>", Fault::NotWellFormed),
        (b"<a>\xED\xA0\x80</a>", Fault::NotWellFormed),
        (b"<a>\xF4\x90\x80\x80</a>", Fault::NotWellFormed),
        (b"<a>\x80</a>", Fault::NotWellFormed),
        (b"<a>\xEF\xBF\xBE</a>", Fault::NotWellFormed),
        (b"<a><![CDATA[\x80]]></a>", Fault::NotWellFormed),
        (b"<a b='\xEB'>'/>", Fault::NotWellFormed),
        (b"<a b='\xC0\x80'/>", Fault::NotWellFormed),
        (b"<a\xEB/>", Fault::NotWellFormed),
        (b"<a b\x80='x'/>", Fault::NotWellFormed),
        (b"</stream:stream\x80>", Fault::NotWellFormed),
        // X10: names and syntax.
        (b"<mess\"age\">", Fault::NotWellFormed),
        (b"<m =''>", Fault::NotWellFormed),
        (b"<m a>", Fault::NotWellFormed),
        (b"<m a=b>", Fault::NotWellFormed),
        (b"<m a='1'b='2'/>", Fault::NotWellFormed),
        (b"<message></message x>", Fault::NotWellFormed),
        (b"<message></messag>", Fault::NotWellFormed),
        (b"<a></b>", Fault::NotWellFormed),
        (b"</a>", Fault::NotWellFormed),
        (b"<a b='<'/>", Fault::NotWellFormed),
        (b"<a>]]></a>", Fault::NotWellFormed),
        (b"<a>\0</a>", Fault::NotWellFormed),
        (b"<a>\x01</a>", Fault::NotWellFormed),
        (b"<a>\x0B</a>", Fault::NotWellFormed),
        (b"<a>\x1F</a>", Fault::NotWellFormed),
        (b"<a b='\x08'/>", Fault::NotWellFormed),
        (b"<1a/>", Fault::NotWellFormed),
        (b"<-a/>", Fault::NotWellFormed),
        (b"<a:b:c xmlns:a='u'/>", Fault::NotWellFormed),
        (b"<:a/>", Fault::NotWellFormed),
        (b"<a:/>", Fault::NotWellFormed),
        (b"<a/ >", Fault::NotWellFormed),
        (b"< a/>", Fault::NotWellFormed),
        (b"<a <b/>", Fault::NotWellFormed),
        // X11: names that older readers take for a fault of the stream.
        ("<größe höhe='1'/>".as_bytes(), Fault::None),
        ("<s€/>".as_bytes(), Fault::Restricted),
        ("<a s€='1'/>".as_bytes(), Fault::Restricted),
        ("<𝒳:a xmlns:𝒳='u'/>".as_bytes(), Fault::Restricted),
        ("<a xmlns:𝒳='u'/>".as_bytes(), Fault::Restricted),
        // Attributes are unique, before and after their prefixes are resolved (X4).
        (b"<a x='1' x='2'/>", Fault::NotWellFormed),
        (b"<a p:x='1' q:x='2' xmlns:p='u' xmlns:q='u'/>", Fault::NotWellFormed),
        (b"<a p:x='1' q:x='2' x='3' xmlns:p='u' xmlns:q='v'/>", Fault::None),
        (b"<a xmlns='u' xmlns='u'/>", Fault::NotWellFormed),
        (b"<a xmlns='u' xmlns='v'/>", Fault::NotWellFormed),
        (b"<a xmlns:p='u' xmlns:p='u'/>", Fault::NotWellFormed),
        // Namespaces in XML 1.0 sections 3 and 5.
        (b"<p:a/>", Fault::NotWellFormed),
        (b"<a p:b=''/>", Fault::NotWellFormed),
        (b"<a><b xmlns:p='u'/><p:c/></a>", Fault::NotWellFormed),
        (b"<a xmlns:p=''/>", Fault::NotWellFormed),
        (b"<a xmlns:xml='u'/>", Fault::NotWellFormed),
        (b"<a xmlns:xmlns='u'/>", Fault::NotWellFormed),
        (b"<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", Fault::NotWellFormed),
        (b"<a xmlns='http://www.w3.org/2000/xmlns/'/>", Fault::NotWellFormed),
        (b"<a xmlns='http://www.w3.org/XML/1998/namespace'/>", Fault::NotWellFormed),
        (b"<xmlns:a/>", Fault::NotWellFormed),
        (b"<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='de'/>", Fault::None),
        (b"<a xmlns=''/>", Fault::None),
        // Between stanzas stands white space and nothing else.
        (b" \t\r\n", Fault::None),
        (b"x", Fault::Stray),
        (b"<a/>x<a/>", Fault::Stray),
        (b"<a/> &#32; <a/>", Fault::Stray),
        (b"<![CDATA[x]]><a/>", Fault::Stray),
        (b"<![CDATA[]]> x <a/>", Fault::Stray),
        (b"<![CDATA[ ]]> <a/>", Fault::None),
    ];
    for (text, fault) in rows {
        let (_, error) = stanzas(text, Limits::authenticated());
        assert_eq!(kind(error), *fault, "{}", text.escape_ascii());
    }
}

#[test]
fn a_prefix_makes_no_difference() {
    assert_eq!(
        stanza("<x:message xmlns:x='jabber:client' to='a'><x:body>b</x:body></x:message>"),
        stanza("<message to='a'><body>b</body></message>")
    );
}

#[test]
fn namespaces_are_those_of_the_nearest_declaration() {
    let read =
        stanza("<a xmlns='u' xmlns:p='v'><b/><p:b/><c xmlns='' xmlns:p='w'><d/><p:d p:e='1' e='2'/></c><p:e/></a>");
    let inner = Element::new("c", "").with_child(Element::new("d", "")).with_child({
        let mut d = Element::new("d", "w");
        d.set_attr_ns("w", "e", "1");
        d.with_attr("e", "2")
    });
    let whole = Element::new("a", "u")
        .with_child(Element::new("b", "u"))
        .with_child(Element::new("b", "v"))
        .with_child(inner)
        .with_child(Element::new("e", "v"));
    assert_eq!(read, whole);
    // The stanza's declarations end with it.
    let (_, error) = stanzas("<a xmlns:p='v'/><p:b/>", Limits::authenticated());
    assert_eq!(kind(error), Fault::NotWellFormed);
}

#[test]
fn a_namespace_is_opaque_and_written_as_it_was_read() {
    let read = stanza("<a xmlns='u&#x0A;v'/>");
    assert_eq!(read.ns(), "u\nv");
    assert_eq!(read.to_bytes(), b"<a xmlns='u&#10;v'/>");
}

#[test]
fn text_is_joined_and_normalised_as_xml_says() {
    assert_eq!(stanza("<a>x&lt;y<![CDATA[<z>]]>&#13;\r\nw\rv</a>").text(), "x<y<z>\r\nw\nv");
    assert_eq!(stanza("<a>x&lt;y<![CDATA[<z>]]></a>").nodes().len(), 1, "pieces of one text are one node");
    assert_eq!(stanza("<a b='x\ty\r\nz&#9;'/>").attr("b"), Some("x y z\t"));
    assert_eq!(stanza("<a b='x\ry\r\r\tz\r'/>").attr("b"), Some("x y   z "));
    assert_eq!(stanza("<a b='\r\r\n\n\r&#13;\r'/>").attr("b"), Some("    \r "));
    assert_eq!(stanza("<a\r\nb='1'\rc='2'\r>\r</a\r\n>").text(), "\n");
    assert_eq!(stanza("<a><![CDATA[\r]\r\n]]></a>").text(), "\n]\n");
    assert_eq!(stanza(format!("<a>{}</a>", "xyz\r\n".repeat(1000))).text(), "xyz\n".repeat(1000));
    assert_eq!(stanza("<a><![CDATA[]]></a>"), Element::new("a", "jabber:client"));
    assert_eq!(stanza("<a><b/>t<b/></a>").nodes().len(), 3);
}

#[test]
fn a_reset_parser_reads_a_new_stream() {
    let mut parser = Parser::new(Limits::unauthenticated());
    let mut input = HEADER.as_bytes();
    assert!(matches!(parser.feed(&mut input), Ok(Some(XmlEvent::StreamStart { .. }))));
    assert!(parser.feed(&mut &b"<broken"[..]).is_ok() && parser.is_within());
    parser.reset(Limits::authenticated());
    assert!(!parser.is_within());
    let mut input = HEADER.as_bytes();
    assert!(matches!(parser.feed(&mut input), Ok(Some(XmlEvent::StreamStart { .. }))));
    assert!(parser.feed(&mut &b"x"[..]).is_err());
    parser.reset(Limits::authenticated());
    let mut input = &b"<a>"[..];
    assert!(matches!(parser.feed(&mut input), Ok(Some(XmlEvent::StreamStart { .. }))), "an error ends with the stream");
}

#[test]
fn a_document_is_one_element() {
    let rows: &[(&[u8], Fault)] = &[
        (b"<a/>", Fault::None),
        (b"\xEF\xBB\xBF<?xml version='1.0' encoding='UTF-8'?>\n<a>x</a>\n", Fault::None),
        (b" \n<a><b/></a>", Fault::None),
        (b"", Fault::NotWellFormed),
        (b" ", Fault::NotWellFormed),
        (b"text", Fault::NotWellFormed),
        (b"<a>", Fault::NotWellFormed),
        (b"<a", Fault::NotWellFormed),
        (b"<?xml version='1.0'?>", Fault::NotWellFormed),
        (b"<a/><b/>", Fault::NotWellFormed),
        (b"<a/>text", Fault::NotWellFormed),
        (b"<a/><!-- x -->", Fault::NotWellFormed),
        (b"<!DOCTYPE a><a/>", Fault::Restricted),
        (b"\xFF\xFE<\0a\0", Fault::Encoding),
    ];
    for (text, fault) in rows {
        let error = parse_document(text, &Limits::unauthenticated()).err();
        assert_eq!(kind(error), *fault, "{}", text.escape_ascii());
    }
}

#[test]
fn every_error_says_what_is_wrong() {
    for (text, sentence) in [
        ("<a></b>", "the XML is not well-formed: start and end tag do not match"),
        ("<!DOCTYPE a>", "the XML has a document type declaration, which is not allowed"),
    ] {
        let error = parse_document(text.as_bytes(), &Limits::unauthenticated()).expect_err(text);
        assert_eq!(error.to_string(), sentence);
    }
}
