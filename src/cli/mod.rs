//! The command line: its words, and the commands that are not `serve`.
//!
//! `user` and `token` work on the data directory while no server runs there, and through the admin
//! listener while one does; `node`, `publish` and `watch` speak to the server's HTTP API. What the
//! server needs of the data directory (its lock, its secrets, the first run, what is printed at the
//! start) stands here too, because both sides must agree on it.
//!
//! # What the commands ask of the admin listener
//!
//! All with `Authorization: Bearer …` of an administrator's token without scopes. Errors are problem
//! documents (RFC 9457), of which `detail` is printed. `{name}` is a name or a bare JID,
//! percent-encoded as one segment.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /v1/admin/users?after=JID` | | `200 {"users":[{"jid","admin","disabled","verifier"}],"next"?}`, ordered by JID |
//! | `POST /v1/admin/users` | `{"name","password","admin":bool,"verifier"?:"scram"\|"argon2id"}` | `201 {"jid"}`; 409 when it exists |
//! | `PATCH /v1/admin/users/{name}` | `{"password"?,"disabled"?}` | `200 {"jid"}` |
//! | `DELETE /v1/admin/users/{name}` | | `204`; 404 |
//! | `POST /v1/admin/users:import` | NDJSON lines `{"name","password"}`, at most [`user::IMPORT_LINES_MAX`] | `200 {"imported":n}` |
//! | `GET /v1/admin/tokens` | | `200 {"tokens":[{"id","account","scopes","created","expires","last_used"}]}` |
//! | `POST /v1/admin/tokens` | `{"account","scopes":[…],"expires_seconds"?}` | `201 {"id","token"}` |
//! | `DELETE /v1/admin/tokens/{id}` | | `204`; 404 |
//!
//! Times are XEP-0082 texts or null. A list with `next` goes on at `?after=` its value.

mod client;
mod data;
mod first_run;
mod node;
mod one_line;
mod publish;
mod reach;
mod show;
mod sse;
mod terminal;
mod token;
mod trouble;
pub mod user;
mod watch;
mod webhook;
mod welcome;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Sources};

pub use data::{Bound, DataLock, local_token, prepare_data_dir, remove_ready_file, write_ready_file};
pub use first_run::{Certificate, FirstRun, prepare_accounts, prepare_certificate};
pub use one_line::OneLine;
pub use reach::open_store;
pub use trouble::Trouble;
pub use welcome::welcome;

/// A pub/sub server in which every API resource is a node.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, arg_required_else_help = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

/// Where settings come from; before or after the name of the command.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// Read this configuration file [default: TIDINGS_CONFIG, else ./tidings.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Set one setting; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Read the API token from this file [default: TIDINGS_TOKEN, else the data folder's own]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Serve),
    /// Accounts
    #[command(subcommand)]
    User(user::User),
    /// API tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Nodes
    #[command(subcommand)]
    Node(node::Node),
    /// Publish an item
    Publish(publish::Publish),
    /// Follow nodes, across reconnections
    Watch(watch::Watch),
    /// Endpoints that are called with what happens at a node
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the version
    Version,
}

#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// Write the bound addresses to this file, as JSON, once the server serves
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub log_format: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Name every mistake in the configuration, with its line
    Check,
    /// Print every setting with type, default and meaning, as Markdown
    Reference,
}

impl Settings {
    pub fn load(&self) -> Result<Config, Trouble> {
        self.load_with(Vec::new())
    }

    /// The configuration of the server, with its own flags.
    pub fn load_for(&self, serve: &Serve) -> Result<Config, Trouble> {
        self.load_with(serve.log_format.iter().map(|format| format!("log.format={format}")).collect())
    }

    fn load_with(&self, more: Vec<String>) -> Result<Config, Trouble> {
        let sets = self.set.iter().cloned().chain(more).collect();
        let sources = Sources::of_process(self.config.clone(), self.data.clone(), sets);
        config::load(&sources).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            Trouble::failed(format!("the configuration cannot be used\n{}", lines.join("\n")))
        })
    }
}

/// Reads the command line of this process; wrong usage ends it with 2.
pub fn parse() -> Cli {
    Cli::parse()
}

/// Carries out any command but `serve`, which is the server's: 0 done, 1 failed, 2 wrong usage.
pub fn run(settings: &Settings, command: Command) -> ExitCode {
    let outcome = match command {
        Command::Serve(_) => unreachable!("the server is run by main"),
        Command::Config(ConfigCommand::Check) => settings.load().and_then(|_| show::line("the configuration is good")),
        Command::Config(ConfigCommand::Reference) => show::text(&config::reference()),
        Command::Version => show::line(&format!("tidings {}", env!("CARGO_PKG_VERSION"))),
        other => block_on(settings, other),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.report(),
    }
}

fn block_on(settings: &Settings, command: Command) -> Result<(), Trouble> {
    let config = settings.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::failed(format!("the threads of this command: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::User(user) => user::run(settings, &config, user).await,
            Command::Token(token) => token::run(settings, &config, token).await,
            Command::Node(node) => node::run(settings, &config, node).await,
            Command::Publish(publish) => publish::run(settings, &config, publish).await,
            Command::Webhook(webhook) => webhook::run(settings, &config, webhook).await,
            Command::Watch(watch) => watch::run(settings, &config, watch).await,
            Command::Serve(_) | Command::Config(_) | Command::Version => unreachable!("carried out without waiting"),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_words_of_the_command_line_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_stand_before_or_after_the_command() {
        for line in [
            &["tidings", "--data", "d", "--set", "a.b=c", "serve", "--ready-file", "r"][..],
            &["tidings", "serve", "--data", "d", "--set", "a.b=c", "--ready-file", "r"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.settings.data, Some(PathBuf::from("d")));
            assert_eq!(cli.settings.set, ["a.b=c"]);
            assert!(matches!(cli.command, Command::Serve(Serve { ready_file: Some(_), .. })));
        }
    }

    #[test]
    fn every_command_takes_the_settings_too() {
        for line in [
            "serve",
            "user add alice --admin --verifier scram --password-stdin",
            "user list --json",
            "user passwd alice",
            "user import -",
            "user disable alice",
            "user enable alice",
            "user remove alice",
            "token create alice --scope publish:orders/* --scope read:* --expires 90d --json",
            "token list",
            "token revoke x",
            "node create orders/1 max_items=1 --service pubsub.localhost",
            "node list --json",
            "node show orders/1",
            "node configure orders/1 max_items=1",
            "node delete orders/1",
            "node purge orders/1",
            "publish orders/1 {} --id 7 --type application/json",
            "publish orders/1 -",
            "webhook create orders/1 https://example.org/ --type published --parallel",
            "webhook list orders/1 --json",
            "webhook show orders/1 x",
            "webhook dead orders/1 x",
            "webhook replay orders/1 x --seq 7",
            "webhook replay orders/1 x --after earliest",
            "webhook enable orders/1 x",
            "webhook remove orders/1 x",
            "watch a b --since earliest --json",
            "config check",
            "config reference",
            "version",
        ] {
            let words = ["tidings"].into_iter().chain(line.split(' ')).chain(["--data", "d", "--config", "c"]);
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(cli.settings.data, Some(PathBuf::from("d")), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_wrong_usage() {
        for line in [
            &["tidings"][..],
            &["tidings", "sreve"],
            &["tidings", "user"],
            &["tidings", "user", "add"],
            &["tidings", "user", "add", "a", "--verifier", "md5"],
            &["tidings", "serve", "--log-format", "xml"],
            &["tidings", "watch"],
            &["tidings", "webhook", "replay", "n", "x"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
