//! From the first byte to a bound resource.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::framing;
use super::pipe::{Carrier, Pipe, Upgrade};
use super::resumption::{Handed, Refused};
use super::standing::{Managed, Standing};
use super::wire::{Moved, Wire};
use super::{Options, Shared};
use crate::access::{Login, Stay};
use crate::delivery::Moment;
use crate::jid::{BareJid, FullJid};
use crate::pubsub::Role;
use crate::router::{BindFailed, Presence};
use crate::stream::{
    self, BindRefusal, Header, Input, Mechanism, Output, SmRefusal, Stream, StreamCondition, StreamError,
};
use crate::xml::{Parser, XmlError, XmlEvent};

/// A peer and what is said with it, at any stage.
pub(super) struct Talk {
    pub wire: Wire,
    pub parser: Parser,
    pub stream: Stream,
    pub peer: IpAddr,
}

/// A session that is bound.
pub(super) struct Established {
    /// In a box: it is handed on, and every future on the way would have room for it.
    pub talk: Box<Talk>,
    pub who: Who,
}

pub(super) enum Who {
    New {
        presence: Presence,
        /// Before the peer was told of its address.
        bound_at: Moment,
        login: Login,
        role: Role,
        /// The place of one who has no account.
        stay: Option<Stay>,
        /// Where stream management has begun with the binding.
        managed: Option<Box<Managed>>,
        /// Nobody looks at the client (XEP-0386 §3.2, XEP-0352).
        inactive: bool,
    },
    /// A session of before, whose peer has received `h` stanzas.
    Resumed { standing: Box<Standing>, h: u32 },
}

impl Established {
    pub fn jid(&self) -> &FullJid {
        match &self.who {
            Who::New { presence, .. } => presence.jid(),
            Who::Resumed { standing, .. } => standing.presence.jid(),
        }
    }
}

/// Something that the peer did, or failed to do.
pub(super) enum Heard {
    Input(Input),
    /// The connection is gone.
    Gone,
}

pub(super) struct Negotiation {
    pub shared: Arc<Shared>,
    pub talk: Option<Talk>,
    upgrade: Option<Upgrade>,
    unauthenticated: Option<Box<dyn Send>>,
    pub login: Option<Login>,
    /// Absent where it follows from the login.
    pub role: Option<Role>,
    pub stay: Option<Stay>,
    /// The mechanism of a token that was used and is to be replaced.
    pub token_due: Option<Mechanism>,
    pub managed: Option<Box<Managed>>,
    pub inactive: bool,
    bound: Option<(Presence, Moment)>,
    resumed: Option<(Handed, u32)>,
}

enum Step {
    On(Vec<Output>),
    Established,
    Over,
}

/// Negotiates, within the time that is allowed for it.
pub(super) async fn negotiate(shared: Arc<Shared>, pipe: Pipe) -> Option<Established> {
    let options = &shared.options;
    let channel = match (&pipe.upgrade, pipe.clear) {
        (Some(_), _) => stream::Channel::StartTls,
        (None, true) => stream::Channel::Clear,
        (None, false) => stream::Channel::Tls,
    };
    let stream = Stream::new(Arc::new(options.stream.clone()), channel, stream_ids()).with_secured(pipe.secured);
    let parser = Parser::new(options.limits_unauthenticated);
    let talk = Talk { wire: Wire::new(pipe.carrier), parser, stream, peer: pipe.peer.ip() };
    let deadline = tokio::time::Instant::now() + options.negotiation_max;
    let mut negotiation = Negotiation {
        shared: shared.clone(),
        talk: Some(talk),
        upgrade: pipe.upgrade,
        unauthenticated: pipe.unauthenticated,
        login: None,
        role: None,
        stay: None,
        token_due: None,
        managed: None,
        inactive: false,
        bound: None,
        resumed: None,
    };
    match tokio::time::timeout_at(deadline, negotiation.run()).await {
        Ok(established) => established,
        Err(_) => {
            if let Some(talk) = negotiation.talk {
                talk.close(Input::Timeout).await;
            }
            None
        }
    }
}

impl Negotiation {
    async fn run(&mut self) -> Option<Established> {
        let stop = self.shared.stop.clone();
        loop {
            let heard = {
                let talk = self.talk.as_mut()?;
                tokio::select! {
                    heard = talk.hear() => heard,
                    () = stop.cancelled() => {
                        let talk = self.talk.take()?;
                        talk.end(StreamCondition::SystemShutdown.because("the server stops")).await;
                        return None;
                    }
                }
            };
            let Heard::Input(input) = heard else { return None };
            let mut outputs = self.talk.as_mut()?.stream.handle(input);
            loop {
                match self.carry_out(outputs).await {
                    Step::On(more) if more.is_empty() => break,
                    Step::On(more) => outputs = more,
                    Step::Established => return self.established(),
                    Step::Over => return None,
                }
            }
        }
    }

    fn established(&mut self) -> Option<Established> {
        let (talk, login) = (Box::new(self.talk.take()?), self.login.take()?);
        if let Some((handed, h)) = self.resumed.take() {
            let mut standing = handed.take()?;
            // What was proved now is what holds from now on, no more and no less.
            let role = self.role_of(&login);
            standing.caller.role = role;
            standing.feed.set_role(role);
            standing.login = login;
            return Some(Established { talk, who: Who::Resumed { standing, h } });
        }
        let (presence, bound_at) = self.bound.take()?;
        let role = self.role_of(&login);
        let (stay, managed, inactive) = (self.stay.take(), self.managed.take(), self.inactive);
        Some(Established { talk, who: Who::New { presence, bound_at, login, role, stay, managed, inactive } })
    }

    fn role_of(&self, login: &Login) -> Role {
        self.role.unwrap_or(if login.admin { Role::Admin } else { Role::Account })
    }

    /// Does what the stream wants done; what follows from it comes back.
    async fn carry_out(&mut self, outputs: Vec<Output>) -> Step {
        let mut outputs = outputs.into_iter();
        let mut over = Step::On(Vec::new());
        while let Some(output) = outputs.next() {
            let Some(talk) = self.talk.as_mut() else { return Step::Over };
            let input = match output {
                Output::Write(bytes) => {
                    talk.wire.push(Bytes::from(bytes));
                    continue;
                }
                Output::ResetParser => {
                    let limits = self.limits();
                    if let Some(talk) = self.talk.as_mut() {
                        talk.parser.reset(limits);
                    }
                    continue;
                }
                Output::ScramEnded { account, success } => {
                    self.shared.access.scram_ended(&account, talk.peer, success);
                    continue;
                }
                Output::Authenticated { .. } => {
                    self.unauthenticated = None;
                    talk.parser.set_limits(self.shared.options.limits);
                    continue;
                }
                Output::Established { .. } => {
                    over = Step::Established;
                    continue;
                }
                Output::Stanza(_)
                | Output::Reply(_)
                | Output::EnableSm { .. }
                | Output::AckAsked
                | Output::ClientState { .. }
                | Output::Acknowledged(_) => continue,
                Output::StartTls => self.start_tls().await,
                Output::AskScram { account, hash } => Some(self.ask_scram(account, hash).await),
                Output::AskPassword { account, password } => Some(self.ask_password(account, password).await),
                Output::AskCertified { account } => Some(self.ask_certified(account).await),
                Output::AskAnonymous => Some(self.ask_anonymous()),
                Output::AskBearer { token } => Some(self.ask_bearer(&token).await),
                Output::AskToken(proof) => Some(self.ask_token(*proof).await),
                Output::AskRegister { account, password } => Some(self.register(account, password).await),
                Output::AskInline(ask) => Some(self.inline(*ask).await),
                Output::AskBind { account, resource } => Some(self.bind(account, resource)),
                Output::AskResume { account, previd, h } => Some(self.resume(account, previd, h).await),
                Output::Close { linger } => {
                    if let Some(talk) = self.talk.take() {
                        talk.let_go(linger).await;
                    }
                    return Step::Over;
                }
            };
            let (Some(input), Some(talk)) = (input, self.talk.as_mut()) else { return Step::Over };
            let mut next = talk.stream.handle(input);
            next.extend(outputs);
            return Step::On(next);
        }
        over
    }

    fn limits(&self) -> crate::xml::Limits {
        let options = &self.shared.options;
        if self.login.is_some() { options.limits } else { options.limits_unauthenticated }
    }

    async fn start_tls(&mut self) -> Option<Input> {
        let mut talk = self.talk.take()?;
        let upgrade = self.upgrade.take()?;
        // What came behind <starttls/> came in the clear: it must never be read as if it had come
        // under TLS (RFC 6120 §5.4.3.3).
        if !talk.wire.input().is_empty() {
            return None;
        }
        talk.wire.flush().await.ok()?;
        let Talk { wire, parser, stream, peer } = talk;
        let io = wire.into_io()?;
        match upgrade(io).await {
            Ok((io, secured)) => {
                self.talk = Some(Talk { wire: Wire::new(Carrier::Bytes(io)), parser, stream, peer });
                Some(Input::TlsDone(Box::new(secured)))
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                None
            }
        }
    }

    /// Takes over a session of before: its address, and how many stanzas of the peer it has received.
    pub async fn find(&mut self, account: &BareJid, previd: &str, h: u32) -> Result<(FullJid, u32), Refused> {
        let handed = self.shared.resumption.resume(account, previd, h).await?;
        let Some(standing) = handed.standing() else {
            return Err(Refused::Sm(SmRefusal::NotFound { h: None }));
        };
        let jid = standing.presence.jid().clone();
        let received = standing.managed.as_ref().map_or(0, |managed| managed.handled.received());
        self.resumed = Some((handed, h));
        Ok((jid, received))
    }

    /// Looks for the session that the peer wants to go on with (XEP-0198 §5).
    async fn resume(&mut self, account: BareJid, previd: String, h: u32) -> Input {
        match self.find(&account, &previd, h).await {
            Ok((jid, h)) => Input::Resumed { jid, previd, h },
            Err(Refused::Sm(refusal)) => Input::ResumeRefused(refusal),
            Err(Refused::FalseAck(false_ack)) => Input::Malformed(false_ack.error()),
        }
    }

    fn bind(&mut self, account: BareJid, resource: Option<String>) -> Input {
        let resource = resource.unwrap_or_else(fresh_name);
        let full = account.with_resource(&resource).map_err(|_| BindRefusal::BadRequest);
        full.and_then(|full| self.take(full)).map_or_else(Input::BindRefused, Input::Bound)
    }

    /// Takes an address for this session.
    pub fn take(&mut self, full: FullJid) -> Result<FullJid, BindRefusal> {
        let Options { inbox_max, sessions_per_account_max, .. } = self.shared.options;
        match self.shared.router.bind(full.clone(), inbox_max, sessions_per_account_max) {
            Ok(presence) => {
                self.bound = Some((presence, self.shared.delivery.moment()));
                Ok(full)
            }
            Err(BindFailed::TooMany) => Err(BindRefusal::TooManySessions),
        }
    }
}

/// Begins stream management for a session of this account, which may be resumed where that is wanted
/// and allowed (XEP-0198 §3).
pub(super) fn enable_sm(shared: &Shared, account: &BareJid, resume: bool, max: Option<u32>) -> Box<Managed> {
    let most = shared.options.sm.resume_max;
    let max = max.map_or(most, |wanted| most.min(Duration::from_secs(u64::from(wanted))));
    let resumable = (resume && !max.is_zero()).then(|| shared.resumption.enter(fresh_name(), account.clone(), max));
    Box::new(Managed::new(resumable))
}

impl Talk {
    /// The next thing that the peer says; writes what is queued meanwhile.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some(input) = self.parsed() {
                return Heard::Input(input);
            }
            match std::future::poll_fn(|cx| self.wire.poll(cx, true)).await {
                Ok(Moved::Read | Moved::Wrote) => {}
                Ok(Moved::Ended) | Err(_) => return Heard::Gone,
            }
        }
    }

    /// What the input that was read already holds.
    pub fn parsed(&mut self) -> Option<Input> {
        if self.stream.awaits_answer() { None } else { parse(&mut self.wire, &mut self.parser) }
    }

    /// Ends the stream with an error of ours.
    pub async fn end(mut self, error: StreamError) {
        let outputs = self.stream.close_with(&error);
        self.finish(outputs).await;
    }

    /// Ends the stream as this input makes it end.
    pub async fn close(mut self, input: Input) {
        let outputs = self.stream.handle(input);
        self.finish(outputs).await;
    }

    /// Writes what is left to be written, and lets go.
    pub async fn finish(mut self, outputs: Vec<Output>) {
        let mut lingering = false;
        for output in outputs {
            match output {
                Output::Write(bytes) => self.wire.push(Bytes::from(bytes)),
                Output::Close { linger } => lingering = linger,
                _ => {}
            }
        }
        self.let_go(lingering).await;
    }

    async fn let_go(self, linger: bool) {
        let_go(self.wire, linger).await;
    }
}

/// What the input that was read holds next.
pub(super) fn parse(wire: &mut Wire, parser: &mut Parser) -> Option<Input> {
    let whole = wire.input();
    if whole.is_empty() {
        return None;
    }
    if wire.is_framed() {
        let input = framing::input(whole, parser.limits());
        let taken = whole.len();
        wire.consume(taken);
        return Some(input);
    }
    let mut input = whole;
    let event = parser.feed(&mut input);
    let taken = whole.len() - input.len();
    wire.consume(taken);
    match event {
        Ok(None) => None,
        Ok(Some(XmlEvent::StreamStart { header, default_ns })) => {
            let default_ns = Some(default_ns.to_string()).filter(|ns| !ns.is_empty());
            Some(Input::Header(Header { root: header, default_ns }))
        }
        Ok(Some(XmlEvent::Element(element))) => Some(Input::Element(element)),
        Ok(Some(XmlEvent::StreamEnd)) => Some(Input::End),
        Err(error) => Some(Input::Malformed(stream_error(&error))),
    }
}

/// Writes what is left to be written, and closes.
pub(super) async fn let_go(mut wire: Wire, linger: bool) {
    let parting = async {
        wire.flush().await?;
        wire.shutdown().await?;
        if linger {
            // What we wrote would be lost to a reset if the socket were closed upon unread input.
            loop {
                match std::future::poll_fn(|cx| wire.poll(cx, true)).await? {
                    Moved::Ended => break,
                    Moved::Read => {
                        let bytes = wire.input().len();
                        wire.consume(bytes);
                    }
                    Moved::Wrote => {}
                }
            }
        }
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PARTING_MAX, parting).await;
}

pub(super) fn stream_error(error: &XmlError) -> StreamError {
    match error {
        XmlError::NotWellFormed(why) => StreamCondition::NotWellFormed.because(why.clone()),
        XmlError::Restricted(what) => StreamCondition::RestrictedXml.because(*what),
        XmlError::UnsupportedEncoding => StreamCondition::UnsupportedEncoding.because("only UTF-8 is read"),
        XmlError::StrayText => StreamCondition::BadFormat.because("text between stanzas"),
        limit => {
            let error = StreamCondition::PolicyViolation.because(limit.to_string());
            match limit {
                // XEP-0205 §4 and common practice name the condition that a client can act upon.
                XmlError::TooBig => {
                    error.with_application(crate::xml::Element::new("stanza-too-big", "urn:xmpp:errors"))
                }
                _ => error,
            }
        }
    }
}

fn stream_ids() -> [String; stream::STREAM_IDS] {
    std::array::from_fn(|_| fresh_name())
}

/// 128 random bits as text: stream ids, resources.
pub(super) fn fresh_name() -> String {
    random_text(NAME_BYTES)
}

pub(super) fn random_text(bytes: usize) -> String {
    let mut bits = [0; NONCE_BYTES];
    getrandom::fill(&mut bits[..bytes]).expect("the operating system gives random bytes");
    bits[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}

const NAME_BYTES: usize = 16;
pub(super) const NONCE_BYTES: usize = 24;
/// What a peer may take to let itself be parted from.
const PARTING_MAX: Duration = Duration::from_secs(5);
