//! What the operator has settled for nodes by their names (`[[template]]`): how a new one is set, and
//! who may make it.

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{NodeId, RawField};

/// Nodes whose names match begin with this configuration, and only some may make them. The first
/// template that matches counts, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub matching: Glob,
    /// The names are reserved for those whose bare JIDs match one of these; where there are none,
    /// whoever may create nodes makes these, too.
    pub creators: Vec<Glob>,
    /// A publish to an absent node creates it, if the caller may create it (XEP-0060 §7.1.4).
    pub auto_create: bool,
    /// What differs from the defaults, valid by itself.
    pub config: Vec<RawField>,
}

/// A text in which `*` stands for any characters, `/` among them, and nothing else is special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(pub Arc<str>);

impl Template {
    /// The one that counts for a name.
    pub fn of<'a>(templates: &'a [Template], node: &NodeId) -> Option<&'a Template> {
        templates.iter().find(|template| template.matching.matches(node.as_str()))
    }

    /// Whether the names are reserved, and for this one.
    pub(super) fn reserved_for(&self, jid: &BareJid) -> Option<bool> {
        let mut creators = self.creators.iter();
        (!self.creators.is_empty()).then(|| creators.any(|creator| creator.matches(jid.as_str())))
    }
}

impl Glob {
    /// In time that grows with the product of both lengths at most.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut read) = (0, 0);
        // Where the last star stood, and how far the text had been read then.
        let mut star: Option<(usize, usize)> = None;
        while read < text.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at, read));
                at += 1;
            } else if pattern.get(at) == Some(&text[read]) {
                (at, read) = (at + 1, read + 1);
            } else if let Some((starred, from)) = star {
                star = Some((starred, from + 1));
                (at, read) = (starred + 1, from + 1);
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_template_that_matches_counts() {
        let template = |glob: &str, auto_create| Template {
            matching: Glob(Arc::from(glob)),
            creators: Vec::new(),
            auto_create,
            config: Vec::new(),
        };
        let templates = [template("orders/new/*", true), template("orders/*", false), template("*", true)];
        let of = |node: &str| {
            let found = Template::of(&templates, &NodeId::parse(node).unwrap());
            found.map(|template| template.matching.0.to_string())
        };
        assert_eq!(of("orders/new/1").as_deref(), Some("orders/new/*"));
        assert_eq!(of("orders/1").as_deref(), Some("orders/*"));
        assert_eq!(of("x").as_deref(), Some("*"));
        assert_eq!(Template::of(&templates[..2], &NodeId::parse("x").unwrap()), None);
    }

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (glob, text, matches) in [
            ("orders/*", "orders/42", true),
            ("orders/*", "orders/42/items", true),
            ("orders/*", "orders/", true),
            ("orders/*", "orders", false),
            ("orders/*", "my orders/42", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*ab", "aab", true),
            ("a.c", "abc", false),
            ("a?c", "abc", false),
            ("Orders/*", "orders/1", false),
        ] {
            assert_eq!(Glob(Arc::from(glob)).matches(text), matches, "{glob} {text}");
        }
    }
}
