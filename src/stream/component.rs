//! The streams of components (XEP-0114), from both sides, as a state machine without IO.
//!
//! A component speaks for a domain and proves by a shared secret that it may. [`Component::accept`] is
//! the server that a component connects to, [`Component::connect`] is a component that connects to a
//! server. Only `session` may call it.
//!
//! Not here: which domains are served and by what secrets (`Options` of the session), whether a
//! component for a domain is connected already, and what becomes of a stanza (`router`).

use std::fmt;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

use super::error::{StreamCondition, StreamError};
use super::input::Input;
use super::{CLIENT_NS, COMPONENT_NS, STREAMS_NS};
use crate::jid::{BareJid, Jid};
use crate::xml::{Element, Node, escape_attribute};

/// A secret that is shared with a component. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A domain that a component may speak for.
#[derive(Clone, Debug)]
pub struct Served {
    pub domain: BareJid,
    pub secret: Secret,
}

/// One stream with, or as, a component.
pub struct Component {
    side: Side,
    state: State,
    opened: bool,
}

enum Side {
    /// We are the server; the id of our header, which is unpredictable.
    Accept { served: Arc<[Served]>, id: String },
    /// We are the component.
    Connect(Served),
}

enum State {
    ExpectHeader,
    ExpectHandshake(Served),
    /// The session's answer, whether nobody else speaks for the domain.
    ExpectPlace(BareJid),
    Established(BareJid),
    Closed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Write(Vec<u8>),
    /// The peer has proved that it may speak for the domain: say [`Component::joined`], or end the
    /// stream with `conflict`.
    Join(BareJid),
    /// The server takes us for what we are.
    Accepted,
    /// A stanza, in the namespace of clients.
    Stanza(Element),
    /// Nothing more will be written.
    Close,
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// Bytes of it: a short one can be guessed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret()" } else { "Secret(…)" })
    }
}

impl Component {
    pub fn accept(served: Arc<[Served]>, id: String) -> Self {
        Component { side: Side::Accept { served, id }, state: State::ExpectHeader, opened: false }
    }

    /// A component of a server; what it says first comes with it.
    pub fn connect(served: Served) -> (Self, Vec<u8>) {
        let mut bytes = b"<?xml version='1.0'?><stream:stream to='".to_vec();
        escape_attribute(&mut bytes, served.domain.as_str());
        bytes.extend_from_slice(NAMESPACES);
        (Component { side: Side::Connect(served), state: State::ExpectHeader, opened: true }, bytes)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let state = std::mem::replace(&mut self.state, State::Closed);
        let next = match (state, input) {
            (State::Closed, _) => return deeds,
            (State::ExpectHeader, Input::Header(header)) => self.header(&header, &mut deeds),
            (State::ExpectHandshake(served), Input::Element(element)) => self.handshake(served, &element, &mut deeds),
            (State::Established(domain), Input::Element(element)) => self.established(domain, element, &mut deeds),
            (_, Input::End) => {
                self.finish(None, &mut deeds);
                return deeds;
            }
            (_, Input::Malformed(error)) => Err(error),
            (_, Input::Timeout) => Err(StreamCondition::ConnectionTimeout.into()),
            _ => Err(StreamCondition::PolicyViolation.because("this does not stand here")),
        };
        match next {
            Ok(state) => self.state = state,
            Err(error) => self.finish(Some(&error), &mut deeds),
        }
        deeds
    }

    /// Nobody else speaks for the domain: the component may.
    pub fn joined(&mut self) -> Vec<Deed> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::ExpectPlace(domain) => {
                self.state = State::Established(domain);
                vec![Deed::Write(b"<handshake/>".to_vec())]
            }
            other => {
                self.state = other;
                Vec::new()
            }
        }
    }

    /// Whether [`Deed::Join`] waits for an answer: nothing may be fed until then.
    pub fn awaits_answer(&self) -> bool {
        matches!(self.state, State::ExpectPlace(_))
    }

    /// Ends the stream from this side.
    pub fn close_with(&mut self, error: &StreamError) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if !matches!(self.state, State::Closed) {
            self.finish(Some(error), &mut deeds);
        }
        deeds
    }

    fn header(&mut self, header: &super::Header, deeds: &mut Vec<Deed>) -> Result<State, StreamError> {
        match &self.side {
            Side::Accept { served, .. } => {
                let domain = header.root.attr("to").and_then(|to| BareJid::parse(to).ok());
                let found = served.iter().find(|served| Some(&served.domain) == domain.as_ref()).cloned();
                self.open(found.as_ref().map(|served| &served.domain), deeds);
                check(header)?;
                found.map(State::ExpectHandshake).ok_or_else(|| {
                    StreamCondition::HostUnknown.because("'to' must name a component that is known here")
                })
            }
            Side::Connect(served) => {
                check(header)?;
                let id = header.root.attr("id").unwrap_or_default();
                let mut handshake = Element::new("handshake", CLIENT_NS);
                handshake.push_text(digest(id, &served.secret));
                deeds.push(Deed::Write(written(&handshake)));
                Ok(State::ExpectHandshake(served.clone()))
            }
        }
    }

    fn handshake(&mut self, served: Served, element: &Element, deeds: &mut Vec<Deed>) -> Result<State, StreamError> {
        let shaken = element.is("handshake", COMPONENT_NS);
        match &self.side {
            Side::Connect(_) if shaken => {
                deeds.push(Deed::Accepted);
                Ok(State::Established(served.domain))
            }
            // A stream error of the server: it does not want us.
            Side::Connect(_) => {
                let why = element.children().next().map_or("refused", Element::name).to_owned();
                Err(StreamCondition::UndefinedCondition.because(why))
            }
            Side::Accept { id, .. } => {
                let right = digest(id, &served.secret);
                // XEP-0114 §3.
                if shaken && bool::from(element.text().trim().as_bytes().ct_eq(right.as_bytes())) {
                    deeds.push(Deed::Join(served.domain.clone()));
                    return Ok(State::ExpectPlace(served.domain));
                }
                Err(StreamCondition::NotAuthorized.because("the handshake is wrong"))
            }
        }
    }

    fn established(&mut self, domain: BareJid, element: Element, deeds: &mut Vec<Deed>) -> Result<State, StreamError> {
        if element.is("error", STREAMS_NS) {
            self.finish(None, deeds);
            return Ok(State::Closed);
        }
        if element.ns() != COMPONENT_NS || !matches!(element.name(), "message" | "presence" | "iq") {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        let stanza = renamed(element, COMPONENT_NS, &Arc::from(CLIENT_NS));
        let (Some(from), Some(_)) = (stanza.attr("from"), stanza.attr("to")) else {
            return Err(StreamCondition::ImproperAddressing.because("a stanza needs 'from' and 'to'"));
        };
        let own = matches!(Jid::parse(from), Ok(from) if from.domain() == domain.as_str());
        // XEP-0114 §3. A server hands on what it has checked itself.
        if !own && matches!(self.side, Side::Accept { .. }) {
            return Err(StreamCondition::InvalidFrom.because("'from' is not of the component's domain"));
        }
        deeds.push(Deed::Stanza(stanza));
        Ok(State::Established(domain))
    }

    fn open(&mut self, domain: Option<&BareJid>, deeds: &mut Vec<Deed>) {
        let Side::Accept { id, .. } = &self.side else { return };
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        let mut bytes = b"<?xml version='1.0'?><stream:stream id='".to_vec();
        escape_attribute(&mut bytes, id);
        if let Some(domain) = domain {
            bytes.extend_from_slice(b"' from='");
            escape_attribute(&mut bytes, domain.as_str());
        }
        bytes.extend_from_slice(NAMESPACES);
        deeds.push(Deed::Write(bytes));
    }

    fn finish(&mut self, error: Option<&StreamError>, deeds: &mut Vec<Deed>) {
        self.state = State::Closed;
        self.open(None, deeds);
        let mut bytes = error.map(StreamError::render).unwrap_or_default();
        bytes.extend_from_slice(b"</stream:stream>");
        deeds.push(Deed::Write(bytes));
        deeds.push(Deed::Close);
    }
}

fn check(header: &super::Header) -> Result<(), StreamError> {
    if !header.root.is("stream", STREAMS_NS) || header.default_ns.as_deref() != Some(COMPONENT_NS) {
        return Err(StreamCondition::InvalidNamespace.because("the default namespace must be jabber:component:accept"));
    }
    Ok(())
}

/// XEP-0114 §3: SHA-1 of the stream's id and the secret, in lower case.
fn digest(id: &str, secret: &Secret) -> String {
    let hash = Sha1::new().chain_update(id.as_bytes()).chain_update(secret.0.as_bytes()).finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An element of our side: what has no namespace of its own stands in that of the stream.
fn written(element: &Element) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    element.write(&mut bytes, CLIENT_NS);
    bytes
}

/// The element with one namespace in place of another, all the way down. Its depth is what the parser
/// allowed.
fn renamed(element: Element, from: &str, to: &Arc<str>) -> Element {
    let ns = if element.ns() == from { to.clone() } else { element.ns_shared().clone() };
    let mut new = Element::new(element.name(), ns);
    for (ns, name, value) in element.attributes() {
        new.set_attr_ns(ns, name, value);
    }
    for node in element.into_nodes() {
        match node {
            Node::Element(child) => new.push(renamed(child, from, to)),
            Node::Text(text) => new.push_text(text),
        }
    }
    new
}

const NAMESPACES: &[u8] = b"' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Header;
    use crate::xml::{Limits, Parser, XmlEvent};

    /// A server that serves one component, and what it answers to bytes.
    struct Talk {
        component: Component,
        parser: Parser,
    }

    impl Talk {
        fn new() -> Self {
            let domain = BareJid::parse("plays.example").unwrap();
            let served: Arc<[Served]> = Arc::from([Served { domain, secret: Secret::new("s3cret") }]);
            Talk {
                component: Component::accept(served, "3BF96D32".to_owned()),
                parser: Parser::new(Limits::authenticated()),
            }
        }

        fn say(&mut self, text: &str) -> String {
            let mut bytes = text.as_bytes();
            let mut said = String::new();
            while let Some(event) = self.parser.feed(&mut bytes).unwrap() {
                let input = input(event);
                for deed in self.component.handle(input) {
                    said += &match deed {
                        Deed::Write(bytes) => String::from_utf8(bytes).unwrap(),
                        other => format!("[{other:?}]"),
                    };
                }
            }
            said
        }
    }

    fn input(event: XmlEvent) -> Input {
        match event {
            XmlEvent::StreamStart { header, default_ns } => {
                Input::Header(Header { root: header, default_ns: Some(default_ns.to_string()) })
            }
            XmlEvent::Element(element) => Input::Element(element),
            XmlEvent::StreamEnd => Input::End,
        }
    }

    fn open(to: &str, ns: &str) -> String {
        format!("<stream:stream xmlns='{ns}' xmlns:stream='{STREAMS_NS}' to='{to}'>")
    }

    #[test]
    fn a_component_joins_by_the_handshake_of_its_secret() {
        let mut talk = Talk::new();
        let said = talk.say(&open("plays.example", COMPONENT_NS));
        assert_eq!(
            said,
            "<?xml version='1.0'?><stream:stream id='3BF96D32' from='plays.example' xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        let handshake = digest("3BF96D32", &Secret::new("s3cret"));
        let said = talk.say(&format!("<handshake>{handshake}</handshake>"));
        assert!(said.starts_with("[Join(") && talk.component.awaits_answer(), "{said}");
        assert_eq!(talk.component.joined(), [Deed::Write(b"<handshake/>".to_vec())]);
        let deeds = talk.component.handle(input({
            let mut bytes: &[u8] =
                b"<message from='a@plays.example/x' to='b@c'><body>hi</body><x xmlns='u'/></message>";
            talk.parser.feed(&mut bytes).unwrap().unwrap()
        }));
        let [Deed::Stanza(stanza)] = deeds.as_slice() else { panic!("{deeds:?}") };
        assert!(stanza.is("message", CLIENT_NS) && stanza.child("body", CLIENT_NS).is_some());
        assert!(stanza.child("x", "u").is_some());
        let said = talk.say("<message from='a@elsewhere.example' to='b@c'/>");
        assert!(said.starts_with("<stream:error><invalid-from"), "{said}");
        assert_eq!(talk.say("<message from='a@plays.example' to='b@c'/>"), "", "nothing after the end");
    }

    #[test]
    fn whoever_cannot_prove_it_is_turned_away() {
        for (header, then, condition) in [
            (open("other.example", COMPONENT_NS), "", "host-unknown"),
            (open("plays.example", CLIENT_NS), "", "invalid-namespace"),
            (
                open("plays.example", COMPONENT_NS),
                "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>",
                "not-authorized",
            ),
            (open("plays.example", COMPONENT_NS), "<handshake/>", "not-authorized"),
            (open("plays.example", COMPONENT_NS), "<message from='plays.example' to='a@b'/>", "not-authorized"),
        ] {
            let mut talk = Talk::new();
            let said = talk.say(&header) + &talk.say(then);
            assert!(said.starts_with("<?xml version='1.0'?><stream:stream id="), "{said}");
            assert!(said.contains(&format!("<stream:error><{condition} ")), "{said}");
            assert!(said.ends_with("</stream:stream>[Close]"), "{said}");
        }
    }

    #[test]
    fn a_stanza_without_addresses_ends_the_stream() {
        let mut talk = Talk::new();
        talk.say(&open("plays.example", COMPONENT_NS));
        talk.say(&format!("<handshake>{}</handshake>", digest("3BF96D32", &Secret::new("s3cret"))));
        talk.component.joined();
        assert!(talk.say("<message from='plays.example'/>").contains("<improper-addressing "));
    }

    #[test]
    fn both_sides_understand_each_other() {
        let mut talk = Talk::new();
        let served = Served { domain: BareJid::parse("plays.example").unwrap(), secret: Secret::new("s3cret") };
        let (mut ours, first) = Component::connect(served);
        let mut parser = Parser::new(Limits::authenticated());
        let mut hear = |ours: &mut Component, text: &str| {
            let (mut bytes, mut deeds) = (text.as_bytes(), Vec::new());
            while let Some(event) = parser.feed(&mut bytes).unwrap() {
                deeds.extend(ours.handle(input(event)));
            }
            deeds
        };
        let header = talk.say(&String::from_utf8(first).unwrap());
        let deeds = hear(&mut ours, &header);
        let [Deed::Write(handshake)] = deeds.as_slice() else { panic!("{deeds:?}") };
        talk.say(std::str::from_utf8(handshake).unwrap());
        assert_eq!(talk.component.joined().len(), 1);
        assert_eq!(hear(&mut ours, "<handshake/>"), [Deed::Accepted]);
        // A server speaks for whoever is behind it.
        let deeds = hear(&mut ours, "<message from='a@elsewhere.example' to='plays.example'/>");
        assert!(matches!(deeds.as_slice(), [Deed::Stanza(_)]), "{deeds:?}");
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret(…)");
    }
}
