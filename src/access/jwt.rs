//! JSON Web Tokens as access tokens (RFC 9068), by the rules of RFC 8725: configured issuers only, an
//! explicit list of algorithms, keys from nowhere but the issuer's configured key set.
//!
//! What a token says of its own key (`jku`, `jwk`, `x5u`) is refused, and nothing is ever fetched
//! because of it. An account that a token names is never an administrator.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::recent::Recent;
use super::{Denied, Inner, Login, Proof, Scopes};
use crate::jid::BareJid;
use crate::time::Timestamp;

/// Somebody whose tokens are taken.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The `iss` claim, to the letter.
    pub name: String,
    /// What the `aud` claim must name.
    pub audience: String,
    pub algorithms: Vec<JwtAlgorithm>,
    /// The `typ` headers that are taken, without `application/`.
    pub types: Vec<String>,
    pub keys: KeySource,
    /// The host whose accounts a `sub` without a domain names; a `sub` with another is refused.
    pub domain: String,
    /// Whether `sub` may name an account that is not kept here.
    pub strangers: bool,
    /// Whether the `scope` claim narrows, by those of its words that are scopes of ours.
    pub scopes: bool,
}

/// Where an issuer's JSON Web Key Set (RFC 7517 §5) is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Url(String),
}

/// The algorithms that can be configured: public keys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// Fetches a document by its URL; [`KeySource::Url`] needs it. It must bound time and size.
#[derive(Clone)]
pub struct Fetch(pub Arc<dyn Fn(String) -> Fetched + Send + Sync>);

pub type Fetched = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// The issuers with their keys, and the tokens that were found right a short while ago.
pub struct Issuers {
    by_name: HashMap<String, Trusted>,
    fetch: Option<Fetch>,
    // A std mutex: held for a look-up, never across an await.
    known: Mutex<Recent<[u8; 32], Known>>,
}

struct Trusted {
    issuer: Issuer,
    // A std mutex: held to clone the pointer.
    keys: Mutex<Arc<Vec<Key>>>,
    /// When the keys were last asked for. Held while they are.
    asked: tokio::sync::Mutex<Option<Timestamp>>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<JwtAlgorithm>,
    key: DecodingKey,
}

struct Known {
    login: Login,
    until: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: serde_json::Number,
    nbf: Option<serde_json::Number>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Issuers {
    pub fn new(issuers: Vec<Issuer>, fetch: Option<Fetch>, entries_max: usize) -> Self {
        let trusted = |issuer: Issuer| Trusted { issuer, keys: Mutex::default(), asked: tokio::sync::Mutex::new(None) };
        let by_name = issuers.into_iter().map(|issuer| (issuer.name.clone(), trusted(issuer))).collect();
        Issuers { by_name, fetch, known: Mutex::new(Recent::new(entries_max)) }
    }
}

impl Inner {
    pub async fn check_jwt(&self, text: &str) -> Result<Login, Denied> {
        if self.issuers.by_name.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(Denied::Wrong);
        }
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let now = self.clock.now();
        if let Some(login) = self.known_jwt(&digest, now) {
            return Ok(login);
        }
        let parts = Parts::read(text).ok_or(Denied::Wrong)?;
        let trusted = self.issuers.by_name.get(&parts.claims.iss).ok_or(Denied::Wrong)?;
        let issuer = &trusted.issuer;
        let algorithm = parts.algorithm(issuer).ok_or(Denied::Wrong)?;
        let keys = trusted.keys_for(&parts, self.issuers.fetch.as_ref(), now).await;
        let key = find(&keys, parts.header.kid.as_deref(), algorithm).ok_or(Denied::Wrong)?;
        let right =
            jsonwebtoken::crypto::verify(parts.signature, parts.signed.as_bytes(), &key.key, algorithm.library());
        if !right.unwrap_or(false) {
            return Err(Denied::Wrong);
        }
        let expires = parts.check_claims(issuer, now)?;
        // To be taken before the store is read, so that a change in between cuts the login.
        let stamp = self.revocations.stamp(None);
        let account = account_of(&parts.claims.sub, issuer, &self.options.domains).ok_or(Denied::Wrong)?;
        match self.store.account(account.clone()).await.map_err(Denied::Failed)? {
            Some(kept) if kept.disabled => return Err(Denied::Wrong),
            None if !issuer.strangers => return Err(Denied::Wrong),
            _ => {}
        }
        let scopes = issuer.scopes.then(|| scopes_of(parts.claims.scope.as_deref().unwrap_or_default()));
        let login = Login { account, admin: false, scopes, expires: Some(expires), proof: Proof::Bearer, stamp };
        let until = now.plus_seconds(self.options.token_cache_seconds);
        let known = Known { login: login.clone(), until };
        self.issuers.known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, known);
        Ok(login)
    }

    fn known_jwt(&self, digest: &[u8; 32], now: Timestamp) -> Option<Login> {
        let mut known = self.issuers.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.find(digest)?;
        let stands = found.until > now
            && found.login.expires.is_some_and(|expires| expires > now)
            && self.revocations.stands(&found.login.account, &found.login.stamp);
        let login = stands.then(|| found.login.clone());
        if !stands {
            known.remove(digest);
        }
        login
    }
}

/// A token, read and not yet believed.
struct Parts<'a> {
    header: Header,
    claims: Claims,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Absent where it is not the compact form of a signed token (RFC 7515 §7.1) with what is needed.
    fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if signature.is_empty() || claims.contains('.') {
            return None;
        }
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        // RFC 7515 §4.1.11: nothing that must be understood is; the rest would have us trust a key
        // because the token says so.
        let Header { crit, jku, jwk, x5u, b64, .. } = &header;
        if [crit, jku, jwk, x5u, b64].into_iter().any(Option::is_some) {
            return None;
        }
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        Some(Parts { header, claims, signed, signature })
    }

    fn algorithm(&self, issuer: &Issuer) -> Option<JwtAlgorithm> {
        let algorithm = JwtAlgorithm::named(&self.header.alg)?;
        issuer.algorithms.contains(&algorithm).then_some(algorithm)
    }

    /// When it expires, if it holds now and here.
    fn check_claims(&self, issuer: &Issuer, now: Timestamp) -> Result<Timestamp, Denied> {
        let given = self.header.typ.as_deref().unwrap_or_default();
        let given = given
            .get(..APPLICATION.len())
            .filter(|head| head.eq_ignore_ascii_case(APPLICATION))
            .map_or(given, |head| &given[head.len()..]);
        let typed = issuer.types.iter().any(|known| known.eq_ignore_ascii_case(given));
        let meant = match &self.claims.aud {
            Audience::One(audience) => *audience == issuer.audience,
            Audience::Several(audiences) => audiences.contains(&issuer.audience),
        };
        if !typed || !meant {
            return Err(Denied::Wrong);
        }
        let expires = instant(&self.claims.exp).ok_or(Denied::Wrong)?;
        if expires <= now {
            return Err(Denied::Expired);
        }
        match self.claims.nbf.as_ref().map(|nbf| instant(nbf).ok_or(Denied::Wrong)).transpose()? {
            Some(begins) if begins > now.plus_seconds(LEEWAY_SECONDS) => Err(Denied::Wrong),
            _ => Ok(expires),
        }
    }
}

impl Trusted {
    /// The issuer's keys; asked for where they are not known, or the token's is not among them, at
    /// most once in [`REFRESH_SECONDS`].
    async fn keys_for(&self, parts: &Parts<'_>, fetch: Option<&Fetch>, now: Timestamp) -> Arc<Vec<Key>> {
        let has = |keys: &[Key]| match &parts.header.kid {
            Some(kid) => keys.iter().any(|key| key.id.as_ref() == Some(kid)),
            None => !keys.is_empty(),
        };
        let keys = self.keys();
        if has(&keys) {
            return keys;
        }
        let mut asked = self.asked.lock().await;
        // Others may have waited for the same answer.
        let keys = self.keys();
        if has(&keys) || asked.is_some_and(|asked| asked.plus_seconds(REFRESH_SECONDS) > now) {
            return keys;
        }
        *asked = Some(now);
        let read = match (&self.issuer.keys, fetch) {
            (KeySource::File(path), _) => tokio::fs::read(path).await.map_err(|error| error.to_string()),
            (KeySource::Url(url), Some(fetch)) => (fetch.0)(url.clone()).await,
            (KeySource::Url(_), None) => Err("there is nothing to fetch it with".to_owned()),
        };
        match read.and_then(|bytes| read_keys(&bytes)) {
            Ok(keys) => *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
            // The keys that were known stay good.
            Err(error) => tracing::warn!(%error, issuer = self.issuer.name, "the keys of an issuer cannot be read"),
        }
        self.keys()
    }

    fn keys(&self) -> Arc<Vec<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads a key set. Keys that are not for what we do are passed over (RFC 7517 §5).
fn read_keys(bytes: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    if bytes.len() > KEY_SET_BYTES_MAX {
        return Err(format!("it is longer than {KEY_SET_BYTES_MAX} bytes"));
    }
    let set: Set = serde_json::from_slice(bytes).map_err(|error| format!("it is not a key set: {error}"))?;
    let keys = set.keys.into_iter().take(KEYS_MAX);
    Ok(keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok()).filter_map(|jwk| Key::read(&jwk)).collect())
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        use JwtAlgorithm as A;
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            return None;
        }
        if common.key_operations.as_ref().is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
            return None;
        }
        let fitting: &[JwtAlgorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512],
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[A::Es256],
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => &[A::Es384],
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[A::EdDsa],
            // A secret that is shared with whoever verifies is no proof of who made a token.
            _ => return None,
        };
        let declared = common.key_algorithm.map(|declared| declared.to_string());
        let algorithms = fitting.iter().copied().filter(|algorithm| {
            declared.as_deref().is_none_or(|declared| JwtAlgorithm::named(declared) == Some(*algorithm))
        });
        let algorithms: Vec<JwtAlgorithm> = algorithms.collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Key { id: common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
    }
}

/// The key of a token: the one of its id, or the only one that would do where it names none.
fn find<'a>(keys: &'a [Key], id: Option<&str>, algorithm: JwtAlgorithm) -> Option<&'a Key> {
    let mut fitting = keys.iter().filter(|key| key.algorithms.contains(&algorithm));
    match id {
        Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

/// A `sub` is the bare JID of an account, or its local part.
fn account_of(sub: &str, issuer: &Issuer, domains: &[String]) -> Option<BareJid> {
    let text = if sub.contains('@') { sub.to_owned() } else { format!("{sub}@{}", issuer.domain) };
    let jid = BareJid::parse(&text).ok()?;
    let here = jid.domain() == issuer.domain && domains.iter().any(|domain| domain == jid.domain());
    (jid.local().is_some() && here).then_some(jid)
}

/// Those words of a `scope` claim (RFC 9068 §2.2.3) that are scopes of ours. None allows nothing.
fn scopes_of(claim: &str) -> Scopes {
    let words: Vec<&str> = claim.split(' ').filter(|word| Scopes::parse(&[word]).is_ok()).collect();
    Scopes::parse(&words).unwrap_or_default()
}

/// A NumericDate (RFC 7519 §2): seconds, with a fraction or without.
fn instant(number: &serde_json::Number) -> Option<Timestamp> {
    let seconds = number.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    Some(Timestamp((seconds * 1e6) as i64))
}

impl JwtAlgorithm {
    pub const NAMES: [&str; ALGORITHMS.len()] = {
        let mut names = [""; ALGORITHMS.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = ALGORITHMS[at].0;
            at += 1;
        }
        names
    };

    pub fn named(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|(known, ..)| *known == name).map(|(_, algorithm, _)| *algorithm)
    }

    fn library(self) -> Algorithm {
        let row = ALGORITHMS.iter().find(|(_, algorithm, _)| *algorithm == self);
        row.map(|(.., library)| *library).expect("every algorithm has its row")
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

const ALGORITHMS: &[(&str, JwtAlgorithm, Algorithm)] = &[
    ("RS256", JwtAlgorithm::Rs256, Algorithm::RS256),
    ("RS384", JwtAlgorithm::Rs384, Algorithm::RS384),
    ("RS512", JwtAlgorithm::Rs512, Algorithm::RS512),
    ("PS256", JwtAlgorithm::Ps256, Algorithm::PS256),
    ("PS384", JwtAlgorithm::Ps384, Algorithm::PS384),
    ("PS512", JwtAlgorithm::Ps512, Algorithm::PS512),
    ("ES256", JwtAlgorithm::Es256, Algorithm::ES256),
    ("ES384", JwtAlgorithm::Es384, Algorithm::ES384),
    ("EdDSA", JwtAlgorithm::EdDsa, Algorithm::EdDSA),
];

const APPLICATION: &str = "application/";
/// A token travels in a head of at most 16 KiB.
const TEXT_BYTES_MAX: usize = 8 * 1024;
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 64;
/// Between two readings of an issuer's keys, whatever tokens name.
const REFRESH_SECONDS: i64 = 60;
/// By how much an issuer's clock may be ahead.
const LEEWAY_SECONDS: i64 = 5;
/// Later than any token should live, and well within what a timestamp holds.
const SECONDS_MAX: f64 = 1e11;

#[cfg(test)]
mod tests;
