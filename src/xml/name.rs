//! The local name of an element or attribute, in two words of memory.

use std::fmt;

/// A name. Those that XMPP uses all day are kept as a reference into a table: they cost no
/// allocation, and no reference count that many threads would fight over.
#[derive(Clone)]
pub(super) struct Name(Form);

#[derive(Clone)]
enum Form {
    Known(&'static &'static str),
    Other(Box<str>),
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        Name(match KNOWN.binary_search(&text) {
            Ok(at) => Form::Known(&KNOWN[at]),
            Err(_) => Form::Other(Box::from(text)),
        })
    }

    pub(super) fn as_str(&self) -> &str {
        match &self.0 {
            Form::Known(text) => text,
            Form::Other(text) => text,
        }
    }
}

#[cfg(test)]
impl Name {
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Known(_) => 0,
            Form::Other(text) => text.len(),
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// In the order of their bytes, for the search.
static KNOWN: [&str; 117] = [
    "a",
    "actor",
    "affiliation",
    "affiliations",
    "after",
    "ask",
    "auth",
    "author",
    "before",
    "bind",
    "body",
    "by",
    "c",
    "category",
    "challenge",
    "code",
    "configure",
    "content",
    "count",
    "create",
    "cursor",
    "data",
    "default",
    "delay",
    "delete",
    "desc",
    "enable",
    "enabled",
    "entry",
    "error",
    "event",
    "failure",
    "feature",
    "features",
    "field",
    "first",
    "form",
    "from",
    "group",
    "h",
    "hash",
    "href",
    "id",
    "identity",
    "iq",
    "item",
    "items",
    "jid",
    "json",
    "label",
    "lang",
    "last",
    "link",
    "location",
    "max",
    "max_items",
    "mechanism",
    "mechanisms",
    "message",
    "name",
    "node",
    "notify",
    "option",
    "options",
    "origin-id",
    "ping",
    "presence",
    "previd",
    "priority",
    "proceed",
    "publish",
    "published",
    "publisher",
    "pubsub",
    "purge",
    "query",
    "r",
    "received",
    "redirect",
    "rel",
    "request",
    "required",
    "resource",
    "response",
    "resume",
    "resumed",
    "retract",
    "scheme",
    "seq",
    "session",
    "set",
    "show",
    "src",
    "stamp",
    "stanza-id",
    "starttls",
    "status",
    "stream",
    "subid",
    "subscribe",
    "subscription",
    "subscriptions",
    "success",
    "summary",
    "term",
    "text",
    "title",
    "to",
    "type",
    "unsubscribe",
    "updated",
    "uri",
    "value",
    "var",
    "ver",
    "version",
    "x",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_found() {
        assert!(KNOWN.windows(2).all(|pair| pair[0] < pair[1]), "binary search needs the order of bytes");
        for known in KNOWN {
            assert!(matches!(Name::new(known).0, Form::Known(_)), "{known}");
        }
        assert!(matches!(Name::new("order").0, Form::Other(_)));
    }

    #[test]
    fn a_name_takes_two_words() {
        assert_eq!(size_of::<Name>(), 2 * size_of::<usize>());
    }
}
