use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::pubsub::{Media, Payload};
use crate::xml::{Element, Limits, parse_document};

/// As a subscriber reads it out of a notification.
fn read(payload: &Payload) -> Element {
    let whole = [b"<item xmlns='http://jabber.org/protocol/pubsub#event'>", to_xml(payload), b"</item>"].concat();
    let item = parse_document(&whole, &Limits::authenticated()).expect("a notification is well-formed");
    item.children().next().expect("it has the payload").clone()
}

/// A payload is the same after a journey by XMPP: out in a notification, in by a publication.
fn is_canonical(payload: &Payload) {
    assert_eq!(from_element(&read(payload)).as_ref(), Ok(payload));
}

fn text_of(payload: &Payload) -> String {
    String::from_utf8(to_http(payload).1).expect("it is text")
}

#[test]
fn json_comes_out_as_it_went_in() {
    for (body, kept) in [
        ("{}", "{}"),
        ("[]", "[]"),
        ("\"\"", "\"\""),
        ("null", "null"),
        ("0", "0"),
        (" \r\n\t{\"b\": 1, \"a\": 1.0}\n", "{\"b\": 1, \"a\": 1.0}"),
        ("\u{feff}{}", "{}"),
        (
            "[12345678901234567890123456789.000000000000000001, -0, 1e999]",
            "[12345678901234567890123456789.000000000000000001, -0, 1e999]",
        ),
        ("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"),
        ("\"]]> <&> \\u0000 \\ud83d\\ude00 é 日本 😀\"", "\"]]> <&> \\u0000 \\ud83d\\ude00 é 日本 😀\""),
        ("{\r\n  \"a\":\r[]\n}", "{\r\n  \"a\":\r[]\n}"),
        ("\"&amp;lt;&#65;\"", "\"&amp;lt;&#65;\""),
        ("\"\u{fffe}x\u{ffff}\"", "\"\\ufffex\\uffff\""),
        ("\"\\\\\u{fffe}\"", "\"\\\\\\ufffe\""),
        ("\"\u{7f}\u{85}\u{2028}\"", "\"\u{7f}\u{85}\u{2028}\""),
    ] {
        let payload = from_json(body.as_bytes()).expect(body);
        assert_eq!((payload.media, &*payload.namespace), (Media::Json, JSON_NS));
        assert_eq!(to_http(&payload), ("application/json", kept.as_bytes().to_vec()), "{body}");
        assert_eq!(to_json(&payload), kept.replace(['\r', '\n'], " "), "{body}");
        assert_eq!(read(&payload), Element::new("json", JSON_NS).with_text(kept));
        is_canonical(&payload);
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for body in
        ["{", "{}{}", "'a'", "{a:1}", "[1,]", "01", "NaN", "\"\u{1}\"", "\"\n\"", "{\"a\" 1}", "\u{a0}{}", "tru"]
    {
        assert!(matches!(from_json(body.as_bytes()), Err(PayloadError::NotJson(_))), "{body}");
    }
    for body in ["", " \r\n\t", "\u{feff}"] {
        assert_eq!(from_json(body.as_bytes()), Err(PayloadError::Empty));
    }
    assert_eq!(from_json(b"\"\xC3\""), Err(PayloadError::NotUtf8));
    let error = from_json(b"{\n  \"a\": x}").expect_err("x is no value");
    assert_eq!(error.to_string(), "the body is not JSON: expected value at line 2 column 8");
}

#[test]
fn json_has_a_depth() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(from_json(nested(128).as_bytes()).is_ok());
    assert_eq!(from_json(nested(129).as_bytes()), Err(PayloadError::JsonTooDeep));
    assert_eq!(from_json(nested(200_000).as_bytes()), Err(PayloadError::JsonTooDeep));
    let wide = format!("[{}\"{}\\\"{}\"]", "[[]],".repeat(1000), "[".repeat(1000), "{".repeat(1000));
    assert!(from_json(wide.as_bytes()).is_ok(), "neighbours and strings have no depth");
}

#[test]
fn text_comes_out_to_the_byte() {
    for body in ["a", " ", "\r\n a\tb\rc\n", "<&>]]>'\"", "&lt;&#13;", "é 日本 😀 \u{85}\u{2028}", "\u{feff}a"] {
        let payload = from_text(body.as_bytes()).expect(body);
        assert_eq!((payload.media, &*payload.namespace), (Media::Text, TEXT_NS));
        assert_eq!(to_http(&payload), ("text/plain; charset=utf-8", body.as_bytes().to_vec()));
        assert_eq!(serde_json::from_str::<String>(&to_json(&payload)).expect("it is a string"), body);
        is_canonical(&payload);
    }
    assert_eq!(from_text(b""), Err(PayloadError::Empty));
    assert_eq!(from_text(b"\xFF"), Err(PayloadError::NotUtf8));
    for (body, character) in [("a\0", '\0'), ("\u{1b}[0m", '\u{1b}'), ("\u{ffff}", '\u{ffff}')] {
        assert_eq!(from_text(body.as_bytes()), Err(PayloadError::Character(character)));
    }
    assert_eq!(
        from_text(b"\x1b").expect_err("an escape").to_string(),
        "the text has the character U+001B, which cannot travel in XML; send it as JSON"
    );
}

#[test]
fn xml_is_kept_as_one_canonical_element() {
    let body = "<?xml version='1.0' encoding='utf-8'?>\n<p:a xmlns:p='u' xmlns:q='v' b=\"'\" q:c='&lt;' xml:lang='de'>\r\n\
        <p:b/><q:b><![CDATA[<x>]]]]></q:b><c xmlns=''>&#13;</c></p:a>\n";
    let payload = from_xml(body.as_bytes()).expect(body);
    let xml = "<a xmlns='u' b='&#39;' xmlns:n0='v' n0:c='&lt;' xml:lang='de'>\n\
        <b/><b xmlns='v'>&lt;x&gt;]]</b><c xmlns=''>&#13;</c></a>";
    assert_eq!((payload.media, &*payload.namespace), (Media::Xml, "u"));
    assert_eq!(to_http(&payload), ("application/xml", xml.as_bytes().to_vec()));
    assert_eq!(serde_json::from_str::<String>(&to_json(&payload)).expect("it is a string"), xml);
    is_canonical(&payload);
    assert_eq!(from_xml(xml.as_bytes()), Ok(payload));
}

#[test]
fn what_is_not_one_namespaced_element_is_refused() {
    for body in
        ["<a xmlns='u'>", "<a xmlns='u'/><b/>", "text", "<a xmlns='u'><!-- x --></a>", "<!DOCTYPE a><a xmlns='u'/>"]
    {
        assert!(matches!(from_xml(body.as_bytes()), Err(PayloadError::NotXml(_))), "{body}");
    }
    assert_eq!(from_xml(b"<a/>"), Err(PayloadError::NoNamespace));
    assert_eq!(from_xml(b"<a xmlns=''/>"), Err(PayloadError::NoNamespace));
    assert_eq!(from_xml(b" \n"), Err(PayloadError::Empty));
    assert_eq!(from_element(&Element::new("a", "")), Err(PayloadError::NoNamespace));
}

#[test]
fn xml_may_be_so_deep_and_wide_that_a_notification_of_it_is_within_limits() {
    let limits = Limits::authenticated();
    let nested = |depth: usize| format!("<a xmlns='u'>{}{}</a>", "<a>".repeat(depth - 1), "</a>".repeat(depth - 1));
    let wide = |elements: usize| format!("<a xmlns='u'>{}</a>", "<a/>".repeat(elements - 1));
    let notification = |payload: &Payload| {
        [b"<message><event><items><item>", to_xml(payload), b"</item></items></event></message>"].concat()
    };
    for (exact, more) in
        [(nested(limits.depth - 4), nested(limits.depth - 3)), (wide(limits.elements - 4), wide(limits.elements - 3))]
    {
        let payload = from_xml(exact.as_bytes()).expect("it is at the limit");
        assert!(parse_document(&notification(&payload), &limits).is_ok());
        assert!(matches!(from_xml(more.as_bytes()), Err(PayloadError::NotXml(error)) if error.is_limit()));
    }
}

#[test]
fn atom_is_an_entry_or_a_feed() {
    let entry = format!("<entry xmlns='{ATOM_NS}'><title>a &amp; b</title></entry>");
    let payload = from_atom(entry.as_bytes()).expect("it is an entry");
    assert_eq!((payload.media, &*payload.namespace), (Media::Atom, ATOM_NS));
    assert_eq!(to_http(&payload), ("application/atom+xml", entry.as_bytes().to_vec()));
    assert_eq!(serde_json::from_str::<String>(&to_json(&payload)).expect("it is a string"), entry);
    assert_eq!(from_xml(entry.as_bytes()), Ok(payload.clone()));
    is_canonical(&payload);
    assert_eq!(
        from_atom(format!("<feed xmlns='{ATOM_NS}'/>").as_bytes()).map(|payload| payload.media),
        Ok(Media::Atom)
    );
    for body in
        ["<entry xmlns='u'/>".to_owned(), format!("<link xmlns='{ATOM_NS}'/>"), format!("<text xmlns='{TEXT_NS}'/>")]
    {
        assert_eq!(from_atom(body.as_bytes()), Err(PayloadError::NotAtom), "{body}");
    }
}

#[test]
fn a_payload_declares_the_namespace_that_it_inherited() {
    let stanza = "<iq xmlns='jabber:client' xmlns:p='u'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'>\
        <item><p:a><b/></p:a></item><item><c/></item></publish></pubsub></iq>";
    let stanza = parse_document(stanza.as_bytes(), &Limits::authenticated()).expect(stanza);
    let publish = stanza.children().next().and_then(|pubsub| pubsub.children().next()).expect("a publication");
    let payloads: Vec<_> = publish.children().flat_map(Element::children).map(from_element).collect();
    let expected: [&[u8]; 2] = [
        b"<a xmlns='u'><b xmlns='http://jabber.org/protocol/pubsub'/></a>",
        b"<c xmlns='http://jabber.org/protocol/pubsub'/>",
    ];
    for (payload, expected) in payloads.into_iter().zip(expected) {
        let payload = payload.expect("it has a namespace");
        assert_eq!(to_xml(&payload), expected);
        is_canonical(&payload);
    }
}

#[test]
fn a_container_is_what_it_says_only_where_it_holds_that() {
    let json = |text: &str| Element::new("json", JSON_NS).with_text(text);
    for (element, media) in [
        (json("\n { \"name\": \"romeo\" }\n "), Media::Json),
        (json("{}").with_attr("a", "x>y<z"), Media::Json),
        (json("{"), Media::Xml),
        (json(""), Media::Xml),
        (json("{}").with_child(Element::new("a", "u")), Media::Xml),
        (json(&"[".repeat(1000)), Media::Xml),
        (Element::new("json", "u").with_text("{}"), Media::Xml),
        (Element::new("text", TEXT_NS).with_text("a"), Media::Text),
        (Element::new("text", TEXT_NS), Media::Text),
        (Element::new("text", TEXT_NS).with_child(Element::new("a", "u")), Media::Xml),
        (Element::new("entry", ATOM_NS), Media::Atom),
        (Element::new("feed", "u"), Media::Xml),
    ] {
        let payload = from_element(&element).expect("it has a namespace");
        assert_eq!(payload.media, media, "{element}");
        is_canonical(&payload);
        match media {
            Media::Json => assert_eq!(text_of(&payload), element.text().trim(), "{element}"),
            Media::Text => assert_eq!(text_of(&payload), element.text(), "{element}"),
            Media::Xml | Media::Atom => assert_eq!(text_of(&payload), element.to_string()),
        }
    }
}

#[test]
fn a_stored_container_in_another_form_is_read_all_the_same() {
    for (xml, expected) in [
        ("<t:text xmlns:t='tidings:payload:0'>a</t:text>", "a"),
        ("<text xmlns='tidings:payload:0'><![CDATA[<a>]]></text>", "<a>"),
        ("<text xmlns=\"tidings:payload:0\" a='>'>b&#x41;&quot;&apos;</text>", "bA\"'"),
        ("<text xmlns='tidings:payload:0'>a\r\nb</text>", "a\nb"),
        ("<text xmlns='tidings:payload:0'/>", ""),
        ("<broken", "<broken"),
    ] {
        let payload = Payload { media: Media::Text, namespace: Arc::from(TEXT_NS), xml: Arc::from(xml.as_bytes()) };
        assert_eq!(text_of(&payload), expected, "{xml}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_json_value_survives(value in json(), pretty: bool) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let body = body.expect("a value can be written");
        let payload = from_json(body.as_bytes()).expect("it is JSON");
        is_canonical(&payload);
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text_of(&payload)).expect("it is JSON"), value.clone());
        let line = to_json(&payload);
        prop_assert!(!line.contains(['\r', '\n']));
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("it is JSON"), value);
        if !body.contains(['\u{fffe}', '\u{ffff}']) {
            prop_assert_eq!(text_of(&payload), body);
        }
    }

    #[test]
    fn every_text_survives_or_is_refused(text in any::<String>()) {
        match from_text(text.as_bytes()) {
            Ok(payload) => {
                is_canonical(&payload);
                prop_assert_eq!(text_of(&payload), text.clone());
                let line = to_json(&payload);
                prop_assert!(!line.contains(['\r', '\n']));
                prop_assert_eq!(serde_json::from_str::<String>(&line).expect("it is a string"), text);
            }
            Err(PayloadError::Character(character)) => prop_assert!(text.contains(character)),
            Err(error) => prop_assert_eq!((text.is_empty(), error), (true, PayloadError::Empty)),
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64), code in 1..5u8) {
        let body = String::from_utf8_lossy(&bytes).into_owned();
        for bytes in [&bytes[..], body.as_bytes()] {
            for payload in [from_json(bytes), from_text(bytes), from_xml(bytes), from_atom(bytes)].into_iter().flatten() {
                is_canonical(&payload);
            }
            let media = Media::from_code(code).expect("there are four");
            let stored = Payload { media, namespace: Arc::from("u"), xml: Arc::from(bytes) };
            to_http(&stored);
            to_json(&stored);
        }
    }

    #[test]
    fn nothing_like_xml_is_too_strange(text in "[<>/a='\" &;#x0-9!\\[\\]?\r]{0,40}", code in 1..5u8) {
        if let Ok(payload) = from_xml(text.as_bytes()) {
            is_canonical(&payload);
        }
        let media = Media::from_code(code).expect("there are four");
        let stored = Payload { media, namespace: Arc::from("u"), xml: Arc::from(text.as_bytes()) };
        to_http(&stored);
        to_json(&stored);
    }
}

/// What `docs/payloads.md` says of one payload.
struct Row {
    media_type: String,
    body: String,
    element: String,
    fetched: String,
    data: String,
}

fn documented() -> Vec<Row> {
    let table = include_str!("../../docs/payloads.md").lines().filter(|line| line.starts_with("| `"));
    let rows = table.map(|line| line.split(" | ").map(|cell| cell.trim_start_matches("| ")).collect::<Vec<_>>());
    rows.filter(|cells| cells.len() == 5)
        .map(|cells| {
            let cell = |at: usize| {
                let cell = cells[at].strip_suffix(" |").unwrap_or(cells[at]);
                cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or(cell).to_owned()
            };
            let fetched = if cell(3) == "same" { cell(1) } else { cell(3) };
            Row { media_type: cell(0), body: cell(1), element: cell(2), fetched, data: cell(4) }
        })
        .collect()
}

#[test]
fn the_documented_table_holds_both_ways() {
    let rows = documented();
    assert!(rows.len() >= 15, "the table has {} rows", rows.len());
    for row in rows {
        let body = row.body.as_bytes();
        let sent = match row.media_type.as_str() {
            "text/plain" => from_text(body),
            "application/atom+xml" => from_atom(body),
            "application/cloudevents+json" => Ok(event_from_json(body).expect(&row.body).payload),
            json if json.ends_with("json") => from_json(body),
            _ => from_xml(body),
        };
        let sent = sent.unwrap_or_else(|error| panic!("{}: {error}", row.body));
        assert_eq!(std::str::from_utf8(to_xml(&sent)).unwrap(), row.element, "{}", row.body);
        // The same element by XMPP is the same payload.
        let element = parse_document(row.element.as_bytes(), &Limits::authenticated()).unwrap();
        assert_eq!(from_element(&element), Ok(sent.clone()), "{}", row.body);
        let (_, fetched) = to_http(&sent);
        assert_eq!(String::from_utf8(fetched).unwrap(), row.fetched, "{}", row.body);
        assert_eq!(to_json(&sent), row.data, "{}", row.body);
    }
}
