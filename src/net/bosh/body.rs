//! The wrapper of what is posted (XEP-0124 §6): a `<body/>` around elements that stand for themselves.

use bytes::Bytes;

use crate::xml::{Element, Limits, Node, Parser, XmlEvent, escape_attribute};

/// A request.
#[derive(Debug)]
pub(super) struct Body {
    root: Element,
    /// What it bears, each as a document of its own.
    pub payloads: Vec<Bytes>,
}

/// It is no `<body/>`, or none that can be understood: `bad-request`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadRequest;

/// Why a request cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    BadRequest,
    /// Larger than what is taken from somebody who has not said who he is.
    TooLarge,
}

impl Body {
    /// Reads the start tag, and the elements in it. From the first that cannot be read on, the rest stands
    /// as one more payload, as it came: the stream says what is wrong with it. `is_known` says whether the
    /// client of a session has authenticated; of others only so much is read.
    pub fn read(bytes: &[u8], limits: Limits, is_known: impl FnOnce(&str) -> bool) -> Result<Self, Unreadable> {
        let mut parser = Parser::new(limits);
        let mut input = bytes;
        let Ok(Some(XmlEvent::StreamStart { header: root, .. })) = parser.feed(&mut input) else {
            return Err(Unreadable::BadRequest);
        };
        if !root.is("body", BIND_NS) {
            return Err(Unreadable::BadRequest);
        }
        if bytes.len() > UNKNOWN_BYTES_MAX && !root.attr("sid").is_some_and(is_known) {
            return Err(Unreadable::TooLarge);
        }
        let mut payloads = Vec::new();
        loop {
            let rest = input;
            match parser.feed(&mut input) {
                Ok(Some(XmlEvent::Element(payload))) => payloads.push(Bytes::from(document(payload))),
                Ok(Some(XmlEvent::StreamEnd)) if input.iter().all(u8::is_ascii_whitespace) => break,
                Ok(Some(XmlEvent::StreamEnd | XmlEvent::StreamStart { .. })) => return Err(Unreadable::BadRequest),
                Ok(None) | Err(_) => {
                    payloads.push(Bytes::copy_from_slice(rest.trim_ascii_start()));
                    break;
                }
            }
        }
        Ok(Body { root, payloads })
    }

    pub fn attr(&self, name: &str) -> Option<&str> {
        self.root.attr(name)
    }

    /// An attribute that is a number, where it is there.
    pub fn number(&self, name: &str) -> Result<Option<u64>, BadRequest> {
        let Some(text) = self.attr(name) else { return Ok(None) };
        // XML Schema would allow a sign and white space; nobody writes them.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.map(Some).ok_or(BadRequest)
    }

    pub fn rid(&self) -> Result<u64, BadRequest> {
        let rid = self.number("rid")?.filter(|rid| (1..=RID_MAX).contains(rid));
        rid.ok_or(BadRequest)
    }

    pub fn is_terminate(&self) -> bool {
        self.attr("type") == Some("terminate")
    }

    /// XEP-0206 §5.
    pub fn is_restart(&self) -> bool {
        matches!(self.root.attr_ns(XBOSH_NS, "restart"), Some("true" | "1"))
    }

    /// The header of the stream that this request opens, as RFC 7395 has it.
    pub fn open(&self) -> Bytes {
        let mut open = Element::new("open", FRAMING_NS);
        for name in ["to", "from"] {
            if let Some(value) = self.attr(name) {
                open.set_attr(name, value);
            }
        }
        if let Some(language) = self.root.attr_ns(XML_NS, "lang") {
            open.set_attr_ns(XML_NS, "lang", language);
        }
        // XEP-0206 §3 only asks clients for it; there is but one version.
        open.set_attr("version", self.root.attr_ns(XBOSH_NS, "version").unwrap_or("1.0"));
        Bytes::from(open.to_bytes())
    }
}

/// A payload by itself. What stands in the wrapper's namespace is meant to stand in that of stanzas
/// (XEP-0206 §2).
fn document(payload: Element) -> Vec<u8> {
    if payload.ns() == BIND_NS { as_stanza(payload).to_bytes() } else { payload.to_bytes() }
}

fn as_stanza(element: Element) -> Element {
    let ns = if element.ns() == BIND_NS { CLIENT_NS } else { element.ns() };
    let mut stanza = Element::new(element.name(), ns);
    for (ns, name, value) in element.attributes() {
        stanza.set_attr_ns(ns, name, value);
    }
    for node in element.into_nodes() {
        match node {
            Node::Element(child) => stanza.push(as_stanza(child)),
            Node::Text(text) => stanza.push_text(text.as_str()),
        }
    }
    stanza
}

/// An answer on its way to be written.
pub(super) struct Answer {
    start: Vec<u8>,
    payloads: Vec<u8>,
}

impl Answer {
    pub fn new() -> Self {
        Answer { start: format!("<body xmlns='{BIND_NS}'").into_bytes(), payloads: Vec::new() }
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.start.extend_from_slice(format!(" {name}='").as_bytes());
        escape_attribute(&mut self.start, value);
        self.start.push(b'\'');
    }

    pub fn push(&mut self, payload: &[u8]) {
        // XEP-0206 §2: the wrapper declares the prefix.
        if self.payloads.is_empty() {
            self.set("xmlns:stream", "http://etherx.jabber.org/streams");
        }
        self.payloads.extend_from_slice(payload);
    }

    pub fn bytes(&self) -> usize {
        self.payloads.len()
    }

    pub fn finish(mut self) -> Bytes {
        if self.payloads.is_empty() {
            self.start.extend_from_slice(b"/>");
        } else {
            self.start.push(b'>');
            self.start.append(&mut self.payloads);
            self.start.extend_from_slice(b"</body>");
        }
        Bytes::from(self.start)
    }
}

/// Terminal binding conditions (XEP-0124 §17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    BadRequest,
    HostUnknown,
    ImproperAddressing,
    ItemNotFound,
    OtherRequest,
    PolicyViolation,
    RemoteConnectionFailed,
    RemoteStreamError,
}

impl Condition {
    pub fn name(self) -> &'static str {
        match self {
            Condition::BadRequest => "bad-request",
            Condition::HostUnknown => "host-unknown",
            Condition::ImproperAddressing => "improper-addressing",
            Condition::ItemNotFound => "item-not-found",
            Condition::OtherRequest => "other-request",
            Condition::PolicyViolation => "policy-violation",
            Condition::RemoteConnectionFailed => "remote-connection-failed",
            Condition::RemoteStreamError => "remote-stream-error",
        }
    }

    /// What those are told who named no version (§17.1); those who did are told in the body alone.
    pub fn legacy_status(self) -> u16 {
        match self {
            Condition::BadRequest => 400,
            Condition::ItemNotFound => 404,
            Condition::PolicyViolation => 403,
            Condition::HostUnknown
            | Condition::ImproperAddressing
            | Condition::OtherRequest
            | Condition::RemoteConnectionFailed
            | Condition::RemoteStreamError => 200,
        }
    }

    pub fn body(self) -> Bytes {
        let mut answer = Answer::new();
        answer.set("type", "terminate");
        answer.set("condition", self.name());
        answer.finish()
    }
}

pub(super) const BIND_NS: &str = "http://jabber.org/protocol/httpbind";
pub(super) const XBOSH_NS: &str = "urn:xmpp:xbosh";
pub(super) const FRAMING_NS: &str = "urn:ietf:params:xml:ns:xmpp-framing";
const CLIENT_NS: &str = "jabber:client";
const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
/// XEP-0124 §14.1.
const RID_MAX: u64 = (1 << 53) - 1;
/// The largest request of one who has not said who he is.
const UNKNOWN_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Body, Unreadable> {
        Body::read(text.as_bytes(), Limits::authenticated(), |sid| sid == "known")
    }

    fn payloads(text: &str) -> Vec<String> {
        let body = read(&format!("<body xmlns='{BIND_NS}' rid='1'>{text}")).unwrap();
        body.payloads.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn payloads_stand_for_themselves() {
        assert_eq!(payloads("</body>"), [""; 0]);
        assert_eq!(
            payloads(
                " <iq id='1' xmlns='jabber:client'><a xmlns='u'/></iq>\n<message><body>hi &amp; so</body></message></body>"
            ),
            [
                "<iq xmlns='jabber:client' id='1'><a xmlns='u'/></iq>",
                "<message xmlns='jabber:client'><body>hi &amp; so</body></message>"
            ]
        );
        assert_eq!(payloads("<x:iq xmlns:x='jabber:client'/></body>\n"), ["<iq xmlns='jabber:client'/>"]);
    }

    #[test]
    fn what_cannot_be_read_is_left_as_it_is() {
        for rest in ["<a></b></body>", "text</body>", "<!-- c --></body>", "<a x='1' x='2'/></body>", "<a>"] {
            assert_eq!(payloads(&format!("<iq/>{rest}")), ["<iq xmlns='jabber:client'/>", rest]);
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for text in [
            "",
            "body",
            "<body/>",
            "<html xmlns='http://jabber.org/protocol/httpbind'/>",
            "<!DOCTYPE body><body xmlns='http://jabber.org/protocol/httpbind'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind'/><body/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' a='1' a='2'/>",
        ] {
            assert_eq!(read(text).err(), Some(Unreadable::BadRequest), "{text}");
        }
    }

    #[test]
    fn little_is_read_of_strangers() {
        let long = |sid: &str| format!("<body xmlns='{BIND_NS}'{sid}>{}</body>", " ".repeat(UNKNOWN_BYTES_MAX));
        assert_eq!(read(&long("")).err(), Some(Unreadable::TooLarge));
        assert_eq!(read(&long(" sid='x'")).err(), Some(Unreadable::TooLarge));
        assert!(read(&long(" sid='known'")).is_ok());
    }

    #[test]
    fn numbers_are_digits_within_bounds() {
        let rid = |text: &str| read(&format!("<body xmlns='{BIND_NS}' rid='{text}'/>")).unwrap().rid();
        assert_eq!(rid("9007199254740991"), Ok(RID_MAX));
        for text in ["9007199254740992", "0", "-1", "+1", " 1", "", "1e3", "99999999999999999999999"] {
            assert_eq!(rid(text), Err(BadRequest), "{text}");
        }
        assert_eq!(read(&format!("<body xmlns='{BIND_NS}'/>")).unwrap().rid(), Err(BadRequest));
    }

    #[test]
    fn a_request_opens_a_stream() {
        let body = read(
            "<body xmlns='http://jabber.org/protocol/httpbind' to='b' from='a@b' xml:lang='de' xmpp:version='1.0' \
             xmlns:xmpp='urn:xmpp:xbosh'/>",
        );
        assert_eq!(
            body.unwrap().open(),
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='b' from='a@b' xml:lang='de' version='1.0'/>"
        );
    }

    #[test]
    fn answers_are_written() {
        assert_eq!(Answer::new().finish(), "<body xmlns='http://jabber.org/protocol/httpbind'/>");
        let mut answer = Answer::new();
        answer.set("sid", "a'b");
        answer.push(b"<a/>");
        answer.push(b"<b/>");
        assert_eq!(
            answer.finish(),
            "<body xmlns='http://jabber.org/protocol/httpbind' sid='a&#39;b' \
             xmlns:stream='http://etherx.jabber.org/streams'><a/><b/></body>"
        );
    }
}
