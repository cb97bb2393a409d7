//! JSON objects from callers, as the pairs that stand in them: in order, and none twice.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::http::problem::{Problem, escape_pointer};
use crate::pubsub::{Field, FieldKind, NodeId, OptionField, RawField, SubscriptionOptions, SubscriptionPolicy};
use crate::time::Timestamp;

/// The members of an object.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<(String, Value)>);

impl Pairs {
    /// Reads a body. Nothing at all is an empty object.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() {
            return Ok(Pairs(vec![]));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// The fields of a node's configuration, from JSON of their types: the object itself, or what we
    /// answer with, in which they stand under `config`; with the place where they stood. Whether a value will do is
    /// for the rules to say.
    pub(super) fn into_fields(self, node: &NodeId) -> Result<(Vec<RawField>, &'static str), Problem> {
        let raw_field = |place: &str, name: String, value| {
            // Where a node stands among collections is no field of the configuration proper.
            let related = || matches!(name.as_str(), "collection" | "children").then_some(FieldKind::Texts);
            let kind = Field::named(&name).map(|field| field.kind).or_else(related);
            raw_field(Terms::Config, place, name, kind, value)
        };
        if !self.0.iter().any(|(name, _)| name == "config") {
            let fields = self.0.into_iter().map(|(name, value)| raw_field("", name, value));
            return Ok((fields.collect::<Result<_, _>>()?, ""));
        }
        let mut fields = vec![];
        for (name, value) in self.0 {
            match (name.as_str(), value) {
                ("config", Value::Object(config)) => {
                    for (name, value) in config {
                        fields.push(raw_field(UNDER_CONFIG, name, value)?);
                    }
                }
                ("config", _) => return Err(Terms::Config.wrong("", "config", "an object")),
                ("node", Value::String(named)) if NodeId::parse(&named).as_ref() == Some(node) => {}
                ("node", _) => return Err(Terms::Config.wrong("", "node", "the name of the node")),
                (name, _) => return Err(Terms::Config.wrong("", name, "nothing but node and config beside it")),
            }
        }
        Ok((fields, UNDER_CONFIG))
    }

    /// The options of a subscription, likewise. What is no option's value anywhere is refused here, before a node is
    /// asked; whether the operator allows it is for the rules to say.
    pub(super) fn into_options(self) -> Result<Vec<RawField>, Problem> {
        let option = |(name, value): (String, Value)| {
            let kind = OptionField::named(&name).map(|option| option.kind);
            raw_field(Terms::Options, "", name, kind, value)
        };
        let options = self.0.into_iter().map(option).collect::<Result<Vec<_>, _>>()?;
        let anything = SubscriptionPolicy { digest_ms_min: 1, ..SubscriptionPolicy::default() };
        SubscriptionOptions::default().with(&options, &anything, Timestamp(i64::MIN))?;
        Ok(options)
    }
}

pub(super) fn malformed(error: serde_json::Error) -> Problem {
    let detail = format!("the body is not the JSON that is expected: {error}");
    Problem::bad_request(detail.clone()).fault("", detail)
}

/// What the members of an object are.
#[derive(Clone, Copy)]
enum Terms {
    Config,
    Options,
}

impl Terms {
    fn wrong(self, place: &str, name: &str, expected: &str) -> Problem {
        let (kind, title) = match self {
            Terms::Config => ("invalid-config", "Invalid configuration"),
            Terms::Options => ("invalid-options", "Invalid subscription options"),
        };
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        Problem::new(status, kind, title, format!("{name}: {expected} is expected"))
            .fault(format!("{place}/{}", escape_pointer(name)), format!("{expected} is expected"))
    }
}

fn raw_field(
    terms: Terms,
    place: &str,
    name: String,
    kind: Option<FieldKind>,
    value: Value,
) -> Result<RawField, Problem> {
    let wrong = |expected: &str| terms.wrong(place, &name, expected);
    let values = match (kind, value) {
        (Some(FieldKind::Boolean), Value::Bool(value)) => vec![if value { "1" } else { "0" }.to_owned()],
        (Some(FieldKind::Boolean), _) => return Err(wrong("true or false")),
        (Some(FieldKind::Number), Value::Number(number)) if number.is_u64() => vec![number.to_string()],
        (Some(FieldKind::Number), Value::String(word)) if word == "max" => vec![word],
        (Some(FieldKind::Number), _) => return Err(wrong("a whole number")),
        (Some(FieldKind::Text | FieldKind::Secret | FieldKind::Jid | FieldKind::Choice(_)), Value::String(text)) => {
            vec![text]
        }
        (Some(FieldKind::Text | FieldKind::Secret | FieldKind::Jid | FieldKind::Choice(_)), _) => {
            return Err(wrong("a string"));
        }
        (Some(FieldKind::Texts | FieldKind::Jids | FieldKind::Choices(_)), Value::Array(values)) => {
            let texts = values.into_iter().map(|value| match value {
                Value::String(text) => Some(text),
                _ => None,
            });
            texts.collect::<Option<Vec<String>>>().ok_or_else(|| wrong("an array of strings"))?
        }
        (Some(FieldKind::Texts | FieldKind::Jids | FieldKind::Choices(_)), _) => {
            return Err(wrong("an array of strings"));
        }
        // Unknown to us and, most likely, to the rules, which say so in one way for both doors.
        (None, Value::String(text)) => vec![text],
        (None, _) => vec![],
    };
    Ok(RawField { name, values })
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            // RFC 8259 §4 leaves open which of two equal names counts; here neither does.
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("{name:?} occurs twice")));
            }
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

/// Where fields stand in what we answer with.
const UNDER_CONFIG: &str = "/config";

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Result<Vec<(String, Vec<String>)>, Problem> {
        let fields = Pairs::read(json.as_bytes())?.into_fields(&NodeId::parse("n").unwrap())?.0;
        Ok(fields.into_iter().map(|field| (field.name, field.values)).collect())
    }

    #[test]
    fn configurations_have_json_types() {
        for (json, name, values) in [
            (r#"{"persist_items":true}"#, "persist_items", &["1"][..]),
            (r#"{"persist_items":false}"#, "persist_items", &["0"]),
            (r#"{"max_items":5}"#, "max_items", &["5"]),
            (r#"{"max_items":"max"}"#, "max_items", &["max"]),
            (r#"{"access_model":"whitelist"}"#, "access_model", &["whitelist"]),
            (r#"{"title":"T\n"}"#, "title", &["T\n"]),
            (r#"{"contact":["a@b","c@d"]}"#, "contact", &["a@b", "c@d"]),
            (r#"{"contact":[]}"#, "contact", &[]),
            (r#"{"nonsense":1}"#, "nonsense", &[]),
            (r#"{"node":"n","config":{"max_items":5}}"#, "max_items", &["5"]),
            (r#"{"config":{"title":"T"}}"#, "title", &["T"]),
        ] {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(fields(json), Ok(vec![(name.to_owned(), values)]), "{json}");
        }
        assert_eq!(fields(""), Ok(vec![]));
        assert_eq!(fields("{}"), Ok(vec![]));
    }

    #[test]
    fn another_type_is_a_fault_at_its_place() {
        for (json, pointer) in [
            (r#"{"persist_items":"1"}"#, "/persist_items"),
            (r#"{"persist_items":1}"#, "/persist_items"),
            (r#"{"max_items":"5"}"#, "/max_items"),
            (r#"{"max_items":-5}"#, "/max_items"),
            (r#"{"max_items":5.5}"#, "/max_items"),
            (r#"{"title":5}"#, "/title"),
            (r#"{"title":null}"#, "/title"),
            (r#"{"contact":"a"}"#, "/contact"),
            (r#"{"contact":["a",1]}"#, "/contact"),
            (r#"{"config":{"title":5}}"#, "/config/title"),
            (r#"{"config":5}"#, "/config"),
            (r#"{"config":{},"node":"m"}"#, "/node"),
            (r#"{"config":{},"title":"T"}"#, "/title"),
        ] {
            let problem = fields(json).unwrap_err();
            assert_eq!(problem.status.as_u16(), 422, "{json}");
            assert_eq!(problem.faults().first().map(|fault| fault.pointer.as_str()), Some(pointer), "{json}");
        }
        for json in ["[]", "5", "{", r#"{"title":"a","title":"b"}"#, "\u{feff}{}"] {
            assert_eq!(fields(json).unwrap_err().status.as_u16(), 400, "{json}");
        }
    }
}
