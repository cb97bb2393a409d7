//! The numbers that the server tells of itself, read from the rooms that know them. `docs/operations.md`
//! explains each.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::counts::{Counts, Family, Label};
use crate::delivery::Delivery;
use crate::engine::{self, Engine};
use crate::http::{Metric, MetricKind, Sample};
use crate::net::{Bosh, Certificates};
use crate::time::Clock;

/// What is asked.
struct Rooms<'a> {
    counts: &'a Arc<Counts>,
    delivery: &'a Delivery,
    bosh: &'a Arc<Bosh>,
    certificates: &'a Arc<Certificates>,
    clock: &'a Arc<dyn Clock>,
}

pub(super) fn metrics(
    counts: &Arc<Counts>,
    engine: &Engine,
    delivery: &Delivery,
    bosh: &Arc<Bosh>,
    certificates: &Arc<Certificates>,
    clock: &Arc<dyn Clock>,
) -> Vec<Metric> {
    let rooms = Rooms { counts, delivery, bosh, certificates, clock };
    let mut all = of_engine(engine);
    all.extend(of_sessions(&rooms));
    all.extend(of_limits(&rooms));
    all.extend(of_process());
    all
}

fn of_engine(engine: &Engine) -> Vec<Metric> {
    let counter = |name, help, pick: fn(&engine::Counters) -> &AtomicU64| {
        let engine = engine.clone();
        Metric::one(name, help, MetricKind::Counter, move || pick(engine.counters()).load(Ordering::Relaxed))
    };
    let queue = engine.clone();
    vec![
        counter("tidings_publications_total", "Items published.", |counters| &counters.publications),
        counter("tidings_events_total", "Events committed to the logs of nodes.", |counters| &counters.events),
        counter("tidings_commits_total", "Transactions that wrote something.", |counters| &counters.commits),
        counter("tidings_refusals_total", "Requests that the rules refused.", |counters| &counters.refusals),
        counter("tidings_overloads_total", "Requests that found the queue full.", |counters| &counters.overloads),
        Metric::one("tidings_queue_depth", "Requests that wait for a commit.", MetricKind::Gauge, move || {
            queue.queued() as u64
        }),
    ]
}

fn of_sessions(rooms: &Rooms<'_>) -> Vec<Metric> {
    let (counts, over_http, waiting) = (rooms.counts.clone(), rooms.bosh.clone(), rooms.bosh.clone());
    let pages = rooms.delivery.clone();
    let sessions = move || -> Vec<Sample> {
        let of = |(kind, state, count): (_, _, u64)| Sample::of(vec![Label::name(kind), Label::name(state)], count);
        counts.sessions.read().map(of).collect()
    };
    vec![
        Metric {
            name: "tidings_sessions",
            help: "Streams of XMPP by the way they came, and what becomes of them.",
            kind: MetricKind::Gauge,
            labels: &["kind", "state"],
            read: Box::new(sessions),
        },
        Metric::one("tidings_bosh_sessions", "XMPP sessions over HTTP requests.", MetricKind::Gauge, move || {
            over_http.sessions() as u64
        }),
        Metric::one(
            "tidings_bosh_waiting_requests",
            "Requests of theirs that wait for an answer.",
            MetricKind::Gauge,
            move || waiting.waiting() as u64,
        ),
        Metric::one(
            "tidings_catchup_pages_total",
            "Pages of logs read for watchers that fell behind.",
            MetricKind::Counter,
            move || pages.pages_read(),
        ),
    ]
}

fn of_limits(rooms: &Rooms<'_>) -> Vec<Metric> {
    let (counts, certificates, clock) = (rooms.counts.clone(), rooms.certificates.clone(), rooms.clock.clone());
    let logins = move || -> Vec<Sample> {
        let of = |(by, result, count): (_, _, u64)| Sample::of(vec![Label::name(by), Label::name(result)], count);
        counts.logins.read().map(of).collect()
    };
    let expiry = move || -> Vec<Sample> {
        let now = clock.now().seconds();
        let of = |(domain, end): (String, i64)| Sample { labels: vec![Cow::Owned(domain)], value: end - now };
        certificates.ends().into_iter().map(of).collect()
    };
    vec![
        family(rooms, "tidings_limit_hits_total", &["limit"], "What ran into a limit.", |counts| &counts.limits),
        Metric {
            name: "tidings_auth_total",
            help: "Attempts to authenticate, and requests over HTTP that bear credentials.",
            kind: MetricKind::Counter,
            labels: &["mech", "result"],
            read: Box::new(logins),
        },
        family(rooms, "tidings_sm_resume_total", &["result"], "Attempts to resume a session.", |counts| {
            &counts.resumptions
        }),
        family(rooms, "tidings_xml_rejected_total", &["reason"], "Streams that ended for their XML.", |counts| {
            &counts.xml
        }),
        Metric {
            name: "tidings_tls_cert_expiry_seconds",
            help: "Until the certificate that is shown for a domain runs out; below nought when it has.",
            kind: MetricKind::Gauge,
            labels: &["domain"],
            read: Box::new(expiry),
        },
    ]
}

fn family<L: Label>(
    rooms: &Rooms<'_>,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    pick: fn(&Counts) -> &Family<L>,
) -> Metric {
    let counts = rooms.counts.clone();
    let read = move || pick(&counts).read().map(|(value, count)| Sample::of(vec![value.name()], count)).collect();
    Metric { name, help, kind: MetricKind::Counter, labels, read: Box::new(read) }
}

/// Under the names that every process has with Prometheus.
fn of_process() -> Vec<Metric> {
    vec![
        Metric::one("process_open_fds", "Descriptors that are open.", MetricKind::Gauge, || {
            // Without the one that reads them.
            std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count().saturating_sub(1) as u64)
        }),
        Metric::one("process_max_fds", "Descriptors that may be open.", MetricKind::Gauge, || {
            rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
        }),
    ]
}
