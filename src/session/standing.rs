//! What a session is apart from its connection: it may go on without one, and over another
//! (XEP-0198 §5).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Shared;
use super::resumption::{Resumable, Slot};
use super::wire::Wire;
use crate::access::{Login, Stay};
use crate::delivery::{Feed, Moment, Shown, Tag};
use crate::pubsub::{Caller, EventKind};
use crate::router::{Outcome, Parcel, Presence};
use crate::stream::sm::{self, FalseAck, Handled, Unacknowledged};
use crate::xml::Element;

/// A request on its way, with the number of the stanza that bore it, and when that came.
pub(super) type Answering = Pin<Box<dyn Future<Output = ((u64, Moment), Outcome)> + Send>>;

pub(super) struct Standing {
    pub presence: Presence,
    pub caller: Caller,
    pub login: Login,
    pub feed: Feed,
    pub answers: FuturesUnordered<Answering>,
    /// Present once stream management has begun.
    pub managed: Option<Box<Managed>>,
    /// The place of one who has no account.
    pub _stay: Option<Stay>,
}

/// The state of stream management.
#[derive(Default)]
pub(super) struct Managed {
    pub handled: Handled,
    unacked: Unacknowledged<Sent>,
    /// What is to be sent before anything else: again, or for the first time since the connection was
    /// lost. Nothing of it counts as sent.
    waiting: VecDeque<Sent>,
    /// What the copies in both weigh.
    bytes: usize,
    /// Since when a question of ours (`<r/>`) has been open.
    pub asked: Option<Instant>,
    /// Something was sent after the last question.
    unasked: bool,
    pub resumable: Option<Resumable>,
}

/// A stanza that was sent, or is to be.
pub(super) enum Sent {
    /// With the tags that are given back when it is acknowledged.
    Copy { stanza: Parcel, tags: Box<[Tag]> },
    /// A notification, which is encoded again when it must be sent again: of who has lost the right to
    /// read nothing is kept.
    Event(Tag),
}

impl Standing {
    /// Where somebody may ask for the session.
    pub fn slot(&self) -> Option<Arc<Slot>> {
        Some(self.managed.as_ref()?.resumable.as_ref()?.slot.clone())
    }

    /// Hands out a stanza: to the wire, or behind what waits.
    pub fn send(&mut self, stanza: Parcel, wire: Option<&mut Wire>) {
        let Some(managed) = &mut self.managed else {
            match wire {
                // Nobody will say whether it came.
                Some(wire) => {
                    wire.push(stanza.bytes().clone());
                    stanza.taken();
                }
                None => self.presence.give_up(stanza),
            }
            return;
        };
        let bytes = stanza.bytes().clone();
        managed.bytes += bytes.len();
        let sent = Sent::Copy { stanza, tags: Box::default() };
        match wire {
            Some(wire) if managed.waiting.is_empty() => {
                wire.push(bytes);
                managed.sent(sent);
            }
            _ => managed.waiting.push_back(sent),
        }
    }

    /// What an answer gives rise to; the reply is handed back, to be sent.
    pub fn answered(&mut self, shared: &Shared, ((number, moment), outcome): ((u64, Moment), Outcome)) -> Vec<Parcel> {
        if let Some(managed) = &mut self.managed {
            managed.handled.done(number);
        }
        if let Some(show) = outcome.available {
            if let Some(seconds) = outcome.away {
                self.feed.was_away(seconds);
            }
            self.feed.set_available(show, moment);
        }
        if let Some(follows) = outcome.follows {
            self.feed.follow(follows);
        }
        let mut own: Vec<Parcel> = outcome.reply.into_iter().map(Parcel::from).collect();
        for (to, bytes) in outcome.then {
            if to == self.caller.jid || to.resource().is_none() && to.bare() == self.caller.jid.bare() {
                own.push(bytes.into());
            } else {
                shared.router.send(&to, bytes);
            }
        }
        own.extend(outcome.kept);
        own
    }

    /// Asks what the session follows now.
    pub fn follow(&mut self, shared: &Shared) {
        let following = shared.router.follow(&self.presence);
        self.ask(shared, following);
    }

    /// Asks for what was kept while it had not read what it was given.
    pub fn collect(&mut self, shared: &Shared) {
        let collecting = shared.router.collect(&self.presence);
        self.ask(shared, collecting);
    }

    fn ask(&mut self, shared: &Shared, asking: Pin<Box<dyn Future<Output = Outcome> + Send>>) {
        // The peer has not asked for it: no stanza is answered by it.
        let moment = shared.delivery.moment();
        self.answers.push(Box::pin(async move { ((0, moment), asking.await) }));
    }

    /// Waits for what was asked, as long as that may take, and keeps or writes the answers.
    pub async fn finish_answers(&mut self, shared: &Shared, mut wire: Option<&mut Wire>) {
        let deadline = Instant::now() + FINISHING_MAX;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, self.answers.next()).await {
            for stanza in self.answered(shared, answer) {
                self.send(stanza, wire.as_deref_mut());
            }
        }
    }

    /// Whether the peer can have handled so many stanzas.
    pub fn check(&self, h: u32) -> Result<(), FalseAck> {
        self.managed.as_ref().map_or(Ok(()), |managed| managed.unacked.check(h))
    }

    /// The peer has handled so many stanzas; the feed is told of the events among them.
    pub fn acknowledge(&mut self, h: u32) -> Result<(), FalseAck> {
        let Some(managed) = &mut self.managed else { return Ok(()) };
        managed.asked = None;
        for sent in managed.unacked.acknowledge(h)? {
            match sent {
                Sent::Copy { stanza, tags, .. } => {
                    managed.bytes -= stanza.bytes().len();
                    stanza.taken();
                    tags.iter().for_each(|tag| self.feed.acknowledged(*tag));
                }
                Sent::Event(tag) => self.feed.acknowledged(tag),
            }
        }
        Ok(())
    }
}

impl Managed {
    pub fn new(resumable: Option<Resumable>) -> Self {
        Managed { resumable, ..Managed::default() }
    }

    /// `<enabled/>`, which says how the session may be resumed.
    pub fn enabled(&self) -> Element {
        sm::enabled(self.resumable.as_ref().map(|resumable| (&*resumable.id, resumable.max.as_secs())))
    }

    /// It is on the wire.
    pub fn sent(&mut self, sent: Sent) {
        self.unacked.push(sent);
        self.unasked = true;
    }

    /// Whether it is time to ask what the peer has handled.
    pub fn must_ask(&self) -> bool {
        self.unasked && self.asked.is_none() && !self.unacked.is_empty()
    }

    pub fn ask(&mut self) {
        self.asked = Some(Instant::now());
        self.unasked = false;
    }

    /// Stanzas that the peer has not acknowledged, and the bytes of those that are kept whole.
    pub fn weight(&self) -> (usize, usize) {
        (self.unacked.len() + self.waiting.len(), self.bytes)
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn next_waiting(&mut self) -> Option<Sent> {
        self.waiting.pop_front()
    }

    pub fn wait_on(&mut self, sent: Sent) {
        self.waiting.push_front(sent);
    }

    /// The connection is another one: what was not acknowledged is to be sent again, in order.
    pub fn begin_again(&mut self) {
        let mut waiting = self.unacked.take();
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
        self.asked = None;
        self.unasked = false;
        self.handled.forget_questions();
    }

    /// The stanzas that the peer never acknowledged, in order. Notifications are not among them: whoever
    /// watches has a position.
    pub fn leftovers(&mut self) -> impl Iterator<Item = Parcel> {
        self.begin_again();
        self.waiting.drain(..).filter_map(|sent| match sent {
            Sent::Copy { stanza, .. } => Some(stanza),
            Sent::Event(_) => None,
        })
    }
}

/// Encodes a notification onto the wire, and remembers it where stream management wants that. How many
/// bytes it took.
pub(super) fn encode(shared: &Shared, wire: &mut Wire, managed: Option<&mut Managed>, shown: Shown<'_>) -> usize {
    let (tag, deleted) = (shown.tag, matches!(shown.entry.event.kind, EventKind::Deleted { .. }));
    let Some([head, body]) = shared.router.notification(shown) else { return 0 };
    let bytes = head.len() + body.len();
    if let Some(managed) = managed {
        if deleted {
            // The watch ends with it, so that it could not be found again; there is nothing in it that
            // could be forbidden.
            managed.bytes += bytes;
            let stanza = Bytes::from([&head[..], &body[..]].concat());
            managed.sent(Sent::Copy { stanza: stanza.into(), tags: Box::new([tag]) });
        } else {
            managed.sent(Sent::Event(tag));
        }
    }
    wire.push_two(head, body);
    bytes
}

/// What answers that are on their way may take when a connection ends.
const FINISHING_MAX: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// What happens between a server and its client, beside what they mean to say.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        ServerSays,
        ClientSays,
        /// So many stanzas reach the client.
        ClientHears(usize),
        ServerHears(usize),
        ClientAcknowledges,
        /// Of so many stanzas that the server has heard, the work on the oldest is done.
        Done,
        /// All that is on the way is lost.
        Cut,
        Resume,
    }

    enum Word {
        Stanza(u32),
        Acknowledgement(u32),
    }

    /// Both ends of one stream, and what is on the way; absent while there is no connection.
    #[derive(Default)]
    struct Ends {
        server: Managed,
        said: u32,
        to_client: Option<VecDeque<u32>>,
        to_server: Option<VecDeque<Word>>,
        heard_by_client: Vec<u32>,
        heard_by_server: Vec<u32>,
        open: VecDeque<u64>,
        /// What the client has said, and how much of that the server had by the last resumption.
        client_said: u32,
    }

    fn copy(number: u32) -> Sent {
        Sent::Copy { stanza: Bytes::from(number.to_string()).into(), tags: Box::default() }
    }

    impl Ends {
        fn step(&mut self, step: Step) {
            match step {
                Step::ServerSays => {
                    self.server.bytes += self.said.to_string().len();
                    self.server.waiting.push_back(copy(self.said));
                    self.said += 1;
                    self.write();
                }
                Step::ClientSays => {
                    self.to_server.iter_mut().for_each(|way| way.push_back(Word::Stanza(self.client_said)));
                    self.client_said += 1;
                }
                Step::ClientHears(count) => {
                    let way = self.to_client.iter_mut().flat_map(|way| (0..count).map_while(|_| way.pop_front()));
                    self.heard_by_client.extend(way);
                }
                Step::ServerHears(count) => (0..count).for_each(|_| self.server_hears()),
                Step::ClientAcknowledges => {
                    let h = u32::try_from(self.heard_by_client.len()).unwrap();
                    self.to_server.iter_mut().for_each(|way| way.push_back(Word::Acknowledgement(h)));
                }
                Step::Done => self.open.pop_front().into_iter().for_each(|number| self.server.handled.done(number)),
                Step::Cut => (self.to_client, self.to_server) = (None, None),
                Step::Resume => self.resume(),
            }
        }

        fn write(&mut self) {
            let Some(way) = &mut self.to_client else { return };
            while let Some(sent) = self.server.next_waiting() {
                let Sent::Copy { stanza, .. } = &sent else { unreachable!("copies alone are said here") };
                way.push_back(std::str::from_utf8(stanza.bytes()).unwrap().parse().unwrap());
                self.server.sent(sent);
            }
        }

        fn server_hears(&mut self) {
            match self.to_server.as_mut().and_then(VecDeque::pop_front) {
                Some(Word::Stanza(number)) => {
                    self.heard_by_server.push(number);
                    let counted = self.server.handled.stanza();
                    self.server.handled.begun(counted);
                    self.open.push_back(counted);
                }
                Some(Word::Acknowledgement(h)) => {
                    self.server.unacked.acknowledge(h).expect("a true acknowledgement");
                }
                None => {}
            }
            self.server.handled.ask();
            while let Some(h) = self.server.handled.answer() {
                let done = self.heard_by_server.len() - self.open.len();
                assert!(h as usize <= done, "{h} are said to be handled, {done} are");
            }
        }

        /// XEP-0198 §5, as a session does it; the old connection may still stand.
        fn resume(&mut self) {
            let h = u32::try_from(self.heard_by_client.len()).unwrap();
            self.server.unacked.acknowledge(h).expect("what the client says of itself is true");
            self.server.begin_again();
            self.to_client = Some(VecDeque::new());
            let had = self.server.handled.received();
            assert_eq!(had as usize, self.heard_by_server.len());
            self.to_server = Some((had..self.client_said).map(Word::Stanza).collect());
            self.write();
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::ServerSays),
            4 => Just(Step::ClientSays),
            3 => (0..4usize).prop_map(Step::ClientHears),
            3 => (0..4usize).prop_map(Step::ServerHears),
            2 => Just(Step::ClientAcknowledges),
            2 => Just(Step::Done),
            1 => Just(Step::Cut),
            1 => Just(Step::Resume),
        ]
    }

    proptest! {
        /// However sending, acknowledging, losing and resuming follow upon each other, each side hears what
        /// the other said once and in order.
        #[test]
        fn nothing_is_lost_or_doubled_over_resumptions(steps in prop::collection::vec(step(), 0..120)) {
            let mut ends = Ends::default();
            ends.resume();
            steps.into_iter().for_each(|step| ends.step(step));
            ends.resume();
            ends.step(Step::ClientHears(usize::MAX));
            ends.step(Step::ServerHears(500));
            prop_assert_eq!(ends.heard_by_client, (0..ends.said).collect::<Vec<_>>());
            prop_assert_eq!(ends.heard_by_server, (0..ends.client_said).collect::<Vec<_>>());
        }
    }
}
