//! OAUTHBEARER (RFC 7628): a token that opens the account which it was issued for. `access` says which.

use super::SaslCondition;

/// The client's first message (§3.1).
pub(super) struct BearerMessage<'a> {
    pub authzid: Option<String>,
    pub token: &'a str,
}

impl<'a> BearerMessage<'a> {
    /// A GS2 header (RFC 5801 §4) and pairs of key and value, each ended by %x01. Host and port are of use
    /// to others: this server knows which domain was asked for.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SaslCondition> {
        let text = std::str::from_utf8(bytes).map_err(|_| SaslCondition::MalformedRequest)?;
        let (header, pairs) = text.split_once(SEPARATOR).ok_or(SaslCondition::MalformedRequest)?;
        let pairs = pairs.strip_suffix(SEPARATOR).ok_or(SaslCondition::MalformedRequest)?;
        if !pairs.ends_with(SEPARATOR) {
            return Err(SaslCondition::MalformedRequest);
        }
        let authzid = match header.split(',').collect::<Vec<_>>().as_slice() {
            // There is no OAUTHBEARER-PLUS, so that a client which could bind says so without harm.
            ["n" | "y", "", ""] => None,
            ["n" | "y", authzid, ""] => {
                let authzid = authzid.strip_prefix("a=").ok_or(SaslCondition::MalformedRequest)?;
                Some(super::scram::unescape(authzid)?)
            }
            _ => return Err(SaslCondition::MalformedRequest),
        };
        let mut auth = None;
        for pair in pairs.split_terminator(SEPARATOR) {
            let (key, value) = pair.split_once('=').ok_or(SaslCondition::MalformedRequest)?;
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(SaslCondition::MalformedRequest);
            }
            if key == "auth" && auth.replace(value).is_some() {
                return Err(SaslCondition::MalformedRequest);
            }
        }
        // The scheme is compared without case (RFC 9110 §11.1).
        let (scheme, token) = auth.and_then(|auth| auth.split_once(' ')).ok_or(SaslCondition::MalformedRequest)?;
        let token = token.trim_matches(' ');
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(is_token) {
            return Err(SaslCondition::MalformedRequest);
        }
        Ok(BearerMessage { authzid, token })
    }
}

/// What a client is told of a token that does not open anything (§3.2.2), before the handshake fails.
pub(super) const REFUSED: &[u8] = br#"{"status":"invalid_token"}"#;

/// `b64token` (RFC 6750 §2.1).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

const SEPARATOR: char = '\u{1}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7628() {
        for message in [
            "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}",
            "n,a=user@example.com,\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}",
        ] {
            let read = BearerMessage::parse(message.as_bytes()).ok().unwrap();
            assert_eq!(read.authzid.as_deref(), Some("user@example.com"));
            assert_eq!(read.token, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        }
    }

    #[test]
    fn what_is_not_one_is_malformed() {
        for message in [
            "",
            "\u{1}",
            "n,,",
            "n,,\u{1}auth=Bearer x\u{1}",
            "n,,\u{1}auth=Bearer x",
            "n,,\u{1}\u{1}",
            "n,,\u{1}auth=Basic x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer a b\u{1}\u{1}",
            "n,,\u{1}auth=Bearer é\u{1}\u{1}",
            "n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}",
            "n,,\u{1}=x\u{1}auth=Bearer a\u{1}\u{1}",
            "n,,\u{1}host\u{1}auth=Bearer a\u{1}\u{1}",
            "p=tls-exporter,,\u{1}auth=Bearer a\u{1}\u{1}",
            "n,alice@localhost,\u{1}auth=Bearer a\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer a\u{1}\u{1}",
            "n,a=b=c,\u{1}auth=Bearer a\u{1}\u{1}",
        ] {
            let read = BearerMessage::parse(message.as_bytes()).map(|_| ());
            assert_eq!(read, Err(SaslCondition::MalformedRequest), "{message:?}");
        }
        assert!(BearerMessage::parse(b"n,,\x01auth=bearer a\x01\x01").is_ok());
        assert!(BearerMessage::parse(b"y,,\x01auth=Bearer a\x01\x01").is_ok());
    }
}
