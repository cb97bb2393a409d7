//! Streams that outlive their connections.

use super::{Setting, count, setting};

pub(super) const SM: &[Setting] = &[
    setting("sm.resume_seconds", count(0, 86_400), "600")
        .means("How long a session whose connection was lost may be resumed (XEP-0198). 0 is never.")
        .why("A tunnel, a change of networks, a laptop's lid; beyond it a new session costs less than waiting.")
        .sets(|config, value| config.sm.resume_seconds = value.count()),
    setting("sm.queue_stanzas", count(16, 1_000_000), "1000")
        .means("Stanzas that a session without a connection may have unacknowledged; with one more it ends.")
        .why("Events of nodes are kept as positions, and no more are shown until some are acknowledged.")
        .sets(|config, value| config.sm.queue_stanzas = value.count()),
    setting("sm.queue_bytes", count(65_536, 1 << 30), "4194304")
        .means("Bytes of such stanzas, events of nodes apart.")
        .sets(|config, value| config.sm.queue_bytes = value.count()),
    setting("sm.hibernated_per_account", count(1, 100_000), "5")
        .means("Sessions of one account that may wait to be resumed; with one more the oldest ends.")
        .why("They count among `limits.sessions_per_account` too, and make room for those that have one.")
        .sets(|config, value| config.sm.hibernated_per_account = value.count()),
    setting("sm.ack_seconds", count(1, 3_600), "30")
        .means(
            "How long a client may take to answer a request for acknowledgement before its connection is given \
             up; its session can be resumed.",
        )
        .why("A dead connection is noticed by this before the system notices.")
        .sets(|config, value| config.sm.ack_seconds = value.count()),
];

pub(super) const BOSH: &[Setting] = &[
    setting("bosh.wait_seconds", count(1, 3_600), "60")
        .means("How long a request of a stream over HTTP (XEP-0124) is kept waiting for something to answer.")
        .why("Below the time after which proxies cut requests.")
        .sets(|config, value| config.bosh.wait_seconds = value.count()),
    setting("bosh.inactivity_seconds", count(1, 3_600), "60")
        .means("How long such a client may be without a request before it is taken for gone.")
        .sets(|config, value| config.bosh.inactivity_seconds = value.count()),
    setting("bosh.polling_seconds", count(0, 600), "5")
        .means("The least time between two requests of such a client that bring nothing. With 0 there is none.")
        .why("Whoever asks more often should let his requests wait.")
        .sets(|config, value| config.bosh.polling_seconds = value.count()),
    setting("bosh.pause_seconds", count(0, 3_600), "120")
        .means("The longest pause that such a client may ask for. With 0 none may.")
        .why("As long as it takes to come from one page to the next.")
        .sets(|config, value| config.bosh.pause_seconds = value.count()),
    setting("bosh.sessions", count(1, 1_000_000), "10000")
        .means("Streams over HTTP requests at a time.")
        .why("They cost no connection while nobody asks, so that no limit of connections holds them.")
        .sets(|config, value| config.bosh.sessions = value.count()),
];
