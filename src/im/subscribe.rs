//! The subscription state machine of RFC 6121, appendix A: one table for what the owner of a roster
//! sends, one for what it is sent.

use crate::im::Links;

/// Presence that manages subscriptions (RFC 6121 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
}

/// What comes of a word that the owner of a roster sends (RFC 6121 §A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub links: Links,
    /// Whether the word goes on to the contact.
    pub routed: bool,
}

/// What comes of a word that the owner of a roster is sent (RFC 6121 §A.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub links: Links,
    /// Whether the owner is told.
    pub delivered: bool,
    /// What the contact is answered on the owner's behalf.
    pub answer: Option<Word>,
}

/// RFC 6121 §A.2.
pub fn send(word: Word, links: Links) -> Sent {
    match word {
        Word::Subscribe => Sent { links: Links { pending_out: !links.to, ..links }, routed: true },
        Word::Unsubscribe => Sent { links: Links { to: false, pending_out: false, ..links }, routed: true },
        Word::Subscribed if links.pending_in => {
            Sent { links: Links { from: true, pending_in: false, ..links }, routed: true }
        }
        // §3.4: nobody has asked yet, so that this is an approval beforehand.
        Word::Subscribed => Sent { links: Links { approved: links.approved || !links.from, ..links }, routed: false },
        Word::Unsubscribed => Sent {
            links: Links { from: false, pending_in: false, approved: false, ..links },
            routed: links.from || links.pending_in,
        },
    }
}

/// RFC 6121 §A.3.
pub fn hear(word: Word, links: Links) -> Heard {
    let ignored = Heard { links, delivered: false, answer: None };
    let told = |links: Links, answer: Option<Word>| Heard { links, delivered: true, answer };
    match word {
        Word::Subscribe if links.from => Heard { answer: Some(Word::Subscribed), ..ignored },
        // §3.4.2: approved beforehand, so that the owner is not asked.
        Word::Subscribe if links.approved => Heard {
            links: Links { from: true, pending_in: false, ..links },
            delivered: false,
            answer: Some(Word::Subscribed),
        },
        Word::Subscribe if links.pending_in => ignored,
        Word::Subscribe => told(Links { pending_in: true, ..links }, None),
        Word::Unsubscribe if links.from || links.pending_in => {
            told(Links { from: false, pending_in: false, ..links }, Some(Word::Unsubscribed))
        }
        Word::Subscribed if links.pending_out => told(Links { to: true, pending_out: false, ..links }, None),
        Word::Unsubscribed if links.to || links.pending_out => {
            told(Links { to: false, pending_out: false, ..links }, None)
        }
        Word::Unsubscribe | Word::Subscribed | Word::Unsubscribed => ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [&str; 9] = [
        "None",
        "None + Pending Out",
        "None + Pending In",
        "None + Pending Out+In",
        "To",
        "To + Pending In",
        "From",
        "From + Pending Out",
        "Both",
    ];

    fn state(name: &str) -> Links {
        let (main, pending) = name.split_once(" + Pending ").unwrap_or((name, ""));
        Links {
            to: matches!(main, "To" | "Both"),
            from: matches!(main, "From" | "Both"),
            pending_out: pending.contains("Out"),
            pending_in: pending.contains("In"),
            approved: false,
        }
    }

    fn name(links: Links) -> &'static str {
        let wanted = Links { approved: false, ..links };
        STATES.into_iter().find(|name| state(name) == wanted).unwrap_or("a state that does not exist")
    }

    /// Tables 2 to 5 of RFC 6121, row by row: routed or not, and the state after; `=` is no change,
    /// `approved` an approval beforehand.
    const SENT: [(Word, [(bool, &str); 9]); 4] = [
        (
            Word::Subscribe,
            [
                (true, "None + Pending Out"),
                (true, "="),
                (true, "None + Pending Out+In"),
                (true, "="),
                (true, "="),
                (true, "="),
                (true, "From + Pending Out"),
                (true, "="),
                (true, "="),
            ],
        ),
        (
            Word::Unsubscribe,
            [
                (true, "="),
                (true, "None"),
                (true, "="),
                (true, "None + Pending In"),
                (true, "None"),
                (true, "None + Pending In"),
                (true, "="),
                (true, "From"),
                (true, "From"),
            ],
        ),
        (
            Word::Subscribed,
            [
                (false, "approved"),
                (false, "approved"),
                (true, "From"),
                (true, "From + Pending Out"),
                (false, "approved"),
                (true, "Both"),
                (false, "="),
                (false, "="),
                (false, "="),
            ],
        ),
        (
            Word::Unsubscribed,
            [
                (false, "="),
                (false, "="),
                (true, "None"),
                (true, "None + Pending Out"),
                (false, "="),
                (true, "To"),
                (true, "None"),
                (true, "None + Pending Out"),
                (true, "To"),
            ],
        ),
    ];

    /// Delivered or not, the state after, the answer that the server gives.
    type Row = (bool, &'static str, Option<Word>);

    /// Tables 6 to 9.
    const HEARD: [(Word, [Row; 9]); 4] = [
        (
            Word::Subscribe,
            [
                (true, "None + Pending In", None),
                (true, "None + Pending Out+In", None),
                (false, "=", None),
                (false, "=", None),
                (true, "To + Pending In", None),
                (false, "=", None),
                (false, "=", Some(Word::Subscribed)),
                (false, "=", Some(Word::Subscribed)),
                (false, "=", Some(Word::Subscribed)),
            ],
        ),
        (
            Word::Unsubscribe,
            [
                (false, "=", None),
                (false, "=", None),
                (true, "None", Some(Word::Unsubscribed)),
                (true, "None + Pending Out", Some(Word::Unsubscribed)),
                (false, "=", None),
                (true, "To", Some(Word::Unsubscribed)),
                (true, "None", Some(Word::Unsubscribed)),
                (true, "None + Pending Out", Some(Word::Unsubscribed)),
                (true, "To", Some(Word::Unsubscribed)),
            ],
        ),
        (
            Word::Subscribed,
            [
                (false, "=", None),
                (true, "To", None),
                (false, "=", None),
                (true, "To + Pending In", None),
                (false, "=", None),
                (false, "=", None),
                (false, "=", None),
                (true, "Both", None),
                (false, "=", None),
            ],
        ),
        (
            Word::Unsubscribed,
            [
                (false, "=", None),
                (true, "None", None),
                (false, "=", None),
                (true, "None + Pending In", None),
                (true, "None", None),
                (true, "None + Pending In", None),
                (false, "=", None),
                (true, "From", None),
                (true, "From", None),
            ],
        ),
    ];

    #[test]
    fn what_the_owner_sends_follows_tables_2_to_5() {
        for (word, rows) in SENT {
            for (before, (routed, after)) in STATES.into_iter().zip(rows) {
                let sent = send(word, state(before));
                assert_eq!(sent.routed, routed, "{word:?} in {before}");
                let approved = after == "approved";
                let expected = if matches!(after, "=" | "approved") { before } else { after };
                assert_eq!((name(sent.links), sent.links.approved), (expected, approved), "{word:?} in {before}");
            }
        }
    }

    #[test]
    fn what_the_owner_is_sent_follows_tables_6_to_9() {
        for (word, rows) in HEARD {
            for (before, (delivered, after, answer)) in STATES.into_iter().zip(rows) {
                let heard = hear(word, state(before));
                let expected = if after == "=" { before } else { after };
                let found = (heard.delivered, name(heard.links), heard.answer);
                assert_eq!(found, (delivered, expected, answer), "{word:?} in {before}");
            }
        }
    }

    #[test]
    fn who_was_approved_beforehand_need_not_wait() {
        for before in STATES.into_iter().filter(|name| !state(name).from && !state(name).pending_in) {
            let approved = send(Word::Subscribed, state(before)).links;
            assert!(approved.approved, "{before}");
            let heard = hear(Word::Subscribe, approved);
            assert_eq!(
                heard,
                Heard { links: Links { from: true, ..approved }, delivered: false, answer: Some(Word::Subscribed) }
            );
            let taken_back = send(Word::Unsubscribed, approved);
            assert_eq!(taken_back, Sent { links: state(before), routed: false });
        }
    }

    /// Whatever two people send each other, each side's view of a subscription is the other's.
    #[test]
    fn both_sides_agree_whatever_is_said() {
        let words = [Word::Subscribe, Word::Subscribed, Word::Unsubscribe, Word::Unsubscribed];
        let mut seen = std::collections::HashSet::from([(Links::default(), Links::default())]);
        let mut open: Vec<(Links, Links)> = seen.iter().copied().collect();
        while let Some((one, other)) = open.pop() {
            assert!(one.to == other.from && one.from == other.to, "{one:?} {other:?}");
            assert!(one.pending_out == other.pending_in || one.to, "{one:?} {other:?}");
            for word in words {
                for (speaker, listener, turned) in [(one, other, false), (other, one, true)] {
                    let sent = send(word, speaker);
                    let (mut speaker, mut listener) = (sent.links, listener);
                    if sent.routed {
                        let heard = hear(word, listener);
                        listener = heard.links;
                        if let Some(answer) = heard.answer {
                            speaker = hear(answer, speaker).links;
                        }
                    }
                    let next = if turned { (listener, speaker) } else { (speaker, listener) };
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
        }
        assert!(seen.len() >= 9, "{}", seen.len());
    }
}
