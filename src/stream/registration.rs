//! Making an account before one authenticates (XEP-0077 §3.1.1): asked for within the stream, under TLS,
//! where the operator lets people do so.

use super::error::StreamCondition;
use super::negotiation::{Next, State, Stream};
use super::output::{Output, Password, write_element};
use super::{CLIENT_NS, STANZA_ERROR_NS};
use crate::jid::BareJid;
use crate::xml::Element;

/// Why an account is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterRefusal {
    /// Somebody has the name: `conflict`.
    Conflict,
    /// No password can be like this: `not-acceptable`.
    Password,
    /// Too many accounts have been asked for from there: `resource-constraint`.
    Later,
    /// `internal-server-error`.
    Failed,
}

/// A request about registration.
struct Request<'a> {
    id: Option<&'a str>,
    set: bool,
    query: &'a Element,
}

impl<'a> Request<'a> {
    fn read(stanza: &'a Element, host: &BareJid) -> Option<Self> {
        let for_host = stanza.attr("to").is_none_or(|to| BareJid::parse(to).ok().as_ref() == Some(host));
        let set = match stanza.attr("type") {
            Some("get") => false,
            Some("set") => true,
            _ => return None,
        };
        let query = stanza.child("query", REGISTER_NS).filter(|_| stanza.is("iq", CLIENT_NS) && for_host)?;
        Some(Request { id: stanza.attr("id"), set, query })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.query.child(name, REGISTER_NS).map(Element::text).filter(|text| !text.trim().is_empty())
    }
}

impl Stream {
    /// Whether accounts can be made over this channel, at the host that it was opened to.
    pub(super) fn offers_registration(&self) -> bool {
        self.options.register && self.secured.is_some() && self.host != self.options.anonymous
    }

    /// Takes a request about registration; nothing where the element is none, or none is taken.
    pub(super) fn registration(&mut self, element: &Element, out: &mut Vec<Output>) -> Option<Next> {
        let host = self.host.clone().filter(|_| self.offers_registration())?;
        let request = Request::read(element, &host)?;
        self.registrations += 1;
        if self.registrations > REGISTRATIONS_MAX {
            return Some(Err(StreamCondition::PolicyViolation.because("too many requests about registration")));
        }
        Some(self.register(&request, &host, out))
    }

    fn register(&mut self, request: &Request<'_>, host: &BareJid, out: &mut Vec<Output>) -> Next {
        let mut refuse = |kind, condition| {
            write_element(out, &refused(request.id, kind, condition));
            Ok(State::ExpectAuth)
        };
        if !request.set {
            let words = ["username", "password"].map(|name| Element::new(name, REGISTER_NS));
            let instructions = Element::new("instructions", REGISTER_NS).with_text(INSTRUCTIONS);
            let query = Element::new("query", REGISTER_NS).with_child(instructions).with_children(words);
            write_element(out, &result(request.id).with_child(query));
            return Ok(State::ExpectAuth);
        }
        if request.query.child("remove", REGISTER_NS).is_some() {
            // XEP-0077 §3.2: nobody is registered who has not authenticated.
            return refuse("wait", "unexpected-request");
        }
        if self.registered {
            // XEP-0077 §3.1.1: a second identity.
            return refuse("cancel", "not-acceptable");
        }
        let (Some(username), Some(password)) = (request.text("username"), request.text("password")) else {
            return refuse("modify", "not-acceptable");
        };
        let Ok(account) = BareJid::new(Some(username.trim()), host.domain()) else {
            return refuse("modify", "not-acceptable");
        };
        out.push(Output::AskRegister { account, password: Password::new(&password) });
        Ok(State::ExpectRegistered { id: request.id.map(str::to_owned) })
    }

    /// What came of it.
    pub(super) fn register_settled(
        &mut self,
        id: Option<&str>,
        refusal: Option<RegisterRefusal>,
        out: &mut Vec<Output>,
    ) -> Next {
        let answer = match refusal {
            None => result(id),
            Some(RegisterRefusal::Conflict) => refused(id, "cancel", "conflict"),
            Some(RegisterRefusal::Password) => refused(id, "modify", "not-acceptable"),
            Some(RegisterRefusal::Later) => refused(id, "wait", "resource-constraint"),
            Some(RegisterRefusal::Failed) => refused(id, "wait", "internal-server-error"),
        };
        self.registered |= refusal.is_none();
        write_element(out, &answer);
        Ok(State::ExpectAuth)
    }
}

/// The stream feature (XEP-0077 §8).
pub(super) fn feature() -> Element {
    Element::new("register", "http://jabber.org/features/iq-register")
}

fn result(id: Option<&str>) -> Element {
    Element::new("iq", CLIENT_NS).with_attr_opt("id", id).with_attr("type", "result")
}

/// Without what was asked, which holds a password.
fn refused(id: Option<&str>, kind: &str, condition: &str) -> Element {
    let condition = Element::new(condition, STANZA_ERROR_NS);
    let error = Element::new("error", CLIENT_NS).with_attr("type", kind).with_child(condition);
    Element::new("iq", CLIENT_NS).with_attr_opt("id", id).with_attr("type", "error").with_child(error)
}

const INSTRUCTIONS: &str = "Choose a name and a password.";
const REGISTER_NS: &str = "jabber:iq:register";
/// Requests about registration on one connection: a form, and some names that are taken.
const REGISTRATIONS_MAX: u32 = 10;
