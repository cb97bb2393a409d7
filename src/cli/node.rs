//! `tidings node`: nodes of a running server.

use clap::Subcommand;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, IF_NONE_MATCH};
use serde_json::{Map, Value, json};

use super::client::{Client, Door, Sent, segment};
use super::{Settings, Trouble, show};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum Node {
    /// Create a node, with configuration by the names of XEP-0060 without their prefix
    Create {
        node: String,
        /// Such as access_model=whitelist or max_items=10
        #[arg(value_name = "FIELD=VALUE")]
        fields: Vec<String>,
        #[command(flatten)]
        at: At,
    },
    /// List the nodes that may be seen
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Print the configuration of a node
    Show {
        node: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Change the configuration of a node; what is not named stays
    Configure {
        node: String,
        #[arg(value_name = "FIELD=VALUE", required = true)]
        fields: Vec<String>,
        #[command(flatten)]
        at: At,
    },
    /// Delete a node with all that it holds
    Delete {
        node: String,
        #[command(flatten)]
        at: At,
    },
    /// Remove all items of a node
    Purge {
        node: String,
        #[command(flatten)]
        at: At,
    },
}

/// Whose nodes are meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct At {
    /// The service's JID, or an account's for its own nodes [default: the first pub/sub service]
    #[arg(long, value_name = "JID")]
    service: Option<String>,
}

impl At {
    /// The path of a node's resource, or of the nodes.
    pub fn path(&self, node: Option<&str>) -> String {
        let nodes = match &self.service {
            Some(jid) => format!("/v1/services/{}/nodes", segment(jid)),
            None => "/v1/nodes".to_owned(),
        };
        node.map_or(nodes.clone(), |node| format!("{nodes}/{}", segment(node)))
    }
}

pub async fn run(settings: &Settings, config: &Config, node: Node) -> Result<(), Trouble> {
    let client = Client::find(settings, config, Door::Api)?;
    match node {
        Node::Create { node, fields, at } => {
            let sent = fields_of(&fields, Some((IF_NONE_MATCH, "*".to_owned())))?;
            client.ask(Method::PUT, &at.path(Some(&node)), sent).await?;
            show::line(&format!("created {node}"))
        }
        Node::Configure { node, fields, at } => {
            client.ask(Method::PATCH, &at.path(Some(&node)), fields_of(&fields, None)?).await?;
            show::line(&format!("configured {node}"))
        }
        Node::Show { node, json, at } => {
            let config = client.ask_json(Method::GET, &at.path(Some(&node)), None).await?;
            if json { show::json(&config) } else { show_config(&config) }
        }
        Node::Delete { node, at } => {
            client.ask_json(Method::DELETE, &at.path(Some(&node)), None).await?;
            show::line(&format!("deleted {node}"))
        }
        Node::Purge { node, at } => {
            client.ask_json(Method::DELETE, &format!("{}/items", at.path(Some(&node))), None).await?;
            show::line(&format!("purged {node}"))
        }
        Node::List { json, at } => list(&client, json, &at).await,
    }
}

async fn list(client: &Client, json: bool, at: &At) -> Result<(), Trouble> {
    let mut nodes = Vec::new();
    let mut path = format!("{}?limit={PAGE}", at.path(None));
    loop {
        let mut page = client.ask_json(Method::GET, &path, None).await?;
        if let Value::Array(entries) = page["nodes"].take() {
            nodes.extend(entries);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("{}?limit={PAGE}&after={}", at.path(None), segment(next)),
            None => break,
        }
    }
    if json {
        return show::json(&json!({ "nodes": nodes }));
    }
    let row = |node: &Value| ["node", "title", "items", "created"].map(|name| cell(&node[name])).to_vec();
    show::table(&["NODE", "TITLE", "ITEMS", "CREATED"], &nodes.iter().map(row).collect::<Vec<_>>())
}

fn show_config(config: &Value) -> Result<(), Trouble> {
    let fields = config.as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = fields.map(|(name, value)| vec![show::tame(name), cell(value)]).collect();
    show::table(&["FIELD", "VALUE"], &rows)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => show::tame(text),
        other => other.to_string(),
    }
}

/// The body of a creation or configuration.
fn fields_of(fields: &[String], header: Option<(HeaderName, String)>) -> Result<Sent, Trouble> {
    let object = parse_fields(fields)?;
    let mut headers = vec![(CONTENT_TYPE, "application/json".to_owned())];
    headers.extend(header);
    Ok(Sent { headers, body: Value::Object(object).to_string().into() })
}

/// A value is JSON where it can be read as that, else text: `3`, `true`, `["a","b"]`, `open`.
fn parse_fields(fields: &[String]) -> Result<Map<String, Value>, Trouble> {
    let mut object = Map::new();
    for field in fields {
        let (name, value) = field
            .split_once('=')
            .ok_or_else(|| Trouble::wrong_usage(format!("{field:?} must be a field, = and its value")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if object.insert(name.to_owned(), value).is_some() {
            return Err(Trouble::wrong_usage(format!("the field {name} is given twice")));
        }
    }
    Ok(object)
}

/// What the server gives at most.
const PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_json_where_they_can_be() {
        let fields = ["max_items=3", "persist_items=true", "access_model=open", "title=a=b", "roster=[\"x\"]", "t="];
        let fields = fields.map(str::to_owned);
        let expected = json!({
            "max_items": 3, "persist_items": true, "access_model": "open", "title": "a=b", "roster": ["x"], "t": "",
        });
        assert_eq!(Value::Object(parse_fields(&fields).unwrap()), expected);
        assert!(parse_fields(&["title".to_owned()]).is_err());
        assert!(parse_fields(&["a=1".to_owned(), "a=2".to_owned()]).is_err());
    }

    #[test]
    fn a_node_is_one_segment_of_its_service() {
        assert_eq!(At::default().path(Some("orders/42")), "/v1/nodes/orders%2F42");
        let at = At { service: Some("romeo@example.org".to_owned()) };
        assert_eq!(at.path(None), "/v1/services/romeo%40example.org/nodes");
    }
}
