//! Signatures of what is sent (standardwebhooks.com), and the names that it bears.
//!
//! A delivery is signed twice: `v1` with the endpoint's own secret, and `v1a` with the server's key, which whoever
//! knows its public half can verify and nobody else can make.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::engine::Position;
use crate::store::Identity;

/// The server's own key for signatures.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The key is the store's: made of its secret, so that it lasts as long and is copied with it.
    pub(super) fn new(identity: &Identity) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&identity.cursor_key).expect("HMAC takes keys of any length");
        mac.update(SEED_LABEL);
        let seed = mac.finalize().into_bytes();
        Signer { pair: Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed") }
    }

    /// The signatures of a delivery, as they stand in `webhook-signature`.
    pub(super) fn signatures(&self, key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(&signed);
        let (own, server) = (mac.finalize().into_bytes(), self.pair.sign(&signed));
        format!("v1,{} v1a,{}", STANDARD.encode(own), STANDARD.encode(server))
    }

    pub(super) fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().expect("a public key of Ed25519 has 32 bytes")
    }
}

/// The name of an event to all webhooks: the same however often it is sent. No dot stands in it, for
/// that is what parts it from the time where it is signed.
pub(super) fn event_id(incarnation: u32, at: Position) -> String {
    format!("evt_{incarnation:x}_{:x}_{:x}", at.node.0, at.seq.0)
}

/// A new secret's key.
pub(super) fn fresh_key() -> Result<Vec<u8>, getrandom::Error> {
    let mut key = vec![0; FRESH_BYTES];
    getrandom::fill(&mut key)?;
    Ok(key)
}

/// The secret as people hand it about: `whsec_` and the key in Base64.
pub fn secret_text(key: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// The key of a secret, if it is one: 24 to 64 bytes.
pub fn secret_key(text: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

const PREFIX: &str = "whsec_";
/// What tells this key from others that are made of the same secret.
const SEED_LABEL: &[u8] = b"tidings webhook signatures, Ed25519, 1";
const FRESH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::{NodeKey, Seq};

    fn signer(cursor_key: [u8; 32]) -> Signer {
        Signer::new(&Identity { incarnation: 1, cursor_key, decoy_key: [0; 32] })
    }

    #[test]
    fn the_published_vector_is_signed_alike() {
        let key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", b"{\"test\": 2432232314}");
        let signed = signer([7; 32]).signatures(&key, id, 1_614_265_330, body);
        assert_eq!(signed.split(' ').next(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(secret_text(&key), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }

    #[test]
    fn the_servers_signature_is_verified_with_its_public_key_and_lasts_with_the_store() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let one = signer([7; 32]);
        let signed = one.signatures(b"another key", "evt_1", 5, b"{}");
        let (_, server) = signed.split_once(" v1a,").unwrap();
        let server = STANDARD.decode(server).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, one.public_key());
        assert!(public.verify(b"evt_1.5.{}", &server).is_ok());
        assert!(public.verify(b"evt_1.5.{} ", &server).is_err());
        assert_eq!(signer([7; 32]).public_key(), one.public_key());
        assert_ne!(signer([8; 32]).public_key(), one.public_key());
    }

    #[test]
    fn secrets_and_names_have_their_form() {
        for wrong in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"] {
            assert_eq!(secret_key(wrong), None, "{wrong}");
        }
        assert_eq!(secret_key(&secret_text(&fresh_key().unwrap())).map(|key| key.len()), Some(FRESH_BYTES));
        let id = event_id(7, Position { node: NodeKey(42), seq: Seq(255) });
        assert_eq!(id, "evt_7_2a_ff");
    }
}
