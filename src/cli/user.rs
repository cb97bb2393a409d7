//! `tidings user`: accounts.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, Sent, segment};
use super::data::at;
use super::reach::{Reach, Stopped};
use super::{Settings, Trouble, show, terminal};
use crate::access::{Access, NewPassword, NewUser, NotDone, VerifierKind};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum User {
    /// Add an account; without a password and without a terminal one is generated and printed
    Add(Add),
    /// List the accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an account another password; cuts its sessions and revokes its API tokens
    Passwd {
        name: String,
        /// Read the password from the first line of stdin
        #[arg(long)]
        password_stdin: bool,
    },
    /// Add or change many accounts: lines of a name, a space and a password; - is stdin
    Import { file: PathBuf },
    /// Shut an account out; its data and tokens stay
    Disable { name: String },
    /// Let a disabled account in again
    Enable { name: String },
    /// Remove an account and its API tokens
    Remove { name: String },
}

#[derive(Debug, Args)]
pub struct Add {
    /// A name at the first host, or a bare JID
    name: String,
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
    /// Let the account administer the server
    #[arg(long)]
    admin: bool,
    /// How the password is kept [default: auth.verifier]
    #[arg(long, value_name = "KIND", value_parser = ["scram", "argon2id"])]
    verifier: Option<String>,
}

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    jid: String,
    admin: bool,
    disabled: bool,
    verifier: String,
}

/// A page of accounts, as the admin listener gives it.
#[derive(Debug, Deserialize)]
struct Page {
    users: Vec<Line>,
    #[serde(default)]
    next: Option<String>,
}

pub async fn run(settings: &Settings, config: &Config, user: User) -> Result<(), Trouble> {
    match user {
        User::Add(add) => {
            let password = terminal::new_password(add.password_stdin)?;
            let jid = act(settings, config, Act::Add(&add, &password)).await?;
            tell_password(&format!("added {jid}"), &password)
        }
        User::Passwd { name, password_stdin } => {
            let password = terminal::new_password(password_stdin)?;
            let done = act(settings, config, Act::Password(&name, &password)).await?;
            tell_password(&done, &password)
        }
        User::Disable { name } => show::line(&act(settings, config, Act::Disable(&name, true)).await?),
        User::Enable { name } => show::line(&act(settings, config, Act::Disable(&name, false)).await?),
        User::Remove { name } => show::line(&act(settings, config, Act::Remove(&name)).await?),
        User::List { json } => list(settings, config, json).await,
        User::Import { file } => import(settings, config, &file).await,
    }
}

/// One change of one account.
enum Act<'a> {
    Add(&'a Add, &'a NewPassword),
    Password(&'a str, &'a NewPassword),
    Disable(&'a str, bool),
    Remove(&'a str),
}

/// Answers with what is to be said of it.
async fn act(settings: &Settings, config: &Config, act: Act<'_>) -> Result<String, Trouble> {
    let reach = match act {
        Act::Add(..) => Reach::find(settings, config).await?,
        Act::Password(..) | Act::Disable(..) | Act::Remove(_) => Reach::existing(settings, config).await?,
    };
    match reach {
        Reach::Running(client) => ask(&client, act).await,
        Reach::Stopped(stopped) => {
            let done = change(&stopped.access, act).await.map_err(|why| Trouble::failed(why.to_string()));
            stopped.close().await.and(done)
        }
    }
}

async fn change(access: &Access, act: Act<'_>) -> Result<String, NotDone> {
    match act {
        Act::Add(add, password) => {
            let verifier = add.verifier.as_deref().and_then(VerifierKind::parse);
            let new = NewUser { name: add.name.clone(), password: password.clone(), admin: add.admin, verifier };
            let jid = access.add_user(new).await?;
            if let Some(other) = access.looks_like(&jid).await? {
                warn_of_likeness(jid.as_str(), other.as_str());
            }
            Ok(jid.to_string())
        }
        Act::Password(name, password) => {
            let jid = access.user(name)?;
            access.set_password(&jid, password.clone()).await?;
            Ok(told_password(jid.as_str()))
        }
        Act::Disable(name, disabled) => {
            let jid = access.user(name)?;
            access.set_disabled(&jid, disabled).await?;
            Ok(told_disabled(jid.as_str(), disabled))
        }
        Act::Remove(name) => {
            let jid = access.user(name)?;
            access.remove_user(&jid).await?;
            Ok(format!("removed {jid}"))
        }
    }
}

async fn ask(client: &Client, act: Act<'_>) -> Result<String, Trouble> {
    let path = |name: &str| format!("{USERS}/{}", segment(name));
    match act {
        Act::Add(add, password) => {
            let mut body = json!({ "name": add.name, "password": text(password), "admin": add.admin });
            if let Some(verifier) = &add.verifier {
                body["verifier"] = json!(verifier);
            }
            let answer = client.ask_json(Method::POST, USERS, Some(&body)).await?;
            let jid = answer.get("jid").and_then(Value::as_str).unwrap_or(&add.name);
            if let Some(other) = answer.get("looks_like").and_then(Value::as_str) {
                warn_of_likeness(jid, other);
            }
            Ok(jid.to_owned())
        }
        Act::Password(name, password) => {
            let body = json!({ "password": text(password) });
            client.ask_json(Method::PATCH, &path(name), Some(&body)).await?;
            Ok(told_password(name))
        }
        Act::Disable(name, disabled) => {
            client.ask_json(Method::PATCH, &path(name), Some(&json!({ "disabled": disabled }))).await?;
            Ok(told_disabled(name, disabled))
        }
        Act::Remove(name) => {
            client.ask_json(Method::DELETE, &path(name), None).await?;
            Ok(format!("removed {name}"))
        }
    }
}

/// Beside the answer, which a script may read.
fn warn_of_likeness(jid: &str, other: &str) {
    eprintln!("warning: {} looks like {}: people may take one for the other", show::tame(jid), show::tame(other));
}

fn told_password(name: &str) -> String {
    format!("changed the password of {name}; its sessions were cut and its API tokens revoked")
}

fn told_disabled(name: &str, disabled: bool) -> String {
    format!("{} {name}", if disabled { "disabled" } else { "enabled" })
}

/// A generated password is the last line, alone, so that a script can take it.
fn tell_password(done: &str, password: &NewPassword) -> Result<(), Trouble> {
    match password {
        NewPassword::Chosen(_) => show::line(done),
        NewPassword::Generated(text) => show::line(&format!("{done}; its password is\n{text}")),
    }
}

fn text(password: &NewPassword) -> &str {
    match password {
        NewPassword::Chosen(text) | NewPassword::Generated(text) => text,
    }
}

async fn list(settings: &Settings, config: &Config, json: bool) -> Result<(), Trouble> {
    let users = match Reach::existing(settings, config).await? {
        Reach::Running(client) => listed(&client).await?,
        Reach::Stopped(stopped) => kept(stopped).await?,
    };
    if json {
        return show::json(&json!({ "users": users }));
    }
    let word = |flag: bool, word: &str| if flag { word.to_owned() } else { "-".to_owned() };
    let row = |user: &Line| {
        vec![show::tame(&user.jid), word(user.admin, "admin"), word(user.disabled, "disabled"), user.verifier.clone()]
    };
    show::table(&["JID", "ROLE", "STATE", "VERIFIER"], &users.iter().map(row).collect::<Vec<_>>())
}

async fn listed(client: &Client) -> Result<Vec<Line>, Trouble> {
    let mut users = Vec::new();
    let mut path = USERS.to_owned();
    loop {
        let answer = client.ask_json(Method::GET, &path, None).await?;
        let page: Page = serde_json::from_value(answer)
            .map_err(|error| Trouble::failed(format!("the server's list of accounts: {error}")))?;
        users.extend(page.users);
        match page.next {
            Some(next) => path = format!("{USERS}?after={}", segment(&next)),
            None => return Ok(users),
        }
    }
}

async fn kept(stopped: Stopped) -> Result<Vec<Line>, Trouble> {
    let failed = |why: NotDone| Trouble::failed(format!("listing the accounts: {why}"));
    let mut users = Vec::new();
    let mut after = None;
    loop {
        let page = stopped.access.list_users(after, PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.jid.clone());
        users.extend(page.iter().map(|account| Line {
            jid: account.jid.to_string(),
            admin: account.admin,
            disabled: account.disabled,
            verifier: VerifierKind::of(&account.verifier).to_string(),
        }));
    }
    stopped.close().await?;
    Ok(users)
}

async fn import(settings: &Settings, config: &Config, file: &Path) -> Result<(), Trouble> {
    let bytes = if file == Path::new("-") {
        terminal::everything()?
    } else {
        std::fs::read(file).map_err(|error| at("reading", file, &error))?
    };
    let text = String::from_utf8(bytes).map_err(|_| Trouble::failed(format!("{}: it is not UTF-8", file.display())))?;
    let entries = entries(&text).map_err(|line| {
        Trouble::failed(format!("{}:{line}: must be a name, a space and a password", file.display()))
    })?;
    let progress = Progress::new(entries.len() as u64);
    let done = match Reach::find(settings, config).await? {
        Reach::Running(client) => send_entries(&client, &entries, &progress).await,
        Reach::Stopped(stopped) => {
            let pairs: Vec<_> =
                entries.iter().map(|entry| (entry.name.to_owned(), entry.password.to_owned())).collect();
            let hear = |done| {
                progress.show(done);
                ControlFlow::Continue(())
            };
            let done = stopped.access.import_users(pairs, hear).await;
            let done = done.map_err(|why| match why {
                NotDone::Entry(index, why) => {
                    let line = usize::try_from(index).ok().and_then(|index| entries.get(index)).map_or(0, |e| e.line);
                    Trouble::failed(format!("{}:{line}: {why}", file.display()))
                }
                why => Trouble::failed(format!("importing {}: {why}", file.display())),
            });
            stopped.close().await.and(done)
        }
    };
    progress.end();
    show::line(&format!("imported {}", done?))
}

async fn send_entries(client: &Client, entries: &[Entry<'_>], progress: &Progress) -> Result<u64, Trouble> {
    let mut done = 0;
    for piece in entries.chunks(IMPORT_LINES_MAX) {
        let lines =
            piece.iter().map(|entry| format!("{}\n", json!({ "name": entry.name, "password": entry.password })));
        let sent = Sent {
            headers: vec![(CONTENT_TYPE, "application/x-ndjson".to_owned())],
            body: lines.collect::<String>().into(),
        };
        let answer = client.ask(Method::POST, IMPORT, sent).await.map_err(|why| {
            let first = piece.first().map_or(0, |entry| entry.line);
            Trouble::failed(format!("importing from line {first}: {}", Trouble::from(why)))
        })?;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        done += answer.get("imported").and_then(Value::as_u64).unwrap_or(piece.len() as u64);
        progress.show(done);
    }
    Ok(done)
}

/// A line of an import.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    line: usize,
    name: &'a str,
    password: &'a str,
}

/// Empty lines and lines that begin with `#` are passed over. The password is the rest of the line,
/// spaces and all. An error is the number of the line.
fn entries(text: &str) -> Result<Vec<Entry<'_>>, usize> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let told = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    told.map(|(line, text)| match text.split_once([' ', '\t']) {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => Ok(Entry { line, name, password }),
        _ => Err(line),
    })
    .collect()
}

/// How far an import is, on a terminal.
struct Progress {
    total: u64,
    shown: bool,
}

impl Progress {
    fn new(total: u64) -> Self {
        Progress { total, shown: io::stderr().is_terminal() }
    }

    fn show(&self, done: u64) {
        if self.shown {
            let percent = (done * 100).checked_div(self.total).unwrap_or(100);
            // A terminal that has gone away needs no progress.
            let _ = write!(io::stderr(), "\r{done} of {} ({percent} %)", self.total);
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}

/// Lines of one request of an import: their passwords are hashed before it is answered.
pub const IMPORT_LINES_MAX: usize = 64;

const USERS: &str = "/v1/admin/users";
const IMPORT: &str = "/v1/admin/users:import";
const PAGE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_names_and_passwords() {
        let text = "# staff\n\nalice secret\r\nbob two words \ncarol\tx#y\n";
        let entry = |line, name, password| Entry { line, name, password };
        let expected = vec![entry(3, "alice", "secret"), entry(4, "bob", "two words "), entry(5, "carol", "x#y")];
        assert_eq!(entries(text), Ok(expected));
        assert_eq!(entries("alice secret\nbob\n"), Err(2));
        assert_eq!(entries("alice \n"), Err(1));
        assert_eq!(entries(" secret\n"), Err(1));
    }
}
