//! An element with its namespace, attributes and children.
//!
//! Depth is bounded by the parser's limits, which is why recursion is allowed here.

use std::sync::Arc;

use super::name::Name;

/// One element. Namespaces are resolved; prefixes are forgotten, but for those of attributes, which
/// are written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: Name,
    ns: Arc<str>,
    attributes: Vec<Attribute>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    /// An attribute without a prefix has no namespace.
    pub(super) ns: Option<Arc<str>>,
    pub(super) name: Name,
    pub(super) value: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub fn new(name: impl AsRef<str>, ns: impl Into<Arc<str>>) -> Self {
        Element::from_parts(Name::new(name.as_ref()), ns.into(), Vec::new())
    }

    pub(super) fn from_parts(name: Name, ns: Arc<str>, attributes: Vec<Attribute>) -> Self {
        Element { name, ns, attributes, children: Vec::new() }
    }

    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// The namespace, shared.
    pub fn ns_shared(&self) -> &Arc<str> {
        &self.ns
    }

    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name.as_str() == name && *self.ns == *ns
    }

    /// The value of an attribute without a namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }

    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.is(ns, name)).map(|attribute| &*attribute.value)
    }

    /// (namespace, name, value) of each.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.attributes.iter().map(|attribute| (attribute.ns(), attribute.name.as_str(), &*attribute.value))
    }

    pub fn set_attr(&mut self, name: &str, value: impl Into<String>) {
        self.set_attr_ns("", name, value);
    }

    pub fn set_attr_ns(&mut self, ns: &str, name: &str, value: impl Into<String>) {
        let value = value.into().into_boxed_str();
        match self.attributes.iter_mut().find(|attribute| attribute.is(ns, name)) {
            Some(attribute) => attribute.value = value,
            None => {
                let ns = (!ns.is_empty()).then(|| Arc::from(ns));
                self.attributes.push(Attribute { ns, name: Name::new(name), value });
            }
        }
    }

    pub fn remove_attr(&mut self, name: &str) {
        self.attributes.retain(|attribute| !attribute.is("", name));
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

    /// Takes out the children for which this does not hold; text stays.
    pub fn retain_children(&mut self, keep: impl Fn(&Element) -> bool) {
        self.children.retain(|node| match node {
            Node::Element(child) => keep(child),
            Node::Text(_) => true,
        });
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

    /// Appends what the parser has read. Most elements have one child only, so the first takes no
    /// room for more.
    pub(super) fn push_read(&mut self, node: Node) {
        if self.children.capacity() == 0 {
            self.children.reserve_exact(1);
        }
        self.children.push(node);
    }

    pub(super) fn push_read_text(&mut self, text: String) {
        match self.children.last_mut() {
            Some(Node::Text(last)) => last.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.push_read(Node::Text(text)),
        }
    }

    /// Gives back what growing has taken in vain.
    pub(super) fn shrink(&mut self) {
        self.children.shrink_to_fit();
    }

    /// Appends the element as text. `parent_ns` is the default namespace where it will stand: the
    /// element declares its own only where it differs. What is written parses to an equal element,
    /// but for characters that no XML can hold (U+0000, U+FFFE ...): each becomes U+FFFD.
    pub fn write(&self, out: &mut Vec<u8>, parent_ns: &str) {
        self.write_within(out, parent_ns, &mut Vec::new());
    }

    /// `declared` are the namespaces of attributes that have a prefix where the element stands: the
    /// prefix is `n` with the index.
    fn write_within<'e>(&'e self, out: &mut Vec<u8>, parent_ns: &str, declared: &mut Vec<&'e str>) {
        let name = self.name.as_str().as_bytes();
        // Namespaces in XML 1.0 §3: the namespace of `xml:` cannot be declared as the default.
        let (prefix, scope) = if *self.ns == *XML_NS { (&b"xml:"[..], parent_ns) } else { (&b""[..], &*self.ns) };
        let inherited = declared.len();
        out.push(b'<');
        out.extend_from_slice(prefix);
        out.extend_from_slice(name);
        if *scope != *parent_ns {
            out.extend_from_slice(b" xmlns='");
            escape_attribute(out, scope);
            out.push(b'\'');
        }
        for attribute in &self.attributes {
            attribute.write(out, declared);
        }
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
        } else {
            out.push(b'>');
            for node in &self.children {
                match node {
                    Node::Element(child) => child.write_within(out, scope, declared),
                    Node::Text(text) => escape_text(out, text),
                }
            }
            out.extend_from_slice(b"</");
            out.extend_from_slice(prefix);
            out.extend_from_slice(name);
            out.push(b'>');
        }
        declared.truncate(inherited);
    }

    /// The element on its own, with its namespace declared.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out, "");
        out
    }
}

#[cfg(test)]
impl Element {
    /// What the element holds on the heap, as an allocator of 16-byte steps would count it. A
    /// namespace that several elements share is counted for each.
    pub(super) fn heap_bytes(&self) -> usize {
        let block = |bytes: usize| if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) };
        let mut sum = block(self.attributes.capacity() * size_of::<Attribute>());
        sum += block(self.children.capacity() * size_of::<Node>());
        sum += block(self.name.heap_bytes()) + block(16 + self.ns.len());
        for attribute in &self.attributes {
            sum += block(attribute.name.heap_bytes()) + block(attribute.value.len());
            sum += attribute.ns.as_ref().map_or(0, |ns| block(16 + ns.len()));
        }
        for node in &self.children {
            sum += match node {
                Node::Element(child) => child.heap_bytes(),
                Node::Text(text) => block(text.capacity()),
            };
        }
        sum
    }
}

impl Attribute {
    fn ns(&self) -> &str {
        self.ns.as_deref().unwrap_or("")
    }

    fn is(&self, ns: &str, name: &str) -> bool {
        self.name.as_str() == name && self.ns() == ns
    }

    fn write<'e>(&'e self, out: &mut Vec<u8>, declared: &mut Vec<&'e str>) {
        out.push(b' ');
        match self.ns() {
            "" => {}
            XML_NS => out.extend_from_slice(b"xml:"),
            ns => {
                let prefix = declared.iter().position(|known| *known == ns).unwrap_or_else(|| {
                    out.extend_from_slice(format!("xmlns:n{}='", declared.len()).as_bytes());
                    escape_attribute(out, ns);
                    out.extend_from_slice(b"' ");
                    declared.push(ns);
                    declared.len() - 1
                });
                out.extend_from_slice(format!("n{prefix}:").as_bytes());
            }
        }
        out.extend_from_slice(self.name.as_str().as_bytes());
        out.extend_from_slice(b"='");
        escape_attribute(out, &self.value);
        out.push(b'\'');
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
    escape(out, text, &IN_TEXT);
}

/// Appends the value of an attribute that stands between single quotes. White space other than
/// spaces is written as references, for a parser would turn it into spaces (XML 1.0 §3.3.3).
pub fn escape_attribute(out: &mut Vec<u8>, value: &str) {
    escape(out, value, &IN_ATTRIBUTES);
}

fn escape(out: &mut Vec<u8>, text: &str, special: &[bool; 256]) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !special[usize::from(byte)] {
            continue;
        }
        let (instead, width): (&[u8], usize) = match byte {
            b'<' => (b"&lt;", 1),
            b'>' => (b"&gt;", 1),
            b'&' => (b"&amp;", 1),
            b'\'' => (b"&#39;", 1),
            b'"' => (b"&#34;", 1),
            b'\t' => (b"&#9;", 1),
            b'\n' => (b"&#10;", 1),
            b'\r' => (b"&#13;", 1),
            // U+FFFE and U+FFFF; other characters of this first byte stand as they are.
            0xEF if matches!(bytes[at..], [_, 0xBF, 0xBE | 0xBF, ..]) => (REPLACEMENT, 3),
            0xEF => continue,
            _ => (REPLACEMENT, 1),
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(instead);
        from = at + width;
    }
    out.extend_from_slice(&bytes[from..]);
}

/// The bytes that [`escape`] must look at, in text and in attributes.
const fn special(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 0x20 {
        table[at] = at != b'\t' as usize && at != b'\n' as usize;
        at += 1;
    }
    at = 0;
    while at < more.len() {
        table[more[at] as usize] = true;
        at += 1;
    }
    table
}

static IN_TEXT: [bool; 256] = special(b"<>&\xEF");
static IN_ATTRIBUTES: [bool; 256] = special(b"<>&'\"\t\n\xEF");

/// U+FFFD
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

pub(super) const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
