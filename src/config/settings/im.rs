//! Messages between accounts, and whom to write to about the service.

use super::{Kind, Setting, count, setting};

pub(super) const IM: &[Setting] = &[
    setting("im.roster_items", count(1, 100_000), "2000")
        .means("Contacts that one account may have. As many requests of strangers may wait beside them.")
        .why("Presence goes to each of them.")
        .sets(|config, value| config.im.roster_items = value.count()),
    setting("im.blocked_addresses", count(1, 100_000), "1000")
        .means("Addresses that one account may block (XEP-0191).")
        .why("They are looked through for each message that the account is sent.")
        .sets(|config, value| config.im.blocked_addresses = value.count()),
    setting("im.offline_messages", count(0, 10_000), "100")
        .means(
            "Messages that wait for an account until it comes online (XEP-0160); 0 keeps none. Events of nodes \
             never wait here.",
        )
        .why("Whoever writes more to somebody who is away is told that it did not arrive.")
        .sets(|config, value| config.im.offline_messages = value.count()),
    setting("im.change_password", Kind::Flag, "true")
        .means(
            "Whether an account may change its password over XMPP (XEP-0077). What was opened with the old one \
             ends, and the account's API tokens are revoked.",
        )
        .sets(|config, value| config.im.change_password = value.flag()),
    setting("im.remove_account", Kind::Flag, "true")
        .means("Whether an account may remove itself over XMPP (XEP-0077), with its roster, archive and tokens.")
        .sets(|config, value| config.im.remove_account = value.flag()),
    setting("im.register", Kind::Flag, "false")
        .means(
            "Whether whoever has no account may make one over XMPP (XEP-0077). Under TLS alone, and as often as \
             `limits.registrations_per_hour` says.",
        )
        .why("A server that lets everybody in is found by those who send what nobody wants.")
        .sets(|config, value| config.im.register = value.flag()),
    setting("im.client_state", Kind::Flag, "true")
        .means(
            "Whether clients that nobody looks at may say so (XEP-0352), and are told of the presence of others when \
             something comes that cannot wait.",
        )
        .why("A telephone's radio sleeps longer.")
        .sets(|config, value| config.im.client_state = value.flag()),
    setting("im.archive_days", count(0, 36_500), "30")
        .means(
            "How long messages stay in the archives of accounts (XEP-0313); 0 keeps no archives. Events of nodes \
             never enter them.",
        )
        .why("A device that comes online once a month misses nothing.")
        .sets(|config, value| config.im.archive_days = value.count()),
    setting("im.archive_messages", count(1, 1_000_000), "10000")
        .means("Messages in the archive of one account; the oldest make room.")
        .sets(|config, value| config.im.archive_messages = value.count()),
    setting("im.archive_default", Kind::Word(&["always", "roster", "never"]), "always")
        .means(
            "Whose messages are archived for those who have not chosen (XEP-0441): everybody's, those of \
             contacts, or nobody's.",
        )
        .why("Clients that synchronise their devices from the archive rely on finding everything there.")
        .sets(|config, value| {
            config.im.archive_default = crate::im::Policy::parse(&value.text()).unwrap_or_default();
        }),
];

pub(super) const CONTACT: &[Setting] = &[
    setting("contact.abuse", Kind::Uris, "")
        .means("Where to write about abuse of the service (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.abuse = value.uris()),
    setting("contact.admin", Kind::Uris, "")
        .means("Where to write about its administration (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.admin = value.uris()),
    setting("contact.feedback", Kind::Uris, "")
        .means("Where to write about what people think of it (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.feedback = value.uris()),
    setting("contact.sales", Kind::Uris, "")
        .means("Where to write about what it costs (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.sales = value.uris()),
    setting("contact.security", Kind::Uris, "")
        .means("Where to write about its security (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.security = value.uris()),
    setting("contact.status", Kind::Uris, "")
        .means("Where to write about whether it is up (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.status = value.uris()),
    setting("contact.support", Kind::Uris, "")
        .means("Where to write about help with it (XEP-0157), as URIs.")
        .sets(|config, value| config.contact.support = value.uris()),
];
