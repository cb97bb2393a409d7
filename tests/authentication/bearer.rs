//! OAUTHBEARER with a JSON Web Token of an issuer that is trusted (RFC 7628, RFC 9068): by the rules of
//! HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tidings::xml::Element;

use crate::client::{Client, Hello, SASL2};
use crate::house::House;

const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'/>";

/// A house that trusts one issuer, and that issuer's key.
async fn house() -> (House, EncodingKey) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "alg": "EdDSA", "x": x}]});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), keys.to_string()).unwrap();
    let path = file.into_temp_path().keep().unwrap();
    let set = format!("jwt.keys={}", path.display());
    let house = House::open(&["jwt.issuer=https://issuer.example", "jwt.audience=tidings", &set]).await;
    (house, EncodingKey::from_ed_der(&pair.serialize_der()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(seconds: u64) -> Value {
    json!({"iss": "https://issuer.example", "sub": "alice", "aud": "tidings", "exp": now() + seconds, "iat": now()})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn sign(key: &EncodingKey, claims: &Value) -> String {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, Algorithm::EdDSA).unwrap();
    format!("{signed}.{signature}")
}

/// What a server says at the end of a handshake with this token.
async fn bear(house: &House, token: &str) -> (Client, Element) {
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let message = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
    let mut answer = client.authenticate("OAUTHBEARER", message.as_bytes(), BIND).await.unwrap();
    if answer.is("challenge", SASL2) {
        // RFC 7628 §3.2.3: the client says that it has seen why.
        client.send("<response xmlns='urn:xmpp:sasl:2'>AQ==</response>").await.unwrap();
        answer = client.next().await.unwrap();
    }
    (client, answer)
}

#[tokio::test]
async fn a_token_for_us_opens_its_account_until_it_expires() {
    let (house, key) = house().await;
    let (mut client, success) = bear(&house, &sign(&key, &claims(5))).await;
    let who = success.child("authorization-identifier", SASL2).map(Element::text).unwrap_or_default();
    assert!(who.starts_with("alice@localhost/"), "{success}");
    client.next().await.unwrap();
    client.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.unwrap();
    assert_eq!(client.next().await.unwrap().attr("id"), Some("p"));
    let error = client.next().await.unwrap();
    assert!(error.child("not-authorized", "urn:ietf:params:xml:ns:xmpp-streams").is_some(), "{error}");
    let text = error.child("text", "urn:ietf:params:xml:ns:xmpp-streams").map(Element::text).unwrap_or_default();
    assert!(text.contains("expired"), "{error}");
}

#[tokio::test]
async fn a_token_that_is_not_for_us_or_nobody_s_opens_nothing() {
    let (house, key) = house().await;
    let stranger =
        EncodingKey::from_ed_der(&rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_der());
    let right = claims(600);
    for (why, token) in [
        ("another issuer", sign(&key, &with(right.clone(), "iss", json!("https://other.example")))),
        ("another audience", sign(&key, &with(right.clone(), "aud", json!("another")))),
        ("expired", sign(&key, &with(right.clone(), "exp", json!(now() - 600)))),
        ("not yet", sign(&key, &with(right.clone(), "nbf", json!(now() + 600)))),
        ("no account", sign(&key, &with(right.clone(), "sub", json!("nobody")))),
        ("another host", sign(&key, &with(right.clone(), "sub", json!("alice@elsewhere.example")))),
        ("another key", sign(&stranger, &right)),
        ("no signature", sign(&key, &right).rsplit_once('.').unwrap().0.to_owned() + "."),
    ] {
        let (_, answer) = bear(&house, &token).await;
        assert!(answer.is("failure", SASL2), "{why}: {answer}");
    }
    let (_, answer) = bear(&house, &sign(&key, &right)).await;
    assert!(answer.is("success", SASL2), "{answer}");
}
