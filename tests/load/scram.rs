//! The client's side of SASL: SCRAM (RFC 5802, RFC 7677) without channel binding, and PLAIN (RFC 4616).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::Outcome;

/// In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    ScramSha256,
    ScramSha1,
    Plain,
}

impl Mechanism {
    pub const ALL: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::Plain];

    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::Plain => "PLAIN",
        }
    }
}

/// The salted passwords already computed: PBKDF2 is the dear part, and it depends on password, salt and count only.
#[derive(Default)]
pub struct Salted {
    known: Mutex<HashMap<Derivation, Vec<u8>>>,
}

/// What a salted password is derived from: hash, password, salt, rounds.
type Derivation = (Mechanism, String, Vec<u8>, u32);

impl Salted {
    fn password(&self, mechanism: Mechanism, password: &str, salt: &[u8], rounds: u32) -> Vec<u8> {
        let key = (mechanism, password.to_owned(), salt.to_vec(), rounds);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(salted) = known.get(&key) {
            return salted.clone();
        }
        drop(known);
        let salted = salted_password(mechanism, password, salt, rounds);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, salted.clone());
        salted
    }
}

/// One exchange: the first message, the answer to the challenge, the server's signature.
pub struct Exchange {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    first_bare: String,
    server_signature: Vec<u8>,
}

impl Exchange {
    /// `nonce` must be fresh and printable without a comma.
    pub fn new(mechanism: Mechanism, name: &str, password: &str, nonce: &str) -> Exchange {
        Exchange {
            mechanism,
            password: password.to_owned(),
            nonce: nonce.to_owned(),
            first_bare: format!("n={name},r={nonce}"),
            server_signature: Vec::new(),
        }
    }

    /// The initial response, in base64.
    pub fn first(&self, name: &str) -> String {
        match self.mechanism {
            Mechanism::Plain => BASE64.encode(format!("\0{name}\0{}", self.password)),
            _ => BASE64.encode(format!("n,,{}", self.first_bare)),
        }
    }

    /// The answer to the server's challenge (both in base64).
    pub fn answer(&mut self, challenge: &str, salted: &Salted) -> Outcome<String> {
        let server_first = String::from_utf8(BASE64.decode(challenge)?)?;
        let nonce = field(&server_first, 'r')?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's nonce does not continue the client's".into());
        }
        let salt = BASE64.decode(field(&server_first, 's')?)?;
        let rounds: u32 = field(&server_first, 'i')?.parse()?;
        let salted = salted.password(self.mechanism, &self.password, &salt, rounds);
        let client_key = keyed(self.mechanism, &salted, b"Client Key");
        let stored_key = hashed(self.mechanism, &client_key);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let signature = keyed(self.mechanism, &stored_key, signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(k, s)| k ^ s).collect();
        let server_key = keyed(self.mechanism, &salted, b"Server Key");
        self.server_signature = keyed(self.mechanism, &server_key, signed.as_bytes());
        Ok(BASE64.encode(format!("{without_proof},p={}", BASE64.encode(proof))))
    }

    /// Whether the server knows the password too; its last message in base64.
    pub fn verify(&self, last: &str) -> Outcome<()> {
        if self.mechanism == Mechanism::Plain {
            return Ok(());
        }
        let last = String::from_utf8(BASE64.decode(last)?)?;
        match BASE64.decode(field(&last, 'v')?)? == self.server_signature {
            true => Ok(()),
            false => Err("the server's signature is wrong".into()),
        }
    }
}

/// RFC 5802 section 3: Hi(password, salt, rounds).
pub fn salted_password(mechanism: Mechanism, password: &str, salt: &[u8], rounds: u32) -> Vec<u8> {
    match mechanism {
        Mechanism::ScramSha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, rounds).to_vec(),
        _ => pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password.as_bytes(), salt, rounds).to_vec(),
    }
}

/// HMAC with the hash of the mechanism.
pub fn keyed(mechanism: Mechanism, key: &[u8], text: &[u8]) -> Vec<u8> {
    match mechanism {
        Mechanism::ScramSha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        _ => {
            let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
    }
}

/// The hash of the mechanism.
pub fn hashed(mechanism: Mechanism, text: &[u8]) -> Vec<u8> {
    match mechanism {
        Mechanism::ScramSha256 => Sha256::digest(text).to_vec(),
        _ => Sha1::digest(text).to_vec(),
    }
}

fn field(message: &str, name: char) -> Outcome<&str> {
    let found = message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.ok_or_else(|| format!("the server's SCRAM message has no {name}=").into())
}
