//! How fast one peer may speak: two token buckets, of stanzas and of bytes. Beyond them a peer is not
//! punished; it is read more slowly.

use std::time::Duration;

use tokio::time::Instant;

use crate::counts::{Counts, Limit};

/// What a session may send in a second; 0 is no limit. Twice as much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateOptions {
    pub stanzas_per_second: u32,
    pub bytes_per_second: u32,
}

impl Default for RateOptions {
    fn default() -> Self {
        RateOptions { stanzas_per_second: 20_000, bytes_per_second: 16 << 20 }
    }
}

pub(super) struct Rate {
    options: RateOptions,
    filled: Instant,
    /// What may still come now; below nothing after something large.
    stanzas: f64,
    bytes: f64,
    /// Of each, whether it is used up: so that it is counted once for each time.
    out: [bool; 2],
}

impl Rate {
    pub fn new(options: RateOptions, now: Instant) -> Self {
        let full = |rate: u32| f64::from(rate) * BURST;
        Rate {
            options,
            filled: now,
            stanzas: full(options.stanzas_per_second),
            bytes: full(options.bytes_per_second),
            out: [false; 2],
        }
    }

    pub fn stanza(&mut self) {
        self.stanzas -= 1.0;
    }

    #[expect(clippy::cast_precision_loss, reason = "a read is small")]
    pub fn read(&mut self, bytes: usize) {
        self.bytes -= bytes as f64;
    }

    /// When the peer may be listened to again; nothing while it may.
    pub fn wait(&mut self, now: Instant, counts: &Counts) -> Option<Instant> {
        let seconds = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        let mut wait: f64 = 0.0;
        let buckets = [
            (&mut self.stanzas, self.options.stanzas_per_second, Limit::StanzaRate),
            (&mut self.bytes, self.options.bytes_per_second, Limit::ByteRate),
        ];
        for ((left, rate, limit), out) in buckets.into_iter().zip(&mut self.out) {
            let rate = f64::from(rate);
            if rate > 0.0 {
                *left = (*left + seconds * rate).min(rate * BURST);
                let was_out = std::mem::replace(out, *left < 0.0);
                if *left < 0.0 {
                    if !was_out {
                        counts.hit(limit);
                    }
                    wait = wait.max(-*left / rate);
                }
            }
        }
        (wait > 0.0).then(|| now + Duration::from_secs_f64(wait.max(WAIT_MIN)))
    }
}

/// So many seconds' worth may come at once.
const BURST: f64 = 2.0;
/// A peer that is just above its rate is not looked at more often.
const WAIT_MIN: f64 = 0.005;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_what_is_beyond_it_waits_as_long_as_its_share_takes() {
        let (begin, counts) = (Instant::now(), Counts::default());
        let options = RateOptions { stanzas_per_second: 10, bytes_per_second: 1000 };
        let mut rate = Rate::new(options, begin);
        (0..20).for_each(|_| rate.stanza());
        assert_eq!(rate.wait(begin, &counts), None);
        (0..5).for_each(|_| rate.stanza());
        assert_eq!(rate.wait(begin, &counts), Some(begin + Duration::from_millis(500)));
        assert_eq!(rate.wait(begin + Duration::from_millis(500), &counts), None);
        rate.read(4000);
        let later = begin + Duration::from_secs(1);
        assert_eq!(rate.wait(later, &counts), Some(later + Duration::from_millis(1500)));
        assert_eq!(rate.wait(later + Duration::from_secs(3600), &counts), None);
        (0..20).for_each(|_| rate.stanza());
        assert_eq!(rate.wait(later + Duration::from_secs(3600), &counts), None, "no more than a burst is saved up");
        rate.stanza();
        assert!(rate.wait(later + Duration::from_secs(3600), &counts).is_some());
    }

    #[test]
    fn nothing_limits_where_there_is_no_limit() {
        let (now, counts) = (Instant::now(), Counts::default());
        let mut rate = Rate::new(RateOptions { stanzas_per_second: 0, bytes_per_second: 0 }, now);
        (0..1_000_000).for_each(|_| rate.stanza());
        rate.read(usize::MAX);
        assert_eq!(rate.wait(now, &counts), None);
    }
}
