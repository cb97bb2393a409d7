//! Stream management (XEP-0198): what is said of it, and the counting of stanzas.
//!
//! A [`Stream`](super::Stream) knows where each word of it may stand. The session keeps the counters,
//! which outlive a stream, and what was sent and not acknowledged.

use std::collections::{BTreeSet, VecDeque};

use super::error::{StreamCondition, StreamError};
use super::negotiation::{Next, State, Stream};
use super::output::{Output, write_element};
use super::{SM_NS, STANZA_ERROR_NS};
use crate::jid::{BareJid, FullJid};
use crate::xml::Element;

/// What a peer says in the namespace of stream management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// §3, with the number of seconds for which the peer would like to be waited for.
    Enable { resume: bool, max: Option<u32> },
    /// §5.
    Resume { previd: String, h: u32 },
    /// §4: `<r/>`.
    AckAsked,
    /// §4: `<a/>`.
    Acknowledged(u32),
    /// Something that is not said in this direction, or without what belongs to it.
    Wrong,
}

/// Why stream management is not begun, or a stream not resumed (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmRefusal {
    /// Out of order: `unexpected-request`.
    Unexpected,
    /// What belongs to the request is missing: `bad-request`.
    Malformed,
    /// No such session of this account; with the stanzas that were handled, where it is known to have
    /// ended: `item-not-found`.
    NotFound { h: Option<u32> },
}

impl Said {
    /// What an element says, if it is of this namespace.
    pub fn read(element: &Element) -> Option<Self> {
        if element.ns() != SM_NS {
            return None;
        }
        let number = |name: &str| element.attr(name).and_then(|text| text.trim().parse::<u32>().ok());
        Some(match element.name() {
            "enable" => Said::Enable {
                resume: matches!(element.attr("resume").map(str::trim), Some("true" | "1")),
                max: number("max"),
            },
            "resume" => match (element.attr("previd"), number("h")) {
                (Some(previd), Some(h)) => Said::Resume { previd: previd.to_owned(), h },
                _ => Said::Wrong,
            },
            "r" => Said::AckAsked,
            "a" => number("h").map_or(Said::Wrong, Said::Acknowledged),
            _ => Said::Wrong,
        })
    }
}

impl Stream {
    /// Stream management before a resource is bound: nothing but a resumption may stand there
    /// (XEP-0198 §3, §5).
    pub(super) fn manage_unbound(&mut self, account: BareJid, said: Said, out: &mut Vec<Output>) -> Next {
        let refusal = match said {
            Said::Resume { previd, h } => {
                out.push(Output::AskResume { account: account.clone(), previd, h });
                return Ok(State::ExpectResumed { account });
            }
            Said::Wrong => SmRefusal::Malformed,
            Said::Enable { .. } | Said::AckAsked | Said::Acknowledged(_) => SmRefusal::Unexpected,
        };
        write_element(out, &failed(refusal));
        self.bind_attempt_failed(account)
    }

    pub(super) fn resumed(
        &mut self,
        account: &BareJid,
        jid: FullJid,
        previd: &str,
        h: u32,
        out: &mut Vec<Output>,
    ) -> Next {
        if jid.bare() != account {
            // The session found somebody else's: a mistake that must not open a door.
            return Err(StreamCondition::InternalServerError.into());
        }
        write_element(out, &resumed(previd, h));
        out.push(Output::Established { jid: jid.clone() });
        self.managed = true;
        Ok(State::Established { jid })
    }

    /// Stream management once stanzas flow.
    pub(super) fn manage(&mut self, jid: FullJid, said: &Said, out: &mut Vec<Output>) -> Next {
        match (said, self.managed) {
            (Said::Enable { resume, max }, false) => {
                self.managed = true;
                out.push(Output::EnableSm { resume: *resume, max: *max });
            }
            (Said::Enable { .. }, true) => {
                // XEP-0198 §3: there is one attempt at most.
                write_element(out, &failed(SmRefusal::Unexpected));
                return Err(StreamCondition::PolicyViolation.because("stream management has begun already"));
            }
            (Said::AckAsked, true) => out.push(Output::AckAsked),
            (Said::Acknowledged(h), true) => out.push(Output::Acknowledged(*h)),
            (Said::Wrong, _) => write_element(out, &failed(SmRefusal::Malformed)),
            (Said::AckAsked | Said::Acknowledged(_), false) | (Said::Resume { .. }, _) => {
                write_element(out, &failed(SmRefusal::Unexpected));
            }
        }
        Ok(State::Established { jid })
    }
}

/// `<enabled/>`: resumable by this id, for so many seconds after a connection was lost.
pub fn enabled(resumable: Option<(&str, u64)>) -> Element {
    let enabled = Element::new("enabled", SM_NS);
    match resumable {
        Some((id, seconds)) => {
            enabled.with_attr("resume", "true").with_attr("id", id).with_attr("max", seconds.to_string())
        }
        None => enabled,
    }
}

/// `<resumed/>`.
pub fn resumed(previd: &str, h: u32) -> Element {
    Element::new("resumed", SM_NS).with_attr("previd", previd).with_attr("h", h.to_string())
}

/// `<failed/>`.
pub fn failed(refusal: SmRefusal) -> Element {
    let (condition, h) = match refusal {
        SmRefusal::Unexpected => ("unexpected-request", None),
        SmRefusal::Malformed => ("bad-request", None),
        SmRefusal::NotFound { h } => ("item-not-found", h),
    };
    Element::new("failed", SM_NS)
        .with_attr_opt("h", h.map(|h| h.to_string()))
        .with_child(Element::new(condition, STANZA_ERROR_NS))
}

/// `<r/>`.
pub fn request() -> Element {
    Element::new("r", SM_NS)
}

/// `<a/>`.
pub fn answer(h: u32) -> Element {
    Element::new("a", SM_NS).with_attr("h", h.to_string())
}

/// What was sent since stream management began and has not been acknowledged, oldest first.
#[derive(Debug)]
pub struct Unacknowledged<T> {
    acknowledged: u32,
    sent: VecDeque<T>,
}

/// An acknowledgement that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FalseAck {
    /// Of more than was sent (§6).
    TooHigh { h: u32, sent: u32 },
    /// Of less than was acknowledged before.
    TakenBack { h: u32, acknowledged: u32 },
}

impl<T> Default for Unacknowledged<T> {
    fn default() -> Self {
        Unacknowledged { acknowledged: 0, sent: VecDeque::new() }
    }
}

impl<T> Unacknowledged<T> {
    pub fn push(&mut self, stanza: T) {
        self.sent.push_back(stanza);
    }

    pub fn len(&self) -> usize {
        self.sent.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The peer has handled `h` stanzas in all, modulo 2^32 (§4); what that newly acknowledges comes
    /// back.
    pub fn acknowledge(&mut self, h: u32) -> Result<std::collections::vec_deque::Drain<'_, T>, FalseAck> {
        self.check(h)?;
        let count = h.wrapping_sub(self.acknowledged) as usize;
        self.acknowledged = h;
        Ok(self.sent.drain(..count))
    }

    /// Whether `h` can be true.
    pub fn check(&self, h: u32) -> Result<(), FalseAck> {
        let newly = h.wrapping_sub(self.acknowledged);
        if newly as usize <= self.sent.len() {
            return Ok(());
        }
        let sent = self.acknowledged.wrapping_add(u32::try_from(self.sent.len()).unwrap_or(u32::MAX));
        Err(if newly > u32::MAX / 2 {
            FalseAck::TakenBack { h, acknowledged: self.acknowledged }
        } else {
            FalseAck::TooHigh { h, sent }
        })
    }

    /// Takes out what is left, to be sent again: it counts as sent when it is pushed again.
    pub fn take(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.sent)
    }
}

impl FalseAck {
    /// The stream error of §6.
    pub fn error(self) -> StreamError {
        match self {
            FalseAck::TooHigh { h, sent } => {
                let error = StreamCondition::UndefinedCondition
                    .because(format!("{h} stanzas were acknowledged, but {sent} were sent"));
                error.with_application(
                    Element::new("handled-count-too-high", SM_NS)
                        .with_attr("h", h.to_string())
                        .with_attr("send-count", sent.to_string()),
                )
            }
            FalseAck::TakenBack { h, acknowledged } => StreamCondition::PolicyViolation
                .because(format!("{h} stanzas were acknowledged after {acknowledged} had been")),
        }
    }
}

/// The stanzas of the peer: how many came, which of them are still being worked on, and who has asked.
///
/// A stanza is handled when what it asked for is done: whoever is told of a publish by its `h` alone
/// can rely on it. [`Handled::received`] counts those that are not done too, since a session that is
/// resumed goes on with them.
#[derive(Debug, Default)]
pub struct Handled {
    received: u64,
    open: BTreeSet<u64>,
    /// What had been received when each unanswered `<r/>` came.
    asked: VecDeque<u64>,
}

impl Handled {
    /// A stanza came; its number.
    pub fn stanza(&mut self) -> u64 {
        self.received += 1;
        self.received
    }

    /// The work on a stanza takes time.
    pub fn begun(&mut self, number: u64) {
        self.open.insert(number);
    }

    /// It is done.
    pub fn done(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// The peer asks to be told what is handled.
    pub fn ask(&mut self) {
        self.asked.push_back(self.received);
    }

    /// The `h` to tell now: what the oldest question asked about is handled. One at a time.
    pub fn answer(&mut self) -> Option<u32> {
        let asked = *self.asked.front()?;
        let handled = self.open.first().map_or(self.received, |first| first - 1);
        // A peer that asks and asks while it waits is told how far things are.
        if handled < asked && self.asked.len() <= ASKED_MAX {
            return None;
        }
        self.asked.pop_front();
        Some(wrapped(handled))
    }

    /// All that came, modulo 2^32: the `h` of a resumption.
    pub fn received(&self) -> u32 {
        wrapped(self.received)
    }

    /// Questions that nobody waits for an answer to any more: their stream is gone.
    pub fn forget_questions(&mut self) {
        self.asked.clear();
    }
}

/// §4: after 2^32-1 comes zero.
#[expect(clippy::cast_possible_truncation, reason = "this is the counter of the specification")]
fn wrapped(count: u64) -> u32 {
    count as u32
}

/// Questions that wait for work to be done.
const ASKED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn element(xml: &str) -> Element {
        crate::xml::parse_document(xml.as_bytes(), &crate::xml::Limits::authenticated()).unwrap()
    }

    #[test]
    fn words_are_read() {
        let read = |xml: &str| Said::read(&element(&xml.replace("/>", " xmlns='urn:xmpp:sm:3'/>"))).unwrap();
        assert_eq!(read("<enable/>"), Said::Enable { resume: false, max: None });
        assert_eq!(read("<enable resume='1' max='60'/>"), Said::Enable { resume: true, max: Some(60) });
        assert_eq!(read("<enable resume='true' max='soon'/>"), Said::Enable { resume: true, max: None });
        assert_eq!(read("<resume previd='x' h='4294967295'/>"), Said::Resume { previd: "x".into(), h: u32::MAX });
        for wrong in ["<resume previd='x'/>", "<resume h='1'/>", "<a/>", "<a h='-1'/>", "<a h='4294967296'/>", "<z/>"] {
            assert_eq!(read(wrong), Said::Wrong, "{wrong}");
        }
        assert_eq!(read("<a h='7'/>"), Said::Acknowledged(7));
        assert_eq!(read("<r/>"), Said::AckAsked);
        assert_eq!(Said::read(&element("<r xmlns='urn:xmpp:sm:2'/>")), None);
    }

    #[test]
    fn acknowledgements_give_back_what_they_cover_and_no_more() {
        let mut unacked = Unacknowledged::default();
        (1..=5).for_each(|n| unacked.push(n));
        assert_eq!(unacked.acknowledge(2).unwrap().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(unacked.acknowledge(2).unwrap().count(), 0);
        assert_eq!(unacked.acknowledge(6).err(), Some(FalseAck::TooHigh { h: 6, sent: 5 }));
        assert_eq!(unacked.acknowledge(1).err(), Some(FalseAck::TakenBack { h: 1, acknowledged: 2 }));
        assert_eq!(unacked.len(), 3, "a false one changes nothing");
        assert_eq!(unacked.acknowledge(5).unwrap().collect::<Vec<_>>(), [3, 4, 5]);
        assert!(unacked.is_empty());
    }

    #[test]
    fn counters_go_on_from_zero_after_their_last_value() {
        let mut unacked = Unacknowledged { acknowledged: u32::MAX - 1, sent: VecDeque::from([1, 2, 3, 4]) };
        assert_eq!(unacked.acknowledge(3).err(), Some(FalseAck::TooHigh { h: 3, sent: 2 }));
        assert_eq!(unacked.acknowledge(0).unwrap().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(unacked.acknowledge(2).unwrap().collect::<Vec<_>>(), [3, 4]);
        let mut handled = Handled { received: (1 << 32) - 1, ..Handled::default() };
        handled.ask();
        assert_eq!(handled.answer(), Some(u32::MAX));
        handled.stanza();
        handled.ask();
        assert_eq!(handled.answer(), Some(0));
        assert_eq!(handled.received(), 0);
    }

    #[test]
    fn a_stanza_is_handled_when_its_work_is_done() {
        let mut handled = Handled::default();
        let (first, second) = (handled.stanza(), handled.stanza());
        handled.begun(first);
        handled.begun(second);
        handled.ask();
        assert_eq!(handled.answer(), None);
        handled.done(second);
        assert_eq!(handled.answer(), None, "the first is open");
        assert_eq!(handled.received(), 2);
        handled.done(first);
        assert_eq!(handled.answer(), Some(2));
        assert_eq!(handled.answer(), None, "one answer to one question");
    }

    #[test]
    fn whoever_asks_without_end_is_answered_with_what_is_true() {
        let mut handled = Handled::default();
        let number = handled.stanza();
        handled.begun(number);
        (0..=ASKED_MAX).for_each(|_| handled.ask());
        assert_eq!(handled.answer(), Some(0));
        assert_eq!(handled.answer(), None);
    }

    proptest::proptest! {
        /// Whatever is acknowledged in whatever portions, each stanza comes back once and in order.
        #[test]
        fn each_stanza_comes_back_once(start: u32, portions in proptest::collection::vec((0u32..50, 0u32..50), 0..40)) {
            let mut unacked = Unacknowledged { acknowledged: start, sent: VecDeque::new() };
            let (mut pushed, mut back) = (0u32, Vec::new());
            for (send, ack) in portions {
                (0..send).for_each(|n| unacked.push(pushed + n));
                pushed += send;
                let h = start.wrapping_add(back.len() as u32).wrapping_add(ack.min(unacked.len() as u32));
                back.extend(unacked.acknowledge(h).unwrap());
            }
            back.extend(unacked.take());
            proptest::prop_assert_eq!(back, (0..pushed).collect::<Vec<_>>());
        }
    }
}
