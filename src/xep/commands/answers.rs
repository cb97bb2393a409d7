//! Forms as commands ask them, and what was filled in.

use crate::jid::{BareJid, Jid};
use crate::pubsub::{FieldKind, NodeId, RawField};
use crate::xep::commands::errors;
use crate::xep::pubsub::form::{field_type, to_answer};
use crate::xmpp::{Field, FieldType, Form, FormType, StanzaError, Validation};

/// One field of a command's form.
pub(in crate::xep) struct Question {
    pub(in crate::xep) name: &'static str,
    pub(in crate::xep) kind: FieldKind,
    pub(in crate::xep) label: &'static str,
    pub(in crate::xep) required: bool,
    /// What stands in the field when it is shown, and holds where nothing is answered.
    pub(in crate::xep) default: Option<&'static str>,
    /// The least and the most number.
    pub(in crate::xep) range: Option<(u64, u64)>,
}

/// A form, filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers(Vec<RawField>);

impl Question {
    pub(super) const fn needed(name: &'static str, kind: FieldKind, label: &'static str) -> Self {
        Question { name, kind, label, required: true, default: None, range: None }
    }

    pub(super) const fn optional(name: &'static str, kind: FieldKind, label: &'static str) -> Self {
        Question { name, kind, label, required: false, default: None, range: None }
    }

    pub(super) const fn preset(name: &'static str, kind: FieldKind, label: &'static str, value: &'static str) -> Self {
        Question { name, kind, label, required: false, default: Some(value), range: None }
    }

    /// A number with its limits.
    pub(super) const fn number(
        name: &'static str,
        label: &'static str,
        value: &'static str,
        range: (u64, u64),
    ) -> Self {
        Question { name, kind: FieldKind::Number, label, required: false, default: Some(value), range: Some(range) }
    }

    /// Why these are no answer. What is written into a field that is no text may be left empty.
    fn check(&self, values: &[String]) -> Result<(), String> {
        if self.required && values.iter().all(String::is_empty) {
            return Err("an answer is needed".to_owned());
        }
        self.kind.check(values)?;
        let number = |value: &String| value.parse::<u64>().ok();
        match self.range {
            Some((least, most)) if values.iter().filter_map(number).any(|number| !(least..=most).contains(&number)) => {
                Err(format!("not a whole number from {least} to {most}"))
            }
            _ => Ok(()),
        }
    }
}

/// A form with these questions.
pub(super) fn form(form_type: &str, title: &str, instructions: &str, questions: &[Question]) -> Form {
    let mut form = Form::of_type(FormType::Form, form_type);
    form.title = Some(title.to_owned());
    form.instructions = vec![instructions.to_owned()];
    form.fields.extend(questions.iter().map(|question| {
        let values = question.default.iter().map(|value| (*value).to_owned()).collect();
        let field = to_answer(question.name, question.kind, question.label, values);
        let range = question.range.map(|(least, most)| Validation::whole(least, most));
        Field { required: question.required, validation: range.or(field.validation.clone()), ..field }
    }));
    form
}

/// A table of results (XEP-0004 §3.4): what its columns are, and a row each.
pub(super) fn table(
    form_type: &str,
    title: &str,
    columns: &[(&str, FieldKind, &str)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Form {
    let mut form = Form::of_type(FormType::Result, form_type);
    form.title = Some(title.to_owned());
    let column = |(name, kind, label): &(&str, FieldKind, &str)| Field::new(name, field_type(*kind)).with_label(*label);
    form.reported = columns.iter().map(column).collect();
    let cell = |((name, _, _), value): (&(&str, FieldKind, &str), String)| {
        Field { name: Some((*name).to_owned()), ..Field::default() }.with_value(value)
    };
    form.items = rows.into_iter().map(|row| columns.iter().zip(row).map(cell).collect()).collect();
    form
}

/// A field of a result, with one value or several.
pub(super) fn told(name: &str, kind: FieldType, label: &str, values: Vec<String>) -> Field {
    Field { values, ..Field::new(name, kind).with_label(label) }
}

impl Answers {
    pub(super) fn of(form: &Form) -> Self {
        let field = |(name, values): (&str, &[String])| RawField { name: name.to_owned(), values: values.to_vec() };
        Answers(form.answers().map(field).collect())
    }

    /// The answers to these questions alone, each of its kind. Other fields are none of ours (XEP-0004
    /// §3.1); a field that is no text and was left empty is not answered.
    pub(super) fn checked(&self, questions: &[Question]) -> Result<Answers, StanzaError> {
        let mut checked = Vec::new();
        for question in questions {
            let mut values = self.values(question.name).to_vec();
            if !matches!(question.kind, FieldKind::Text | FieldKind::Secret | FieldKind::Texts) {
                values.retain(|value| !value.is_empty());
            }
            question.check(&values).map_err(|why| errors::bad_payload(format!("{}: {why}", question.name)))?;
            if values.is_empty() {
                values.extend(question.default.map(str::to_owned));
            }
            checked.push(RawField { name: question.name.to_owned(), values });
        }
        Ok(Answers(checked))
    }

    /// As they were given.
    pub(super) fn fields(&self) -> &[RawField] {
        &self.0
    }

    pub(super) fn values(&self, name: &str) -> &[String] {
        self.0.iter().find(|field| field.name == name).map_or(&[], |field| field.values.as_slice())
    }

    /// The one value of a field; nothing where it was left empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values(name).first().map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The lines of a text, without those that are empty.
    pub(super) fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).iter().flat_map(|value| value.lines()).filter(|line| !line.is_empty())
    }

    /// Addresses; what is none does not pass [`Answers::checked`].
    pub(super) fn jids(&self, name: &str) -> Vec<Jid> {
        self.values(name).iter().filter_map(|value| Jid::parse(value).ok()).collect()
    }

    pub(super) fn bare_jids(&self, name: &str) -> Vec<BareJid> {
        self.jids(name).iter().map(|jid| jid.bare().clone()).collect()
    }

    /// The node that a field names.
    pub(super) fn node(&self, name: &str) -> Result<NodeId, StanzaError> {
        let node = self.text(name).and_then(NodeId::parse);
        node.ok_or_else(|| errors::bad_payload(format!("{name}: a node cannot have this name")))
    }

    /// The form again, as it was filled in.
    pub(super) fn remembered(&self, mut form: Form) -> Form {
        for field in &mut form.fields {
            let given = self.0.iter().find(|given| Some(&given.name) == field.name.as_ref());
            if let Some(given) = given.filter(|_| field.kind != Some(FieldType::Hidden)) {
                field.values.clone_from(&given.values);
            }
        }
        form
    }

    /// What they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|field| field.name.len() + field.values.iter().map(|value| value.len() + 32).sum::<usize>())
            .sum()
    }
}
