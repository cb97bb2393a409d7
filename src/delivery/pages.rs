//! Parts of logs, read for watchers that fell below a tail. Watchers at one position share the read.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::OnceCell;

use super::{Shared, lock};
use crate::engine::{Entry, Tail};
use crate::pubsub::{NodeKey, Seq};
use crate::store::Failure;

/// What follows a position, as read from the store.
pub(super) struct Page {
    pub entries: Vec<Arc<Entry>>,
    pub floor: Seq,
    pub last: Seq,
    /// Where a watcher goes on that has been shown all of it, if not after the last entry.
    pub resume: Option<Seq>,
}

type Shelf = HashMap<(NodeKey, Seq), Weak<OnceCell<Option<Arc<Page>>>>>;

/// Pages that somebody reads or holds right now.
#[derive(Default)]
pub(super) struct Pages {
    open: Mutex<Shelf>,
}

impl Shared {
    /// What follows `after` in the tail's log, of any length up to about `bytes_max`; absent when the
    /// node is gone.
    pub(super) async fn page(&self, tail: &Tail, after: Seq, bytes_max: usize) -> Result<Option<Arc<Page>>, Failure> {
        let cell = self.pages.cell(tail.key(), after);
        let read = cell.get_or_try_init(|| async {
            // The semaphore is never closed.
            let _turn = self.catchups.acquire().await;
            self.pages_read.fetch_add(1, Ordering::Relaxed);
            let options = &self.options;
            let (events, bytes) = (options.page_events_max, options.page_bytes_max.min(bytes_max));
            let page = self.engine.store().read_log(tail.key(), after, events, bytes).await?;
            Ok(page.map(|page| {
                let config = tail.config();
                let entry = |event| Arc::new(Entry::new(tail.key(), tail.address().clone(), event, config.clone()));
                Arc::new(Page {
                    entries: page.events.into_iter().map(entry).collect(),
                    floor: page.floor_seq,
                    last: page.last_seq,
                    resume: None,
                })
            }))
        });
        read.await.cloned()
    }
}

impl Pages {
    fn cell(&self, node: NodeKey, after: Seq) -> Arc<OnceCell<Option<Arc<Page>>>> {
        let mut open = lock(&self.open);
        if let Some(cell) = open.get(&(node, after)).and_then(Weak::upgrade) {
            return cell;
        }
        if open.len() >= SWEEP_AT && open.len() == open.capacity() {
            open.retain(|_, cell| cell.strong_count() > 0);
        }
        let cell = Arc::new(OnceCell::new());
        open.insert((node, after), Arc::downgrade(&cell));
        cell
    }
}

/// Closed pages are looked for when the map would grow beyond so many.
const SWEEP_AT: usize = 256;
