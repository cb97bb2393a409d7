//! Tickets: what a browser shows where it cannot set a header, in the URL of an `EventSource` or a
//! WebSocket. Good once, for a minute at most, for reading the nodes that it names.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::token::random_text;
use super::{Access, Denied, Login, Scopes};
use crate::jid::BareJid;
use crate::time::Timestamp;

/// A ticket, once: nothing keeps its text.
#[derive(Clone)]
pub struct IssuedTicket {
    pub text: String,
    pub expires: Timestamp,
}

/// The account has as many tickets as it may, or all accounts together have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTickets;

/// The tickets that nobody has shown yet. In memory: a restart asks for new ones.
#[derive(Default)]
pub struct Tickets {
    // A std mutex: held for a look-up, never across an await.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    held: HashMap<[u8; 32], Held>,
    by_account: HashMap<BareJid, usize>,
    /// In the order of issue; none is good for longer than [`TICKET_SECONDS_MAX`].
    issued: VecDeque<(Timestamp, [u8; 32])>,
}

struct Held {
    login: Login,
    service: BareJid,
    expires: Timestamp,
}

impl Access {
    /// Makes a ticket for reading these nodes of a service, on behalf of whoever is logged in so.
    pub fn issue_ticket(
        &self,
        login: &Login,
        service: BareJid,
        nodes: &[String],
        seconds: u64,
    ) -> Result<IssuedTicket, TooManyTickets> {
        let now = self.inner.clock.now();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX).min(TICKET_SECONDS_MAX);
        let expires = now.plus_seconds(seconds);
        let text = format!("{TICKET_PREFIX}{}", random_text(SECRET_CHARS));
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        // A ticket narrows: to reading, to these nodes, and never to administration.
        let login = Login { admin: false, scopes: Some(Scopes::reading(nodes)), ..login.clone() };
        let mut table = self.inner.tickets.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(now);
        let count = table.by_account.get(&login.account).copied().unwrap_or(0);
        if count >= TICKETS_PER_ACCOUNT_MAX || table.held.len() >= TICKETS_MAX {
            return Err(TooManyTickets);
        }
        table.by_account.insert(login.account.clone(), count + 1);
        table.issued.push_back((now, digest));
        table.held.insert(digest, Held { login, service, expires });
        Ok(IssuedTicket { text, expires })
    }

    /// Takes a ticket: it is good no more, whatever comes of it.
    pub fn redeem_ticket(&self, text: &str, service: &BareJid) -> Result<Login, Denied> {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let held = {
            let mut table = self.inner.tickets.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.remove(&digest)
        };
        let held = held.ok_or(Denied::Wrong)?;
        if held.expires <= self.inner.clock.now() {
            return Err(Denied::Expired);
        }
        if held.service != *service || !self.still_valid(&held.login) {
            return Err(Denied::Wrong);
        }
        Ok(held.login)
    }
}

impl Table {
    fn remove(&mut self, digest: &[u8; 32]) -> Option<Held> {
        let held = self.held.remove(digest)?;
        if let Some(count) = self.by_account.get_mut(&held.login.account) {
            *count -= 1;
            if *count == 0 {
                self.by_account.remove(&held.login.account);
            }
        }
        Some(held)
    }

    /// Forgets what nobody came with in time.
    fn sweep(&mut self, now: Timestamp) {
        while let Some((issued, digest)) = self.issued.front().copied()
            && issued.plus_seconds(TICKET_SECONDS_MAX) <= now
        {
            self.issued.pop_front();
            self.remove(&digest);
        }
    }
}

/// The longest that a ticket is good for.
pub const TICKET_SECONDS_MAX: i64 = 60;
const TICKET_PREFIX: &str = "tkt_";
/// 256 bits.
const SECRET_CHARS: usize = 43;
/// An account that watches so many streams at once begins them within a minute.
const TICKETS_PER_ACCOUNT_MAX: usize = 1000;
const TICKETS_MAX: usize = 100_000;
