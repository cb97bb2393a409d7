//! Tokens of FAST (XEP-0484): issued to a client that has authenticated, used instead of a password,
//! replaced in time, and gone with the password.
//!
//! A client has two places, one for a token that it was given and one for the token that it has shown
//! to know (XEP-0484 §5.1): the older token stands until the newer one is used.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::throttle::Prefix;
use super::token::random_text;
use super::{Access, Denied, Inner, Login, Proof};
use crate::jid::BareJid;
use crate::store::{Failure, FastToken};
use crate::time::Timestamp;

/// A proof that somebody knows a token: what `initiator-hashed-token` is in draft-schmaus-kitten-sasl-ht.
#[derive(Clone, Copy)]
pub struct FastProof<'a> {
    pub account: &'a BareJid,
    /// The installation that the token was given to.
    pub client: &'a str,
    /// The name of the mechanism that is used.
    pub mechanism: &'a str,
    /// The data of the channel that the mechanism binds to; empty without binding.
    pub binding: &'a [u8],
    pub proof: &'a [u8],
    /// How often the client says that it has used the token.
    pub count: Option<u32>,
    /// Whether the token is to be forgotten when it was right.
    pub invalidate: bool,
}

/// Whom a token lets in.
#[derive(Clone, Debug)]
pub struct FastLogin {
    pub login: Login,
    /// Proves to the client that the server knows the token.
    pub responder: Vec<u8>,
    /// Whether the client should be given another one now.
    pub due: bool,
}

/// A token, once: nothing keeps its text.
#[derive(Clone)]
pub struct IssuedFastToken {
    pub text: String,
    pub expires: Timestamp,
}

impl Access {
    /// Checks the proof of a token; failures count as those of passwords do.
    pub async fn fast(&self, proof: FastProof<'_>, peer: IpAddr) -> Result<FastLogin, Denied> {
        self.inner.check_fast(proof, Prefix::of(peer)).await
    }

    /// Gives a client that has authenticated a token for one mechanism. The one that it uses stays
    /// until this one is used; one that it was given before and has not used is forgotten.
    /// Nothing for who has come by something that ends while the password stays.
    pub async fn issue_fast(
        &self,
        login: &Login,
        client: &str,
        mechanism: &str,
    ) -> Result<Option<IssuedFastToken>, Failure> {
        if !login.proof.lasts_like_password() {
            return Ok(None);
        }
        self.inner.issue_fast(login, client, mechanism).await.map(Some)
    }
}

impl Access {
    /// A name for a client of an account, always the same, from which nobody learns which client it is
    /// (XEP-0386 §3.2.1).
    pub fn client_name(&self, account: &BareJid, client: &str) -> String {
        let key = self.inner.store.identity().decoy_key;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        for part in ["client", account.as_str(), client] {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes()[..CLIENT_NAME_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Inner {
    async fn check_fast(&self, proof: FastProof<'_>, prefix: Prefix) -> Result<FastLogin, Denied> {
        let (account, now) = (proof.account, self.clock.now());
        let admitted = self.throttle.admit(account, prefix, now)?;
        self.sit_out(admitted.delay, prefix).await?;
        let stamp = self.revocations.stamp(None);
        let known = self.store.account(account.clone()).await.map_err(Denied::Failed)?;
        let tokens = self.store.fast_tokens(account.clone(), proof.client.to_owned()).await.map_err(Denied::Failed)?;
        let usable = known.filter(|account| !account.disabled);
        let found = self.matching(&tokens, &proof).filter(|_| usable.is_some());
        let (Some(found), Some(usable)) = (found, usable) else {
            self.throttle.failed(account, prefix, now);
            return Err(Denied::Wrong);
        };
        if found.expires <= now {
            return Err(Denied::Expired);
        }
        if !self.note_use(&found, &proof).await.map_err(Denied::Failed)? {
            self.throttle.failed(account, prefix, now);
            return Err(Denied::Wrong);
        }
        self.throttle.succeeded(account, prefix);
        let responder = hashed(&found.secret_sha256, b"Responder", proof.binding);
        let due = found.issued.plus_seconds(self.options.fast_rotate_seconds) <= now && !proof.invalidate;
        let login =
            Login { account: usable.jid, admin: usable.admin, scopes: None, expires: None, proof: Proof::Fast, stamp };
        Ok(FastLogin { login, responder, due })
    }

    /// The token that the proof was made with. As many hashes are made and compared whether there are
    /// tokens or not, so that nobody learns who has some.
    fn matching(&self, tokens: &[FastToken], proof: &FastProof<'_>) -> Option<FastToken> {
        let mut found = None;
        for place in 0..PLACES {
            let token = tokens.get(place);
            let key = token.map_or(&self.fast_decoy, |token| &token.secret_sha256);
            let right = bool::from(hashed(key, b"Initiator", proof.binding).ct_eq(proof.proof));
            // XEP-0484 §3.4: with the mechanism that it was issued for and with no other.
            if let Some(token) = token.filter(|token| right && token.mechanism == proof.mechanism) {
                found = Some(token.clone());
            }
        }
        found
    }

    /// Writes down what the use of a token changes, if it does: it takes the place of the one used
    /// before, its count rises, or it goes. Whether it may be used, for meanwhile it may have been
    /// used with this count, or be gone.
    async fn note_use(&self, found: &FastToken, proof: &FastProof<'_>) -> Result<bool, Failure> {
        if found.used && proof.count.is_none() && !proof.invalidate {
            return Ok(true);
        }
        let (account, client) = (proof.account.clone(), proof.client.to_owned());
        let _changing = self.changing.lock().await;
        let tokens = self.store.fast_tokens(account.clone(), client.clone()).await?;
        let Some(stands) = tokens.iter().find(|token| token.secret_sha256 == found.secret_sha256) else {
            return Ok(false);
        };
        // XEP-0484 §3.4: each use counts higher than the last.
        if proof.count.is_some_and(|count| stands.count.is_some_and(|last| count <= last)) {
            return Ok(false);
        }
        let kept: Vec<FastToken> = if proof.invalidate {
            tokens.iter().filter(|token| token.secret_sha256 != found.secret_sha256).cloned().collect()
        } else {
            let used = FastToken { used: true, count: proof.count.or(stands.count), ..stands.clone() };
            // §3.5: whatever was issued before the one that is used is gone; what was issued after stays.
            let newer = tokens.iter().filter(|token| !token.used && stands.used).cloned();
            std::iter::once(used).chain(newer).collect()
        };
        self.store.put_fast_tokens(account, client, kept, self.options.fast_clients_max).await?;
        Ok(true)
    }

    async fn issue_fast(&self, login: &Login, client: &str, mechanism: &str) -> Result<IssuedFastToken, Failure> {
        let text = random_text(TOKEN_CHARS);
        let issued = self.clock.now();
        let expires = issued.plus_seconds(self.options.fast_token_seconds);
        let token = FastToken {
            account: login.account.clone(),
            client: client.to_owned(),
            mechanism: mechanism.to_owned(),
            secret_sha256: Sha256::digest(text.as_bytes()).into(),
            issued,
            expires,
            used: false,
            count: None,
        };
        let _changing = self.changing.lock().await;
        // The password may have been changed since it was checked: its tokens are gone, and stay gone.
        if !self.revocations.stands(&login.account, &login.stamp) {
            return Err(Failure::Refused("the credentials were changed meanwhile".to_owned()));
        }
        let (account, client) = (token.account.clone(), token.client.clone());
        let tokens = self.store.fast_tokens(account.clone(), client.clone()).await?;
        let used = tokens.into_iter().filter(|token| token.used && token.expires > issued);
        let kept = std::iter::once(token).chain(used).collect();
        self.store.put_fast_tokens(account, client, kept, self.options.fast_clients_max).await?;
        Ok(IssuedFastToken { text, expires })
    }
}

/// HMAC-SHA-256 keyed with a token, of which only the hash is known: HMAC hashes every key that is
/// longer than its block (RFC 2104 §2), as the texts of tokens are.
fn hashed(secret_sha256: &[u8; 32], who: &[u8], binding: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_sha256).expect("HMAC takes a key of any length");
    mac.update(who);
    mac.update(binding);
    mac.finalize().into_bytes().to_vec()
}

impl std::fmt::Debug for IssuedFastToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedFastToken {{ expires: {} }}", self.expires)
    }
}

/// Longer than the block of SHA-256, so that the hash is all that is needed of it; 512 random bits.
const TOKEN_CHARS: usize = 86;
const PLACES: usize = 2;
const CLIENT_NAME_BYTES: usize = 12;
