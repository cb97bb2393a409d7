//! The nouns of `pubsub` as columns. What is stored was valid when it was stored; a column that is
//! not valid when it is read is damage, and is reported as such instead of being served.

use std::sync::Arc;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Result, Row};

use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Event, EventKind, ItemFact, ItemId, Media, Node, NodeAddress, NodeConfig, NodeId, NodeKey, Payload,
    Seq, ServicePolicy, SubId, Subscription, SubscriptionOptions, SubscriptionState, WhoCreates,
};
use crate::time::Timestamp;

/// Reads `key, service, node, config, creator, created, last_seq, floor_seq, items, owners, version,
/// subscribers`.
pub(super) fn node(row: &Row<'_>) -> Result<Node> {
    Ok(Node {
        key: row.get(0)?,
        address: NodeAddress { service: row.get(1)?, node: row.get(2)? },
        config: row.get::<_, Config>(3)?.0,
        creator: row.get(4)?,
        created: row.get(5)?,
        last_seq: row.get(6)?,
        floor_seq: row.get(7)?,
        items: row.get::<_, Count>(8)?.0,
        owners: row.get::<_, Count>(9)?.0,
        version: row.get::<_, Count>(10)?.0,
        subscribers: row.get::<_, Count>(11)?.0,
    })
}

/// Reads `item_id, seq, publisher, time` from the given column on.
pub(super) fn fact(row: &Row<'_>, from: usize) -> Result<ItemFact> {
    Ok(ItemFact {
        id: row.get(from)?,
        seq: row.get(from + 1)?,
        publisher: row.get(from + 2)?,
        published: row.get(from + 3)?,
    })
}

/// Reads `media, namespace, payload` from the given column on.
pub(super) fn payload(row: &Row<'_>, from: usize) -> Result<Option<Payload>> {
    let Some(xml) = row.get::<_, Option<Arc<[u8]>>>(from + 2)? else { return Ok(None) };
    Ok(Some(Payload { media: row.get::<_, StoredMedia>(from)?.0, namespace: row.get(from + 1)?, xml }))
}

/// Reads `bare, resource, subid, state, options` from the given column on.
pub(super) fn subscription(row: &Row<'_>, from: usize) -> Result<Subscription> {
    let bare: BareJid = row.get(from)?;
    let resource = row.get_ref(from + 1)?.as_str()?;
    let jid = match resource {
        "" => Jid::Bare(bare),
        resource => Jid::Full(bare.with_resource(resource).map_err(FromSqlError::other)?),
    };
    let options = row.get::<_, Options>(from + 4)?.0;
    Ok(Subscription { jid, subid: row.get(from + 2)?, state: row.get(from + 3)?, options })
}

/// Reads `seq, time, kind, item_id, publisher, media, namespace, payload, prev, detail`.
pub(super) fn event(row: &Row<'_>) -> Result<Event> {
    let kind = match row.get::<_, i64>(2)? {
        PUBLISHED => EventKind::Published {
            item: row.get(3)?,
            publisher: row.get(4)?,
            payload: payload(row, 5)?,
            replaces: row.get(8)?,
        },
        RETRACTED => EventKind::Retracted { item: row.get(3)?, notify: row.get_ref(9)?.as_str()? == NOTIFY },
        PURGED => EventKind::Purged,
        CONFIGURED => EventKind::Configured { config: row.get::<_, Config>(9)?.0 },
        ASSOCIATED => {
            let (at, created) = place(row.get_ref(9)?.as_str()?).ok_or_else(|| damaged("a place that is none"))?;
            EventKind::Associated { node: row.get(3)?, at, created }
        }
        DISSOCIATED => EventKind::Dissociated { node: row.get(3)?, deleted: row.get_ref(9)?.as_str()? == GONE },
        DELETED => EventKind::Deleted { redirect: row.get(9)? },
        _ => return Err(damaged("a kind of event that does not exist").into()),
    };
    Ok(Event { seq: row.get(0)?, time: row.get(1)?, kind })
}

/// What an event has beside its place and time.
#[derive(Default)]
pub(super) struct EventColumns<'a> {
    pub kind: i64,
    /// The name of an item, or of a node.
    pub item: Option<&'a str>,
    pub publisher: Option<&'a BareJid>,
    pub payload: Option<&'a Payload>,
    pub prev: Option<Seq>,
    pub detail: Option<String>,
}

pub(super) fn event_columns(kind: &EventKind) -> EventColumns<'_> {
    let none = EventColumns::default();
    match kind {
        EventKind::Published { item, publisher, payload, replaces } => EventColumns {
            kind: PUBLISHED,
            item: item.as_ref().map(ItemId::as_str),
            publisher: Some(publisher),
            payload: payload.as_ref(),
            prev: *replaces,
            detail: None,
        },
        EventKind::Retracted { item, notify } => EventColumns {
            kind: RETRACTED,
            item: Some(item.as_str()),
            detail: Some(if *notify { NOTIFY } else { SILENT }.to_owned()),
            ..none
        },
        EventKind::Purged => EventColumns { kind: PURGED, ..none },
        EventKind::Configured { config } => EventColumns { kind: CONFIGURED, detail: Some(config.to_text()), ..none },
        EventKind::Associated { node, at, created } => EventColumns {
            kind: ASSOCIATED,
            item: Some(node.as_str()),
            detail: Some(format!("{}{}", at.0, if *created { NEW } else { "" })),
            ..none
        },
        EventKind::Dissociated { node, deleted } => EventColumns {
            kind: DISSOCIATED,
            item: Some(node.as_str()),
            detail: Some(if *deleted { GONE } else { "" }.to_owned()),
            ..none
        },
        EventKind::Deleted { redirect } => {
            EventColumns { kind: DELETED, detail: redirect.as_deref().map(str::to_owned), ..none }
        }
    }
}

/// Where a node's log stood that came into a collection, and whether it was new.
fn place(detail: &str) -> Option<(Seq, bool)> {
    let (number, created) = detail.strip_suffix(NEW).map_or((detail, false), |number| (number, true));
    Some((Seq(number.parse().ok()?), created))
}

/// A number that is never negative and never near the end of an `i64`.
pub(super) struct Count(pub u64);

struct Config(Arc<NodeConfig>);

struct Options(Arc<SubscriptionOptions>);

struct StoredMedia(Media);

impl ToSql for Count {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(ToSqlOutput::from(number))
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Count).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Seq {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(ToSqlOutput::from(number))
    }
}

impl FromSql for Seq {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Count::column_result(value).map(|count| Seq(count.0))
    }
}

impl ToSql for NodeKey {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for NodeKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(NodeKey)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp)
    }
}

impl FromSql for Config {
    /// The limits of a service are no limits here: what was allowed once stays readable when the
    /// operator lowers them.
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let policy = ServicePolicy {
            service: BareJid::new(None, "localhost").map_err(FromSqlError::other)?,
            who_creates: WhoCreates::Anyone,
            auto_create: false,
            templates: Arc::default(),
            payload_bytes_max: u64::MAX,
            items_max: u64::MAX,
            children_max: u64::MAX,
            parents_max: usize::MAX,
            of_server: false,
            batch_items_max: usize::MAX,
            attached_items_max: u64::MAX,
            subscriptions: crate::pubsub::SubscriptionPolicy::default(),
        };
        NodeConfig::from_text(value.as_str()?, &policy)
            .map(|config| Config(Arc::new(config)))
            .map_err(|refusal| damaged(&format!("a configuration that this version does not read: {refusal:?}")))
    }
}

impl FromSql for Options {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        SubscriptionOptions::from_text(value.as_str()?)
            .map(Options)
            .map_err(|refusal| damaged(&format!("options that this version does not read: {refusal:?}")))
    }
}

impl FromSql for StoredMedia {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let code = u8::try_from(value.as_i64()?).ok().and_then(Media::from_code);
        code.map(StoredMedia).ok_or_else(|| damaged("a kind of payload that does not exist"))
    }
}

impl FromSql for BareJid {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        BareJid::parse(value.as_str()?).map_err(FromSqlError::other)
    }
}

impl FromSql for NodeId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        NodeId::parse(value.as_str()?).ok_or_else(|| damaged("a node id that is none"))
    }
}

impl FromSql for ItemId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        ItemId::parse(value.as_str()?).ok_or_else(|| damaged("an item id that is none"))
    }
}

impl FromSql for SubId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(|text| SubId(Arc::from(text)))
    }
}

impl FromSql for Affiliation {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Affiliation::parse(value.as_str()?).ok_or_else(|| damaged("an affiliation that does not exist"))
    }
}

impl FromSql for SubscriptionState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        SubscriptionState::parse(value.as_str()?).ok_or_else(|| damaged("a subscription state that does not exist"))
    }
}

fn damaged(what: &str) -> FromSqlError {
    FromSqlError::Other(what.into())
}

// The kinds of events. Never reuse a number.
pub(super) const PUBLISHED: i64 = 1;
const RETRACTED: i64 = 2;
const PURGED: i64 = 3;
const CONFIGURED: i64 = 4;
const DELETED: i64 = 5;
const ASSOCIATED: i64 = 6;
const DISSOCIATED: i64 = 7;

// The notify flag of a retraction.
const NOTIFY: &str = "1";
const SILENT: &str = "0";
// Of a node in a collection: it was created there, it was deleted.
const NEW: &str = " new";
const GONE: &str = "gone";
