//! A session without a connection, until it is resumed or its time is up (XEP-0198 §5).

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::Shared;
use super::resumption::{Ask, Handed, Reply};
use super::standing::Standing;
use crate::router::Routed;

/// Waits with what the session has until somebody goes on with it, or ends it.
pub(super) async fn hibernate(shared: &Arc<Shared>, mut standing: Box<Standing>) {
    let Some(resumable) = standing.managed.as_ref().and_then(|managed| managed.resumable.as_ref()) else {
        return end(shared, standing);
    };
    let (slot, deadline) = (resumable.slot.clone(), Instant::now() + resumable.max);
    standing.presence.set_asleep(true);
    resumable.hibernate(shared.options.sm.hibernated_per_account_max);
    tracing::debug!(session = %standing.presence.jid(), "session waits to be resumed");
    let mut revocations = shared.access.revocations();
    loop {
        // It may have come with more than is allowed from here on.
        if too_much(shared, &standing, 1) {
            tracing::info!(session = %standing.presence.jid(), "too much waits for a session without a connection");
            break;
        }
        let Standing { presence, answers, feed, .. } = &mut *standing;
        tokio::select! {
            routed = presence.next(true) => match routed {
                Ok(Routed::Stanza(stanza)) => standing.send(stanza, None),
                Ok(Routed::Follow) => standing.follow(shared),
                Ok(Routed::Kept) => standing.collect(shared),
                Err(_) => break,
            },
            Some(answer) = answers.next(), if !answers.is_empty() => {
                for stanza in standing.answered(shared, answer) {
                    standing.send(stanza, None);
                }
            }
            () = feed.rest() => {}
            ask = slot.asked() => match ask {
                Ask::Resume { h, reply } => match hand_over(shared, standing, h, reply).await {
                    None => return,
                    Some(kept) => standing = kept,
                },
                Ask::End => break,
            },
            Ok(()) = revocations.changed() => {
                if !shared.access.still_valid(&standing.login) {
                    break;
                }
            }
            () = tokio::time::sleep_until(deadline) => break,
            () = shared.stop.cancelled() => {
                standing.finish_answers(shared, None).await;
                break;
            }
        }
    }
    end(shared, standing);
}

/// Gives the session to whoever goes on with it. It comes back where nobody does after all.
pub(super) async fn hand_over(
    shared: &Arc<Shared>,
    mut standing: Box<Standing>,
    h: u32,
    reply: Reply,
) -> Option<Box<Standing>> {
    if let Err(false_ack) = standing.check(h) {
        let _ = reply.send(Err(false_ack));
        return Some(standing);
    }
    // The next stanzas of the peer come after those that are being worked on.
    standing.finish_answers(shared, None).await;
    reply.send(Ok(Handed::new(shared.clone(), standing))).err()?.ok()?.take()
}

/// Whether a session has more unacknowledged than it may, `times` over.
pub(super) fn too_much(shared: &Shared, standing: &Standing, times: usize) -> bool {
    let options = &shared.options.sm;
    standing.managed.as_ref().is_some_and(|managed| {
        let (stanzas, bytes) = managed.weight();
        stanzas > options.queue_stanzas_max * times || bytes > options.queue_bytes_max * times
    })
}

/// The session is over: the others learn it, what it was asked is done, and what the peer never
/// acknowledged goes the way of stanzas for a session that is not there (XEP-0198 §4).
pub(super) fn end(shared: &Arc<Shared>, mut standing: Box<Standing>) {
    tracing::debug!(session = %standing.presence.jid(), "session ends");
    standing.presence.leave();
    if standing.answers.is_empty() {
        return let_go(standing);
    }
    let (router, shared) = (shared.router.clone(), shared.clone());
    router.see_through(async move {
        standing.finish_answers(&shared, None).await;
        let_go(standing);
    });
}

/// Gives up what the session had, in order: what its peer was sent, what was to be sent, and, last, what
/// it had not read.
fn let_go(standing: Box<Standing>) {
    let Standing { presence, feed, managed, .. } = *standing;
    drop(feed);
    if let Some(mut managed) = managed {
        if let Some(resumable) = managed.resumable.take() {
            resumable.end(managed.handled.received());
        }
        managed.leftovers().for_each(|stanza| presence.give_up(stanza));
    }
    drop(presence);
}
