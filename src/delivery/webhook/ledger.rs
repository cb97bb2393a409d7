//! What has become of deliveries is kept for all endpoints together: whatever came while the last
//! transaction ran, and a moment after, shares the next one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::lock;
use crate::store::{Failure, Settled, Store};

/// Whoever asks first while nobody keeps the books, keeps them: there is no task that could be missing.
pub(super) struct Ledger {
    store: Arc<dyn Store>,
    // A std mutex: held to take and to give, never across an await. As many wait as there are workers.
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    waiting: Vec<(Settled, oneshot::Sender<Result<bool, Failure>>)>,
    kept: bool,
}

impl Ledger {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Ledger { store, open: Arc::default() }
    }

    /// Keeps it; whether the endpoint is still there.
    pub(super) async fn settle(&self, settled: Settled) -> Result<bool, Failure> {
        let (reply, answer) = oneshot::channel();
        let begins = {
            let mut open = lock(&self.open);
            open.waiting.push((settled, reply));
            !std::mem::replace(&mut open.kept, true)
        };
        if begins {
            tokio::spawn(keep(self.store.clone(), self.open.clone()));
        }
        answer.await.unwrap_or(Err(Failure::Closed))
    }
}

/// Runs as long as there is something to keep.
async fn keep(store: Arc<dyn Store>, open: Arc<Mutex<Open>>) {
    loop {
        let waiting = {
            let mut open = lock(&open);
            open.kept = !open.waiting.is_empty();
            std::mem::take(&mut open.waiting)
        };
        if waiting.is_empty() {
            return;
        }
        let (settled, replies): (Vec<Settled>, Vec<_>) = waiting.into_iter().unzip();
        let outcome = store.settle_webhooks(settled).await;
        for (at, reply) in replies.into_iter().enumerate() {
            let _ = reply.send(match &outcome {
                Ok(there) => Ok(there.get(at).copied().unwrap_or(false)),
                Err(failure) => Err(failure.clone()),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Between two transactions: publishes want the disk too.
const PAUSE: Duration = Duration::from_millis(20);
