//! What a field of any form takes. Forms, JSON, validation and the reference are made from it,
//! whichever table the field stands in.

use crate::jid::Jid;

/// The type of a field (XEP-0004 §3.3) and, with it, its JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Boolean,
    /// A whole number.
    Number,
    Text,
    /// A text that is not shown while it is written.
    Secret,
    /// Several texts, or the lines of one.
    Texts,
    Jid,
    /// Several addresses.
    Jids,
    /// One of these, each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
    /// Any of these.
    Choices(&'static [(&'static str, &'static str)]),
}

impl FieldKind {
    /// Why these values are not of this kind. What a field of the kind may hold beyond that is for
    /// whoever sets it to say.
    pub fn check(self, values: &[String]) -> Result<(), String> {
        let many = matches!(self, FieldKind::Texts | FieldKind::Jids | FieldKind::Choices(_));
        if values.len() > 1 && !many {
            return Err("at most one value is needed".to_owned());
        }
        values.iter().try_for_each(|value| self.check_one(value))
    }

    fn check_one(self, value: &str) -> Result<(), String> {
        let wanted = match self {
            FieldKind::Boolean if matches!(value, "0" | "1" | "true" | "false") => None,
            FieldKind::Boolean => Some("not a boolean: 1, 0, true or false".to_owned()),
            FieldKind::Number if value.parse::<u64>().is_ok() => None,
            FieldKind::Number => Some("not a whole number".to_owned()),
            FieldKind::Jid | FieldKind::Jids => Jid::parse(value).err().map(|why| format!("{value}: {why}")),
            FieldKind::Choice(choices) | FieldKind::Choices(choices)
                if choices.iter().any(|(choice, _)| *choice == value) =>
            {
                None
            }
            FieldKind::Choice(_) | FieldKind::Choices(_) => Some("not an offered choice".to_owned()),
            FieldKind::Text | FieldKind::Secret | FieldKind::Texts => None,
        };
        wanted.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_takes_what_is_of_its_kind() {
        let choice = FieldKind::Choice(&[("a", "A"), ("b", "B")]);
        let choices = FieldKind::Choices(&[("a", "A"), ("b", "B")]);
        let many = |kind| matches!(kind, FieldKind::Texts | FieldKind::Jids | FieldKind::Choices(_));
        for (kind, good, bad) in [
            (FieldKind::Boolean, &["0", "1", "true", "false"][..], &["", "yes", "TRUE"][..]),
            (FieldKind::Number, &["0", "18446744073709551615"], &["", "-1", "1.5", "18446744073709551616"]),
            (FieldKind::Jid, &["a@b.example", "b.example/x"], &["", "@b", "a@"]),
            (FieldKind::Jids, &["a@b.example"], &["a@"]),
            (choice, &["a", "b"], &["", "c", "A"]),
            (choices, &["a", "b"], &["", "c", "A"]),
            (FieldKind::Text, &["", "anything"], &[]),
            (FieldKind::Secret, &["x"], &[]),
            (FieldKind::Texts, &["x"], &[]),
        ] {
            let check = |value: &str| kind.check(&[value.to_owned()]);
            assert!(good.iter().all(|value| check(value).is_ok()), "{kind:?}");
            assert!(bad.iter().all(|value| check(value).is_err()), "{kind:?}");
            let two = [good[0].to_owned(), good[0].to_owned()];
            assert_eq!(kind.check(&two).is_ok(), many(kind), "{kind:?}");
            assert_eq!(kind.check(&[]), Ok(()), "whether a value must be there is not a question of its kind");
        }
    }
}
