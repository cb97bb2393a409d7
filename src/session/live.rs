//! A bound session: requests in, answers and events out.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Shared;
use super::hibernate::{self, hibernate};
use super::negotiate::{self, Established, Talk, Who};
use super::quiet::Quiet;
use super::rate::Rate;
use super::resumption::{Ask, Reply, Resumable};
use super::standing::{Sent, Standing, encode};
use super::wire::Moved;
use crate::delivery::{Again, Behind, Moment, Shown};
use crate::pubsub::Caller;
use crate::router::{Over, Parcel, Reaction, Routed};
use crate::stream::sm::{self, FalseAck};
use crate::stream::{Output, StreamCondition, StreamError};
use crate::xml::Element;

struct Session<'a> {
    shared: &'a Arc<Shared>,
    talk: Box<Talk>,
    standing: Box<Standing>,
    rate: Rate,
    /// Present while nobody looks at the client.
    quiet: Option<Quiet>,
    last_read: Instant,
    last_write: Instant,
    pinged: bool,
    /// What only a peer that speaks needs was given back.
    rested: bool,
    /// When the token that was logged in with expires.
    expires: Option<Instant>,
}

/// How a connection ends, and with it the session unless that may be resumed.
enum End {
    /// The connection is gone: nobody is there to be told.
    Gone,
    /// We give the connection up.
    Silent(StreamError),
    /// Another connection goes on with the session.
    Taken { h: u32, reply: Reply },
    /// The stream wants this written, and then the session is over.
    Closed(Vec<Output>),
    /// We end it.
    Error(StreamError),
}

/// Runs a session until its connection ends, and what becomes of it then.
pub(super) async fn live(shared: &Arc<Shared>, established: Established) {
    let Established { talk, who } = established;
    let now = Instant::now();
    let (standing, resumed_at, inactive) = match who {
        Who::New { presence, bound_at, login, role, stay, managed, inactive } => {
            let caller = Caller { jid: presence.jid().clone().into(), role };
            let feed = shared.delivery.attach(presence.jid().clone(), role, bound_at);
            let answers = FuturesUnordered::new();
            (Box::new(Standing { presence, caller, login, feed, answers, managed, _stay: stay }), None, inactive)
        }
        // XEP-0352 §5.2: somebody looks at it again.
        Who::Resumed { standing, h } => (standing, Some(h), false),
    };
    let rate = Rate::new(shared.options.rate, now);
    let expires = shared.access.remaining(&standing.login).map(|left| now + left);
    let (quiet, pinged, rested) = (inactive.then(Quiet::default), false, false);
    let mut session =
        Session { shared, talk, standing, rate, quiet, last_read: now, last_write: now, pinged, rested, expires };
    let end = match resumed_at.map_or(Ok(()), |h| session.begin_again(h)) {
        Ok(()) => session.run().await,
        Err(end) => end,
    };
    session.be_quiet(false);
    let Session { talk, standing, .. } = session;
    // A future is as large as its largest state: what comes at the end is not kept until then.
    Box::pin(part(shared, talk, standing, end)).await;
}

/// What becomes of a connection, and of its session, when it ends.
async fn part(shared: &Arc<Shared>, talk: Box<Talk>, standing: Box<Standing>, end: End) {
    match end {
        End::Gone => {
            drop(talk);
            Box::pin(hibernate(shared, standing)).await;
        }
        End::Silent(error) => {
            let parting = talk.end(error);
            tokio::join!(Box::pin(parting), Box::pin(hibernate(shared, standing)));
        }
        End::Taken { h, reply } => match hibernate::hand_over(shared, standing, h, reply).await {
            None => talk.end(StreamCondition::Conflict.because("another connection has resumed this session")).await,
            Some(standing) => {
                let parting = talk.end(StreamCondition::Conflict.into());
                tokio::join!(Box::pin(parting), Box::pin(hibernate(shared, standing)));
            }
        },
        End::Closed(outputs) => {
            hibernate::end(shared, standing);
            talk.finish(outputs).await;
        }
        End::Error(error) => {
            hibernate::end(shared, standing);
            talk.end(error).await;
        }
    }
}

impl Session<'_> {
    async fn run(&mut self) -> End {
        let mut revocations = self.shared.access.revocations();
        revocations.mark_changed(); // What was cut during the negotiation is not told again.
        loop {
            let turn = match self.take_input().await {
                Ok(()) => self.give(),
                Err(end) => Err(end),
            };
            let waits = match turn {
                Ok(waits) => waits,
                Err(end) => return end,
            };
            let options = &self.shared.options;
            let queued = self.talk.wire.queued();
            let full = hibernate::too_much(self.shared, &self.standing, 1);
            let slot = self.standing.slot();
            let slow = self.rate.wait(Instant::now());
            let reading = slow.is_none()
                && self.standing.answers.len() < options.requests_in_flight_max
                && queued < options.output_bytes_max
                && self.talk.wire.input().is_empty();
            let tick = self.next_tick().min(slow.unwrap_or_else(|| Instant::now() + FAR));
            let Session { talk, standing, shared, .. } = self;
            let Standing { feed, answers, presence, .. } = &mut **standing;
            tokio::select! {
                moved = std::future::poll_fn(|cx| talk.wire.poll(cx, reading)) => match moved {
                    Ok(Moved::Read) => {
                        self.was_read();
                    }
                    Ok(Moved::Wrote) => self.last_write = Instant::now(),
                    Ok(Moved::Ended) | Err(_) => return End::Gone,
                },
                Some(answer) = answers.next(), if !answers.is_empty() => {
                    let stanzas = self.standing.answered(self.shared, answer);
                    stanzas.into_iter().for_each(|stanza| self.write(stanza));
                }
                () = async { if waits == Waits::ForFeed { feed.settled().await } else { feed.ready().await } },
                    if waits == Waits::ForFeed || waits == Waits::Not && !full && queued < options.output_pull_bytes => {}
                routed = presence.next(!full && queued < options.output_bytes_max) => match routed {
                    Ok(Routed::Stanza(stanza)) => self.deliver(stanza),
                    Ok(Routed::Follow) => self.standing.follow(self.shared),
                    Ok(Routed::Kept) => self.standing.collect(self.shared),
                    Err(Over::Replaced) => return End::Error(replaced()),
                    Err(Over::Ended) => return End::Error(ended()),
                },
                Ok(()) = revocations.changed() => {
                    if !self.shared.access.still_valid(&self.standing.login) {
                        // Who has changed his own password is told that it was done.
                        self.finish_answers().await;
                        return End::Error(revoked());
                    }
                }
                () = tokio::time::sleep_until(tick) => if let Err(end) = self.tick() {
                    return end;
                },
                ask = async { match &slot { Some(slot) => slot.asked().await, None => std::future::pending().await } } => {
                    if let Some(end) = self.asked(ask) {
                        return end;
                    }
                }
                () = shared.stop.cancelled() => {
                    self.finish_answers().await;
                    return End::Error(StreamCondition::SystemShutdown.because("the server stops"));
                }
            }
        }
    }

    /// The peer has shown that it is there.
    fn was_read(&mut self) {
        self.last_read = Instant::now();
        match self.talk.wire.input().len() {
            // A message that brings nothing, such as a ping of a WebSocket, is work all the same.
            0 => self.rate.stanza(),
            read => self.rate.read(read),
        }
        (self.pinged, self.rested) = (false, false);
    }

    /// Somebody wants the session.
    fn asked(&self, ask: Ask) -> Option<End> {
        match ask {
            Ask::Resume { h, reply } => match self.standing.check(h) {
                Ok(()) => return Some(End::Taken { h, reply }),
                Err(false_ack) => drop(reply.send(Err(false_ack))),
            },
            // It has a connection again.
            Ask::End => {}
        }
        None
    }

    /// Takes stanzas from what was read, in order, while there is room for their answers.
    async fn take_input(&mut self) -> Result<(), End> {
        let options = &self.shared.options;
        while self.standing.answers.len() < options.requests_in_flight_max
            && self.talk.wire.queued() < options.output_bytes_max
            && self.rate.wait(Instant::now()).is_none()
            && let Some(input) = self.talk.parsed()
        {
            let moment = self.shared.delivery.moment();
            let outputs = self.talk.stream.handle(input);
            if outputs.iter().any(|output| matches!(output, Output::Close { .. })) {
                self.finish_answers().await;
                return Err(End::Closed(outputs));
            }
            for output in outputs {
                match output {
                    Output::Write(bytes) => self.say(Bytes::from(bytes)),
                    Output::Reply(bytes) => {
                        self.standing.managed.as_mut().map(|managed| managed.handled.stanza());
                        self.write(Bytes::from(bytes));
                    }
                    Output::Stanza(stanza) => {
                        self.rate.stanza();
                        self.stanza(stanza, moment).await;
                    }
                    Output::ClientState { active } => self.be_quiet(!active),
                    Output::EnableSm { resume, max } => self.enable_sm(resume, max),
                    Output::AckAsked => self.standing.managed.iter_mut().for_each(|managed| managed.handled.ask()),
                    Output::Acknowledged(h) => match self.standing.acknowledge(h) {
                        // Clients that count anew once they are online say less than they said before.
                        // What was acknowledged stays so, and nothing is by this.
                        Ok(()) | Err(FalseAck::TakenBack { .. }) => {}
                        Err(false_ack @ FalseAck::TooHigh { .. }) => return Err(End::Error(false_ack.error())),
                    },
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn stanza(&mut self, stanza: Element, moment: Moment) {
        let number = self.standing.managed.as_mut().map_or(0, |managed| managed.handled.stanza());
        let Standing { caller, presence, login, .. } = &*self.standing;
        if !login.proof.owns_account()
            && let Some(refusal) = self.shared.router.refuse_account_change(&stanza)
        {
            return self.write(refusal);
        }
        match self.shared.router.stanza(caller, presence, stanza) {
            Reaction::Nothing | Reaction::There(..) => {}
            Reaction::Write(bytes) => self.write(bytes),
            Reaction::Bounced(node, from, bounce) => self.standing.feed.bounced(node, &from, bounce),
            // The first poll gives the request its place in the order of requests.
            Reaction::Later(mut answering) => match futures_util::poll!(answering.as_mut()) {
                std::task::Poll::Ready(outcome) => {
                    let stanzas = self.standing.answered(self.shared, ((number, moment), outcome));
                    stanzas.into_iter().for_each(|stanza| self.write(stanza));
                }
                std::task::Poll::Pending => {
                    self.standing.managed.iter_mut().for_each(|managed| managed.handled.begun(number));
                    self.standing.answers.push(Box::pin(async move { ((number, moment), answering.await) }));
                }
            },
        }
    }

    /// XEP-0198 §3.
    fn enable_sm(&mut self, resume: bool, max: Option<u32>) {
        let managed = negotiate::enable_sm(self.shared, self.standing.presence.jid().bare(), resume, max);
        let enabled = managed.enabled();
        self.standing.managed = Some(managed);
        self.say_element(&enabled);
    }

    /// The session goes on over this connection, whose peer has received `h` stanzas.
    fn begin_again(&mut self, h: u32) -> Result<(), End> {
        self.standing.presence.set_asleep(false);
        self.standing.acknowledge(h).map_err(|false_ack| End::Error(false_ack.error()))?;
        if let Some(managed) = &mut self.standing.managed {
            managed.begin_again();
            managed.resumable.iter().for_each(Resumable::wake);
        }
        Ok(())
    }

    /// Writes what the peer is due: what waits to be sent again, then events; and the words of stream
    /// management that belong to it.
    fn give(&mut self) -> Result<Waits, End> {
        let gone = |behind: Behind| {
            let condition = match behind {
                Behind::Retention { .. } => StreamCondition::ResourceConstraint,
                Behind::Unreadable => StreamCondition::InternalServerError,
            };
            End::Error(condition.because(behind.to_string()))
        };
        let waits = self.send_waiting().map_err(gone)?;
        if waits == Waits::Not {
            self.pull().map_err(gone)?;
        }
        if hibernate::too_much(self.shared, &self.standing, UNACKED_TIMES_MAX) {
            return Err(End::Error(StreamCondition::ResourceConstraint.because("too little is acknowledged")));
        }
        while let Some(h) = self.standing.managed.as_mut().and_then(|managed| managed.handled.answer()) {
            self.say_element(&sm::answer(h));
        }
        if self.standing.managed.as_ref().is_some_and(|managed| managed.must_ask()) {
            self.ask();
        }
        Ok(waits)
    }

    fn ask(&mut self) {
        self.standing.managed.iter_mut().for_each(|managed| managed.ask());
        self.say_element(&sm::request());
    }

    /// Sends what waits to be sent, in order, as far as the wire takes it.
    fn send_waiting(&mut self) -> Result<Waits, Behind> {
        let Session { talk, standing, shared, .. } = self;
        let Standing { feed, managed: Some(managed), .. } = &mut **standing else { return Ok(Waits::Not) };
        while managed.is_waiting() {
            if talk.wire.queued() >= shared.options.output_pull_bytes {
                return Ok(Waits::ForWire);
            }
            match managed.next_waiting() {
                None => break,
                Some(Sent::Copy { stanza, tags }) => {
                    talk.wire.push(stanza.bytes().clone());
                    managed.sent(Sent::Copy { stanza, tags });
                }
                Some(Sent::Event(tag)) => {
                    let mut show = |shown: Shown<'_>| encode(shared, &mut talk.wire, Some(&mut *managed), shown);
                    if feed.again(tag, &mut show)? == Again::Later {
                        managed.wait_on(Sent::Event(tag));
                        return Ok(Waits::ForFeed);
                    }
                }
            }
        }
        Ok(Waits::Not)
    }

    /// Encodes events that the peer watches, as long as the wire is not full.
    fn pull(&mut self) -> Result<(), Behind> {
        let room = self.shared.options.output_pull_bytes.saturating_sub(self.talk.wire.queued());
        if room == 0 || hibernate::too_much(self.shared, &self.standing, 1) {
            return Ok(());
        }
        let before = self.talk.wire.queued();
        let Session { talk, standing, shared, .. } = self;
        let Standing { feed, managed, .. } = &mut **standing;
        let pulled = feed.pull(room, &mut |shown| encode(shared, &mut talk.wire, managed.as_deref_mut(), shown));
        if before == 0 && self.talk.wire.queued() > 0 {
            self.last_write = Instant::now();
        }
        pulled
    }

    /// Sends what somebody else sent, now or when the client is looked at.
    fn deliver(&mut self, stanza: Parcel) {
        let now = match &mut self.quiet {
            Some(quiet) => quiet.hold(stanza),
            None => vec![stanza],
        };
        now.into_iter().for_each(|stanza| self.write(stanza));
    }

    fn be_quiet(&mut self, quiet: bool) {
        let held = self.quiet.as_mut().map(Quiet::release).unwrap_or_default();
        self.quiet = quiet.then(Quiet::default);
        held.into_iter().for_each(|stanza| self.write(stanza));
    }

    /// Sends a stanza.
    fn write(&mut self, stanza: impl Into<Parcel>) {
        if self.talk.wire.queued() == 0 {
            self.last_write = Instant::now();
        }
        self.standing.send(stanza.into(), Some(&mut self.talk.wire));
    }

    /// Says something that is not a stanza.
    fn say(&mut self, bytes: Bytes) {
        if self.talk.wire.queued() == 0 {
            self.last_write = Instant::now();
        }
        self.talk.wire.push(bytes);
    }

    fn say_element(&mut self, element: &Element) {
        let mut bytes = Vec::with_capacity(64);
        element.write(&mut bytes, "jabber:client");
        self.say(Bytes::from(bytes));
    }

    /// Answers what was asked before the end, as far as that takes no longer than is allowed, and says
    /// how far it went.
    async fn finish_answers(&mut self) {
        Box::pin(self.standing.finish_answers(self.shared, Some(&mut self.talk.wire))).await;
        if let Some(managed) = &self.standing.managed {
            let told = sm::answer(managed.handled.received());
            self.say_element(&told);
        }
    }

    fn next_tick(&self) -> Instant {
        let options = &self.shared.options;
        let silent = self.last_read + if self.pinged { options.dead_after } else { options.ping_after };
        let asked = self.standing.managed.as_ref().and_then(|managed| managed.asked);
        let unanswered = asked.map_or(silent, |since| silent.min(since + options.sm.ack_wait));
        let stuck = (self.talk.wire.queued() > 0).then(|| self.last_write + options.stuck_after);
        let rest = (!self.rested).then(|| self.last_read + REST_AFTER);
        [stuck, rest, self.expires].into_iter().flatten().fold(unanswered, Instant::min)
    }

    /// A deadline has come: probe a silent peer, let go of a dead one.
    fn tick(&mut self) -> Result<(), End> {
        let options = &self.shared.options;
        let now = Instant::now();
        if !self.rested && now >= self.last_read + REST_AFTER {
            self.talk.parser.rest();
            self.rested = true;
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(End::Error(StreamCondition::NotAuthorized.because("the token of this session has expired")));
        }
        if self.talk.wire.queued() > 0 && now >= self.last_write + options.stuck_after {
            return Err(End::Gone);
        }
        let asked = self.standing.managed.as_ref().and_then(|managed| managed.asked);
        if asked.is_some_and(|since| now >= since + options.sm.ack_wait) {
            let why = "a request for acknowledgement was not answered";
            return Err(End::Silent(StreamCondition::ConnectionTimeout.because(why)));
        }
        if now >= self.last_read + options.dead_after {
            let why = "nothing was heard for too long";
            return Err(End::Silent(StreamCondition::ConnectionTimeout.because(why)));
        }
        if !self.pinged && now >= self.last_read + options.ping_after {
            self.pinged = true;
            match &self.standing.managed {
                // XEP-0198 §4: whoever manages the stream must answer this.
                Some(managed) if managed.asked.is_none() => self.ask(),
                Some(_) => {}
                // Libraries in browsers often leave an XMPP ping unanswered, and never one of the transport.
                None if self.talk.wire.probe() => {}
                None => {
                    let ping = self.shared.router.ping(self.standing.presence.jid());
                    self.write(ping);
                }
            }
        }
        Ok(())
    }
}

fn revoked() -> StreamError {
    StreamCondition::NotAuthorized.because("the credentials of this session were changed or revoked")
}

/// Of a session whose resource another one has bound.
fn replaced() -> StreamError {
    StreamCondition::Conflict.because("another session has taken this resource")
}

/// XEP-0133 §4.5.
fn ended() -> StreamError {
    StreamCondition::PolicyViolation.because("an administrator has ended this session")
}

/// What new events must wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Not,
    /// For room: something older is to be sent first.
    ForWire,
    /// For something that the feed reads.
    ForFeed,
}

/// So long after its last word a peer is taken to say nothing more for a while.
const REST_AFTER: std::time::Duration = std::time::Duration::from_secs(2);
/// A deadline that is no deadline.
const FAR: std::time::Duration = std::time::Duration::from_secs(3600);
/// A session with a connection may have so many times more unacknowledged than one without: requests
/// are answered, and the peer is given time to acknowledge.
const UNACKED_TIMES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand sessions that say nothing should cost little: what a session needs seldom stands in
    /// boxes that are made when it is needed.
    #[test]
    fn a_session_that_waits_is_small() {
        fn size<F: Future>(_: fn(&'static Arc<Shared>, Established) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(live) + size_of::<Talk>() + size_of::<Standing>();
        assert!(bytes <= 7 << 9, "{bytes} bytes");
    }
}
