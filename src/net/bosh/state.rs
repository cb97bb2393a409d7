//! One session over HTTP (XEP-0124): which request is whose turn, what is answered when, and what is
//! kept to be answered again. Knows no HTTP and no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use sha1::{Digest as _, Sha1};
use tokio::sync::oneshot::Sender;
use tokio::time::Instant;

use super::body::{Answer, BadRequest, Body, Condition, FRAMING_NS, XBOSH_NS};
use super::{BoshOptions, Posted};
use crate::xml::{Limits, parse_document};

/// What was agreed upon at the beginning (§7).
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub wait: Duration,
    pub hold: usize,
    pub inactivity: Duration,
    pub polling: Duration,
    pub pause_max: Duration,
    /// The version to name; absent where the client named none, and is answered as it was then (§17.1).
    version: Option<String>,
    acks: bool,
    media: Arc<str>,
    /// Whether the client said which host it wants.
    addressed: bool,
}

pub(super) struct State {
    pub terms: Terms,
    sid: Arc<str>,
    /// The last request whose payloads were taken.
    taken: u64,
    /// Requests that wait for one before them.
    early: BTreeMap<u64, Early>,
    /// Requests taken and not answered, oldest first.
    held: VecDeque<Held>,
    /// The newest answers, for those that were lost on their way (§14.3).
    answered: VecDeque<Answered>,
    inbound: VecDeque<Bytes>,
    inbound_bytes: usize,
    outbound: VecDeque<Bytes>,
    outbound_bytes: usize,
    /// What is due may be answered now: the session has no more at the moment.
    flushed: bool,
    /// The header of the first stream, until the client is told of it.
    opened: Option<Opened>,
    /// No answer was given yet.
    new: bool,
    end: Option<End>,
    /// The client knows that it is over.
    over: bool,
    key: Option<String>,
    /// The peer has said who it is.
    pub known: bool,
    last: Option<Last>,
    /// Since when no request is held.
    idle_since: Instant,
    /// The period of inactivity that holds now (§10).
    inactivity: Duration,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

struct Early {
    body: Body,
    reply: Sender<Posted>,
}

struct Held {
    rid: u64,
    key: Option<String>,
    reply: Sender<Posted>,
    until: Instant,
    pause: bool,
    /// It opens a stream: there will be something to answer.
    opens: bool,
    repeats: u32,
}

struct Answered {
    rid: u64,
    key: Option<String>,
    body: Bytes,
    payloads: bool,
    repeats: u32,
}

/// The newest request.
struct Last {
    rid: u64,
    at: Instant,
    poll: bool,
}

#[derive(Default)]
struct Opened {
    id: Option<String>,
    from: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As streams end, because the client or we wanted it.
    Closed,
    Failed(Condition),
}

impl Terms {
    pub fn agree(options: &BoshOptions, body: &Body) -> Result<Self, BadRequest> {
        let version = match body.attr("ver") {
            None => None,
            Some(theirs) => Some(lower_version(theirs)?),
        };
        let wait = body.number("wait")?.map_or(options.wait, |wait| options.wait.min(Duration::from_secs(wait)));
        let hold = body.number("hold")?.unwrap_or(HOLD_MAX).min(HOLD_MAX);
        let media = body.attr("content").unwrap_or(MEDIA);
        let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if media.is_empty() || media.len() > MEDIA_BYTES_MAX || !media.bytes().all(visible) {
            return Err(BadRequest);
        }
        let polls = hold == 0 || wait.is_zero();
        Ok(Terms {
            wait,
            hold: if polls { 0 } else { hold as usize },
            // §12: who polls is given longer.
            inactivity: if polls { options.inactivity + 2 * options.polling } else { options.inactivity },
            polling: options.polling,
            pause_max: options.pause_max,
            version,
            acks: body.attr("ack") == Some("1"),
            media: Arc::from(media),
            addressed: body.attr("to").is_some_and(|to| !to.is_empty()),
        })
    }

    /// Requests that may be under way at once (§7.2).
    fn requests(&self) -> usize {
        self.hold + 1
    }

    /// What somebody is told whose session ends for this, or does not begin.
    pub fn refusal(&self, condition: Condition) -> Posted {
        let status = if self.version.is_some() { 200 } else { condition.legacy_status() };
        Posted { status, media: self.media.clone(), body: condition.body() }
    }
}

impl State {
    /// The session that a request asks for, and when it is to be answered at the latest.
    pub fn begin(
        sid: Arc<str>,
        terms: Terms,
        body: Body,
        reply: Sender<Posted>,
        now: Instant,
    ) -> Result<(Self, Instant), BadRequest> {
        let rid = body.rid()?;
        let inactivity = terms.inactivity;
        let mut state = State {
            terms,
            sid,
            taken: rid,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            answered: VecDeque::new(),
            inbound: VecDeque::new(),
            inbound_bytes: 0,
            outbound: VecDeque::new(),
            outbound_bytes: 0,
            flushed: false,
            opened: None,
            new: true,
            end: None,
            over: false,
            key: body.attr("newkey").map(str::to_owned),
            known: false,
            last: Some(Last { rid, at: now, poll: false }),
            idle_since: now,
            inactivity,
            reader: None,
            writer: None,
        };
        state.hear(body.open());
        // Even who polls is told the features of the stream at once: they come in no time.
        let until = now + state.terms.wait.max(OPENING_WAIT);
        state.held.push_back(Held { rid, key: None, reply, until, pause: false, opens: true, repeats: 0 });
        for payload in body.payloads {
            state.hear(payload);
        }
        Ok((state, until))
    }

    /// Takes a request in; it is answered when there is something to answer, or at the returned instant.
    pub fn request(&mut self, body: Body, reply: Sender<Posted>, now: Instant) -> Instant {
        let until = now + self.terms.wait.max(self.opening_wait(&body));
        let Ok(rid) = body.rid() else {
            self.fail(Condition::BadRequest, reply, now);
            return until;
        };
        if self.over {
            let _ = reply.send(self.terms.refusal(Condition::ItemNotFound));
        } else if self.inbound_bytes > INBOUND_BYTES_MAX {
            self.fail(Condition::PolicyViolation, reply, now);
        } else if rid <= self.taken || self.early.contains_key(&rid) {
            self.repeat(rid, &body, reply, until, now);
        } else if rid - self.taken > self.window(&body) {
            self.fail(Condition::ItemNotFound, reply, now);
        } else if rid > self.taken + 1 {
            self.early.insert(rid, Early { body, reply });
        } else {
            self.take(rid, body, reply, until, now);
            while let Some(Early { body, reply }) = self.early.remove(&(self.taken + 1)) {
                self.take(self.taken + 1, body, reply, until, now);
            }
        }
        self.settle(now);
        until
    }

    /// A request has waited as long as it may.
    pub fn expire(&mut self, rid: u64, now: Instant) {
        if let Some(Early { reply, .. }) = self.early.remove(&rid) {
            // §17.3: what came before it is missing, and is to be sent again with it.
            let _ = reply.send(self.posted(recoverable()));
        }
        while self.held.front().is_some_and(|held| held.until <= now) {
            self.answer(now);
        }
        self.settle(now);
    }

    /// The next thing that the client says.
    pub fn take_inbound(&mut self, now: Instant) -> Option<Bytes> {
        let next = self.inbound.pop_front()?;
        self.inbound_bytes -= next.len();
        self.settle(now);
        Some(next)
    }

    /// Requests that are not answered.
    pub fn waiting(&self) -> usize {
        self.held.len() + self.early.len()
    }

    /// Whether as much waits to be fetched as may.
    pub fn is_full(&mut self, now: Instant) -> bool {
        if self.outbound_bytes >= OUTBOUND_BYTES_MAX {
            self.flush(now);
        }
        self.outbound_bytes >= OUTBOUND_BYTES_MAX
    }

    /// Something for the client, which is a document of its own.
    pub fn say(&mut self, document: Bytes) {
        if document.starts_with(b"<open ") {
            if self.opened.is_none() {
                let open = parse_document(&document, &Limits::authenticated()).ok();
                let attr = |name: &str| open.as_ref().and_then(|open| open.attr(name)).map(str::to_owned);
                self.opened = Some(Opened { id: attr("id"), from: attr("from") });
            }
            return;
        }
        if document.starts_with(b"<close ") && contains(&document, FRAMING_NS) {
            self.end.get_or_insert(End::Closed);
            return;
        }
        if document.starts_with(b"<stream:error ") {
            let unknown = self.new && contains(&document, "<host-unknown ");
            let condition = match (unknown, self.terms.addressed) {
                (true, true) => Condition::HostUnknown,
                (true, false) => Condition::ImproperAddressing,
                (false, _) => Condition::RemoteStreamError,
            };
            self.end = Some(End::Failed(condition));
            if unknown {
                return;
            }
        }
        self.outbound_bytes += document.len();
        self.outbound.push_back(document);
    }

    /// The session has nothing more to say at the moment.
    pub fn flush(&mut self, now: Instant) {
        self.flushed = true;
        self.settle(now);
    }

    /// The stream is gone. False where the client has still to be told.
    pub fn close(&mut self, now: Instant) -> bool {
        self.end.get_or_insert(End::Failed(Condition::RemoteConnectionFailed));
        self.inbound.clear();
        self.inbound_bytes = 0;
        self.flush(now);
        self.over
    }

    /// Shows that the client is there, where it is.
    pub fn probe(&mut self) {
        if !self.held.is_empty() {
            self.hear(Bytes::new());
        }
    }

    /// When the client is taken for gone, unless it asks again; absent while it waits for us (§10).
    pub fn gone_at(&self) -> Option<Instant> {
        self.held.is_empty().then(|| self.idle_since + self.inactivity)
    }

    /// A request whose connection was lost, so that nobody waits for its answer; it may be sent again.
    pub fn lost(&mut self, rid: u64, now: Instant) {
        if self.early.get(&rid).is_some_and(|early| early.reply.is_closed()) {
            self.early.remove(&rid);
        }
        if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid && held.reply.is_closed()) {
            held.until = now;
            self.expire(rid, now);
        }
    }

    /// Takes the client for gone where it is; false where it has come back.
    pub fn abandon(&mut self, now: Instant) -> bool {
        self.over |= self.gone_at().is_some_and(|at| at <= now);
        self.over
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    fn opening_wait(&self, body: &Body) -> Duration {
        if body.is_restart() { OPENING_WAIT } else { Duration::ZERO }
    }

    /// §14.2; §11: to pause or to end, one more may be sent.
    fn window(&self, body: &Body) -> u64 {
        let parting = body.is_terminate() || body.attr("pause").is_some();
        self.terms.requests() as u64 + u64::from(parting)
    }

    fn take(&mut self, rid: u64, body: Body, reply: Sender<Posted>, until: Instant, now: Instant) {
        if !self.is_keyed_right(&body) {
            return self.fail(Condition::ItemNotFound, reply, now);
        }
        let Ok(pause) = body.number("pause") else { return self.fail(Condition::BadRequest, reply, now) };
        let pause = pause.map(Duration::from_secs);
        if pause.is_some_and(|pause| pause > self.terms.pause_max) {
            return self.fail(Condition::PolicyViolation, reply, now);
        }
        let (ends, restarts) = (body.is_terminate(), body.is_restart());
        let poll = body.payloads.is_empty() && pause.is_none() && !ends && !restarts;
        if self.is_overactive(poll, pause.is_some() || ends, now) {
            return self.fail(Condition::PolicyViolation, reply, now);
        }
        self.taken = rid;
        self.last = Some(Last { rid, at: now, poll });
        self.inactivity = pause.unwrap_or(self.terms.inactivity);
        let key = body.attr("key").map(str::to_owned);
        self.key = body.attr("newkey").map(str::to_owned).or_else(|| key.clone());
        if let Some(ack) = body.number("ack").ok().flatten() {
            self.answered.retain(|answered| answered.rid > ack);
        }
        let held = Held { rid, key, reply, until, pause: pause.is_some(), opens: restarts, repeats: 0 };
        self.held.push_back(held);
        if restarts {
            // XEP-0206 §5: what comes with it is passed over.
            self.hear(body.open());
        } else if self.end.is_none() {
            // A request without a payload says at least that somebody is there.
            if body.payloads.is_empty() {
                self.hear(Bytes::new());
            }
            body.payloads.into_iter().for_each(|payload| self.hear(payload));
        }
        if ends {
            self.hear(Bytes::from(format!("<close xmlns='{FRAMING_NS}'/>")));
        }
        if pause.is_some() {
            // §10: all that wait are answered, and this last.
            while !self.held.is_empty() {
                self.answer(now);
            }
        }
    }

    fn hear(&mut self, document: Bytes) {
        self.inbound_bytes += document.len();
        self.inbound.push_back(document);
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// §15.4.
    fn is_keyed_right(&self, body: &Body) -> bool {
        let Some(expected) = &self.key else { return true };
        let Some(key) = body.attr("key") else { return false };
        let hash: String = Sha1::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        hash.eq_ignore_ascii_case(expected)
    }

    /// Whether a request comes too soon, or is one too many (§11, §12).
    fn is_overactive(&self, poll: bool, parting: bool, now: Instant) -> bool {
        let unanswered = self.held.len() + 1;
        if unanswered > self.terms.requests() && !parting {
            return true;
        }
        let Some(last) = &self.last else { return false };
        if !poll || now.duration_since(last.at) >= self.terms.polling {
            return false;
        }
        if self.terms.hold > 0 {
            return unanswered == self.terms.requests() && self.held.iter().all(|held| !held.opens);
        }
        let fruitless = self.answered.back().is_some_and(|answered| answered.rid == last.rid && !answered.payloads);
        last.poll && fruitless
    }

    /// A request that came before (§14.3).
    fn repeat(&mut self, rid: u64, body: &Body, reply: Sender<Posted>, until: Instant, now: Instant) {
        let key = body.attr("key");
        if let Some(early) = self.early.get_mut(&rid) {
            let _ = std::mem::replace(&mut early.reply, reply).send(self.posted(recoverable()));
            return;
        }
        let again = self.posted(recoverable());
        if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid)
            && held.key.as_deref() == key
            && held.repeats < REPEATS_MAX
        {
            held.repeats += 1;
            held.until = until;
            let _ = std::mem::replace(&mut held.reply, reply).send(again);
            return;
        }
        let known = self.answered.iter_mut().find(|answered| answered.rid == rid);
        match known.filter(|answered| answered.key.as_deref() == key) {
            Some(answered) if answered.repeats < REPEATS_MAX => {
                answered.repeats += 1;
                let body = answered.body.clone();
                let _ = reply.send(self.posted(body));
                if self.held.is_empty() {
                    self.idle_since = now;
                }
            }
            Some(_) => self.fail(Condition::PolicyViolation, reply, now),
            None if self.held.iter().any(|held| held.rid == rid && held.key.as_deref() == key) => {
                self.fail(Condition::PolicyViolation, reply, now);
            }
            None => self.fail(Condition::ItemNotFound, reply, now),
        }
    }

    /// The client has broken the rules: it is told, and the session is over.
    fn fail(&mut self, condition: Condition, reply: Sender<Posted>, now: Instant) {
        let _ = reply.send(self.terms.refusal(condition));
        let others = self.held.drain(..).map(|held| held.reply);
        let others = others.chain(std::mem::take(&mut self.early).into_values().map(|early| early.reply));
        for reply in others {
            let _ = reply.send(self.terms.refusal(Condition::OtherRequest));
        }
        self.over = true;
        self.idle_since = now;
        self.inbound.clear();
        self.inbound_bytes = 0;
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }

    /// Answers those requests whose time has come, in order (§8).
    fn settle(&mut self, now: Instant) {
        while let Some(oldest) = self.held.front() {
            let something = !self.outbound.is_empty() || self.end.is_some();
            let crowded =
                self.held.len() > self.terms.hold && !oldest.opens && self.inbound_bytes <= INBOUND_HELD_BYTES;
            if self.over || self.flushed && something || crowded && self.end.is_none() {
                self.answer(now);
            } else {
                return;
            }
        }
    }

    /// Answers the oldest request, with what there is.
    fn answer(&mut self, now: Instant) {
        let Some(held) = self.held.pop_front() else { return };
        let mut answer = Answer::new();
        let mut status = 200;
        if std::mem::take(&mut self.new) {
            self.introduce(&mut answer, held.rid);
        } else if self.terms.acks && self.taken != held.rid {
            answer.set("ack", &self.taken.to_string());
        }
        if let Some(id) = self.opened.as_mut().and_then(|opened| opened.id.take()) {
            answer.set("authid", &id);
        }
        while !held.pause
            && answer.bytes() < ANSWER_BYTES
            && let Some(payload) = self.outbound.pop_front()
        {
            self.outbound_bytes -= payload.len();
            answer.push(&payload);
        }
        if self.outbound.is_empty() {
            self.outbound = VecDeque::new();
            self.flushed &= self.end.is_some();
            if let Some(end) = self.end
                && !held.pause
                && !std::mem::replace(&mut self.over, true)
            {
                answer.set("type", "terminate");
                if let End::Failed(condition) = end {
                    answer.set("condition", condition.name());
                    status = if self.terms.version.is_some() { 200 } else { condition.legacy_status() };
                }
            }
        }
        let payloads = answer.bytes() > 0;
        let body = answer.finish();
        let _ = held.reply.send(Posted { status, ..self.posted(body.clone()) });
        self.answered.push_back(Answered { rid: held.rid, key: held.key, body, payloads, repeats: 0 });
        while self.answered.len() > self.terms.requests() {
            self.answered.pop_front();
        }
        self.idle_since = now;
        // Room was made, and silence begins.
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }

    /// What the first answer says (§7.2; XEP-0206 §4).
    fn introduce(&self, answer: &mut Answer, rid: u64) {
        let terms = &self.terms;
        answer.set("sid", &self.sid);
        answer.set("wait", &terms.wait.as_secs().to_string());
        answer.set("requests", &terms.requests().to_string());
        answer.set("hold", &terms.hold.to_string());
        answer.set("inactivity", &terms.inactivity.as_secs().to_string());
        if !terms.polling.is_zero() {
            answer.set("polling", &terms.polling.as_secs().to_string());
        }
        if !terms.pause_max.is_zero() {
            answer.set("maxpause", &terms.pause_max.as_secs().to_string());
        }
        if let Some(version) = &terms.version {
            answer.set("ver", version);
        }
        if terms.acks {
            answer.set("ack", &rid.to_string());
        }
        if let Some(from) = self.opened.as_ref().and_then(|opened| opened.from.as_ref()) {
            answer.set("from", from);
        }
        answer.set("xmlns:xmpp", XBOSH_NS);
        answer.set("xmpp:version", "1.0");
        answer.set("xmpp:restartlogic", "true");
    }

    fn posted(&self, body: Bytes) -> Posted {
        Posted { status: 200, media: self.terms.media.clone(), body }
    }
}

/// The lower of the client's version and ours; the minor number is a number of its own (§7.1).
fn lower_version(theirs: &str) -> Result<String, BadRequest> {
    let (major, minor) = theirs.split_once('.').ok_or(BadRequest)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| BadRequest);
    let (major, minor) = (number(major)?, number(minor)?).min(VERSION);
    Ok(format!("{major}.{minor}"))
}

fn recoverable() -> Bytes {
    let mut answer = Answer::new();
    answer.set("type", "error");
    answer.finish()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

pub(super) const MEDIA: &str = "text/xml; charset=utf-8";
const MEDIA_BYTES_MAX: usize = 128;
const VERSION: (u32, u32) = (1, 11);
/// Requests kept waiting; more would only cost connections.
const HOLD_MAX: u64 = 1;
/// How long a request that opens a stream may wait for the features of that, whatever was agreed upon.
const OPENING_WAIT: Duration = Duration::from_secs(5);
/// The most that an answer bears, but for its last payload.
const ANSWER_BYTES: usize = 64 << 10;
/// What waits to be fetched; beyond it the session keeps the rest.
const OUTBOUND_BYTES_MAX: usize = 64 << 10;
/// With more unread than this no request is answered before its time, so that the client sends no more;
const INBOUND_HELD_BYTES: usize = 64 << 10;
/// and with so much it is told off.
const INBOUND_BYTES_MAX: usize = 4 << 20;
/// How often one request may be repeated.
const REPEATS_MAX: u32 = 10;
