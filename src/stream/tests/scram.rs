//! SCRAM against the vectors of its specifications, and against clients that cheat.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::*;
use crate::stream::sasl::scram::{AwaitsProof, ClientFirst, offered_text};

/// RFC 5802 §3, with the fewest iterations that RFC 5802 §5.1 wants.
pub(super) fn keys(hash: ScramHash, password: &[u8], salt: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut salted = vec![0; hmac_of(hash, b"", b"").len()];
    match hash {
        ScramHash::Sha1 => pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, ITERATIONS, &mut salted).unwrap(),
        ScramHash::Sha256 => pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, ITERATIONS, &mut salted).unwrap(),
        ScramHash::Sha512 => pbkdf2::pbkdf2::<Hmac<Sha512>>(password, salt, ITERATIONS, &mut salted).unwrap(),
    }
    (hmac_of(hash, &salted, b"Client Key"), hmac_of(hash, &salted, b"Server Key"))
}

pub(super) fn offer(hash: ScramHash, password: &[u8], salt: &[u8], real: bool) -> ScramOffer {
    let (client_key, server_key) = keys(hash, password, salt);
    ScramOffer {
        salt: salt.to_vec(),
        iterations: ITERATIONS,
        stored_key: digest_of(hash, &client_key),
        server_key,
        real,
        nonce: SERVER_NONCE.to_owned(),
    }
}

/// The proof that a client with this password makes.
pub(super) fn proof(hash: ScramHash, password: &[u8], salt: &[u8], auth_message: &str) -> String {
    let (client_key, _) = keys(hash, password, salt);
    let signature = hmac_of(hash, &digest_of(hash, &client_key), auth_message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(k, s)| k ^ s).collect();
    STANDARD.encode(proof)
}

#[test]
fn the_vectors_of_rfc_5802_and_rfc_7677() {
    for (hash, salt, server_nonce, first, challenge, last, end) in [
        (
            ScramHash::Sha1,
            "QSXCR+Q6sek8bf92",
            "3rfcNHYJY1ZVvWVs7j",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            ScramHash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ] {
        let offer = ScramOffer {
            nonce: server_nonce.to_owned(),
            ..offer(hash, b"pencil", &STANDARD.decode(salt).unwrap(), true)
        };
        let client = parse(first.as_bytes()).unwrap();
        assert_eq!(client.username, "user");
        let (said, exchange) = client.challenge(hash, offer, None);
        assert_eq!(String::from_utf8(said).unwrap(), challenge);
        assert_eq!(String::from_utf8(exchange.finish(last.as_bytes()).unwrap()).unwrap(), end);
    }
}

#[test]
fn the_first_message_is_read_as_rfc_5802_writes_it() {
    use SaslCondition::{MalformedRequest, NotAuthorized};
    for (message, outcome) in [
        ("n,,n=user,r=abc", Ok(("user", None))),
        ("y,,n=user,r=abc", Ok(("user", None))),
        ("n,a=user@h,n=user,r=abc", Ok(("user", Some("user@h")))),
        ("n,,n=a=2Cb=3Dc,r=abc", Ok(("a,b=c", None))),
        ("n,a=a=2Cb,n==3D2C,r=abc", Ok(("=2C", Some("a,b")))),
        ("n,,n=user,r=abc,x=optional,y=a=b", Ok(("user", None))),
        // No channel binding is offered, of whatever type.
        ("p=tls-unique,,n=user,r=abc", Err(NotAuthorized)),
        ("p=tls-exporter,,n=user,r=abc", Err(NotAuthorized)),
        // Mandatory extensions, in both places.
        ("n,,m=x,n=user,r=abc", Err(NotAuthorized)),
        ("n,,n=user,r=abc,m=x", Err(NotAuthorized)),
        // Nonces that are none.
        ("n,,n=user,r=", Err(NotAuthorized)),
        ("n,,n=user,r=a b", Err(NotAuthorized)),
        ("n,,n=user,r=é", Err(NotAuthorized)),
        // What breaks the grammar.
        ("", Err(MalformedRequest)),
        ("n", Err(MalformedRequest)),
        ("n,", Err(MalformedRequest)),
        ("n,,", Err(MalformedRequest)),
        ("n,,n=user", Err(MalformedRequest)),
        ("n,,r=abc,n=user", Err(MalformedRequest)),
        ("n,,n=,r=abc", Err(MalformedRequest)),
        ("n,,n=a=b,r=abc", Err(MalformedRequest)),
        ("n,,n=a=2c,r=abc", Err(MalformedRequest)),
        ("n,,n=a=,r=abc", Err(MalformedRequest)),
        ("n,,n=a\0b,r=abc", Err(MalformedRequest)),
        ("n,a=,n=user,r=abc", Err(MalformedRequest)),
        ("n,user@h,n=user,r=abc", Err(MalformedRequest)),
        ("x,,n=user,r=abc", Err(MalformedRequest)),
        ("N,,n=user,r=abc", Err(MalformedRequest)),
        ("p,,n=user,r=abc", Err(MalformedRequest)),
        ("n=x,,n=user,r=abc", Err(MalformedRequest)),
        ("n,,n=user,r=abc,", Err(MalformedRequest)),
        ("n,,n=user,r=abc,1=x", Err(MalformedRequest)),
        ("n,,n=user,r=abc,x=", Err(MalformedRequest)),
        ("n,,n=user,r=abc,n=other", Err(MalformedRequest)),
    ] {
        let read = parse(message.as_bytes());
        let read = read.as_ref().map(|first| (first.username.as_str(), first.authzid.as_deref())).map_err(|e| *e);
        assert_eq!(read, outcome, "{message}");
    }
    assert_eq!(parse(b"n,,n=\xff,r=abc").err(), Some(MalformedRequest));
}

#[test]
fn the_last_message_must_fit_in_every_part() {
    use SaslCondition::{MalformedRequest, NotAuthorized};
    let nonce = format!("abc{SERVER_NONCE}");
    let (start, salt, password) = ("n,,n=alice,r=abc", b"salt of sixteen!", PASSWORD.as_bytes());
    let begin = |real: bool| -> (String, AwaitsProof) {
        let offer = offer(ScramHash::Sha256, password, salt, real);
        let (challenge, exchange) = parse(start.as_bytes()).unwrap().challenge(ScramHash::Sha256, offer, None);
        (String::from_utf8(challenge).unwrap(), exchange)
    };
    // Each message bears the proof that belongs to it, so that only what is named is wrong.
    let proved = |without_proof: &str, password: &[u8]| {
        let auth_message = format!("n=alice,r=abc,{},{without_proof}", begin(true).0);
        format!("{without_proof},p={}", proof(ScramHash::Sha256, password, salt, &auth_message))
    };
    let right = proved(&format!("c=biws,r={nonce}"), password);
    let with_extension = proved(&format!("c=biws,r={nonce},x=optional"), password);
    for message in [&right, &with_extension] {
        assert!(begin(true).1.finish(message.as_bytes()).unwrap().starts_with(b"v="), "{message}");
        assert_eq!(begin(false).1.finish(message.as_bytes()).err(), Some(NotAuthorized), "decoy: {message}");
    }
    let half = format!("c=biws,r={nonce},p={}", STANDARD.encode([0; 16]));
    // The right proof, and more: what is compared must be all that was sent.
    let longer = {
        let (without_proof, proof) = right.rsplit_once(",p=").unwrap();
        let bytes = [STANDARD.decode(proof).unwrap(), vec![0]].concat();
        format!("{without_proof},p={}", STANDARD.encode(bytes))
    };
    let none = format!("c=biws,r={nonce},p=");
    for (message, condition) in [
        (proved(&format!("c=biws,r={nonce}"), b"wrong"), NotAuthorized),
        (proved("c=biws,r=abc", password), NotAuthorized),
        (proved(&format!("c=biws,r={SERVER_NONCE}"), password), NotAuthorized),
        (proved(&format!("c=biws,r={nonce}x"), password), NotAuthorized),
        (proved("c=biws,r=", password), NotAuthorized),
        // Another GS2 header than that of the first message: y, an authzid, binding data, nothing.
        (proved(&format!("c=eSws,r={nonce}"), password), NotAuthorized),
        (proved(&format!("c={},r={nonce}", STANDARD.encode("n,a=bob@h,")), password), NotAuthorized),
        (proved(&format!("c={},r={nonce}", STANDARD.encode("n,,data")), password), NotAuthorized),
        (proved(&format!("c=,r={nonce}"), password), NotAuthorized),
        (proved(&format!("c=biws,r={nonce},m=x"), password), NotAuthorized),
        (half, NotAuthorized),
        (longer, NotAuthorized),
        (none, NotAuthorized),
        (format!("c=biws,r={nonce}"), MalformedRequest),
        (format!("c=biws,r={nonce},p=!"), MalformedRequest),
        (format!("r={nonce},c=biws,p=AAAA"), MalformedRequest),
        (format!("{right},x=y"), MalformedRequest),
        ("p=AAAA".to_owned(), MalformedRequest),
        (String::new(), MalformedRequest),
    ] {
        assert_eq!(begin(true).1.finish(message.as_bytes()).err(), Some(condition), "{message}");
    }
}

/// The exchange of XEP-0474 §6.3, in which the client binds to what the example calls fake.
#[test]
fn the_vector_of_xep_0474() {
    let plus = Mechanism::ScramPlus(ScramHash::Sha1);
    let offered = [plus, Mechanism::Scram(ScramHash::Sha1)];
    let text = offered_text(&offered, &[Binding::Exporter, Binding::EndPoint]);
    assert_eq!(text, "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point");
    let nonce = "a09117a6-ac50-4f2f-93f1-93799c2bddf6".to_owned();
    let salt = STANDARD.decode("QSXCR+Q6sek8bf92").unwrap();
    let offer = ScramOffer { nonce, ..offer(ScramHash::Sha1, b"pencil", &salt, true) };
    let fake = Secured { exporter: Some(b"THIS IS FAKE CB DATA".to_vec()), ..Secured::default() };
    let first = b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
    let client = ClientFirst::parse(first, plus, &offered, &fake).unwrap();
    let (challenge, exchange) = client.challenge(ScramHash::Sha1, offer, Some(&text));
    assert_eq!(
        String::from_utf8(challenge).unwrap(),
        "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=QSXCR+Q6sek8bf92,i=4096,\
         h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
    );
    let last = "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
                r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
                x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=";
    assert_eq!(exchange.finish(last.as_bytes()).unwrap(), b"v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=");
    // Where nothing is announced, there is no second part (§6.1, step 3).
    assert_eq!(offered_text(&[Mechanism::Plain, Mechanism::Scram(ScramHash::Sha256)], &[]), "PLAIN\x1eSCRAM-SHA-256");
}

/// What the client binds to is compared with what this connection has, for each type and each flag.
#[test]
fn a_channel_is_bound_or_the_exchange_fails() {
    use SaslCondition::{MalformedRequest, NotAuthorized};
    let (plain, plus) = (Mechanism::Scram(ScramHash::Sha256), Mechanism::ScramPlus(ScramHash::Sha256));
    let both = Secured { exporter: Some(vec![7; 32]), end_point: Some(vec![9; 32]), ..Secured::default() };
    let only_end_point = Secured { exporter: None, ..both.clone() };
    let none = Secured::default();
    let with = [plus, plain];
    let without = [plain];
    for (flag, mechanism, offered, secured, outcome) in [
        ("p=tls-exporter", plus, &with[..], &both, Ok(())),
        ("p=tls-server-end-point", plus, &with[..], &both, Ok(())),
        ("p=tls-server-end-point", plus, &with[..], &only_end_point, Ok(())),
        ("p=tls-exporter", plus, &with[..], &only_end_point, Err(NotAuthorized)),
        ("p=tls-unique", plus, &with[..], &both, Err(NotAuthorized)),
        ("p=", plus, &with[..], &both, Err(NotAuthorized)),
        ("p", plus, &with[..], &both, Err(MalformedRequest)),
        // -PLUS must bind, and the other must not.
        ("n", plus, &with[..], &both, Err(NotAuthorized)),
        ("y", plus, &with[..], &both, Err(NotAuthorized)),
        ("p=tls-exporter", plain, &with[..], &both, Err(NotAuthorized)),
        ("n", plain, &with[..], &both, Ok(())),
        // It was offered, and somebody has hidden it.
        ("y", plain, &with[..], &both, Err(NotAuthorized)),
        ("y", plain, &without[..], &none, Ok(())),
    ] {
        let first = format!("{flag},,n=alice,r=abc");
        let read = ClientFirst::parse(first.as_bytes(), mechanism, offered, secured);
        assert_eq!(read.as_ref().map(|_| ()).map_err(|error| *error), outcome, "{flag} {mechanism:?} {secured:?}");
    }

    let salt = b"salt of sixteen!";
    let finish = |sent: &[u8], signed: &[u8]| {
        let offer = offer(ScramHash::Sha256, PASSWORD.as_bytes(), salt, true);
        let client = ClientFirst::parse(b"p=tls-exporter,,n=alice,r=abc", plus, &with, &both).unwrap();
        let (challenge, exchange) = client.challenge(ScramHash::Sha256, offer, Some("shown"));
        let last = |data: &[u8]| {
            let binding = STANDARD.encode([&b"p=tls-exporter,,"[..], data].concat());
            format!("c={binding},r=abc{SERVER_NONCE}")
        };
        let auth_message = format!("n=alice,r=abc,{},{}", String::from_utf8(challenge).unwrap(), last(signed));
        let proof = proof(ScramHash::Sha256, PASSWORD.as_bytes(), salt, &auth_message);
        exchange.finish(format!("{},p={proof}", last(sent)).as_bytes()).map(|_| ())
    };
    assert_eq!(finish(&[7; 32], &[7; 32]), Ok(()));
    // Bound to another channel, as through somebody who ends TLS and has a certificate (T7).
    assert_eq!(finish(&[8; 32], &[8; 32]), Err(NotAuthorized));
    assert_eq!(finish(&[9; 32], &[9; 32]), Err(NotAuthorized));
    assert_eq!(finish(&[], &[]), Err(NotAuthorized));
    // Signed for one channel, sent for the other.
    assert_eq!(finish(&[7; 32], &[8; 32]), Err(NotAuthorized));
}

/// Reads a first message where nothing can be bound to.
fn parse(message: &[u8]) -> Result<ClientFirst, SaslCondition> {
    let mechanism = Mechanism::Scram(ScramHash::Sha256);
    ClientFirst::parse(message, mechanism, &[mechanism, Mechanism::Plain], &Secured::default())
}

#[test]
fn keys_of_a_wrong_length_open_nothing() {
    let mut broken = offer(ScramHash::Sha256, b"pencil", b"salt", true);
    broken.stored_key.truncate(20);
    let (challenge, exchange) = parse(b"n,,n=user,r=abc").unwrap().challenge(ScramHash::Sha256, broken, None);
    let auth_message = format!("n=user,r=abc,{},c=biws,r=abc{SERVER_NONCE}", String::from_utf8(challenge).unwrap());
    let proof = proof(ScramHash::Sha256, b"pencil", b"salt", &auth_message);
    let last = format!("c=biws,r=abc{SERVER_NONCE},p={proof}");
    assert_eq!(exchange.finish(last.as_bytes()).err(), Some(SaslCondition::NotAuthorized));
}

fn hmac_of(hash: ScramHash, key: &[u8], data: &[u8]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
        mac.update(data);
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        ScramHash::Sha1 => with::<Hmac<Sha1>>(key, data),
        ScramHash::Sha256 => with::<Hmac<Sha256>>(key, data),
        ScramHash::Sha512 => with::<Hmac<Sha512>>(key, data),
    }
}

fn digest_of(hash: ScramHash, data: &[u8]) -> Vec<u8> {
    match hash {
        ScramHash::Sha1 => Sha1::digest(data).to_vec(),
        ScramHash::Sha256 => Sha256::digest(data).to_vec(),
        ScramHash::Sha512 => Sha512::digest(data).to_vec(),
    }
}

const ITERATIONS: u32 = 4096;
