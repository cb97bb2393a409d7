//! The load driver: measures a pub/sub server from outside, over its public protocols only.
//!
//! It shares no code with the server it measures and runs the same scenarios against other servers (Prosody, nchan), so
//! that a mistake in one cannot hide in both. It sends traffic to loopback addresses only, is bounded in count and
//! time, and ends the servers it started.
//!
//! `cargo bench --bench load -- help` tells the scenarios and options.
//!
//! * `options`: the command line
//! * `server`, `accounts`, `prosody`, `nchan`: starting a server, and what it needs
//! * `door`: its HTTP listener, plain or over TLS
//! * `scan`, `scram`, `client`: a very small XMPP client whose cost can be told from the server's
//! * `pubsub`: the requests and payloads
//! * `measure`: CPU, memory, latency, the table and the JSON line
//! * `fanout`, `publish`, `http_publish`, `webhooks`, `idle`, `login`, `watchers`, `resume`, `resumption`,
//!   `subscriptions`, `nodes`, `contacts`, `broken`, `guessing`: the scenarios
//! * `self_check`: the driver's own checks can fail

mod accounts;
mod broken;
mod client;
mod contacts;
mod door;
mod fanout;
mod guessing;
mod http_publish;
mod idle;
mod login;
mod measure;
mod nchan;
mod nodes;
mod options;
mod prosody;
mod publish;
mod pubsub;
mod resume;
mod resumption;
mod scan;
mod scram;
mod self_check;
mod server;
mod subscriptions;
mod watchers;
mod webhooks;

use std::process::ExitCode;
use std::time::Duration;

use options::{Options, Scenario};

/// What any step of the driver may fail with: a sentence for the person who runs it.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("load: {why}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("load: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one scenario; `false` when it ran and what it checks did not hold.
fn run(options: &Options) -> Outcome<bool> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "the TLS provider was installed twice")?;
    if options.scenario == Scenario::SelfCheck {
        return self_check::run();
    }
    measure::raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build()?;
    let mut server = server::start(options)?;
    let scenario = async {
        match options.scenario {
            Scenario::Fanout => fanout::run(options, &server).await,
            Scenario::Publish => publish::run(options, &server).await,
            Scenario::HttpPublish => http_publish::run(options, &server).await,
            Scenario::Webhooks => webhooks::run(options, &server).await,
            Scenario::Idle => idle::run(options, &server).await,
            Scenario::Login => login::run(options, &server).await,
            Scenario::Watchers => watchers::run(options, &server).await,
            Scenario::Resume => resume::run(options, &server).await,
            Scenario::Resumption => resumption::run(options, &server).await,
            Scenario::Subscriptions => subscriptions::run(options, &server).await,
            Scenario::Nodes => nodes::run(options, &mut server).await,
            Scenario::Broken => broken::run(options, &server).await,
            Scenario::Guessing => guessing::run(options, &server).await,
            Scenario::Contacts => contacts::run(options, &server).await,
            Scenario::SelfCheck => Err("the self check needs no server".into()),
        }
    };
    let report = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, scenario).await });
    runtime.shutdown_timeout(Duration::from_secs(2));
    let log = server.stop();
    match report {
        Ok(Ok(report)) => Ok(report.print()),
        Ok(Err(why)) => Err(format!("{why}\n{log}").into()),
        Err(_) => Err(format!("the scenario did not end within {} s\n{log}", TIME_LIMIT.as_secs()).into()),
    }
}

/// However large the numbers given, a run ends.
const TIME_LIMIT: Duration = Duration::from_secs(30 * 60);
