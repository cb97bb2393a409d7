//! `tidings watch`: follows nodes in the terminal, each by a stream of its own, and goes on after a
//! broken connection where it was.

use std::time::Duration;

use clap::Args;
use http_body_util::BodyExt;
use hyper::header::{ACCEPT, HeaderName};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{Client, Door, Sent, Unanswered, segment, told};
use super::node::At;
use super::sse::{Event, Reader};
use super::{Settings, Trouble, show};
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Watch {
    /// Ids of nodes, such as orders/42
    #[arg(required = true, value_name = "NODE", num_args = 1..=NODES_MAX)]
    nodes: Vec<String>,
    /// Begin after this cursor, or with now or earliest; a cursor belongs to one node
    #[arg(long, value_name = "CURSOR", default_value = "now")]
    since: String,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

pub async fn run(settings: &Settings, config: &Config, watch: Watch) -> Result<(), Trouble> {
    if watch.nodes.len() > 1 && !["now", "earliest"].contains(&watch.since.as_str()) {
        return Err(Trouble::wrong_usage("a cursor belongs to one node: with several, --since takes now or earliest"));
    }
    let (lines, mut shown) = mpsc::channel(LINES_WAITING_MAX);
    let mut followers = JoinSet::new();
    // Once before anything is followed: a server that is not there yet is a failure, not a pause.
    Client::find(settings, config, Door::Api)?;
    for node in &watch.nodes {
        let follower = Follower {
            settings: settings.clone(),
            config: config.clone(),
            path: format!("{}/items?watch=true", watch.at.path(Some(node))),
            node: node.clone(),
            since: watch.since.clone(),
            cursor: None,
            json: watch.json,
            lines: lines.clone(),
        };
        followers.spawn(follower.follow());
    }
    drop(lines);
    while let Some(line) = shown.recv().await {
        show::line(&line)?;
    }
    let mut outcome = Ok(());
    while let Some(ended) = followers.join_next().await {
        let ended = ended.unwrap_or_else(|_| Err(Trouble::failed("a stream ended by a mistake of this program")));
        outcome = outcome.and(ended);
    }
    outcome
}

/// Follows one node for as long as there is something to come.
struct Follower {
    settings: Settings,
    config: Config,
    path: String,
    node: String,
    since: String,
    /// The last position that the stream has named.
    cursor: Option<String>,
    json: bool,
    lines: mpsc::Sender<String>,
}

/// How a stream ended.
enum Ended {
    /// Nothing more will come.
    Forever(Result<(), Trouble>),
    /// It may go on where it was. `told` says whether anything came before that.
    Broken { told: bool, why: String },
}

impl Follower {
    async fn follow(mut self) -> Result<(), Trouble> {
        let mut wait = WAIT_FIRST;
        loop {
            match self.stream().await {
                Ended::Forever(outcome) => return outcome,
                Ended::Broken { told, why } => {
                    if told {
                        wait = WAIT_FIRST;
                    }
                    eprintln!("tidings: {}: {why}; trying again in {} s", self.node, wait.as_secs());
                }
            }
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn stream(&mut self) -> Ended {
        let mut headers = vec![(ACCEPT, "text/event-stream".to_owned())];
        let path = match &self.cursor {
            Some(cursor) => {
                headers.push((LAST_EVENT_ID, cursor.clone()));
                self.path.clone()
            }
            None => format!("{}&since={}", self.path, segment(&self.since)),
        };
        let broken = |told: bool, why: String| Ended::Broken { told, why };
        // A server that was started anew may have other ports.
        let client = match Client::find(&self.settings, &self.config, Door::Api) {
            Ok(client) => client,
            Err(why) => return broken(false, why.to_string()),
        };
        let response = match client.open(Method::GET, &path, Sent { headers, ..Sent::default() }).await {
            Ok(response) => response,
            Err(Unanswered::Unreached(why)) => return broken(false, why.to_string()),
            Err(Unanswered::Refused { status, problem }) if may_pass(status) => {
                return broken(false, told(status, &problem));
            }
            Err(refused) => return Ended::Forever(Err(self.named(&Trouble::from(refused)))),
        };
        let (mut body, mut reader, mut heard) = (response.into_body(), Reader::default(), false);
        loop {
            // The server sends a heartbeat every 15 s: a stream that is silent for longer is dead.
            let frame = match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
                Err(_) => return broken(heard, "the stream fell silent".to_owned()),
                Ok(None) => return broken(heard, "the stream ended".to_owned()),
                Ok(Some(Err(error))) => return broken(heard, error.to_string()),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(bytes) = frame.into_data() else { continue };
            reader.feed(&bytes);
            loop {
                let event = match reader.next() {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(_) => return Ended::Forever(Err(self.named(&"an event is larger than any can be"))),
                };
                heard = true;
                if let Some(ended) = self.take(event).await {
                    return ended;
                }
            }
        }
    }

    /// Shows an event, and then moves the cursor over it.
    async fn take(&mut self, event: Event) -> Option<Ended> {
        let Event { name, data, cursor } = event;
        let mut ended = None;
        if let Some(data) = data {
            let object: Value = serde_json::from_str(&data).unwrap_or(Value::String(data));
            if name == "end" {
                return Some(self.end(&object));
            }
            if name == "reset" && !self.json {
                eprintln!("tidings: {}: events are missing here: they are not kept any more", self.node);
            } else {
                let line =
                    if self.json { self.object(&name, object, cursor.as_deref()) } else { self.line(&name, &object) };
                if self.lines.send(line).await.is_err() {
                    return Some(Ended::Forever(Ok(())));
                }
            }
            if name == "deleted" {
                ended = Some(Ended::Forever(Ok(())));
            }
        }
        if cursor.is_some() {
            self.cursor = cursor;
        }
        ended
    }

    /// The server says why it ends the stream.
    fn end(&self, problem: &Value) -> Ended {
        let status = problem.get("status").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let status = status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let why = told(status, problem);
        if may_pass(status) {
            return Ended::Broken { told: true, why };
        }
        Ended::Forever(Err(self.named(&why)))
    }

    fn object(&self, name: &str, object: Value, cursor: Option<&str>) -> String {
        let mut object = match object {
            Value::Object(object) => object,
            other => [("data".to_owned(), other)].into_iter().collect(),
        };
        object.entry("type").or_insert_with(|| json!(name));
        object.entry("node").or_insert_with(|| json!(self.node));
        if let Some(cursor) = cursor {
            object.entry("cursor").or_insert_with(|| json!(cursor));
        }
        Value::Object(object).to_string()
    }

    /// Time, node, what happened, item, data.
    fn line(&self, name: &str, object: &Value) -> String {
        let text = |field: &str| object.get(field).and_then(Value::as_str).map(show::tame);
        let node = text("node").unwrap_or_else(|| self.node.clone());
        let data = object.get("data").or(object.get("config"));
        let data = data.map(|data| data.as_str().map_or_else(|| data.to_string(), str::to_owned));
        let parts = [text("time"), Some(node), Some(show::tame(name)), text("id"), data.as_deref().map(show::tame)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    fn named(&self, why: &dyn std::fmt::Display) -> Trouble {
        Trouble::failed(format!("watching {}: {why}", self.node))
    }
}

/// Whether a refusal may be otherwise in a while.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

/// From half of it to the whole, so that not everybody comes back at once.
fn jittered(wait: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or(u32::MAX);
    wait / 2 + (wait / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// Streams are connections, and an account may have only so many.
const NODES_MAX: usize = 100;

/// Lines that wait for a slow terminal; then the streams wait.
const LINES_WAITING_MAX: usize = 64;

const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_secs(60);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[cfg(test)]
mod tests;
