//! Secrets that must not be seen, and whether they were (security row L3).
//!
//! Every secret that a test uses is kept in its `Ears`, which also hold the log, written at the most
//! detailed level. What others are shown is looked through for all of them, as they are and in the
//! forms in which they could slip out.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use tracing_subscriber::fmt::format::FmtSpan;

/// The secrets of a test, and what the server has logged meanwhile.
#[derive(Default)]
pub struct Ears {
    secrets: Mutex<BTreeSet<Vec<u8>>>,
    /// Those of them that the store must not hold either.
    unstored: Mutex<BTreeSet<Vec<u8>>>,
    log: Mutex<Vec<u8>>,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Ears>>> = const { RefCell::new(None) };
}

/// Those of threads that have none of their own.
static COMMON: LazyLock<Arc<Ears>> = LazyLock::new(Arc::default);
static LISTENING: Once = Once::new();

/// The ears of this thread.
pub fn ears() -> Arc<Ears> {
    OWN.with_borrow(Clone::clone).unwrap_or_else(|| COMMON.clone())
}

/// From here on this thread has ears of its own.
pub fn lend(ears: &Arc<Ears>) {
    OWN.set(Some(ears.clone()));
}

/// From here on this thread has ears of its own, and keeps those that it has.
pub fn own() {
    OWN.with_borrow_mut(|own| _ = own.get_or_insert_default());
}

/// From here on everything that this process logs is heard, and so is what it says when it panics.
pub fn listen() {
    LISTENING.call_once(|| {
        let everything = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::NEW)
            .with_ansi(false)
            .with_writer(|| Hearing);
        everything.init();
        let said = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            ears().hear(panic.to_string().as_bytes());
            said(panic);
        }));
    });
}

struct Hearing;

impl io::Write for Hearing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ears().hear(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ears {
    pub fn hear(&self, bytes: &[u8]) {
        held(&self.log).extend_from_slice(bytes);
    }

    /// A secret. What is too short to be told from other text is none.
    pub fn keep(&self, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        if secret.len() >= SHORT {
            held(&self.secrets).insert(secret.to_vec());
        }
    }

    /// A secret that nobody has to know again, the store among them.
    pub fn keep_unstored(&self, secret: impl AsRef<[u8]>) {
        self.keep(&secret);
        held(&self.unstored).insert(secret.as_ref().to_vec());
    }

    /// A private key, as PEM.
    pub fn keep_key(&self, pem: &str) {
        for line in pem.lines().filter(|line| !line.starts_with('-') && line.len() > 40) {
            self.keep(line);
            // The first bytes of a key say of what kind it is.
            if let Ok(bytes) = STANDARD.decode(line) {
                self.keep(&bytes[bytes.len() / 2..]);
            }
        }
    }

    /// What XML bears that is secret, in either direction: messages of SASL, handshakes of components,
    /// passwords, tokens, and the ids by which sessions are taken over.
    pub fn overhear(&self, xml: &str) {
        for name in MESSAGES {
            for after in xml.split(&format!("<{name}")).skip(1) {
                let Some((head, rest)) = after.split_once('>') else { continue };
                let content = rest.split('<').next().unwrap_or_default();
                if !head.ends_with('/') && (head.is_empty() || head.starts_with([' ', '\n'])) {
                    self.keep_message(content.trim());
                }
            }
        }
        for begin in ATTRIBUTES {
            for after in xml.split(begin).skip(1) {
                let quote = after.chars().next().unwrap_or_default();
                self.keep(after.get(1..).and_then(|value| value.split(quote).next()).unwrap_or_default());
            }
        }
        for field in xml.split("<field").skip(1).filter(|field| field.contains("var='password")) {
            let value = field.split_once("<value>").and_then(|(_, value)| value.split('<').next());
            self.keep(value.unwrap_or_default());
        }
    }

    /// A message of SASL, and the proofs, passwords and tokens in it.
    fn keep_message(&self, text: &str) {
        self.keep(text);
        let Ok(message) = STANDARD.decode(text) else { return };
        self.keep(&message);
        let Ok(message) = std::str::from_utf8(&message) else { return };
        for part in message.split(',') {
            self.keep(part.strip_prefix("p=").or(part.strip_prefix("v=")).unwrap_or_default());
        }
        if let Some((_, last)) = message.rsplit_once('\0') {
            self.keep(last);
        }
        if let Some((_, bearer)) = message.split_once("auth=Bearer ") {
            self.keep(bearer.trim_end_matches('\u{1}'));
        }
    }

    /// What JSON bears under a name that says so.
    pub fn overhear_json(&self, json: &[u8]) {
        fn walk(ears: &Ears, value: &serde_json::Value) {
            match value {
                serde_json::Value::Object(members) => {
                    for (name, value) in members {
                        match value {
                            serde_json::Value::String(text) if SECRET_MEMBERS.contains(&name.as_str()) => {
                                ears.keep(text);
                            }
                            value => walk(ears, value),
                        }
                    }
                }
                serde_json::Value::Array(values) => values.iter().for_each(|value| walk(ears, value)),
                _ => {}
            }
        }
        if let Ok(value) = serde_json::from_slice(json) {
            walk(self, &value);
        }
    }

    /// Looks through what somebody is shown.
    pub fn check(&self, what: &str, shown: &[u8]) -> Result<(), String> {
        find(&held(&self.secrets), what, shown)
    }

    /// Looks through files of the store.
    pub fn check_stored(&self, what: &str, bytes: &[u8]) -> Result<(), String> {
        find(&held(&self.unstored), what, bytes)
    }

    /// Looks through all that was logged, by threads without ears as well.
    pub fn check_log(&self) -> Result<(), String> {
        let log = held(&self.log).clone();
        self.check("the log", &log)?;
        if std::ptr::eq(self, &raw const **COMMON) {
            return Ok(());
        }
        let log = held(&COMMON.log).clone();
        self.check("the log", &log)
    }
}

/// What an error shows must not hold a secret; what a successful answer shows may be one.
pub fn is_error(xml: &str) -> bool {
    let head = xml.split('>').next().unwrap_or_default();
    ["type='error'", "type=\"error\""].iter().any(|error| head.contains(error))
        || ["<error", "<stream:error", "<failure", "<failed"].iter().any(|error| head.starts_with(error))
}

fn find(secrets: &BTreeSet<Vec<u8>>, what: &str, shown: &[u8]) -> Result<(), String> {
    let mut begins: HashMap<u64, Vec<&[u8]>> = HashMap::new();
    // Says of most places, without a look at the table, that nothing begins there.
    let mut may_begin = vec![false; 1 << 16];
    let forms: BTreeSet<Vec<u8>> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    for form in forms.iter().filter(|form| form.len() >= SHORT) {
        let begin = form[..SHORT].iter().fold(0, |begin, byte| begin << 8 | u64::from(*byte));
        begins.entry(begin).or_default().push(form);
        may_begin[begin as usize & 0xffff] = true;
    }
    let mut last = 0;
    for (at, byte) in shown.iter().enumerate() {
        last = last << 8 | u64::from(*byte);
        if !may_begin[last as usize & 0xffff] || at + 1 < SHORT {
            continue;
        }
        let at = at + 1 - SHORT;
        let found = begins.get(&last).is_some_and(|forms| forms.iter().any(|form| shown[at..].starts_with(form)));
        if found {
            let (from, to) = (at.saturating_sub(100), shown.len().min(at + 200));
            return Err(format!("a secret stands in {what}: …{}…", String::from_utf8_lossy(&shown[from..to])));
        }
    }
    Ok(())
}

/// A secret as it may be shown: as it is, hexadecimal, base64 wherever it begins in what is encoded, as the
/// numbers of its bytes, and escaped for JSON, XML, addresses and Rust.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let lower: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![secret.to_vec(), lower.to_uppercase().into(), lower.into(), numbers.join(", ").into()];
    for before in 0..3 {
        let shifted = [&vec![0; before][..], secret].concat();
        // The characters at both ends hold bits of what stands beside the secret.
        let (from, to) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        for encoded in [STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)] {
            forms.extend(encoded.as_bytes().get(from..to).map(<[u8]>::to_vec));
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let json = serde_json::Value::from(text).to_string();
        forms.push(json.trim_matches('"').into());
        forms.push(format!("{text:?}").trim_matches('"').into());
        let xml = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        forms.push(xml.replace('\'', "&apos;").replace('"', "&quot;").into());
        forms.push(xml.into());
        let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let percent = |byte: &u8| if kept(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
        forms.push(text.as_bytes().iter().map(percent).collect::<String>().into());
    }
    forms
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Elements whose text is a secret.
const MESSAGES: &[&str] =
    &["auth", "response", "challenge", "initial-response", "success", "additional-data", "handshake", "password"];
/// What attributes whose value is a secret begin with.
const ATTRIBUTES: &[&str] = &[" token=", " sid=", " previd="];
const SECRET_MEMBERS: &[&str] = &["password", "secret", "token", "ticket", "credential"];
/// Bytes of the shortest secret.
const SHORT: usize = 8;
