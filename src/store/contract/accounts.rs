//! Accounts and tokens.

use std::sync::Arc;

use super::hand::jid;
use crate::store::FastToken;
use crate::store::{Account, AccountTotals, ScramKeys, Store, Token, Verifier};
use crate::time::Timestamp;

pub async fn an_account_comes_back_with_either_verifier(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    assert_eq!(store.account(alice.clone()).await.unwrap(), None);
    for verifier in [scram(1), Verifier::Argon2id("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA".into()), scram(2)] {
        let account = Account { verifier, admin: true, ..account("alice@localhost") };
        store.put_account(account.clone()).await.unwrap();
        assert_eq!(store.account(alice.clone()).await.unwrap(), Some(account));
    }
    let disabled = Account { disabled: true, admin: false, ..account("alice@localhost") };
    store.put_account(disabled.clone()).await.unwrap();
    assert_eq!(store.account(alice).await.unwrap(), Some(disabled));
}

pub async fn accounts_are_listed_in_slices(store: Arc<dyn Store>) {
    let names = ["alice@localhost", "bob@example.org", "bob@localhost", "zoë@localhost", "élan@localhost"];
    let accounts: Vec<Account> = names.iter().map(|name| account(name)).collect();
    store.put_accounts(accounts.iter().rev().cloned().collect()).await.unwrap();
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let slice = store.accounts(after.clone(), 2).await.unwrap();
        assert!(slice.len() <= 2);
        let Some(last) = slice.last() else { break };
        after = Some(last.jid.clone());
        listed.extend(slice);
    }
    assert_eq!(listed, accounts);
}

pub async fn accounts_that_look_alike_are_found(store: Arc<dyn Store>) {
    let names = ["paypal@localhost", "paypa1@localhost", "рaypal@localhost", "paypal@example.org", "paybal@localhost"];
    store.put_accounts(names.iter().map(|name| account(name)).collect()).await.unwrap();
    let like = async |name: &str, max| store.accounts_like(jid(name), max).await.unwrap();
    assert_eq!(like("paypal@localhost", 10).await, [jid("paypa1@localhost"), jid("рaypal@localhost")]);
    assert_eq!(like("paypal@localhost", 1).await, [jid("paypa1@localhost")]);
    assert_eq!(like("раураl@localhost", 10).await.len(), 3, "one that is not there has some, too");
    assert!(like("paybal@localhost", 10).await.is_empty() && like("paypal@example.org", 10).await.is_empty());
    store.put_account(Account { disabled: true, ..account("paypa1@localhost") }).await.unwrap();
    store.remove_account(jid("рaypal@localhost")).await.unwrap();
    assert_eq!(like("paypal@localhost", 10).await, [jid("paypa1@localhost")]);
}

pub async fn accounts_are_counted_as_they_come_change_and_go(store: Arc<dyn Store>) {
    let admin = |name: &str| Account { admin: true, ..account(name) };
    let disabled = |account: Account| Account { disabled: true, ..account };
    let totals = |accounts, disabled, admins| AccountTotals { accounts, disabled, admins };
    assert_eq!(store.account_totals().await.unwrap(), totals(0, 0, 0));
    let three = vec![admin("a@localhost"), admin("b@localhost"), account("c@localhost")];
    store.put_accounts(three).await.unwrap();
    assert_eq!(store.account_totals().await.unwrap(), totals(3, 0, 2));
    for (changed, expected) in [
        (disabled(account("c@localhost")), totals(3, 1, 2)),
        (disabled(admin("b@localhost")), totals(3, 2, 1)),
        (disabled(admin("b@localhost")), totals(3, 2, 1)),
        (admin("b@localhost"), totals(3, 1, 2)),
        (account("b@localhost"), totals(3, 1, 1)),
    ] {
        store.put_account(changed.clone()).await.unwrap();
        assert_eq!(store.account_totals().await.unwrap(), expected, "{changed:?}");
    }
    for (name, expected) in
        [("c", totals(2, 0, 1)), ("c", totals(2, 0, 1)), ("a", totals(1, 0, 0)), ("b", totals(0, 0, 0))]
    {
        store.remove_account(jid(&format!("{name}@localhost"))).await.unwrap();
        assert_eq!(store.account_totals().await.unwrap(), expected, "without {name}");
    }
}

pub async fn removing_an_account_takes_its_tokens(store: Arc<dyn Store>) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
    store.put_accounts(vec![account("alice@localhost"), account("bob@localhost")]).await.unwrap();
    for (id, owner) in [("t1", &alice), ("t2", &bob), ("t3", &alice)] {
        store.put_token(Token { account: owner.clone(), ..token(id) }).await.unwrap();
    }
    assert!(store.remove_account(alice.clone()).await.unwrap());
    assert!(!store.remove_account(alice.clone()).await.unwrap());
    assert_eq!(store.account(alice.clone()).await.unwrap(), None);
    assert!(store.tokens(Some(alice)).await.unwrap().is_empty());
    let left: Vec<String> = store.tokens(None).await.unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(left, ["t2"]);
    assert!(store.account(bob).await.unwrap().is_some());
}

pub async fn tokens_come_back_touched_and_replaced(store: Arc<dyn Store>) {
    assert_eq!(store.token("none".to_owned()).await.unwrap(), None);
    let odd = ["", "publish:orders/*", "a:b;c", "12:x", "line\nbreak\0", "\u{1f600}"];
    let mut token = Token { scopes: odd.map(str::to_owned).to_vec(), ..token("t\0'\"\u{e9}") };
    store.put_token(token.clone()).await.unwrap();
    assert_eq!(store.token(token.id.clone()).await.unwrap().as_ref(), Some(&token));
    store.touch_token(token.id.clone(), Timestamp(77)).await.unwrap();
    token.last_used = Some(Timestamp(77));
    assert_eq!(store.token(token.id.clone()).await.unwrap().as_ref(), Some(&token));
    store.touch_token("none".to_owned(), Timestamp(77)).await.unwrap();
    token.scopes.clear();
    token.expires = None;
    store.put_token(token.clone()).await.unwrap();
    assert_eq!(store.tokens(Some(token.account.clone())).await.unwrap(), [token.clone()]);
    assert_eq!(store.token("t".to_owned()).await.unwrap(), None);
    assert!(store.remove_token(token.id.clone()).await.unwrap());
    assert!(!store.remove_token(token.id).await.unwrap());
    assert!(store.tokens(None).await.unwrap().is_empty());
}

pub async fn fast_tokens_are_replaced_by_client(store: Arc<dyn Store>) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
    let of = |owner: &crate::jid::BareJid, client: &str| store.fast_tokens(owner.clone(), client.to_owned());
    assert_eq!(of(&alice, "one").await.unwrap(), []);
    let fresh = fast_token("alice@localhost", "one", 9);
    let used = FastToken { used: true, count: Some(u32::MAX), ..fast_token("alice@localhost", "one", 8) };
    let put = |token: &FastToken, tokens: Vec<FastToken>| {
        store.put_fast_tokens(token.account.clone(), token.client.clone(), tokens, 10)
    };
    put(&used, vec![used.clone(), fresh.clone()]).await.unwrap();
    assert_eq!(of(&alice, "one").await.unwrap(), [fresh.clone(), used.clone()], "the unused one first");
    let other = fast_token("alice@localhost", "two", 1);
    put(&other, vec![other.clone()]).await.unwrap();
    let bobs = fast_token("bob@localhost", "one", 1);
    put(&bobs, vec![bobs.clone()]).await.unwrap();

    put(&fresh, vec![fresh.clone()]).await.unwrap();
    assert_eq!(of(&alice, "one").await.unwrap(), vec![fresh.clone()]);
    put(&fresh, Vec::new()).await.unwrap();
    assert_eq!(of(&alice, "one").await.unwrap(), []);
    assert_eq!(of(&alice, "two").await.unwrap(), [other]);

    store.remove_fast_tokens(alice.clone()).await.unwrap();
    assert_eq!(of(&alice, "two").await.unwrap(), []);
    assert_eq!(of(&bob, "one").await.unwrap(), [bobs]);
    store.put_account(account("bob@localhost")).await.unwrap();
    store.remove_account(bob.clone()).await.unwrap();
    assert_eq!(of(&bob, "one").await.unwrap(), []);
}

pub async fn the_clients_with_fast_tokens_are_bounded(store: Arc<dyn Store>) {
    let alice = jid("alice@localhost");
    for (client, issued) in [("a", 3), ("b", 1), ("c", 2), ("d", 4)] {
        let token = fast_token("alice@localhost", client, issued);
        store.put_fast_tokens(alice.clone(), client.to_owned(), vec![token], 3).await.unwrap();
    }
    for (client, stands) in [("a", true), ("b", false), ("c", true), ("d", true)] {
        let tokens = store.fast_tokens(alice.clone(), client.to_owned()).await.unwrap();
        assert_eq!(!tokens.is_empty(), stands, "{client}");
    }
}

fn fast_token(account: &str, client: &str, issued: i64) -> FastToken {
    FastToken {
        account: jid(account),
        client: client.to_owned(),
        mechanism: "HT-SHA-256-NONE".to_owned(),
        secret_sha256: [7; 32],
        issued: Timestamp(issued),
        expires: Timestamp(issued + 1_000),
        used: false,
        count: None,
    }
}

pub(super) fn account(name: &str) -> Account {
    Account { jid: jid(name), verifier: scram(7), admin: false, disabled: false, created: Timestamp(5) }
}

fn scram(seed: u8) -> Verifier {
    let keys = |bytes: usize| ScramKeys {
        salt: vec![0, seed, 255],
        iterations: 10_000 + u32::from(seed),
        stored_key: vec![seed; bytes],
        server_key: vec![!seed; bytes],
    };
    Verifier::Scram { sha1: keys(20), sha256: keys(32), sha512: keys(64) }
}

fn token(id: &str) -> Token {
    Token {
        id: id.to_owned(),
        secret_sha256: [9; 32],
        account: jid("alice@localhost"),
        scopes: vec!["publish:*".to_owned()],
        created: Timestamp(5),
        expires: Some(Timestamp(500)),
        last_used: None,
    }
}
