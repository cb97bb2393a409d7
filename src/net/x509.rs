//! The few things that must be read out of a certificate: what it binds a channel to, and whom it names.
//! Whether it is valid is for `rustls` to say, and has been said before anything here is believed.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::jid::BareJid;
use crate::time::Timestamp;

/// `tls-server-end-point` of a certificate (RFC 5929 §4.1): its hash, by the function of its signature,
/// or by SHA-256 where that is MD5 or SHA-1. Absent where the signature uses none or several.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, algorithm) = parts(certificate)?;
    let mut algorithm = Der(algorithm);
    let oid = algorithm.expect(OID)?;
    let oid = if oid == RSA_PSS { pss_hash(algorithm).unwrap_or(SHA_1) } else { oid };
    Some(match oid {
        RSA_MD5 | RSA_SHA_1 | ECDSA_SHA_1 | SHA_1 | RSA_SHA_256 | ECDSA_SHA_256 | SHA_256 => {
            Sha256::digest(certificate).to_vec()
        }
        RSA_SHA_224 | ECDSA_SHA_224 | SHA_224 => Sha224::digest(certificate).to_vec(),
        RSA_SHA_384 | ECDSA_SHA_384 | SHA_384 => Sha384::digest(certificate).to_vec(),
        RSA_SHA_512 | ECDSA_SHA_512 | SHA_512 => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

/// The bare JIDs that a certificate names as `id-on-xmppAddr` (RFC 6120 §13.7.1.4), the first
/// [`NAMES_MAX`]. Its subject is not looked at (RFC 9525 §2).
pub fn xmpp_addresses(certificate: &[u8]) -> Vec<BareJid> {
    let mut found = Vec::new();
    for (tag, name) in alternative_names(certificate) {
        let mut other = Der(name);
        if tag != OTHER_NAME || other.expect(OID) != Some(ID_ON_XMPP_ADDR) {
            continue;
        }
        let text = other.expect(EXPLICIT_0).and_then(|value| Der(value).expect(UTF8_STRING));
        let jid = text.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| BareJid::parse(text).ok());
        // A domain is no account, and one address is one, however often it stands there.
        found.extend(jid.filter(|jid| jid.local().is_some() && !found.contains(jid)));
    }
    found
}

/// The domains that a certificate is for, in lower case: `dNSName`s, wildcards among them.
pub fn domains(certificate: &[u8]) -> Vec<String> {
    let names = alternative_names(certificate).into_iter().filter(|(tag, _)| *tag == DNS_NAME);
    names.filter_map(|(_, name)| std::str::from_utf8(name).ok().map(str::to_ascii_lowercase)).collect()
}

/// The end of its validity (RFC 5280 §4.1.2.5).
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut signed = Der(parts(certificate)?.0);
    // After the version, which may be left away: serial number, signature, issuer, validity.
    signed.find(INTEGER)?;
    signed.expect(SEQUENCE)?;
    signed.expect(SEQUENCE)?;
    let mut validity = Der(signed.expect(SEQUENCE)?);
    validity.next()?;
    let (tag, digits) = validity.next()?;
    let digits = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            // §4.1.2.5.1.
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => digits.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let two = |place: usize| rest.get(place..place + 2);
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// Whether one of the names covers a domain in lower case (RFC 9525 §6.3): a wildcard stands for one
/// whole label, the first.
pub fn covers(names: &[String], domain: &str) -> bool {
    let parent = domain.split_once('.').map(|(_, parent)| parent);
    names.iter().any(|name| name == domain || name.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent))
}

/// The to-be-signed part and the algorithm of the signature (RFC 5280 §4.1), each without its header.
fn parts(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut whole = Der(Der(certificate).expect(SEQUENCE)?);
    Some((whole.expect(SEQUENCE)?, whole.expect(SEQUENCE)?))
}

/// The entries of `subjectAltName` (RFC 5280 §4.2.1.6), each with its tag.
fn alternative_names(certificate: &[u8]) -> Vec<(u8, &[u8])> {
    let names = || -> Option<Vec<(u8, &[u8])>> {
        let mut signed = Der(parts(certificate)?.0);
        let mut extensions = Der(Der(signed.find(EXTENSIONS)?).expect(SEQUENCE)?);
        while let Some((SEQUENCE, extension)) = extensions.next() {
            let mut extension = Der(extension);
            if extension.expect(OID)? != SUBJECT_ALT_NAME {
                continue;
            }
            let names = Der(extension.find(OCTET_STRING)?).expect(SEQUENCE)?;
            return Some(Der(names).take(NAMES_MAX).collect());
        }
        None
    };
    names().unwrap_or_default()
}

/// The hash of RSASSA-PSS parameters (RFC 4055 §3.1), where it is not the default.
fn pss_hash(mut algorithm: Der<'_>) -> Option<&[u8]> {
    let mut parameters = Der(algorithm.expect(SEQUENCE)?);
    let mut hash = Der(Der(parameters.expect(EXPLICIT_0)?).expect(SEQUENCE)?);
    hash.expect(OID)
}

/// Elements of DER, one after the other, each as tag and content. What is cut short or has a length of
/// more than four bytes ends it.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long => {
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(long & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

impl<'a> Der<'a> {
    /// The next element, which must have this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The first element with this tag, past all others.
    fn find(&mut self, tag: u8) -> Option<&'a [u8]> {
        std::iter::Iterator::find(self, |(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// Names of one certificate that are looked at.
pub const NAMES_MAX: usize = 256;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const OTHER_NAME: u8 = 0xa0;
const EXPLICIT_0: u8 = 0xa0;
const DNS_NAME: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.5.5.7.8.5
const ID_ON_XMPP_ADDR: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x05];
/// 1.2.840.113549.1.1 (RFC 4055 §5)
const RSA_MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04];
const RSA_SHA_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const RSA_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const RSA_SHA_384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const RSA_SHA_512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const RSA_SHA_224: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e];
/// 1.2.840.10045.4 (RFC 5758 §3.2)
const ECDSA_SHA_1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
const ECDSA_SHA_224: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01];
const ECDSA_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA_384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_SHA_512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
/// 1.3.14.3.2.26 and 2.16.840.1.101.3.4.2
const SHA_1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA_384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA_512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
const SHA_224: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04];
