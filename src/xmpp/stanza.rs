//! Stanzas as a client sends and gets them (RFC 6120 §8, RFC 6121 §4, §5).

use crate::jid::Jid;
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

/// One of the three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stanza {
    Iq(Iq),
    Message(Message),
    Presence(Presence),
}

/// A request, or the answer to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iq {
    pub id: String,
    pub from: Option<Jid>,
    pub to: Option<Jid>,
    pub kind: IqKind,
}

/// RFC 6120 §8.2.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IqKind {
    Get(Element),
    Set(Element),
    Result(Option<Element>),
    /// What went wrong, and what was asked, where the answer repeats it.
    Error(StanzaError, Option<Element>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: Option<String>,
    pub from: Option<Jid>,
    pub to: Option<Jid>,
    pub kind: MessageType,
    /// The stanza without the four attributes above.
    pub content: Element,
}

/// RFC 6121 §5.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    Chat,
    Error,
    Groupchat,
    Headline,
    Normal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub id: Option<String>,
    pub from: Option<Jid>,
    pub to: Option<Jid>,
    pub kind: PresenceType,
    /// RFC 6121 §4.7.2.3; 0 where none is given.
    pub priority: i8,
    /// The stanza without id, from, to and type.
    pub content: Element,
}

/// RFC 6121 §4.7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceType {
    Available,
    Error,
    Probe,
    Subscribe,
    Subscribed,
    Unavailable,
    Unsubscribe,
    Unsubscribed,
}

/// An element that is meant to be a stanza and is not a valid one, with what its answer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which stanza it is meant to be; nothing for an element that is none, which ends the stream
    /// (RFC 6120 §4.9.3.24) and has no answer.
    pub name: Option<StanzaName>,
    pub id: Option<String>,
    /// The addresses, as far as they are addresses.
    pub from: Option<Jid>,
    pub to: Option<Jid>,
    /// Answers and errors are never answered (RFC 6120 §8.3.1).
    pub answerable: bool,
    pub condition: Condition,
    pub why: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StanzaName {
    Iq,
    Message,
    Presence,
}

impl Stanza {
    pub fn parse(element: Element) -> Result<Self, Box<Malformed>> {
        let head = Head::of(&element)?;
        match head.name {
            StanzaName::Iq => Iq::parse(head, &element).map(Stanza::Iq),
            StanzaName::Message => Message::parse(head, element).map(Stanza::Message),
            StanzaName::Presence => Presence::parse(head, element).map(Stanza::Presence),
        }
    }

    pub fn into_element(self) -> Element {
        match self {
            Stanza::Iq(iq) => iq.into_element(),
            Stanza::Message(message) => message.into_element(),
            Stanza::Presence(presence) => presence.into_element(),
        }
    }
}

impl Iq {
    fn parse(head: Head, element: &Element) -> Result<Self, Box<Malformed>> {
        let mut children = element.children();
        let kind = match head.kind.as_deref() {
            Some("get" | "set") => {
                // RFC 6120 §8.2.3, rule 5.
                let (Some(asked), None) = (children.next(), children.next()) else {
                    return Err(head.bad("a request has exactly one child element"));
                };
                let asked = asked.clone();
                if head.kind.as_deref() == Some("get") { IqKind::Get(asked) } else { IqKind::Set(asked) }
            }
            Some("result") => {
                let first = children.next().cloned();
                if children.next().is_some() {
                    return Err(head.bad("a result has at most one child element"));
                }
                IqKind::Result(first)
            }
            Some("error") => {
                let Some(error) = element.child("error", NS_CLIENT) else {
                    return Err(head.bad("an error has no error element"));
                };
                let asked = children.find(|child| !child.is("error", NS_CLIENT)).cloned();
                IqKind::Error(StanzaError::parse(error), asked)
            }
            _ => return Err(head.bad("an iq is of type get, set, result or error")),
        };
        // RFC 6120 §8.1.3: the id is required. An empty one is none.
        match head.id.clone().filter(|id| !id.is_empty()) {
            Some(id) => Ok(Iq { id, from: head.from, to: head.to, kind }),
            None => Err(head.bad("an iq needs an id")),
        }
    }

    pub fn into_element(self) -> Element {
        let kind = self.kind.as_str();
        let iq = addressed(Element::new("iq", NS_CLIENT), Some(self.id), self.from, self.to).with_attr("type", kind);
        match self.kind {
            IqKind::Get(asked) | IqKind::Set(asked) => iq.with_child(asked),
            IqKind::Result(answer) => iq.with_children(answer),
            IqKind::Error(error, asked) => iq.with_children(asked).with_child(error.to_element(NS_CLIENT)),
        }
    }
}

impl IqKind {
    /// The value of the attribute `type`.
    pub fn as_str(&self) -> &'static str {
        match self {
            IqKind::Get(_) => "get",
            IqKind::Set(_) => "set",
            IqKind::Result(_) => "result",
            IqKind::Error(..) => "error",
        }
    }
}

impl Message {
    fn parse(head: Head, element: Element) -> Result<Self, Box<Malformed>> {
        // RFC 6121 §5.2.2: a type that is not understood is "normal".
        let kind = head.kind.as_deref().and_then(MessageType::parse).unwrap_or(MessageType::Normal);
        Ok(Message { id: head.id, from: head.from, to: head.to, kind, content: bare(element) })
    }

    pub fn into_element(self) -> Element {
        let kind = Some(self.kind).filter(|kind| *kind != MessageType::Normal).map(MessageType::as_str);
        addressed(self.content, self.id, self.from, self.to).with_attr_opt("type", kind)
    }
}

impl Presence {
    fn parse(head: Head, element: Element) -> Result<Self, Box<Malformed>> {
        let kind = match head.kind.as_deref() {
            None => PresenceType::Available,
            Some(word) => match PresenceType::parse(word) {
                Some(kind) => kind,
                None => return Err(head.bad("a presence of a type that does not exist")),
            },
        };
        let priority = match element.child("priority", NS_CLIENT) {
            None => 0,
            Some(priority) => match priority.text().trim().parse() {
                Ok(priority) => priority,
                // RFC 6121 §4.7.2.3: a whole number from -128 to 127.
                Err(_) => return Err(head.bad("a priority is a whole number from -128 to 127")),
            },
        };
        Ok(Presence { id: head.id, from: head.from, to: head.to, kind, priority, content: bare(element) })
    }

    /// `priority` is what `content` says already, and is not written twice.
    pub fn into_element(self) -> Element {
        let kind = Some(self.kind).filter(|kind| *kind != PresenceType::Available).map(PresenceType::as_str);
        addressed(self.content, self.id, self.from, self.to).with_attr_opt("type", kind)
    }
}

impl MessageType {
    pub const ALL: [MessageType; 5] =
        [MessageType::Chat, MessageType::Error, MessageType::Groupchat, MessageType::Headline, MessageType::Normal];

    pub fn as_str(self) -> &'static str {
        match self {
            MessageType::Chat => "chat",
            MessageType::Error => "error",
            MessageType::Groupchat => "groupchat",
            MessageType::Headline => "headline",
            MessageType::Normal => "normal",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl PresenceType {
    /// Every type but [`PresenceType::Available`], which is told by having no word.
    pub const NAMED: [PresenceType; 7] = [
        PresenceType::Error,
        PresenceType::Probe,
        PresenceType::Subscribe,
        PresenceType::Subscribed,
        PresenceType::Unavailable,
        PresenceType::Unsubscribe,
        PresenceType::Unsubscribed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            PresenceType::Available => "available",
            PresenceType::Error => "error",
            PresenceType::Probe => "probe",
            PresenceType::Subscribe => "subscribe",
            PresenceType::Subscribed => "subscribed",
            PresenceType::Unavailable => "unavailable",
            PresenceType::Unsubscribe => "unsubscribe",
            PresenceType::Unsubscribed => "unsubscribed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Malformed {
    pub fn error(&self) -> StanzaError {
        StanzaError::new(self.condition.clone()).with_text(self.why)
    }

    /// What its sender is told, if anything: the addresses are turned round (RFC 6120 §8.3.1). The
    /// caller sets `to` where it knows the sender better than the stanza did.
    pub fn answer(&self) -> Option<Element> {
        let name = self.name.filter(|_| self.answerable)?;
        let stanza = Element::new(name.as_str(), NS_CLIENT);
        let stanza = addressed(stanza, self.id.clone(), self.to.clone(), self.from.clone());
        Some(stanza.with_attr("type", "error").with_child(self.error().to_element(NS_CLIENT)))
    }
}

impl StanzaName {
    pub fn as_str(self) -> &'static str {
        match self {
            StanzaName::Iq => "iq",
            StanzaName::Message => "message",
            StanzaName::Presence => "presence",
        }
    }
}

/// The attributes that all stanzas have.
struct Head {
    name: StanzaName,
    id: Option<String>,
    from: Option<Jid>,
    to: Option<Jid>,
    kind: Option<String>,
}

impl Head {
    fn of(element: &Element) -> Result<Self, Box<Malformed>> {
        let name = match element.name() {
            _ if element.ns() != NS_CLIENT => None,
            "iq" => Some(StanzaName::Iq),
            "message" => Some(StanzaName::Message),
            "presence" => Some(StanzaName::Presence),
            _ => None,
        };
        let address = |name: &str| element.attr(name).map(Jid::parse).transpose();
        let (from, to) = (address("from"), address("to"));
        let kind = element.attr("type").map(str::to_owned);
        let id = element.attr("id").map(str::to_owned);
        match (name, from, to) {
            (Some(name), Ok(from), Ok(to)) => Ok(Head { name, id, from, to, kind }),
            (name, from, to) => Err(Box::new(Malformed {
                name,
                id,
                from: from.unwrap_or(None),
                to: to.unwrap_or(None),
                answerable: !matches!(kind.as_deref(), Some("error" | "result")),
                condition: if name.is_some() { Condition::JidMalformed } else { Condition::BadRequest },
                why: if name.is_some() { "an address is not one" } else { "this is no stanza" },
            })),
        }
    }

    fn bad(self, why: &'static str) -> Box<Malformed> {
        Box::new(Malformed {
            name: Some(self.name),
            id: self.id,
            from: self.from,
            to: self.to,
            answerable: !matches!(self.kind.as_deref(), Some("error" | "result")),
            condition: Condition::BadRequest,
            why,
        })
    }
}

fn addressed(element: Element, id: Option<String>, from: Option<Jid>, to: Option<Jid>) -> Element {
    element
        .with_attr_opt("from", from.map(|jid| jid.to_string()))
        .with_attr_opt("to", to.map(|jid| jid.to_string()))
        .with_attr_opt("id", id)
}

fn bare(mut element: Element) -> Element {
    for name in ["id", "from", "to", "type"] {
        element.remove_attr(name);
    }
    element
}

/// RFC 6120 §4.8.2.
pub const NS_CLIENT: &str = "jabber:client";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::ErrorType;

    fn addresses() -> Vec<(Option<Jid>, Option<Jid>)> {
        let jid = |text: &str| Jid::parse(text).ok();
        vec![(None, None), (jid("a@b.example/c"), jid("p.example")), (jid("p.example"), jid("a@b.example"))]
    }

    fn assert_round_trip(stanza: Stanza) {
        let element = stanza.clone().into_element();
        assert_eq!(Stanza::parse(element.clone()), Ok(stanza), "{element}");
    }

    #[test]
    fn every_iq_reads_back_as_it_was_written() {
        let asked = || Element::new("ping", "urn:xmpp:ping").with_text("x");
        let error = StanzaError::new(Condition::Conflict).with_application(Element::new("closed-node", "urn:e"));
        for (from, to) in addresses() {
            for kind in [
                IqKind::Get(asked()),
                IqKind::Set(asked()),
                IqKind::Result(None),
                IqKind::Result(Some(asked())),
                IqKind::Error(error.clone(), None),
                IqKind::Error(error.clone().with_type(ErrorType::Wait).with_text("later"), Some(asked())),
            ] {
                assert_round_trip(Stanza::Iq(Iq { id: "a'b".to_owned(), from: from.clone(), to: to.clone(), kind }));
            }
        }
    }

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        let mut content =
            Element::new("message", NS_CLIENT).with_child(Element::new("body", NS_CLIENT).with_text("hi"));
        content.set_attr_ns("http://www.w3.org/XML/1998/namespace", "lang", "de");
        for (from, to) in addresses() {
            for kind in MessageType::ALL {
                for id in [None, Some("m1".to_owned())] {
                    let (from, to, content) = (from.clone(), to.clone(), content.clone());
                    assert_round_trip(Stanza::Message(Message { id, from, to, kind, content }));
                }
            }
        }
    }

    #[test]
    fn every_presence_reads_back_as_it_was_written() {
        for (from, to) in addresses() {
            for kind in PresenceType::NAMED.into_iter().chain([PresenceType::Available]) {
                for priority in [None, Some(-128), Some(0), Some(127)] {
                    let word = priority.map(|p: i8| Element::new("priority", NS_CLIENT).with_text(p.to_string()));
                    let content = Element::new("presence", NS_CLIENT).with_children(word);
                    let (from, to, priority) = (from.clone(), to.clone(), priority.unwrap_or(0));
                    assert_round_trip(Stanza::Presence(Presence { id: None, from, to, kind, priority, content }));
                }
            }
        }
    }

    fn malformed(element: &Element) -> Malformed {
        *Stanza::parse(element.clone()).expect_err("this is not a stanza")
    }

    fn iq(kind: &str) -> Element {
        Element::new("iq", NS_CLIENT).with_attr("type", kind).with_attr("id", "1").with_attr("to", "p.example")
    }

    #[test]
    fn what_breaks_a_rule_is_answered_with_its_condition() {
        let child = || Element::new("ping", "urn:xmpp:ping");
        let mut nameless = iq("get").with_child(child());
        nameless.remove_attr("id");
        for (element, condition) in [
            (iq("get"), Condition::BadRequest),
            (iq("set").with_child(child()).with_child(child()), Condition::BadRequest),
            (iq("subscribe").with_child(child()), Condition::BadRequest),
            (nameless, Condition::BadRequest),
            (iq("get").with_child(child()).with_attr("to", "@"), Condition::JidMalformed),
            (iq("get").with_child(child()).with_attr("from", "a@b/"), Condition::JidMalformed),
            (Element::new("message", NS_CLIENT).with_attr("to", "a b@c"), Condition::JidMalformed),
            (Element::new("presence", NS_CLIENT).with_attr("type", "chat"), Condition::BadRequest),
            (
                Element::new("presence", NS_CLIENT).with_child(Element::new("priority", NS_CLIENT).with_text("128")),
                Condition::BadRequest,
            ),
        ] {
            let fault = malformed(&element);
            assert_eq!(fault.condition, condition, "{element}");
            let answer = fault.answer().expect("a request is answered");
            assert_eq!(answer.attr("type"), Some("error"));
            assert_eq!(answer.attr("id"), element.attr("id"));
            assert_eq!(answer.name(), element.name());
        }
    }

    #[test]
    fn the_answer_to_a_malformed_request_goes_back_the_way_it_came() {
        let element = iq("get").with_attr("from", "a@b.example/c");
        let answer = malformed(&element).answer().unwrap();
        assert_eq!((answer.attr("from"), answer.attr("to")), (Some("p.example"), Some("a@b.example/c")));
    }

    #[test]
    fn an_answer_is_never_answered() {
        let child = || Element::new("ping", "urn:xmpp:ping");
        for element in [
            iq("result").with_child(child()).with_child(child()),
            iq("error"),
            iq("result").with_attr("to", "@"),
            Element::new("message", NS_CLIENT).with_attr("type", "error").with_attr("to", "@"),
        ] {
            assert_eq!(malformed(&element).answer(), None, "{element}");
        }
    }

    #[test]
    fn an_element_that_is_no_stanza_has_no_answer() {
        for element in [Element::new("iq", "jabber:server"), Element::new("auth", NS_CLIENT)] {
            let fault = malformed(&element);
            assert_eq!((fault.name, fault.answer()), (None, None));
        }
    }

    #[test]
    fn a_message_of_an_unknown_type_is_normal() {
        let element = Element::new("message", NS_CLIENT).with_attr("type", "shout");
        let Ok(Stanza::Message(message)) = Stanza::parse(element) else { panic!("a message") };
        assert_eq!(message.kind, MessageType::Normal);
    }
}
