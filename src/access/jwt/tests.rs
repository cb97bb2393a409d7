use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::EncodingKey;
use serde_json::json;

use super::*;
use crate::access::{Access, NewPassword, NewUser, Options};
use crate::store::memory::MemoryStore;
use crate::time::Clock;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: i64 = 1_000_000;

/// A clock that is set by hand.
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// An issuer's key, as it signs and as it is published.
struct Signer {
    key: EncodingKey,
    public: Value,
}

impl Signer {
    fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
        let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "alg": "EdDSA", "x": x});
        Signer { key: EncodingKey::from_ed_der(&pair.serialize_der()), public }
    }

    /// A token of exactly this header and these claims.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::EdDSA).unwrap();
        format!("{signed}.{signature}")
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "sub": "alice", "aud": "tidings", "exp": NOW + 600, "nbf": NOW})
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

fn issuer(keys: KeySource) -> Issuer {
    Issuer {
        name: "https://issuer.example".to_owned(),
        audience: "tidings".to_owned(),
        algorithms: vec![JwtAlgorithm::EdDsa, JwtAlgorithm::Rs256, JwtAlgorithm::Es256],
        types: vec!["at+jwt".to_owned()],
        keys,
        domain: "localhost".to_owned(),
        strangers: false,
        scopes: false,
    }
}

/// Access with one issuer, whose keys come by URL and whose fetches are counted.
struct Stage {
    access: Access,
    clock: Arc<Hand>,
    fetched: Arc<AtomicUsize>,
    published: Arc<Mutex<Vec<Value>>>,
}

impl Stage {
    async fn open(change: impl FnOnce(&mut Issuer)) -> Self {
        let published = Arc::new(Mutex::new(vec![]));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (served, count) = (published.clone(), fetched.clone());
        let fetch = Fetch(Arc::new(move |url: String| {
            assert_eq!(url, "https://issuer.example/keys", "no other URL is ever fetched");
            count.fetch_add(1, Ordering::Relaxed);
            let set = json!({"keys": *served.lock().unwrap()}).to_string().into_bytes();
            Box::pin(async move { Ok(set) })
        }));
        let mut issuer = issuer(KeySource::Url("https://issuer.example/keys".to_owned()));
        change(&mut issuer);
        let clock = Arc::new(Hand(Mutex::new(Timestamp::from_seconds(NOW))));
        let options =
            Options { issuers: vec![issuer], fetch: Some(fetch), scram_iterations: 4096, ..Options::default() };
        let access = Access::new(Arc::new(MemoryStore::new()), clock.clone(), options);
        for name in ["alice", "root"] {
            let password = NewPassword::Chosen("secret".to_owned());
            access.add_user(NewUser { name: name.to_owned(), password, admin: true, verifier: None }).await.unwrap();
        }
        Stage { access, clock, fetched, published }
    }

    fn publish(&self, keys: &[&Signer]) {
        *self.published.lock().unwrap() = keys.iter().map(|signer| signer.public.clone()).collect();
    }

    fn fetches(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn pass(&self, seconds: i64) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.plus_seconds(seconds);
    }
}

#[tokio::test]
async fn a_token_of_the_issuer_speaks_for_its_subject() {
    let stage = Stage::open(|_| {}).await;
    let signer = Signer::new("k1");
    stage.publish(&[&signer]);
    for (header, claims) in [
        (header(), claims()),
        (header(), with(claims(), "sub", json!("alice@localhost"))),
        (header(), with(claims(), "aud", json!(["other", "tidings"]))),
        (header(), with(claims(), "exp", json!(NOW as f64 + 1.5))),
        (header(), without(claims(), "nbf")),
        (header(), with(claims(), "nbf", json!(NOW + 4))),
        (with(header(), "typ", json!("application/AT+JWT")), claims()),
        (without(header(), "kid"), claims()),
    ] {
        let login = stage.access.jwt(&signer.sign(&header, &claims), PEER).await.unwrap();
        assert_eq!(login.account.as_str(), "alice@localhost");
        // Whatever the account may do, an issuer makes no administrators.
        assert!(!login.admin && login.expires.is_some() && login.scopes.is_none());
    }
    assert_eq!(stage.fetches(), 1);
}

/// RFC 8725, and security rows H5 and H6: what must never be taken.
#[tokio::test]
async fn what_is_not_to_the_letter_is_refused() {
    let stage = Stage::open(|_| {}).await;
    let signer = Signer::new("k1");
    stage.publish(&[&signer]);
    let good = signer.sign(&header(), &claims());
    assert!(stage.access.jwt(&good, PEER).await.is_ok());
    let signed = |header, claims| signer.sign(&header, &claims);
    let unsigned = |alg: &str| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(with(header(), "alg", json!(alg))), part(claims()))
    };
    // Signed with the public key as if it were a secret.
    let public = URL_SAFE_NO_PAD.decode(signer.public["x"].as_str().unwrap()).unwrap();
    let confused = {
        let body = unsigned("HS256");
        let body = body.trim_end_matches('.');
        let key = EncodingKey::from_secret(&public);
        format!("{body}.{}", jsonwebtoken::crypto::sign(body.as_bytes(), &key, Algorithm::HS256).unwrap())
    };
    let (body, signature) = good.rsplit_once('.').unwrap();
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    let other = Signer::new("k1");
    let tampered = {
        let claims = URL_SAFE_NO_PAD.encode(with(claims(), "sub", json!("root")).to_string());
        let header = good.split('.').next().unwrap();
        format!("{header}.{claims}.{signature}")
    };
    let twice = {
        let header = URL_SAFE_NO_PAD.encode(header().to_string());
        let text = claims().to_string().replacen('{', "{\"sub\":\"root\",", 1);
        let body = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text));
        format!("{body}.{}", jsonwebtoken::crypto::sign(body.as_bytes(), &signer.key, Algorithm::EdDSA).unwrap())
    };
    for token in [
        unsigned("none"),
        unsigned("None"),
        unsigned("EdDSA"),
        confused,
        tampered,
        twice,
        other.sign(&header(), &claims()),
        format!("{body}.{zeros}"),
        format!("{body}."),
        format!("{body}.{}", &signature[..40]),
        format!("{good}."),
        body.to_owned(),
        ".".repeat(1 << 20),
        "..".to_owned(),
        String::new(),
        signed(with(header(), "alg", json!("ES256")), claims()),
        signed(with(header(), "alg", json!("eddsa")), claims()),
        signed(with(header(), "typ", json!("JWT")), claims()),
        signed(without(header(), "typ"), claims()),
        signed(with(header(), "kid", json!("../../x")), claims()),
        signed(with(header(), "kid", json!("k1' OR 1=1")), claims()),
        signed(with(header(), "kid", json!(1)), claims()),
        signed(with(header(), "crit", json!(["exp"])), claims()),
        signed(with(header(), "crit", json!([])), claims()),
        signed(with(header(), "b64", json!(false)), claims()),
        signed(with(header(), "jku", json!("https://evil.example/keys")), claims()),
        signed(with(header(), "x5u", json!("https://evil.example/cert")), claims()),
        signed(with(header(), "jwk", signer.public.clone()), claims()),
        signed(header(), with(claims(), "iss", json!("https://other.example"))),
        signed(header(), with(claims(), "iss", json!("https://issuer.example/"))),
        signed(header(), with(claims(), "aud", json!("other"))),
        signed(header(), with(claims(), "aud", json!([]))),
        signed(header(), with(claims(), "exp", json!("never"))),
        signed(header(), with(claims(), "exp", json!(null))),
        signed(header(), with(claims(), "exp", json!(1e300))),
        signed(header(), with(claims(), "exp", json!(-1))),
        signed(header(), with(claims(), "nbf", json!("99999999999"))),
        signed(header(), with(claims(), "nbf", json!(NOW + 60))),
        signed(header(), with(claims(), "sub", json!("bob"))),
        signed(header(), with(claims(), "sub", json!("alice@other.example"))),
        signed(header(), with(claims(), "sub", json!("alice@localhost/phone"))),
        signed(header(), with(claims(), "sub", json!(""))),
        signed(header(), with(claims(), "sub", json!("@localhost"))),
        signed(header(), without(claims(), "exp")),
        signed(header(), without(claims(), "iss")),
        signed(header(), without(claims(), "aud")),
        signed(header(), without(claims(), "sub")),
    ] {
        let shown: String = token.chars().take(300).collect();
        assert_eq!(stage.access.jwt(&token, PEER).await, Err(Denied::Wrong), "{shown}");
    }
    assert_eq!(
        stage.access.jwt(&signed(header(), with(claims(), "exp", json!(NOW))), PEER).await,
        Err(Denied::Expired)
    );
    // The keys were asked for once; what the tokens said made nobody ask again.
    assert_eq!(stage.fetches(), 1);
}

#[tokio::test]
async fn keys_are_asked_for_again_when_one_is_not_known_and_at_most_once_a_minute() {
    let stage = Stage::open(|_| {}).await;
    let (first, second) = (Signer::new("k1"), Signer::new("k2"));
    stage.publish(&[&first]);
    assert!(stage.access.jwt(&first.sign(&header(), &claims()), PEER).await.is_ok());
    stage.publish(&[&second]);
    let rotated = with(header(), "kid", json!("k2"));
    for number in 0..10 {
        let token = second.sign(&rotated, &with(claims(), "exp", json!(NOW + 600 + number)));
        assert_eq!(stage.access.jwt(&token, PEER).await, Err(Denied::Wrong));
    }
    assert_eq!(stage.fetches(), 1);
    stage.pass(60);
    assert!(stage.access.jwt(&second.sign(&rotated, &claims()), PEER).await.is_ok());
    assert_eq!(stage.fetches(), 2);
    // The key that went is no good any more.
    let token = first.sign(&header(), &with(claims(), "exp", json!(NOW + 601)));
    assert_eq!(stage.access.jwt(&token, PEER).await, Err(Denied::Wrong));
}

#[tokio::test]
async fn a_login_by_token_ends_with_its_account_and_with_its_time() {
    let stage = Stage::open(|_| {}).await;
    let signer = Signer::new("k1");
    stage.publish(&[&signer]);
    let token = signer.sign(&header(), &claims());
    let login = stage.access.jwt(&token, PEER).await.unwrap();
    assert!(stage.access.still_valid(&login));
    stage.access.set_disabled(&login.account, true).await.unwrap();
    assert!(!stage.access.still_valid(&login));
    assert_eq!(stage.access.jwt(&token, PEER).await, Err(Denied::Wrong));
    stage.access.set_disabled(&login.account, false).await.unwrap();
    let login = stage.access.jwt(&token, PEER).await.unwrap();
    stage.pass(600);
    assert!(!stage.access.still_valid(&login));
    assert_eq!(stage.access.jwt(&token, PEER).await, Err(Denied::Expired));
}

#[tokio::test]
async fn strangers_and_scopes_are_taken_where_the_issuer_is_trusted_with_them() {
    let stage = Stage::open(|issuer| (issuer.strangers, issuer.scopes) = (true, true)).await;
    let signer = Signer::new("k1");
    stage.publish(&[&signer]);
    let claims = with(claims(), "sub", json!("nobody-here"));
    for (scope, reads, publishes) in [
        (json!("openid read:orders/* profile"), true, false),
        (json!("publish:* read:*"), true, true),
        (json!("openid"), false, false),
        (json!(""), false, false),
    ] {
        let login =
            stage.access.jwt(&signer.sign(&header(), &with(claims.clone(), "scope", scope)), PEER).await.unwrap();
        let scopes = login.scopes.unwrap();
        assert_eq!((scopes.allow("read", "orders/1"), scopes.allow("publish", "orders/1")), (reads, publishes));
        assert_eq!(login.account.as_str(), "nobody-here@localhost");
    }
    let login = stage.access.jwt(&signer.sign(&header(), &claims), PEER).await.unwrap();
    assert!(!login.scopes.unwrap().allow("read", "orders/1"));
}

#[tokio::test]
async fn keys_come_from_a_file_too_and_only_those_that_verify_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let signer = Signer::new("k1");
    let bad = |name: &str, value: Value| with(signer.public.clone(), name, value);
    let set = json!({"keys": [
        {"kty": "oct", "kid": "k1", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "nonsense"},
        5,
        bad("use", json!("enc")),
        bad("key_ops", json!(["sign"])),
        bad("alg", json!("RS256")),
        signer.public,
    ]});
    std::fs::write(&path, set.to_string()).unwrap();
    assert_eq!(read_keys(set.to_string().as_bytes()).unwrap().len(), 1);
    let stage = Stage::open(|issuer| issuer.keys = KeySource::File(path)).await;
    assert!(stage.access.jwt(&signer.sign(&header(), &claims()), PEER).await.is_ok());
    for wrong in [&b"{"[..], b"[]", b"{\"keys\":5}", &vec![b' '; KEY_SET_BYTES_MAX + 1]] {
        assert!(read_keys(wrong).is_err());
    }
}
