//! Accounts that people make for themselves (XEP-0077), so many from one address prefix in an hour.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::recent::Recent;
use super::throttle::Prefix;
use super::{Access, NewPassword, NewUser, NotDone};
use crate::counts::Limit;
use crate::jid::BareJid;
use crate::time::Timestamp;

/// Why somebody did not get the account.
#[derive(Clone, Debug, PartialEq)]
pub enum Unregistered {
    /// As many were asked for from there as may be.
    TooMany,
    Not(NotDone),
}

/// Attempts by address prefix.
pub(super) struct Registrations {
    per_hour_max: u32,
    // A std mutex: held for a look-up, never across an await.
    attempts: Mutex<Recent<Prefix, (Timestamp, u32)>>,
}

impl Registrations {
    pub fn new(per_hour_max: u32, prefixes_max: usize) -> Self {
        Registrations { per_hour_max, attempts: Mutex::new(Recent::new(prefixes_max)) }
    }

    /// Counts an attempt; whether it may go on. The hour begins with the first.
    fn attempt(&self, prefix: Prefix, now: Timestamp) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts.find(&prefix).filter(|(since, _)| since.plus_seconds(HOUR_SECONDS) > now) {
            Some((_, count)) if *count >= self.per_hour_max => false,
            Some((_, count)) => {
                *count += 1;
                true
            }
            None => {
                attempts.insert(prefix, (now, 1));
                true
            }
        }
    }
}

impl Access {
    /// Makes the account that somebody asks for at this address. Every attempt counts: those that fail
    /// tell which names are taken.
    pub async fn register(&self, account: &BareJid, password: &str, peer: IpAddr) -> Result<(), Unregistered> {
        if !self.inner.registrations.attempt(Prefix::of(peer), self.inner.clock.now()) {
            self.inner.options.counts.hit(Limit::Registrations);
            return Err(Unregistered::TooMany);
        }
        // Whoever makes himself an account may not look like somebody who has one.
        let alike = self.looks_like(account).await.map_err(Unregistered::Not)?.is_some();
        if alike || self.account(account).await.map_err(Unregistered::Not)?.is_some() {
            return Err(Unregistered::Not(NotDone::Exists(account.clone())));
        }
        let password = NewPassword::Chosen(password.to_owned());
        let new = NewUser { name: account.to_string(), password, admin: false, verifier: None };
        self.add_user(new).await.map(|_| ()).map_err(Unregistered::Not)
    }
}

const HOUR_SECONDS: i64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_attempts_from_one_prefix_in_an_hour_and_no_more() {
        let registrations = Registrations::new(2, 100);
        let (here, there) = (Prefix::of([192, 0, 2, 1].into()), Prefix::of([192, 0, 2, 2].into()));
        let at = Timestamp::from_seconds;
        assert!(registrations.attempt(here, at(0)) && registrations.attempt(here, at(10)));
        assert!(!registrations.attempt(here, at(20)));
        assert!(registrations.attempt(there, at(20)));
        assert!(!registrations.attempt(here, at(3599)));
        assert!(registrations.attempt(here, at(3600)));
    }
}
