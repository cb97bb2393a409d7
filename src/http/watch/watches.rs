//! The open watches: how many each account has, and how to reach them all at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::counts::{Counts, Limit};
use crate::delivery::Ring;
use crate::http::problem::Problem;
use crate::jid::BareJid;

/// Every open watch. To be cloned and handed about.
#[derive(Clone)]
pub(in crate::http) struct Watches {
    open: Arc<Mutex<Open>>,
    per_account: usize,
    shown: Arc<AtomicU64>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Open {
    by_account: HashMap<BareJid, usize>,
    rings: HashMap<u64, Ring>,
    next: u64,
}

/// One open watch; given back when it is dropped.
pub(super) struct Watching {
    watches: Watches,
    account: BareJid,
    id: u64,
    pub(super) ring: Ring,
}

impl Watches {
    pub(in crate::http) fn new(per_account: usize, counts: Arc<Counts>) -> Self {
        Watches { open: Arc::default(), per_account, shown: Arc::default(), counts }
    }

    /// Rings for every watcher when a credential was revoked, and when the server stops: so that each
    /// of them waits for one thing only.
    pub(in crate::http) async fn mind(self, mut revocations: watch::Receiver<u64>, closing: CancellationToken) {
        loop {
            let open = tokio::select! {
                () = closing.cancelled() => false,
                changed = revocations.changed() => changed.is_ok(),
            };
            for ring in self.lock().rings.values() {
                ring.ring();
            }
            if !open {
                return;
            }
        }
    }

    /// Events that were shown to watchers since the start.
    pub(in crate::http) fn shown(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }

    /// How many are open.
    pub(in crate::http) fn count(&self) -> u64 {
        self.lock().rings.len() as u64
    }

    pub(super) fn enter(&self, account: &BareJid) -> Result<Watching, Problem> {
        let mut open = self.lock();
        let count = open.by_account.entry(account.clone()).or_default();
        if *count >= self.per_account {
            self.counts.hit(Limit::WatchesPerAccount);
            let detail = format!("the account has {} open watches, and no more are allowed", self.per_account);
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Problem::new(status, "too-many-watches", "Too many watches", detail).retry_after(RETRY_SECONDS));
        }
        *count += 1;
        let (id, ring) = (open.next, Ring::default());
        open.next += 1;
        open.rings.insert(id, ring.clone());
        Ok(Watching { watches: self.clone(), account: account.clone(), id, ring })
    }

    // A std mutex: held for one look-up, or for the ringing of all, never across an await.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    pub(super) fn count_shown(&self, events: usize) {
        self.watches.shown.fetch_add(events as u64, Ordering::Relaxed);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self.watches.lock();
        open.rings.remove(&self.id);
        if let Some(count) = open.by_account.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                open.by_account.remove(&self.account);
            }
        }
    }
}

/// Somebody must close a watch first.
const RETRY_SECONDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_watches_and_no_more() {
        let watches = Watches::new(2, Arc::default());
        let (romeo, juliet) = (BareJid::parse("romeo@a").unwrap(), BareJid::parse("juliet@a").unwrap());
        let first = watches.enter(&romeo).ok().unwrap();
        let _second = watches.enter(&romeo).ok().unwrap();
        assert_eq!(watches.enter(&romeo).err().unwrap().status.as_u16(), 429);
        assert!(watches.enter(&juliet).is_ok());
        assert_eq!(watches.count(), 2);
        drop(first);
        let third = watches.enter(&romeo);
        assert!(third.is_ok());
        drop(third);
        assert_eq!(watches.lock().by_account.len(), 1);
        assert_eq!(watches.count(), 1);
    }

    #[tokio::test]
    async fn all_are_rung_for_a_revocation_and_for_the_end() {
        let watches = Watches::new(2, Arc::default());
        let watching = watches.enter(&BareJid::parse("romeo@a").unwrap()).ok().unwrap();
        let (revoked, revocations) = watch::channel(0);
        let closing = CancellationToken::new();
        let minding = tokio::spawn(watches.mind(revocations, closing.clone()));
        revoked.send_replace(1);
        watching.ring.rung().await;
        watching.ring.reset();
        closing.cancel();
        watching.ring.rung().await;
        minding.await.unwrap();
    }
}
