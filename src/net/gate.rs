//! How many connections an address may open and leave unauthenticated.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counts::{Counts, Limit};

/// Limits by address prefix: an IPv4 address, or a /64 of IPv6. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateOptions {
    pub connections_per_second: u32,
    pub pending_authentications: u32,
}

impl Default for GateOptions {
    fn default() -> Self {
        GateOptions { connections_per_second: 50, pending_authentications: 100 }
    }
}

/// Counts connections by prefix.
pub struct Gate {
    options: GateOptions,
    counts: Arc<Counts>,
    prefixes: Mutex<HashMap<IpAddr, Prefix>>,
}

struct Prefix {
    /// Connections that may be opened now; grows with time up to one second's worth.
    tokens: f64,
    filled: Instant,
    pending: u32,
}

/// What holds a connection up, and for how long at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub by: Limit,
    pub wait: Duration,
}

/// Held by a connection until its peer is authenticated.
pub struct Pending {
    gate: Arc<Gate>,
    prefix: IpAddr,
}

impl Gate {
    pub fn new(options: GateOptions, counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Gate { options, counts, prefixes: Mutex::default() })
    }

    /// Counts a limit that has held a connection up, or ended it.
    pub fn hit(&self, limit: Limit) {
        self.counts.hit(limit);
    }

    /// Lets a connection in, or says how long it has to wait.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr, now: Instant) -> Result<Pending, Held> {
        let prefix = prefix_of(peer.ip());
        let rate = f64::from(self.options.connections_per_second);
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if prefixes.len() >= PREFIXES_MAX && !prefixes.contains_key(&prefix) {
            prefixes.retain(|_, known| known.pending > 0 || now.duration_since(known.filled) < FORGET_AFTER);
            if prefixes.len() >= PREFIXES_MAX {
                return Err(Held { by: Limit::PendingAuthentications, wait: CROWDED_WAIT });
            }
        }
        let entry = prefixes.entry(prefix).or_insert(Prefix { tokens: rate, filled: now, pending: 0 });
        entry.tokens = (entry.tokens + now.duration_since(entry.filled).as_secs_f64() * rate).min(rate);
        entry.filled = now;
        if self.options.pending_authentications > 0 && entry.pending >= self.options.pending_authentications {
            return Err(Held { by: Limit::PendingAuthentications, wait: PENDING_WAIT });
        }
        if rate > 0.0 {
            if entry.tokens < 1.0 {
                let wait = Duration::from_secs_f64((1.0 - entry.tokens) / rate);
                return Err(Held { by: Limit::ConnectionRate, wait });
            }
            entry.tokens -= 1.0;
        }
        entry.pending += 1;
        Ok(Pending { gate: self.clone(), prefix })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut prefixes = self.gate.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = prefixes.get_mut(&self.prefix) {
            entry.pending -= 1;
        }
    }
}

fn prefix_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            IpAddr::V6([s[0], s[1], s[2], s[3], 0, 0, 0, 0].into())
        }
    }
}

/// Prefixes counted at once; a prefix takes about 100 bytes.
const PREFIXES_MAX: usize = 65_536;
const FORGET_AFTER: Duration = Duration::from_secs(10);
const PENDING_WAIT: Duration = Duration::from_millis(100);
const CROWDED_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(rate: u32, pending: u32) -> Arc<Gate> {
        Gate::new(GateOptions { connections_per_second: rate, pending_authentications: pending }, Arc::default())
    }

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_opens_so_many_connections_a_second_and_another_is_not_held_up() {
        let gate = gate(2, 0);
        let now = Instant::now();
        let a = peer("10.0.0.1:1");
        assert!(gate.enter(a, now).is_ok());
        assert!(gate.enter(a, now).is_ok());
        let Held { by, wait } = gate.enter(a, now).err().unwrap();
        assert_eq!(by, Limit::ConnectionRate);
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert!(gate.enter(peer("10.0.0.2:1"), now).is_ok());
        assert!(gate.enter(a, now + wait).is_ok());
    }

    #[test]
    fn unauthenticated_connections_are_limited_until_they_end() {
        let gate = gate(0, 2);
        let now = Instant::now();
        let (a, b) = (peer("[2001:db8::1]:1"), peer("[2001:db8::ffff]:1"));
        let first = gate.enter(a, now).ok().unwrap();
        let _second = gate.enter(b, now).ok().unwrap();
        let held = gate.enter(a, now).err().expect("a /64 is one prefix");
        assert_eq!(held.by, Limit::PendingAuthentications);
        drop(first);
        assert!(gate.enter(a, now).is_ok());
    }
}
