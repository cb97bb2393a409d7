//! `tidings webhook`: the endpoints of a node, through the server's HTTP API.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Client, Door, segment};
use super::show;
use super::{Settings, Trouble};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// Create an endpoint; its secret is printed once
    Create {
        node: String,
        url: String,
        /// Only events of this kind; may be repeated
        #[arg(long = "type", value_name = "KIND")]
        types: Vec<String>,
        /// Send without waiting for the answer to the one before
        #[arg(long)]
        parallel: bool,
    },
    /// List the endpoints of a node
    List {
        node: String,
        #[arg(long)]
        json: bool,
    },
    /// Show an endpoint with its latest attempts, as JSON
    Show { node: String, id: String },
    /// Show deliveries that were given up, as JSON
    Dead { node: String, id: String },
    /// Deliver again: one that was given up, or everything after a cursor
    Replay {
        node: String,
        id: String,
        /// The seq of a dead letter
        #[arg(long, conflicts_with = "after", required_unless_present = "after")]
        seq: Option<u64>,
        /// A cursor, or earliest
        #[arg(long)]
        after: Option<String>,
    },
    /// Deliver again to an endpoint that was disabled
    Enable { node: String, id: String },
    /// Remove an endpoint with its dead letters
    Remove { node: String, id: String },
}

pub async fn run(settings: &Settings, config: &Config, webhook: Webhook) -> Result<(), Trouble> {
    let client = Client::find(settings, config, Door::Api)?;
    let all = |node: &str| format!("/v1/nodes/{}/webhooks", segment(node));
    let one = |node: &str, id: &str| format!("{}/{}", all(node), segment(id));
    match webhook {
        Webhook::Create { node, url, types, parallel } => {
            let mode = if parallel { "parallel" } else { "ordered" };
            let wish = json!({"url": url, "types": types, "mode": mode});
            let created = client.ask_json(Method::POST, &all(&node), Some(&wish)).await?;
            show::line(&text(&created, "id"))?;
            show::line(&text(&created, "secret"))
        }
        Webhook::List { node, json } => {
            let listed = client.ask_json(Method::GET, &all(&node), None).await?;
            if json {
                return show::line(&listed["webhooks"].to_string());
            }
            let webhooks = listed["webhooks"].as_array().into_iter().flatten();
            let rows = webhooks.map(|webhook| {
                let state = webhook["disabled"].as_str().map_or("enabled".to_owned(), |why| format!("disabled: {why}"));
                [text(webhook, "id"), text(webhook, "url"), text(webhook, "mode"), state]
                    .map(|it| show::tame(&it))
                    .to_vec()
            });
            show::table(&["ID", "URL", "MODE", "STATE"], &rows.collect::<Vec<_>>())
        }
        Webhook::Show { node, id } => shown(&client, &one(&node, &id)).await,
        Webhook::Dead { node, id } => shown(&client, &format!("{}/dead", one(&node, &id))).await,
        Webhook::Replay { node, id, seq, after } => {
            let wish = match seq {
                Some(seq) => json!({"seq": seq}),
                None => json!({"after": after}),
            };
            client.ask_json(Method::POST, &format!("{}/replay", one(&node, &id)), Some(&wish)).await.map(|_| ())
        }
        Webhook::Enable { node, id } => {
            client.ask_json(Method::PATCH, &one(&node, &id), Some(&json!({"enabled": true}))).await.map(|_| ())
        }
        Webhook::Remove { node, id } => client.ask_json(Method::DELETE, &one(&node, &id), None).await.map(|_| ()),
    }
}

async fn shown(client: &Client, path: &str) -> Result<(), Trouble> {
    let found = client.ask_json(Method::GET, path, None).await?;
    let pretty = serde_json::to_string_pretty(&found).map_err(|error| Trouble::failed(error.to_string()))?;
    show::line(&pretty)
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}
