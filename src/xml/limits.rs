//! What may be read, and what is wrong with what was.

use std::fmt;

/// What one unit may cost. A unit is the stream header (with its XML declaration), one child of the
/// stream, or a whole document. Each limit is the largest value that still passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one unit as they were sent, from its first `<` to its last `>`.
    pub stanza_bytes: usize,
    /// Bytes of one name or attribute value. The tokenizer reserves as much while it reads.
    pub token_bytes: usize,
    /// How deep elements may stand in each other; the unit's own element has depth 1.
    pub depth: usize,
    /// Elements in one unit, its own among them.
    pub elements: usize,
    /// Attributes of one element, namespace declarations apart.
    pub attributes: usize,
    /// Attributes of all elements of one unit.
    pub attributes_total: usize,
    /// Namespace declarations on one element; one more than the namespaces that the attributes of one
    /// unit may be of.
    pub namespaces: usize,
    /// Namespace declarations in scope at once: a lookup walks through them.
    pub namespaces_in_scope: usize,
    /// White space before the stream header. Between stanzas it is skipped at no cost, and not limited.
    pub leading_whitespace_bytes: usize,
}

impl Limits {
    /// For a peer that has not said who it is.
    pub fn unauthenticated() -> Self {
        Limits {
            stanza_bytes: 8 * 1024,
            token_bytes: 4 * 1024,
            depth: 8,
            elements: 32,
            attributes: 32,
            attributes_total: 64,
            namespaces: 16,
            namespaces_in_scope: 32,
            leading_whitespace_bytes: 64,
        }
    }

    /// For a peer that has.
    pub fn authenticated() -> Self {
        Limits {
            stanza_bytes: 256 * 1024,
            token_bytes: 64 * 1024,
            depth: 64,
            elements: 4096,
            attributes: 64,
            attributes_total: 8 * 1024,
            namespaces: 32,
            namespaces_in_scope: 128,
            leading_whitespace_bytes: 64,
        }
    }
}

/// Why XML was refused. After one the parser answers nothing else until it is reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// Not XML 1.0 with namespaces, or not UTF-8: `not-well-formed`.
    NotWellFormed(String),
    /// XML that RFC 6120 §11.1 forbids (comment, processing instruction, DTD, entity): `restricted-xml`.
    Restricted(&'static str),
    /// Declared as, or evidently, something else than UTF-8: `unsupported-encoding`.
    UnsupportedEncoding,
    /// Text that is not white space where only elements may stand: `not-well-formed` would be untrue,
    /// `bad-format` fits.
    StrayText,
    /// More bytes in a unit than [`Limits::stanza_bytes`]: `policy-violation`, as are those that follow.
    TooBig,
    /// A name or attribute value beyond [`Limits::token_bytes`].
    TokenTooBig,
    TooDeep,
    TooManyElements,
    TooManyAttributes,
    TooManyNamespaces,
    /// Beyond [`Limits::leading_whitespace_bytes`].
    TooMuchWhitespace,
}

impl XmlError {
    /// Whether a limit was passed, not a rule of XML broken: RFC 6120 `policy-violation`.
    pub fn is_limit(&self) -> bool {
        match self {
            XmlError::TooBig
            | XmlError::TokenTooBig
            | XmlError::TooDeep
            | XmlError::TooManyElements
            | XmlError::TooManyAttributes
            | XmlError::TooManyNamespaces
            | XmlError::TooMuchWhitespace => true,
            XmlError::NotWellFormed(_)
            | XmlError::Restricted(_)
            | XmlError::UnsupportedEncoding
            | XmlError::StrayText => false,
        }
    }
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XmlError::NotWellFormed(what) => write!(f, "the XML is not well-formed: {what}"),
            XmlError::Restricted(what) => write!(f, "the XML has {what}, which is not allowed"),
            XmlError::UnsupportedEncoding => f.write_str("the XML is not encoded in UTF-8"),
            XmlError::StrayText => f.write_str("there is text where only elements may stand"),
            XmlError::TooBig => f.write_str("the XML is longer than allowed"),
            XmlError::TokenTooBig => f.write_str("a name or an attribute value in the XML is longer than allowed"),
            XmlError::TooDeep => f.write_str("elements of the XML stand deeper in each other than allowed"),
            XmlError::TooManyElements => f.write_str("the XML has more elements than allowed"),
            XmlError::TooManyAttributes => f.write_str("the XML has more attributes than allowed"),
            XmlError::TooManyNamespaces => f.write_str("the XML has more namespace declarations than allowed"),
            XmlError::TooMuchWhitespace => f.write_str("there is more white space before the header than allowed"),
        }
    }
}

impl std::error::Error for XmlError {}
