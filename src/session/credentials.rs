//! What the stream asks of `access` while a peer authenticates.

use super::negotiate::{NONCE_BYTES, Negotiation, random_text};
use crate::access::{self, Denied, FastProof, NotDone, Unregistered};
use crate::jid::BareJid;
use crate::pubsub::Role;
use crate::stream::{self, Answer, Denial, Input, RegisterRefusal, TokenProof};

impl Negotiation {
    pub(super) async fn ask_scram(&mut self, account: BareJid, hash: stream::ScramHash) -> Input {
        let Some(talk) = self.talk.as_ref() else { return Input::Timeout };
        let hash = match hash {
            stream::ScramHash::Sha1 => access::ScramHash::Sha1,
            stream::ScramHash::Sha256 => access::ScramHash::Sha256,
            stream::ScramHash::Sha512 => access::ScramHash::Sha512,
        };
        Input::Credentials(match self.shared.access.scram(&account, hash, talk.peer).await {
            Ok(offer) => {
                self.login = offer.login.clone();
                Answer::Scram(stream::ScramOffer {
                    salt: offer.keys.salt,
                    iterations: offer.keys.iterations,
                    stored_key: offer.keys.stored_key,
                    server_key: offer.keys.server_key,
                    real: offer.real,
                    nonce: random_text(NONCE_BYTES),
                })
            }
            Err(denied) => Answer::Denied(denial(denied)),
        })
    }

    pub(super) async fn ask_password(&mut self, account: BareJid, password: stream::Password) -> Input {
        let Some(talk) = self.talk.as_ref() else { return Input::Timeout };
        Input::Credentials(match self.shared.access.password(&account, password.expose(), talk.peer).await {
            Ok(login) => {
                self.login = Some(login);
                Answer::Right
            }
            Err(denied) => Answer::Denied(denial(denied)),
        })
    }

    pub(super) async fn ask_certified(&mut self, account: BareJid) -> Input {
        let Some(talk) = self.talk.as_ref() else { return Input::Timeout };
        Input::Credentials(match self.shared.access.certified(&account, talk.peer).await {
            Ok(login) => {
                self.login = Some(login);
                Answer::Right
            }
            Err(denied) => Answer::Denied(denial(denied)),
        })
    }

    pub(super) fn ask_anonymous(&mut self) -> Input {
        let host = self.talk.as_ref().and_then(|talk| talk.stream.host());
        let Some(host) = host else { return Input::Timeout };
        Input::Credentials(match self.shared.access.anonymous(host.domain()) {
            Ok((login, stay)) => {
                let account = login.account.clone();
                (self.login, self.stay, self.role) = (Some(login), Some(stay), Some(Role::Stranger));
                Answer::Account(account)
            }
            Err(denied) => Answer::Denied(denial(denied)),
        })
    }

    pub(super) async fn ask_bearer(&mut self, token: &stream::Password) -> Input {
        let Some(talk) = self.talk.as_ref() else { return Input::Timeout };
        Input::Credentials(match self.shared.access.bearer(token.expose(), talk.peer).await {
            Ok(login) => {
                let account = login.account.clone();
                self.login = Some(login);
                Answer::Account(account)
            }
            Err(denied) => Answer::Denied(denial(denied)),
        })
    }

    /// Makes an account for somebody who has none.
    pub(super) async fn register(&mut self, account: BareJid, password: stream::Password) -> Input {
        let Some(talk) = self.talk.as_ref() else { return Input::Timeout };
        let peer = talk.peer;
        Input::Registered(match self.shared.access.register(&account, password.expose(), peer).await {
            Ok(()) => {
                tracing::info!(%account, %peer, "an account was registered");
                None
            }
            Err(Unregistered::TooMany) => Some(RegisterRefusal::Later),
            Err(Unregistered::Not(NotDone::Exists(_))) => Some(RegisterRefusal::Conflict),
            Err(Unregistered::Not(NotDone::Password)) => Some(RegisterRefusal::Password),
            Err(Unregistered::Not(why)) => {
                tracing::error!(%why, %account, "an account cannot be made");
                Some(RegisterRefusal::Failed)
            }
        })
    }

    pub(super) async fn ask_token(&mut self, proof: TokenProof) -> Input {
        let Some(talk) = self.talk.as_ref() else { return Input::Timeout };
        let asked = FastProof {
            account: &proof.account,
            client: &proof.client,
            mechanism: proof.mechanism.name(),
            binding: &proof.binding,
            proof: &proof.proof,
            count: proof.count,
            invalidate: proof.invalidate,
        };
        Input::Credentials(match self.shared.access.fast(asked, talk.peer).await {
            Ok(found) => {
                self.login = Some(found.login);
                self.token_due = found.due.then_some(proof.mechanism);
                Answer::Token(found.responder)
            }
            Err(denied) => Answer::Denied(denial(denied)),
        })
    }
}

fn denial(denied: Denied) -> Denial {
    match denied {
        Denied::Wrong => Denial::Wrong,
        Denied::Expired => Denial::Expired,
        Denied::Later { .. } => Denial::Later,
        Denied::Failed(failure) => {
            tracing::error!(%failure, "an account cannot be read");
            Denial::Later
        }
    }
}
