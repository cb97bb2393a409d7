//! Whose messages an account keeps (XEP-0441).

use crate::jid::Jid;

/// What an account has said of its archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    pub others: Policy,
    pub always: Vec<Jid>,
    pub never: Vec<Jid>,
}

/// Messages with those who are in neither list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    #[default]
    Always,
    /// With those in the roster.
    Roster,
    Never,
}

/// Whether messages with somebody are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Yes,
    No,
    /// If he is in the roster.
    IfListed,
}

impl Preferences {
    /// XEP-0441 §2.3. Who is named in both lists is kept nothing of: what was kept can be forgotten, not
    /// taken back.
    pub fn keeps(&self, other: &Jid) -> Keeps {
        let named = |list: &[Jid]| {
            list.iter().any(|jid| match jid {
                Jid::Full(_) => jid == other,
                Jid::Bare(bare) => bare == other.bare(),
            })
        };
        match self.others {
            _ if named(&self.never) => Keeps::No,
            _ if named(&self.always) => Keeps::Yes,
            Policy::Always => Keeps::Yes,
            Policy::Roster => Keeps::IfListed,
            Policy::Never => Keeps::No,
        }
    }
}

impl Policy {
    pub const ALL: [Policy; 3] = [Policy::Always, Policy::Roster, Policy::Never];

    pub fn as_str(self) -> &'static str {
        match self {
            Policy::Always => "always",
            Policy::Roster => "roster",
            Policy::Never => "never",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Policy::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_before_the_policy_and_never_before_always() {
        let jids = |texts: &[&str]| texts.iter().map(|text| Jid::parse(text).unwrap()).collect::<Vec<_>>();
        let with = |others| Preferences {
            others,
            always: jids(&["a@x", "b@x/phone", "both@x"]),
            never: jids(&["n@x", "m@x/phone", "both@x"]),
        };
        let rows = [
            ("a@x/desk", [Keeps::Yes; 3]),
            ("b@x/phone", [Keeps::Yes; 3]),
            ("b@x/desk", [Keeps::Yes, Keeps::IfListed, Keeps::No]),
            ("n@x", [Keeps::No; 3]),
            ("m@x/phone", [Keeps::No; 3]),
            ("m@x", [Keeps::Yes, Keeps::IfListed, Keeps::No]),
            ("both@x/r", [Keeps::No; 3]),
        ];
        for (other, kept) in rows {
            let other = Jid::parse(other).unwrap();
            assert_eq!(Policy::ALL.map(|policy| with(policy).keeps(&other)), kept, "{other}");
        }
        for policy in Policy::ALL {
            assert_eq!(Policy::parse(policy.as_str()), Some(policy));
        }
        assert_eq!(Policy::parse("sometimes"), None);
    }
}
