//! SCRAM's server side (RFC 5802, RFC 7677), with channel binding (RFC 9266, RFC 5929) and without,
//! and with the hash that shows a client what was really offered (XEP-0474).
//!
//! A decoy's exchange takes the same steps as a real one, in the same time, and fails at the end with
//! the same words as a wrong password: nobody learns here which accounts exist.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::{Mechanism, SaslCondition};
use crate::stream::secured::{Binding, Secured};

/// The hash that a SCRAM mechanism is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramHash {
    Sha1,
    Sha256,
    Sha512,
}

/// What the server holds an exchange with: an account's keys (RFC 5802 §3), or a decoy's.
#[derive(Clone)]
pub struct ScramOffer {
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
    /// False for a decoy: the exchange fails at its end, whatever the proof.
    pub real: bool,
    /// The server's part of the nonce, new for each exchange: printable ASCII without a comma, from
    /// 128 random bits or more.
    pub nonce: String,
}

/// The client's first message.
#[derive(Debug)]
pub(in crate::stream) struct ClientFirst {
    /// What the client must send, in base64, as `c=`: the GS2 header as it came, and the data of the
    /// channel that it binds to.
    binding: Vec<u8>,
    bare: String,
    nonce: String,
    pub authzid: Option<String>,
    pub username: String,
}

/// What a client says of channel bindings (RFC 5802 §7, `gs2-cbind-flag`).
enum Flag<'a> {
    /// It can bind none.
    No,
    /// It can, and thinks that the server cannot.
    Unoffered,
    Type(&'a str),
}

/// An exchange that has sent its challenge and waits for the proof. It is used once.
pub(in crate::stream) struct AwaitsProof {
    hash: ScramHash,
    offer: ScramOffer,
    binding: Vec<u8>,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

impl ScramHash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha1 => Sha1::digest(data).to_vec(),
            ScramHash::Sha256 => Sha256::digest(data).to_vec(),
            ScramHash::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            ScramHash::Sha1 => with::<Hmac<Sha1>>(key, data),
            ScramHash::Sha256 => with::<Hmac<Sha256>>(key, data),
            ScramHash::Sha512 => with::<Hmac<Sha512>>(key, data),
        }
    }
}

impl ClientFirst {
    /// RFC 5802 §7, `client-first-message`, said to a mechanism among those that were offered.
    pub fn parse(
        bytes: &[u8],
        mechanism: Mechanism,
        offered: &[Mechanism],
        secured: &Secured,
    ) -> Result<Self, SaslCondition> {
        let text = std::str::from_utf8(bytes).map_err(|_| SaslCondition::MalformedRequest)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SaslCondition::MalformedRequest);
        };
        let data = Flag::read(flag)?.data(mechanism, offered, secured)?;
        let authzid = match authzid {
            "" => None,
            _ => Some(unescape(value(authzid, 'a')?)?),
        };
        let mut attributes = bare.split(',');
        let first = attributes.next().unwrap_or_default();
        // RFC 5802 §5.1: a mandatory extension that is not understood must fail; none is.
        if first.starts_with("m=") {
            return Err(SaslCondition::NotAuthorized);
        }
        let username = unescape(value(first, 'n')?)?;
        let nonce = value(attributes.next().unwrap_or_default(), 'r')?;
        if nonce.is_empty() || !nonce.bytes().all(is_printable) {
            return Err(SaslCondition::NotAuthorized);
        }
        check_extensions(attributes)?;
        let mut binding = text.as_bytes()[..text.len() - bare.len()].to_vec();
        binding.extend_from_slice(data);
        Ok(ClientFirst { binding, bare: bare.to_owned(), nonce: nonce.to_owned(), authzid, username })
    }

    /// The challenge (`server-first-message`), and the exchange that waits for its answer. `offered` is
    /// what [`offered_text`] makes of the offer, of which a hash is shown (XEP-0474 §6.1); none is without.
    pub fn challenge(self, hash: ScramHash, offer: ScramOffer, offered: Option<&str>) -> (Vec<u8>, AwaitsProof) {
        debug_assert!(!offer.nonce.is_empty() && offer.nonce.bytes().all(is_printable), "a nonce is printable");
        let nonce = format!("{}{}", self.nonce, offer.nonce);
        let mut server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&offer.salt), offer.iterations);
        if let Some(offered) = offered {
            server_first.push_str(",h=");
            server_first.push_str(&STANDARD.encode(hash.digest(offered.as_bytes())));
        }
        let challenge = server_first.clone().into_bytes();
        let exchange =
            AwaitsProof { hash, offer, binding: self.binding, client_first_bare: self.bare, server_first, nonce };
        (challenge, exchange)
    }
}

/// The text of which XEP-0474 §6.1 has the hash sent: what one profile of SASL offered, and the types of
/// channel binding that were announced, each sorted bytewise.
pub(in crate::stream) fn offered_text(mechanisms: &[Mechanism], bindings: &[Binding]) -> String {
    let mut names: Vec<&str> = mechanisms.iter().map(|mechanism| mechanism.name()).collect();
    names.sort_unstable();
    let mut text = names.join("\x1e");
    if !bindings.is_empty() {
        let mut types: Vec<&str> = bindings.iter().map(|binding| binding.name()).collect();
        types.sort_unstable();
        text.push('\x1f');
        text.push_str(&types.join("\x1e"));
    }
    text
}

impl<'a> Flag<'a> {
    fn read(flag: &'a str) -> Result<Self, SaslCondition> {
        match flag {
            "n" => Ok(Flag::No),
            "y" => Ok(Flag::Unoffered),
            _ => flag.strip_prefix("p=").map(Flag::Type).ok_or(SaslCondition::MalformedRequest),
        }
    }

    /// The data that the client binds to; none where it binds to nothing, and may (RFC 5802 §6).
    fn data<'s>(
        &self,
        mechanism: Mechanism,
        offered: &[Mechanism],
        secured: &'s Secured,
    ) -> Result<&'s [u8], SaslCondition> {
        match (self, mechanism) {
            (Flag::Type(name), Mechanism::ScramPlus(_)) => {
                Binding::from_name(name).and_then(|known| secured.binding(known)).ok_or(SaslCondition::NotAuthorized)
            }
            // The name of the mechanism promises a binding, or its absence.
            (Flag::Type(_), _) | (_, Mechanism::ScramPlus(_)) => Err(SaslCondition::NotAuthorized),
            // The client would have bound, had it seen what was offered: somebody took it away.
            (Flag::Unoffered, _) if offered.iter().any(|one| matches!(one, Mechanism::ScramPlus(_))) => {
                Err(SaslCondition::NotAuthorized)
            }
            (Flag::No | Flag::Unoffered, _) => Ok(&[]),
        }
    }
}

impl AwaitsProof {
    /// Checks `client-final-message`; what comes back is `server-final-message`, which proves to the
    /// client that the server knows it.
    pub fn finish(self, bytes: &[u8]) -> Result<Vec<u8>, SaslCondition> {
        let text = std::str::from_utf8(bytes).map_err(|_| SaslCondition::MalformedRequest)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SaslCondition::MalformedRequest)?;
        let mut attributes = without_proof.split(',');
        let binding = value(attributes.next().unwrap_or_default(), 'c')?;
        let nonce = value(attributes.next().unwrap_or_default(), 'r')?;
        check_extensions(attributes)?;
        let proof = STANDARD.decode(proof).map_err(|_| SaslCondition::MalformedRequest)?;

        // RFC 5802 §6: the value of c= is constructed, and must be the same.
        let bound = binding.as_bytes().ct_eq(STANDARD.encode(&self.binding).as_bytes());
        if !bool::from(bound) || nonce != self.nonce {
            return Err(SaslCondition::NotAuthorized);
        }
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = self.hash.hmac(&self.offer.stored_key, auth_message.as_bytes());
        if proof.len() != signature.len() {
            return Err(SaslCondition::NotAuthorized);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(p, s)| p ^ s).collect();
        let proved = self.hash.digest(&client_key).ct_eq(&self.offer.stored_key);
        let server_signature = self.hash.hmac(&self.offer.server_key, auth_message.as_bytes());
        // A decoy has gone through all of the above; only now does it differ.
        if bool::from(proved & Choice::from(u8::from(self.offer.real))) {
            Ok(format!("v={}", STANDARD.encode(server_signature)).into_bytes())
        } else {
            Err(SaslCondition::NotAuthorized)
        }
    }
}

impl fmt::Debug for ScramOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramOffer {{ iterations: {} }}", self.iterations)
    }
}

/// The value of an attribute that must stand here.
fn value(attribute: &str, name: char) -> Result<&str, SaslCondition> {
    attribute
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='))
        .filter(|value| !value.contains('\0'))
        .ok_or(SaslCondition::MalformedRequest)
}

/// A `saslname`: `=2C` is a comma, `=3D` an equals sign, and no other `=` may stand (RFC 5802 §5.1).
pub(super) fn unescape(name: &str) -> Result<String, SaslCondition> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(SaslCondition::MalformedRequest),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    if plain.is_empty() { Err(SaslCondition::MalformedRequest) } else { Ok(plain) }
}

/// RFC 5802 §5.1: optional extensions are ignored; a mandatory one, or an attribute that has its own
/// place, must not stand here.
fn check_extensions<'a>(extensions: impl Iterator<Item = &'a str>) -> Result<(), SaslCondition> {
    for extension in extensions {
        let mut chars = extension.chars();
        let name = chars.next().filter(char::is_ascii_alphabetic).ok_or(SaslCondition::MalformedRequest)?;
        let value = value(extension, name)?;
        match name {
            'm' => return Err(SaslCondition::NotAuthorized),
            'a' | 'n' | 'r' | 'c' | 's' | 'i' | 'p' | 'v' | 'e' => return Err(SaslCondition::MalformedRequest),
            _ if value.is_empty() => return Err(SaslCondition::MalformedRequest),
            _ => {}
        }
    }
    Ok(())
}

/// RFC 5802 §7, `printable`.
fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x2b | 0x2d..=0x7e)
}
