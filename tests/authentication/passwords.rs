//! SCRAM over channels that can be bound to.

use tidings::access::NewToken;

use crate::client::{Hello, SASL, SASL2};
use crate::house::{House, alice};

/// RFC 9266, RFC 5929, XEP-0440, XEP-0474; in the words of both profiles.
#[tokio::test]
async fn scram_binds_to_the_channel_and_shows_what_was_offered() {
    let house = House::open(&[]).await;
    for ns in [SASL, SASL2] {
        for kind in ["tls-exporter", "tls-server-end-point"] {
            let mut client = Hello::default().connect(house.direct()).await.unwrap();
            assert_eq!(client.announced(), ["tls-exporter", "tls-server-end-point"]);
            let data = if kind == "tls-exporter" { client.exporter() } else { client.end_point() };
            let ended = client.scram(ns, "SCRAM-SHA-256-PLUS", &format!("p={kind},,"), &data).await.unwrap();
            assert!(ended.last.is("success", ns), "{kind}: {}", ended.last);
            let shown = format!(",h={}", client.offer_hash(ns));
            assert!(ended.challenge.ends_with(&shown), "{} {shown}", ended.challenge);
        }
    }
}

/// T7: whoever stands between has another channel to the server than to the client.
#[tokio::test]
async fn a_proof_for_another_channel_is_refused() {
    let house = House::open(&[]).await;
    let theirs = Hello::default().connect(house.direct()).await.unwrap().exporter();
    for (gs2, data) in [("p=tls-exporter,,", theirs), ("p=tls-server-end-point,,", vec![0; 32])] {
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let ended = client.scram(SASL2, "SCRAM-SHA-256-PLUS", gs2, &data).await.unwrap();
        assert!(ended.last.child("not-authorized", SASL).is_some(), "{gs2}: {}", ended.last);
    }
}

/// T5, T7: a client that would have bound says so, and somebody has hidden from it that it can.
#[tokio::test]
async fn a_client_that_was_shown_no_binding_is_warned() {
    let house = House::open(&[]).await;
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let ended = client.scram(SASL, "SCRAM-SHA-256", "y,,", &[]).await.unwrap();
    assert!(ended.last.child("not-authorized", SASL).is_some(), "{}", ended.last);
    let ended = client.scram(SASL, "SCRAM-SHA-256", "n,,", &[]).await.unwrap();
    assert!(ended.last.is("success", SASL), "{}", ended.last);
}

#[tokio::test]
async fn tls_1_2_has_no_exporter_to_bind_to() {
    let house = House::open(&[]).await;
    let hello = Hello { versions: vec![&rustls::version::TLS12], ..Hello::default() };
    let mut client = hello.connect(house.direct()).await.unwrap();
    assert_eq!(client.announced(), ["tls-server-end-point"]);
    let exporter = client.exporter();
    let ended = client.scram(SASL2, "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", &exporter).await.unwrap();
    assert!(ended.last.child("not-authorized", SASL).is_some(), "{}", ended.last);
    let end_point = client.end_point();
    let ended = client.scram(SASL2, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", &end_point).await.unwrap();
    assert!(ended.last.is("success", SASL2), "{}", ended.last);
}

#[tokio::test]
async fn what_was_offered_can_be_left_unsaid() {
    let house = House::open(&["auth.downgrade_protection=false"]).await;
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let ended = client.scram(SASL2, "SCRAM-SHA-256", "n,,", &[]).await.unwrap();
    assert!(ended.last.is("success", SASL2) && !ended.challenge.contains(",h="), "{}", ended.challenge);
}

/// RFC 7628: the tokens of HTTP, and what ends them ends the session.
#[tokio::test]
async fn an_api_token_opens_a_session_until_it_ends() {
    let house = House::open(&[]).await;
    let token = |scopes: &[&str], expires_seconds| {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        house.running.access.create_token(NewToken { account: alice(), scopes, expires_seconds })
    };
    let message = |token: &str| format!("n,a=alice@localhost,\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes();
    let bind = "<bind xmlns='urn:xmpp:bind:0'/>";
    let ended = |error: tidings::xml::Element| {
        assert!(error.child("not-authorized", "urn:ietf:params:xml:ns:xmpp-streams").is_some(), "{error}");
    };

    let revoked = token(&[], None).await.unwrap();
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    let success = client.authenticate("OAUTHBEARER", &message(&revoked.text), bind).await.unwrap();
    assert!(success.is("success", SASL2), "{success}");
    client.next().await.unwrap();
    house.running.access.revoke_token(&revoked.id).await.unwrap();
    ended(client.next().await.unwrap());

    let expiring = token(&[], Some(2)).await.unwrap();
    let mut client = Hello::default().connect(house.direct()).await.unwrap();
    client.authenticate("OAUTHBEARER", &message(&expiring.text), bind).await.unwrap();
    client.next().await.unwrap();
    ended(client.next().await.unwrap());

    // A token that is narrowed cannot open a session, which is not.
    let narrow = token(&["publish:orders/*"], None).await.unwrap();
    for text in [narrow.text.as_str(), revoked.text.as_str(), "eyJhbGciOiJub25lIn0.e30."] {
        let mut client = Hello::default().connect(house.direct()).await.unwrap();
        let challenge = client.authenticate("OAUTHBEARER", &message(text), bind).await.unwrap();
        assert!(challenge.is("challenge", SASL2), "{challenge}");
        client.send("<response xmlns='urn:xmpp:sasl:2'>AQ==</response>").await.unwrap();
        let failure = client.next().await.unwrap();
        assert!(failure.child("not-authorized", SASL).is_some(), "{failure}");
    }
}
