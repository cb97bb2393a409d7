//! Threads that own connections, and the bounded queue by which they are given work.
//!
//! SQLite blocks, so no connection is touched from an async task. A caller waits for a place in the
//! queue and then for its answer; one that goes away does not take its work back.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::store::Failure;

/// A queue served by one thread for each connection `D`.
pub(super) struct Queue<D> {
    orders: mpsc::Sender<Order<D>>,
    /// Each thread holds a sender and never sends: when all have ended, receiving says so.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

enum Order<D> {
    Do(Box<dyn FnOnce(&mut D) + Send>),
    /// Take nothing more in, and end when what was taken in is done.
    End,
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
        let received = Arc::new(Mutex::new(received));
        for mut desk in desks {
            let (received, alive) = (received.clone(), alive.clone());
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(order) = next(&received) {
                    match order {
                        Order::Do(work) => {
                            work(&mut desk);
                            after(&mut desk);
                        }
                        Order::End => received.lock().unwrap_or_else(PoisonError::into_inner).close(),
                    }
                }
                last(desk);
                drop(alive);
            })?;
        }
        Ok(Queue { orders, ended: tokio::sync::Mutex::new(ended) })
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
        // Where nobody receives any more, the threads have ended already.
        let _ = self.orders.send(Order::End).await;
        while self.ended.lock().await.recv().await.is_some() {}
    }
}

/// One thread waits for the next order while holding the lock, and the others wait for the lock.
fn next<D>(received: &Mutex<mpsc::Receiver<Order<D>>>) -> Option<Order<D>> {
    received.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}
