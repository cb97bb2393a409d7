//! Accounts and credentials as they are kept. Making and checking them is `access`.

use std::fmt;

use crate::jid::BareJid;
use crate::time::Timestamp;

/// A person or a service that can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub jid: BareJid,
    pub verifier: Verifier,
    pub admin: bool,
    pub disabled: bool,
    pub created: Timestamp,
}

/// How many accounts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AccountTotals {
    pub accounts: u64,
    /// Those that are shut out.
    pub disabled: u64,
    /// Administrators that are not shut out.
    pub admins: u64,
}

/// How a password is checked: one kind an account, for a thief attacks the cheaper one.
#[expect(clippy::large_enum_variant, reason = "held for a moment, one at a time")]
#[derive(Clone, PartialEq, Eq)]
pub enum Verifier {
    /// Keys for SCRAM (RFC 5802 §3), each hash with a salt of its own.
    Scram { sha1: ScramKeys, sha256: ScramKeys, sha512: ScramKeys },
    /// A PHC string; the account can use PLAIN and Basic only.
    Argon2id(String),
}

/// RFC 5802 §3, for one hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

/// An API token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The public part, by which it is listed, revoked and looked up.
    pub id: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
    pub account: BareJid,
    /// `verb:glob` each; none means everything that the account may.
    pub scopes: Vec<String>,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub last_used: Option<Timestamp>,
}

/// A token of FAST (XEP-0484), without its text. The hash is all that a proof needs: HMAC hashes a key
/// that is longer than its block, and the texts are (see `docs/decisions/0010-fast-tokens.md`).
#[derive(Clone, PartialEq, Eq)]
pub struct FastToken {
    pub account: BareJid,
    /// The installation that it was given to.
    pub client: String,
    /// The one mechanism that it may be used with.
    pub mechanism: String,
    pub secret_sha256: [u8; 32],
    pub issued: Timestamp,
    pub expires: Timestamp,
    /// Whether the client has shown that it knows it.
    pub used: bool,
    /// The highest count that came with it.
    pub count: Option<u32>,
}

impl fmt::Debug for FastToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FastToken {{ {}, {}, expires {} }}", self.account, self.mechanism, self.expires)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verifier::Scram { .. } => "Scram",
            Verifier::Argon2id(_) => "Argon2id",
        })
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys {{ iterations: {} }}", self.iterations)
    }
}
