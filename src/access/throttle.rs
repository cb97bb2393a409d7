//! How often somebody may be wrong.
//!
//! Failures of one user from one address prefix block that pair for a while. Failures of one user from
//! anywhere only delay: otherwise anybody could lock an administrator out.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::recent::Recent;
use super::{Denied, Options};
use crate::counts::{Counts, Limit};
use crate::jid::BareJid;
use crate::time::Timestamp;

/// The part of an address that one attacker has at least: an IPv4 address, or the /64 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(u128);

pub struct Throttle {
    failures_max: u32,
    window_seconds: i64,
    delay_ms_max: u64,
    // A std mutex: held for a look-up, never across an await.
    tables: Mutex<Tables>,
    counts: Arc<Counts>,
}

/// How an attempt that is not blocked may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What the user is under attack for.
    pub delay: Duration,
    /// Whether the memory of right passwords may answer before the attempt has had its turn. Whoever
    /// often breaks off before his turn could learn from the silence that a password is wrong, without
    /// its being counted.
    pub fast: bool,
}

struct Tables {
    pairs: Recent<(BareJid, Prefix), Count>,
    users: Recent<BareJid, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    /// Attempts that ended before anybody knew whether they were right.
    unsettled: u32,
    since: Timestamp,
    blocked_until: Option<Timestamp>,
}

impl Prefix {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Prefix(u128::from(v4.to_bits())),
            // The high half is never zero for what is not V4 here, but for the likes of ::1.
            IpAddr::V6(v6) => Prefix((v6.to_bits() >> 64 << 64) | V6_MARK),
        }
    }
}

impl Throttle {
    pub fn new(options: &Options) -> Arc<Self> {
        let tables = Tables {
            pairs: Recent::new(options.throttle_entries_max),
            users: Recent::new(options.throttle_entries_max),
        };
        Arc::new(Throttle {
            failures_max: options.failures_max.max(1),
            window_seconds: options.failures_block_seconds,
            delay_ms_max: options.delay_ms_max,
            counts: options.counts.clone(),
            tables: Mutex::new(tables),
        })
    }

    /// Asks before an attempt; [`Denied::Later`] while the pair is blocked.
    pub fn admit(&self, user: &BareJid, prefix: Prefix, now: Timestamp) -> Result<Admitted, Denied> {
        let mut tables = self.lock();
        let mut fast = true;
        if let Some(pair) = tables.pairs.find(&(user.clone(), prefix)) {
            if let Some(until) = pair.blocked_until.filter(|until| *until > now) {
                let seconds = u64::try_from((until.0 - now.0 + 999_999) / 1_000_000).unwrap_or(1);
                self.counts.hit(Limit::AuthFailures);
                return Err(Denied::Later { seconds });
            }
            fast = pair.unsettled < UNSETTLED_MAX || pair.is_over(now, self.window_seconds);
        }
        let failures = match tables.users.find(user) {
            Some(count) if !count.is_over(now, self.window_seconds) => count.failures,
            _ => 0,
        };
        Ok(Admitted { delay: self.delay(failures), fast })
    }

    pub fn failed(&self, user: &BareJid, prefix: Prefix, now: Timestamp) {
        let mut tables = self.lock();
        let until = now.plus_seconds(self.window_seconds);
        let pair = tables.pairs.count((user.clone(), prefix), now, self.window_seconds);
        pair.failures = pair.failures.saturating_add(1);
        if pair.failures >= self.failures_max {
            pair.blocked_until = Some(until);
        }
        let count = tables.users.count(user.clone(), now, self.window_seconds);
        count.failures = count.failures.saturating_add(1);
    }

    /// Forgets the pair's failures. Those of the user stand: the attack may go on elsewhere.
    pub fn succeeded(&self, user: &BareJid, prefix: Prefix) {
        self.lock().pairs.remove(&(user.clone(), prefix));
    }

    /// An attempt ended before its turn came.
    pub fn broke_off(&self, user: &BareJid, prefix: Prefix, now: Timestamp) {
        let mut tables = self.lock();
        let pair = tables.pairs.count((user.clone(), prefix), now, self.window_seconds);
        pair.unsettled = pair.unsettled.saturating_add(1);
    }

    fn delay(&self, failures: u32) -> Duration {
        if failures < self.failures_max {
            return Duration::ZERO;
        }
        let doublings = (failures - self.failures_max).min(16);
        Duration::from_millis((DELAY_MS_FIRST << doublings).min(self.delay_ms_max))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn is_over(&self, now: Timestamp, window_seconds: i64) -> bool {
        self.blocked_until.unwrap_or(self.since.plus_seconds(window_seconds)) <= now
    }
}

impl<K: std::hash::Hash + Eq + Clone> Recent<K, Count> {
    /// The count of this window, which begins now where there is none.
    fn count(&mut self, key: K, now: Timestamp, window_seconds: i64) -> &mut Count {
        let stands = self.find(&key).is_some_and(|count| !count.is_over(now, window_seconds));
        if !stands {
            self.insert(key.clone(), Count { failures: 0, unsettled: 0, since: now, blocked_until: None });
        }
        self.find(&key).expect("it was inserted just now, and the latest entry is never forgotten")
    }
}

/// Broken-off attempts of a pair that are put down to bad luck.
const UNSETTLED_MAX: u32 = 100;

const DELAY_MS_FIRST: u64 = 250;

/// Sets prefixes of IPv6 apart from IPv4 addresses: an IPv4 address has 32 bits.
const V6_MARK: u128 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        Prefix::of(text.parse().unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_prefix_is_an_ipv4_address_or_a_64() {
        assert_ne!(prefix("10.0.0.1"), prefix("10.0.0.2"));
        assert_eq!(prefix("10.0.0.1"), prefix("::ffff:10.0.0.1"));
        assert_eq!(prefix("2001:db8::1"), prefix("2001:db8::2"));
        assert_ne!(prefix("2001:db8:0:1::1"), prefix("2001:db8:0:2::1"));
        assert_ne!(prefix("::1"), prefix("0.0.0.1"));
    }

    #[test]
    fn ten_failures_block_the_pair_and_delay_the_user() {
        let throttle = Throttle::new(&Options::default());
        let (admin, here, there) = (jid("admin@localhost"), prefix("10.0.0.1"), prefix("10.0.0.2"));
        for _ in 0..10 {
            assert_eq!(throttle.admit(&admin, here, at(0)).unwrap().delay, Duration::ZERO);
            throttle.failed(&admin, here, at(0));
        }
        assert_eq!(throttle.admit(&admin, here, at(0)), Err(Denied::Later { seconds: 900 }));
        assert_eq!(throttle.admit(&admin, here, at(899)), Err(Denied::Later { seconds: 1 }));
        assert!(throttle.admit(&admin, here, at(900)).is_ok());
        let elsewhere = throttle.admit(&admin, there, at(1)).unwrap();
        assert_eq!(elsewhere.delay, Duration::from_millis(250));
        assert_eq!(throttle.admit(&jid("bob@localhost"), here, at(1)).unwrap().delay, Duration::ZERO);
    }

    #[test]
    fn a_user_is_delayed_by_at_most_five_seconds() {
        let throttle = Throttle::new(&Options::default());
        let admin = jid("admin@localhost");
        for number in 0..1_000 {
            throttle.failed(&admin, Prefix(number), at(0));
        }
        let admitted = throttle.admit(&admin, prefix("10.0.0.2"), at(1)).unwrap();
        assert_eq!(admitted.delay, Duration::from_secs(5));
        assert_eq!(throttle.admit(&admin, prefix("10.0.0.2"), at(900)).unwrap().delay, Duration::ZERO);
    }

    #[test]
    fn success_and_time_forget_the_failures_of_a_pair() {
        let throttle = Throttle::new(&Options::default());
        let (bob, here) = (jid("bob@localhost"), prefix("10.0.0.1"));
        for _ in 0..9 {
            throttle.failed(&bob, here, at(0));
        }
        throttle.succeeded(&bob, here);
        for _ in 0..9 {
            throttle.failed(&bob, here, at(1));
        }
        throttle.failed(&bob, here, at(901));
        assert!(throttle.admit(&bob, here, at(901)).is_ok());
    }

    #[test]
    fn whoever_breaks_off_too_often_waits_for_his_turn() {
        let throttle = Throttle::new(&Options::default());
        let (bob, here) = (jid("bob@localhost"), prefix("10.0.0.1"));
        for _ in 0..UNSETTLED_MAX {
            assert!(throttle.admit(&bob, here, at(0)).unwrap().fast);
            throttle.broke_off(&bob, here, at(0));
        }
        assert!(!throttle.admit(&bob, here, at(0)).unwrap().fast);
        throttle.succeeded(&bob, here);
        assert!(throttle.admit(&bob, here, at(0)).unwrap().fast);
    }
}
