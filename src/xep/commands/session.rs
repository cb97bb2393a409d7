//! Executions that wait for their requester (XEP-0050 §3.3).
//!
//! An identifier tells by itself whether it was ever handed out to an address, so that nothing need be
//! remembered of a session that is over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::jid::{BareJid, Jid};
use crate::time::Timestamp;
use crate::xep::commands::{Answers, Then, errors};
use crate::xmpp::StanzaError;

/// What all sessions may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::xep) struct Limits {
    /// Sessions of one address; beyond it the one that would end first makes room.
    pub per_address_max: usize,
    pub sessions_max: usize,
    /// How long a form waits to be filled in.
    pub lifetime_seconds: i64,
}

pub(in crate::xep) struct Sessions {
    limits: Limits,
    key: [u8; 32],
    // A std mutex: held for a look-up, never across an await.
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    sessions: HashMap<u64, Session>,
    /// The number that was handed out last.
    last: u64,
}

/// One execution, between two requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    requester: Jid,
    responder: BareJid,
    command: &'static str,
    pub(super) answers: Vec<Answers>,
    pub(super) allows: Allows,
    /// What the form is called that was shown last.
    pub(super) form_type: Option<String>,
    expires: Timestamp,
}

/// What may be done with the form that was shown last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allows {
    pub(super) back: bool,
    pub(super) then: Then,
}

/// A session with its number; nobody else has it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) session: Session,
}

impl Session {
    pub(super) fn new(requester: Jid, responder: BareJid, command: &'static str) -> Self {
        let allows = Allows { back: false, then: Then::Complete };
        let (answers, form_type) = (Vec::new(), None);
        Session { requester, responder, command, answers, allows, form_type, expires: Timestamp(i64::MAX) }
    }
}

impl Sessions {
    /// Identifiers are made with a key of the store's, so that one is told from a forgery after a
    /// restart too.
    pub(in crate::xep) fn new(limits: Limits, secret: &[u8; 32]) -> Self {
        let key = Sha256::new().chain_update(b"command sessions").chain_update(secret).finalize().into();
        Sessions { limits, key, open: Mutex::default() }
    }

    /// A number that no session had before, nor before the last start.
    pub(super) fn number(&self, now: Timestamp) -> u64 {
        let mut open = self.lock();
        open.last = (open.last + 1).max(u64::try_from(now.0).unwrap_or(0));
        open.last
    }

    /// The identifier of a session of this address.
    pub(super) fn id(&self, number: u64, requester: &Jid) -> String {
        let digest = Sha256::new()
            .chain_update(self.key)
            .chain_update(number.to_be_bytes())
            .chain_update(requester.to_string())
            .finalize();
        let tag: String = digest.iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{number:x}-{tag}")
    }

    /// Takes a session out, to go on with it.
    pub(super) fn take(
        &self,
        id: &str,
        requester: &Jid,
        command: &str,
        responder: &BareJid,
        now: Timestamp,
    ) -> Result<Kept, StanzaError> {
        let number = id.split_once('-').and_then(|(number, _)| u64::from_str_radix(number, 16).ok());
        let number = number.filter(|number| self.id(*number, requester) == id).ok_or_else(errors::bad_session_id)?;
        let mut open = self.lock();
        let session = open.sessions.remove(&number).filter(|session| session.expires > now);
        let session = session.ok_or_else(errors::session_expired)?;
        if session.command != command || session.responder != *responder {
            open.sessions.insert(number, session);
            return Err(errors::bad_session_id());
        }
        Ok(Kept { number, session })
    }

    /// Puts a session back as it was.
    pub(super) fn keep(&self, kept: Kept) {
        self.lock().sessions.insert(kept.number, kept.session);
    }

    /// Lets a session wait for its requester, from now on for the whole lifetime.
    pub(super) fn open(&self, kept: Kept, now: Timestamp) -> Result<(), StanzaError> {
        let Kept { number, mut session } = kept;
        if session.answers.iter().map(Answers::bytes).sum::<usize>() > ANSWERS_BYTES_MAX {
            return Err(errors::answers_too_long());
        }
        session.expires = now.plus_seconds(self.limits.lifetime_seconds);
        let mut open = self.lock();
        open.sessions.retain(|_, session| session.expires > now);
        let own = open.sessions.iter().filter(|(_, other)| other.requester == session.requester);
        let mut own: Vec<(Timestamp, u64)> = own.map(|(number, other)| (other.expires, *number)).collect();
        if own.len() >= self.limits.per_address_max {
            own.sort_unstable();
            open.sessions.remove(&own[0].1);
        }
        if open.sessions.len() >= self.limits.sessions_max {
            return Err(errors::too_many_sessions());
        }
        open.sessions.insert(number, session);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a digest, what an identifier bears.
const TAG_BYTES: usize = 12;
/// What a session keeps of the forms that were filled in: names and choices, not payloads.
const ANSWERS_BYTES_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_address_max: 2, sessions_max: 3, lifetime_seconds: 60 };
    const NOW: Timestamp = Timestamp(5_000_000);

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn service() -> BareJid {
        BareJid::parse("pubsub.b.example").unwrap()
    }

    fn opened(sessions: &Sessions, requester: &str, now: Timestamp) -> String {
        let number = sessions.number(now);
        let session = Session::new(jid(requester), service(), "one");
        sessions.open(Kept { number, session }, now).unwrap();
        sessions.id(number, &jid(requester))
    }

    fn take(sessions: &Sessions, id: &str, requester: &str, now: Timestamp) -> Result<Kept, StanzaError> {
        sessions.take(id, &jid(requester), "one", &service(), now)
    }

    fn condition(got: Result<Kept, StanzaError>) -> String {
        got.expect_err("an error").application[0].name().to_owned()
    }

    #[test]
    fn a_session_is_its_requester_s_and_its_command_s() {
        let sessions = Sessions::new(LIMITS, &[7; 32]);
        let id = opened(&sessions, "a@b.example/x", NOW);
        assert_eq!(condition(take(&sessions, &id, "a@b.example/y", NOW)), "bad-sessionid");
        assert_eq!(condition(take(&sessions, "1-2", "a@b.example/x", NOW)), "bad-sessionid");
        assert_eq!(condition(take(&sessions, "", "a@b.example/x", NOW)), "bad-sessionid");
        let other = |command: &str, at: &str| {
            let taken = sessions.take(&id, &jid("a@b.example/x"), command, &BareJid::parse(at).unwrap(), NOW);
            condition(taken)
        };
        assert_eq!(other("two", "pubsub.b.example"), "bad-sessionid");
        assert_eq!(other("one", "b.example"), "bad-sessionid");
        let kept = take(&sessions, &id, "a@b.example/x", NOW).unwrap();
        assert_eq!(condition(take(&sessions, &id, "a@b.example/x", NOW)), "session-expired", "somebody has it");
        sessions.keep(kept);
        assert!(take(&sessions, &id, "a@b.example/x", NOW).is_ok());
    }

    #[test]
    fn a_session_ends_after_its_lifetime_and_is_known_after_a_restart() {
        let sessions = Sessions::new(LIMITS, &[7; 32]);
        let id = opened(&sessions, "a@b.example/x", NOW);
        assert_eq!(condition(take(&sessions, &id, "a@b.example/x", NOW.plus_seconds(60))), "session-expired");
        let restarted = Sessions::new(LIMITS, &[7; 32]);
        assert_eq!(condition(take(&restarted, &id, "a@b.example/x", NOW)), "session-expired");
        let elsewhere = Sessions::new(LIMITS, &[8; 32]);
        assert_eq!(condition(take(&elsewhere, &id, "a@b.example/x", NOW)), "bad-sessionid");
        assert_ne!(id, opened(&restarted, "a@b.example/x", NOW.plus_seconds(1)));
    }

    #[test]
    fn an_address_and_all_have_so_many_sessions() {
        let sessions = Sessions::new(LIMITS, &[7; 32]);
        let first = opened(&sessions, "a@b.example/x", NOW);
        let second = opened(&sessions, "a@b.example/x", NOW.plus_seconds(1));
        let third = opened(&sessions, "a@b.example/x", NOW.plus_seconds(2));
        assert_eq!(condition(take(&sessions, &first, "a@b.example/x", NOW)), "session-expired", "it made room");
        opened(&sessions, "c@b.example/x", NOW.plus_seconds(3));
        let full = Session::new(jid("d@b.example/x"), service(), "one");
        let refused = sessions.open(Kept { number: sessions.number(NOW), session: full }, NOW.plus_seconds(4));
        assert_eq!(refused.unwrap_err().condition.name(), "resource-constraint");
        for id in [second, third] {
            assert!(take(&sessions, &id, "a@b.example/x", NOW).is_ok());
        }
    }

    #[test]
    fn a_session_keeps_no_more_than_it_may() {
        let sessions = Sessions::new(LIMITS, &[7; 32]);
        let mut session = Session::new(jid("a@b.example/x"), service(), "one");
        let mut form = crate::xmpp::Form::new(crate::xmpp::FormType::Submit);
        form.fields.push(
            crate::xmpp::Field::new("a", crate::xmpp::FieldType::TextSingle).with_value("x".repeat(ANSWERS_BYTES_MAX)),
        );
        session.answers.push(Answers::of(&form));
        let refused = sessions.open(Kept { number: 1, session }, NOW);
        assert_eq!(refused.unwrap_err().application[0].name(), "bad-payload");
    }
}
