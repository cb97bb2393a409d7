//! `[[hook]]`: senders of webhooks, each with its scheme, its secrets and its target.

use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::read::File;
use crate::http::{Algorithm, Encoding, Generic, Hook, HookForm, Scheme, Secret, check_template};
use crate::jid::BareJid;

/// What may stand in a `[[hook]]`, for the reference: name, type, what it is.
pub const FIELDS: &[(&str, &str, &str)] = &[
    ("source", "name", "The last segment of `/v1/hooks/{source}`: letters of a to z, digits and `-`."),
    ("scheme", "word", "`standard-webhooks`, `github`, `stripe`, `slack`, `shopify`, `gitlab` or `hmac`."),
    ("secret_files", "list", "One file that holds the secret, or two during a rotation: either is good then."),
    ("account", "JID", "In whose name is published; its affiliations decide."),
    (
        "node",
        "template",
        "The node: text with `{event}`, `{id}` and JSON pointers into the body, as in \
      `github/{/repository/full_name}`.",
    ),
    ("item", "template", "The item, by the same rule; without it each delivery is an item of its own."),
    ("create", "flag", "Whether nodes that are not there are created, where the account may; `false`."),
    ("form", "word", "`body` publishes the body as it came, `cloudevent` a CloudEvent whose data it is; `body`."),
    ("tolerance_seconds", "number", "How far the time that was signed may be from now; 300."),
    ("header", "name", "`hmac` only, and needed there: the header of the signature."),
    ("prefix", "text", "`hmac` only: what stands before the signature in its header."),
    ("algorithm", "word", "`hmac` only: `sha256`, `sha512` or `sha1`; `sha256`."),
    ("encoding", "word", "`hmac` only: `hex` or `base64`; `hex`."),
    ("signed", "template", "`hmac` only: what is signed, text with `{body}`, `{timestamp}` and `{id}`; `{body}`."),
    ("timestamp_header", "name", "`hmac` only: the header of the time, in seconds since 1970."),
    ("id_header", "name", "`hmac` only: the header of the delivery's id."),
    ("event_header", "name", "`hmac` only: the header of the event's type."),
];

/// The entries of one table, each taken once.
struct Entries<'a, 'i> {
    taken: Vec<(&'a str, usize, &'a DeValue<'i>)>,
}

type Wrong = (usize, String);

impl File<'_> {
    /// Reads one `[[hook]]`.
    pub(super) fn hook(&mut self, hook: &Spanned<DeValue<'_>>) {
        let at = hook.span().start;
        let DeValue::Table(table) = hook.get_ref() else {
            return self.wrong(at, "hook must be written as [[hook]]");
        };
        let mut taken = vec![];
        for (name, value) in table {
            let known = FIELDS.iter().any(|(field, _, _)| field == name.get_ref());
            if !known {
                return self.wrong(name.span().start, format!("there is no setting hook.{}", name.get_ref()));
            }
            taken.push((name.get_ref().as_ref(), name.span().start, value.get_ref()));
        }
        match read(&Entries { taken }, at) {
            Ok(hook) if self.given.hooks.iter().any(|other| other.source == hook.source) => {
                self.wrong(at, format!("there are two hooks of the source {}", hook.source));
            }
            Ok(hook) => self.given.hooks.push(hook),
            Err((at, what)) => self.wrong(at, what),
        }
    }
}

fn read(entries: &Entries<'_, '_>, at: usize) -> Result<Hook, Wrong> {
    let needed = |name: &str| entries.text(name)?.ok_or((at, format!("[[hook]] needs {name}")));
    let source = needed("source")?;
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if source.is_empty() || source.len() > SOURCE_BYTES_MAX || !source.bytes().all(named) {
        return Err(entries.wrong("source", "must be made of a to z, 0 to 9 and -"));
    }
    let scheme = scheme(entries, &needed("scheme")?, at)?;
    let account = BareJid::parse(&needed("account")?).map_err(|_| entries.wrong("account", "must be a bare JID"))?;
    let node = needed("node")?;
    let item = entries.text("item")?;
    for (name, template) in [("node", Some(&node)), ("item", item.as_ref())] {
        if let Some(Err(why)) = template.map(|template| check_template(template)) {
            return Err(entries.wrong(name, &why));
        }
    }
    let form = match entries.text("form")?.as_deref() {
        None | Some("body") => HookForm::Body,
        Some("cloudevent") => HookForm::CloudEvent,
        Some(_) => return Err(entries.wrong("form", "must be body or cloudevent")),
    };
    let tolerance_seconds = entries.number("tolerance_seconds", 1, 86_400)?.unwrap_or(300);
    let create = entries.flag("create")?.unwrap_or(false);
    let secrets = secrets(entries, &scheme, at)?;
    Ok(Hook { source, scheme, secrets, tolerance_seconds, node, item, account, create, form })
}

fn scheme(entries: &Entries<'_, '_>, word: &str, at: usize) -> Result<Scheme, Wrong> {
    let scheme = match word {
        "standard-webhooks" => Scheme::StandardWebhooks,
        "github" => Scheme::GitHub,
        "stripe" => Scheme::Stripe,
        "slack" => Scheme::Slack,
        "shopify" => Scheme::Shopify,
        "gitlab" => Scheme::GitLab,
        "hmac" => return generic(entries, at).map(Scheme::Hmac),
        _ => {
            let words = "must be one of standard-webhooks, github, stripe, slack, shopify, gitlab, hmac";
            return Err(entries.wrong("scheme", words));
        }
    };
    let foreign = FIELDS.iter().find(|(name, _, meaning)| meaning.starts_with("`hmac` only") && entries.has(name));
    match foreign {
        Some((name, _, _)) => Err(entries.wrong(name, &format!("means nothing with the scheme {word}"))),
        None => Ok(scheme),
    }
}

fn generic(entries: &Entries<'_, '_>, at: usize) -> Result<Generic, Wrong> {
    let algorithm = match entries.text("algorithm")?.as_deref() {
        None | Some("sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some("sha1") => Algorithm::Sha1,
        Some(_) => return Err(entries.wrong("algorithm", "must be sha256, sha512 or sha1")),
    };
    let encoding = match entries.text("encoding")?.as_deref() {
        None | Some("hex") => Encoding::Hex,
        Some("base64") => Encoding::Base64,
        Some(_) => return Err(entries.wrong("encoding", "must be hex or base64")),
    };
    let header = entries.text("header")?.ok_or((at, "[[hook]] of the scheme hmac needs header".to_owned()))?;
    let signed = entries.text("signed")?.unwrap_or_else(|| "{body}".to_owned());
    let (timestamp_header, id_header) = (entries.text("timestamp_header")?, entries.text("id_header")?);
    for (name, there) in [("{timestamp}", timestamp_header.is_some()), ("{id}", id_header.is_some())] {
        // What is not signed can be written anew by whoever has seen a delivery.
        if signed.contains(name) != there {
            let what = format!("must hold {name} exactly where the header of it is named");
            return Err(entries.wrong("signed", &what));
        }
    }
    if !signed.contains("{body}") {
        return Err(entries.wrong("signed", "must hold {body}"));
    }
    let prefix = entries.text("prefix")?.unwrap_or_default();
    let event_header = entries.text("event_header")?;
    Ok(Generic { header, prefix, algorithm, encoding, signed, timestamp_header, id_header, event_header })
}

fn secrets(entries: &Entries<'_, '_>, scheme: &Scheme, at: usize) -> Result<Vec<Secret>, Wrong> {
    let files = entries.texts("secret_files")?.unwrap_or_default();
    if files.is_empty() || files.len() > SECRETS_MAX {
        let what = format!("[[hook]] needs secret_files: one file, or {SECRETS_MAX} during a rotation");
        return Err((at, what));
    }
    let read = |file: &String| {
        let wrong = |what: &str| entries.wrong("secret_files", &format!("names {file}, which {what}"));
        let length = std::fs::metadata(Path::new(file)).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        if length.len() > SECRET_BYTES_MAX {
            return Err(wrong("is too long for a secret"));
        }
        let mut bytes = std::fs::read(file).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        let secret = Secret::new(bytes);
        match scheme.accepts(&secret) {
            Ok(()) => Ok(secret),
            Err(wanted) => Err(wrong(&format!("holds no secret of this scheme: it is {wanted}"))),
        }
    };
    files.iter().map(read).collect()
}

impl<'a> Entries<'a, '_> {
    fn find(&self, name: &str) -> Option<&(&'a str, usize, &'a DeValue<'_>)> {
        self.taken.iter().find(|(other, _, _)| *other == name)
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn wrong(&self, name: &str, what: &str) -> Wrong {
        (self.find(name).map_or(0, |(_, at, _)| *at), format!("hook.{name} {what}"))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.find(name) {
            None => Ok(None),
            Some((_, _, DeValue::String(text))) => Ok(Some(text.to_string())),
            Some(_) => Err(self.wrong(name, "must be text in quotes")),
        }
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Wrong> {
        let wrong = || self.wrong(name, "must be a list of texts in quotes");
        let Some((_, _, DeValue::Array(values))) = self.find(name) else {
            return if self.has(name) { Err(wrong()) } else { Ok(None) };
        };
        let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(wrong()),
        };
        values.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Wrong> {
        match self.find(name) {
            None => Ok(None),
            Some((_, _, DeValue::Boolean(flag))) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Wrong> {
        let Some((_, _, value)) = self.find(name) else { return Ok(None) };
        let number = match value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| self.wrong(name, &format!("must be a whole number from {least} to {most}")))
    }
}

const SOURCE_BYTES_MAX: usize = 64;
/// One, and one that takes over.
const SECRETS_MAX: usize = 2;
const SECRET_BYTES_MAX: u64 = 4096;
