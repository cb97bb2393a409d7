//! From the sources to values with their places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Place};
use super::settings::{Kind, SECRET_SETTINGS, Setting, Value, settings};
use super::{Secret, Served, Sources, VARIABLE_PREFIX};
use crate::jid::BareJid;
use crate::pubsub::{Glob, RawField, Template};

/// What was written, the last source's word for each setting.
#[derive(Default)]
pub struct Given {
    pub values: BTreeMap<&'static str, (Value, Place)>,
    pub hosts: Vec<GivenHost>,
    pub hooks: Vec<crate::http::Hook>,
    pub components: Vec<GivenComponent>,
    pub templates: Vec<GivenTemplate>,
}

/// A `[[host]]` of the file.
pub struct GivenHost {
    pub domain: BareJid,
    pub service: Option<BareJid>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub place: Place,
}

/// A `[[component]]` of the file.
pub struct GivenComponent {
    pub served: Served,
    pub place: Place,
}

/// A `[[template]]` of the file.
pub struct GivenTemplate {
    pub template: Template,
    pub place: Place,
}

pub fn read(sources: &Sources) -> (Given, Vec<Mistake>) {
    let (mut given, mut mistakes) = (Given::default(), Vec::new());
    if let Some(path) = &sources.file {
        match read_file(path) {
            Ok(text) => File { path, text: &text, given: &mut given, mistakes: &mut mistakes }.read(),
            Err(what) => mistakes.push(Mistake { place: Place::File { path: path.clone(), line: 0 }, what }),
        }
    }
    let mut variables: Vec<_> =
        sources.variables.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        let key = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        set(&key, value, Place::Variable(name.clone()), &mut given, &mut mistakes);
    }
    if let Some(dir) = &sources.data {
        set("data.dir", &dir.to_string_lossy(), Place::Flag("--data".to_owned()), &mut given, &mut mistakes);
    }
    for text in &sources.sets {
        let place = Place::Flag(format!("--set {text}"));
        match text.split_once('=') {
            Some((key, _)) if SECRET_SETTINGS.contains(&key.trim()) => {
                // Nor is it shown once more by what is said of it.
                let place = Place::Flag(format!("--set {}", key.trim()));
                mistakes.push(Mistake::new(&place, "a command line is read by everybody here: write it to the file"));
            }
            Some((key, value)) => set(key.trim(), value.trim(), place, &mut given, &mut mistakes),
            None => mistakes.push(Mistake::new(&place, "must be key=value")),
        }
    }
    (given, mistakes)
}

fn set(key: &str, text: &str, place: Place, given: &mut Given, mistakes: &mut Vec<Mistake>) {
    match find(key) {
        None => mistakes.push(Mistake::new(&place, unknown(key))),
        Some(setting) => match setting.kind.parse(text) {
            Ok(value) => {
                given.values.insert(setting.key, (value, place));
            }
            Err(wanted) => mistakes.push(Mistake::new(&place, format!("{key} {wanted}"))),
        },
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes: is it a configuration file?"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    pub(super) given: &'a mut Given,
    mistakes: &'a mut Vec<Mistake>,
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

impl File<'_> {
    fn read(mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, format!("is not TOML: {}", error.message()));
        }
        for (key, value) in table.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("host", DeValue::Array(hosts)) => hosts.iter().for_each(|host| self.host(host)),
                ("hook", DeValue::Array(hooks)) => hooks.iter().for_each(|hook| self.hook(hook)),
                ("hook", _) => self.wrong(key.span().start, "hook must be written as [[hook]]"),
                ("component", DeValue::Array(all)) => all.iter().for_each(|component| self.component(component)),
                ("component", _) => self.wrong(key.span().start, "component must be written as [[component]]"),
                ("template", DeValue::Array(templates)) => {
                    templates.iter().for_each(|template| self.template(template));
                }
                ("template", _) => self.wrong(key.span().start, "template must be written as [[template]]"),
                ("host", _) => self.wrong(key.span().start, "host must be written as [[host]]"),
                (section, DeValue::Table(entries)) if is_section(section) => {
                    for (name, value) in entries {
                        self.entry(&format!("{section}.{}", name.get_ref()), (name, value));
                    }
                }
                (section, _) if is_section(section) => {
                    self.wrong(key.span().start, format!("{section} must be written as [{section}]"));
                }
                (other, _) => self.wrong(key.span().start, unknown(other)),
            }
        }
    }

    fn entry(&mut self, key: &str, (name, value): Entry<'_, '_>) {
        let at = name.span().start;
        let Some(setting) = find(key) else { return self.wrong(at, unknown(key)) };
        match typed(setting.kind, value.get_ref()) {
            Ok(value) => {
                let place = self.place(at);
                self.given.values.insert(setting.key, (value, place));
            }
            Err(wanted) => self.wrong(at, format!("{key} {wanted}")),
        }
    }

    fn host(&mut self, host: &Spanned<DeValue<'_>>) {
        let at = host.span().start;
        let DeValue::Table(entries) = host.get_ref() else {
            return self.wrong(at, "host must be written as [[host]]");
        };
        let (mut domain, mut service, mut certificate, mut key, mut well) = (None, None, None, None, true);
        for (name, value) in entries {
            let kind = match name.get_ref().as_ref() {
                "domain" | "service" => Kind::Domain,
                "certificate" | "key" => Kind::Path,
                other => {
                    self.wrong(name.span().start, unknown(&format!("host.{other}")));
                    continue;
                }
            };
            match (typed(kind, value.get_ref()), name.get_ref().as_ref()) {
                (Ok(Value::Domain(jid)), "domain") => domain = Some(jid),
                (Ok(Value::Domain(jid)), _) => service = Some(jid),
                (Ok(Value::Path(path)), "certificate") => certificate = Some(path),
                (Ok(Value::Path(path)), _) => key = Some(path),
                (Ok(_), _) => unreachable!("a value is of the kind that was asked for"),
                (Err(wanted), _) => {
                    well = false;
                    self.wrong(name.span().start, format!("host.{} {wanted}", name.get_ref()));
                }
            }
        }
        let place = self.place(at);
        match domain {
            Some(domain) => self.given.hosts.push(GivenHost { domain, service, certificate, key, place }),
            None if well => self.wrong(at, "[[host]] needs a domain"),
            None => {}
        }
    }

    fn component(&mut self, component: &Spanned<DeValue<'_>>) {
        let at = component.span().start;
        let DeValue::Table(entries) = component.get_ref() else {
            return self.wrong(at, "component must be written as [[component]]");
        };
        let (mut domain, mut secret) = (None, None);
        for (name, value) in entries {
            let (wanted, kind) = match name.get_ref().as_ref() {
                "domain" => (&mut domain, Kind::Domain),
                "secret" => (&mut secret, Kind::Text),
                other => {
                    self.wrong(name.span().start, unknown(&format!("component.{other}")));
                    continue;
                }
            };
            match typed(kind, value.get_ref()) {
                Ok(value) => *wanted = Some(value),
                Err(wanted) => self.wrong(name.span().start, format!("component.{} {wanted}", name.get_ref())),
            }
        }
        match (domain, secret) {
            (Some(Value::Domain(domain)), Some(Value::Text(secret))) => {
                let (served, place) = (Served { domain, secret: Secret::new(secret) }, self.place(at));
                self.given.components.push(GivenComponent { served, place });
            }
            _ => self.wrong(at, "[[component]] needs a domain and a secret"),
        }
    }

    fn template(&mut self, template: &Spanned<DeValue<'_>>) {
        let at = template.span().start;
        let DeValue::Table(entries) = template.get_ref() else {
            return self.wrong(at, "template must be written as [[template]]");
        };
        let (mut matching, mut creators, mut auto_create, mut config) = (None, Vec::new(), true, Vec::new());
        for (name, value) in entries {
            let name_at = name.span().start;
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("match", DeValue::String(glob)) if !glob.is_empty() => matching = Some(Glob(Arc::from(glob.as_ref()))),
                ("match", _) => self.wrong(name_at, "template.match must be text in quotes, such as \"orders/*\""),
                ("creators", DeValue::Array(globs)) => match globs.iter().map(text_of).collect::<Option<Vec<_>>>() {
                    Some(globs) => creators = globs.into_iter().map(|glob| Glob(Arc::from(glob))).collect(),
                    None => self.wrong(name_at, CREATORS),
                },
                ("creators", _) => self.wrong(name_at, CREATORS),
                ("auto_create", value) => match typed(Kind::Flag, value) {
                    Ok(value) => auto_create = value == Value::Flag(true),
                    Err(wanted) => self.wrong(name_at, format!("template.auto_create {wanted}")),
                },
                ("config", DeValue::Table(fields)) => {
                    for (name, value) in fields {
                        match values_of(value) {
                            Some(values) => config.push(RawField { name: name.get_ref().to_string(), values }),
                            None => {
                                self.wrong(name.span().start, format!("template.config.{} {VALUES}", name.get_ref()))
                            }
                        }
                    }
                }
                ("config", _) => self.wrong(name_at, "template.config must be written as [template.config]"),
                (other, _) => self.wrong(name_at, unknown(&format!("template.{other}"))),
            }
        }
        let place = self.place(at);
        match matching {
            Some(matching) => {
                let template = Template { matching, creators, auto_create, config };
                self.given.templates.push(GivenTemplate { template, place });
            }
            None => self.wrong(at, "[[template]] needs a match"),
        }
    }

    pub(super) fn wrong(&mut self, at: usize, what: impl Into<String>) {
        let mistake = Mistake::new(&self.place(at), what);
        self.mistakes.push(mistake);
    }

    fn place(&self, at: usize) -> Place {
        let line = self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        Place::File { path: self.path.to_path_buf(), line }
    }
}

/// A value of a file must be of its setting's type: a number in quotes is a mistake.
fn typed(kind: Kind, value: &DeValue<'_>) -> Result<Value, String> {
    match (kind, value) {
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Count { min, max }, DeValue::Integer(integer)) => {
            match u64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(count) if (min..=max).contains(&count) => Ok(Value::Count(count)),
                _ => Err(kind.wanted()),
            }
        }
        (Kind::Flag | Kind::Count { .. }, other) => Err(format!("{}, not {}", kind.wanted(), named(other))),
        (_, DeValue::String(text)) => kind.parse(text),
        (_, other) => Err(format!("{}, not {}", kind.wanted(), named(other))),
    }
}

fn text_of<'a>(value: &'a Spanned<DeValue<'_>>) -> Option<&'a str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text),
        _ => None,
    }
}

/// The values of a field of a configuration, as a form would bear them.
fn values_of(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    Some(match value.get_ref() {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Boolean(flag) => vec![if *flag { "1" } else { "0" }.to_owned()],
        DeValue::Integer(number) if number.radix() == 10 => vec![number.as_str().to_owned()],
        DeValue::Array(texts) => texts.iter().map(|text| text_of(text).map(str::to_owned)).collect::<Option<_>>()?,
        _ => return None,
    })
}

fn named(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text in quotes",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.key == key)
}

fn is_section(name: &str) -> bool {
    settings().any(|setting| setting.key.split_once('.').is_some_and(|(section, _)| section == name))
}

fn unknown(key: &str) -> String {
    let shown: String = key.chars().take(KEY_CHARS_SHOWN).collect();
    let sections = settings().filter_map(|setting| setting.key.split_once('.').map(|(section, _)| section));
    let keys = settings().map(|setting| setting.key).chain([
        "host",
        "host.domain",
        "host.service",
        "host.certificate",
        "host.key",
        "component",
        "component.domain",
        "component.secret",
        "template",
        "template.match",
        "template.creators",
        "template.auto_create",
        "template.config",
    ]);
    let candidates: Vec<&str> =
        if key.contains('.') { keys.collect() } else { sections.chain(["host", "template"]).collect() };
    let near = candidates.into_iter().map(|candidate| (distance(&shown, candidate), candidate)).min();
    match near {
        Some((far, candidate)) if far <= TYPO_EDITS_MAX.min(shown.chars().count() / LETTERS_FOR_AN_EDIT) => {
            format!("there is no setting {shown}; is it {candidate}?")
        }
        _ => format!("there is no setting {shown}"),
    }
}

/// Levenshtein's distance: how many letters must be added, dropped or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A file of settings is a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

const CREATORS: &str = "template.creators must be a list of addresses in quotes, such as [\"*@example.org\"]";
const VALUES: &str = "must be text in quotes, a whole number, true or false, or a list of texts";

const KEY_CHARS_SHOWN: usize = 80;

/// Beyond it, another setting was meant than any that there is.
const TYPO_EDITS_MAX: usize = 3;
/// A short word is near to every other one.
const LETTERS_FOR_AN_EDIT: usize = 3;
