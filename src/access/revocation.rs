//! What was cut off, so that streams which live long learn of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Stamp;
use crate::jid::BareJid;

/// Counts revocations, and remembers the last one of each account and token.
pub struct Revocations {
    epoch: AtomicU64,
    changed: watch::Sender<u64>,
    // A std mutex: held for a look-up, never across an await.
    cuts: Mutex<Cuts>,
}

#[derive(Default)]
struct Cuts {
    accounts: HashMap<BareJid, u64>,
    tokens: HashMap<String, u64>,
    /// Everything made before this is cut.
    floor: u64,
}

impl Revocations {
    /// A stamp for a login that is about to be checked. To be taken *before* the store is read, so that
    /// a change between the reading and the end of the check cuts the login.
    pub fn stamp(&self, token: Option<&str>) -> Stamp {
        Stamp { epoch: self.epoch.load(Ordering::Acquire), token: token.map(Arc::from) }
    }

    /// Whether nothing of this was cut since the stamp was made.
    pub fn stands(&self, account: &BareJid, stamp: &Stamp) -> bool {
        if stamp.epoch == self.epoch.load(Ordering::Acquire) {
            return true;
        }
        let cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let token_cut = stamp.token.as_deref().and_then(|id| cuts.tokens.get(id)).copied().unwrap_or(0);
        let account_cut = cuts.accounts.get(account).copied().unwrap_or(0);
        stamp.epoch >= token_cut.max(account_cut).max(cuts.floor)
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn cut_account(&self, account: &BareJid) {
        self.cut(|cuts, epoch| {
            cuts.accounts.insert(account.clone(), epoch);
        });
    }

    pub fn cut_token(&self, id: &str) {
        self.cut(|cuts, epoch| {
            cuts.tokens.insert(id.to_owned(), epoch);
        });
    }

    fn cut(&self, enter: impl FnOnce(&mut Cuts, u64)) {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.epoch.load(Ordering::Acquire) + 1;
        if cuts.accounts.len() + cuts.tokens.len() >= CUTS_MAX {
            *cuts = Cuts { floor: epoch, ..Cuts::default() };
        }
        enter(&mut cuts, epoch);
        self.epoch.store(epoch, Ordering::Release);
        drop(cuts);
        self.changed.send_replace(epoch);
    }
}

impl Default for Revocations {
    fn default() -> Self {
        // Epochs begin at 1, so that a default stamp is older than every cut.
        Revocations { epoch: AtomicU64::new(1), changed: watch::Sender::new(1), cuts: Mutex::default() }
    }
}

/// Accounts and tokens whose last cut is remembered. Beyond it all older logins are cut at once, which
/// costs their holders a new login and lets nobody in who should be out.
const CUTS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    #[test]
    fn a_cut_ends_what_was_made_before_and_nothing_else() {
        let revocations = Revocations::default();
        let (alice, bob) = (jid("alice@localhost"), jid("bob@localhost"));
        let before = revocations.stamp(None);
        let with_token = revocations.stamp(Some("one"));
        revocations.cut_account(&alice);
        assert!(!revocations.stands(&alice, &before));
        assert!(revocations.stands(&bob, &before));
        assert!(revocations.stands(&alice, &revocations.stamp(None)));
        revocations.cut_token("one");
        assert!(!revocations.stands(&bob, &with_token));
        assert!(revocations.stands(&bob, &before));
        assert!(!revocations.stands(&alice, &Stamp::default()));
    }

    #[test]
    fn a_full_table_cuts_everything_older() {
        let revocations = Revocations::default();
        let (alice, before) = (jid("alice@localhost"), revocations.stamp(None));
        for number in 0..CUTS_MAX {
            revocations.cut_token(&number.to_string());
        }
        assert!(revocations.stands(&alice, &before));
        revocations.cut_token("one more");
        assert!(!revocations.stands(&alice, &before));
        assert!(revocations.stands(&alice, &revocations.stamp(None)));
    }

    #[test]
    fn waiters_are_woken() {
        let revocations = Revocations::default();
        let receiver = revocations.subscribe();
        assert!(!receiver.has_changed().unwrap());
        revocations.cut_token("one");
        assert!(receiver.has_changed().unwrap());
    }
}
