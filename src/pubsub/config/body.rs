//! `tidings#body`: how the payloads of a node read to people (XEP-0060 §12.8), as its owner has it.
//!
//! A template is text in which `{id}` stands for the id of the item, and `{/a/b}` for what stands in the payload at this
//! place: in JSON a JSON pointer (RFC 6901), in XML the first element `b` in the first `a` in the payload's root, or, as
//! the last step, an attribute: `{/a/@b}`. A brace that is meant is written twice.

use std::sync::Arc;

use super::fields::sane;

/// A template, parsed. The empty one says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyTemplate {
    text: Arc<str>,
    parts: Arc<[BodyPart]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyPart {
    Text(Box<str>),
    /// The id of the item.
    Id,
    /// What stands in the payload there: the steps to it, without what RFC 6901 §3 escapes.
    Place(Box<[Box<str>]>),
}

impl BodyTemplate {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("at most {BYTES_MAX} bytes"));
        }
        sane(text)?;
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let inner = after.split_once('}').filter(|_| brace == "{");
            let (inner, after) = inner.ok_or("a brace that is meant is written twice: '{{' or '}}'")?;
            if !plain.is_empty() {
                parts.push(BodyPart::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(part(inner)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(BodyPart::Text(plain.into()));
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("at most {PARTS_MAX} parts"));
        }
        Ok(BodyTemplate { text: text.into(), parts: parts.into() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn parts(&self) -> &[BodyPart] {
        &self.parts
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl Default for BodyTemplate {
    fn default() -> Self {
        BodyTemplate { text: Arc::from(""), parts: Arc::from([]) }
    }
}

fn part(inner: &str) -> Result<BodyPart, String> {
    if inner == "id" {
        return Ok(BodyPart::Id);
    }
    let steps = inner.strip_prefix('/').filter(|steps| !steps.contains('{'));
    let steps = steps.ok_or("between braces stands 'id' or a place as '/a/b'")?;
    let steps: Result<Vec<Box<str>>, String> = steps.split('/').map(step).collect();
    let steps = steps?;
    if steps.len() > STEPS_MAX {
        return Err(format!("at most {STEPS_MAX} steps to a place"));
    }
    Ok(BodyPart::Place(steps.into()))
}

/// RFC 6901 §3.
fn step(step: &str) -> Result<Box<str>, String> {
    let mut plain = String::with_capacity(step.len());
    let mut letters = step.chars();
    while let Some(letter) = letters.next() {
        plain.push(match (letter, letter == '~') {
            (letter, false) => letter,
            _ => match letters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("'~' is written '~0', and '/' in a name '~1'".to_owned()),
            },
        });
    }
    Ok(plain.into())
}

/// A template is a line or two.
const BYTES_MAX: usize = 1024;
const PARTS_MAX: usize = 64;
const STEPS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_with_places() {
        let text = |text: &str| BodyPart::Text(text.into());
        let place = |steps: &[&str]| BodyPart::Place(steps.iter().map(|step| (*step).into()).collect());
        for (template, expected) in [
            ("", vec![]),
            ("as it is", vec![text("as it is")]),
            ("{id}", vec![BodyPart::Id]),
            ("{{{id}}} {/a}", vec![text("{"), BodyPart::Id, text("} "), place(&["a"])]),
            ("{/a~1b/0/~0}ä", vec![place(&["a/b", "0", "~"]), text("ä")]),
            ("{/}", vec![place(&[""])]),
            ("{/a/@b}", vec![place(&["a", "@b"])]),
        ] {
            let parsed = BodyTemplate::parse(template).unwrap();
            assert_eq!((parsed.parts(), parsed.as_str()), (&expected[..], template));
            assert_eq!(parsed.is_empty(), template.is_empty());
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let (long, many, deep) = ("a".repeat(1025), "{id}".repeat(65), format!("{{{}}}", "/a".repeat(17)));
        for wrong in ["{", "}", "{id", "id}", "{}", "{name}", "{/a{}", "{/~}", "{/~2}", "\u{1}", &long, &many, &deep] {
            assert!(BodyTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
