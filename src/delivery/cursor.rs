//! Cursors: positions that can be handed out and taken back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::engine::Position;
use crate::pubsub::{NodeKey, Seq};
use crate::store::Identity;

/// Makes and reads cursors: URL-safe, under 64 characters (for [`NODES_MAX`] nodes, under 4 KiB), bound
/// to the store's incarnation and the node's, and authenticated.
///
/// A cursor is a version, the store's incarnation, the node's key, the seq, and a MAC over them. The
/// key of a node stands for its address and its incarnation, since it is never used twice. A composite
/// cursor has another version, and as many pairs of key and seq as it has nodes.
#[derive(Clone)]
pub struct Cursors {
    incarnation: u32,
    mac: Hmac<Sha256>,
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
        let mac = Hmac::new_from_slice(&identity.cursor_key).expect("HMAC takes keys of any length");
        Cursors { incarnation: identity.incarnation, mac }
    }

    pub fn encode(&self, position: Position) -> String {
        let mut bytes = [0; BYTES];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[5..13].copy_from_slice(&position.node.0.to_be_bytes());
        bytes[13..SIGNED].copy_from_slice(&position.seq.0.to_be_bytes());
        let tag = self.tag(&bytes[..SIGNED]);
        bytes[SIGNED..].copy_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// One cursor for positions in several logs, at most [`NODES_MAX`].
    pub fn encode_all(&self, positions: impl ExactSizeIterator<Item = Position>) -> String {
        let mut bytes = Vec::with_capacity(HEAD + positions.len() * PAIR + TAG);
        bytes.push(VERSION_COMPOSITE);
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        for position in positions {
            bytes.extend_from_slice(&position.node.0.to_be_bytes());
            bytes.extend_from_slice(&position.seq.0.to_be_bytes());
        }
        let tag = self.tag(&bytes);
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that a cursor, composite or not, names in this node's log. That it lies within the
    /// log is for the reader of the log to find out.
    pub fn decode(&self, text: &str, node: NodeKey) -> Result<Seq, CursorError> {
        let positions = self.decode_all(text)?;
        let found = positions.iter().find(|position| position.node == node);
        found.map(|position| position.seq).ok_or(CursorError::Gone)
    }

    /// The positions that a cursor, composite or not, names.
    pub fn decode_all(&self, text: &str) -> Result<Vec<Position>, CursorError> {
        if text.len() > TEXT_MAX {
            return Err(CursorError::NotACursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::NotACursor)?;
        let pairs = bytes.len().checked_sub(HEAD + TAG).ok_or(CursorError::NotACursor)?;
        let well_formed = match bytes[0] {
            VERSION => pairs == PAIR,
            VERSION_COMPOSITE => pairs.is_multiple_of(PAIR) && pairs <= NODES_MAX * PAIR,
            _ => false,
        };
        if !well_formed {
            return Err(CursorError::NotACursor);
        }
        let (signed, tag) = bytes.split_at(HEAD + pairs);
        let mut mac = self.mac.clone();
        mac.update(signed);
        mac.verify_truncated_left(tag).map_err(|_| CursorError::Gone)?;
        if signed[1..HEAD] != self.incarnation.to_be_bytes() {
            return Err(CursorError::Gone);
        }
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("half a pair is eight bytes"));
        let position = |pair: &[u8]| Position {
            node: NodeKey(number(&pair[..PAIR / 2]).cast_signed()),
            seq: Seq(number(&pair[PAIR / 2..])),
        };
        Ok(signed[HEAD..].chunks_exact(PAIR).map(position).collect())
    }

    /// The opaque part of an entity tag: epoch and seq.
    pub fn etag(&self, position: Position) -> String {
        format!("{:x}.{:x}-{:x}", self.incarnation, position.node.0, position.seq.0)
    }

    fn tag(&self, signed: &[u8]) -> [u8; TAG] {
        let mut mac = self.mac.clone();
        mac.update(signed);
        let whole = mac.finalize().into_bytes();
        let mut tag = [0; TAG];
        tag.copy_from_slice(&whole[..TAG]);
        tag
    }
}

/// Nodes that one cursor may speak of.
pub const NODES_MAX: usize = 100;
/// In characters, the length of a cursor of one node.
pub const CURSOR_CHARS: usize = BYTES.div_ceil(3) * 4;

const VERSION: u8 = 1;
const VERSION_COMPOSITE: u8 = 2;
/// Version and incarnation.
const HEAD: usize = 5;
/// Key and seq.
const PAIR: usize = 16;
const SIGNED: usize = HEAD + PAIR;
/// 96 bits: nobody gets more than a few guesses a second.
const TAG: usize = 12;
const BYTES: usize = SIGNED + TAG;
const TEXT_MAX: usize = (HEAD + NODES_MAX * PAIR + TAG).div_ceil(3) * 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(incarnation: u32, key: u8) -> Cursors {
        Cursors::new(&Identity { incarnation, cursor_key: [key; 32], decoy_key: [0; 32] })
    }

    fn at(node: i64, seq: u64) -> Position {
        Position { node: NodeKey(node), seq: Seq(seq) }
    }

    #[test]
    fn a_cursor_comes_back_as_the_position_it_was_made_of() {
        let cursors = cursors(7, 1);
        for seq in [0, 1, 255, u64::MAX] {
            let text = cursors.encode(at(42, seq));
            assert_eq!(text.len(), CURSOR_CHARS, "{text}");
            assert!(text.len() < 64, "{text}");
            assert_eq!(cursors.decode(&text, NodeKey(42)), Ok(Seq(seq)));
        }
    }

    #[test]
    fn a_cursor_of_another_epoch_node_or_key_is_gone() {
        let text = cursors(7, 1).encode(at(42, 9));
        assert_eq!(cursors(7, 1).decode(&text, NodeKey(43)), Err(CursorError::Gone));
        assert_eq!(cursors(8, 1).decode(&text, NodeKey(42)), Err(CursorError::Gone));
        assert_eq!(cursors(7, 2).decode(&text, NodeKey(42)), Err(CursorError::Gone));
    }

    #[test]
    fn a_composite_cursor_bears_every_position() {
        let cursors = cursors(7, 1);
        for count in [0, 1, 2, NODES_MAX] {
            let positions: Vec<Position> = (0..count as u64).map(|number| at(number as i64 - 1, number * 7)).collect();
            let text = cursors.encode_all(positions.iter().copied());
            assert!(text.len() < 4096, "{}", text.len());
            assert_eq!(cursors.decode_all(&text), Ok(positions.clone()));
            for position in positions {
                assert_eq!(cursors.decode(&text, position.node), Ok(position.seq));
            }
            assert_eq!(cursors.decode(&text, NodeKey(1000)), Err(CursorError::Gone));
        }
        let single = cursors.encode(at(42, 9));
        assert_eq!(cursors.decode_all(&single), Ok(vec![at(42, 9)]));
        let crowd = (0..=NODES_MAX as u64).map(|seq| at(1, seq)).collect::<Vec<_>>();
        let text = cursors.encode_all(crowd.into_iter());
        assert_eq!(cursors.decode_all(&text), Err(CursorError::NotACursor));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let cursors = cursors(7, 1);
        let bytes = URL_SAFE_NO_PAD.decode(cursors.encode(at(42, 9))).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(cursors.decode(&URL_SAFE_NO_PAD.encode(forged), NodeKey(42)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_was_never_a_cursor_is_told_from_one_that_is_gone() {
        for text in ["", "now", "12", "AAAA", "ä", &"A".repeat(44), &"A".repeat(4000)] {
            assert_eq!(cursors(7, 1).decode(text, NodeKey(42)), Err(CursorError::NotACursor), "{text}");
        }
    }
}
