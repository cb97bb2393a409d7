//! Logging in by SCRAM, since PLAIN is not offered where nothing encrypts, over carriers whose every
//! message is an element.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use tidings::xml::Element;

use crate::secrets;

/// What carries elements.
pub trait Elements {
    async fn write(&mut self, xml: &str) -> Result<(), String>;
    async fn element(&mut self) -> Result<Element, String>;
}

/// Authenticates on a stream whose features were read.
pub async fn authenticate(line: &mut impl Elements, address: SocketAddr, name: &str) -> Result<(), String> {
    let nonce = STANDARD.encode(address.to_string());
    let bare = format!("n={name},r={nonce}");
    say(line, "auth", "mechanism='SCRAM-SHA-256'", &format!("n,,{bare}")).await?;
    let challenge = heard(line, "challenge").await?;
    let part = |key: &str| {
        let found = challenge.split(',').find_map(|part| part.strip_prefix(key));
        found.map(str::to_owned).ok_or_else(|| format!("no {key} in {challenge}"))
    };
    let salt = STANDARD.decode(part("s=")?).map_err(|error| error.to_string())?;
    let iterations: u32 = part("i=")?.parse().map_err(|_| "a number of iterations")?;
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(format!("{name}-password").as_bytes(), &salt, iterations, &mut salted);
    let client_key = hmac(&salted, "Client Key");
    let without = format!("c=biws,r={}", part("r=")?);
    let signature = hmac(&Sha256::digest(client_key), &format!("{bare},{challenge},{without}"));
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect();
    say(line, "response", "", &format!("{without},p={}", STANDARD.encode(proof))).await?;
    heard(line, "success").await.map(drop)
}

async fn say(line: &mut impl Elements, name: &str, attributes: &str, data: &str) -> Result<(), String> {
    let data = STANDARD.encode(data);
    let message = format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl' {attributes}>{data}</{name}>");
    secrets::ears().overhear(&message);
    line.write(&message).await
}

async fn heard(line: &mut impl Elements, name: &str) -> Result<String, String> {
    let element = line.element().await?;
    if element.name() != name {
        return Err(format!("expected <{name}/>, got {element}"));
    }
    secrets::ears().overhear(&element.to_string());
    let data = STANDARD.decode(element.text()).map_err(|error| error.to_string())?;
    String::from_utf8(data).map_err(|error| error.to_string())
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}
