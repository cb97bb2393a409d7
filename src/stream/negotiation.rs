//! The machine itself: which input is awaited, and where it leads.

use std::array;
use std::mem;
use std::sync::Arc;

use super::bind::{self, BindRefusal, BindRequest};
use super::error::{StreamCondition, StreamError};
use super::features::{self, Offer};
use super::header::{self, Address, Header, Opening, Version};
use super::input::Input;
use super::options::{Channel, Options};
use super::output::{Output, bytes_of, write, write_element};
use super::sasl::{Exchange, Mechanism, Pending, SaslCondition};
use super::sasl2::Inline;
use super::secured::Secured;
use super::sm;
use super::stanza;
use super::{COMPRESS_NS, CSI_NS, SASL_NS, STREAMS_NS, TLS_NS};
use crate::jid::{BareJid, FullJid};
use crate::xml::Element;

/// One client's stream, through all its restarts.
pub struct Stream {
    pub(super) options: Arc<Options>,
    pub(super) state: State,
    wire: Wire,
    ids: array::IntoIter<String, STREAM_IDS>,
    /// Absent in the clear.
    pub(super) secured: Option<Secured>,
    pub(super) profile: Profile,
    pub(super) host: Option<BareJid>,
    /// The `from` of the header before authentication, which must prove true.
    pub(super) claimed: Option<BareJid>,
    language: Option<String>,
    pub(super) failures: u32,
    /// The mechanism that was named last, where it is known.
    pub(super) attempted: Option<Mechanism>,
    bind_failures: u32,
    pub(super) registrations: u32,
    /// An account was made over this connection.
    pub(super) registered: bool,
    /// Stream management has begun (XEP-0198 §3).
    pub(super) managed: bool,
}

/// What the stream awaits.
pub(super) enum State {
    ExpectHeader(Stage),
    ExpectStartTls,
    /// The TLS handshake: no XML may be written (RFC 6120 §5.4.3.1).
    ExpectTls,
    ExpectAuth,
    ExpectSaslResponse(Exchange),
    /// The session's answer about an account.
    ExpectCredentials(Pending),
    /// The session's answer about what was asked for with SASL2. `data` goes with success.
    ExpectInlined {
        account: BareJid,
        data: Vec<u8>,
    },
    /// The session's answer about an account that is to be made.
    ExpectRegistered {
        id: Option<String>,
    },
    ExpectBind {
        account: BareJid,
    },
    /// The session's answer about a session of before.
    ExpectResumed {
        account: BareJid,
    },
    /// The session's answer about a resource.
    ExpectBound {
        account: BareJid,
        id: Option<String>,
    },
    Established {
        jid: FullJid,
    },
    Closed,
}

/// In whose words the handshake that goes on is held.
pub(super) enum Profile {
    /// RFC 6120 §6.
    Sasl,
    /// XEP-0388, with what was asked for beside.
    Sasl2(Box<Inline>),
}

/// Which of a connection's streams a header opens.
pub(super) enum Stage {
    BeforeTls,
    BeforeAuth,
    AfterAuth(BareJid),
}

/// What our direction of the stream can bear.
#[derive(PartialEq, Eq)]
pub(super) enum Wire {
    /// Our header is not out yet: it goes before anything else.
    Unopened,
    Open,
    /// A TLS handshake is due: no XML until it is complete.
    Handshake,
}

/// The next state, or what ends the stream.
pub(super) type Next = Result<State, StreamError>;

impl Stream {
    /// A stream whose peer has not said anything. Each of its headers takes one of the `ids`, which are
    /// unpredictable and never used again (RFC 6120 §4.7.3).
    pub fn new(options: Arc<Options>, channel: Channel, ids: [String; STREAM_IDS]) -> Self {
        let stage = match channel {
            Channel::StartTls => Stage::BeforeTls,
            Channel::Tls | Channel::Clear => Stage::BeforeAuth,
        };
        Stream {
            options,
            state: State::ExpectHeader(stage),
            wire: Wire::Unopened,
            ids: ids.into_iter(),
            secured: (channel == Channel::Tls).then(Secured::default),
            profile: Profile::Sasl,
            host: None,
            claimed: None,
            language: None,
            failures: 0,
            attempted: None,
            bind_failures: 0,
            registrations: 0,
            registered: false,
            managed: false,
        }
    }

    /// Where the stream runs over TLS from its first byte: what that handshake yielded.
    #[must_use]
    pub fn with_secured(mut self, secured: Secured) -> Self {
        if self.secured.is_some() {
            self.secured = Some(secured);
        }
        self
    }

    /// Takes in what happened, and says what is to be done.
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let state = mem::replace(&mut self.state, State::Closed);
        let next = match (state, input) {
            (State::Closed, _) => return out,
            (State::ExpectTls, input) => Ok(self.expect_tls(input, &mut out)),
            (state, Input::Header(header)) => self.header(state, &header, &mut out),
            (state, Input::Element(element)) => self.element(state, element, &mut out),
            (_, Input::End) => Ok(self.finish(None, Peer::Closed, &mut out)),
            (State::ExpectCredentials(pending), Input::Credentials(answer)) => {
                self.step(pending.answer(answer), &mut out)
            }
            (State::ExpectBound { account, id }, Input::Bound(jid)) => bound(&account, id.as_deref(), jid, &mut out),
            (State::ExpectBound { account, id }, Input::BindRefused(refusal)) => {
                self.bind_failed(account, id.as_deref(), refusal, &mut out)
            }
            (State::ExpectInlined { account, data }, Input::Inlined(inlined)) => {
                self.inlined(account, &data, &inlined, &mut out)
            }
            (State::ExpectResumed { account }, Input::Resumed { jid, previd, h }) => {
                self.resumed(&account, jid, &previd, h, &mut out)
            }
            (State::ExpectResumed { account }, Input::ResumeRefused(refusal)) => {
                write_element(&mut out, &sm::failed(refusal));
                self.bind_attempt_failed(account)
            }
            (_, Input::Malformed(error)) => Err(error),
            (_, Input::Timeout) => Err(StreamCondition::ConnectionTimeout.into()),
            (State::ExpectRegistered { id }, Input::Registered(refusal)) => {
                self.register_settled(id.as_deref(), refusal, &mut out)
            }
            // Answers to questions that were not asked: a mistake of the session.
            (
                _,
                Input::TlsDone(_)
                | Input::TlsFailed
                | Input::Credentials(_)
                | Input::Bound(_)
                | Input::BindRefused(_)
                | Input::Inlined(_)
                | Input::Registered(_)
                | Input::Resumed { .. }
                | Input::ResumeRefused(_),
            ) => Err(StreamCondition::InternalServerError.into()),
        };
        self.state = next.unwrap_or_else(|error| self.finish(Some(&error), Peer::Open, &mut out));
        out
    }

    /// Ends the stream from this side for a reason: `system-shutdown`, `conflict`, `policy-violation` …
    /// Our header goes first where none has been sent.
    pub fn close_with(&mut self, error: &StreamError) -> Vec<Output> {
        self.close_for(Some(error))
    }

    /// Ends the stream from this side without an error.
    pub fn close(&mut self) -> Vec<Output> {
        self.close_for(None)
    }

    /// Whether a question is open: those [`Output`]s that begin with `Ask`, and [`Output::StartTls`].
    /// Until it is answered no header and no element may be fed.
    pub fn awaits_answer(&self) -> bool {
        match self.state {
            State::ExpectTls
            | State::ExpectCredentials(_)
            | State::ExpectInlined { .. }
            | State::ExpectRegistered { .. }
            | State::ExpectBound { .. }
            | State::ExpectResumed { .. } => true,
            State::ExpectHeader(_)
            | State::ExpectStartTls
            | State::ExpectAuth
            | State::ExpectSaslResponse(_)
            | State::ExpectBind { .. }
            | State::Established { .. }
            | State::Closed => false,
        }
    }

    /// Whether [`Output::Close`] has been said. Nothing comes after it.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The account that the peer has proved to speak for.
    pub fn account(&self) -> Option<&BareJid> {
        match &self.state {
            State::ExpectHeader(Stage::AfterAuth(account))
            | State::ExpectBind { account }
            | State::ExpectInlined { account, .. }
            | State::ExpectResumed { account }
            | State::ExpectBound { account, .. } => Some(account),
            State::Established { jid } => Some(jid.bare()),
            State::ExpectHeader(Stage::BeforeTls | Stage::BeforeAuth)
            | State::ExpectStartTls
            | State::ExpectTls
            | State::ExpectAuth
            | State::ExpectSaslResponse(_)
            | State::ExpectCredentials(_)
            | State::ExpectRegistered { .. }
            | State::Closed => None,
        }
    }

    /// The served domain that the peer opened its stream to. When TLS begins it chooses the certificate
    /// (RFC 6120 §5.4.3.1), and is then forgotten.
    pub fn host(&self) -> Option<&BareJid> {
        self.host.as_ref()
    }

    /// The default language of the peer's stanzas (RFC 6120 §4.7.4), to be stamped on those that are
    /// delivered to others and have none.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// The stream begins anew, with new headers (RFC 6120 §4.3.3).
    pub(super) fn restart(&mut self, stage: Stage) -> State {
        self.wire = Wire::Unopened;
        State::ExpectHeader(stage)
    }

    fn header(&mut self, state: State, header: &Header, out: &mut Vec<Output>) -> Next {
        let State::ExpectHeader(stage) = state else {
            return Err(StreamCondition::BadFormat.because("the stream is open already"));
        };
        let opening = Opening::read(header);
        let host = self.host_for(&opening, &stage);
        // RFC 6120 §4.9.1.2: whatever is wrong with the client's header, ours goes first.
        self.open(host.as_ref().ok(), opening.from.given(), opening.version, out);
        opening.check()?;
        self.host = Some(host?);
        self.language = opening.language;
        let claimed = opening.from.given().cloned();
        match stage {
            Stage::BeforeTls => {
                write(out, &features::render(&Offer::StartTls));
                Ok(State::ExpectStartTls)
            }
            Stage::BeforeAuth => {
                self.claimed = claimed;
                self.offer_authentication(out);
                Ok(State::ExpectAuth)
            }
            Stage::AfterAuth(account) => {
                if claimed.is_some_and(|claimed| claimed != account) {
                    return Err(StreamCondition::InvalidFrom.because("'from' is not the account that authenticated"));
                }
                write(out, &features::render(&Offer::Binding(self.standing_offer())));
                Ok(State::ExpectBind { account })
            }
        }
    }

    /// The served domain that a header means.
    fn host_for(&self, opening: &Opening, stage: &Stage) -> Result<BareJid, StreamError> {
        let unknown = || StreamCondition::HostUnknown.because("this domain is not served here");
        match (&opening.to, stage, &self.host) {
            (Address::Malformed, ..) => Err(unknown()),
            (Address::Absent, Stage::AfterAuth(_), Some(host)) => Ok(host.clone()),
            // RFC 6120 §4.7.2 asks to be liberal with those who give no 'to'; with one domain it is clear.
            (Address::Absent, ..) => match self.options.hosts.as_slice() {
                [host] => Ok(host.clone()),
                _ => Err(StreamCondition::HostUnknown.because("'to' must name a domain that is served here")),
            },
            (Address::Given(to), ..) if !self.options.hosts.contains(to) => Err(unknown()),
            // Whoever has authenticated at one domain has not done so at another.
            (Address::Given(to), Stage::AfterAuth(_), Some(host)) if to != host => {
                Err(StreamCondition::NotAuthorized.because("the domain must not change when a stream restarts"))
            }
            (Address::Given(to), ..) => Ok(to.clone()),
        }
    }

    fn element(&mut self, state: State, element: Element, out: &mut Vec<Output>) -> Next {
        if self.wire == Wire::Open {
            if element.is("error", STREAMS_NS) {
                // RFC 6120 §4.9.1.1: whoever receives a stream error closes the stream.
                return Ok(self.finish(None, Peer::Open, out));
            }
            if element.is("starttls", TLS_NS) && !matches!(state, State::ExpectStartTls) {
                return Ok(self.refuse_tls(out));
            }
        }
        match state {
            State::ExpectStartTls => self.expect_starttls(&element, out),
            State::ExpectAuth => self.expect_auth(&element, out),
            State::ExpectSaslResponse(exchange) => self.expect_sasl_response(exchange, &element, out),
            State::ExpectBind { account } => self.expect_bind(account, &element, out),
            State::Established { jid } => self.established(jid, element, out),
            State::ExpectHeader(_) => Err(StreamCondition::BadFormat.because("a stream begins with its header")),
            State::ExpectCredentials(_)
            | State::ExpectInlined { .. }
            | State::ExpectRegistered { .. }
            | State::ExpectBound { .. }
            | State::ExpectResumed { .. } => {
                Err(StreamCondition::PolicyViolation.because("sent before the last request was answered"))
            }
            State::ExpectTls | State::Closed => Ok(State::Closed),
        }
    }

    fn expect_starttls(&mut self, element: &Element, out: &mut Vec<Output>) -> Next {
        if element.is("starttls", TLS_NS) {
            if !element.nodes().is_empty() {
                return Ok(self.refuse_tls(out));
            }
            write_element(out, &Element::new("proceed", TLS_NS));
            out.push(Output::StartTls);
            self.wire = Wire::Handshake;
            return Ok(State::ExpectTls);
        }
        if element.is("auth", SASL_NS) {
            // RFC 6120 §6.5.4. There is no second try: what was said was said in the clear.
            write_element(out, &SaslCondition::EncryptionRequired.element());
            return Ok(self.finish(None, Peer::Open, out));
        }
        Err(StreamCondition::NotAuthorized.because("TLS comes first"))
    }

    fn expect_tls(&mut self, input: Input, out: &mut Vec<Output>) -> State {
        if let Input::TlsDone(secured) = input {
            // RFC 6120 §5.4.3.3: what was learned in the clear is forgotten.
            self.host = None;
            self.language = None;
            self.secured = Some(*secured);
            out.push(Output::ResetParser);
            return self.restart(Stage::BeforeAuth);
        }
        self.finish(None, Peer::Closed, out)
    }

    fn expect_bind(&mut self, account: BareJid, element: &Element, out: &mut Vec<Output>) -> Next {
        if is_compress(element) {
            refuse_compression(out);
            return Ok(State::ExpectBind { account });
        }
        if let Some(said) = sm::Said::read(element) {
            return self.manage_unbound(account, said, out);
        }
        let Some(request) = BindRequest::read(element) else {
            // RFC 6120 §7.1: no stanza passes before a resource is bound.
            return Err(StreamCondition::NotAuthorized.because("a resource must be bound first"));
        };
        let resource = match request.resource.map(|resource| account.with_resource(&resource)).transpose() {
            Ok(full) => full.map(|full| full.resource().to_owned()),
            Err(_) => return self.bind_failed(account, request.id.as_deref(), BindRefusal::BadRequest, out),
        };
        out.push(Output::AskBind { account: account.clone(), resource });
        Ok(State::ExpectBound { account, id: request.id })
    }

    fn bind_failed(&mut self, account: BareJid, id: Option<&str>, refusal: BindRefusal, out: &mut Vec<Output>) -> Next {
        write_element(out, &bind::refused(id, refusal));
        self.bind_attempt_failed(account)
    }

    pub(super) fn bind_attempt_failed(&mut self, account: BareJid) -> Next {
        self.bind_failures += 1;
        if self.bind_failures >= BIND_FAILURES_MAX {
            return Err(StreamCondition::PolicyViolation.because("too many attempts to bind a resource"));
        }
        Ok(State::ExpectBind { account })
    }

    fn established(&mut self, jid: FullJid, element: Element, out: &mut Vec<Output>) -> Next {
        if let Some(said) = sm::Said::read(&element) {
            return self.manage(jid, &said, out);
        }
        if !stanza::is_stanza(&element) {
            // XEP-0352 §4.
            if self.options.client_state && element.ns() == CSI_NS && matches!(element.name(), "active" | "inactive") {
                out.push(Output::ClientState { active: element.name() == "active" });
                return Ok(State::Established { jid });
            }
            if is_compress(&element) {
                refuse_compression(out);
                return Ok(State::Established { jid });
            }
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        let stanza = stanza::with_sender(element, &jid)?;
        match bind::late_answer(&stanza) {
            Some(answer) if stanza::is_for_server(&stanza, self.host.as_ref(), jid.bare()) => {
                out.push(Output::Reply(bytes_of(&answer)));
            }
            _ => out.push(Output::Stanza(stanza)),
        }
        Ok(State::Established { jid })
    }

    /// RFC 6120 §5.4.2.2: the command is malformed, or TLS was not offered.
    fn refuse_tls(&mut self, out: &mut Vec<Output>) -> State {
        write_element(out, &Element::new("failure", TLS_NS));
        self.finish(None, Peer::Open, out)
    }

    fn close_for(&mut self, error: Option<&StreamError>) -> Vec<Output> {
        let mut out = Vec::new();
        if !self.is_closed() {
            self.state = self.finish(error, Peer::Open, &mut out);
        }
        out
    }

    /// The one place where a stream ends: header where none is out, error, closing tag (RFC 6120 §4.4,
    /// §4.9.1).
    fn finish(&mut self, error: Option<&StreamError>, peer: Peer, out: &mut Vec<Output>) -> State {
        if self.wire == Wire::Unopened && error.is_some() {
            let host = self.host.clone();
            self.open(host.as_ref(), None, Version::Given(1, 0), out);
        }
        if self.wire == Wire::Open {
            if let Some(error) = error {
                write(out, &error.render());
            }
            write(out, b"</stream:stream>");
        }
        // Without a stream there is no closing tag to wait for.
        out.push(Output::Close { linger: peer == Peer::Open && self.wire == Wire::Open });
        State::Closed
    }

    /// Writes our header. It comes from a domain that is served (RFC 6120 §4.9.1.3).
    fn open(&mut self, host: Option<&BareJid>, to: Option<&BareJid>, version: Version, out: &mut Vec<Output>) {
        let host = host.or(self.host.as_ref()).or(self.options.hosts.first()).map_or("", BareJid::as_str);
        let id = self.ids.next().expect("a connection restarts its stream at most twice");
        write(out, &header::render(host, to, &id, version));
        self.wire = Wire::Open;
    }
}

/// Whether the peer has closed its direction.
#[derive(PartialEq, Eq)]
enum Peer {
    Open,
    Closed,
}

fn bound(account: &BareJid, id: Option<&str>, jid: FullJid, out: &mut Vec<Output>) -> Next {
    if jid.bare() != account {
        // The session bound somebody else: a mistake that must not open a door.
        return Err(StreamCondition::InternalServerError.into());
    }
    write_element(out, &bind::bound(id, &jid));
    out.push(Output::Established { jid: jid.clone() });
    Ok(State::Established { jid })
}

pub(super) fn is_compress(element: &Element) -> bool {
    element.is("compress", COMPRESS_NS)
}

/// Compression is never offered: it lets small stanzas become large ones (XEP-0138 §3).
pub(super) fn refuse_compression(out: &mut Vec<Output>) {
    let reason = Element::new("unsupported-method", COMPRESS_NS);
    write_element(out, &Element::new("failure", COMPRESS_NS).with_child(reason));
}

/// A connection opens its stream at most so often: in the clear, under TLS, after authentication.
pub const STREAM_IDS: usize = 3;

/// The first try and the fewest retries that RFC 6120 §7.7.3 allows.
const BIND_FAILURES_MAX: u32 = 6;
