//! The turns of accounts: what reads and then writes, or must be told in order, has its accounts to
//! itself meanwhile. Turns come in the order in which they were asked for, also those of two accounts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::jid::BareJid;

/// Who waits for whom. An account that is nobody's concern costs nothing.
#[derive(Clone, Default)]
pub(super) struct Turns {
    queues: Arc<Mutex<HashMap<BareJid, VecDeque<Arc<Ticket>>>>>,
}

struct Ticket {
    accounts: Vec<BareJid>,
    /// It is first with all of them.
    called: AtomicBool,
    notify: Notify,
}

/// Lasts until it is dropped; also one that was never reached.
pub(super) struct Turn {
    turns: Turns,
    ticket: Arc<Ticket>,
}

impl Turns {
    pub async fn of(&self, account: &BareJid) -> Turn {
        self.queue(vec![account.clone()]).reached().await
    }

    pub async fn of_both(&self, one: &BareJid, other: &BareJid) -> Turn {
        self.ask_both(one, other).reached().await
    }

    /// Takes a place now, for a turn that is waited for later.
    pub fn ask_both(&self, one: &BareJid, other: &BareJid) -> Turn {
        let accounts = if one == other { vec![one.clone()] } else { vec![one.clone(), other.clone()] };
        self.queue(accounts)
    }

    /// The same, with one account.
    pub fn ask(&self, account: &BareJid) -> Turn {
        self.queue(vec![account.clone()])
    }

    /// Whether somebody has the turn of this account, or waits for it.
    pub fn busy(&self, account: &BareJid) -> bool {
        self.lock().contains_key(account)
    }

    /// Takes a place with all of them at once, so that no two can wait for each other.
    fn queue(&self, accounts: Vec<BareJid>) -> Turn {
        let ticket = Arc::new(Ticket { accounts, called: AtomicBool::new(false), notify: Notify::new() });
        let mut queues = self.lock();
        for account in &ticket.accounts {
            queues.entry(account.clone()).or_default().push_back(ticket.clone());
        }
        ticket.call(&queues);
        drop(queues);
        Turn { turns: self.clone(), ticket }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, VecDeque<Arc<Ticket>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// If it is first everywhere.
    fn call(&self, queues: &HashMap<BareJid, VecDeque<Arc<Ticket>>>) {
        let first = |account: &BareJid| {
            queues.get(account).and_then(VecDeque::front).is_some_and(|front| std::ptr::eq(&**front, self))
        };
        if self.accounts.iter().all(first) {
            self.called.store(true, Ordering::Release);
            self.notify.notify_one();
        }
    }
}

impl Turn {
    pub async fn reached(self) -> Self {
        while !self.ticket.called.load(Ordering::Acquire) {
            self.ticket.notify.notified().await;
        }
        self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        let mut next: Vec<Arc<Ticket>> = Vec::new();
        for account in &self.ticket.accounts {
            let Some(queue) = queues.get_mut(account) else { continue };
            queue.retain(|ticket| !Arc::ptr_eq(ticket, &self.ticket));
            match queue.front() {
                Some(front) => next.push(front.clone()),
                None => drop(queues.remove(account)),
            }
        }
        next.iter().for_each(|ticket| ticket.call(&queues));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(name: &str) -> BareJid {
        BareJid::parse(name).unwrap()
    }

    /// Polls once; whether the turn has come.
    async fn come<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        tokio::select! {
            biased;
            turn = future => Some(turn),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn turns_come_in_the_order_in_which_they_were_asked_for() {
        let (turns, a, b, c) = (Turns::default(), jid("a@x"), jid("b@x"), jid("c@x"));
        let first = turns.of(&a).await;
        let mut both = Box::pin(turns.of_both(&b, &a));
        assert!(come(&mut both).await.is_none());
        let mut of_b = Box::pin(turns.of(&b));
        assert!(come(&mut of_b).await.is_none(), "b's turn was promised before");
        assert!(turns.busy(&a) && turns.busy(&b) && !turns.busy(&c));
        drop(turns.of(&c).await);
        drop(first);
        let both = come(&mut both).await.expect("nobody is before it");
        assert!(come(&mut of_b).await.is_none());
        drop(both);
        assert!(come(&mut of_b).await.is_some());
        drop(of_b);
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_holds_up_nobody() {
        let (turns, a, b) = (Turns::default(), jid("a@x"), jid("b@x"));
        let first = turns.of(&a).await;
        let mut second = Box::pin(turns.of_both(&a, &b));
        let mut third = Box::pin(turns.of(&b));
        assert!(come(&mut second).await.is_none() && come(&mut third).await.is_none());
        drop(second);
        assert!(come(&mut third).await.is_some());
        drop(first);
        drop(turns.of_both(&b, &a).await);
        assert!(turns.lock().is_empty());
    }
}
