//! Who is woken for an event, and how a watcher reads the log: cursors, followers, catch-up.
//!
//! Every watcher on every transport is a position in a node's log. A wake-up is only a hint.
//! Not here: how an event looks on a wire (`xep`, `http`), and the commit (`engine`).

mod cursor;
mod follow;

pub use cursor::{CursorError, Cursors};
pub use follow::{Delivery, Ending, Followed, Follower, Start};
