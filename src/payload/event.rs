//! CloudEvents 1.0 as payloads: every event is kept as its JSON format, whatever mode it came in, so
//! that no attribute is lost and each door shows the same.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{PayloadError, from_json};
use crate::pubsub::Payload;
use crate::time::Timestamp;

/// One event, and those of its attributes that mean something to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// With `source` it names the event: two with both the same are one event.
    pub id: String,
    pub source: String,
    pub subject: Option<String>,
    /// The event in the JSON format, in the container of JSON.
    pub payload: Payload,
}

/// Why what was sent is no CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventError {
    Payload(PayloadError),
    /// Not an object, or a batch that is not an array of them.
    Shape(String),
    /// A required attribute is absent or empty.
    Missing(&'static str),
    /// An attribute is not what the specification says.
    Attribute {
        name: String,
        why: &'static str,
    },
}

/// An event in the JSON format (structured mode). It is kept as it was written.
pub fn event_from_json(body: &[u8]) -> Result<CloudEvent, EventError> {
    let payload = from_json(body).map_err(EventError::Payload)?;
    let members: Members<'_> = serde_json::from_slice(body).map_err(|error| EventError::Shape(error.to_string()))?;
    let mut event = Attributes::default();
    for (name, value) in &members.0 {
        match name.as_str() {
            "data" => event.data += 1,
            "data_base64" => {
                let text = serde_json::from_str::<String>(value.get()).ok();
                if text.and_then(|text| STANDARD.decode(text).ok()).is_none() {
                    return Err(wrong(name, "a string in Base64 is expected"));
                }
                event.data += 1;
            }
            name => {
                if let Some(text) = attribute_text(name, value)? {
                    event.take(name, text)?;
                }
            }
        }
    }
    if event.data > 1 {
        return Err(wrong("data_base64", "data and data_base64 exclude each other"));
    }
    event.finish(payload)
}

/// A batch in the JSON format: its events, or the place of the one that is wrong.
pub fn events_from_json(body: &[u8]) -> Result<Vec<CloudEvent>, (usize, EventError)> {
    let events: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| (0, EventError::Shape(error.to_string())))?;
    let read = |(at, event): (usize, &&RawValue)| event_from_json(event.get().as_bytes()).map_err(|error| (at, error));
    events.iter().enumerate().map(read).collect()
}

/// An event whose attributes came apart from its data (binary mode). Data that is JSON becomes a
/// member as it was written, text becomes a string, and all else Base64.
pub fn event_from_parts(
    attributes: &[(String, String)],
    content_type: Option<&str>,
    data: &[u8],
) -> Result<CloudEvent, EventError> {
    let mut event = Attributes::default();
    let mut json = String::from("{");
    for (name, value) in attributes {
        if name == "datacontenttype" || name == "data" || name == "data_base64" {
            return Err(wrong(name, "the content type and the body say that"));
        }
        event.take(name, value.clone())?;
        json.push_str(&format!("\"{name}\":{},", serde_json::Value::from(value.as_str())));
    }
    if let Some(content_type) = content_type {
        json.push_str(&format!("\"datacontenttype\":{},", serde_json::Value::from(content_type)));
    }
    match DataForm::of(content_type, data) {
        DataForm::Absent => {}
        DataForm::Json => {
            from_json(data).map_err(EventError::Payload)?;
            let text = std::str::from_utf8(data).map_err(|_| EventError::Payload(PayloadError::NotUtf8))?;
            json.push_str("\"data\":");
            json.push_str(text.trim_start_matches('\u{feff}'));
            json.push(',');
        }
        DataForm::Text => {
            let text = std::str::from_utf8(data).map_err(|_| EventError::Payload(PayloadError::NotUtf8))?;
            json.push_str(&format!("\"data\":{},", serde_json::Value::from(text)));
        }
        DataForm::Bytes => json.push_str(&format!("\"data_base64\":\"{}\",", STANDARD.encode(data))),
    }
    json.pop();
    json.push('}');
    if attributes.is_empty() {
        return Err(EventError::Missing("specversion"));
    }
    let payload = from_json(json.as_bytes()).map_err(EventError::Payload)?;
    event.finish(payload)
}

/// What the data of an event becomes in the JSON format.
enum DataForm {
    Absent,
    Json,
    Text,
    Bytes,
}

impl DataForm {
    fn of(content_type: Option<&str>, data: &[u8]) -> Self {
        let essence = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            _ if data.is_empty() => DataForm::Absent,
            "application/json" => DataForm::Json,
            json if json.ends_with("+json") => DataForm::Json,
            "application/xml" => DataForm::Text,
            text if text.starts_with("text/") || text.ends_with("+xml") => DataForm::Text,
            _ => DataForm::Bytes,
        }
    }
}

/// The attributes as they are gathered.
#[derive(Default)]
struct Attributes {
    id: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    version: Option<String>,
    subject: Option<String>,
    data: usize,
}

impl Attributes {
    fn take(&mut self, name: &str, text: String) -> Result<(), EventError> {
        let named = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !named {
            let why = "names of attributes are made of a to z and 0 to 9";
            return Err(wrong(&name.chars().take(NAME_BYTES_MAX).collect::<String>(), why));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong(name, "attributes hold no control characters"));
        }
        match name {
            "time" if Timestamp::parse(&text.to_ascii_uppercase()).is_none() => {
                return Err(wrong(name, "a time of RFC 3339 is expected"));
            }
            "specversion" => self.version = Some(text),
            "id" => self.id = Some(text),
            "source" => self.source = Some(text),
            "type" => self.kind = Some(text),
            "subject" if text.is_empty() => return Err(wrong(name, "a subject is not empty")),
            "subject" => self.subject = Some(text),
            _ => {}
        }
        Ok(())
    }

    fn finish(self, payload: Payload) -> Result<CloudEvent, EventError> {
        let present = |value: Option<String>, name| value.filter(|it| !it.is_empty()).ok_or(EventError::Missing(name));
        if present(self.version, "specversion")? != "1.0" {
            return Err(wrong("specversion", "this server speaks version 1.0"));
        }
        let (id, source) = (present(self.id, "id")?, present(self.source, "source")?);
        present(self.kind, "type")?;
        Ok(CloudEvent { id, source, subject: self.subject, payload })
    }
}

/// The text of an attribute in the JSON format; null is absent.
fn attribute_text(name: &str, value: &RawValue) -> Result<Option<String>, EventError> {
    match serde_json::from_str(value.get()) {
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::String(text)) => Ok(Some(text)),
        Ok(serde_json::Value::Bool(flag)) if !STRINGS.contains(&name) => Ok(Some(flag.to_string())),
        Ok(serde_json::Value::Number(number)) if !STRINGS.contains(&name) && number.as_i64().is_some() => {
            Ok(Some(number.to_string()))
        }
        _ if STRINGS.contains(&name) => Err(wrong(name, "a string is expected")),
        _ => Err(wrong(name, "an attribute is a string, a whole number, true or false")),
    }
}

fn wrong(name: &str, why: &'static str) -> EventError {
    EventError::Attribute { name: name.to_owned(), why }
}

/// The members of an object as they were written, none twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Gather;
        impl<'de> Visitor<'de> for Gather {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = vec![];
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(A::Error::custom(format!("an event has at most {MEMBERS_MAX} attributes")));
                    }
                    if members.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!("{name:?} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Gather).map(Members)
    }
}

impl EventError {
    /// The member of the JSON format that is at fault.
    pub fn member(&self) -> Option<&str> {
        match self {
            EventError::Missing(name) => Some(name),
            EventError::Attribute { name, .. } => Some(name),
            EventError::Payload(_) | EventError::Shape(_) => None,
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Payload(error) => error.fmt(f),
            EventError::Shape(what) => write!(f, "the body is not what this content type says: {what}"),
            EventError::Missing(name) => write!(f, "the event has no {name}"),
            EventError::Attribute { name, why } => write!(f, "the attribute {name} of the event: {why}"),
        }
    }
}

impl std::error::Error for EventError {}

/// Attributes of the specification, all of them strings.
const STRINGS: &[&str] = &["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];
/// The specification advises 20.
const NAME_BYTES_MAX: usize = 64;
/// Attributes and data of one event.
const MEMBERS_MAX: usize = 64;
