//! A circuit breaker for one endpoint: one that fails most of the time is left alone for a while, so
//! that no attempt is burnt on it and nobody waits for its timeouts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What has become of the attempts of late.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// When each ended, and whether it failed; at most [`ATTEMPTS_MAX`].
    recent: VecDeque<(Instant, bool)>,
    /// Since when nothing is sent.
    open: Option<Instant>,
    /// One attempt is trying whether it is better.
    probing: bool,
}

/// Whether something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    Yes,
    /// One, and no more until it has ended.
    Probe,
    /// Not before then.
    NotBefore(Instant),
    /// When the probe has ended.
    AfterProbe,
}

impl Breaker {
    pub(super) fn permit(&self, now: Instant) -> Permit {
        match self.open {
            None => Permit::Yes,
            Some(_) if self.probing => Permit::AfterProbe,
            Some(since) if now >= since + OPEN_FOR => Permit::Probe,
            Some(since) => Permit::NotBefore(since + OPEN_FOR),
        }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self) {
        self.probing = self.open.is_some();
    }

    /// An attempt has ended.
    pub(super) fn end(&mut self, failed: bool, now: Instant) {
        let probe = std::mem::take(&mut self.probing);
        if self.open.is_some() {
            // Those that were under way when it opened tell nothing new; the probe does.
            match (probe, failed) {
                (_, false) => *self = Breaker::default(),
                (true, true) => self.open = Some(now),
                (false, true) => {}
            }
            return;
        }
        self.recent.push_back((now, failed));
        if self.recent.len() > ATTEMPTS_MAX {
            self.recent.pop_front();
        }
        while self.recent.front().is_some_and(|(then, _)| *then + WINDOW < now) {
            self.recent.pop_front();
        }
        let failures = self.recent.iter().filter(|(_, failed)| *failed).count();
        if self.recent.len() >= ATTEMPTS_MIN && failures * 10 >= self.recent.len() * 7 {
            (self.open, self.recent) = (Some(now), VecDeque::new());
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

const WINDOW: Duration = Duration::from_secs(5 * 60);
const OPEN_FOR: Duration = Duration::from_secs(30);
/// With fewer, nothing can be said.
const ATTEMPTS_MIN: usize = 10;
const ATTEMPTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(breaker: &mut Breaker, outcomes: &str, now: Instant) {
        for outcome in outcomes.chars() {
            breaker.begin();
            breaker.end(outcome == 'x', now);
        }
    }

    #[test]
    fn it_opens_when_most_has_failed_and_not_before() {
        let now = Instant::now();
        for (outcomes, open) in [
            ("xxxxxxxxx", false),
            ("xxxxxxxxxx", true),
            ("...xxxxxxx", true),
            ("....xxxxxx", false),
            ("....xxxxxxxxxx", true),
            ("..........", false),
        ] {
            let mut breaker = Breaker::default();
            run(&mut breaker, outcomes, now);
            assert_eq!(breaker.is_open(), open, "{outcomes}");
        }
        // Failures of long ago do not count.
        let mut breaker = Breaker::default();
        run(&mut breaker, "xxxxxxxxx", now);
        run(&mut breaker, "x", now + WINDOW + Duration::from_secs(1));
        assert!(!breaker.is_open());
    }

    #[test]
    fn one_probe_decides_how_it_goes_on() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        run(&mut breaker, "xxxxxxxxxx", now);
        assert_eq!(breaker.permit(now), Permit::NotBefore(now + OPEN_FOR));
        now += OPEN_FOR;
        assert_eq!(breaker.permit(now), Permit::Probe);
        breaker.begin();
        assert_eq!(breaker.permit(now), Permit::AfterProbe);
        breaker.end(true, now);
        assert_eq!(breaker.permit(now), Permit::NotBefore(now + OPEN_FOR));
        now += OPEN_FOR;
        run(&mut breaker, ".", now);
        assert_eq!(breaker.permit(now), Permit::Yes);
    }
}
