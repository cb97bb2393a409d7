//! Deleting a node: `DELETE /v1/nodes/{node}` (XEP-0060 §8.4).

use axum::response::Response;

use crate::http::conditional::WriteCondition;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, no_content};
use crate::pubsub::{NodeId, Verb};

pub(super) async fn delete(call: &Call, node: NodeId) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    WriteCondition::refuse(&call.parts.headers)?;
    call.require(Scope::Manage, &node)?;
    let answered = call.ask(Verb::Delete { node, redirect: None }).await?;
    Ok(call.mark(no_content(), answered.at))
}
