//! Streams over HTTP requests (BOSH: XEP-0124, XEP-0206): which session a request belongs to.
//!
//! Not here: HTTP itself (`http`), what is said on a stream (`session`), several streams of one session
//! (XEP-0124 §16, optional), reports of late answers (§9, optional).

mod body;
mod carrier;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::body::{Body, Condition, Unreadable};
use self::carrier::BoshCarrier;
use self::state::{MEDIA, State, Terms};
use super::gate::{Gate, Pending};
use crate::counts::{Limit, SessionKind};
use crate::session::{Carrier, Pipe, Sessions};
use crate::stream::Secured;

/// The settings of sessions over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct BoshOptions {
    /// The longest that a request is kept waiting.
    pub wait: Duration,
    /// How long a client may be without a request.
    pub inactivity: Duration,
    /// The least time between requests that bring nothing; with zero there is none.
    pub polling: Duration,
    /// The longest pause that a client may ask for; with zero none may.
    pub pause_max: Duration,
    pub sessions_max: usize,
}

impl Default for BoshOptions {
    fn default() -> Self {
        BoshOptions {
            wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(60),
            polling: Duration::from_secs(5),
            pause_max: Duration::from_secs(120),
            sessions_max: 10_000,
        }
    }
}

/// What a request is answered.
#[derive(Clone, Debug)]
pub struct Posted {
    pub status: u16,
    /// The type of the body.
    pub media: Arc<str>,
    pub body: Bytes,
}

/// All sessions over HTTP.
pub struct Bosh {
    options: BoshOptions,
    gate: Arc<Gate>,
    sessions: Sessions,
    tracker: TaskTracker,
    table: Arc<Table>,
}

/// The sessions by their ids.
#[derive(Default)]
struct Table(Mutex<HashMap<Arc<str>, Arc<One>>>);

/// A session.
struct One {
    sid: Arc<str>,
    secure: bool,
    state: Mutex<State>,
}

/// A connection's place among those unauthenticated; when it is given back, the peer has said who it is.
struct Unknown {
    _pending: Pending,
    one: Arc<One>,
}

impl Bosh {
    pub fn new(options: BoshOptions, gate: Arc<Gate>, sessions: Sessions, tracker: TaskTracker) -> Arc<Self> {
        Arc::new(Bosh { options, gate, sessions, tracker, table: Arc::default() })
    }

    /// Sessions that there are.
    pub fn sessions(&self) -> usize {
        self.table.lock().len()
    }

    /// Requests that are kept waiting for something to be answered with.
    pub fn waiting(&self) -> usize {
        let all: Vec<Arc<One>> = self.table.lock().values().cloned().collect();
        all.iter().map(|one| one.lock().waiting()).sum()
    }

    /// Answers a request, when there is something to answer or it has waited long enough. `secure` says
    /// whether TLS protects it.
    pub async fn answer(&self, bytes: Bytes, peer: SocketAddr, secure: bool) -> Posted {
        let is_known = |sid: &str| self.table.find(sid).is_some_and(|one| one.lock().known);
        let body = match Body::read(&bytes, self.sessions.message_limits(), is_known) {
            Ok(body) => body,
            Err(Unreadable::BadRequest) => return refusal(Condition::BadRequest),
            Err(Unreadable::TooLarge) => return refusal(Condition::PolicyViolation),
        };
        drop(bytes);
        let session = body.attr("sid").map(|sid| self.table.find(sid));
        let asked = match session {
            None => self.begin(body, peer, secure),
            Some(Some(one)) => go_on(one, body, secure),
            Some(None) => Err(refusal(Condition::ItemNotFound)),
        };
        match asked {
            Ok(asked) => asked.wait().await,
            Err(refused) => refused,
        }
    }

    /// XEP-0124 §7.1.
    fn begin(&self, body: Body, peer: SocketAddr, secure: bool) -> Result<Asked, Posted> {
        let terms = Terms::agree(&self.options, &body).map_err(|_| refusal(Condition::BadRequest))?;
        let rid = body.rid().map_err(|_| terms.refusal(Condition::BadRequest))?;
        let refused = terms.clone();
        let entered = self.gate.enter(peer, std::time::Instant::now()).inspect_err(|held| self.gate.hit(held.by));
        let Ok(pending) = entered else {
            return Err(refused.refusal(Condition::PolicyViolation));
        };
        let sid: Arc<str> = Arc::from(fresh_sid());
        let (reply, answer) = oneshot::channel();
        let begun = State::begin(sid.clone(), terms, body, reply, Instant::now());
        let (state, until) = begun.map_err(|_| refused.refusal(Condition::BadRequest))?;
        let one = Arc::new(One { sid, secure, state: Mutex::new(state) });
        if !self.table.enter(&one, self.options.sessions_max) {
            self.gate.hit(Limit::BoshSessions);
            tracing::warn!("there are as many sessions over HTTP as may be (bosh.sessions)");
            return Err(refused.refusal(Condition::RemoteConnectionFailed));
        }
        let unauthenticated: Option<Box<dyn Send>> = Some(Box::new(Unknown { _pending: pending, one: one.clone() }));
        let carrier = Carrier::Messages(Box::new(BoshCarrier::new(one.clone(), self.table.clone())));
        let kind = SessionKind::Bosh;
        let pipe =
            Pipe { kind, carrier, peer, upgrade: None, clear: !secure, secured: Secured::default(), unauthenticated };
        let sessions = self.sessions.clone();
        self.tracker.spawn(async move { sessions.run(pipe).await });
        Ok(Asked { one, rid, until, answer })
    }
}

fn go_on(one: Arc<One>, body: Body, secure: bool) -> Result<Asked, Posted> {
    if one.secure && !secure {
        // XEP-0124 §19.1: the session must not suffer for it.
        return Err(refusal(Condition::ItemNotFound));
    }
    let rid = body.rid().unwrap_or(0);
    let (reply, answer) = oneshot::channel();
    let until = one.lock().request(body, reply, Instant::now());
    Ok(Asked { one, rid, until, answer })
}

/// A request that is taken in.
struct Asked {
    one: Arc<One>,
    rid: u64,
    /// It is answered by then.
    until: Instant,
    answer: oneshot::Receiver<Posted>,
}

impl Asked {
    async fn wait(mut self) -> Posted {
        let lost = || refusal(Condition::ItemNotFound);
        tokio::select! {
            answered = &mut self.answer => return answered.unwrap_or_else(|_| lost()),
            () = tokio::time::sleep_until(self.until) => self.one.lock().expire(self.rid, Instant::now()),
        }
        (&mut self.answer).await.unwrap_or_else(|_| lost())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // The connection may have been lost before there was an answer.
        self.answer.close();
        self.one.lock().lost(self.rid, Instant::now());
    }
}

impl One {
    // A std mutex: held for a step of the state, never across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn enter(&self, one: &Arc<One>, most: usize) -> bool {
        let mut table = self.lock();
        let room = table.len() < most;
        if room {
            table.insert(one.sid.clone(), one.clone());
        }
        room
    }

    fn find(&self, sid: &str) -> Option<Arc<One>> {
        self.lock().get(sid).cloned()
    }

    fn remove(&self, sid: &str) {
        self.lock().remove(sid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<One>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Unknown {
    fn drop(&mut self) {
        self.one.lock().known = true;
    }
}

fn refusal(condition: Condition) -> Posted {
    Posted { status: 200, media: Arc::from(MEDIA), body: condition.body() }
}

/// 128 random bits (XEP-0124 §19.3).
fn fresh_sid() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system gives random bytes");
    bits.iter().map(|byte| format!("{byte:02x}")).collect()
}
