//! When a delivery that failed is tried again.

use std::time::Duration;

/// How long to wait before each attempt, the first among them; after the last it is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// Reads seconds with commas between: `0,5,300`.
    pub fn parse(text: &str) -> Option<Self> {
        let wait = |part: &str| part.trim().parse().ok().filter(|seconds| *seconds <= WAIT_SECONDS_MAX);
        let waits: Option<Vec<u64>> = text.split(',').map(wait).collect();
        let waits = waits.filter(|waits| waits.len() <= ATTEMPTS_MAX)?;
        Some(Schedule(waits.into_iter().map(Duration::from_secs).collect()))
    }

    /// How long to wait after so many attempts, spread by a fifth to either side: `spread` is from 0
    /// to 1. None when there is none left.
    pub(super) fn wait(&self, attempts: u32, spread: f64) -> Option<Duration> {
        let wait = self.0.get(usize::try_from(attempts).ok()?)?;
        Some(wait.mul_f64(0.8 + 0.4 * spread.clamp(0.0, 1.0)))
    }
}

impl Default for Schedule {
    /// Some 75 hours in all: an endpoint may be down over a weekend.
    fn default() -> Self {
        let hours = [2, 5, 10, 14, 20, 24].map(|hours| hours * 3600);
        Schedule([0, 5, 300, 1800].into_iter().chain(hours).map(Duration::from_secs).collect())
    }
}

const WAIT_SECONDS_MAX: u64 = 7 * 24 * 3600;
const ATTEMPTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_over_three_days_at_least() {
        let schedule = Schedule::default();
        let least: Duration = (0..).map_while(|attempts| schedule.wait(attempts, 0.5)).sum();
        assert!(least >= Duration::from_secs(3 * 24 * 3600), "{least:?}");
        assert_eq!((0..).map_while(|attempts| schedule.wait(attempts, 0.5)).count(), 10);
        assert_eq!(schedule.wait(1, 0.0), Some(Duration::from_secs(4)));
        assert_eq!(schedule.wait(1, 1.0), Some(Duration::from_secs(6)));
        assert_eq!(schedule.wait(10, 0.5), None);
    }

    #[test]
    fn a_schedule_is_read() {
        assert_eq!(Schedule::parse("0, 5,300").unwrap().wait(2, 0.5), Some(Duration::from_secs(300)));
        for wrong in ["", "a", "1,,2", "-1", "9999999"] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }
}
