//! HT, the mechanisms of FAST (XEP-0484 §3.1, draft-schmaus-kitten-sasl-ht-09): one message, in which a
//! token proves itself by a keyed hash over the channel that it is used on. `access` checks it, for the
//! token does not leave there.

use super::SaslCondition;

/// The one message of the client (§3.1 of the draft): `authcid NUL initiator-hashed-token`.
pub(super) struct TokenMessage<'a> {
    pub username: &'a str,
    pub proof: &'a [u8],
}

impl<'a> TokenMessage<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SaslCondition> {
        let nul = bytes.iter().position(|byte| *byte == 0).ok_or(SaslCondition::MalformedRequest)?;
        let username = std::str::from_utf8(&bytes[..nul]).map_err(|_| SaslCondition::MalformedRequest)?;
        let proof = &bytes[nul + 1..];
        if username.is_empty() || proof.len() != SHA_256_BYTES {
            return Err(SaslCondition::MalformedRequest);
        }
        Ok(TokenMessage { username, proof })
    }
}

const SHA_256_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_hash_make_the_message() {
        let mut bytes = b"alice\0".to_vec();
        // A hash may hold any byte, NUL too.
        bytes.extend_from_slice(&[0; 32]);
        let message = TokenMessage::parse(&bytes).unwrap();
        assert_eq!((message.username, message.proof), ("alice", &[0; 32][..]));
        for wrong in [&b""[..], b"alice", b"alice\0", b"\0", &bytes[..bytes.len() - 1], &bytes[5..], b"\xff\0"] {
            assert_eq!(TokenMessage::parse(wrong).err(), Some(SaslCondition::MalformedRequest), "{wrong:?}");
        }
    }
}
