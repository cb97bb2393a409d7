//! `tidings publish`: one item.

use std::io::{self, IsTerminal};

use clap::Args;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::Value;

use super::client::{Client, Door, Sent, segment};
use super::node::At;
use super::{Settings, Trouble, show, terminal};
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Publish {
    /// The id of a node, such as orders/42
    node: String,
    /// What is published; - or nothing is stdin
    #[arg(value_name = "DATA")]
    content: Option<String>,
    /// Publish under this item id [default: the server makes one]
    #[arg(long)]
    id: Option<String>,
    /// The media type of the data
    #[arg(long = "type", value_name = "TYPE", default_value = "application/json")]
    media_type: String,
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

pub async fn run(settings: &Settings, config: &Config, publish: Publish) -> Result<(), Trouble> {
    let content = match publish.content.as_deref() {
        Some("-") => terminal::everything()?,
        Some(text) => text.as_bytes().to_vec(),
        None if io::stdin().is_terminal() => {
            return Err(Trouble::wrong_usage("there is nothing to publish: give the data, or - to type it"));
        }
        None => terminal::everything()?,
    };
    let client = Client::find(settings, config, Door::Api)?;
    let items = format!("{}/items", publish.at.path(Some(&publish.node)));
    let (method, path) = match &publish.id {
        Some(id) => (Method::PUT, format!("{items}/{}", segment(id))),
        None => (Method::POST, items),
    };
    let sent = Sent { headers: vec![(CONTENT_TYPE, publish.media_type)], body: content.into() };
    let answer = client.ask(method, &path, sent).await?;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if publish.json {
        return show::json(&answer);
    }
    let id = answer.get("id").and_then(Value::as_str).or(publish.id.as_deref()).unwrap_or("?");
    let seq = answer.get("seq").map(ToString::to_string).unwrap_or_default();
    show::line(&format!("published {} as event {seq} of {}", show::tame(id), show::tame(&publish.node)))
}
