//! Tokens of FAST, from their issue to their end.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;
use crate::store::Failure;

const CLIENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const NONE: &str = "HT-SHA-256-NONE";
const EXPR: &str = "HT-SHA-256-EXPR";

/// What a client computes, with the token's whole text as the key.
fn hashed(text: &str, who: &str, binding: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(text.as_bytes()).unwrap();
    mac.update(who.as_bytes());
    mac.update(binding);
    mac.finalize().into_bytes().to_vec()
}

struct Use<'a> {
    account: &'a BareJid,
    client: &'a str,
    mechanism: &'a str,
    binding: &'a [u8],
    count: Option<u32>,
    invalidate: bool,
}

impl<'a> Use<'a> {
    fn of(account: &'a BareJid) -> Self {
        Use { account, client: CLIENT, mechanism: NONE, binding: &[], count: None, invalidate: false }
    }
}

impl House {
    async fn present(&self, text: &str, used: Use<'_>) -> Result<FastLogin, Denied> {
        let Use { account, client, mechanism, binding, count, invalidate } = used;
        let proof = hashed(text, "Initiator", binding);
        let proof = FastProof { account, client, mechanism, binding, proof: &proof, count, invalidate };
        self.access.fast(proof, peer()).await
    }

    async fn fast_token(&self, account: &BareJid, mechanism: &str) -> IssuedFastToken {
        let login = self.login(account, "secret").await.unwrap();
        self.access.issue_fast(&login, CLIENT, mechanism).await.unwrap().unwrap()
    }
}

async fn with_alice() -> (House, BareJid) {
    let house = house();
    let alice = house.add("alice", "secret", VerifierKind::Scram).await;
    (house, alice)
}

#[tokio::test]
async fn a_token_lets_its_client_in_with_its_mechanism() {
    let (house, alice) = with_alice().await;
    let bob = house.add("bob", "secret", VerifierKind::Scram).await;
    let token = house.fast_token(&alice, EXPR).await;
    assert!(token.text.len() > 64, "longer than the block of its hash");
    let right = || Use { mechanism: EXPR, binding: b"channel", ..Use::of(&alice) };
    let login = house.present(&token.text, right()).await.unwrap();
    assert_eq!((login.login.account.as_str(), login.due), ("alice@localhost", false));
    assert_eq!(login.responder, hashed(&token.text, "Responder", b"channel"));
    assert!(house.access.still_valid(&login.login));
    // And once more: it is not used up.
    house.present(&token.text, right()).await.unwrap();

    let other = "00000000-0000-4000-8000-000000000000";
    for (what, wrong) in [
        ("another mechanism", Use { mechanism: NONE, ..right() }),
        ("another client", Use { client: other, ..right() }),
        ("another account", Use { account: &bob, ..right() }),
        ("nobody", Use { account: &jid("ghost@localhost"), ..right() }),
    ] {
        assert_eq!(house.present(&token.text, wrong).await.err(), Some(Denied::Wrong), "{what}");
    }
    assert_eq!(house.present("another text", right()).await.err(), Some(Denied::Wrong));
    // A proof for one channel is none for another.
    let proof = hashed(&token.text, "Initiator", b"channel");
    let elsewhere = FastProof {
        account: &alice,
        client: CLIENT,
        mechanism: EXPR,
        binding: b"other",
        proof: &proof,
        count: None,
        invalidate: false,
    };
    assert_eq!(house.access.fast(elsewhere, peer()).await.err(), Some(Denied::Wrong));
}

#[tokio::test]
async fn nothing_shows_the_text_of_a_token() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    let kept = house.store.fast_tokens(alice, CLIENT.to_owned()).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(!format!("{kept:?} {token:?}").contains(&token.text));
    assert_ne!(kept[0].secret_sha256.as_slice(), token.text.as_bytes());
}

#[tokio::test]
async fn a_token_is_due_after_a_day_and_both_stand_until_the_new_one_is_used() {
    let (house, alice) = with_alice().await;
    let old = house.fast_token(&alice, NONE).await;
    assert!(!house.present(&old.text, Use::of(&alice)).await.unwrap().due);
    house.clock.pass(86_400);
    let login = house.present(&old.text, Use::of(&alice)).await.unwrap();
    assert!(login.due);
    // The answer with the first new token is lost; the second takes its place.
    let lost = house.access.issue_fast(&login.login, CLIENT, NONE).await.unwrap().unwrap();
    let login = house.present(&old.text, Use::of(&alice)).await.unwrap();
    let new = house.access.issue_fast(&login.login, CLIENT, NONE).await.unwrap().unwrap();
    assert_eq!(house.present(&lost.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));
    house.present(&old.text, Use::of(&alice)).await.unwrap();
    assert!(!house.present(&new.text, Use::of(&alice)).await.unwrap().due);
    // XEP-0484 §3.5: the old one is gone with that.
    assert_eq!(house.present(&old.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));
    house.present(&new.text, Use::of(&alice)).await.unwrap();
}

#[tokio::test]
async fn a_token_expires() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    assert_eq!(token.expires, house.clock.now().plus_seconds(21 * 86_400));
    house.clock.pass(21 * 86_400 - 1);
    house.present(&token.text, Use::of(&alice)).await.unwrap();
    house.clock.pass(1);
    assert_eq!(house.present(&token.text, Use::of(&alice)).await.err(), Some(Denied::Expired));
    // Whoever has not even that one learns nothing of it.
    assert_eq!(house.present("another text", Use::of(&alice)).await.err(), Some(Denied::Wrong));
}

#[tokio::test]
async fn counts_only_rise() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    let counted = |count| Use { count, ..Use::of(&alice) };
    for (count, outcome) in [
        (Some(1), None),
        (Some(1), Some(Denied::Wrong)),
        (Some(0), Some(Denied::Wrong)),
        (Some(5), None),
        (Some(4), Some(Denied::Wrong)),
        // Early data, for which counts are demanded, is never taken.
        (None, None),
        (Some(5), Some(Denied::Wrong)),
        (Some(6), None),
    ] {
        assert_eq!(house.present(&token.text, counted(count)).await.err(), outcome, "{count:?}");
    }
}

#[tokio::test]
async fn one_of_two_uses_with_the_same_count_is_refused() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    let counted = || Use { count: Some(1), ..Use::of(&alice) };
    let (one, other) = tokio::join!(house.present(&token.text, counted()), house.present(&token.text, counted()));
    assert!(one.is_ok() != other.is_ok());
}

#[tokio::test]
async fn a_client_can_have_its_token_forgotten() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    house.clock.pass(86_400);
    let leaving = Use { invalidate: true, ..Use::of(&alice) };
    let login = house.present(&token.text, leaving).await.unwrap();
    assert!(!login.due, "XEP-0484 §3.6: no other one in its place");
    assert_eq!(house.present(&token.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));
}

/// T16.
#[tokio::test]
async fn tokens_end_with_the_password_and_the_account() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    let login = house.present(&token.text, Use::of(&alice)).await.unwrap().login;
    house.access.set_disabled(&alice, true).await.unwrap();
    assert_eq!(house.present(&token.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));
    house.access.set_disabled(&alice, false).await.unwrap();
    house.present(&token.text, Use::of(&alice)).await.unwrap();

    house.access.set_password(&alice, NewPassword::Chosen("secret".to_owned())).await.unwrap();
    assert!(!house.access.still_valid(&login));
    assert_eq!(house.present(&token.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));
    // Who logged in before the change gets none after it.
    let issued = house.access.issue_fast(&login, CLIENT, NONE).await;
    assert!(matches!(issued, Err(Failure::Refused(_))));

    let token = house.fast_token(&alice, NONE).await;
    let imported = [("alice".to_owned(), "another".to_owned())];
    house.access.import_users(imported, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(house.present(&token.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));

    let login = house.login(&alice, "another").await.unwrap();
    let token = house.access.issue_fast(&login, CLIENT, NONE).await.unwrap().unwrap();
    house.access.remove_user(&alice).await.unwrap();
    assert_eq!(house.present(&token.text, Use::of(&alice)).await.err(), Some(Denied::Wrong));
}

#[tokio::test]
async fn wrong_tokens_count_as_wrong_passwords_do() {
    let (house, alice) = with_alice().await;
    let token = house.fast_token(&alice, NONE).await;
    for _ in 0..10 {
        assert_eq!(house.present("another text", Use::of(&alice)).await.err(), Some(Denied::Wrong));
    }
    let later = house.present(&token.text, Use::of(&alice)).await.err();
    assert!(matches!(later, Some(Denied::Later { .. })), "{later:?}");
    assert!(matches!(house.login(&alice, "secret").await, Err(Denied::Later { .. })));
}

#[tokio::test]
async fn a_client_s_name_is_its_own_and_says_nothing_of_it() {
    let (house, alice) = with_alice().await;
    let bob = jid("bob@localhost");
    let name = house.access.client_name(&alice, CLIENT);
    assert_eq!(name, house.access.client_name(&alice, CLIENT));
    assert_ne!(name, house.access.client_name(&bob, CLIENT));
    assert_ne!(name, house.access.client_name(&alice, "00000000-0000-4000-8000-000000000000"));
    assert!(!name.contains(&CLIENT[..8]));
}

#[tokio::test]
async fn a_certificate_opens_accounts_that_are_there_and_not_shut() {
    let (house, alice) = with_alice().await;
    assert_eq!(house.access.certified(&alice, peer()).await.unwrap().account, alice);
    assert_eq!(house.access.certified(&jid("ghost@localhost"), peer()).await.err(), Some(Denied::Wrong));
    house.access.set_disabled(&alice, true).await.unwrap();
    assert_eq!(house.access.certified(&alice, peer()).await.err(), Some(Denied::Wrong));
}

#[tokio::test]
async fn there_are_so_many_places_for_strangers() {
    let house = house_with(Options { anonymous_sessions_max: 2, ..Options::default() });
    let first = house.access.anonymous("guests.localhost").unwrap();
    let second = house.access.anonymous("guests.localhost").unwrap();
    assert_ne!(first.0.account, second.0.account);
    assert!(!first.0.admin);
    assert!(matches!(house.access.anonymous("guests.localhost").map(|_| ()), Err(Denied::Later { .. })));
    drop(first);
    assert!(house.access.anonymous("guests.localhost").is_ok());
}
