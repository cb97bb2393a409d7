//! A payload as a line or two that people can read, for clients that do not understand it.

use std::borrow::Cow;

use super::ATOM_NS;
use super::html::plain;
use super::write::text;
use crate::pubsub::{BodyPart, BodyTemplate, ItemId, Media, Payload};
use crate::xml::{Element, Limits, parse_document};

/// What an ordinary client shows of an item (XEP-0060 §12.8): what the owner's template makes of it; where there is none,
/// or none of its places is there, text as it is, JSON as it stands, of an Atom entry title and summary. Nothing of a
/// payload that is not understood, and where there is nothing to read.
pub fn readable(payload: &Payload, id: Option<&ItemId>, template: &BodyTemplate) -> Option<String> {
    let filled = if template.is_empty() { None } else { fill(template, payload, id) };
    let whole = match (filled, payload.media) {
        (Some(filled), _) => filled,
        (None, Media::Text) => text(&payload.xml).into_owned(),
        (None, Media::Json) => text(&payload.xml).trim_ascii().to_owned(),
        (None, Media::Atom) => of_atom(&parsed(payload)?),
        (None, Media::Xml) => return None,
    };
    let shown = shortened(&whole);
    (!shown.trim().is_empty()).then_some(shown)
}

/// Nothing where a template names places, and none of them is there.
fn fill(template: &BodyTemplate, payload: &Payload, id: Option<&ItemId>) -> Option<String> {
    let places = template.parts().iter().any(|part| matches!(part, BodyPart::Place(_)));
    let held = if places { Held::of(payload) } else { Held::Nothing };
    let mut found = !places;
    let mut whole = String::new();
    for part in template.parts() {
        match part {
            BodyPart::Text(text) => whole.push_str(text),
            BodyPart::Id => whole.push_str(id.map_or("", ItemId::as_str)),
            BodyPart::Place(steps) => {
                if let Some(words) = held.at(steps) {
                    found = true;
                    whole.push_str(&words);
                }
            }
        }
        if whole.len() > BODY_BYTES_MAX {
            break;
        }
    }
    found.then_some(whole)
}

/// A payload in which places can be found.
enum Held {
    Json(serde_json::Value),
    Xml(Element),
    Nothing,
}

impl Held {
    fn of(payload: &Payload) -> Self {
        match payload.media {
            Media::Text => Held::Nothing,
            Media::Json => serde_json::from_str(&text(&payload.xml)).map_or(Held::Nothing, Held::Json),
            Media::Atom | Media::Xml => parsed(payload).map_or(Held::Nothing, Held::Xml),
        }
    }

    fn at(&self, steps: &[Box<str>]) -> Option<Cow<'_, str>> {
        match self {
            Held::Json(value) => in_json(value, steps),
            Held::Xml(root) => in_xml(root, steps),
            Held::Nothing => None,
        }
    }
}

/// RFC 6901 §4; of `null` nothing.
fn in_json<'a>(value: &'a serde_json::Value, steps: &[Box<str>]) -> Option<Cow<'a, str>> {
    let found = steps.iter().try_fold(value, |value, step| match value {
        serde_json::Value::Object(members) => members.get(&**step),
        serde_json::Value::Array(values) => step.parse::<usize>().ok().and_then(|at| values.get(at)),
        _ => None,
    })?;
    match found {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

fn in_xml<'a>(root: &'a Element, steps: &[Box<str>]) -> Option<Cow<'a, str>> {
    let mut here = root;
    for (number, step) in steps.iter().enumerate() {
        if let Some(name) = step.strip_prefix('@').filter(|_| number + 1 == steps.len()) {
            return here.attr(name).map(Cow::Borrowed);
        }
        here = here.children().find(|child| child.name() == &**step)?;
    }
    Some(Cow::Owned(words(here)))
}

fn parsed(payload: &Payload) -> Option<Element> {
    let limits = Limits { stanza_bytes: usize::MAX, ..Limits::authenticated() };
    parse_document(&payload.xml, &limits).ok()
}

/// Title, and then summary or content (RFC 4287 §4.2.14, §4.2.13).
fn of_atom(entry: &Element) -> String {
    let part = |name: &str| entry.child(name, ATOM_NS).and_then(of_construct).filter(|words| !words.is_empty());
    let parts = [part("title"), part("summary").or_else(|| part("content"))];
    parts.into_iter().flatten().collect::<Vec<String>>().join("\n")
}

/// A text of Atom (RFC 4287 §3.1, §4.1.3.3); nothing of what is no text, or stands elsewhere.
fn of_construct(element: &Element) -> Option<String> {
    match element.attr("type").unwrap_or("text") {
        _ if element.attr("src").is_some() => None,
        "html" | "text/html" => Some(plain(&element.text())),
        "text" | "xhtml" => Some(words(element)),
        media => media.starts_with("text/").then(|| words(element)),
    }
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

    fn without_template(payload: &Payload) -> Option<String> {
        readable(payload, None, &BodyTemplate::default())
    }

    // rows: 515, 516, 518, F39
    #[test]
    fn what_is_understood_has_words_and_nothing_else_has() {
        let xml = |xml: &str| from_xml(xml.as_bytes()).unwrap();
        let entry = |inner: &str| xml(&format!("<entry xmlns='http://www.w3.org/2005/Atom'>{inner}</entry>"));
        let both = "<title>A  title</title><id>tag:x</id><summary>in\n short</summary><content>at length</content>";
        let html = "<title type='html'>5 &amp;lt; &lt;b&gt;six&lt;/b&gt;</title>";
        let xhtml = "<title type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>Hello <b>world</b></div></title>";
        for (payload, expected) in [
            (from_text("two\nlines & more".as_bytes()).unwrap(), Some("two\nlines & more")),
            (from_json(b" {\"a\": [1, \"<b>\"]} ").unwrap(), Some("{\"a\": [1, \"<b>\"]}")),
            (entry(both), Some("A title\nin short")),
            (entry("<content>at length</content>"), Some("at length")),
            (entry(html), Some("5 < six")),
            (entry(xhtml), Some("Hello world")),
            (entry("<content type='text/html'>&lt;p&gt;a&lt;/p&gt;&lt;p&gt;b</content>"), Some("a b")),
            (entry("<content type='image/png'>iVBORw0KGgo=</content>"), None),
            (entry("<content src='https://example.org/a'/>"), None),
            (xml("<data xmlns='urn:xmpp:avatar:data'>qANQR1DBwU4DX7jmYZnnc</data>"), None),
            (xml("<p xmlns='urn:x'>Hello <b>big</b> world</p>"), None),
        ] {
            assert_eq!(without_template(&payload).as_deref(), expected, "{payload:?}");
        }
    }

    #[test]
    fn a_template_says_what_is_read() {
        let json = from_json(br#"{"order":{"state":"sent","lines":[{"n":2},null]},"a/b":true}"#).unwrap();
        let xml =
            from_xml(b"<geoloc xmlns='urn:x' lang='en'><lat unit='deg'>1</lat><l>2</l><l>3</l></geoloc>").unwrap();
        let atom = from_xml(b"<entry xmlns='http://www.w3.org/2005/Atom'><title>T</title></entry>").unwrap();
        let plain = from_text(b"as it is").unwrap();
        let id = ItemId::parse("i1").unwrap();
        for (payload, template, expected) in [
            (&json, "{id}: {/order/state}, {/order/lines/0/n} of {/a~1b}", Some("i1: sent, 2 of true")),
            (&json, "{/order/lines}", Some("[{\"n\":2},null]")),
            (&json, "{/order/state}{/nowhere}!", Some("sent!")),
            // Where nothing is found, as without a template.
            (&json, "[{/order/lines/1}]", Some(r#"{"order":{"state":"sent","lines":[{"n":2},null]},"a/b":true}"#)),
            (&xml, "{/lat}{/lat/@unit} {/l} {/@lang}", Some("1deg 2 en")),
            (&xml, "{/lon}", None),
            (&atom, "{/title} ({id})", Some("T (i1)")),
            (&plain, "{/title}", Some("as it is")),
            (&xml, "{{{id}}} has moved", Some("{i1} has moved")),
            (&xml, "  ", None),
        ] {
            let template = BodyTemplate::parse(template).unwrap();
            assert_eq!(readable(payload, Some(&id), &template).as_deref(), expected, "{template:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let long = from_text("ä".repeat(BODY_BYTES_MAX).as_bytes()).unwrap();
        let body = without_template(&long).unwrap();
        assert_eq!(body.len(), BODY_BYTES_MAX + "…".len());
        assert!(body.ends_with("ä…"));
    }
}
