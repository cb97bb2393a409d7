//! What each session can, as far as the server must know: which nodes of other accounts it wants to be
//! notified of (XEP-0115, XEP-0390, XEP-0060 §9.2).
//!
//! Presence bears a hash. What it stands for is asked once, of the first session that bears it, and
//! remembered when the answer has that hash. An answer that has not is believed of that session alone.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};

use super::directory::Place;
use super::words::wire_bytes;
use super::{Messaging, Told};
use crate::jid::{FullJid, Jid};
use crate::pubsub::NodeId;
use crate::xml::Element;
use crate::xmpp::caps::{Mark, MarkForm, features};
use crate::xmpp::{Iq, IqKind};

/// The nodes of other accounts that a session wants to be notified of.
pub type Interests = Arc<BTreeSet<NodeId>>;

/// What a session's presence said it can.
#[derive(Clone, Debug, Default)]
pub(super) struct Capable {
    mark: Option<Mark>,
    /// The request that asks what the mark stands for, until it is answered.
    asked: Option<String>,
    pub interests: Interests,
}

/// Hashes whose meaning is known; the oldest makes room.
#[derive(Default)]
pub(super) struct Cache {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    interests: HashMap<Mark, Interests>,
    order: VecDeque<Mark>,
}

impl Messaging {
    /// What a session's presence says that it can. What must be asked is returned.
    pub(super) fn note_capabilities(&self, session: &Place, mark: Option<Mark>) -> Option<Bytes> {
        let cache = &self.shared.caps;
        let ask = self.shared.directory.capable(session, |capable| {
            if capable.mark == mark {
                return None;
            }
            let known = mark.as_ref().map(|mark| cache.meaning(mark));
            let interests = known.clone().flatten().unwrap_or_default();
            let id = matches!(known, Some(None)).then(|| format!("{ASKED}{}", self.next_question()));
            *capable = Capable { mark: mark.clone(), asked: id.clone(), interests };
            id
        });
        Some(question(session.jid(), ask.flatten()?, mark?))
    }

    /// The answer of a session to [`question`], if it is one.
    pub fn is_capabilities(&self, iq: &Iq) -> bool {
        matches!(&iq.kind, IqKind::Result(Some(_))) && iq.id.starts_with(ASKED)
    }

    /// Takes what a session answered.
    pub async fn capabilities(&self, session: &Place, iq: Iq) -> Told {
        let IqKind::Result(Some(info)) = &iq.kind else { return Told::default() };
        let own = session.jid().bare().clone();
        let _turn = self.shared.turns.of(&own).await;
        let Some(mark) = self.shared.directory.capable(session, |capable| {
            let expected = capable.asked.as_ref() == Some(&iq.id);
            expected.then(|| capable.asked = None).and(capable.mark.clone())
        }) else {
            return Told::default();
        };
        let Some(mark) = mark else { return Told::default() };
        let interests = interests(info);
        if capabilities_hash(mark.form, &mark.algorithm, info).as_ref() == Some(&mark.hash) {
            self.shared.caps.learn(mark, &interests);
        }
        self.shared.directory.capable(session, |capable| capable.interests = interests.clone());
        self.follow_in_turn(session).await
    }

    fn next_question(&self) -> u64 {
        self.shared.questions.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

/// XEP-0115 §6.2.
fn question(to: &FullJid, id: String, mark: Mark) -> Bytes {
    let query = Element::new("query", "http://jabber.org/protocol/disco#info").with_attr("node", mark.node);
    let (from, to) = (Some(Jid::Bare(to.bare().clone())), Some(Jid::Full(to.clone())));
    wire_bytes(&Iq { id, from, to, kind: IqKind::Get(query) }.into_element())
}

/// XEP-0060 §9.2: the features that end in `+notify` name nodes.
fn interests(info: &Element) -> Interests {
    let nodes = features(info).filter_map(|feature| feature.strip_suffix("+notify")).filter_map(NodeId::parse);
    Arc::new(nodes.take(INTERESTS_MAX).collect())
}

/// The hash that stands for an answer of service discovery; nothing where that is ill-formed, or the
/// function not known.
pub fn capabilities_hash(form: MarkForm, algorithm: &str, info: &Element) -> Option<String> {
    hash(algorithm, &form.text(info)?)
}

fn hash(algorithm: &str, text: &[u8]) -> Option<String> {
    Some(match algorithm {
        "sha-1" => STANDARD.encode(Sha1::digest(text)),
        "sha-256" => STANDARD.encode(Sha256::digest(text)),
        "sha-512" => STANDARD.encode(Sha512::digest(text)),
        _ => return None,
    })
}

impl Cache {
    fn meaning(&self, mark: &Mark) -> Option<Interests> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).interests.get(mark).cloned()
    }

    fn learn(&self, mark: Mark, interests: &Interests) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.interests.insert(mark.clone(), interests.clone()).is_some() {
            return;
        }
        known.order.push_back(mark);
        if known.order.len() > KNOWN_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.interests.remove(&oldest);
        }
    }
}

/// The hash functions that are understood (XEP-0300).
pub(super) const ALGORITHMS: &[&str] = &["sha-512", "sha-256", "sha-1"];
/// How the identifiers of our questions begin.
const ASKED: &str = "caps-";
/// Nodes that one session may be interested in.
const INTERESTS_MAX: usize = 256;
/// Hashes whose meaning is remembered: as many as there are kinds of clients in use.
const KNOWN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(hash: &str) -> Mark {
        Mark { form: MarkForm::Slashes, algorithm: "sha-1".into(), hash: hash.into(), node: "n".into() }
    }

    #[test]
    fn the_oldest_meaning_makes_room() {
        let cache = Cache::default();
        let nodes: Interests = Arc::new([NodeId::parse("n").unwrap()].into());
        for number in 0..=KNOWN_MAX {
            cache.learn(mark(&number.to_string()), &nodes);
        }
        assert_eq!(cache.meaning(&mark("0")), None);
        assert_eq!(cache.meaning(&mark("1")), Some(nodes.clone()));
        assert_eq!(cache.known.lock().unwrap().interests.len(), KNOWN_MAX);
    }

    /// XEP-0115 §5.2.
    #[test]
    fn the_hash_of_the_specification_s_example_comes_out() {
        let text = "client/pc//Exodus 0.9.1<http://jabber.org/protocol/caps<http://jabber.org/protocol/disco#info<\
                    http://jabber.org/protocol/disco#items<http://jabber.org/protocol/muc<";
        assert_eq!(hash("sha-1", text.as_bytes()).as_deref(), Some("QgayPKawpkPSDYmwT/WM94uAlu0="));
        assert_eq!(hash("md5", b""), None);
    }
}
