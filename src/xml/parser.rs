//! The push parser of streams, and of documents.

use std::sync::Arc;

use rxml::error::EndOrError;
use rxml::{Options, Parse, RawEvent, RawParser, RawQName, WithOptions};

use super::element::{Attribute, Element, Node, XML_NS};
use super::letters::is_name_everywhere;
use super::limits::{Limits, XmlError};
use super::name::Name;
use super::scope::Scope;

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlEvent {
    /// The start tag of the root, with its attributes and no children.
    StreamStart {
        header: Element,
        /// The default namespace that it declares, empty where it declares none (RFC 6120 §4.8.2).
        default_ns: Arc<str>,
    },
    /// A complete child of the root.
    Element(Element),
    /// The end tag of the root. Whatever follows is dropped.
    StreamEnd,
}

/// Reads one stream as its bytes arrive. Between stanzas it holds no buffers.
///
/// The tokenizer is rxml without its namespace layer: namespaces are resolved here, so that
/// attributes and declarations are counted one by one before they pile up, a namespace declared
/// twice is refused, and what lives as long as the stream stays small.
pub struct Parser {
    tokens: RawParser,
    limits: Limits,
    shape: Shape,
    phase: Phase,
    /// Bytes, elements and attributes of the unit that is being read.
    bytes: usize,
    elements: usize,
    attributes: usize,
    /// The namespaces of its attributes, each once.
    attribute_ns: Vec<Arc<str>>,
    whitespace_bytes: usize,
    /// The last byte was a CR: an LF after it is part of the same end of line.
    after_cr: bool,
    /// The last two bytes the tokenizer has taken: they tell apart what it reports alike.
    last: [u8; 2],
    /// The root's name as it was written.
    root: Box<str>,
    scope: Scope,
    /// Elements begun and not ended, outermost first; without a stream's root.
    open: Vec<Element>,
    tag: Option<Tag>,
    /// The tokenizer was made for another [`Limits::token_bytes`].
    stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Stream,
    Document,
}

#[derive(Debug)]
enum Phase {
    /// Before the root, where white space may stand.
    Before,
    /// Within the root's start tag, or an XML declaration.
    Header,
    /// Between stanzas.
    Between,
    Stanza,
    /// The root was `<stream/>`: its end is still to be told.
    Closing,
    Ended,
    Failed(XmlError),
}

/// A start tag that has not come to its `>`.
struct Tag {
    name: RawQName,
    attributes: Vec<(RawQName, String)>,
}

/// Makes each CR, and each CR LF, one LF before the tokenizer sees it (XML 1.0 §2.11). The tokenizer
/// would do so itself, but it loses a CR in the value of an attribute.
struct Lines {
    /// Bytes at the front of the input among which there is no CR.
    clean: usize,
}

impl Lines {
    /// What to read from the front of the input, and whether it stands for a CR.
    fn next<'a>(&mut self, input: &'a [u8]) -> (&'a [u8], bool) {
        if self.clean == 0 {
            if input.first() == Some(&b'\r') {
                return (b"\n", true);
            }
            let window = &input[..input.len().min(WINDOW_BYTES)];
            self.clean = match window.contains(&b'\r') {
                true => window.iter().take_while(|byte| **byte != b'\r').count(),
                false => window.len(),
            };
        }
        (&input[..self.clean], false)
    }

    fn taken(&mut self, bytes: usize) {
        self.clean = self.clean.saturating_sub(bytes);
    }
}

impl Parser {
    pub fn new(limits: Limits) -> Self {
        Parser::with_shape(limits, Shape::Stream)
    }

    fn with_shape(limits: Limits, shape: Shape) -> Self {
        Parser {
            tokens: tokenizer(&limits),
            limits,
            shape,
            phase: Phase::Before,
            bytes: 0,
            elements: 0,
            attributes: 0,
            attribute_ns: Vec::new(),
            whitespace_bytes: 0,
            after_cr: false,
            last: [0; 2],
            root: Box::default(),
            scope: Scope::new(),
            open: Vec::new(),
            tag: None,
            stale: false,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next event. Call it until it
    /// answers `None`, when all of `input` is taken and more is needed. An error is final: it is
    /// answered until [`Parser::reset`].
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<XmlEvent>, XmlError> {
        match self.advance(input) {
            Ok(event) => {
                if event.is_none() && matches!(self.phase, Phase::Before | Phase::Between | Phase::Ended) {
                    self.release();
                }
                Ok(event)
            }
            Err(error) => {
                self.open = Vec::new();
                self.tag = None;
                self.release();
                self.phase = Phase::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// Begins a new stream, as after STARTTLS and SASL: everything of the old one is forgotten.
    pub fn reset(&mut self, limits: Limits) {
        *self = Parser::with_shape(limits, self.shape);
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the limits within a stream, as after an authentication without a new stream. They
    /// hold from the next stanza on for [`Limits::token_bytes`], at once for the others.
    pub fn set_limits(&mut self, limits: Limits) {
        self.stale |= limits.token_bytes != self.limits.token_bytes;
        self.limits = limits;
    }

    /// Whether part of a stanza, or of a header, has arrived without its end.
    pub fn is_within(&self) -> bool {
        matches!(self.phase, Phase::Header | Phase::Stanza)
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<XmlEvent>, XmlError> {
        let mut lines = Lines { clean: 0 };
        loop {
            match &self.phase {
                Phase::Before | Phase::Between => {
                    if !self.begin(input)? {
                        return Ok(None);
                    }
                    lines = Lines { clean: 0 };
                }
                Phase::Header | Phase::Stanza => {}
                Phase::Closing => {
                    self.phase = Phase::Ended;
                    return Ok(Some(XmlEvent::StreamEnd));
                }
                Phase::Ended => {
                    *input = &[];
                    return Ok(None);
                }
                Phase::Failed(error) => return Err(error.clone()),
            }
            match self.token(input, &mut lines)? {
                None => return Ok(None),
                Some(token) => {
                    if let Some(event) = self.take(token)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// Skips white space, and begins a unit where there is something else.
    fn begin(&mut self, input: &mut &[u8]) -> Result<bool, XmlError> {
        let space = input.iter().take_while(|byte| is_space(**byte)).count();
        *input = &input[space..];
        let before = matches!(self.phase, Phase::Before);
        if before {
            self.whitespace_bytes = self.whitespace_bytes.saturating_add(space);
            if self.whitespace_bytes > self.limits.leading_whitespace_bytes {
                return Err(XmlError::TooMuchWhitespace);
            }
        }
        match input.first() {
            None => return Ok(false),
            Some(b'<') => {}
            // The first byte of UTF-16 or UTF-32 in either order, with a mark or without (XML 1.0 appendix F).
            Some(0xFE | 0xFF | 0x00) if before => return Err(XmlError::UnsupportedEncoding),
            Some(_) if before => return Err(not_well_formed("it does not begin with a tag")),
            Some(_) => return Err(XmlError::StrayText),
        }
        if before {
            self.phase = Phase::Header;
        } else {
            self.phase = Phase::Stanza;
            self.bytes = 0;
            self.elements = 0;
            self.attributes = 0;
            self.attribute_ns.clear();
            if self.stale {
                self.tokens = tokenizer_within(&self.limits, &self.root);
                self.stale = false;
            }
        }
        Ok(true)
    }

    /// Gives back the room that the tokenizer keeps for the next token, which is as large as the largest
    /// that it takes. For a stream that says nothing for a while; it goes on where it was.
    pub fn rest(&mut self) {
        self.tokens.release_temporaries();
    }

    /// The next token, or none when the input is used up. The tokenizer never sees a byte beyond the
    /// limit of the unit: it keeps an unfinished token to itself.
    fn token(&mut self, input: &mut &[u8], lines: &mut Lines) -> Result<Option<RawEvent>, XmlError> {
        loop {
            if self.after_cr && input.first() == Some(&b'\n') {
                *input = &input[1..];
                self.bytes += 1;
                self.after_cr = false;
            }
            let room = self.limits.stanza_bytes.saturating_sub(self.bytes);
            let (within, is_cr) = lines.next(input);
            let within = &within[..within.len().min(room)];
            let mut rest = within;
            let result = self.tokens.parse(&mut rest, false);
            let taken = within.len() - rest.len();
            *input = &input[taken..];
            lines.taken(taken);
            self.bytes += taken;
            if taken > 0 {
                self.after_cr = is_cr;
            }
            self.last = match within[..taken] {
                [] => self.last,
                [only] => [self.last[1], only],
                [.., second, last] => [second, last],
            };
            match result {
                Ok(Some(token)) => return Ok(Some(token)),
                Ok(None) => return Err(not_well_formed("it ends too early")),
                Err(EndOrError::Error(error)) => return Err(fault(error, self.last)),
                Err(EndOrError::NeedMoreData) if self.bytes >= self.limits.stanza_bytes => {
                    return Err(XmlError::TooBig);
                }
                Err(EndOrError::NeedMoreData) if input.is_empty() => return Ok(None),
                // The tokenizer asks for more than it was given only when it has taken all of it.
                Err(EndOrError::NeedMoreData) if taken == 0 => return Err(not_well_formed("it cannot be read")),
                Err(EndOrError::NeedMoreData) => {}
            }
        }
    }

    fn take(&mut self, token: RawEvent) -> Result<Option<XmlEvent>, XmlError> {
        match token {
            RawEvent::XmlDeclaration(..) => {
                self.phase = Phase::Before;
                Ok(None)
            }
            RawEvent::ElementHeadOpen(_, name) => self.open_tag(name).map(|()| None),
            RawEvent::Attribute(_, name, value) => self.attribute(name, value).map(|()| None),
            RawEvent::ElementHeadClose(_) => self.close_tag(),
            RawEvent::Text(_, text) => self.text(text).map(|()| None),
            RawEvent::ElementFoot(_) => Ok(self.end_element()),
        }
    }

    /// The depth of the element that is being begun or was begun last, the root's being 0 in a
    /// stream, and a document's being 1, as if it stood in a stream.
    fn depth(&self) -> usize {
        let tag = usize::from(self.tag.is_some());
        match (&self.phase, self.shape) {
            (Phase::Header, Shape::Stream) => 0,
            _ => self.open.len() + tag,
        }
    }

    fn open_tag(&mut self, name: RawQName) -> Result<(), XmlError> {
        check_name(&name)?;
        self.tag = Some(Tag { name, attributes: Vec::new() });
        self.elements += 1;
        if self.depth() > self.limits.depth {
            return Err(XmlError::TooDeep);
        }
        if self.elements > self.limits.elements {
            return Err(XmlError::TooManyElements);
        }
        Ok(())
    }

    fn attribute(&mut self, name: RawQName, value: String) -> Result<(), XmlError> {
        check_name(&name)?;
        let depth = self.depth();
        let prefix = name.0.as_ref().map(|prefix| prefix.as_str());
        match (prefix, name.1.as_str()) {
            (None, "xmlns") => return self.scope.declare(depth, "", &value, &self.limits),
            (Some("xmlns"), prefix) => return self.scope.declare(depth, prefix, &value, &self.limits),
            _ => {}
        }
        let tag = self.tag.as_mut().expect("an attribute stands in a tag");
        self.attributes += 1;
        if tag.attributes.len() >= self.limits.attributes || self.attributes > self.limits.attributes_total {
            return Err(XmlError::TooManyAttributes);
        }
        tag.attributes.push((name, value));
        Ok(())
    }

    fn close_tag(&mut self) -> Result<Option<XmlEvent>, XmlError> {
        let depth = self.depth();
        let tag = self.tag.take().expect("the end of a tag follows its beginning");
        let (prefix, local) = tag.name;
        let ns = match &prefix {
            Some(prefix) => self.scope.resolve(prefix.as_str())?,
            None => self.scope.default_ns().clone(),
        };
        let element = Element::from_parts(Name::new(local.as_str()), ns, self.resolve(tag.attributes)?);
        if depth > 0 {
            self.open.push(element);
            return Ok(None);
        }
        self.root = match prefix {
            Some(prefix) => format!("{}:{}", prefix.as_str(), local.as_str()).into_boxed_str(),
            None => Box::from(local.as_str()),
        };
        self.phase = if self.last == *b"/>" { Phase::Closing } else { Phase::Between };
        Ok(Some(XmlEvent::StreamStart { header: element, default_ns: self.scope.default_ns().clone() }))
    }

    /// Attributes with their namespaces, now that all declarations of the tag are in scope.
    fn resolve(&mut self, written: Vec<(RawQName, String)>) -> Result<Vec<Attribute>, XmlError> {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(written.len());
        for ((prefix, local), value) in written {
            let ns = match &prefix {
                Some(prefix) => Some(self.scope.resolve(prefix.as_str())?),
                None => None,
            };
            if let Some(ns) = &ns {
                self.count_attribute_ns(ns)?;
            }
            let name = Name::new(local.as_str());
            // Namespaces in XML 1.0 §6.3: unique after the prefixes are resolved, too.
            if attributes.iter().any(|other| other.name == name && other.ns == ns) {
                return Err(not_well_formed("an attribute stands twice in one element"));
            }
            attributes.push(Attribute { ns, name, value: value.into_boxed_str() });
        }
        Ok(attributes)
    }

    /// Written again, an element declares its own namespace and those of its attributes: as many as
    /// one element may. So whatever is read can be read again.
    fn count_attribute_ns(&mut self, ns: &Arc<str>) -> Result<(), XmlError> {
        if **ns == *XML_NS || self.attribute_ns.contains(ns) {
            return Ok(());
        }
        if self.attribute_ns.len() + 1 >= self.limits.namespaces {
            return Err(XmlError::TooManyNamespaces);
        }
        self.attribute_ns.push(ns.clone());
        Ok(())
    }

    fn text(&mut self, text: String) -> Result<(), XmlError> {
        match self.open.last_mut() {
            Some(element) => element.push_read_text(text),
            // Only a CDATA section brings text here: other text is seen in `begin`, or follows one.
            None if text.bytes().all(is_space) => {}
            None => return Err(XmlError::StrayText),
        }
        Ok(())
    }

    fn end_element(&mut self) -> Option<XmlEvent> {
        let depth = self.open.len();
        self.scope.leave(depth);
        let Some(mut element) = self.open.pop() else {
            self.phase = Phase::Ended;
            return Some(XmlEvent::StreamEnd);
        };
        element.shrink();
        match self.open.last_mut() {
            Some(parent) => {
                parent.push_read(Node::Element(element));
                None
            }
            None => {
                self.phase = match self.shape {
                    Shape::Stream => Phase::Between,
                    Shape::Document => Phase::Ended,
                };
                Some(XmlEvent::Element(element))
            }
        }
    }

    /// Gives back what a stanza needed and an idle stream does not.
    fn release(&mut self) {
        self.tokens.release_temporaries();
        self.open.shrink_to_fit();
        self.attribute_ns = Vec::new();
        self.scope.release();
    }
}

/// Reads one whole document: a stanza in a frame of its own (RFC 7395), a body of HTTP, a stored
/// payload. An XML declaration, white space around it and a byte order mark may stand.
pub fn parse_document(bytes: &[u8], limits: &Limits) -> Result<Element, XmlError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut rest = bytes.trim_ascii_start();
    let mut parser = Parser::with_shape(*limits, Shape::Document);
    match parser.advance(&mut rest)? {
        Some(XmlEvent::Element(_)) if !rest.iter().copied().all(is_space) => {
            Err(not_well_formed("something follows its root element"))
        }
        Some(XmlEvent::Element(element)) => Ok(element),
        Some(XmlEvent::StreamStart { .. } | XmlEvent::StreamEnd) => unreachable!("a document is not a stream"),
        None if bytes.is_empty() => Err(not_well_formed("it is empty")),
        None => Err(not_well_formed("it ends too early")),
    }
}

fn tokenizer(limits: &Limits) -> RawParser {
    RawParser::with_options(Options { max_token_length: limits.token_bytes, ..Options::default() })
}

/// A tokenizer that has read the start tag of the root.
fn tokenizer_within(limits: &Limits, root: &str) -> RawParser {
    let mut tokens = tokenizer(limits);
    let tag = format!("<{root}>");
    let mut rest = tag.as_bytes();
    while tokens.parse(&mut rest, false).is_ok() {}
    tokens
}

fn check_name((prefix, local): &RawQName) -> Result<(), XmlError> {
    let parts = [prefix.as_ref().map_or("", |prefix| prefix.as_str()), local.as_str()];
    match parts.into_iter().all(is_name_everywhere) {
        true => Ok(()),
        false => Err(XmlError::Restricted("a name with a character that not every reader of XML accepts")),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn not_well_formed(what: &str) -> XmlError {
    XmlError::NotWellFormed(what.to_owned())
}

/// What the tokenizer found wrong, in our words. It says some unlike things alike; `last`, the last
/// two bytes it took, tells them apart.
fn fault(error: rxml::Error, last: [u8; 2]) -> XmlError {
    use rxml::Error;
    match error {
        // XML 1.0 §2.8: a second `<?xml` is no processing instruction, it is an error.
        Error::RestrictedXml("processing instructions") if last == *b"ml" => {
            not_well_formed("an XML declaration stands elsewhere than at the beginning")
        }
        Error::RestrictedXml("processing instructions") => XmlError::Restricted("a processing instruction"),
        Error::RestrictedXml("comments") => XmlError::Restricted("a comment"),
        Error::RestrictedXml("only utf-8 encoding is allowed") => XmlError::UnsupportedEncoding,
        Error::RestrictedXml("only XML version 1.0 is allowed") => not_well_formed("it is not of version 1.0"),
        Error::RestrictedXml("only standalone documents are allowed") => {
            XmlError::Restricted("a declaration that it does not stand alone")
        }
        Error::RestrictedXml(_) => XmlError::TokenTooBig,
        Error::InvalidSyntax(_) if last == *b"!D" => XmlError::Restricted("a document type declaration"),
        Error::UndeclaredEntity => XmlError::Restricted("a reference to an entity"),
        error => XmlError::NotWellFormed(error.to_string()),
    }
}

/// How far to look ahead for a CR at a time: an input is looked at once, however many events it holds.
const WINDOW_BYTES: usize = 512;
