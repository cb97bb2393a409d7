//! What every store asks of a batch before it writes it, and how its parts belong together.

use crate::pubsub::{Change, Event, EventKind, Seq};
use crate::store::{Failure, NodeCommit};
use crate::time::Timestamp;

/// Whether a commit is whole in itself. One that is not is a bug of the one who made it, and is
/// refused before it can make a hole in a log.
pub(super) fn check(commit: &NodeCommit) -> Result<(), Failure> {
    let node = &commit.node;
    let creates = matches!(commit.changes.first(), Some(Change::CreateNode));
    let later_creation = commit.changes.iter().skip(1).any(|change| matches!(change, Change::CreateNode));
    let deletion = commit.changes.iter().position(|change| matches!(change, Change::DeleteNode { .. }));
    let gapless = commit.events.windows(2).all(|pair| pair[0].seq.next() == pair[1].seq);
    let whole = [
        (creates == (commit.expected_version == 0) && !later_creation, "a node is created once, as the first change"),
        (node.version > commit.expected_version, "the version of a node grows"),
        (gapless, "the seqs of new events have a gap"),
        (commit.events.last().is_none_or(|last| last.seq == node.last_seq), "the last event is not the node's last"),
        (node.floor_seq <= node.last_seq.next(), "the floor is above the log"),
        (commit.trim_from.is_none_or(|from| from <= node.floor_seq), "the floor went down"),
        (deletion.is_none_or(|at| at + 1 == commit.changes.len()), "something changes after a deletion"),
        (deletion.is_none() || !commit.events.is_empty(), "a node is deleted without an event"),
    ];
    match whole.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, why)) => Err(Failure::Refused(format!("a commit of {} is not whole: {why}", node.address))),
    }
}

/// The time of the last event, which is that of the deletion where there is one.
pub(super) fn deletion_time(commit: &NodeCommit) -> Timestamp {
    commit.events.last().map_or(commit.node.created, |event| event.time)
}

/// Below which seq each purge of a commit erases: a commit may hold what was published after it.
pub(super) struct PurgeBounds<'a> {
    events: std::slice::Iter<'a, Event>,
    /// Where a purge is without an event of its own, it erases what was there before the commit.
    otherwise: Seq,
}

impl<'a> PurgeBounds<'a> {
    pub fn of(commit: &'a NodeCommit) -> Self {
        let otherwise = commit.events.first().map_or(commit.node.last_seq.next(), |first| first.seq);
        PurgeBounds { events: commit.events.iter(), otherwise }
    }

    /// The bound of the next purge, in the order of changes.
    pub fn next(&mut self) -> Seq {
        let own = self.events.find(|event| event.kind == EventKind::Purged);
        own.map_or(self.otherwise, |event| event.seq)
    }
}
