//! The states of authentication: from the offered mechanisms to the restart (RFC 6120 §6.4), or, with
//! SASL2, to what comes without one (XEP-0388).

use super::bind::BindRefusal;
use super::error::StreamCondition;
use super::features::{self, Offer};
use super::negotiation::{Next, Profile, Stage, State, Stream, is_compress, refuse_compression};
use super::output::{InlineAsk, Output, write, write_element};
use super::sasl::{self, AUTH_FAILURES_MAX, Context, Exchange, Mechanism, Said, SaslCondition, Step};
use super::sasl2::{self, Authenticate, Inline, Inlined};
use super::secured::Secured;
use super::{SASL_NS, SASL2_NS};
use crate::jid::BareJid;
use crate::xml::Element;

impl Stream {
    pub(super) fn expect_auth(&mut self, element: &Element, out: &mut Vec<Output>) -> Next {
        if is_compress(element) {
            refuse_compression(out);
            return self.attempt_failed(State::ExpectAuth);
        }
        if element.is("authenticate", SASL2_NS) && self.secured.is_some() {
            return self.authenticate(element, out);
        }
        if element.ns() != SASL_NS {
            return self.registration(element, out).unwrap_or_else(|| Err(authentication_first()));
        }
        self.profile = Profile::Sasl;
        match Said::read(element) {
            Said::Auth { mechanism, initial } => self.begin(mechanism.as_deref(), initial, out),
            Said::Abort => self.sasl_failed(SaslCondition::Aborted, out),
            Said::Response(_) | Said::Unknown => self.sasl_failed(SaslCondition::MalformedRequest, out),
        }
    }

    pub(super) fn expect_sasl_response(
        &mut self,
        exchange: Exchange,
        element: &Element,
        out: &mut Vec<Output>,
    ) -> Next {
        let said = match &self.profile {
            Profile::Sasl if element.ns() == SASL_NS => Said::read(element),
            Profile::Sasl2(_) if element.ns() == SASL2_NS => match sasl2::said(element) {
                // XEP-0388 §2.4: whoever says anything else during a handshake is disconnected.
                Said::Unknown => return Err(authentication_first()),
                said => said,
            },
            Profile::Sasl | Profile::Sasl2(_) => return Err(authentication_first()),
        };
        match said {
            Said::Response(Ok(message)) => {
                let (step, ended) = self.in_context(|context| exchange.message(&message, context));
                out.extend(ended);
                self.step(step, out)
            }
            Said::Response(Err(condition)) => self.sasl_failed(condition, out),
            // RFC 6120 §6.4.2: a new handshake replaces the old one. It counts as failed, or the peer
            // could begin for ever.
            Said::Auth { mechanism, initial } => {
                self.attempt_failed(State::ExpectAuth)?;
                self.begin(mechanism.as_deref(), initial, out)
            }
            Said::Abort => self.sasl_failed(SaslCondition::Aborted, out),
            Said::Unknown => self.sasl_failed(SaslCondition::MalformedRequest, out),
        }
    }

    /// Carries out what a message or an answer led to.
    pub(super) fn step(&mut self, step: Step, out: &mut Vec<Output>) -> Next {
        match step {
            Step::Challenge(data, exchange) => {
                let challenge = match &self.profile {
                    Profile::Sasl => sasl::element("challenge", SASL_NS, &data),
                    Profile::Sasl2(_) => sasl2::challenge(&data),
                };
                write_element(out, &challenge);
                Ok(State::ExpectSaslResponse(exchange))
            }
            Step::Ask(question, pending) => {
                out.push(question);
                Ok(State::ExpectCredentials(pending))
            }
            Step::Success { account, data } => match std::mem::replace(&mut self.profile, Profile::Sasl) {
                Profile::Sasl => self.authenticated(account, &data, out),
                Profile::Sasl2(inline) => Ok(self.authenticated_inline(account, data, *inline, out)),
            },
            Step::Failure(condition) => self.sasl_failed(condition, out),
            Step::WrongAnswer => Err(StreamCondition::InternalServerError.into()),
        }
    }

    /// XEP-0388 §2.3.
    fn authenticate(&mut self, element: &Element, out: &mut Vec<Output>) -> Next {
        let Authenticate { mechanism, initial, inline } = Authenticate::read(element);
        let inline = inline.and_then(|inline| match inline.request_token {
            // XEP-0484 §3.2: one of those that are offered.
            Some(wanted) if !self.offered_tokens().contains(&wanted) => Err(SaslCondition::MalformedRequest),
            _ => Ok(inline),
        });
        match inline {
            Ok(inline) => {
                self.profile = Profile::Sasl2(Box::new(inline));
                self.begin(mechanism.as_deref(), initial, out)
            }
            Err(condition) => {
                self.profile = Profile::Sasl2(Box::default());
                self.sasl_failed(condition, out)
            }
        }
    }

    fn begin(
        &mut self,
        mechanism: Option<&str>,
        initial: Result<Option<Vec<u8>>, SaslCondition>,
        out: &mut Vec<Output>,
    ) -> Next {
        self.attempted = mechanism.and_then(Mechanism::from_name);
        let chosen = self.choose(mechanism).and_then(|mechanism| Ok((mechanism, initial?)));
        match chosen {
            Ok((mechanism, initial)) => {
                let step = self.in_context(|context| Exchange::begin(mechanism, initial, context));
                self.step(step, out)
            }
            Err(condition) => self.sasl_failed(condition, out),
        }
    }

    /// Only what was offered is accepted.
    fn choose(&self, name: Option<&str>) -> Result<Mechanism, SaslCondition> {
        let mechanism = name.and_then(Mechanism::from_name).ok_or(SaslCondition::InvalidMechanism)?;
        let token = matches!(self.profile, Profile::Sasl2(_)) && self.offered_tokens().contains(&mechanism);
        if token || self.offered().contains(&mechanism) {
            Ok(mechanism)
        } else if self.secured.is_none() && self.options.mechanisms.contains(&mechanism) {
            Err(SaslCondition::EncryptionRequired)
        } else {
            Err(SaslCondition::InvalidMechanism)
        }
    }

    fn in_context<T>(&self, hold: impl FnOnce(&Context<'_>) -> T) -> T {
        let offered = self.offered();
        let (clear, host) = (Secured::default(), self.opened_host());
        let inline = match &self.profile {
            Profile::Sasl => None,
            Profile::Sasl2(inline) => Some(&**inline),
        };
        hold(&Context {
            host: &host,
            secured: self.secured.as_ref().unwrap_or(&clear),
            bindings: &self.bindings(&offered),
            offered: &offered,
            show_offer: self.options.show_offer,
            claimed: self.claimed.as_ref().filter(|_| inline.is_some()),
            inline,
        })
    }

    fn authenticated(&mut self, account: BareJid, data: &[u8], out: &mut Vec<Output>) -> Next {
        // RFC 6120 §6.4.6: whoever named himself in the header must turn out to be that one.
        if self.claimed.take().is_some_and(|claimed| claimed != account) {
            return Err(StreamCondition::InvalidFrom.because("'from' is not the account that authenticated"));
        }
        write_element(out, &sasl::element("success", SASL_NS, data));
        out.push(Output::ResetParser);
        out.push(Output::Authenticated { account: account.clone(), mechanism: self.attempted });
        Ok(self.restart(Stage::AfterAuth(account)))
    }

    /// XEP-0388 §2.6.1: what was asked for is done first, and told with success.
    fn authenticated_inline(
        &mut self,
        account: BareJid,
        data: Vec<u8>,
        inline: Inline,
        out: &mut Vec<Output>,
    ) -> State {
        out.push(Output::Authenticated { account: account.clone(), mechanism: self.attempted });
        out.push(Output::AskInline(Box::new(InlineAsk { account: account.clone(), inline })));
        State::ExpectInlined { account, data }
    }

    pub(super) fn inlined(&mut self, account: BareJid, data: &[u8], inlined: &Inlined, out: &mut Vec<Output>) -> Next {
        let jid = match (&inlined.resumed, &inlined.bound) {
            (Some(Ok(resumed)), _) => Some(resumed.jid.clone()),
            (_, Some(Ok(bound))) => Some(bound.jid.clone()),
            (_, Some(Err(refusal))) => return Err(not_bound(*refusal)),
            (_, None) => None,
        };
        if jid.as_ref().is_some_and(|jid| *jid.bare() != account) {
            // The session found somebody else's: a mistake that must not open a door.
            return Err(StreamCondition::InternalServerError.into());
        }
        write_element(out, &sasl2::success(&account, data, inlined));
        let Some(jid) = jid else {
            write(out, &features::render(&Offer::Binding(self.standing_offer())));
            return Ok(State::ExpectBind { account });
        };
        let resumed = matches!(inlined.resumed, Some(Ok(_)));
        self.managed = resumed || matches!(&inlined.bound, Some(Ok(bound)) if bound.managed);
        write(out, &features::render(&Offer::Bound { standing: self.standing_offer(), managed: self.managed }));
        out.push(Output::Established { jid: jid.clone() });
        Ok(State::Established { jid })
    }

    fn sasl_failed(&mut self, condition: SaslCondition, out: &mut Vec<Output>) -> Next {
        let failure = match std::mem::replace(&mut self.profile, Profile::Sasl) {
            Profile::Sasl => condition.element(),
            Profile::Sasl2(_) => sasl2::failure(condition),
        };
        write_element(out, &failure);
        out.push(Output::AuthFailed { mechanism: self.attempted.take(), condition });
        self.attempt_failed(State::ExpectAuth)
    }

    fn attempt_failed(&mut self, next: State) -> Next {
        self.failures += 1;
        if self.failures >= AUTH_FAILURES_MAX {
            // RFC 6120 §6.4.5.
            return Err(StreamCondition::PolicyViolation.because("too many failed attempts to authenticate"));
        }
        Ok(next)
    }

    fn opened_host(&self) -> BareJid {
        self.host.clone().expect("authentication follows a header, which chose the host")
    }
}

/// Before authentication nothing but SASL is listened to (RFC 6120 §4.9.3.12).
fn authentication_first() -> super::StreamError {
    StreamCondition::NotAuthorized.because("authentication comes first")
}

/// XEP-0386 knows no answer to a request to bind that cannot be met; the account is the right one, so it
/// is not a failure of SASL.
fn not_bound(refusal: BindRefusal) -> super::StreamError {
    match refusal {
        BindRefusal::TooManySessions => {
            StreamCondition::ResourceConstraint.because("this account has as many sessions as it may")
        }
        BindRefusal::Conflict => StreamCondition::Conflict.because("another session has this resource"),
        BindRefusal::BadRequest | BindRefusal::NotAllowed => {
            StreamCondition::PolicyViolation.because("no resource can be bound")
        }
    }
}
