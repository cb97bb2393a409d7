//! The states of authentication: from the offered mechanisms to the restart (RFC 6120 §6.4).

use super::SASL_NS;
use super::error::StreamCondition;
use super::negotiation::{Next, Stage, State, Stream, is_compress, refuse_compression};
use super::output::{Output, write_element};
use super::sasl::{self, AUTH_FAILURES_MAX, Exchange, Mechanism, Said, SaslCondition, Step};
use crate::jid::BareJid;
use crate::xml::Element;

impl Stream {
    pub(super) fn expect_auth(&mut self, element: &Element, out: &mut Vec<Output>) -> Next {
        if is_compress(element) {
            refuse_compression(out);
            return self.attempt_failed(State::ExpectAuth);
        }
        match said(element)? {
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
        match said(element)? {
            Said::Response(Ok(message)) => {
                let (step, ended) = exchange.message(&message, &self.opened_host());
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
                write_element(out, &sasl::element("challenge", &data));
                Ok(State::ExpectSaslResponse(exchange))
            }
            Step::Ask(question, pending) => {
                out.push(question);
                Ok(State::ExpectCredentials(pending))
            }
            Step::Success { account, data } => self.authenticated(account, &data, out),
            Step::Failure(condition) => self.sasl_failed(condition, out),
            Step::WrongAnswer => Err(StreamCondition::InternalServerError.into()),
        }
    }

    fn begin(
        &mut self,
        mechanism: Option<&str>,
        initial: Result<Option<Vec<u8>>, SaslCondition>,
        out: &mut Vec<Output>,
    ) -> Next {
        let chosen = self.choose(mechanism).and_then(|mechanism| Ok((mechanism, initial?)));
        match chosen {
            Ok((mechanism, initial)) => self.step(Exchange::begin(mechanism, initial, &self.opened_host()), out),
            Err(condition) => self.sasl_failed(condition, out),
        }
    }

    /// Only what was offered is accepted.
    fn choose(&self, name: Option<&str>) -> Result<Mechanism, SaslCondition> {
        let mechanism = name.and_then(Mechanism::from_name).ok_or(SaslCondition::InvalidMechanism)?;
        if self.offered().contains(&mechanism) {
            Ok(mechanism)
        } else if self.options.mechanisms.contains(&mechanism) {
            Err(SaslCondition::EncryptionRequired)
        } else {
            Err(SaslCondition::InvalidMechanism)
        }
    }

    fn authenticated(&mut self, account: BareJid, data: &[u8], out: &mut Vec<Output>) -> Next {
        // RFC 6120 §6.4.6: whoever named himself in the header must turn out to be that one.
        if self.claimed.take().is_some_and(|claimed| claimed != account) {
            return Err(StreamCondition::InvalidFrom.because("'from' is not the account that authenticated"));
        }
        write_element(out, &sasl::element("success", data));
        out.push(Output::ResetParser);
        out.push(Output::Authenticated { account: account.clone() });
        Ok(self.restart(Stage::AfterAuth(account)))
    }

    fn sasl_failed(&mut self, condition: SaslCondition, out: &mut Vec<Output>) -> Next {
        write_element(out, &condition.element());
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
fn said(element: &Element) -> Result<Said, super::StreamError> {
    if element.ns() != SASL_NS {
        return Err(StreamCondition::NotAuthorized.because("authentication comes first"));
    }
    Ok(Said::read(element))
}
