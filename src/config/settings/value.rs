//! A value, and taking it as what its setting's kind says that it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::jid::BareJid;

/// A value of its setting's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Uris(Vec<String>),
    Flag(bool),
    Count(u64),
    Text(String),
    Address(Option<SocketAddr>),
    Domain(BareJid),
    Path(PathBuf),
}

impl Value {
    pub(in crate::config) fn flag(self) -> bool {
        match self {
            Value::Flag(flag) => flag,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(in crate::config) fn count<N: TryFrom<u64>>(self) -> N {
        match self {
            Value::Count(count) => N::try_from(count).unwrap_or_else(|_| unreachable!("{count} is above its limit")),
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(in crate::config) fn text(self) -> String {
        match self {
            Value::Text(text) => text,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(in crate::config) fn words(self) -> Vec<String> {
        self.text().split_whitespace().map(str::to_owned).collect()
    }

    pub(in crate::config) fn address(self) -> Option<SocketAddr> {
        match self {
            Value::Address(address) => address,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(in crate::config) fn uris(self) -> Vec<String> {
        match self {
            Value::Uris(uris) => uris,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(in crate::config) fn domain(self) -> BareJid {
        match self {
            Value::Domain(domain) => domain,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(in crate::config) fn path(self) -> PathBuf {
        match self {
            Value::Path(path) => path,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }
}
