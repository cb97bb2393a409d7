//! Items and what they hold.

use std::fmt;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::time::Timestamp;

/// A position in a node's log. The first event has 1; 0 is "before everything".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

impl Seq {
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// The name of an item within its node: 1 to [`ItemId::BYTES_MAX`] bytes without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(Arc<str>);

impl ItemId {
    pub const BYTES_MAX: usize = 1023;

    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len());
        (fits && !text.chars().any(|c| c.is_control() || c == '\u{fffe}' || c == '\u{ffff}'))
            .then(|| ItemId(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What a payload is to a reader who does not speak XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    Xml,
    Atom,
    Json,
    Text,
}

impl Media {
    /// The number that stands for it in the store. Never reuse one.
    pub fn code(self) -> u8 {
        match self {
            Media::Xml => 1,
            Media::Atom => 2,
            Media::Json => 3,
            Media::Text => 4,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        [Media::Xml, Media::Atom, Media::Json, Media::Text].into_iter().find(|media| media.code() == code)
    }
}

/// One canonical, self-contained XML element in UTF-8, made once by `payload` when it was published:
/// every door and every watcher shares these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub media: Media,
    /// The namespace of the root element; compared with `pubsub#type`.
    pub namespace: Arc<str>,
    /// The element as it stands between `<item>` and `</item>`.
    pub xml: Arc<[u8]>,
}

/// What is known of a current item without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFact {
    pub id: ItemId,
    /// Where the log holds its publication.
    pub seq: Seq,
    pub publisher: BareJid,
    pub published: Timestamp,
}
