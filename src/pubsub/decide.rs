//! The one entrance to the rules.

use crate::pubsub::{Decision, Facts, Needs, Node, NodeKey, Refusal, Request};
use crate::time::Timestamp;

/// What a decision is given beside facts: time and fresh names, for the core has neither.
pub struct Given<'a> {
    pub now: Timestamp,
    /// The key of the node that this request may create.
    pub node_key: NodeKey,
    /// Makes an identifier that was never made before: of items, subscriptions, instant nodes.
    pub fresh_id: &'a mut dyn FnMut() -> String,
}

/// What must be gathered before this request can be decided, once the node is known.
pub fn needs(_request: &Request, _node: Option<&Node>) -> Needs {
    todo!()
}

pub fn decide(_request: Request, _facts: &Facts, _given: &mut Given<'_>) -> Result<Decision, Refusal> {
    todo!()
}
