//! `tidings token`: API tokens.

use clap::{Args, Subcommand};
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::reach::Reach;
use super::{Settings, Trouble, show};
use crate::access::{Access, NewToken, NotDone};
use crate::config::Config;
use crate::store;

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token for an account; its secret is printed once
    Create(Create),
    /// List the tokens, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token and cut what is open by it
    Revoke {
        /// The id, which the list shows and the token bears between its first two underscores
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// A name at the first host, or a bare JID
    account: String,
    /// What the token may do: publish, read or manage, a colon, and a node with * for any characters;
    /// may be repeated [default: all that the account may]
    #[arg(long = "scope", value_name = "VERB:NODE")]
    scopes: Vec<String>,
    /// For how long: a number and s, m, h, d or w [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    id: String,
    account: String,
    scopes: Vec<String>,
    created: String,
    expires: Option<String>,
    last_used: Option<String>,
}

/// A token just made.
struct Made {
    id: String,
    token: String,
}

pub async fn run(settings: &Settings, config: &Config, token: Token) -> Result<(), Trouble> {
    let reach = Reach::existing(settings, config).await?;
    match token {
        Token::Create(create) => {
            let made = match reach {
                Reach::Running(client) => ask_create(&client, &create).await?,
                Reach::Stopped(stopped) => {
                    let made = make(&stopped.access, &create).await.map_err(failed);
                    stopped.close().await.and(made)?
                }
            };
            // The secret alone on stdout, so that a script can take it.
            if create.json {
                show::json(&json!({ "id": made.id, "token": made.token }))
            } else {
                show::line(&made.token)
            }
        }
        Token::List { json } => {
            let tokens = match reach {
                Reach::Running(client) => ask_list(&client).await?,
                Reach::Stopped(stopped) => {
                    let tokens = stopped.access.list_tokens(None).await.map_err(failed);
                    stopped.close().await.and(tokens)?.iter().map(Line::of).collect()
                }
            };
            if json { show::json(&json!({ "tokens": tokens })) } else { show_list(&tokens) }
        }
        Token::Revoke { id } => {
            match reach {
                Reach::Running(client) => {
                    client.ask_json(Method::DELETE, &format!("{TOKENS}/{}", segment(&id)), None).await?;
                }
                Reach::Stopped(stopped) => {
                    let revoked = stopped.access.revoke_token(&id).await.map_err(failed);
                    stopped.close().await.and(revoked)?;
                }
            }
            show::line(&format!("revoked {id}"))
        }
    }
}

async fn make(access: &Access, create: &Create) -> Result<Made, NotDone> {
    let account = access.user(&create.account)?;
    let new = NewToken { account, scopes: create.scopes.clone(), expires_seconds: create.expires };
    let issued = access.create_token(new).await?;
    Ok(Made { id: issued.id, token: issued.text })
}

async fn ask_create(client: &Client, create: &Create) -> Result<Made, Trouble> {
    let mut body = json!({ "account": create.account, "scopes": create.scopes });
    if let Some(seconds) = create.expires {
        body["expires_seconds"] = json!(seconds);
    }
    let answer = client.ask_json(Method::POST, TOKENS, Some(&body)).await?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(id), Some(token)) = (text("id"), text("token")) else {
        return Err(Trouble::failed("the server made a token and did not say which"));
    };
    Ok(Made { id, token })
}

async fn ask_list(client: &Client) -> Result<Vec<Line>, Trouble> {
    let mut answer = client.ask_json(Method::GET, TOKENS, None).await?;
    serde_json::from_value(answer["tokens"].take())
        .map_err(|error| Trouble::failed(format!("the server's list of tokens: {error}")))
}

fn show_list(tokens: &[Line]) -> Result<(), Trouble> {
    let or = |text: &Option<String>, none: &str| text.clone().unwrap_or_else(|| none.to_owned());
    let row = |token: &Line| {
        let scopes = if token.scopes.is_empty() { "all".to_owned() } else { token.scopes.join(" ") };
        let cells = [
            token.id.clone(),
            token.account.clone(),
            scopes,
            token.created.clone(),
            or(&token.expires, "never"),
            or(&token.last_used, "never"),
        ];
        cells.iter().map(|cell| show::tame(cell)).collect()
    };
    let heads = ["ID", "ACCOUNT", "SCOPES", "CREATED", "EXPIRES", "LAST USED"];
    show::table(&heads, &tokens.iter().map(row).collect::<Vec<_>>())
}

impl Line {
    fn of(token: &store::Token) -> Self {
        Line {
            id: token.id.clone(),
            account: token.account.to_string(),
            scopes: token.scopes.clone(),
            created: token.created.to_string(),
            expires: token.expires.map(|at| at.to_string()),
            last_used: token.last_used.map(|at| at.to_string()),
        }
    }
}

/// `90d` and the like, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "must be a number and s, m, h, d or w, such as 90d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    number.checked_mul(each).filter(|seconds| (1..=EXPIRES_SECONDS_MAX).contains(seconds)).ok_or_else(wrong)
}

fn failed(why: NotDone) -> Trouble {
    Trouble::failed(why.to_string())
}

const TOKENS: &str = "/v1/admin/tokens";

/// A hundred years: beyond it, never is meant.
const EXPIRES_SECONDS_MAX: u64 = 100 * 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, expected) in [("90d", 7_776_000), ("1s", 1), ("2m", 120), ("3h", 10_800), ("1w", 604_800)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for text in ["", "d", "90", "0d", "-1d", "1y", "1.5h", "99999999999999999999d", "999999w", "1é"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
