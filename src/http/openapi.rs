//! `/openapi.json`, made from the table of operations, and `/docs`, a page that shows it.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::http::operations::{Content, HEADERS, OPEN, OPERATIONS, Operation, Parameter, QUERY};

/// The documents of the API, which need no credentials.
pub(super) fn answer(method: &Method, path: &str) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let (content_type, body) = match path {
        "/openapi.json" => ("application/json", DOCUMENT.clone()),
        "/docs" => ("text/html; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.html"))),
        "/docs/page.js" => ("text/javascript; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.js"))),
        "/docs/page.css" => ("text/css; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.css"))),
        _ => return None,
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A page that loads its own script and style, and speaks to nobody but us.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    Some(response)
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

fn document() -> Value {
    let mut paths = Map::new();
    for service in [false, true] {
        for row in OPERATIONS.iter().filter(|row| !service || !OPEN.contains(&row.template)) {
            let path = if service { row.template.replacen("/v1", SERVICE, 1) } else { row.template.to_owned() };
            let place = paths.entry(path).or_insert_with(|| json!({"parameters": in_path(row.template, service)}));
            place[row.method.to_lowercase()] = operation(row, service);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidings",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every resource is a node: its state, its changes and its writes stand at one URL. Each path \
                            of `/v1` stands under `/v1/services/{service}` too, for another service.",
        },
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API token, or a JSON Web Token of a trusted issuer."},
                "basic": {"type": "http", "scheme": "basic", "description": "The JID of an account and its password, over TLS or loopback."},
            },
            "responses": {
                "Problem": {
                    "description": "What went wrong (RFC 9457).",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            },
            "schemas": schemas(),
        },
    })
}

fn in_path(template: &str, service: bool) -> Vec<Value> {
    let has = |name| template.contains(name);
    let names = [("service", service), ("node", has("{node}")), ("id", has("{id}")), ("jid", has("{jid}"))];
    let parameter = |name: &str| {
        // What is no name at all, or one that a client would tidy away, is none here either.
        let schema = json!({"type": "string", "minLength": 1});
        let example = &EXAMPLES["parameters"][name];
        json!({"name": name, "in": "path", "required": true, "schema": schema, "example": example})
    };
    names.iter().filter(|(_, there)| *there).map(|(name, _)| parameter(name)).collect()
}

fn operation(row: &Operation, service: bool) -> Value {
    let find = |table: &[Parameter], name: &str, place: &str| {
        let Parameter(name, schema, what) =
            table.iter().find(|row| row.0 == name).expect("a test holds that it is there");
        let schema: Value = serde_json::from_str(schema).expect("a test reads every schema");
        json!({"name": name, "in": place, "description": what, "schema": schema, "required": *name == "node"})
    };
    let query = row.query.iter().map(|name| find(QUERY, name, "query"));
    let headers = row.headers.iter().map(|name| find(HEADERS, name, "header"));
    let parameters: Vec<Value> = query.chain(headers).collect();
    let mut answers = Map::new();
    for answer in row.answers {
        let mut object = json!({"description": answer.what});
        if !answer.content.is_empty() {
            object["content"] = contents(answer.content, &Value::Null);
        }
        answers.insert(answer.status.to_owned(), object);
    }
    answers.insert("431".to_owned(), json!({"description": "The head is larger than the server takes; no body."}));
    answers.insert("default".to_owned(), json!({"$ref": "#/components/responses/Problem"}));
    let id = if service { format!("{}At", row.id) } else { row.id.to_owned() };
    let mut object = json!({"operationId": id, "summary": row.summary, "parameters": parameters, "responses": answers});
    if OPEN.contains(&row.template) {
        object["security"] = json!([]);
    }
    if !row.body.is_empty() {
        object["requestBody"] = json!({"content": contents(row.body, &EXAMPLES[row.id])});
    }
    object
}

/// What this server asks of others: of the endpoints that it calls.
fn webhooks() -> Value {
    let header = |name: &str, what: &str| json!({"name": name, "in": "header", "required": true, "description": what, "schema": {"type": "string"}});
    let parameters = json!([
        header("webhook-id", "The name of the event, the same however often it is sent."),
        header("webhook-timestamp", "When it is sent, in seconds since 1970."),
        header(
            "webhook-signature",
            "`v1,…` by the endpoint's secret and `v1a,…` by the key of /v1/webhooks/keys, over id.timestamp.body.",
        ),
    ]);
    let call = |id: &str, summary: &str, schema: &str, responses: Value| {
        let content =
            json!({"application/cloudevents+json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
        let body = json!({"required": true, "content": content});
        json!({"post": {"operationId": id, "summary": summary, "security": [], "parameters": parameters, "requestBody": body, "responses": responses}})
    };
    let delivered = json!({
        "2XX": {"description": "It was taken."},
        "410": {"description": "Nothing is to be sent here any more: the endpoint is disabled."},
        "default": {"description": "It is sent again, at a later time, which Retry-After may name."},
    });
    let answered = json!({
        "200": {
            "description": "The value of `challenge`, as the whole body or as a member of that name.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object", "required": ["challenge"], "properties": {"challenge": {"type": "string"}}}},
            },
        },
        "default": {"description": "No endpoint is created."},
    });
    json!({
        "event": call("onEvent", "Something has happened at a node.", "WebhookEvent", delivered),
        "challenge": call("onChallenge", "Whether the endpoint wants to be one.", "WebhookChallenge", answered),
    })
}

fn contents(contents: &[Content], examples: &Value) -> Value {
    let media = |Content(media, schema): &Content| {
        let mut object = json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}});
        if let Some(example) = examples.get(*media) {
            object["example"] = example.clone();
        }
        ((*media).to_owned(), object)
    };
    Value::Object(contents.iter().map(media).collect())
}

/// What bodies look like, kept as JSON.
fn schemas() -> Value {
    serde_json::from_str(include_str!("docs/schemas.json")).expect("a test reads the schemas")
}

/// Of every body, by operation and media type, kept as JSON; a test sends them all.
static EXAMPLES: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("docs/examples.json")).expect("a test reads the examples"));
const SERVICE: &str = "/v1/services/{service}";
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::EventKind;

    #[test]
    fn every_row_is_whole_and_stands_in_the_document_twice() {
        let document = document();
        let mut ids = std::collections::HashSet::new();
        for row in OPERATIONS {
            for name in row.query {
                assert!(QUERY.iter().any(|known| known.0 == *name), "{name}");
            }
            for prefix in ["/v1", SERVICE].into_iter().take(if OPEN.contains(&row.template) { 1 } else { 2 }) {
                let path = row.template.replacen("/v1", prefix, 1);
                let operation = &document["paths"][&path][row.method.to_lowercase()];
                assert!(ids.insert(operation["operationId"].to_string()), "{path} {}", row.method);
            }
            for Content(_, schema) in row.body.iter().chain(row.answers.iter().flat_map(|answer| answer.content)) {
                assert!(!document["components"]["schemas"][*schema].is_null(), "{schema}");
            }
        }
    }

    #[test]
    fn what_is_sent_to_endpoints_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for name in ["event", "challenge"] {
            let call = &document["webhooks"][name]["post"];
            assert_eq!(call["parameters"].as_array().map(Vec::len), Some(3), "{name}");
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn every_kind_of_event_is_described_wherever_kinds_are() {
        let schemas = schemas();
        let kinds = |pointer: &str| schemas.pointer(pointer).cloned().unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(kinds("/Event/properties/type/enum"), json!(EventKind::NAMES));
        assert_eq!(kinds("/WebhookWish/properties/types/items/enum"), json!(EventKind::NAMES));
        let mut sent: Vec<String> = EventKind::NAMES.iter().map(|name| format!("tidings.{name}")).collect();
        sent.push("tidings.reset".to_owned());
        assert_eq!(kinds("/WebhookEvent/properties/type/enum"), json!(sent));
    }

    #[test]
    fn the_page_uses_nothing_of_other_hosts() {
        for text in [include_str!("docs/page.html"), include_str!("docs/page.js"), include_str!("docs/page.css")] {
            assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("//cdn"));
        }
        assert!(answer(&Method::GET, "/docs").is_some());
        assert!(answer(&Method::POST, "/docs").is_none());
        assert!(answer(&Method::GET, "/docs/../openapi.json").is_none());
    }
}
