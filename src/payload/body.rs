//! A payload as a line or two that people can read, for clients that do not understand it.

use super::ATOM_NS;
use super::write::text;
use crate::pubsub::{Media, Payload};
use crate::xml::{Element, Limits, parse_document};

/// What an ordinary client shows of a payload (XEP-0060 §12.8): text as it is, JSON as it stands, of an
/// Atom entry title and summary, of other XML its text. Nothing where there is nothing to read.
pub fn readable(payload: &Payload) -> Option<String> {
    let whole = match payload.media {
        Media::Text => text(&payload.xml).into_owned(),
        Media::Json => text(&payload.xml).trim_ascii().to_owned(),
        Media::Atom | Media::Xml => {
            let limits = Limits { stanza_bytes: usize::MAX, ..Limits::authenticated() };
            let root = parse_document(&payload.xml, &limits).ok()?;
            if payload.media == Media::Atom { of_atom(&root) } else { words(&root) }
        }
    };
    let shown = shortened(&whole);
    (!shown.trim().is_empty()).then_some(shown)
}

/// Title, and then summary or content (RFC 4287 §4.2.14, §4.2.13).
fn of_atom(entry: &Element) -> String {
    let part = |name: &str| entry.child(name, ATOM_NS).map(words).filter(|words| !words.is_empty());
    let parts = [part("title"), part("summary").or_else(|| part("content"))];
    parts.into_iter().flatten().collect::<Vec<String>>().join("\n")
}

/// All text within an element, its white space evened out.
fn words(element: &Element) -> String {
    let mut all = String::new();
    gather(element, &mut all);
    all.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn gather(element: &Element, all: &mut String) {
    for node in element.nodes() {
        match node {
            crate::xml::Node::Text(text) => all.push_str(text),
            crate::xml::Node::Element(child) => {
                // Two paragraphs are two words.
                all.push(' ');
                gather(child, all);
                all.push(' ');
            }
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= BODY_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=BODY_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// A body is to be read, not to double the notification.
const BODY_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{from_json, from_text, from_xml};

    // rows: 515, 516, 518, F39
    #[test]
    fn every_kind_of_payload_has_words() {
        let xml = |xml: &str| from_xml(xml.as_bytes()).unwrap();
        let atom = "<entry xmlns='http://www.w3.org/2005/Atom'><title>A  title</title><id>tag:x</id>\
                    <summary>in\n short</summary><content>at length</content></entry>";
        for (payload, expected) in [
            (from_text("two\nlines & more".as_bytes()).unwrap(), Some("two\nlines & more")),
            (from_json(b" {\"a\": [1, \"<b>\"]} ").unwrap(), Some("{\"a\": [1, \"<b>\"]}")),
            (xml(atom), Some("A title\nin short")),
            (xml("<entry xmlns='http://www.w3.org/2005/Atom'><content>at length</content></entry>"), Some("at length")),
            (xml("<p xmlns='urn:x'>Hello <b>big</b>\n <i>wide</i> world</p>"), Some("Hello big wide world")),
            (xml("<p xmlns='urn:x'><li>a</li><li>b</li></p>"), Some("a b")),
            (xml("<p xmlns='urn:x' a='b'><c/></p>"), None),
        ] {
            assert_eq!(readable(&payload).as_deref(), expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let long = from_text("ä".repeat(BODY_BYTES_MAX).as_bytes()).unwrap();
        let body = readable(&long).unwrap();
        assert_eq!(body.len(), BODY_BYTES_MAX + "…".len());
        assert!(body.ends_with("ä…"));
    }
}
