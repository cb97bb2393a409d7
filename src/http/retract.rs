//! Retracting: `DELETE …/items/{id}` (XEP-0060 §7.2).

use axum::response::Response;

use crate::http::conditional::WriteCondition;
use crate::http::problem::Problem;
use crate::http::publish::attempt;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, no_content};
use crate::pubsub::{ItemId, NodeId, Precondition, Verb};

pub(super) async fn retract(call: &Call, node: NodeId, item: ItemId) -> Result<Response, Problem> {
    let notify = Query::parse(call.parts.uri.query(), &["notify"])?.boolean("notify")?;
    let condition = WriteCondition::read(&call.parts.headers)?;
    if condition == WriteCondition::Simple(Precondition::Absent) {
        return Err(Problem::bad_request("If-None-Match: * asks for the absence of what is to be deleted"));
    }
    call.require(Scope::Publish, &node)?;
    let verb = |precondition| Verb::Retract { node: node.clone(), items: vec![item.clone()], notify, precondition };
    let answered = attempt(call, &node, condition, None, verb).await?;
    Ok(call.mark(no_content(), answered.at))
}
