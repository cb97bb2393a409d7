//! One handshake of one mechanism, message by message.

use super::plain::PlainMessage;
use super::scram::{AwaitsProof, ClientFirst, ScramHash};
use super::{Mechanism, SaslCondition};
use crate::jid::BareJid;
use crate::stream::input::{Answer, Denial};
use crate::stream::output::{Output, Password};

/// A handshake that waits for the client's next message.
pub(in crate::stream) enum Exchange {
    /// No message has come yet.
    First(Mechanism),
    Proof {
        account: BareJid,
        scram: Box<AwaitsProof>,
    },
}

/// A handshake that waits for what `access` says.
pub(in crate::stream) enum Pending {
    Scram { account: BareJid, hash: ScramHash, first: Box<ClientFirst> },
    Password { account: BareJid },
}

/// What a message or an answer leads to.
pub(in crate::stream) enum Step {
    Challenge(Vec<u8>, Exchange),
    Ask(Output, Pending),
    Success {
        account: BareJid,
        data: Vec<u8>,
    },
    Failure(SaslCondition),
    /// The answer is not one to the question: a mistake of the session, which must not open a door.
    WrongAnswer,
}

impl Exchange {
    /// A handshake begins, with the client's first message or without one.
    pub fn begin(mechanism: Mechanism, initial: Option<Vec<u8>>, host: &BareJid) -> Step {
        match initial {
            Some(message) => Exchange::First(mechanism).message(&message, host).0,
            // RFC 6120 §6.3.10: a client may do without the initial response; an empty challenge asks.
            None => Step::Challenge(Vec::new(), Exchange::First(mechanism)),
        }
    }

    /// The client's next message. With it, how a proof was found, if there was one to check.
    pub fn message(self, message: &[u8], host: &BareJid) -> (Step, Option<Output>) {
        match self {
            Exchange::First(Mechanism::Plain) => (plain(message, host).unwrap_or_else(Step::Failure), None),
            Exchange::First(Mechanism::Scram(hash)) => {
                (scram_first(message, hash, host).unwrap_or_else(Step::Failure), None)
            }
            Exchange::Proof { account, scram } => {
                let outcome = scram.finish(message);
                let ended = Output::ScramEnded { account: account.clone(), success: outcome.is_ok() };
                let step = match outcome {
                    Ok(data) => Step::Success { account, data },
                    Err(condition) => Step::Failure(condition),
                };
                (step, Some(ended))
            }
        }
    }
}

impl Pending {
    pub fn answer(self, answer: Answer) -> Step {
        match (self, answer) {
            (_, Answer::Denied(denial)) => Step::Failure(match denial {
                Denial::Wrong => SaslCondition::NotAuthorized,
                Denial::Later => SaslCondition::TemporaryAuthFailure,
                Denial::Expired => SaslCondition::CredentialsExpired,
            }),
            (Pending::Password { account }, Answer::Right) => Step::Success { account, data: Vec::new() },
            (Pending::Scram { account, hash, first }, Answer::Scram(offer)) => {
                let (challenge, scram) = first.challenge(hash, offer);
                Step::Challenge(challenge, Exchange::Proof { account, scram: Box::new(scram) })
            }
            (Pending::Password { .. }, Answer::Scram(_)) | (Pending::Scram { .. }, Answer::Right) => Step::WrongAnswer,
        }
    }
}

fn plain(message: &[u8], host: &BareJid) -> Result<Step, SaslCondition> {
    let message = PlainMessage::parse(message)?;
    let account = account(message.username, host)?;
    check_authzid(message.authzid, &account)?;
    let ask = Output::AskPassword { account: account.clone(), password: Password::new(message.password) };
    Ok(Step::Ask(ask, Pending::Password { account }))
}

fn scram_first(message: &[u8], hash: ScramHash, host: &BareJid) -> Result<Step, SaslCondition> {
    let first = ClientFirst::parse(message)?;
    let account = account(&first.username, host)?;
    check_authzid(first.authzid.as_deref(), &account)?;
    let ask = Output::AskScram { account: account.clone(), hash };
    Ok(Step::Ask(ask, Pending::Scram { account, hash, first: Box::new(first) }))
}

/// The account that a user name means on a host. A name that can belong to nobody is answered like one
/// that happens to belong to nobody.
fn account(username: &str, host: &BareJid) -> Result<BareJid, SaslCondition> {
    BareJid::new(Some(username), host.domain()).map_err(|_| SaslCondition::NotAuthorized)
}

/// RFC 6120 §6.3.8: nobody may act for another here, so an authorization identity is one's own bare JID.
fn check_authzid(authzid: Option<&str>, account: &BareJid) -> Result<(), SaslCondition> {
    match authzid.map(BareJid::parse) {
        None => Ok(()),
        Some(Ok(jid)) if jid == *account => Ok(()),
        Some(_) => Err(SaslCondition::InvalidAuthzid),
    }
}
