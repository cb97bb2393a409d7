//! Whether a watch may read its node: asked before it is shown the first event, and again whenever that
//! may have changed.
//!
//! Who may not read is kept out, and not let go: he stays subscribed, or interested, and is shown what
//! comes once he may (XEP-0060 §12.2), with the last item first where the node wants that.

use super::last::Owed;
use super::{Done, Feed, Watch};
use crate::engine::Wrong;
use crate::pubsub::{Caller, Refusal, Request, Role, Seq, Verb};

pub(super) enum Checked {
    Allowed,
    Forbidden,
    NodeGone,
    Later,
}

impl Feed {
    /// Asks for the right to read under an access version, unless it is known that there is none.
    pub(super) fn ask_unless_known(&mut self, id: u64, access: u64) {
        let Some(watch) = self.watches.get(&id) else { return };
        if watch.kept_out == Some(access) {
            if watch.tail.last_words().is_some() {
                self.end(id);
            }
            return;
        }
        self.ask(id, access);
    }

    pub(super) fn ask(&mut self, id: u64, access: u64) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = true;
        let address = watch.tail.address();
        let verb = Verb::Watch { node: address.node.clone() };
        let caller = Caller { jid: self.inlet.whom.reader(&watch.to), role: self.role };
        let request = Request { caller, service: address.service.clone(), verb };
        let (engine, key, tail) = (self.shared.engine.clone(), watch.tail.key(), watch.tail.clone());
        self.work.push(Box::pin(async move {
            let outcome = match engine.ask(request).await {
                // Of a hidden node it is not said why: it may be there, and be shown to him one day.
                Err(Wrong::Refused(Refusal::NodeAbsent)) if tail.config().hidden && tail.last_words().is_none() => {
                    Checked::Forbidden
                }
                Ok(answered) if answered.at.is_some_and(|at| at.node == key) => Checked::Allowed,
                Ok(_) | Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => Checked::NodeGone,
                Err(Wrong::Refused(_)) => Checked::Forbidden,
                Err(Wrong::Failed(_) | Wrong::Overloaded) => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    Checked::Later
                }
            };
            Done::Checked { watch: id, access, outcome }
        }));
    }

    pub(super) fn checked(&mut self, id: u64, access: u64, outcome: Checked) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = false;
        match outcome {
            Checked::Allowed => {
                watch.checked = Some(access);
                if let Some(before) = watch.kept_out.take() {
                    return self.let_in(id, before);
                }
            }
            Checked::Later => {}
            Checked::Forbidden => {
                watch.backlog = None;
                watch.only = None;
                watch.kept_out = Some(access);
                if watch.stay_out(access) {
                    return;
                }
            }
            Checked::NodeGone => match watch.tail.last_words().filter(|_| watch.may_hear_of_end(self.role)) {
                // The deletion bears nothing that could be forbidden.
                Some(last) => {
                    watch.position = watch.position.max(Seq(last.event.seq.0 - 1));
                    watch.checked = Some(watch.tail.access());
                }
                None => return self.end(id),
            },
        }
        self.queue(id);
    }

    /// A watch that was kept out under this access version may read. It goes on from where the log stood
    /// when that began to change.
    fn let_in(&mut self, id: u64, before: u64) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.come_in(before);
        let at = watch.position;
        watch.owed.push(Owed { only: None, at });
        self.queue(id);
        self.pay(id);
    }
}

impl Watch {
    /// Whether it is told that its node was deleted: not where it may not have known of it any more.
    fn may_hear_of_end(&self, role: Role) -> bool {
        let known = self.via.is_none() || role == Role::Admin || !self.tail.config().hidden;
        self.kept_out.is_none() && known
    }
}

/// Before a right that could not be checked is asked for again.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
