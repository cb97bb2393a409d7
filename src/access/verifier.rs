//! What is kept instead of a password: made, checked, and imitated.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::ScramHash;
use crate::jid::BareJid;
use crate::store::{ScramKeys, Verifier};

/// How an account's password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum VerifierKind {
    /// Keys for SCRAM with SHA-1, SHA-256 and SHA-512: every way of logging in works.
    #[default]
    Scram,
    /// A hash that is dearer to attack; PLAIN and Basic only.
    Argon2id,
}

/// Imitations for accounts that are not there.
pub struct Decoys {
    key: [u8; 32],
    iterations: u32,
    /// Costs what checking a password of the common kind costs.
    verifier: Verifier,
}

impl VerifierKind {
    pub fn of(verifier: &Verifier) -> Self {
        match verifier {
            Verifier::Scram { .. } => VerifierKind::Scram,
            Verifier::Argon2id(_) => VerifierKind::Argon2id,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "scram" => Some(VerifierKind::Scram),
            "argon2id" => Some(VerifierKind::Argon2id),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            VerifierKind::Scram => "scram",
            VerifierKind::Argon2id => "argon2id",
        }
    }
}

impl fmt::Display for VerifierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes a verifier of a prepared password. Takes long: for the blocking pool.
pub fn make(kind: VerifierKind, password: &str, iterations: u32) -> Verifier {
    match kind {
        VerifierKind::Scram => Verifier::Scram {
            sha1: scram_keys::<Sha1>(password, &salt(), iterations),
            sha256: scram_keys::<Sha256>(password, &salt(), iterations),
            sha512: scram_keys::<Sha512>(password, &salt(), iterations),
        },
        VerifierKind::Argon2id => {
            let params = Params::new(ARGON2_KIB, ARGON2_PASSES, ARGON2_LANES, None)
                .expect("the costs lie within what the algorithm allows");
            let hash = Argon2::default()
                .hash_password_customized(
                    password.as_bytes(),
                    &salt(),
                    Some(Algorithm::Argon2id.as_str()),
                    None,
                    params,
                )
                .expect("a salt of 16 bytes and a password of at most 1023 are within what the algorithm allows");
            Verifier::Argon2id(hash.to_string())
        }
    }
}

/// Checks a prepared password. Takes long: for the blocking pool. A wrong one costs at least
/// `iterations_common` rounds with SCRAM keys, so that an account whose secret was generated, and
/// which has fewer, does not answer sooner than one that is not there.
pub fn check(verifier: &Verifier, password: &str, iterations_common: u32) -> bool {
    match verifier {
        Verifier::Scram { sha256, .. } => {
            let made = scram_keys::<Sha256>(password, &sha256.salt, sha256.iterations);
            let stored = made.stored_key.ct_eq(&sha256.stored_key);
            let right = bool::from(stored & made.server_key.ct_eq(&sha256.server_key));
            if !right && sha256.iterations < iterations_common {
                scram_keys::<Sha256>(password, &sha256.salt, iterations_common - sha256.iterations);
            }
            right
        }
        Verifier::Argon2id(phc) => PasswordHash::new(phc)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
    }
}

/// What changes whenever the password does.
pub fn fingerprint(verifier: &Verifier) -> &[u8] {
    match verifier {
        Verifier::Scram { sha256, .. } => &sha256.stored_key,
        Verifier::Argon2id(phc) => phc.as_bytes(),
    }
}

impl Decoys {
    pub fn new(key: [u8; 32], kind: VerifierKind, iterations: u32) -> Self {
        let verifier = match kind {
            VerifierKind::Scram => {
                let keys = |length| ScramKeys {
                    salt: vec![0; SALT_BYTES],
                    iterations,
                    stored_key: vec![0; length],
                    server_key: vec![0; length],
                };
                Verifier::Scram { sha1: keys(20), sha256: keys(32), sha512: keys(64) }
            }
            // Nobody knows the password, and nobody will: it is drawn here and dropped.
            VerifierKind::Argon2id => make(VerifierKind::Argon2id, &super::random_text(32), iterations),
        };
        Decoys { key, iterations, verifier }
    }

    /// A verifier that no password passes.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Keys that are always the same for an address, and as random to look at as real ones.
    pub fn scram(&self, jid: &BareJid, hash: ScramHash) -> ScramKeys {
        let length = match hash {
            ScramHash::Sha1 => 20,
            ScramHash::Sha256 => 32,
            ScramHash::Sha512 => 64,
        };
        let draw = |what: &str, length: usize| {
            let mut mac = Hmac::<Sha512>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
            mac.update(hash.as_str().as_bytes());
            mac.update(&[0]);
            mac.update(what.as_bytes());
            mac.update(&[0]);
            mac.update(jid.as_str().as_bytes());
            mac.finalize().into_bytes()[..length].to_vec()
        };
        ScramKeys {
            salt: draw("salt", SALT_BYTES),
            iterations: self.iterations,
            stored_key: draw("stored", length),
            server_key: draw("server", length),
        }
    }
}

impl ScramHash {
    /// As in the name of the mechanism.
    pub fn as_str(self) -> &'static str {
        match self {
            ScramHash::Sha1 => "SHA-1",
            ScramHash::Sha256 => "SHA-256",
            ScramHash::Sha512 => "SHA-512",
        }
    }
}

/// RFC 5802 §3: StoredKey and ServerKey of a password.
fn scram_keys<D: EagerHash + Digest>(password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
    #[cfg(test)]
    ROUNDS.set(ROUNDS.get() + u64::from(iterations));
    let mut salted = vec![0; <D as Digest>::output_size()];
    pbkdf2_hmac::<D>(password.as_bytes(), salt, iterations, &mut salted);
    let keyed = |what: &[u8]| {
        let mut mac = Hmac::<D>::new_from_slice(&salted).expect("HMAC takes a key of any length");
        mac.update(what);
        mac.finalize().into_bytes()
    };
    ScramKeys {
        salt: salt.to_vec(),
        iterations,
        stored_key: D::digest(keyed(b"Client Key")).to_vec(),
        server_key: keyed(b"Server Key").to_vec(),
    }
}

fn salt() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    salt
}

#[cfg(test)]
thread_local! {
    /// What was spent on keys so far.
    static ROUNDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

const SALT_BYTES: usize = 16;

/// The least that OWASP advises for Argon2id: 19 MiB, two passes, one lane.
const ARGON2_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;

/// PBKDF2 rounds of a secret that was drawn with at least 128 random bits: nobody tries them all,
/// whatever a try costs.
pub const ITERATIONS_GENERATED: u32 = 10_000;

/// RFC 7677 §4.
pub const ITERATIONS_MIN: u32 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The exchange of RFC 7677 §3: the server signature is that of the example.
    #[test]
    fn keys_are_those_of_rfc_7677() {
        let salt = [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let keys = scram_keys::<Sha256>("pencil", &salt, 4096);
        let auth = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let mut mac = Hmac::<Sha256>::new_from_slice(&keys.server_key).unwrap();
        mac.update(auth.as_bytes());
        // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let signature = "eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e";
        assert_eq!(hex(&mac.finalize().into_bytes()), signature);
    }

    /// The exchange of RFC 5802 §5.
    #[test]
    fn keys_are_those_of_rfc_5802() {
        let salt = [0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76];
        let keys = scram_keys::<Sha1>("pencil", &salt, 4096);
        let auth = "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                    s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
        let mut mac = Hmac::<Sha1>::new_from_slice(&keys.server_key).unwrap();
        mac.update(auth.as_bytes());
        // v=rmF9pqV8S7suAoZWja4dJRkFsKQ=
        assert_eq!(hex(&mac.finalize().into_bytes()), "ae617da6a57c4bbb2e0286568dae1d251905b0a4");
    }

    #[test]
    fn either_kind_knows_its_password() {
        for kind in [VerifierKind::Scram, VerifierKind::Argon2id] {
            let verifier = make(kind, "correct horse", ITERATIONS_MIN);
            assert!(check(&verifier, "correct horse", ITERATIONS_MIN), "{kind}");
            assert!(!check(&verifier, "correct hors", ITERATIONS_MIN), "{kind}");
            let again = make(kind, "correct horse", ITERATIONS_MIN);
            assert_ne!(fingerprint(&verifier), fingerprint(&again), "{kind}: salts differ");
        }
    }

    /// T6: whoever guesses learns nothing from how long it takes, whatever a clock would show.
    #[test]
    fn a_wrong_password_costs_as_much_for_everybody() {
        const COMMON: u32 = 2 * ITERATIONS_MIN;
        let rounds = |verifier: &Verifier| {
            let before = ROUNDS.get();
            assert!(!check(verifier, "wrong", COMMON));
            ROUNDS.get() - before
        };
        let decoys = Decoys::new([7; 32], VerifierKind::Scram, COMMON);
        let chosen = make(VerifierKind::Scram, "secret", COMMON);
        let generated = make(VerifierKind::Scram, "secret", ITERATIONS_MIN);
        assert_eq!(rounds(decoys.verifier()), u64::from(COMMON));
        assert_eq!(rounds(&chosen), u64::from(COMMON));
        assert_eq!(rounds(&generated), u64::from(COMMON));
    }

    #[test]
    fn an_argon2id_hash_bears_its_costs() {
        let Verifier::Argon2id(phc) = make(VerifierKind::Argon2id, "x", 0) else { panic!("of the kind asked for") };
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
    }

    #[test]
    fn each_hash_has_a_salt_of_its_own() {
        let Verifier::Scram { sha1, sha256, sha512 } = make(VerifierKind::Scram, "x", ITERATIONS_MIN) else {
            panic!("of the kind asked for")
        };
        assert!(sha1.salt != sha256.salt && sha256.salt != sha512.salt && sha1.salt != sha512.salt);
        assert_eq!((sha1.salt.len(), sha256.salt.len(), sha512.salt.len()), (16, 16, 16));
        assert_eq!((sha1.stored_key.len(), sha256.stored_key.len(), sha512.stored_key.len()), (20, 32, 64));
    }

    #[test]
    fn a_decoy_is_stable_and_different_for_each_address_and_hash() {
        let (alice, bob) = (BareJid::parse("alice@localhost").unwrap(), BareJid::parse("bob@localhost").unwrap());
        let decoys = Decoys::new([7; 32], VerifierKind::Scram, 5_000);
        let again = Decoys::new([7; 32], VerifierKind::Scram, 5_000);
        let other = Decoys::new([8; 32], VerifierKind::Scram, 5_000);
        for (hash, length) in [(ScramHash::Sha1, 20), (ScramHash::Sha256, 32), (ScramHash::Sha512, 64)] {
            let keys = decoys.scram(&alice, hash);
            assert!(keys == again.scram(&alice, hash));
            assert!(keys.salt != decoys.scram(&bob, hash).salt);
            assert!(keys.salt != other.scram(&alice, hash).salt);
            assert_eq!((keys.salt.len(), keys.iterations), (16, 5_000));
            assert_eq!((keys.stored_key.len(), keys.server_key.len()), (length, length));
        }
        assert!(decoys.scram(&alice, ScramHash::Sha1).salt != decoys.scram(&alice, ScramHash::Sha256).salt);
        assert!(!check(decoys.verifier(), "", 5_000));
    }
}
