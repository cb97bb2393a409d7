//! Creating a node: `PUT /v1/nodes/{node}` (XEP-0060 §8.1).
//!
//! A node that exists is configured instead: the fields that are named are set, the others stay. So
//! that what sets a deployment up can be run again. `If-None-Match: *` wants creation only.

use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::engine::{Answer, Wrong};
use crate::http::body::{receive, require_json};
use crate::http::conditional::WriteCondition;
use crate::http::configure::configure;
use crate::http::json::Object;
use crate::http::pairs::Pairs;
use crate::http::path::location;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json};
use crate::pubsub::{NodeId, Precondition, Refusal, Reply, Verb};

pub(super) async fn put(call: &Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    let only_create = match WriteCondition::read(&call.parts.headers)? {
        WriteCondition::Simple(Precondition::None) => false,
        WriteCondition::Simple(Precondition::Absent) => true,
        _ => return Err(Problem::bad_request("nodes have no entity tags: If-Match means nothing here")),
    };
    call.require(Scope::Manage, &node)?;
    require_json(&call.parts.headers, "application/json")?;
    let (config, place) =
        Pairs::read(&receive(&call.door, &call.parts.headers, body).await?.bytes)?.into_fields(&node)?;
    let refused = match call.ask(Verb::Create { node: Some(node.clone()), config: config.clone() }).await {
        Ok(answered) => {
            let Answer::Reply(Reply::Created { node }) = &answered.answer else {
                return Err(Problem::internal("a creation was answered with something else"));
            };
            return Ok(call.mark(created(call, node), answered.at));
        }
        Err(Wrong::Refused(refused)) => refused,
        Err(wrong) => return Err(wrong.into()),
    };
    match refused {
        Refusal::NodeExists if only_create => {
            let detail = "the node exists already";
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, "node-exists", "Node exists", detail))
        }
        Refusal::NodeExists => configure(call, node, config, place).await,
        // An owner who may not create nodes may still configure his own.
        Refusal::MayNotCreate if !only_create => match configure(call, node, config, place).await {
            Err(problem) if problem.status == StatusCode::NOT_FOUND => Err(Refusal::MayNotCreate.into()),
            outcome => outcome,
        },
        refused => Err(Problem::from(refused).within(place)),
    }
}

fn created(call: &Call, node: &NodeId) -> Response {
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    object.text("node", node.as_str());
    object.end();
    let mut response = json(StatusCode::CREATED, out);
    let location = HeaderValue::try_from(location(&call.service, node, None));
    response.headers_mut().insert(LOCATION, location.expect("a location is percent-encoded"));
    response
}
