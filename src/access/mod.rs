//! Who is calling: passwords, SCRAM keys, API tokens. SASL and HTTP ask the same question here.
//!
//! Not here: what the caller may do to a node (`pubsub`), and what a SASL exchange looks like
//! (`stream`).

use std::net::IpAddr;

use crate::jid::BareJid;
use crate::store::{Failure, ScramKeys};
use crate::time::Timestamp;

/// The gatekeeper, to be cloned and handed about.
#[derive(Clone)]
pub struct Access {}

/// Whom a credential speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub account: BareJid,
    pub admin: bool,
    /// What an API token narrows the account to; absent for passwords.
    pub scopes: Option<Scopes>,
    pub expires: Option<Timestamp>,
}

/// The scopes of a token: verbs and node globs. They only narrow.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Scopes(Vec<(String, String)>);

impl Scopes {
    /// Whether any scope covers the verb (`publish`, `read`, `manage`) at the node.
    pub fn allow(&self, _verb: &str, _node: &str) -> bool {
        todo!()
    }
}

/// Why somebody is not let in. Unknown user, wrong password and disabled account are one thing here.
#[derive(Clone, Debug, PartialEq)]
pub enum Denied {
    Wrong,
    /// Too many failures: try again after so many seconds.
    Later {
        seconds: u64,
    },
    Expired,
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramHash {
    Sha1,
    Sha256,
    Sha512,
}

/// What SCRAM needs of an account; of an unknown one, a decoy that nobody can tell from it.
#[derive(Clone, Debug)]
pub struct ScramOffer {
    pub keys: ScramKeys,
    /// False for a decoy: the exchange must fail at its end, whatever the proof.
    pub real: bool,
    pub admin: bool,
}

impl Access {
    /// Checks a password as PLAIN and Basic bear it, on the bounded pool, through the short cache.
    pub async fn password(&self, _jid: &BareJid, _password: &str, _peer: IpAddr) -> Result<Login, Denied> {
        todo!()
    }

    /// Checks an API token.
    pub async fn token(&self, _token: &str, _peer: IpAddr) -> Result<Login, Denied> {
        todo!()
    }

    /// The keys with which a SCRAM exchange is held.
    pub async fn scram(&self, _jid: &BareJid, _hash: ScramHash, _peer: IpAddr) -> Result<ScramOffer, Denied> {
        todo!()
    }

    /// A SCRAM exchange of this account ended so; failures are counted.
    pub fn scram_ended(&self, _jid: &BareJid, _peer: IpAddr, _success: bool) {
        todo!()
    }
}
