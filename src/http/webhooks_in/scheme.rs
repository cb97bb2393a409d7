//! How senders prove that a webhook is theirs: what stands in which header, and over what it is signed.
//!
//! The raw body is verified before anything reads it, and every comparison takes the same time
//! whatever is wrong.

use std::fmt;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// A way to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// standardwebhooks.com: `v1` by HMAC, `v1a` by Ed25519.
    StandardWebhooks,
    /// `X-Hub-Signature-256`
    GitHub,
    /// `Stripe-Signature`
    Stripe,
    /// `X-Slack-Signature`
    Slack,
    /// `X-Shopify-Hmac-Sha256`
    Shopify,
    /// `X-Gitlab-Token`: the secret itself, and no signature.
    GitLab,
    /// Whatever else signs by HMAC.
    Hmac(Generic),
}

/// An HMAC scheme in the words of its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generic {
    /// Which header bears the signature, and what stands before it there.
    pub header: String,
    pub prefix: String,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    /// What is signed: text with `{body}`, and `{timestamp}` and `{id}` where headers bear them.
    pub signed: String,
    pub timestamp_header: Option<String>,
    pub id_header: Option<String>,
    pub event_header: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// A secret, or a public key; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a webhook is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// No signature, a wrong one, or one that is too old or from the future.
    Unproven(&'static str),
    /// What the headers bear is not what the scheme says.
    Malformed(&'static str),
}

/// What a sender says of a delivery whose signature is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// As the headers bear it; other schemes have it in the body.
    pub(super) id: Option<String>,
    pub(super) event: Option<String>,
    /// The time that was signed, where there was one.
    pub(super) time: Option<String>,
}

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }

    /// The key of a Standard Webhooks secret: what follows `whsec_`, or `whpk_`, in Base64.
    fn standard(&self, prefix: &str) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(&self.0).ok()?;
        STANDARD.decode(text.strip_prefix(prefix)?).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Scheme {
    /// Whether a secret can be one of this scheme; what it must look like where it cannot.
    pub fn accepts(&self, secret: &Secret) -> Result<(), &'static str> {
        match self {
            Scheme::StandardWebhooks => {
                let hmac = secret.standard("whsec_").is_some_and(|key| key.len() >= SECRET_BYTES_MIN);
                let ed25519 = secret.standard("whpk_").is_some_and(|key| key.len() == 32);
                let wanted = "whsec_ and at least 16 bytes in Base64, or whpk_ and the 32 bytes of an Ed25519 key";
                if hmac || ed25519 { Ok(()) } else { Err(wanted) }
            }
            _ if secret.0.len() < SECRET_BYTES_MIN => Err("at least 16 bytes"),
            _ => Ok(()),
        }
    }

    /// Verifies a delivery with any of the secrets: during a rotation there are two.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[Secret],
        now_seconds: i64,
        tolerance_seconds: i64,
    ) -> Result<Delivery, Rejected> {
        let fresh = |text: &str| fresh(text, now_seconds, tolerance_seconds);
        match self {
            Scheme::StandardWebhooks => standard(headers, body, secrets, fresh),
            Scheme::GitHub => {
                let signature = header(headers, "x-hub-signature-256")?;
                hex_signed(signature.strip_prefix("sha256="), body, secrets)?;
                Ok(said(headers, "x-github-delivery", "x-github-event"))
            }
            Scheme::Stripe => stripe(headers, body, secrets, fresh),
            Scheme::Slack => {
                let timestamp = header(headers, "x-slack-request-timestamp")?;
                let signature = header(headers, "x-slack-signature")?;
                hex_signed(
                    signature.strip_prefix("v0="),
                    &joined(&[b"v0:", timestamp.as_bytes(), b":", body]),
                    secrets,
                )?;
                fresh(timestamp)?;
                Ok(Delivery { time: Some(timestamp.to_owned()), ..Delivery::default() })
            }
            Scheme::Shopify => {
                let signature = STANDARD.decode(header(headers, "x-shopify-hmac-sha256")?).ok();
                signed(signature.as_deref(), body, secrets, Algorithm::Sha256)?;
                Ok(said(headers, "x-shopify-webhook-id", "x-shopify-topic"))
            }
            Scheme::GitLab => {
                let token = header(headers, "x-gitlab-token")?;
                if !secrets.iter().fold(false, |found, secret| found | same(token.as_bytes(), &secret.0)) {
                    return Err(WRONG);
                }
                Ok(said(headers, "idempotency-key", "x-gitlab-event"))
            }
            Scheme::Hmac(generic) => generic.verify(headers, body, secrets, fresh),
        }
    }
}

impl Generic {
    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[Secret],
        fresh: impl Fn(&str) -> Result<(), Rejected>,
    ) -> Result<Delivery, Rejected> {
        let optional = |name: &Option<String>| name.as_deref().map(|name| header(headers, name)).transpose();
        let (timestamp, id) = (optional(&self.timestamp_header)?, optional(&self.id_header)?);
        let text = header(headers, &self.header)?.strip_prefix(&self.prefix);
        let signature = text.and_then(|text| match self.encoding {
            Encoding::Hex => unhex(text),
            Encoding::Base64 => STANDARD.decode(text).ok(),
        });
        let mut content = vec![];
        for part in parts(&self.signed) {
            match part {
                Part::Text(text) => content.extend_from_slice(text.as_bytes()),
                Part::Named("body") => content.extend_from_slice(body),
                Part::Named("timestamp") => content.extend_from_slice(timestamp.unwrap_or("").as_bytes()),
                Part::Named("id") => content.extend_from_slice(id.unwrap_or("").as_bytes()),
                Part::Named(_) => return Err(Rejected::Malformed("the scheme names what it does not have")),
            }
        }
        signed(signature.as_deref(), &content, secrets, self.algorithm)?;
        timestamp.map_or(Ok(()), fresh)?;
        let event = self.event_header.as_deref().and_then(|name| headers.get(name)?.to_str().ok());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Delivery { id: owned(id), event: owned(event), time: owned(timestamp) })
    }
}

/// A template's parts.
pub(super) enum Part<'a> {
    Text(&'a str),
    /// What stood in braces.
    Named(&'a str),
}

/// Splits a template at its braces; one that is not closed is text.
pub(super) fn parts(template: &str) -> Vec<Part<'_>> {
    let (mut found, mut rest) = (vec![], template);
    while let Some((text, named)) = rest.split_once('{')
        && let Some((name, after)) = named.split_once('}')
    {
        found.push(Part::Text(text));
        found.push(Part::Named(name));
        rest = after;
    }
    found.push(Part::Text(rest));
    found
}

fn standard(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    fresh: impl Fn(&str) -> Result<(), Rejected>,
) -> Result<Delivery, Rejected> {
    let (id, timestamp) = (header(headers, "webhook-id")?, header(headers, "webhook-timestamp")?);
    if id.is_empty() || id.contains('.') {
        // A dot would let the parts of what is signed be told apart in two ways.
        return Err(Rejected::Malformed("webhook-id is empty or holds a dot"));
    }
    let content = joined(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    let signatures = header(headers, "webhook-signature")?.split(' ').filter(|entry| !entry.is_empty());
    let mut proven = false;
    for entry in signatures.take(SIGNATURES_MAX) {
        let Some((version, text)) = entry.split_once(',') else { continue };
        let Ok(signature) = STANDARD.decode(text) else { continue };
        for secret in secrets {
            proven |= match version {
                "v1" => {
                    secret.standard("whsec_").is_some_and(|key| verify_hmac::<Hmac<Sha256>>(&key, &content, &signature))
                }
                "v1a" => secret.standard("whpk_").is_some_and(|key| verify_ed25519(&key, &content, &signature)),
                _ => false,
            };
        }
    }
    if !proven {
        return Err(WRONG);
    }
    fresh(timestamp)?;
    Ok(Delivery { id: Some(id.to_owned()), ..Delivery::default() })
}

fn stripe(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    fresh: impl Fn(&str) -> Result<(), Rejected>,
) -> Result<Delivery, Rejected> {
    let text = header(headers, "stripe-signature")?;
    let pairs = || text.split(',').filter_map(|pair| pair.trim().split_once('='));
    let timestamp = pairs().find(|(name, _)| *name == "t").map(|(_, value)| value);
    let timestamp = timestamp.ok_or(Rejected::Unproven("Stripe-Signature has no time"))?;
    let content = joined(&[timestamp.as_bytes(), b".", body]);
    let mut proven = false;
    for (_, signature) in pairs().filter(|(name, _)| *name == "v1").take(SIGNATURES_MAX) {
        proven |= hex_signed(Some(signature), &content, secrets).is_ok();
    }
    if !proven {
        return Err(WRONG);
    }
    fresh(timestamp)?;
    Ok(Delivery::default())
}

fn hex_signed(signature: Option<&str>, content: &[u8], secrets: &[Secret]) -> Result<(), Rejected> {
    signed(signature.and_then(unhex).as_deref(), content, secrets, Algorithm::Sha256)
}

/// Whether any secret has signed the content so. All of them are tried, whichever is right.
fn signed(signature: Option<&[u8]>, content: &[u8], secrets: &[Secret], algorithm: Algorithm) -> Result<(), Rejected> {
    let signature = signature.ok_or(WRONG)?;
    let proven = secrets.iter().fold(false, |proven, Secret(key)| {
        proven
            | match algorithm {
                Algorithm::Sha1 => verify_hmac::<Hmac<Sha1>>(key, content, signature),
                Algorithm::Sha256 => verify_hmac::<Hmac<Sha256>>(key, content, signature),
                Algorithm::Sha512 => verify_hmac::<Hmac<Sha512>>(key, content, signature),
            }
    });
    if proven { Ok(()) } else { Err(WRONG) }
}

fn verify_hmac<M: Mac + KeyInit>(key: &[u8], content: &[u8], signature: &[u8]) -> bool {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(content);
    mac.verify_slice(signature).is_ok()
}

fn verify_ed25519(key: &[u8], content: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    UnparsedPublicKey::new(&ED25519, key).verify(content, signature).is_ok()
}

/// Of secrets of any length, without telling how much of one is right.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let (given, secret): ([u8; 32], [u8; 32]) = (Sha256::digest(given).into(), Sha256::digest(secret).into());
    given.ct_eq(&secret).into()
}

pub(super) fn fresh(timestamp: &str, now: i64, tolerance: i64) -> Result<(), Rejected> {
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let then: i64 = timestamp.parse().ok().filter(|_| digits).ok_or(Rejected::Unproven("the time is no number"))?;
    let off = now.abs_diff(then);
    if off <= tolerance.unsigned_abs() { Ok(()) } else { Err(Rejected::Unproven("the time is too far from now")) }
}

/// A header that stands once.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Rejected> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Rejected::Unproven("a header of the signature is missing"))?;
    if values.next().is_some() {
        return Err(Rejected::Malformed("a header of the signature stands twice"));
    }
    value.to_str().map_err(|_| Rejected::Malformed("a header of the signature is not ASCII"))
}

fn said(headers: &HeaderMap, id: &str, event: &str) -> Delivery {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Delivery { id: text(id), event: text(event), ..Delivery::default() }
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                Some((digit(*high)? << 4 | digit(*low)?) as u8)
            }
            _ => None,
        })
        .collect()
}

pub(super) const WRONG: Rejected = Rejected::Unproven("the signature is not right");
/// Signatures of one delivery that are looked at.
pub(super) const SIGNATURES_MAX: usize = 16;
const SECRET_BYTES_MIN: usize = 16;
