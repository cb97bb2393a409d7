//! PLAIN (RFC 4616): the password itself, which is why it is offered under TLS only.

use super::SaslCondition;

/// The one message of PLAIN.
pub(super) struct PlainMessage<'a> {
    pub authzid: Option<&'a str>,
    pub username: &'a str,
    pub password: &'a str,
}

impl<'a> PlainMessage<'a> {
    /// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`, the last two not empty.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SaslCondition> {
        let text = std::str::from_utf8(bytes).map_err(|_| SaslCondition::MalformedRequest)?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authzid), Some(username), Some(password), None) if !username.is_empty() && !password.is_empty() => {
                Ok(PlainMessage { authzid: Some(authzid).filter(|a| !a.is_empty()), username, password })
            }
            _ => Err(SaslCondition::MalformedRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4616() {
        for (bytes, authzid, username, password) in [
            ("\0tim\0tanstaaftanstaaf", None, "tim", "tanstaaftanstaaf"),
            ("Ursel\0Kurt\0xipj3plmq", Some("Ursel"), "Kurt", "xipj3plmq"),
        ] {
            let message = PlainMessage::parse(bytes.as_bytes()).unwrap();
            assert_eq!((message.authzid, message.username, message.password), (authzid, username, password));
        }
    }

    #[test]
    fn what_is_not_three_parts_is_malformed() {
        for bytes in
            [&b""[..], b"\0", b"\0\0", b"a\0b", b"\0\0pw", b"\0user\0", b"\0u\0p\0", b"\0u\0p\0x", b"\0u\0\xff", b"tim"]
        {
            assert_eq!(PlainMessage::parse(bytes).err(), Some(SaslCondition::MalformedRequest), "{bytes:?}");
        }
    }
}
