//! API tokens: checking, making, listing, revoking.

use std::fmt;
use std::sync::PoisonError;

use subtle::ConstantTimeEq;

use super::accounts::NotDone;
use super::token::{LOCAL_TOKEN_ID, mint, new_id, read};
use super::{Access, Denied, Inner, Login, Proof, Scopes};
use crate::jid::BareJid;
use crate::store::Token;
use crate::time::Timestamp;

/// A token that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub account: BareJid,
    /// `verb:glob` each; none means everything that the account may.
    pub scopes: Vec<String>,
    pub expires_seconds: Option<u64>,
}

/// A token, once: nothing keeps its text.
#[derive(Clone)]
pub struct IssuedToken {
    pub id: String,
    pub text: String,
}

/// A token that was found right a short while ago.
pub struct Known {
    secret_sha256: [u8; 32],
    login: Login,
    until: Timestamp,
    touched: Option<Timestamp>,
}

impl Access {
    pub async fn create_token(&self, new: NewToken) -> Result<IssuedToken, NotDone> {
        let scopes = new.scopes;
        Scopes::parse(&scopes).map_err(NotDone::Scope)?;
        let now = self.inner.clock.now();
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        let expires = new.expires_seconds.map(|after| now.plus_seconds(seconds(after)));
        self.inner.issue_token(new_id(), new.account, scopes, expires).await
    }

    /// Makes the token that the data directory keeps for the commands on this machine, in place of the
    /// one it kept before.
    pub async fn create_local_token(&self, account: &BareJid) -> Result<IssuedToken, NotDone> {
        let issued = self.inner.issue_token(LOCAL_TOKEN_ID.to_owned(), account.clone(), Vec::new(), None).await?;
        self.inner.revocations.cut_token(LOCAL_TOKEN_ID);
        Ok(issued)
    }

    /// Tokens of an account or of all, ordered by id, without their secrets.
    pub async fn list_tokens(&self, account: Option<BareJid>) -> Result<Vec<Token>, NotDone> {
        self.inner.store.tokens(account).await.map_err(NotDone::Failed)
    }

    /// Revokes a token and cuts what is open by it.
    pub async fn revoke_token(&self, id: &str) -> Result<(), NotDone> {
        let _changing = self.inner.changing.lock().await;
        let was_there = self.inner.store.remove_token(id.to_owned()).await.map_err(NotDone::Failed)?;
        self.inner.revocations.cut_token(id);
        if was_there { Ok(()) } else { Err(NotDone::NoSuchToken(id.to_owned())) }
    }
}

impl Inner {
    pub async fn check_token(&self, text: &str) -> Result<Login, Denied> {
        let presented = read(text).ok_or(Denied::Wrong)?;
        let now = self.clock.now();
        if let Some(found) = self.known_token(presented.id, &presented.secret_sha256, now) {
            return found;
        }
        let stamp = self.revocations.stamp(Some(presented.id));
        let token = self.store.token(presented.id.to_owned()).await.map_err(Denied::Failed)?.ok_or(Denied::Wrong)?;
        if !bool::from(token.secret_sha256.ct_eq(&presented.secret_sha256)) {
            return Err(Denied::Wrong);
        }
        let account = self.store.account(token.account.clone()).await.map_err(Denied::Failed)?;
        let account = account.filter(|account| !account.disabled).ok_or(Denied::Wrong)?;
        if token.expires.is_some_and(|expires| expires <= now) {
            return Err(Denied::Expired);
        }
        let scopes = match token.scopes.as_slice() {
            [] => None,
            // What cannot be read any more allows nothing.
            texts => Some(Scopes::parse(texts).unwrap_or_default()),
        };
        let admin = account.admin && scopes.is_none();
        let login = Login { account: account.jid, admin, scopes, expires: token.expires, proof: Proof::Bearer, stamp };
        let until = now.plus_seconds(self.options.token_cache_seconds);
        let known = Known { secret_sha256: token.secret_sha256, login: login.clone(), until, touched: token.last_used };
        let touch = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.insert(token.id.clone(), known);
            tokens.find(&token.id).is_some_and(|known| known.is_to_be_touched(now))
        };
        if touch {
            self.touch(token.id, now);
        }
        Ok(login)
    }

    /// Absent where the store must be asked.
    fn known_token(&self, id: &str, secret_sha256: &[u8; 32], now: Timestamp) -> Option<Result<Login, Denied>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tokens.find(id)?;
        if known.until <= now || !self.revocations.stands(&known.login.account, &known.login.stamp) {
            tokens.remove(id);
            return None;
        }
        if !bool::from(known.secret_sha256.ct_eq(secret_sha256)) {
            return Some(Err(Denied::Wrong));
        }
        if known.login.expires.is_some_and(|expires| expires <= now) {
            return Some(Err(Denied::Expired));
        }
        let login = known.login.clone();
        let touch = known.is_to_be_touched(now);
        drop(tokens);
        if touch {
            self.touch(id.to_owned(), now);
        }
        Some(Ok(login))
    }

    /// Notes the use of a token beside the request that used it.
    fn touch(&self, id: String, now: Timestamp) {
        let store = self.store.clone();
        tokio::spawn(async move {
            // Best effort: what is lost is when a token was last used.
            let _ = store.touch_token(id, now).await;
        });
    }

    async fn issue_token(
        &self,
        id: String,
        account: BareJid,
        scopes: Vec<String>,
        expires: Option<Timestamp>,
    ) -> Result<IssuedToken, NotDone> {
        let _changing = self.changing.lock().await;
        self.existing(&account).await?;
        let minted = mint(&id);
        let token = Token {
            id: id.clone(),
            secret_sha256: minted.secret_sha256,
            account,
            scopes,
            created: self.clock.now(),
            expires,
            last_used: None,
        };
        self.store.put_token(token).await.map_err(NotDone::Failed)?;
        Ok(IssuedToken { id, text: minted.text })
    }
}

impl Known {
    /// Whether the use of this token is to be noted; says yes at most once in [`TOUCH_SECONDS`].
    fn is_to_be_touched(&mut self, now: Timestamp) -> bool {
        let due = self.touched.is_none_or(|touched| touched.plus_seconds(TOUCH_SECONDS) <= now);
        if due {
            self.touched = Some(now);
        }
        due
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuedToken {{ id: {:?} }}", self.id)
    }
}

/// How exact "last used" is.
const TOUCH_SECONDS: i64 = 60;
