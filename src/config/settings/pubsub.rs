//! Nodes: who makes them, what is kept of them, and where their events are sent.

use super::{Kind, Setting, count, follows, setting};
use crate::delivery::webhook::{Networks, Schedule};
use crate::pubsub::WhoCreates;

pub(super) const PUBSUB: &[Setting] = &[
    follows("pubsub.service", Kind::Domain, "`pubsub.` and `xmpp.domain`")
        .means("The JID of the pub/sub service.")
        .why("Nodes keep the service that they were created at. Choose it before the first start.")
        .sets(|config, value| config.pubsub.service = value.domain()),
    setting("pubsub.auto_create", Kind::Flag, "false")
        .means("Whether publishing to a node that is not there creates it, for those who may create nodes.")
        .why("A typo in a node's name should fail, not create a node that nobody watches.")
        .sets(|config, value| config.pubsub.auto_create = value.flag()),
    setting("pubsub.create", Kind::Word(&["admins", "accounts", "anyone"]), "accounts")
        .means("Who may create nodes: administrators, whoever has an account here, or anyone.")
        .sets(|config, value| {
            config.pubsub.create = match value.text().as_str() {
                "admins" => WhoCreates::Admins,
                "anyone" => WhoCreates::Anyone,
                _ => WhoCreates::Accounts,
            };
        }),
    setting("pubsub.items_max", count(1, 1_000_000), "10000")
        .means("The most items that a node may be configured to keep, and what `max_items=max` means.")
        .why("Items are kept until they are displaced; this bounds what one owner can fill.")
        .sets(|config, value| config.pubsub.items_max = value.count()),
    setting("pubsub.attached_items_max", count(1, 100_000), "1000")
        .means("To how many items of one node something may be attached (XEP-0470).")
        .why("The end of a node is the end of all that is attached to its items, in one commit.")
        .sets(|config, value| config.pubsub.attached_items_max = value.count()),
    setting("pubsub.children_max", count(1, 10_000), "1000")
        .means("The most nodes that a collection may be configured to hold, and what `children_max=max` means.")
        .why("Whoever changes a collection has the names of all its nodes read.")
        .sets(|config, value| config.pubsub.children_max = value.count()),
    setting("pubsub.parents_max", count(1, 100), "16")
        .means("The most collections in which one node stands.")
        .why("What is published there is told to the subscribers of each of them.")
        .sets(|config, value| config.pubsub.parents_max = value.count()),
    setting("pubsub.multi_subscribe", Kind::Flag, "false")
        .means("Whether one JID may have several subscriptions to a node, each with options of its own.")
        .why("Most clients count on one, and on a second request finding the first.")
        .sets(|config, value| config.pubsub.subscriptions.multi_subscribe = value.flag()),
    setting("pubsub.lease_seconds_max", count(1, 3_155_760_000), "31622400")
        .means("The longest lease of a subscription, in seconds; one that is asked for until later ends then.")
        .why("A year, and a day to renew it. Subscriptions that ask for no lease do not end by themselves.")
        .sets(|config, value| {
            config.pubsub.subscriptions.lease_seconds_max = i64::try_from(value.count::<u64>()).unwrap_or(i64::MAX);
        }),
    setting("pubsub.digest_ms_min", count(1, 86_400_000), "1000")
        .means("The shortest time between two digests that a subscriber may ask for, in milliseconds.")
        .why("Below a second a digest spares nobody anything.")
        .sets(|config, value| config.pubsub.subscriptions.digest_ms_min = value.count()),
    setting("pubsub.bounces_max", count(0, 1_000_000), "16")
        .means(
            "Notifications that a session may send back with an error that may pass, one after the other, before \
             the subscription ends; 0 for any number.",
        )
        .why("One that says that nobody is there ends the subscription at once (XEP-0060 §12.4).")
        .sets(|config, value| config.pubsub.bounces_max = value.count()),
    setting("pubsub.missed_items", count(1, 100_000), "1000")
        .means("Items that a session is shown of those that it has missed, where it says for how long it was away (XEP-0312).")
        .why("Of each node the newest come; whoever wants more retrieves them.")
        .sets(|config, value| config.pubsub.missed_items_max = value.count()),
];

pub(super) const RETENTION: &[Setting] = &[
    setting("retention.events", count(1, 100_000_000), "10000")
        .means("Events that a node's log keeps for watchers that come back.")
        .why("Whichever of the three limits is reached first holds.")
        .sets(|config, value| config.retention.events = value.count()),
    setting("retention.days", count(1, 36_500), "7")
        .means("For how long a node's log keeps an event, and the name of a deleted node is remembered.")
        .why("A week lets a watcher miss a long weekend.")
        .sets(|config, value| config.retention.days = value.count()),
    setting("retention.bytes", count(65_536, 1 << 40), "67108864")
        .means("Bytes of payload that a node's log keeps.")
        .sets(|config, value| config.retention.bytes = value.count()),
];

pub(super) const WEBHOOKS: &[Setting] = &[
    setting("webhooks.allow_http", Kind::Flag, "false")
        .means("Whether webhooks are sent to URLs of `http:` too.")
        .why("What is sent is signed and not encrypted: for endpoints behind a wall, and for trying things out.")
        .sets(|config, value| config.webhooks.allow_http = value.flag()),
    setting("webhooks.networks", Kind::Networks, "")
        .means("Networks to which webhooks are sent though they are not on the internet.")
        .why(
            "Loopback, private, link-local and all other reserved addresses are refused otherwise: whoever creates a \
             webhook would make this server ask for him where he cannot.",
        )
        .sets(|config, value| config.webhooks.networks = Networks::parse(&value.text()).unwrap_or_default()),
    setting("webhooks.retry_seconds", Kind::Waits, "0,5,300,1800,7200,18000,36000,50400,72000,86400")
        .means(
            "How long to wait before each attempt of a delivery, the first among them, give or take a fifth; after \
             the last it is a dead letter.",
        )
        .why("Some 75 hours: an endpoint may be down over a weekend.")
        .sets(|config, value| config.webhooks.retry = Schedule::parse(&value.text()).unwrap_or_default()),
    setting("webhooks.timeout_seconds", count(1, 300), "15")
        .means("For one attempt, from the resolution of the name to the end of the answer.")
        .sets(|config, value| config.webhooks.timeout_seconds = value.count()),
    setting("webhooks.per_node", count(0, 10_000), "100")
        .means("Webhooks of one node.")
        .why("Each is a task and up to 64 connections.")
        .sets(|config, value| config.webhooks.per_node = value.count()),
    setting("webhooks.ca_file", Kind::Path, "/etc/ssl/certs/ca-certificates.crt")
        .means("The authorities whose certificates endpoints may show, as PEM.")
        .why("Where Debian keeps them.")
        .sets(|config, value| config.webhooks.ca_file = value.path()),
];
