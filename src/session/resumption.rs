//! Which sessions may be resumed, and how one is asked for (XEP-0198 §5).
//!
//! A session that may be resumed stands here under its id as long as it lives, whether its connection
//! does or not. Its task hands the session over when it is asked to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::standing::Standing;
use super::{Shared, hibernate};
use crate::jid::BareJid;
use crate::stream::SmRefusal;
use crate::stream::sm::FalseAck;

/// What somebody wants of a session.
pub(super) enum Ask {
    /// To go on with it over another connection, on which `h` stanzas were received.
    Resume { h: u32, reply: Reply },
    /// That it ends: the account has as many without a connection as it may.
    End,
}

pub(super) type Reply = oneshot::Sender<Result<Handed, FalseAck>>;

/// A session on its way from one task to another. It ends as it should where nobody takes it.
pub(super) struct Handed {
    shared: Arc<Shared>,
    standing: Option<Box<Standing>>,
}

/// Why a session is not handed over.
pub(super) enum Refused {
    Sm(SmRefusal),
    FalseAck(FalseAck),
}

#[derive(Clone, Default)]
pub(super) struct Resumption {
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    sessions: HashMap<Arc<str>, (BareJid, Arc<Slot>)>,
    /// Those without a connection, by account, the longest first.
    hibernating: HashMap<BareJid, VecDeque<Arc<str>>>,
    /// Those that ended, with the stanzas that they had received, the oldest first.
    ended: VecDeque<(Arc<str>, BareJid, u32)>,
}

/// Where a session's task is asked.
#[derive(Default)]
pub(super) struct Slot {
    asked: Mutex<Option<Ask>>,
    bell: Notify,
}

/// A session's place among those that may be resumed; dropping it ends the place.
pub(super) struct Resumable {
    known: Arc<Mutex<Known>>,
    pub id: Arc<str>,
    account: BareJid,
    pub slot: Arc<Slot>,
    /// How long it stays without a connection.
    pub max: Duration,
}

impl Resumption {
    /// Enters a session under an id that nobody can guess.
    pub fn enter(&self, id: String, account: BareJid, max: Duration) -> Resumable {
        let (id, slot): (Arc<str>, _) = (Arc::from(id), Arc::<Slot>::default());
        lock(&self.known).sessions.insert(id.clone(), (account.clone(), slot.clone()));
        Resumable { known: self.known.clone(), id, account, slot, max }
    }

    /// Asks for a session of this account.
    pub async fn resume(&self, account: &BareJid, previd: &str, h: u32) -> Result<Handed, Refused> {
        let asked = {
            let known = lock(&self.known);
            // Whoever knows the id of another account's session learns nothing of it.
            known.sessions.get(previd).filter(|(owner, _)| owner == account).map(|(_, slot)| {
                let (reply, answer) = oneshot::channel();
                slot.ask(Ask::Resume { h, reply });
                answer
            })
        };
        let Some(answer) = asked else { return Err(Refused::Sm(self.not_found(account, previd))) };
        match answer.await {
            Ok(Ok(handed)) => Ok(handed),
            // What it has acknowledged before is not kept: there is nothing to go on with (XEP-0198 §5), and
            // it may bind anew.
            Ok(Err(FalseAck::TakenBack { .. })) => Err(Refused::Sm(SmRefusal::NotFound { h: None })),
            Ok(Err(false_ack @ FalseAck::TooHigh { .. })) => Err(Refused::FalseAck(false_ack)),
            Err(_) => Err(Refused::Sm(self.not_found(account, previd))),
        }
    }

    fn not_found(&self, account: &BareJid, previd: &str) -> SmRefusal {
        let known = lock(&self.known);
        let ended = known.ended.iter().rev().find(|(id, owner, _)| **id == *previd && owner == account);
        SmRefusal::NotFound { h: ended.map(|(_, _, h)| *h) }
    }
}

impl Resumable {
    /// The session has no connection now; the one that has been without for longest ends where the
    /// account has more than `most`.
    pub fn hibernate(&self, most: usize) {
        let mut known = lock(&self.known);
        let waiting = known.hibernating.entry(self.account.clone()).or_default();
        waiting.push_back(self.id.clone());
        let surplus: Vec<Arc<str>> = waiting.iter().take(waiting.len().saturating_sub(most)).cloned().collect();
        for id in surplus {
            if let Some((_, slot)) = known.sessions.get(&id) {
                slot.ask(Ask::End);
            }
        }
    }

    /// It has one again, or needs none.
    pub fn wake(&self) {
        lock(&self.known).awake(&self.account, &self.id);
    }

    /// The session is over, and had received so many stanzas.
    pub fn end(self, h: u32) {
        let mut known = lock(&self.known);
        if known.ended.len() >= ENDED_MAX {
            known.ended.pop_front();
        }
        known.ended.push_back((self.id.clone(), self.account.clone(), h));
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        known.sessions.remove(&self.id);
        known.awake(&self.account, &self.id);
    }
}

impl Handed {
    pub fn new(shared: Arc<Shared>, standing: Box<Standing>) -> Self {
        Handed { shared, standing: Some(standing) }
    }

    pub fn take(mut self) -> Option<Box<Standing>> {
        self.standing.take()
    }

    pub fn standing(&self) -> Option<&Standing> {
        self.standing.as_deref()
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some(standing) = self.standing.take() {
            hibernate::end(&self.shared, standing);
        }
    }
}

impl Known {
    fn awake(&mut self, account: &BareJid, id: &Arc<str>) {
        if let Some(waiting) = self.hibernating.get_mut(account) {
            waiting.retain(|other| other != id);
            if waiting.is_empty() {
                self.hibernating.remove(account);
            }
        }
    }
}

impl Slot {
    /// The last one who asks is answered: of two that want to resume one session, one gets it.
    fn ask(&self, ask: Ask) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(ask);
        self.bell.notify_one();
    }

    /// Waits until somebody asks. May be dropped and called again.
    pub async fn asked(&self) -> Ask {
        loop {
            if let Some(ask) = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return ask;
            }
            self.bell.notified().await;
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ended sessions whose counters are remembered; each takes about 150 bytes.
const ENDED_MAX: usize = 4096;
