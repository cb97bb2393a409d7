//! Addresses: JIDs prepared by RFC 7622 (PRECIS) and IDNA2008, valid by construction.
//!
//! Not here: who an address belongs to, or whether it exists. Anyone may import this room.
//! One function prepares each part, for every door, so that two spellings of one address
//! can never become two identities.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use precis_profiles::precis_core::profile::Profile;
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use unicode_security::skeleton;

/// An address without a resource: `local@domain` or `domain` (RFC 7622 §3.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BareJid {
    text: Arc<str>,
    /// Where the `@` stands in `text`; 0 when there is no local part, which can never be empty.
    at: u16,
}

/// An address with a resource: one session, or one item of an addressable service.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullJid {
    bare: BareJid,
    resource: Arc<str>,
}

/// An address of either kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Jid {
    Bare(BareJid),
    Full(FullJid),
}

/// Why a string is not an address. Maps to the stanza error `jid-malformed` (RFC 6120 §8.3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JidError {
    /// A part is empty, or the whole is.
    Empty,
    /// A part is longer than [`PART_BYTES_MAX`] once prepared.
    TooLong,
    /// The local part is refused by UsernameCaseMapped or holds one of `"&'/:<>@`.
    Local,
    /// The domain part is neither a domain name nor an IP literal.
    Domain,
    /// The resource part is refused by OpaqueString.
    Resource,
}

impl BareJid {
    /// Parses and prepares `local@domain` or `domain`; an address with a resource is refused.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        if text.contains('/') {
            return Err(JidError::Resource);
        }
        match text.split_once('@') {
            Some((local, domain)) => Self::new(Some(local), domain),
            None => Self::new(None, text),
        }
    }

    /// Builds an address from unprepared parts.
    pub fn new(local: Option<&str>, domain: &str) -> Result<Self, JidError> {
        let domain = prepare_domain(domain)?;
        match local {
            None => Ok(Self { text: Arc::from(domain.as_ref()), at: 0 }),
            Some(local) => {
                let local = prepare_local(local)?;
                let at = u16::try_from(local.len()).map_err(|_| JidError::TooLong)?;
                Ok(Self { text: Arc::from(format!("{local}@{domain}")), at })
            }
        }
    }

    /// The part before the `@`, if there is one.
    pub fn local(&self) -> Option<&str> {
        (self.at > 0).then(|| &self.text[..usize::from(self.at)])
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        if self.at > 0 { &self.text[usize::from(self.at) + 1..] } else { &self.text }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same address with a resource, which is prepared here.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        Ok(FullJid { bare: self.clone(), resource: Arc::from(prepare_resource(resource)?.as_ref()) })
    }
}

impl FullJid {
    pub fn parse(text: &str) -> Result<Self, JidError> {
        match Jid::parse(text)? {
            Jid::Full(full) => Ok(full),
            Jid::Bare(_) => Err(JidError::Resource),
        }
    }

    pub fn bare(&self) -> &BareJid {
        &self.bare
    }

    pub fn resource(&self) -> &str {
        &self.resource
    }
}

impl Jid {
    /// Parses and prepares an address (RFC 7622 §3.1: the first `/` ends the domain, the first `@`
    /// before it ends the local part).
    pub fn parse(text: &str) -> Result<Self, JidError> {
        match text.split_once('/') {
            None => BareJid::parse(text).map(Jid::Bare),
            Some((bare, resource)) => BareJid::parse(bare)?.with_resource(resource).map(Jid::Full),
        }
    }

    pub fn bare(&self) -> &BareJid {
        match self {
            Jid::Bare(bare) => bare,
            Jid::Full(full) => &full.bare,
        }
    }

    pub fn resource(&self) -> Option<&str> {
        match self {
            Jid::Bare(_) => None,
            Jid::Full(full) => Some(&full.resource),
        }
    }

    pub fn domain(&self) -> &str {
        self.bare().domain()
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        Jid::Bare(bare)
    }
}

impl From<FullJid> for Jid {
    fn from(full: FullJid) -> Self {
        Jid::Full(full)
    }
}

impl BareJid {
    /// What the address looks like: two of which this is the same cannot be told apart by eye (UTS #39 §4).
    /// Letters of either case that look like another letter count, though an address has small ones only:
    /// 0 is an O, and so an o. The domain stands as it is, for it is not whoever makes an account who chooses it.
    pub fn look(&self) -> String {
        let mut look = self.local().unwrap_or_default().to_owned();
        // What a capital has become may look like something itself.
        for _ in 0..2 {
            look = skeleton(&look).collect::<String>().to_lowercase();
        }
        format!("{look}@{}", self.domain())
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bare, self.resource)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Jid::Bare(bare) => bare.fmt(f),
            Jid::Full(full) => full.fmt(f),
        }
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JidError::Empty => "an address has an empty part",
            JidError::TooLong => "a part of an address is longer than 1023 bytes",
            JidError::Local => "the part before the @ holds a character that is not allowed there",
            JidError::Domain => "the domain of an address is not a valid domain name",
            JidError::Resource => "the resource of an address holds a character that is not allowed there",
        })
    }
}

impl std::error::Error for JidError {}

/// Prepares a localpart: UsernameCaseMapped (RFC 8265 §3.3) less the characters of RFC 7622 §3.3.1.
pub fn prepare_local(local: &str) -> Result<Cow<'_, str>, JidError> {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+');
    if local.is_empty() {
        return Err(JidError::Empty);
    }
    let prepared = if local.bytes().all(plain) {
        Cow::Borrowed(local)
    } else {
        settle(local, JidError::Local, |text| UsernameCaseMapped::new().enforce(text).map(Cow::into_owned).ok())?
    };
    if prepared.chars().any(|c| "\"&'/:<>@".contains(c)) {
        return Err(JidError::Local);
    }
    fits(prepared)
}

/// Prepares a domain part: U-labels in lower case, no trailing dot (RFC 7622 §3.2), or an IP literal.
pub fn prepare_domain(domain: &str) -> Result<Cow<'_, str>, JidError> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_empty() {
        return Err(JidError::Empty);
    }
    if domain.len() > PART_BYTES_MAX {
        return Err(JidError::TooLong);
    }
    if let Some(inner) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = inner.parse().map_err(|_| JidError::Domain)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    let label = |label: &str| {
        let bytes = label.as_bytes();
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with("xn--")
            && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    if domain.split('.').all(label) {
        return fits(Cow::Borrowed(domain));
    }
    let ascii =
        idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::STD3).map_err(|_| JidError::Domain)?;
    let hyphens = |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    if ascii.split('.').any(hyphens) {
        return Err(JidError::Domain);
    }
    let (unicode, outcome) = idna::domain_to_unicode(&ascii);
    outcome.map_err(|_| JidError::Domain)?;
    fits(Cow::Owned(unicode))
}

/// Prepares a resource part: OpaqueString (RFC 7622 §3.4, RFC 8265 §4.2). A NodeID is prepared by the
/// same rule (XEP-0060 §4.6.2).
pub fn prepare_resource(resource: &str) -> Result<Cow<'_, str>, JidError> {
    if resource.is_empty() {
        return Err(JidError::Empty);
    }
    if resource.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
        return fits(Cow::Borrowed(resource));
    }
    let prepared =
        settle(resource, JidError::Resource, |text| OpaqueString::new().enforce(text).map(Cow::into_owned).ok())?;
    fits(prepared)
}

/// Applies a PRECIS profile until it changes nothing: one pass is not idempotent for every
/// code point (RFC 8264 §7), and an address that changes when prepared again is two identities.
fn settle(text: &str, error: JidError, enforce: impl Fn(&str) -> Option<String>) -> Result<Cow<'_, str>, JidError> {
    if text.len() > PART_BYTES_MAX * 4 {
        return Err(JidError::TooLong);
    }
    let mut now = enforce(text).ok_or(error)?;
    for _ in 0..PASSES_MAX {
        let next = enforce(&now).ok_or(error)?;
        if next == now {
            return Ok(Cow::Owned(now));
        }
        now = next;
    }
    Err(error)
}

fn fits(part: Cow<'_, str>) -> Result<Cow<'_, str>, JidError> {
    if part.is_empty() {
        Err(JidError::Empty)
    } else if part.len() > PART_BYTES_MAX {
        Err(JidError::TooLong)
    } else {
        Ok(part)
    }
}

/// The most bytes that one prepared part may have (RFC 7622 §3.1).
pub const PART_BYTES_MAX: usize = 1023;

const PASSES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> Option<String> {
        BareJid::parse(text).ok().map(|jid| jid.to_string())
    }

    #[test]
    fn one_address_has_one_spelling() {
        for (given, prepared) in [
            ("alice@localhost", Some("alice@localhost")),
            ("ALICE@LOCALHOST", Some("alice@localhost")),
            ("localhost", Some("localhost")),
            ("alice@localhost.", Some("alice@localhost")),
            ("ＡＤＭＩＮ@localhost", Some("admin@localhost")),
            ("fußball@example.com", Some("fußball@example.com")),
            ("π@Bücher.example", Some("π@bücher.example")),
            ("a@xn--bcher-kva.example", Some("a@bücher.example")),
            ("a@[::1]", Some("a@[::1]")),
            ("a@xn--example-.org", None),
            ("@localhost", None),
            ("a@", None),
            ("", None),
            ("a b@localhost", None),
            ("a\"b@localhost", None),
            ("admin\u{ad}@localhost", None),
            ("ᴮᴵᴳᴮᴵᴿᴰ@localhost", None),
            ("a@b@c", None),
            ("a@ex_ample.com", None),
            ("a@-x.com", None),
            ("a@x..com", None),
        ] {
            assert_eq!(bare(given).as_deref(), prepared, "{given:?}");
        }
    }

    #[test]
    fn cyrillic_a_is_another_person() {
        assert_ne!(bare("\u{430}dmin@localhost"), bare("admin@localhost"));
    }

    /// Security row A18: Cyrillic, digits, letters of other alphabets and pairs that run together.
    #[test]
    fn addresses_that_cannot_be_told_apart_look_the_same() {
        let parse = |text: &str| BareJid::parse(text).unwrap();
        let look = |local: &str| parse(&format!("{local}@localhost")).look();
        for (one, other) in [
            ("admin", "\u{430}dmin"),
            ("admin", "adrnin"),
            ("paypal", "paypa1"),
            ("root", "r00t"),
            ("scope", "\u{455}\u{441}\u{43e}\u{440}\u{435}"),
            ("élan", "e\u{301}lan"),
            ("alpha", "\u{251}lpha"),
            ("ıris", "iris"),
        ] {
            assert_eq!(look(one), look(other), "{one} {other}");
        }
        for (one, other) in [
            ("admin", "admins"),
            ("alice", "alicia"),
            ("user1", "user2"),
            ("user1", "user11"),
            ("anna", "hanna"),
            ("élan", "elan"),
            ("b", "d"),
            ("иван", "ivan"),
        ] {
            assert_ne!(look(one), look(other), "{one} {other}");
        }
        assert_ne!(parse("alice@localhost").look(), parse("alice@example.org").look());
    }

    #[test]
    fn a_resource_is_opaque_and_kept() {
        let jid = Jid::parse("Alice@Localhost/Phone /@x").unwrap();
        assert_eq!(jid.to_string(), "alice@localhost/Phone /@x");
        assert_eq!(jid.resource(), Some("Phone /@x"));
        assert_eq!(Jid::parse("a@b/"), Err(JidError::Empty));
        assert_eq!(Jid::parse("a@b/x\u{7}"), Err(JidError::Resource));
    }

    #[test]
    fn a_part_of_1023_bytes_is_the_longest() {
        let long = "a".repeat(1023);
        assert!(BareJid::parse(&format!("{long}@localhost")).is_ok());
        assert_eq!(BareJid::parse(&format!("a{long}@localhost")), Err(JidError::TooLong));
    }

    #[test]
    fn preparing_twice_is_preparing_once() {
        for scalar in (0..=0x10ffff).filter_map(char::from_u32) {
            let text = scalar.to_string();
            if let Ok(once) = prepare_local(&text) {
                assert_eq!(prepare_local(&once).as_deref(), Ok(once.as_ref()), "{scalar:?}");
            }
            if let Ok(once) = prepare_resource(&text) {
                assert_eq!(prepare_resource(&once).as_deref(), Ok(once.as_ref()), "{scalar:?}");
            }
            if let Ok(once) = prepare_domain(&text) {
                assert_eq!(prepare_domain(&once).as_deref(), Ok(once.as_ref()), "{scalar:?}");
            }
        }
    }
}
