//! An element with its namespace, attributes and children.
//!
//! Depth is bounded by the parser's limits, which is why recursion is allowed here.

use std::sync::Arc;

/// One element. Namespaces are resolved; prefixes are forgotten, but for those of attributes, which
/// are written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: Arc<str>,
    ns: Arc<str>,
    /// (namespace, name, value); the namespace of an attribute without prefix is empty.
    attributes: Vec<(Arc<str>, Arc<str>, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub fn new(name: impl Into<Arc<str>>, ns: impl Into<Arc<str>>) -> Self {
        Element { name: name.into(), ns: ns.into(), attributes: Vec::new(), children: Vec::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// The namespace, shared.
    pub fn ns_shared(&self) -> &Arc<str> {
        &self.ns
    }

    pub fn is(&self, name: &str, ns: &str) -> bool {
        *self.name == *name && *self.ns == *ns
    }

    /// The value of an attribute without a namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }

    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, a, _)| **n == *ns && **a == *name).map(|(_, _, value)| value.as_str())
    }

    /// (namespace, name, value) of each.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.attributes.iter().map(|(ns, name, value)| (&**ns, &**name, value.as_str()))
    }

    pub fn set_attr(&mut self, name: &str, value: impl Into<String>) {
        self.set_attr_ns("", name, value);
    }

    pub fn set_attr_ns(&mut self, ns: &str, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|(n, a, _)| **n == *ns && **a == *name) {
            Some((_, _, old)) => *old = value,
            None => self.attributes.push((Arc::from(ns), Arc::from(name), value)),
        }
    }

    pub fn remove_attr(&mut self, name: &str) {
        self.attributes.retain(|(ns, n, _)| !(ns.is_empty() && **n == *name));
    }

    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_attr(name, value);
        self
    }

    /// Sets the attribute where there is a value.
    #[must_use]
    pub fn with_attr_opt(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with_attr(name, value),
            None => self,
        }
    }

    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text);
        self
    }

    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.children.last_mut() {
            Some(Node::Text(last)) => last.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.children.push(Node::Text(text)),
        }
    }

    /// Child elements.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Children of both kinds.
    pub fn nodes(&self) -> &[Node] {
        &self.children
    }

    pub fn into_nodes(self) -> Vec<Node> {
        self.children
    }

    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The text directly inside, joined.
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// Appends the element as text. `parent_ns` is the default namespace where it will stand: the
    /// element declares its own only where it differs. What is written parses to an equal element.
    pub fn write(&self, out: &mut Vec<u8>, parent_ns: &str) {
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        if *self.ns != *parent_ns {
            out.extend_from_slice(b" xmlns='");
            escape_attribute(out, &self.ns);
            out.push(b'\'');
        }
        self.write_attributes(out);
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for node in &self.children {
            match node {
                Node::Element(child) => child.write(out, &self.ns),
                Node::Text(text) => escape_text(out, text),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }

    /// The element on its own, with its namespace declared.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out, "");
        out
    }

    fn write_attributes(&self, out: &mut Vec<u8>) {
        let mut declared: Vec<&str> = Vec::new();
        for (ns, name, value) in &self.attributes {
            out.push(b' ');
            if ns.is_empty() {
                out.extend_from_slice(name.as_bytes());
            } else if **ns == *XML_NS {
                out.extend_from_slice(b"xml:");
                out.extend_from_slice(name.as_bytes());
            } else {
                let prefix = declared.iter().position(|known| **known == **ns).unwrap_or_else(|| {
                    out.extend_from_slice(format!("xmlns:n{}='", declared.len()).as_bytes());
                    escape_attribute(out, ns);
                    out.extend_from_slice(b"' ");
                    declared.push(ns);
                    declared.len() - 1
                });
                out.extend_from_slice(format!("n{prefix}:{name}").as_bytes());
            }
            out.extend_from_slice(b"='");
            escape_attribute(out, value);
            out.push(b'\'');
        }
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// Appends character data. CR is written as a reference, for a parser would turn it into LF
/// (XML 1.0 §2.11); `>` too, so that `]]>` never appears.
pub fn escape_text(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Appends the value of an attribute that stands between single quotes. White space other than
/// spaces is written as references, for a parser would turn it into spaces (XML 1.0 §3.3.3).
pub fn escape_attribute(out: &mut Vec<u8>, value: &str) {
    escape(out, value, |byte| match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'\'' => Some(b"&#39;"),
        b'"' => Some(b"&#34;"),
        b'\t' => Some(b"&#9;"),
        b'\n' => Some(b"&#10;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

fn escape(out: &mut Vec<u8>, text: &str, reference: impl Fn(u8) -> Option<&'static [u8]>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if let Some(reference) = reference(byte) {
            out.extend_from_slice(&bytes[from..at]);
            out.extend_from_slice(reference);
            from = at + 1;
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
