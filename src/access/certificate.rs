//! Accounts that are known without a secret of theirs: by a certificate that was verified, or for the
//! time of one session by nothing at all.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::throttle::Prefix;
use super::token::PREFIX;
use super::{Access, Denied, Login, Proof, random_text};
use crate::jid::BareJid;

/// The place of an anonymous session, given back when dropped.
pub struct Stay(#[expect(dead_code, reason = "held, and given back when dropped")] OwnedSemaphorePermit);

impl Access {
    /// Lets in the account that a verified certificate names (XEP-0178 §2).
    pub async fn certified(&self, jid: &BareJid, peer: IpAddr) -> Result<Login, Denied> {
        let inner = &self.inner;
        inner.throttle.admit(jid, Prefix::of(peer), inner.clock.now())?;
        let stamp = inner.revocations.stamp(None);
        let account = inner.store.account(jid.clone()).await.map_err(Denied::Failed)?;
        let account = account.filter(|account| !account.disabled).ok_or(Denied::Wrong)?;
        let proof = Proof::Certificate;
        Ok(Login { account: account.jid, admin: account.admin, scopes: None, expires: None, proof, stamp })
    }

    /// Whom a token of OAuth lets into a session (RFC 7628): one that allows all that its account may, for a
    /// session cannot be narrowed; and of an account that is kept here.
    pub async fn bearer(&self, token: &str, peer: IpAddr) -> Result<Login, Denied> {
        let login =
            if token.starts_with(PREFIX) { self.token(token, peer).await? } else { self.jwt(token, peer).await? };
        if login.scopes.is_some() {
            return Err(Denied::Wrong);
        }
        let account = self.inner.store.account(login.account.clone()).await.map_err(Denied::Failed)?;
        account.filter(|account| !account.disabled).map(|_| login).ok_or(Denied::Wrong)
    }

    /// How long a login still stands, where it ends by itself.
    pub fn remaining(&self, login: &Login) -> Option<Duration> {
        let micros = login.expires?.0.saturating_sub(self.inner.clock.now().0);
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// Makes a name for one session at a domain where nobody has an account (RFC 4505).
    pub fn anonymous(&self, domain: &str) -> Result<(Login, Stay), Denied> {
        let later = Denied::Later { seconds: FULL_SECONDS };
        let place = self.inner.anonymous.clone().try_acquire_owned().map_err(|_| later.clone())?;
        let name = random_text(NAME_CHARS).to_ascii_lowercase();
        let account = BareJid::new(Some(&name), domain).map_err(|_| later)?;
        let stamp = self.inner.revocations.stamp(None);
        let proof = Proof::Nothing;
        Ok((Login { account, admin: false, scopes: None, expires: None, proof, stamp }, Stay(place)))
    }
}

/// When to try again while all places are taken.
const FULL_SECONDS: u64 = 60;
/// In lower case, 5.17 bits each: nobody gets the name that another one had.
const NAME_CHARS: usize = 28;
