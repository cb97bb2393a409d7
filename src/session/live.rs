//! A bound session: requests in, answers and events out.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::negotiate::{Established, Talk};
use super::wire::Moved;
use crate::access::Login;
use crate::delivery::Feed;
use crate::pubsub::Caller;
use crate::router::{Outcome, Presence, Reaction, Routed};
use crate::stream::{Output, StreamCondition, StreamError};

type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

struct Session<'a> {
    shared: &'a Shared,
    talk: Talk,
    presence: Presence,
    inbox: mpsc::Receiver<Routed>,
    caller: Caller,
    login: Login,
    feed: Feed,
    answers: FuturesUnordered<Answering>,
    last_read: Instant,
    last_write: Instant,
    pinged: bool,
}

/// How a session ends.
enum End {
    /// The connection is gone: nobody is there to be told.
    Gone,
    /// The stream wants this written, and then it is over.
    Closed(Vec<Output>),
    /// We end it.
    Error(StreamError),
}

/// Runs a session to its end.
pub(super) async fn live(shared: &Shared, established: Established) {
    let caller = Caller { jid: established.jid().clone().into(), role: established.role };
    let feed = shared.delivery.attach(established.jid().clone(), established.role);
    let now = Instant::now();
    let Established { talk, presence, inbox, login, .. } = established;
    let mut session = Session {
        shared,
        talk,
        presence,
        inbox,
        caller,
        login,
        feed,
        answers: FuturesUnordered::new(),
        last_read: now,
        last_write: now,
        pinged: false,
    };
    let end = session.run().await;
    let Session { talk, presence, feed, .. } = session;
    drop(feed);
    tracing::debug!(session = %presence.jid(), "session ends");
    drop(presence);
    match end {
        End::Gone => {}
        End::Closed(outputs) => talk.finish(outputs).await,
        End::Error(error) => talk.end(error).await,
    }
}

impl Session<'_> {
    async fn run(&mut self) -> End {
        let mut revocations = self.shared.access.revocations();
        // What was cut while the stream was negotiated is not told again.
        revocations.mark_changed();
        loop {
            if let Err(end) = self.take_input().await {
                return end;
            }
            if let Err(end) = self.pull() {
                return end;
            }
            let options = &self.shared.options;
            let queued = self.talk.wire.queued();
            let reading = self.answers.len() < options.requests_in_flight_max
                && queued < options.output_bytes_max
                && self.talk.wire.input().is_empty();
            let tick = self.next_tick();
            let Session { talk, feed, answers, inbox, shared, .. } = self;
            tokio::select! {
                moved = std::future::poll_fn(|cx| talk.wire.poll(cx, reading)) => match moved {
                    Ok(Moved::Read) => {
                        self.last_read = Instant::now();
                        self.pinged = false;
                    }
                    Ok(Moved::Wrote) => self.last_write = Instant::now(),
                    Ok(Moved::Ended) | Err(_) => return End::Gone,
                },
                Some(outcome) = answers.next(), if !answers.is_empty() => self.answer(outcome),
                () = feed.ready(), if queued < options.output_pull_bytes => {}
                Some(routed) = inbox.recv(), if queued < options.output_bytes_max => match routed {
                    Routed::Stanza(bytes) => self.write(bytes),
                    Routed::Replaced => {
                        let why = "another session has taken this resource";
                        return End::Error(StreamCondition::Conflict.because(why));
                    }
                },
                Ok(()) = revocations.changed() => {
                    if !self.shared.access.still_valid(&self.login) {
                        let why = "the credentials of this session were changed or revoked";
                        return End::Error(StreamCondition::NotAuthorized.because(why));
                    }
                }
                () = tokio::time::sleep_until(tick) => if let Err(end) = self.tick() {
                    return end;
                },
                () = shared.stop.cancelled() => {
                    self.finish_answers().await;
                    return End::Error(StreamCondition::SystemShutdown.because("the server stops"));
                }
            }
        }
    }

    /// Takes stanzas from what was read, in order, while there is room for their answers.
    async fn take_input(&mut self) -> Result<(), End> {
        let options = &self.shared.options;
        while self.answers.len() < options.requests_in_flight_max
            && self.talk.wire.queued() < options.output_bytes_max
            && let Some(input) = self.talk.parsed()
        {
            let outputs = self.talk.stream.handle(input);
            if outputs.iter().any(|output| matches!(output, Output::Close { .. })) {
                self.finish_answers().await;
                return Err(End::Closed(outputs));
            }
            for output in outputs {
                match output {
                    Output::Write(bytes) => self.write(Bytes::from(bytes)),
                    Output::Stanza(stanza) => match self.shared.router.stanza(&self.caller, &self.presence, stanza) {
                        Reaction::Nothing => {}
                        Reaction::Write(bytes) => self.write(bytes),
                        Reaction::Available(available) => self.feed.set_available(available),
                        Reaction::Later(mut answering) => {
                            // The first poll gives the request its place in the order of requests.
                            match futures_util::poll!(answering.as_mut()) {
                                std::task::Poll::Ready(outcome) => self.answer(outcome),
                                std::task::Poll::Pending => self.answers.push(answering),
                            }
                        }
                    },
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Encodes events that the peer watches, as long as the wire is not full.
    fn pull(&mut self) -> Result<(), End> {
        let room = self.shared.options.output_pull_bytes.saturating_sub(self.talk.wire.queued());
        if room == 0 {
            return Ok(());
        }
        let before = self.talk.wire.queued();
        let Session { talk, feed, shared, .. } = self;
        let pulled = feed.pull(room, &mut |shown| {
            let mut bytes = 0;
            for piece in shared.router.notification(shown).into_iter().flatten() {
                bytes += piece.len();
                talk.wire.push(piece);
            }
            bytes
        });
        if before == 0 && self.talk.wire.queued() > 0 {
            self.last_write = Instant::now();
        }
        pulled.map_err(|behind| {
            let why = format!("events of {} were missed: they are no longer retained", behind.address);
            End::Error(StreamCondition::ResourceConstraint.because(why))
        })
    }

    fn answer(&mut self, outcome: Outcome) {
        if let Some(bytes) = outcome.reply {
            self.write(bytes);
        }
        for (to, bytes) in outcome.then {
            if to == self.caller.jid || to.resource().is_none() && to.bare() == self.caller.jid.bare() {
                self.write(bytes);
            } else {
                self.shared.router.send(&to, bytes);
            }
        }
    }

    fn write(&mut self, bytes: Bytes) {
        if self.talk.wire.queued() == 0 {
            self.last_write = Instant::now();
        }
        self.talk.wire.push(bytes);
    }

    /// Answers what was asked before the end, as far as that takes no longer than is allowed.
    async fn finish_answers(&mut self) {
        let deadline = Instant::now() + FINISHING_MAX;
        while let Ok(Some(outcome)) = tokio::time::timeout_at(deadline, self.answers.next()).await {
            self.answer(outcome);
        }
    }

    fn next_tick(&self) -> Instant {
        let options = &self.shared.options;
        let silent = self.last_read + if self.pinged { options.dead_after } else { options.ping_after };
        if self.talk.wire.queued() > 0 { silent.min(self.last_write + options.stuck_after) } else { silent }
    }

    /// A deadline has come: probe a silent peer, let go of a dead one.
    fn tick(&mut self) -> Result<(), End> {
        let options = &self.shared.options;
        let now = Instant::now();
        if self.talk.wire.queued() > 0 && now >= self.last_write + options.stuck_after {
            return Err(End::Gone);
        }
        if now >= self.last_read + options.dead_after {
            return Err(End::Error(StreamCondition::ConnectionTimeout.because("nothing was heard for too long")));
        }
        if !self.pinged && now >= self.last_read + options.ping_after {
            self.pinged = true;
            let ping = self.shared.router.ping(self.presence.jid());
            self.write(ping);
        }
        Ok(())
    }
}

/// What answers that are on their way may take when a session ends.
const FINISHING_MAX: std::time::Duration = std::time::Duration::from_secs(5);
