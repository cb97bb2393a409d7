//! The affiliations of a node, for its owners: `GET` and `PUT …/affiliations` (XEP-0060 §8.9).

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use crate::engine::Answer;
use crate::http::body::{receive, require_json};
use crate::http::conditional::WriteCondition;
use crate::http::json::Object;
use crate::http::page::{PARAMETERS, Paging};
use crate::http::pairs::Pairs;
use crate::http::problem::{Problem, escape_pointer};
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json, no_content};
use crate::jid::BareJid;
use crate::pubsub::{Affiliation, NodeId, Verb};

pub(super) async fn list(call: &Call, node: NodeId) -> Result<Response, Problem> {
    let query = Query::parse(call.parts.uri.query(), PARAMETERS)?;
    let paging = Paging::read(&query, &call.door.options)?;
    call.require(Scope::Manage, &node)?;
    let answered = call.ask(Verb::NodeAffiliations { node, page: paging.page.clone() }).await?;
    let Answer::NodeAffiliations(list) = &answered.answer else {
        return Err(Problem::internal("affiliations were answered with something else"));
    };
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::begin(&mut out);
    let mut affiliations = object.array("affiliations");
    for (jid, affiliation) in paging.ordered(list) {
        let mut entry = affiliations.object();
        entry.text("jid", jid.as_str());
        entry.text("affiliation", affiliation.as_str());
        entry.end();
    }
    affiliations.end();
    paging.write(&mut object, list);
    object.end();
    Ok(call.mark(json(StatusCode::OK, out), answered.at))
}

/// Sets the affiliations of those who are named, all or none; the others stay. `none` ends one.
pub(super) async fn put(call: &Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    WriteCondition::refuse(&call.parts.headers)?;
    call.require(Scope::Manage, &node)?;
    require_json(&call.parts.headers, "application/json")?;
    let pairs = Pairs::read(&receive(&call.door, &call.parts.headers, body).await?.bytes)?;
    let changes = changes(pairs)?;
    let answered = call.ask(Verb::SetAffiliations { node, changes }).await?;
    Ok(call.mark(no_content(), answered.at))
}

/// Reads `{"juliet@example.org": "publisher"}`. Every fault is named, not the first only.
fn changes(pairs: Pairs) -> Result<Vec<(BareJid, Affiliation)>, Problem> {
    let mut changes = vec![];
    let mut problem = Problem::invalid("an object of bare JIDs and their affiliations is expected");
    for (jid, affiliation) in pairs.0 {
        let parsed = BareJid::parse(&jid);
        let word = match &affiliation {
            Value::String(word) => Affiliation::parse(word),
            _ => None,
        };
        let pointer = format!("/{}", escape_pointer(&jid));
        match (parsed, word) {
            (Ok(jid), Some(affiliation)) => changes.push((jid, affiliation)),
            (Err(error), _) => problem = problem.fault(pointer, format!("not a bare JID: {error}")),
            (Ok(_), None) => problem = problem.fault(pointer, format!("one of {} is expected", words())),
        }
    }
    if problem.faults().is_empty() { Ok(changes) } else { Err(problem) }
}

fn words() -> String {
    Affiliation::ALL.map(Affiliation::as_str).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_faults_are_placed() {
        let read = |json: &str| changes(Pairs::read(json.as_bytes()).unwrap());
        let jid = |text| BareJid::parse(text).unwrap();
        let json = r#"{"Romeo@example.org":"publisher","example.com":"none"}"#;
        let expected =
            vec![(jid("romeo@example.org"), Affiliation::Publisher), (jid("example.com"), Affiliation::None)];
        assert_eq!(read(json), Ok(expected));
        assert_eq!(read("{}"), Ok(vec![]));
        let problem = read(r#"{"a@b/c":"owner","d@e":"king","f@g":1,"h@i":"member"}"#).unwrap_err();
        let pointers: Vec<&str> = problem.faults().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!((problem.status.as_u16(), pointers), (422, vec!["/a@b~1c", "/d@e", "/f@g"]));
    }
}
