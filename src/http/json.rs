//! JSON written straight into a buffer, without a tree between.
//!
//! Names are ours and need no escaping; texts are escaped by `serde_json`.

use std::fmt::Display;
use std::io::Write as _;

use crate::pubsub::{FIELDS, FieldKind, NodeConfig, OPTIONS, SubscriptionOptions};

/// An object under construction. Nothing is closed until [`Object::end`] is called.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

/// An array under construction.
pub(super) struct Array<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_text(self.out, text);
    }

    /// Something whose text needs no escaping: a timestamp, a cursor.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        self.name(name);
        write!(self.out, "\"{value}\"").expect("writing to memory does not fail");
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        write!(self.out, "{number}").expect("writing to memory does not fail");
    }

    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn null(&mut self, name: &str) {
        self.name(name);
        self.out.extend_from_slice(b"null");
    }

    /// What is JSON already. Line breaks can only stand between its tokens, where a space means the
    /// same; without them every object of ours is one line.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        let begin = self.out.len();
        self.out.extend_from_slice(json.as_bytes());
        for byte in &mut self.out[begin..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Object<'_> {
        self.name(name);
        Object::begin(self.out)
    }

    pub(super) fn array(&mut self, name: &str) -> Array<'_> {
        self.name(name);
        self.out.push(b'[');
        Array { out: self.out, empty: true }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        separate(self.out, &mut self.empty);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

impl Array<'_> {
    pub(super) fn object(&mut self) -> Object<'_> {
        separate(self.out, &mut self.empty);
        Object::begin(self.out)
    }

    pub(super) fn text(&mut self, text: &str) {
        separate(self.out, &mut self.empty);
        write_text(self.out, text);
    }

    pub(super) fn end(self) {
        self.out.push(b']');
    }
}

/// The fields of a configuration with their JSON types: all of them, or those that anyone may see
/// who may see the node (XEP-0060 §5.4).
pub(super) fn write_config(object: &mut Object<'_>, config: &NodeConfig, fields: Shown) {
    for field in FIELDS {
        if fields == Shown::All || field.in_metadata {
            write_field(object, field.name, field.kind, &field.values(config));
        }
    }
}

/// The options of a subscription with their JSON types.
pub(super) fn write_options(object: &mut Object<'_>, options: &SubscriptionOptions) {
    for option in OPTIONS {
        write_field(object, option.name, option.kind, &option.values(options));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    Metadata,
}

fn write_field(object: &mut Object<'_>, name: &str, kind: FieldKind, values: &[String]) {
    let first = values.first().map(String::as_str);
    match kind {
        FieldKind::Boolean => object.boolean(name, matches!(first, Some("1" | "true"))),
        FieldKind::Number => match first.and_then(|text| text.parse().ok()) {
            Some(number) => object.number(name, number),
            // `max`, as it may be written, too.
            None => object.text(name, first.unwrap_or("max")),
        },
        FieldKind::Text | FieldKind::Secret | FieldKind::Jid | FieldKind::Choice(_) => {
            object.text(name, first.unwrap_or(""))
        }
        FieldKind::Texts | FieldKind::Jids | FieldKind::Choices(_) => {
            let mut texts = object.array(name);
            for value in values {
                texts.text(value);
            }
            texts.end();
        }
    }
}

fn separate(out: &mut Vec<u8>, empty: &mut bool) {
    if !*empty {
        out.push(b',');
    }
    *empty = false;
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is JSON, and memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = vec![];
        let mut object = Object::begin(&mut out);
        object.text("a", "x\"\\\n\r\0\u{2028}é");
        object.number("b", u64::MAX);
        object.boolean("c", false);
        object.null("d");
        object.raw("e", "{\r\n\"k\":\n[1,2]}");
        let mut array = object.array("f");
        array.text("one");
        array.object().end();
        array.end();
        let mut inner = object.object("g");
        inner.plain("h", 7);
        inner.end();
        object.end();
        assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "a": "x\"\\\n\r\0\u{2028}é", "b": u64::MAX, "c": false, "d": null,
            "e": {"k": [1, 2]}, "f": ["one", {}], "g": {"h": "7"},
        });
        assert_eq!(value, expected);
    }
}
