//! Cursors: positions that can be handed out and taken back.

use crate::engine::Position;
use crate::pubsub::{NodeKey, Seq};
use crate::store::Identity;

/// Makes and reads cursors: URL-safe, under 64 characters, bound to the store's incarnation and the
/// node's, and authenticated.
#[derive(Clone)]
pub struct Cursors {
    _identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorError {
    /// Not something that this kind of server ever handed out.
    NotACursor,
    /// Of another store, another incarnation of the node, another node, or forged.
    Gone,
}

impl Cursors {
    pub fn new(identity: &Identity) -> Self {
        Cursors { _identity: identity.clone() }
    }

    pub fn encode(&self, _position: Position) -> String {
        todo!()
    }

    /// The position that a cursor names in this node's log. That it lies within the log is for the
    /// reader of the log to find out.
    pub fn decode(&self, _text: &str, _node: NodeKey) -> Result<Seq, CursorError> {
        todo!()
    }

    /// The opaque part of an entity tag: epoch and seq.
    pub fn etag(&self, _position: Position) -> String {
        todo!()
    }
}
