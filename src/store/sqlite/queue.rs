//! Threads that own connections, and the bounded queue by which they are given work.
//!
//! SQLite blocks, so no connection is touched from an async task. A caller waits for a place in the
//! queue and then for its answer; one that goes away does not take its work back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::store::Failure;

/// A queue served by one thread for each connection `D`.
pub(super) struct Queue<D> {
    orders: mpsc::Sender<Order<D>>,
    threads: usize,
    /// Each thread holds a sender and never sends: when all have ended, receiving says so.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

enum Order<D> {
    Do(Box<dyn FnOnce(&mut D) + Send>),
    /// To one thread: leave.
    End,
}

/// Where the threads stand in line for orders.
struct Line<D> {
    received: Mutex<mpsc::Receiver<Order<D>>>,
    /// Threads that have not left.
    serving: AtomicUsize,
}

impl<D: Send + 'static> Queue<D> {
    /// `after` runs on the thread after each piece of work, when its answer is already out; `last`
    /// before the thread ends.
    pub fn start(
        name: &str,
        desks: Vec<D>,
        queue_max: usize,
        after: fn(&mut D),
        last: fn(D),
    ) -> Result<Self, std::io::Error> {
        let (orders, received) = mpsc::channel(queue_max.max(1));
        let (alive, ended) = mpsc::channel(1);
        let threads = desks.len();
        let line = Arc::new(Line { received: Mutex::new(received), serving: AtomicUsize::new(threads) });
        for desk in desks {
            let (line, alive) = (line.clone(), alive.clone());
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                last(line.serve(desk, after));
                drop(alive);
            })?;
        }
        Ok(Queue { orders, threads, ended: tokio::sync::Mutex::new(ended) })
    }

    /// Does this work on one of the threads. `lost` is the answer when the thread ended in the midst of
    /// it, which is our own bug.
    pub async fn ask<T: Send + 'static>(
        &self,
        lost: fn() -> Failure,
        work: impl FnOnce(&mut D) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Do(Box::new(move |desk: &mut D| {
            // A caller that has gone away does not want the answer.
            let _ = reply.send(work(desk));
        }));
        self.orders.send(order).await.map_err(|_| Failure::Closed)?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Finishes what was taken in and waits until all threads have ended.
    pub async fn end(&self) {
        for _ in 0..self.threads {
            // Where nobody receives any more, the threads have ended already.
            let _ = self.orders.send(Order::End).await;
        }
        while self.ended.lock().await.recv().await.is_some() {}
    }
}

impl<D> Line<D> {
    fn serve(&self, mut desk: D, after: fn(&mut D)) -> D {
        while let Some(Order::Do(work)) = self.next() {
            work(&mut desk);
            after(&mut desk);
        }
        // The last one to leave finishes what has come in meanwhile. Nobody else waits with the lock.
        if self.serving.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.received.lock().unwrap_or_else(PoisonError::into_inner).close();
            while let Some(order) = self.next() {
                if let Order::Do(work) = order {
                    work(&mut desk);
                    after(&mut desk);
                }
            }
        }
        desk
    }

    /// One thread waits for the next order while it holds the lock, and the others wait for the lock.
    fn next(&self) -> Option<Order<D>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }
}
