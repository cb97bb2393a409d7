//! One handshake of one mechanism, message by message.

use super::bearer::{self, BearerMessage};
use super::plain::PlainMessage;
use super::scram::{self, AwaitsProof, ClientFirst, ScramHash};
use super::token::TokenMessage;
use super::{Mechanism, SaslCondition};
use crate::jid::BareJid;
use crate::stream::input::{Answer, Denial};
use crate::stream::output::{Output, Password, TokenProof};
use crate::stream::sasl2::{Fast, Inline};
use crate::stream::secured::{Binding, Secured};

/// A handshake that waits for the client's next message.
pub(in crate::stream) enum Exchange {
    /// No message has come yet.
    First(Mechanism),
    Proof {
        account: BareJid,
        scram: Box<AwaitsProof>,
    },
    /// The client knows that it has failed, and says nothing more (RFC 7628 §3.2.3).
    Refused(SaslCondition),
}

/// A handshake that waits for what `access` says.
pub(in crate::stream) enum Pending {
    Scram {
        account: BareJid,
        hash: ScramHash,
        first: Box<ClientFirst>,
        offered: Option<String>,
    },
    /// The answer is yes or no.
    Account {
        account: BareJid,
    },
    /// The answer bears what proves to the client that the server knows its token.
    Token {
        account: BareJid,
    },
    /// The answer bears the account, which is made for this session.
    Anonymous,
    /// The answer bears the account, which must be this one where there is one, and of this domain.
    Bearer {
        named: Option<BareJid>,
        domain: String,
    },
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

/// What a handshake is held against.
pub(in crate::stream) struct Context<'a> {
    /// The domain that the stream was opened to.
    pub host: &'a BareJid,
    pub secured: &'a Secured,
    /// What the profile in use has offered, and the types of channel binding beside it.
    pub offered: &'a [Mechanism],
    pub bindings: &'a [Binding],
    /// Whether SCRAM shows the client what was offered (XEP-0474).
    pub show_offer: bool,
    /// With SASL2, the address of the header, which must be the one that authenticates (XEP-0388 §4.4).
    pub claimed: Option<&'a BareJid>,
    /// What came with the request; absent with the profile of RFC 6120.
    pub inline: Option<&'a Inline>,
}

impl Exchange {
    /// A handshake begins, with the client's first message or without one.
    pub fn begin(mechanism: Mechanism, initial: Option<Vec<u8>>, context: &Context<'_>) -> Step {
        match initial {
            Some(message) => Exchange::First(mechanism).message(&message, context).0,
            // RFC 6120 §6.3.10: a client may do without the initial response; an empty challenge asks.
            None => Step::Challenge(Vec::new(), Exchange::First(mechanism)),
        }
    }

    /// The client's next message. With it, how a proof was found, if there was one to check.
    pub fn message(self, message: &[u8], context: &Context<'_>) -> (Step, Option<Output>) {
        match self {
            Exchange::First(mechanism) => (first(mechanism, message, context).unwrap_or_else(Step::Failure), None),
            Exchange::Proof { account, scram } => {
                let outcome = scram.finish(message);
                let ended = Output::ScramEnded { account: account.clone(), success: outcome.is_ok() };
                let step = match outcome {
                    Ok(data) => Step::Success { account, data },
                    Err(condition) => Step::Failure(condition),
                };
                (step, Some(ended))
            }
            Exchange::Refused(condition) => (Step::Failure(condition), None),
        }
    }
}

impl Pending {
    pub fn answer(self, answer: Answer) -> Step {
        match (self, answer) {
            (Pending::Bearer { .. }, Answer::Denied(Denial::Wrong | Denial::Expired)) => bearer_refused(),
            (Pending::Bearer { named, domain }, Answer::Account(account)) => {
                if account.domain() != domain {
                    return bearer_refused();
                }
                match named {
                    Some(named) if named != account => Step::Failure(SaslCondition::InvalidAuthzid),
                    _ => Step::Success { account, data: Vec::new() },
                }
            }
            (_, Answer::Denied(denial)) => Step::Failure(match denial {
                Denial::Wrong => SaslCondition::NotAuthorized,
                Denial::Later => SaslCondition::TemporaryAuthFailure,
                Denial::Expired => SaslCondition::CredentialsExpired,
            }),
            (Pending::Account { account }, Answer::Right) => Step::Success { account, data: Vec::new() },
            (Pending::Scram { account, hash, first, offered }, Answer::Scram(offer)) => {
                let (challenge, scram) = first.challenge(hash, offer, offered.as_deref());
                Step::Challenge(challenge, Exchange::Proof { account, scram: Box::new(scram) })
            }
            (Pending::Token { account }, Answer::Token(data)) => Step::Success { account, data },
            (Pending::Anonymous, Answer::Account(account)) => Step::Success { account, data: Vec::new() },
            _ => Step::WrongAnswer,
        }
    }
}

fn first(mechanism: Mechanism, message: &[u8], context: &Context<'_>) -> Result<Step, SaslCondition> {
    match mechanism {
        Mechanism::Plain => plain(message, context),
        Mechanism::Scram(hash) | Mechanism::ScramPlus(hash) => scram_first(message, mechanism, hash, context),
        Mechanism::External => external(message, context),
        Mechanism::Anonymous => anonymous(message),
        Mechanism::OauthBearer => bearer(message, context),
        Mechanism::Token(binding) => token(message, binding, context),
    }
}

fn plain(message: &[u8], context: &Context<'_>) -> Result<Step, SaslCondition> {
    let message = PlainMessage::parse(message)?;
    let account = context.account(message.username, message.authzid)?;
    let ask = Output::AskPassword { account: account.clone(), password: Password::new(message.password) };
    Ok(Step::Ask(ask, Pending::Account { account }))
}

fn scram_first(
    message: &[u8],
    mechanism: Mechanism,
    hash: ScramHash,
    context: &Context<'_>,
) -> Result<Step, SaslCondition> {
    let first = ClientFirst::parse(message, mechanism, context.offered, context.secured)?;
    let account = context.account(&first.username, first.authzid.as_deref())?;
    let ask = Output::AskScram { account: account.clone(), hash };
    let offered = context.show_offer.then(|| scram::offered_text(context.offered, context.bindings));
    Ok(Step::Ask(ask, Pending::Scram { account, hash, first: Box::new(first), offered }))
}

/// XEP-0178 §2: the message is an authorization identity, which may be left away where the certificate
/// has one address. Addresses of other domains are not looked at: they are nobody here.
fn external(message: &[u8], context: &Context<'_>) -> Result<Step, SaslCondition> {
    let authzid = std::str::from_utf8(message).map_err(|_| SaslCondition::MalformedRequest)?;
    let mut here = context.secured.certified.iter().filter(|jid| jid.domain() == context.host.domain());
    let account = if authzid.is_empty() {
        let one = here.next().ok_or(SaslCondition::NotAuthorized)?;
        if here.next().is_some() {
            return Err(SaslCondition::InvalidAuthzid);
        }
        one
    } else {
        let wanted = BareJid::parse(authzid).map_err(|_| SaslCondition::InvalidAuthzid)?;
        here.find(|jid| **jid == wanted).ok_or(SaslCondition::InvalidAuthzid)?
    };
    context.check_claim(account)?;
    let ask = Output::AskCertified { account: account.clone() };
    Ok(Step::Ask(ask, Pending::Account { account: account.clone() }))
}

/// RFC 4505 §2: whatever trace the client leaves is no identity, and is dropped.
fn anonymous(message: &[u8]) -> Result<Step, SaslCondition> {
    let trace = std::str::from_utf8(message).map_err(|_| SaslCondition::MalformedRequest)?;
    if trace.chars().count() > TRACE_CHARS_MAX {
        return Err(SaslCondition::MalformedRequest);
    }
    Ok(Step::Ask(Output::AskAnonymous, Pending::Anonymous))
}

fn bearer(message: &[u8], context: &Context<'_>) -> Result<Step, SaslCondition> {
    let message = BearerMessage::parse(message)?;
    let authzid = message.authzid.as_deref().map(BareJid::parse).transpose();
    let authzid = authzid.map_err(|_| SaslCondition::InvalidAuthzid)?;
    if let (Some(named), Some(claimed)) = (&authzid, context.claimed)
        && named != claimed
    {
        return Err(SaslCondition::InvalidAuthzid);
    }
    let named = authzid.or_else(|| context.claimed.cloned());
    let pending = Pending::Bearer { named, domain: context.host.domain().to_owned() };
    Ok(Step::Ask(Output::AskBearer { token: Password::new(message.token) }, pending))
}

fn bearer_refused() -> Step {
    Step::Challenge(bearer::REFUSED.to_vec(), Exchange::Refused(SaslCondition::NotAuthorized))
}

/// XEP-0484 §3.4: a token belongs to a client, so the request names it and says that it uses one.
fn token(message: &[u8], binding: Option<Binding>, context: &Context<'_>) -> Result<Step, SaslCondition> {
    let inline = context.inline.ok_or(SaslCondition::InvalidMechanism)?;
    let (Some(client), Some(Fast { count, invalidate })) = (&inline.client, &inline.fast) else {
        return Err(SaslCondition::MalformedRequest);
    };
    let message = TokenMessage::parse(message)?;
    let account = context.account(message.username, None)?;
    let data = match binding {
        None => Vec::new(),
        Some(binding) => context.secured.binding(binding).ok_or(SaslCondition::InvalidMechanism)?.to_vec(),
    };
    let proof = TokenProof {
        account: account.clone(),
        client: client.clone(),
        mechanism: Mechanism::Token(binding),
        binding: data,
        proof: message.proof.to_vec(),
        count: *count,
        invalidate: *invalidate,
    };
    Ok(Step::Ask(Output::AskToken(Box::new(proof)), Pending::Token { account }))
}

impl Context<'_> {
    /// The account that a user name means on this host. A name that can belong to nobody is answered
    /// like one that happens to belong to nobody. RFC 6120 §6.3.8: nobody may act for another here, so
    /// an authorization identity is one's own bare JID.
    fn account(&self, username: &str, authzid: Option<&str>) -> Result<BareJid, SaslCondition> {
        let account = BareJid::new(Some(username), self.host.domain()).map_err(|_| SaslCondition::NotAuthorized)?;
        match authzid.map(BareJid::parse) {
            None => {}
            Some(Ok(jid)) if jid == account => {}
            Some(_) => return Err(SaslCondition::InvalidAuthzid),
        }
        self.check_claim(&account)?;
        Ok(account)
    }

    fn check_claim(&self, account: &BareJid) -> Result<(), SaslCondition> {
        if self.claimed.is_some_and(|claimed| claimed != account) {
            return Err(SaslCondition::InvalidAuthzid);
        }
        Ok(())
    }
}

/// RFC 4505 §3.
const TRACE_CHARS_MAX: usize = 255;
