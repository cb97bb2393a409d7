//! What an entity is to a node (XEP-0060 §4.1). Kept for bare JIDs only.

/// XEP-0060 §4.1, Table 1. `None` is the absence of an entry and is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Affiliation {
    Owner,
    Publisher,
    PublishOnly,
    Member,
    #[default]
    None,
    Outcast,
}

impl Affiliation {
    pub const ALL: [Affiliation; 6] = [
        Affiliation::Owner,
        Affiliation::Publisher,
        Affiliation::PublishOnly,
        Affiliation::Member,
        Affiliation::None,
        Affiliation::Outcast,
    ];

    /// The word of the schema (XEP-0060 §17.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Affiliation::Owner => "owner",
            Affiliation::Publisher => "publisher",
            Affiliation::PublishOnly => "publish-only",
            Affiliation::Member => "member",
            Affiliation::None => "none",
            Affiliation::Outcast => "outcast",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|affiliation| affiliation.as_str() == word)
    }
}
