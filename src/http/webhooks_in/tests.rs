//! The schemes, held to the vectors of the contract and of the senders.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scheme::*;
use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(text.as_bytes().to_vec())).collect()
}

/// A scheme, its secret, a delivery that is right at a time, and which header is the signature.
type Vector<'a> = (Scheme, &'a str, Vec<(&'a str, &'a str)>, &'a [u8], i64, &'a str);

/// The vectors of the contract, and of the documentation of GitHub, Slack and Standard Webhooks.
fn vectors() -> Vec<Vector<'static>> {
    let slack = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
        channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=\
        https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=\
        398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    vec![
        (
            Scheme::StandardWebhooks,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            vec![
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ],
            b"{\"test\": 2432232314}",
            1_614_265_330,
            "webhook-signature",
        ),
        (
            Scheme::GitHub,
            "It's a Secret to Everybody",
            vec![("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")],
            b"Hello, World!",
            0,
            "x-hub-signature-256",
        ),
        (
            Scheme::Stripe,
            "whsec_test_secret",
            vec![(
                "stripe-signature",
                "t=1700000000,v1=0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd,v0=6ffb",
            )],
            b"{\"id\":\"evt_1\",\"object\":\"event\"}",
            1_700_000_000,
            "stripe-signature",
        ),
        (
            Scheme::Slack,
            "8f742231b10e8888abcd99yyyzzz85a5",
            vec![
                ("x-slack-request-timestamp", "1531420618"),
                ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ],
            slack,
            1_531_420_618,
            "x-slack-signature",
        ),
        (
            Scheme::Shopify,
            "shpss_test_secret",
            vec![("x-shopify-hmac-sha256", "K2XDCjoIIQnsCAW9wJNjHt4VwaiFCMoHAkXVA+JPSq0=")],
            b"{\"id\":1}",
            0,
            "x-shopify-hmac-sha256",
        ),
        (
            Scheme::GitLab,
            "a token of gitlab's",
            vec![("x-gitlab-token", "a token of gitlab's")],
            b"{}",
            0,
            "x-gitlab-token",
        ),
        (
            // RFC 4231 §4.3.
            Scheme::Hmac(generic(Algorithm::Sha512, Encoding::Hex, "{body}", None)),
            "Jefe",
            vec![(
                "x-signature",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
            )],
            b"what do ya want for nothing?",
            0,
            "x-signature",
        ),
    ]
}

fn generic(algorithm: Algorithm, encoding: Encoding, signed: &str, timestamp_header: Option<&str>) -> Generic {
    Generic {
        header: "x-signature".to_owned(),
        prefix: String::new(),
        algorithm,
        encoding,
        signed: signed.to_owned(),
        timestamp_header: timestamp_header.map(str::to_owned),
        id_header: None,
        event_header: None,
    }
}

#[test]
fn what_a_sender_has_signed_is_taken_and_nothing_else() {
    for (scheme, secret, pairs, body, now, signature) in vectors() {
        let good = headers(&pairs);
        let secret = secrets(&[secret]);
        let verify =
            |headers: &HeaderMap, body: &[u8], secrets: &[Secret], now| scheme.verify(headers, body, secrets, now, 300);
        assert!(verify(&good, body, &secret, now).is_ok(), "{scheme:?}");
        // Two secrets during a rotation, in either order.
        for both in [[secrets(&["another secret of it"]), secret.clone()], [secret.clone(), secrets(&["another"])]] {
            assert!(verify(&good, body, &both.concat(), now).is_ok(), "{scheme:?}");
        }
        assert_eq!(verify(&good, body, &secrets(&["another secret of it"]), now), Err(WRONG), "{scheme:?}");
        assert_eq!(verify(&good, body, &[], now), Err(WRONG), "{scheme:?}");
        let mut without = good.clone();
        without.remove(signature);
        assert!(matches!(verify(&without, body, &secret, now), Err(Rejected::Unproven(_))), "{scheme:?}");
        let mut twice = good.clone();
        twice.append(HeaderName::from_bytes(signature.as_bytes()).unwrap(), HeaderValue::from_static("x"));
        assert!(matches!(verify(&twice, body, &secret, now), Err(Rejected::Malformed(_))), "{scheme:?}");
        if scheme != Scheme::GitLab {
            for at in 0..body.len() {
                let mut changed = body.to_vec();
                changed[at] ^= 1;
                assert_eq!(verify(&good, &changed, &secret, now), Err(WRONG), "{scheme:?} {at}");
            }
            assert_eq!(verify(&good, &body[1..], &secret, now), Err(WRONG), "{scheme:?}");
        }
        if now > 0 {
            for late in [now + 301, now - 301] {
                let stale = verify(&good, body, &secret, late);
                assert!(matches!(stale, Err(Rejected::Unproven(why)) if why.contains("time")), "{scheme:?}");
            }
            assert!(verify(&good, body, &secret, now + 300).is_ok());
        }
    }
}

#[test]
fn a_dot_in_the_id_is_malformed_and_an_old_time_cannot_be_written_anew() {
    let (scheme, secret, pairs, body, now, _) = vectors().remove(0);
    let secret = secrets(&[secret]);
    let mut changed = headers(&pairs);
    changed.insert("webhook-id", HeaderValue::from_static("msg.x"));
    assert!(matches!(scheme.verify(&changed, body, &secret, now, 300), Err(Rejected::Malformed(_))));
    let mut changed = headers(&pairs);
    changed.insert("webhook-timestamp", HeaderValue::from_static("1614265900"));
    assert_eq!(scheme.verify(&changed, body, &secret, 1_614_265_900, 300), Err(WRONG));
    for time in ["", "-5", "1e9", "now", "99999999999999999999"] {
        assert!(fresh(time, now, 300).is_err(), "{time}");
    }
}

#[test]
fn several_signatures_are_tried() {
    let (scheme, secret, mut pairs, body, now, _) = vectors().remove(0);
    let many = format!("v1,AAAA v2,x v1a,AAAA nonsense {}", pairs[2].1);
    pairs[2].1 = &many;
    assert!(scheme.verify(&headers(&pairs), body, &secrets(&[secret]), now, 300).is_ok());
    let padded = format!("{} {}", "v1,AAAA ".repeat(SIGNATURES_MAX), many);
    pairs[2].1 = &padded;
    assert_eq!(scheme.verify(&headers(&pairs), body, &secrets(&[secret]), now, 300), Err(WRONG));
}

#[test]
fn ed25519_is_verified_with_the_public_key() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref()));
    let signature = format!("v1a,{}", STANDARD.encode(pair.sign(b"m1.1000.{}").as_ref()));
    let pairs = [("webhook-id", "m1"), ("webhook-timestamp", "1000"), ("webhook-signature", signature.as_str())];
    let verify =
        |body: &[u8], key: &str| Scheme::StandardWebhooks.verify(&headers(&pairs), body, &secrets(&[key]), 1000, 300);
    assert!(verify(b"{}", &key).is_ok());
    assert_eq!(verify(b"{ }", &key), Err(WRONG));
    // A key that is too short, and the public key taken for a shared secret, prove nothing.
    assert_eq!(verify(b"{}", "whpk_AAAA"), Err(WRONG));
    assert_eq!(verify(b"{}", &key.replace("whpk_", "whsec_")), Err(WRONG));
}

#[test]
fn secrets_must_look_like_secrets() {
    let accepts = |scheme: Scheme, text: &str| scheme.accepts(&Secret::new(text.as_bytes().to_vec())).is_ok();
    assert!(accepts(Scheme::StandardWebhooks, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert!(!accepts(Scheme::StandardWebhooks, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert!(!accepts(Scheme::StandardWebhooks, "whsec_AAAA"));
    assert!(accepts(Scheme::GitHub, "It's a Secret to Everybody"));
    assert!(!accepts(Scheme::GitHub, "short"));
    assert_eq!(format!("{:?}", Secret::new(b"x".to_vec())), "Secret");
}

#[test]
fn templates_name_targets() {
    let body = serde_json::json!({"a": {"b/c": "x", "n": 7, "f": 1.5, "o": {}}, "ok": true});
    let said = Said { body: Some(body), event: "push".to_owned(), id: "d1".to_owned() };
    for (template, filled) in [
        ("plain", Some("plain")),
        ("hub/{event}/{id}", Some("hub/push/d1")),
        ("{/a/b~1c}-{/a/n}-{/ok}", Some("x-7-true")),
        ("{/a/f}", None),
        ("{/a/o}", None),
        ("{/absent}", None),
    ] {
        assert_eq!(said.fill(template).ok().as_deref(), filled, "{template}");
        assert_eq!(check_template(template), Ok(()), "{template}");
    }
    for wrong in ["{}", "{event", "x}", "{name}", "{{id}}"] {
        assert!(check_template(wrong).is_err(), "{wrong}");
    }
}
