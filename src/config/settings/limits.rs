//! What one client, one account and all of them may ask for.

use super::{Setting, count, setting};

pub(super) const LIMITS: &[Setting] = &[
    setting("limits.connections_per_second", count(0, 1_000_000), "50")
        .means("New connections a second from one address prefix (/32 or /64); those beyond it wait. 0 is off.")
        .why("A TLS handshake costs the server more than the client.")
        .sets(|config, value| config.limits.connections_per_second = value.count()),
    setting("limits.pending_authentications", count(0, 1_000_000), "100")
        .means("Connections from one address prefix that have not logged in yet. 0 is off.")
        .why("Whoever has not said who he is should not hold much.")
        .sets(|config, value| config.limits.pending_authentications = value.count()),
    setting("limits.stanza_bytes", count(10_000, 16 << 20), "262144")
        .means("The largest stanza that a client may send. A payload may have 8192 bytes less, on every door.")
        .why("RFC 6120 §13.12 demands at least 10000.")
        .sets(|config, value| config.limits.stanza_bytes = value.count()),
    setting("limits.memory_bytes", count(64 << 20, u64::MAX), "1073741824")
        .means("The budget for what is kept in memory for watchers and clients, shared bytes counted once.")
        .why(
            "Beyond it the oldest of what is kept goes, and new connections are refused, before the system kills \
             the process.",
        )
        .sets(|config, value| config.limits.memory_bytes = value.count()),
    setting("limits.tail_bytes", count(4_096, 1 << 30), "1048576")
        .means("Recent events of one node that are kept in memory for its watchers.")
        .why("A watcher that falls below reads from disk, and is not slower for the others.")
        .sets(|config, value| config.limits.tail_bytes = value.count()),
    setting("limits.watches_per_account", count(1, 10_000_000), "1000")
        .means("Streams and long polls over HTTP that one account may have open.")
        .sets(|config, value| config.limits.watches_per_account = value.count()),
    setting("limits.commands_waiting", count(1, 1_000_000), "1000")
        .means("Ad-hoc commands whose form has been shown and not been sent back yet.")
        .why("Ten of one session at most, of which the oldest makes room.")
        .sets(|config, value| config.limits.commands_waiting = value.count()),
    setting("limits.command_seconds", count(1, 86_400), "600")
        .means("How long the form of an ad-hoc command may take to be sent back.")
        .why("Long enough to look something up, short enough not to keep what was left behind.")
        .sets(|config, value| config.limits.command_seconds = value.count()),
    setting("limits.sessions_per_account", count(1, 100_000), "10")
        .means("XMPP sessions that one account may have.")
        .sets(|config, value| config.limits.sessions_per_account = value.count()),
    setting("limits.stanzas_per_second", count(0, u32::MAX as u64), "20000")
        .means("Stanzas that one XMPP session may send in a second; twice as many may come at once. 0 is off.")
        .why("Beyond it a session is read more slowly, and hurts nobody but itself.")
        .sets(|config, value| config.limits.stanzas_per_second = value.count()),
    setting("limits.bytes_per_second", count(0, u32::MAX as u64), "16777216")
        .means("Bytes that one XMPP session may send in a second; twice as many may come at once. 0 is off.")
        .why("White space counts too.")
        .sets(|config, value| config.limits.bytes_per_second = value.count()),
    setting("limits.http_body_bytes", count(1_024, 64 << 20), "1048576")
        .means("The largest body of an HTTP request.")
        .why("A batch is larger than an item.")
        .sets(|config, value| config.limits.http.body_bytes = value.count()),
    setting("limits.http_head_bytes", count(8_192, 1 << 20), "16384")
        .means("The largest head of an HTTP request.")
        .sets(|config, value| config.limits.http.head_bytes = value.count()),
    setting("limits.http_connections", count(1, 1_000_000), "20000")
        .means("HTTP connections of each listener at once; those beyond it wait unaccepted.")
        .why("Each takes a descriptor, and an open stream some 12 KB.")
        .sets(|config, value| config.limits.http.connections = value.count()),
    setting("limits.http_head_seconds", count(1, 600), "10")
        .means(
            "The time that a request has to bring its head, from the end of the last one; a connection without \
             one is closed.",
        )
        .why("Whoever has not asked for anything should not hold anything for long.")
        .sets(|config, value| config.limits.http.head_seconds = value.count()),
    setting("limits.http_body_bytes_per_second", count(1, 1 << 30), "1024")
        .means("A body that brings less than this, over 30 s on the average, is cut.")
        .why("Slower than this is nobody who means well.")
        .sets(|config, value| config.limits.http.body_bytes_per_second = value.count()),
    setting("limits.http_stall_seconds", count(1, 86_400), "300")
        .means("A peer that takes nothing of what is written to it for so long is cut.")
        .why("A reader that is slow loses nothing; one that is gone should not stay.")
        .sets(|config, value| config.limits.http.stall_seconds = value.count()),
    setting("limits.http_heartbeat_seconds", count(1, 3_600), "15")
        .means("A stream that was silent for so long says so.")
        .why("Proxies give up connections that are silent for a minute, often.")
        .sets(|config, value| config.limits.http.heartbeat_seconds = value.count()),
    setting("limits.http_wait_seconds", count(1, 60), "60")
        .means("The longest that a long poll may ask to wait; one that names no time waits for half of it.")
        .why("Proxies give up requests that are not answered for a minute, often.")
        .sets(|config, value| config.limits.http.wait_seconds = value.count()),
    setting("limits.http_requests_per_second", count(0, 1_000_000), "0")
        .means(
            "HTTP requests a second of one account, and twice as many at once; those beyond it are told when to \
             come back. 0 is off.",
        )
        .why("How many are too many depends on who the callers are.")
        .sets(|config, value| config.limits.http.requests_per_second = value.count()),
    setting("limits.http_bytes_per_second", count(0, 1 << 40), "16777216")
        .means(
            "Bytes of request bodies a second of one account, and twice as many at once. Streams are slowed \
             down, other requests are told when to come back. 0 is off.",
        )
        .why("One account should not take the whole disk.")
        .sets(|config, value| config.limits.http.bytes_per_second = value.count()),
    setting("limits.idempotency_keys_per_account", count(1, 1_000_000_000), "1000000")
        .means(
            "Idempotency keys of one account that are remembered, each for a day; those beyond it are told to \
             come back.",
        )
        .why("Each takes some 200 bytes of disk. A key that were forgotten early would break a promise in silence.")
        .sets(|config, value| config.limits.idempotency_keys_per_account = value.count()),
    setting("limits.requests_in_flight", count(1, 10_000), "64")
        .means("Requests of one XMPP session that are worked on at once; the next is read when one is answered.")
        .why("Enough to fill a commit, too few to fill the queue.")
        .sets(|config, value| config.limits.requests_in_flight = value.count()),
    setting("limits.engine_queue", count(16, 1_000_000), "8192")
        .means("Requests of all clients that wait for a commit; those beyond it are told to come back.")
        .why("More waiting makes nobody faster.")
        .sets(|config, value| config.limits.engine_queue = value.count()),
    setting("limits.password_checks_waiting", count(1, 100_000), "256")
        .means("Passwords that wait to be checked; those beyond it are told to come back.")
        .why("A check costs tens of milliseconds of a core: a longer queue would outlast the clients' patience.")
        .sets(|config, value| config.limits.password_checks_waiting = value.count()),
    setting("limits.auth_failures", count(1, 1_000_000), "10")
        .means("Wrong credentials of one user from one address prefix, after which that pair must wait.")
        .why("By user alone there is only a delay of at most 5 s, so that nobody can lock an administrator out.")
        .sets(|config, value| config.limits.auth_failures = value.count()),
    setting("limits.auth_block_seconds", count(1, 86_400), "900")
        .means("For how long it must wait.")
        .sets(|config, value| config.limits.auth_block_seconds = value.count()),
    setting("limits.registrations_per_hour", count(1, 1_000_000), "5")
        .means("Attempts from one address prefix to make an account, where `im.register` lets people do so.")
        .why("A household comes to that; whoever makes accounts by the hundred does not.")
        .sets(|config, value| config.limits.registrations_per_hour = value.count()),
    setting("limits.negotiation_seconds", count(1, 600), "30")
        .means("The time from the first byte of an XMPP connection to a bound resource.")
        .why("Whoever has not said who he is should not hold anything for long. A TLS handshake has 10 s of it.")
        .sets(|config, value| config.limits.negotiation_seconds = value.count()),
    setting("limits.ping_seconds", count(1, 86_400), "60")
        .means("Silence of a client after which it is asked whether it is there.")
        .why("Short of what routers and firewalls allow a silent connection.")
        .sets(|config, value| config.limits.ping_seconds = value.count()),
    setting("limits.idle_seconds", count(2, 86_400), "180")
        .means("Silence of a client after which its connection is given up, as is advertised (XEP-0478).")
        .why("Two answers may be lost on their way.")
        .sets(|config, value| config.limits.idle_seconds = value.count()),
    setting("limits.stall_seconds", count(1, 86_400), "300")
        .means("A client that takes nothing of what is written to it for so long is given up.")
        .why("A reader that is slow loses nothing; one that is gone should not stay.")
        .sets(|config, value| config.limits.stall_seconds = value.count()),
    setting("limits.anonymous_sessions", count(1, 10_000_000), "1000")
        .means("Anonymous sessions at a time.")
        .why("Each has an account of its own, so that no limit by account holds them.")
        .sets(|config, value| config.limits.anonymous_sessions = value.count()),
];
