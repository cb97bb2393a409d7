//! Checking a password, and offering keys for SCRAM.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::recent::Recent;
use super::throttle::{Prefix, Throttle};
use super::{Denied, Inner, Login, Options, Proof, ScramHash, ScramOffer, verifier};
use crate::jid::{BareJid, prepare_resource};
use crate::store::{Account, Failure, Verifier};
use crate::time::Timestamp;

/// The passwords that were found right a short while ago: a keyed hash of each, never itself.
pub struct Passwords {
    key: [u8; 32],
    keep_seconds: i64,
    // A std mutex: held for a look-up, never across an await.
    known: Mutex<Recent<[u8; 32], Known>>,
}

struct Known {
    login: Login,
    until: Timestamp,
}

/// An attempt that has been admitted. Dropped before it is settled, it counts as broken off.
struct Attempt {
    throttle: Arc<Throttle>,
    user: BareJid,
    prefix: Prefix,
    began: Timestamp,
    settled: bool,
}

impl Inner {
    pub async fn check_password(&self, jid: &BareJid, password: &str, peer: IpAddr) -> Result<Login, Denied> {
        let prefix = Prefix::of(peer);
        let now = self.clock.now();
        let admitted = self.throttle.admit(jid, prefix, now)?;
        let stamp = self.revocations.stamp(None);
        let account = self.store.account(jid.clone()).await.map_err(Denied::Failed)?;
        // What cannot be prepared cannot be anybody's password, and costs what another wrong one does.
        let prepared = prepare(password).unwrap_or_default();
        let usable = account.filter(|account| !account.disabled && !prepared.is_empty());
        let key = usable.as_ref().map(|account| self.passwords.key_of(jid, &prepared, &account.verifier));
        let known = || key.as_ref().and_then(|key| self.known_password(key));
        if admitted.fast
            && let Some(login) = known()
        {
            self.throttle.succeeded(jid, prefix);
            return Ok(login);
        }

        let attempt = Attempt::new(&self.throttle, jid, prefix, now);
        self.sit_out(admitted.delay, prefix).await?;
        let permit = self.checks.turn(prefix).await.ok_or(Denied::Later { seconds: BUSY_SECONDS })?;
        // Meanwhile others of the same pair may have failed, or have found the same password right.
        if let Err(denied) = self.throttle.admit(jid, prefix, self.clock.now()) {
            attempt.settle(None);
            return Err(denied);
        }
        if let Some(login) = known() {
            attempt.settle(Some(true));
            return Ok(login);
        }

        let verifier = usable.as_ref().map_or(self.decoys.verifier(), |account| &account.verifier).clone();
        let iterations = self.options.scram_iterations;
        // The work outlives this future, and so do its permit and its outcome: breaking off saves nothing.
        let work = tokio::task::spawn_blocking(move || {
            let right = verifier::check(&verifier, &prepared, iterations);
            attempt.settle(Some(right));
            drop(permit);
            right
        });
        let right = work.await.map_err(|_| Denied::Failed(Failure::Refused(CHECK_FAILED.to_owned())))?;
        match (right, usable, key) {
            (true, Some(account), Some(key)) => {
                let (account, admin) = (account.jid, account.admin);
                let login = Login { account, admin, scopes: None, expires: None, proof: Proof::Password, stamp };
                self.passwords.remember(key, login.clone(), self.clock.now());
                Ok(login)
            }
            _ => Err(Denied::Wrong),
        }
    }

    pub async fn offer_scram(&self, jid: &BareJid, hash: ScramHash, peer: IpAddr) -> Result<ScramOffer, Denied> {
        let prefix = Prefix::of(peer);
        let admitted = self.throttle.admit(jid, prefix, self.clock.now())?;
        self.sit_out(admitted.delay, prefix).await?;
        let stamp = self.revocations.stamp(None);
        let account = self.store.account(jid.clone()).await.map_err(Denied::Failed)?;
        // The decoy is always made, so that its making takes no time of its own.
        let decoy = self.decoys.scram(jid, hash);
        Ok(match account {
            Some(Account { jid, verifier: Verifier::Scram { sha1, sha256, sha512 }, admin, disabled, .. }) => {
                let keys = match hash {
                    ScramHash::Sha1 => sha1,
                    ScramHash::Sha256 => sha256,
                    ScramHash::Sha512 => sha512,
                };
                let real = !disabled;
                let proof = Proof::Password;
                let login = real.then_some(Login { account: jid, admin, scopes: None, expires: None, proof, stamp });
                ScramOffer { keys, real, admin: admin && real, login }
            }
            _ => ScramOffer { keys: decoy, real: false, admin: false, login: None },
        })
    }

    fn known_password(&self, key: &[u8; 32]) -> Option<Login> {
        let now = self.clock.now();
        let mut known = self.passwords.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.find(key)?;
        let stands = found.until > now && self.revocations.stands(&found.login.account, &found.login.stamp);
        let login = stands.then(|| found.login.clone());
        if !stands {
            known.remove(key);
        }
        login
    }

    pub async fn sit_out(&self, delay: Duration, prefix: Prefix) -> Result<(), Denied> {
        if delay.is_zero() {
            return Ok(());
        }
        let seconds = delay.as_secs().max(1);
        let _place = self.delayed.enter(prefix).ok_or(Denied::Later { seconds })?;
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// Prepares a password by OpaqueString (RFC 8265 §4.2), which is the rule of a resource too; absent
/// where it is empty, too long or holds what the profile forbids.
pub fn prepare(password: &str) -> Option<String> {
    prepare_resource(password).ok().map(std::borrow::Cow::into_owned)
}

impl Passwords {
    pub fn new(options: &Options) -> Arc<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system gives random bytes");
        let known = Mutex::new(Recent::new(options.password_cache_entries_max));
        Arc::new(Passwords { key, keep_seconds: options.password_cache_seconds, known })
    }

    /// Another password, another account or another verifier is another key. Each part but the last
    /// goes with its length, so that no two can be confused.
    fn key_of(&self, jid: &BareJid, password: &str, verifier: &Verifier) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        for part in [jid.as_str(), password] {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(verifier::fingerprint(verifier));
        mac.finalize().into_bytes().into()
    }

    fn remember(&self, key: [u8; 32], login: Login, now: Timestamp) {
        let until = now.plus_seconds(self.keep_seconds);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, Known { login, until });
    }
}

impl Attempt {
    fn new(throttle: &Arc<Throttle>, user: &BareJid, prefix: Prefix, began: Timestamp) -> Self {
        Attempt { throttle: throttle.clone(), user: user.clone(), prefix, began, settled: false }
    }

    /// Ends the attempt as right or wrong, or, absent, without any bearing.
    fn settle(mut self, right: Option<bool>) {
        self.settled = true;
        match right {
            Some(true) => self.throttle.succeeded(&self.user, self.prefix),
            Some(false) => self.throttle.failed(&self.user, self.prefix, self.began),
            None => {}
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.settled {
            self.throttle.broke_off(&self.user, self.prefix, self.began);
        }
    }
}

/// When to try again while the pool is full.
const BUSY_SECONDS: u64 = 1;

const CHECK_FAILED: &str = "the check of a password ended before its time";
