//! Where a watch begins: each node's place in its log, or the news that there is none.

use crate::delivery::{CursorError, Follower, Start};
use crate::engine::Position;
use crate::http::problem::Problem;
use crate::http::watch::format::Gone;
use crate::http::watch::initial::Initial;
use crate::http::watch::watcher::{News, Phase, Strand, Watcher};
use crate::http::watch::wish::{Since, not_a_cursor};
use crate::pubsub::{NodeId, Seq};

/// How a watcher is told what it must know before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// A cursor that is gone is news on the stream: its reader does not see the status.
    InBand,
    /// A cursor that is gone is refused with a problem.
    Refused,
    /// The same, and where the watch begins is not said: the one answer does.
    OneAnswer,
}

/// A node's place.
enum Place {
    /// With the events after this position, which the client does not know yet.
    At,
    /// With the events after a cursor of the client.
    Resumed,
    /// With the items that are there.
    State,
    /// The client's cursor is not in the log.
    Gone { earliest: Seq, latest: Seq },
}

impl Watcher {
    /// Takes its places in the logs of these nodes, beside those it has.
    pub(super) async fn begin(
        &mut self,
        nodes: &[NodeId],
        since: &Since,
        initial: bool,
        opening: Opening,
    ) -> Result<(), Problem> {
        let known = match since {
            Since::Now | Since::Earliest => vec![],
            Since::Cursor(text) => match self.door.rooms.cursors.decode_all(text) {
                Ok(positions) => positions,
                // Without a position for any node.
                Err(CursorError::Gone) => vec![],
                Err(CursorError::NotACursor) => return Err(not_a_cursor("since")),
            },
        };
        let mut begun = Vec::with_capacity(nodes.len());
        for node in nodes {
            begun.push(self.place(node, since, initial, &known).await?);
        }
        let before = self.strands.len();
        let mut places = Vec::with_capacity(begun.len());
        for (strand, place) in begun {
            self.strands.push(strand);
            places.push(place);
        }
        let gone = self.all_gone(before, &places, initial);
        if let Some(gone) = gone {
            if opening != Opening::InBand {
                self.strands.truncate(before);
                return Err(gone.problem());
            }
            self.news.push_back(News::Reset(gone));
        }
        let mut at = false;
        for (offset, place) in places.into_iter().enumerate() {
            let index = before + offset;
            match place {
                Place::At => at = true,
                Place::Resumed => {}
                Place::State => self.add_to_initial(index),
                Place::Gone { latest, .. } if initial => {
                    self.strands[index].follower.skip_to(latest);
                    self.add_to_initial(index);
                }
                Place::Gone { earliest, .. } => self.strands[index].follower.skip_to(earliest),
            }
            let strand = &mut self.strands[index];
            strand.told = strand.follower.position().seq;
        }
        // A client that is cut off before the first event must know where it stood.
        if at && opening != Opening::OneAnswer && !matches!(self.phase, Phase::Items(_)) {
            let bookmark = self.bookmark();
            self.news.push_back(bookmark);
        }
        Ok(())
    }

    async fn place(
        &self,
        node: &NodeId,
        since: &Since,
        initial: bool,
        known: &[Position],
    ) -> Result<(Strand, Place), Problem> {
        let (follower, place) = match since {
            Since::Now => (self.follow(node, Start::Now).await?, if initial { Place::State } else { Place::At }),
            Since::Earliest => (self.follow(node, Start::Earliest).await?, Place::At),
            Since::Cursor(_) => {
                let mut follower = self.follow(node, Start::Earliest).await?;
                let earliest = follower.position();
                let latest = follower.node().last_seq;
                let seq = known.iter().find(|position| position.node == earliest.node).map(|position| position.seq);
                match seq.filter(|seq| (earliest.seq..=latest).contains(seq)) {
                    Some(seq) => {
                        follower.skip_to(seq);
                        (follower, Place::Resumed)
                    }
                    None => (follower, Place::Gone { earliest: earliest.seq, latest }),
                }
            }
        };
        let told = follower.position().seq;
        Ok((Strand { node: node.clone(), follower, told }, place))
    }

    async fn follow(&self, node: &NodeId, start: Start) -> Result<Follower, Problem> {
        let (caller, service) = (self.caller.clone(), self.service.clone());
        let follow = self.door.rooms.delivery.follow(caller, service, node.clone(), start, &self.watching.ring);
        follow.await.map_err(|wrong| Problem::from(wrong).member("node", node.as_str()))
    }

    fn all_gone(&self, before: usize, places: &[Place], initial: bool) -> Option<Gone> {
        let is_gone = |place: &&Place| matches!(place, Place::Gone { .. });
        let count = places.iter().filter(is_gone).count();
        let first = before + places.iter().position(|place| is_gone(&place))?;
        let cursor = |pick: fn(Seq, Seq) -> Seq| {
            let mut positions: Vec<Position> = self.strands.iter().map(|strand| strand.follower.position()).collect();
            for (offset, place) in places.iter().enumerate() {
                if let Place::Gone { earliest, latest } = place {
                    positions[before + offset].seq = pick(*earliest, *latest);
                }
            }
            let cursors = &self.door.rooms.cursors;
            match positions.as_slice() {
                [only] => cursors.encode(*only),
                all => cursors.encode_all(all.iter().copied()),
            }
        };
        let node = (count == 1 && self.strands.len() > 1).then(|| self.strands[first].node.clone());
        Some(Gone { node, earliest: cursor(|earliest, _| earliest), latest: cursor(|_, latest| latest), initial })
    }

    fn add_to_initial(&mut self, index: usize) {
        match &mut self.phase {
            Phase::Items(initial) => initial.add(index),
            Phase::Events => self.phase = Phase::Items(Box::new(Initial::new([index]))),
            Phase::Over => {}
        }
    }
}
