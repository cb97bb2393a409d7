//! Subscription options (XEP-0060 §6.3, §16.4.2): one description of each, from which forms are
//! rendered, submissions validated and JSON is read and written.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use crate::pubsub::config::fields::{boolean, one, one_boolean, one_number};
use crate::pubsub::{FieldKind, RawField, Refusal};
use crate::time::Timestamp;

/// How a subscriber wants to be told. Valid by construction: built from defaults by
/// [`SubscriptionOptions::with`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Whether anything is delivered at all.
    pub deliver: bool,
    /// Whether events are collected and told together.
    pub digest: bool,
    /// The least time between two digests.
    pub digest_frequency_ms: u64,
    pub expire: Expire,
    /// Whether notifications bear a readable body beside the payload.
    pub include_body: bool,
    /// The presence in which a session is told.
    pub show_values: ShowValues,
    /// What of a collection is told (XEP-0248 §6.1). Of a leaf node, items and what becomes of it.
    pub kinds: Kinds,
    pub depth: Depth,
    /// Whether everybody may know of the subscription (XEP-0465). No form asks for it.
    pub public: bool,
}

/// XEP-0248 §6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    Items,
    Nodes,
    All,
}

/// How far below a collection (XEP-0248 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    To(u32),
    All,
}

/// When a subscription ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    Never,
    /// A lease (XEP-0060 §12.19).
    At(Timestamp),
    /// With the presence of its subscriber (XEP-0060 §12.5).
    Presence,
}

/// What an available resource shows (RFC 6121 §4.7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Show {
    /// Mere availability.
    Online,
    Chat,
    Away,
    ExtendedAway,
    DoNotDisturb,
}

/// A set of [`Show`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShowValues(u8);

/// What the operator has settled for subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPolicy {
    /// Whether one JID may have several subscriptions to a node (XEP-0060 §6.1.6).
    pub multi_subscribe: bool,
    /// A lease that is asked for until later ends so long after the request (XEP-0060 §12.19).
    pub lease_seconds_max: i64,
    /// The shortest time between two digests that may be asked for.
    pub digest_ms_min: u64,
}

/// The description of one option.
pub struct OptionField {
    /// Without the prefix `pubsub#`.
    pub name: &'static str,
    pub kind: FieldKind,
    /// What it means, for forms and the reference.
    pub label: &'static str,
    get: fn(&SubscriptionOptions) -> Vec<String>,
    set: fn(&mut SubscriptionOptions, &[String]) -> Result<(), String>,
}

impl SubscriptionOptions {
    /// What holds for a subscription that asks for nothing else. Shared, for most are of this kind.
    pub fn standard() -> Arc<Self> {
        static STANDARD: LazyLock<Arc<SubscriptionOptions>> = LazyLock::new(Arc::default);
        STANDARD.clone()
    }

    /// These options with the given ones changed. One that does not exist, or that cannot be honoured, is
    /// refused with its name: nothing is stored and forgotten.
    pub fn with(&self, changes: &[RawField], policy: &SubscriptionPolicy, now: Timestamp) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        for change in changes {
            changed.set(change)?;
        }
        changed.hold_to(self, policy, now)?;
        Ok(changed)
    }

    /// One line an option that differs from the default: how a store keeps it.
    pub fn to_text(&self) -> String {
        let standard = Self::standard();
        let mut text = String::new();
        for field in OPTIONS.iter().filter(|field| field.values(self) != field.values(&standard)) {
            let _ = writeln!(text, "{}={}", field.name, field.values(self).join(","));
        }
        if self.public {
            let _ = writeln!(text, "{PUBLIC}");
        }
        text
    }

    /// Reads what [`SubscriptionOptions::to_text`] wrote; one that this version does not know is an
    /// error, for it would be forgotten by the next change. The operator's limits are no limits here.
    pub fn from_text(text: &str) -> Result<Arc<Self>, Refusal> {
        if text.is_empty() {
            return Ok(Self::standard());
        }
        let mut options = SubscriptionOptions::default();
        for line in text.lines() {
            if line == PUBLIC {
                options.public = true;
                continue;
            }
            let (name, values) = line.split_once('=').unwrap_or((line, ""));
            let values = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
            options.set(&RawField { name: name.to_owned(), values })?;
        }
        Ok(Arc::new(options))
    }

    fn set(&mut self, change: &RawField) -> Result<(), Refusal> {
        let name = change.bare_name();
        let invalid = |why: &str| Refusal::InvalidOptions { field: Arc::from(name), why: Arc::from(why) };
        let field = OptionField::named(name).ok_or_else(|| invalid("there is no such option"))?;
        (field.set)(self, &change.values).map_err(|why| invalid(&why))
    }

    /// Whether the operator's limits let it be, and what they make of it. What stood before is not
    /// asked about again.
    fn hold_to(&mut self, before: &Self, policy: &SubscriptionPolicy, now: Timestamp) -> Result<(), Refusal> {
        let invalid = |field: &str, why: String| Refusal::InvalidOptions { field: Arc::from(field), why: why.into() };
        let frequency = self.digest_frequency_ms;
        if frequency != before.digest_frequency_ms && frequency < policy.digest_ms_min {
            return Err(invalid("digest_frequency", format!("at least {} milliseconds", policy.digest_ms_min)));
        }
        if self.expire != before.expire
            && let Expire::At(end) = self.expire
        {
            if end <= now {
                return Err(invalid("expire", "the time has passed".to_owned()));
            }
            // XEP-0060 §12.19: what exceeds the longest lease becomes the longest lease.
            self.expire = Expire::At(end.min(now.plus_seconds(policy.lease_seconds_max)));
        }
        Ok(())
    }
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        SubscriptionOptions {
            deliver: true,
            digest: false,
            digest_frequency_ms: DIGEST_MS,
            expire: Expire::Never,
            include_body: false,
            show_values: ShowValues::ALL,
            kinds: Kinds::Items,
            depth: Depth::To(1),
            public: false,
        }
    }
}

impl Default for SubscriptionPolicy {
    fn default() -> Self {
        SubscriptionPolicy { multi_subscribe: false, lease_seconds_max: 366 * 86_400, digest_ms_min: 1000 }
    }
}

impl OptionField {
    pub fn named(name: &str) -> Option<&'static OptionField> {
        OPTIONS.iter().find(|field| field.name == name)
    }

    /// The least and the greatest number that it takes.
    pub fn range(&self, policy: &SubscriptionPolicy) -> Option<(u64, u64)> {
        (self.name == "digest_frequency").then_some((policy.digest_ms_min, DIGEST_MS_MAX))
    }

    /// The values of the option, as a form writes them.
    pub fn values(&self, options: &SubscriptionOptions) -> Vec<String> {
        (self.get)(options)
    }
}

impl Expire {
    /// Whether the time of a lease has come. What lasts with presence is over when somebody asks: only
    /// when its subscriber has gone.
    pub fn is_over(self, now: Timestamp) -> bool {
        match self {
            Expire::Never => false,
            Expire::At(end) => end <= now,
            Expire::Presence => true,
        }
    }
}

impl Kinds {
    pub fn as_str(self) -> &'static str {
        match self {
            Kinds::Items => "items",
            Kinds::Nodes => "nodes",
            Kinds::All => "all",
        }
    }

    pub fn has_items(self) -> bool {
        matches!(self, Kinds::Items | Kinds::All)
    }

    pub fn has_nodes(self) -> bool {
        matches!(self, Kinds::Nodes | Kinds::All)
    }
}

impl Depth {
    /// As a number, which no graph is deeper than.
    pub fn steps(self) -> u32 {
        match self {
            Depth::To(steps) => steps,
            Depth::All => u32::MAX,
        }
    }
}

impl Show {
    pub const ALL: [Show; 5] = [Show::Away, Show::Chat, Show::DoNotDisturb, Show::Online, Show::ExtendedAway];

    /// As `pubsub#show-values` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Show::Online => "online",
            Show::Chat => "chat",
            Show::Away => "away",
            Show::ExtendedAway => "xa",
            Show::DoNotDisturb => "dnd",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|show| show.as_str() == word)
    }
}

impl ShowValues {
    pub const ALL: ShowValues = ShowValues(0b1_1111);

    pub fn has_all(self) -> bool {
        self == Self::ALL
    }

    pub fn has(self, show: Show) -> bool {
        self.0 & Self::bit(show) != 0
    }

    fn bit(show: Show) -> u8 {
        1 << show as u8
    }
}

/// How the text of options says that everybody may know of the subscription.
pub const PUBLIC: &str = "public=1";

/// Every option, in the order of forms.
pub const OPTIONS: &[OptionField] = &[
    OptionField {
        name: "deliver",
        kind: FieldKind::Boolean,
        label: "Whether notifications are sent",
        get: |options| boolean(options.deliver),
        set: |options, values| {
            options.deliver = one_boolean(values)?;
            Ok(())
        },
    },
    OptionField {
        name: "digest",
        kind: FieldKind::Boolean,
        label: "Whether events are collected and sent together",
        get: |options| boolean(options.digest),
        set: |options, values| {
            options.digest = one_boolean(values)?;
            Ok(())
        },
    },
    OptionField {
        name: "digest_frequency",
        kind: FieldKind::Number,
        label: "The least time between two digests, in milliseconds",
        get: |options| vec![options.digest_frequency_ms.to_string()],
        set: |options, values| {
            options.digest_frequency_ms = one_number(one(values)?, 1, DIGEST_MS_MAX)?;
            Ok(())
        },
    },
    OptionField {
        name: "expire",
        kind: FieldKind::Text,
        label: "When the subscription ends: a date and time, 'presence' for when its subscriber goes, or empty",
        get: |options| match options.expire {
            Expire::Never => Vec::new(),
            Expire::At(end) => vec![end.to_string()],
            Expire::Presence => vec![PRESENCE.to_owned()],
        },
        set: |options, values| {
            options.expire = match values {
                [] => Expire::Never,
                [value] if value.is_empty() => Expire::Never,
                [value] if value == PRESENCE => Expire::Presence,
                [value] => Expire::At(Timestamp::parse(value).ok_or("neither a date and time nor 'presence'")?),
                _ => return Err("at most one value".to_owned()),
            };
            Ok(())
        },
    },
    OptionField {
        name: "include_body",
        kind: FieldKind::Boolean,
        label: "Whether notifications bear a readable body beside the payload",
        get: |options| boolean(options.include_body),
        set: |options, values| {
            options.include_body = one_boolean(values)?;
            Ok(())
        },
    },
    OptionField {
        name: "show-values",
        kind: FieldKind::Choices(&[
            ("away", "Away"),
            ("chat", "Free for chat"),
            ("dnd", "Do not disturb"),
            ("online", "Merely available"),
            ("xa", "Away for long"),
        ]),
        label: "The presence in which notifications are wanted",
        get: |options| {
            let wanted = Show::ALL.into_iter().filter(|show| options.show_values.has(*show));
            wanted.map(|show| show.as_str().to_owned()).collect()
        },
        set: |options, values| {
            options.show_values = values.iter().try_fold(ShowValues(0), |set, value| {
                let show = Show::parse(value).ok_or_else(|| "not a presence that is offered".to_owned())?;
                Ok::<_, String>(ShowValues(set.0 | ShowValues::bit(show)))
            })?;
            Ok(())
        },
    },
    OptionField {
        name: "subscription_type",
        kind: FieldKind::Choice(&[
            ("items", "What becomes of items of the nodes in a collection"),
            ("nodes", "What becomes of the nodes in a collection"),
            ("all", "Both"),
        ]),
        label: "What is told of a collection; of other nodes, items",
        get: |options| vec![options.kinds.as_str().to_owned()],
        set: |options, values| {
            options.kinds = match one(values)? {
                "items" => Kinds::Items,
                "nodes" => Kinds::Nodes,
                "all" => Kinds::All,
                _ => return Err("neither items nor nodes nor all".to_owned()),
            };
            Ok(())
        },
    },
    OptionField {
        name: "subscription_depth",
        kind: FieldKind::Text,
        label: "How far below a collection: a number of steps, or 'all'",
        get: |options| match options.depth {
            Depth::To(steps) => vec![steps.to_string()],
            Depth::All => vec!["all".to_owned()],
        },
        set: |options, values| {
            options.depth = match one(values)? {
                "all" => Depth::All,
                number => Depth::To(number.parse().map_err(|_| "neither a number of steps nor 'all'".to_owned())?),
            };
            Ok(())
        },
    },
];

const PRESENCE: &str = "presence";
/// An hour.
const DIGEST_MS: u64 = 3_600_000;
/// Thirty days.
const DIGEST_MS_MAX: u64 = 30 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, values: &[&str]) -> RawField {
        RawField { name: format!("pubsub#{name}"), values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    fn with(name: &str, values: &[&str]) -> Result<SubscriptionOptions, Refusal> {
        let policy = SubscriptionPolicy { lease_seconds_max: 3600, ..SubscriptionPolicy::default() };
        SubscriptionOptions::default().with(&[raw(name, values)], &policy, Timestamp::from_seconds(1_000_000))
    }

    // rows: 167, F35, F36, F37, F38, F39, F40, F41, F42
    #[test]
    fn every_option_is_set_got_and_kept() {
        for (name, values) in [
            ("deliver", &["0"][..]),
            ("digest", &["1"]),
            ("digest_frequency", &["5000"]),
            ("expire", &["1970-01-12T13:46:41.000000Z"]),
            ("expire", &["presence"]),
            ("expire", &[]),
            ("include_body", &["1"]),
            ("show-values", &["chat", "online"]),
            ("show-values", &[]),
            ("subscription_type", &["items"]),
            ("subscription_type", &["nodes"]),
            ("subscription_type", &["all"]),
            ("subscription_depth", &["0"]),
            ("subscription_depth", &["12"]),
            ("subscription_depth", &["all"]),
        ] {
            let options = with(name, values).unwrap();
            assert_eq!(OptionField::named(name).unwrap().values(&options), values, "{name}");
            assert_eq!(*SubscriptionOptions::from_text(&options.to_text()).unwrap(), options, "{name}");
        }
        for field in OPTIONS {
            let sent_back = with(
                field.name,
                &field.values(&SubscriptionOptions::default()).iter().map(|v| &**v).collect::<Vec<_>>(),
            );
            assert_eq!(sent_back, Ok(SubscriptionOptions::default()), "{}", field.name);
        }
        assert_eq!(SubscriptionOptions::default().to_text(), "");
    }

    // rows: 182
    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (name, values) in [
            ("deliver", &["yes"][..]),
            ("deliver", &[]),
            ("digest", &["1", "0"]),
            ("digest_frequency", &["0"]),
            ("digest_frequency", &["999"]),
            ("digest_frequency", &["2592000001"]),
            ("expire", &["tomorrow"]),
            ("expire", &["1970-01-12T13:46:40Z"]),
            ("include_body", &["2"]),
            ("show-values", &["invisible"]),
            ("subscription_type", &["everything"]),
            ("subscription_depth", &["-1"]),
            ("subscription_depth", &["4294967296"]),
            ("keywords", &["a"]),
        ] {
            match with(name, values) {
                Err(Refusal::InvalidOptions { field, .. }) => assert_eq!(&*field, name),
                other => panic!("{name} {values:?}: {other:?}"),
            }
        }
        assert!(SubscriptionOptions::from_text("colour=blue\n").is_err());
    }

    // rows: 544
    #[test]
    fn a_lease_is_no_longer_than_the_longest() {
        let longest = Expire::At(Timestamp::from_seconds(1_003_600));
        assert_eq!(with("expire", &["2038-01-01T00:00:00Z"]).unwrap().expire, longest);
    }

    #[test]
    fn what_stood_before_a_limit_came_is_let_be() {
        let strict =
            SubscriptionPolicy { digest_ms_min: 60_000, lease_seconds_max: 1, ..SubscriptionPolicy::default() };
        let before = with("digest_frequency", &["5000"]).unwrap();
        let after = before.with(&[raw("digest_frequency", &["5000"])], &strict, Timestamp(0));
        assert_eq!(after, Ok(before));
    }
}
