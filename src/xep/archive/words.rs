//! What is asked of an archive, and how it answers.

use bytes::Bytes;

use crate::jid::{BareJid, Jid};
use crate::time::Timestamp;
use crate::xep::{Body, bad_request};
use crate::xml::Element;
use crate::xmpp::{
    Condition, Delay, Field, FieldType, Form, FormType, Method, NS_CLIENT, Place, SetError, SetRequest, SetResult,
    StanzaError, Validation,
};

/// What is wanted, and how it shall be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub query_id: Option<String>,
    /// The newest of the page first (XEP-0313 §4.3.4).
    pub flip: bool,
    pub with: Option<Jid>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub after: Option<String>,
    pub before: Option<String>,
    pub these: Option<Vec<String>>,
    pub place: Place,
    pub max: usize,
}

/// A stanza of an archive.
pub(super) struct Found {
    pub id: String,
    pub time: Timestamp,
    /// As it stands in a stream.
    pub stanza: Vec<u8>,
}

/// Which part of what matches was found.
pub(super) struct Part {
    pub complete: bool,
    pub count: Option<u64>,
}

impl Wish {
    /// XEP-0313 §4.1, §4.3.
    pub fn parse(query: &Element, page_max: u64) -> Result<Self, StanzaError> {
        let set = SetRequest::within(query).map_err(|error| match error {
            SetError::Number => bad_request("a number of the result set is none, or too large"),
            SetError::Ambiguous => bad_request("the result set is asked for at two places"),
        })?;
        let SetRequest { max, place } = set.unwrap_or_default();
        let mut wish = Wish {
            query_id: query.attr("queryid").map(str::to_owned),
            flip: query.child("flip-page", NS_MAM).is_some(),
            place,
            max: usize::try_from(max.unwrap_or(page_max).min(page_max)).unwrap_or(usize::MAX),
            ..Wish::default()
        };
        let Some(form) = Form::within(query).map_err(|_| bad_request("the form is none"))? else { return Ok(wish) };
        if form.kind != FormType::Submit || form.form_type() != Some(NS_MAM) {
            return Err(bad_request("a form of another kind"));
        }
        for (name, values) in form.answers() {
            wish.answer(name, values)?;
        }
        Ok(wish)
    }

    fn answer(&mut self, name: &str, values: &[String]) -> Result<(), StanzaError> {
        if name == "ids" {
            if values.len() > IDS_MAX {
                return Err(bad_request(format!("at most {IDS_MAX} messages are asked for by name")));
            }
            self.these = Some(values.to_vec());
            return Ok(());
        }
        let value = match values {
            [] => None,
            [one] => Some(one.as_str()),
            _ => return Err(bad_request(format!("{name} has one value"))),
        };
        let time = || {
            let time =
                value.map(|text| Timestamp::parse(text).ok_or_else(|| bad_request(format!("{name} is no time"))));
            time.transpose()
        };
        match name {
            "with" => {
                let jid = value.map(|text| Jid::parse(text).map_err(|_| StanzaError::new(Condition::JidMalformed)));
                self.with = jid.transpose()?;
            }
            "start" => self.start = time()?,
            "end" => self.end = time()?,
            "after-id" => self.after = value.map(str::to_owned),
            "before-id" => self.before = value.map(str::to_owned),
            // There is nothing of groups in any archive.
            "include-groupchat" => match value {
                None | Some("true" | "1" | "false" | "0") => {}
                Some(_) => return Err(bad_request("include-groupchat is true or false")),
            },
            _ => {
                let error = StanzaError::new(Condition::FeatureNotImplemented);
                return Err(error.with_text(format!("nothing is looked for by {name}")));
            }
        }
        Ok(())
    }
}

/// XEP-0313 §4.1.5.
pub(super) fn form() -> Form {
    let validation = Validation { datatype: "xs:string".to_owned(), method: Method::Open };
    Form::of_type(FormType::Form, NS_MAM)
        .with_field(Field::new("with", FieldType::JidSingle))
        .with_field(Field::new("start", FieldType::TextSingle))
        .with_field(Field::new("end", FieldType::TextSingle))
        .with_field(Field::new("before-id", FieldType::TextSingle))
        .with_field(Field::new("after-id", FieldType::TextSingle))
        .with_field(Field { validation: Some(validation), ..Field::new("ids", FieldType::ListMulti) })
        .with_field(Field::new("include-groupchat", FieldType::Boolean))
}

/// The messages, and what tells that these were all (XEP-0313 §4.2).
pub(super) fn results(
    to: &Jid,
    archive: &BareJid,
    query_id: Option<&str>,
    flip: bool,
    found: Vec<Found>,
    part: Part,
) -> Body {
    let set = SetResult {
        first: found.first().map(|found| found.id.clone()),
        first_index: None,
        last: found.last().map(|found| found.id.clone()),
        count: part.count,
    };
    let fin = Element::new("fin", NS_MAM)
        .with_attr_opt("complete", part.complete.then_some("true"))
        .with_child(set.to_element());
    let mut messages: Vec<Bytes> = found.iter().map(|found| result(to, archive, query_id, found)).collect();
    if flip {
        messages.reverse();
    }
    Body::After(messages, fin)
}

fn result(to: &Jid, archive: &BareJid, query_id: Option<&str>, found: &Found) -> Bytes {
    let Found { id, time, stanza } = found;
    let result = Element::new("result", NS_MAM).with_attr_opt("queryid", query_id).with_attr("id", id.as_str());
    let forwarded = Element::new("forwarded", "urn:xmpp:forward:0");
    let message =
        Element::new("message", NS_CLIENT).with_attr("from", archive.to_string()).with_attr("to", to.to_string());
    let mut out = Vec::with_capacity(stanza.len() + 512);
    open(&mut out, &message, NS_CLIENT);
    open(&mut out, &result, NS_CLIENT);
    open(&mut out, &forwarded, NS_MAM);
    Delay { from: None, stamp: *time, reason: None }.to_element().write(&mut out, "urn:xmpp:forward:0");
    // The stanza was written for a place where `jabber:client` is declared.
    out.extend_from_slice(b"<message xmlns='jabber:client'");
    out.extend_from_slice(&stanza[b"<message".len()..]);
    out.extend_from_slice(b"</forwarded></result></message>");
    Bytes::from(out)
}

/// The start tag of an element without content.
fn open(out: &mut Vec<u8>, element: &Element, within: &str) {
    element.write(out, within);
    // It was written as empty, and ends with "/>".
    out.truncate(out.len() - 2);
    out.push(b'>');
}

/// Messages that may be asked for by name at once.
const IDS_MAX: usize = 256;
pub(super) const NS_MAM: &str = "urn:xmpp:mam:2";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &[(&str, &[&str])]) -> Result<Wish, StanzaError> {
        let mut form = Form::of_type(FormType::Submit, NS_MAM);
        for (name, values) in fields {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            form.fields.push(Field { values, ..Field::new(name, FieldType::TextSingle) });
        }
        Wish::parse(&Element::new("query", NS_MAM).with_child(form.to_element()), 100)
    }

    #[test]
    fn every_field_is_understood_and_no_other() {
        let text = |text: &str| Some(text.to_owned());
        let wish = parse(&[
            ("with", &["bob@x/r"]),
            ("start", &["2010-06-07T00:00:00Z"]),
            ("end", &["2010-06-07T00:00:01Z"]),
            ("after-id", &["a"]),
            ("before-id", &["b"]),
            ("ids", &["a", "b"]),
            ("include-groupchat", &["true"]),
        ]);
        let start = Timestamp::parse("2010-06-07T00:00:00Z");
        let wanted = Wish {
            with: Jid::parse("bob@x/r").ok(),
            start,
            end: start.map(|start| start.plus_seconds(1)),
            after: text("a"),
            before: text("b"),
            these: Some(vec!["a".to_owned(), "b".to_owned()]),
            max: 100,
            ..Wish::default()
        };
        assert_eq!(wish, Ok(wanted));
        let refused = [
            ("with", "a@b@c", Condition::JidMalformed),
            ("start", "yesterday", Condition::BadRequest),
            ("end", "", Condition::BadRequest),
            ("include-groupchat", "perhaps", Condition::BadRequest),
            ("{http://example.com/}free-text-search", "x", Condition::FeatureNotImplemented),
        ];
        for (name, value, condition) in refused {
            assert_eq!(parse(&[(name, &[value])]).unwrap_err().condition, condition, "{name}");
        }
        assert_eq!(parse(&[("with", &["a@b", "c@d"])]).unwrap_err().condition, Condition::BadRequest);
        let many = vec!["x"; IDS_MAX + 1];
        assert_eq!(parse(&[("ids", &many)]).unwrap_err().condition, Condition::BadRequest);
        let other = Element::new("query", NS_MAM).with_child(Form::of_type(FormType::Submit, "urn:x").to_element());
        assert_eq!(Wish::parse(&other, 100).unwrap_err().condition, Condition::BadRequest);
    }

    #[test]
    fn every_field_that_is_understood_is_in_the_form() {
        for field in form().fields.iter().filter_map(|field| field.name.as_deref()).filter(|name| *name != "FORM_TYPE")
        {
            assert!(parse(&[(field, &[])]).is_ok(), "{field}");
        }
        assert_eq!(form().fields.len(), 8);
    }
}
