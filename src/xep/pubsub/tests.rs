use crate::jid::BareJid;
use crate::pubsub::{ServicePolicy, WhoCreates};

pub(super) fn policy() -> ServicePolicy {
    ServicePolicy {
        service: BareJid::parse("pubsub.b.example").unwrap(),
        who_creates: WhoCreates::Accounts,
        auto_create: false,
        payload_bytes_max: 100_000,
        items_max: 10_000,
        batch_items_max: 16,
    }
}
