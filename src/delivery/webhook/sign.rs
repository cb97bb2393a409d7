//! Signatures of what is sent (standardwebhooks.com), and the names that it bears.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::engine::Position;

/// The signature of a delivery, as it stands in `webhook-signature`.
pub(super) fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
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
const FRESH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::{NodeKey, Seq};

    #[test]
    fn the_published_vector_is_signed_alike() {
        let key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(secret_text(&key), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
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
