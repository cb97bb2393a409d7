//! How much one account may ask for: requests and bytes of bodies a second, as buckets of tokens that
//! fill again, told in `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
//!
//! Bytes are charged when they have come, so that a body larger than what is left is taken, and what
//! follows waits: a caller is never told that a request can never be made.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::http::problem::Problem;
use crate::jid::BareJid;

/// What one account may do; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub requests_per_second: u64,
    pub bytes_per_second: u64,
}

pub(super) struct Quotas {
    rates: Rates,
    // A std mutex: held for a look-up, never across an await.
    callers: Mutex<HashMap<BareJid, Buckets>>,
}

/// What is left to one account.
#[derive(Clone, Copy)]
struct Buckets {
    requests: f64,
    bytes: f64,
    filled: Instant,
}

/// What an answer says of the caller's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    rates: Rates,
    requests_left: u64,
    bytes_left: u64,
}

impl Quotas {
    pub(super) fn new(rates: Rates) -> Self {
        Quotas { rates, callers: Mutex::default() }
    }

    /// One more request, whose body has so many bytes as far as its head says.
    pub(super) fn admit(&self, caller: &BareJid, bytes: u64) -> Result<Told, Problem> {
        self.admit_at(caller, bytes, Instant::now())
    }

    /// Charges bytes that have come; how many seconds the account owes then.
    pub(super) fn charge(&self, caller: &BareJid, bytes: u64) -> f64 {
        self.with(caller, Instant::now(), |rates, buckets| {
            buckets.take(rates, 0.0, bytes as f64);
            seconds_until(rates.bytes_per_second, buckets.bytes)
        })
    }

    /// The same, and waits until the account has paid.
    pub(super) async fn pace(&self, caller: &BareJid, bytes: u64) {
        let mut owed = self.charge(caller, bytes);
        while owed > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(owed.min(PACE_SECONDS_MAX))).await;
            owed = self.charge(caller, 0);
        }
    }

    fn admit_at(&self, caller: &BareJid, bytes: u64, now: Instant) -> Result<Told, Problem> {
        self.with(caller, now, |rates, buckets| {
            let wait = [
                if rates.requests_per_second == 0 { 0.0 } else { seconds_to_one(rates, buckets) },
                seconds_until(rates.bytes_per_second, buckets.bytes),
            ];
            let wait = wait.into_iter().fold(0.0, f64::max);
            if wait > 0.0 {
                let problem = Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate-limited",
                    "Too many requests",
                    "the account has used up its rate: wait as Retry-After says; nothing was done",
                );
                let told = buckets.told(rates);
                let problem = problem.retry_after((wait.ceil() as u64).max(1));
                return Err(told
                    .headers()
                    .into_iter()
                    .fold(problem, |problem, (name, value)| problem.header(name, value)));
            }
            buckets.take(rates, 1.0, bytes as f64);
            Ok(buckets.told(rates))
        })
    }

    fn with<T>(&self, caller: &BareJid, now: Instant, work: impl FnOnce(Rates, &mut Buckets) -> T) -> T {
        let rates = self.rates;
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CALLERS_MAX && !callers.contains_key(caller) {
            // Whose buckets are full again loses nothing by being forgotten.
            callers.retain(|_, buckets| now.saturating_duration_since(buckets.filled) < FULL_AFTER);
            if callers.len() >= CALLERS_MAX {
                callers.clear();
            }
        }
        let full = Buckets { requests: rates.requests_max(), bytes: rates.bytes_max(), filled: now };
        let buckets = callers.entry(caller.clone()).or_insert(full);
        buckets.fill(rates, now);
        work(rates, buckets)
    }
}

impl Rates {
    fn requests_max(self) -> f64 {
        (self.requests_per_second * BURST_SECONDS) as f64
    }

    fn bytes_max(self) -> f64 {
        (self.bytes_per_second * BURST_SECONDS) as f64
    }
}

impl Buckets {
    fn fill(&mut self, rates: Rates, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.requests = (self.requests + seconds * rates.requests_per_second as f64).min(rates.requests_max());
        self.bytes = (self.bytes + seconds * rates.bytes_per_second as f64).min(rates.bytes_max());
        self.filled = now;
    }

    fn take(&mut self, rates: Rates, requests: f64, bytes: f64) {
        if rates.requests_per_second > 0 {
            self.requests -= requests;
        }
        if rates.bytes_per_second > 0 {
            self.bytes -= bytes;
        }
    }

    fn told(&self, rates: Rates) -> Told {
        Told { rates, requests_left: self.requests.max(0.0) as u64, bytes_left: self.bytes.max(0.0) as u64 }
    }
}

/// Until one request is left.
fn seconds_to_one(rates: Rates, buckets: &Buckets) -> f64 {
    seconds_until(rates.requests_per_second, buckets.requests - 1.0)
}

/// Until nothing is owed.
fn seconds_until(per_second: u64, left: f64) -> f64 {
    if per_second == 0 || left >= 0.0 { 0.0 } else { -left / per_second as f64 }
}

impl Told {
    /// Puts the quotas on an answer, whatever it is.
    pub(super) fn mark(self, mut response: Response) -> Response {
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let Rates { requests_per_second, bytes_per_second } = self.rates;
        let quotas = [
            ("requests", "requests", requests_per_second, self.requests_left),
            ("bytes", "content-bytes", bytes_per_second, self.bytes_left),
        ];
        let (mut policies, mut limits) = (vec![], vec![]);
        for (name, unit, per_second, left) in quotas.into_iter().filter(|quota| quota.2 > 0) {
            let quota = per_second * BURST_SECONDS;
            policies.push(format!("\"{name}\";q={quota};w={BURST_SECONDS};qu=\"{unit}\""));
            // Until the quota is whole again.
            let seconds = quota.saturating_sub(left).div_ceil(per_second);
            limits.push(format!("\"{name}\";r={left};t={seconds}"));
        }
        if policies.is_empty() {
            return vec![];
        }
        let value = |texts: Vec<String>| HeaderValue::try_from(texts.join(", ")).expect("numbers and names of ours");
        vec![(POLICY, value(policies)), (LIMIT, value(limits))]
    }
}

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What may come at once, in seconds of the rate.
const BURST_SECONDS: u64 = 2;
/// After which every bucket is full that owes nothing; twice the burst, for those who do.
const FULL_AFTER: Duration = Duration::from_secs(2 * BURST_SECONDS);
/// Accounts whose rates are counted at once.
const CALLERS_MAX: usize = 50_000;
/// A stream that waits looks up in between: others of its account pay too.
const PACE_SECONDS_MAX: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(name: &str) -> BareJid {
        BareJid::parse(name).unwrap()
    }

    #[test]
    fn a_caller_may_burst_and_then_keeps_to_the_rate() {
        let quotas = Quotas::new(Rates { requests_per_second: 10, bytes_per_second: 0 });
        let (alice, begin) = (jid("alice@localhost"), Instant::now());
        let admitted = |at: Instant| (0..100).take_while(|_| quotas.admit_at(&alice, 5, at).is_ok()).count();
        assert_eq!(admitted(begin), 20);
        let refused = quotas.admit_at(&alice, 5, begin).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.kind), (429, "rate-limited"));
        assert_eq!(admitted(begin + Duration::from_millis(500)), 5);
        assert_eq!(admitted(begin + Duration::from_secs(60)), 20);
        assert!(quotas.admit_at(&jid("bob@localhost"), 5, begin).is_ok());
    }

    #[test]
    fn bytes_that_have_come_are_owed() {
        let quotas = Quotas::new(Rates { requests_per_second: 0, bytes_per_second: 100 });
        let (alice, begin) = (jid("alice@localhost"), Instant::now());
        // More than the whole quota is taken once, and paid for.
        assert!(quotas.admit_at(&alice, 400, begin).is_ok());
        let refused = axum::response::IntoResponse::into_response(quotas.admit_at(&alice, 1, begin).unwrap_err());
        assert_eq!(refused.headers()["retry-after"], "2");
        assert_eq!(refused.headers()["ratelimit-policy"], "\"bytes\";q=200;w=2;qu=\"content-bytes\"");
        assert_eq!(refused.headers()["ratelimit"], "\"bytes\";r=0;t=2");
        assert!(quotas.admit_at(&alice, 1, begin + Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn no_rate_is_no_header() {
        let quotas = Quotas::new(Rates { requests_per_second: 0, bytes_per_second: 0 });
        let told = quotas.admit(&jid("alice@localhost"), u64::MAX).unwrap();
        assert!(told.headers().is_empty());
    }

    #[test]
    fn the_table_of_callers_is_bounded() {
        let quotas = Quotas::new(Rates { requests_per_second: 1, bytes_per_second: 0 });
        let now = Instant::now();
        for number in 0..CALLERS_MAX + 10 {
            let _ = quotas.admit_at(&jid(&format!("a{number}@localhost")), 0, now);
        }
        assert!(quotas.callers.lock().unwrap().len() <= CALLERS_MAX);
    }
}
