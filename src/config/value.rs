//! Taking a value as what its setting's kind says that it is.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::settings::Value;
use crate::jid::BareJid;

impl Value {
    pub(super) fn flag(self) -> bool {
        match self {
            Value::Flag(flag) => flag,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(super) fn count<N: TryFrom<u64>>(self) -> N {
        match self {
            Value::Count(count) => N::try_from(count).unwrap_or_else(|_| unreachable!("{count} is above its limit")),
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Value::Text(text) => text,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(super) fn words(self) -> Vec<String> {
        self.text().split_whitespace().map(str::to_owned).collect()
    }

    pub(super) fn address(self) -> Option<SocketAddr> {
        match self {
            Value::Address(address) => address,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(super) fn uris(self) -> Vec<String> {
        match self {
            Value::Uris(uris) => uris,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(super) fn domain(self) -> BareJid {
        match self {
            Value::Domain(domain) => domain,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }

    pub(super) fn path(self) -> PathBuf {
        match self {
            Value::Path(path) => path,
            other => unreachable!("{other:?} is not of the kind that the table gives"),
        }
    }
}
