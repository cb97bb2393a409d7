//! How many connections an address may open and leave unauthenticated.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    prefixes: Mutex<HashMap<IpAddr, Prefix>>,
}

struct Prefix {
    /// Connections that may be opened now; grows with time up to one second's worth.
    tokens: f64,
    filled: Instant,
    pending: u32,
}

/// Held by a connection until its peer is authenticated.
pub struct Pending {
    gate: Arc<Gate>,
    prefix: IpAddr,
}

impl Gate {
    pub fn new(options: GateOptions) -> Arc<Self> {
        Arc::new(Gate { options, prefixes: Mutex::default() })
    }

    /// Lets a connection in, or says how long it has to wait.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr, now: Instant) -> Result<Pending, Duration> {
        let prefix = prefix_of(peer.ip());
        let rate = f64::from(self.options.connections_per_second);
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if prefixes.len() >= PREFIXES_MAX && !prefixes.contains_key(&prefix) {
            prefixes.retain(|_, known| known.pending > 0 || now.duration_since(known.filled) < FORGET_AFTER);
            if prefixes.len() >= PREFIXES_MAX {
                return Err(CROWDED_WAIT);
            }
        }
        let entry = prefixes.entry(prefix).or_insert(Prefix { tokens: rate, filled: now, pending: 0 });
        entry.tokens = (entry.tokens + now.duration_since(entry.filled).as_secs_f64() * rate).min(rate);
        entry.filled = now;
        if self.options.pending_authentications > 0 && entry.pending >= self.options.pending_authentications {
            return Err(PENDING_WAIT);
        }
        if rate > 0.0 {
            if entry.tokens < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - entry.tokens) / rate));
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
        Gate::new(GateOptions { connections_per_second: rate, pending_authentications: pending })
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
        let wait = gate.enter(a, now).err().unwrap();
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
        assert!(gate.enter(a, now).is_err(), "a /64 is one prefix");
        drop(first);
        assert!(gate.enter(a, now).is_ok());
    }
}
