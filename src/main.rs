//! Arguments, configuration, server.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use tidings::cli::{self, Bound, Command, DataLock, OneLine, Serve, Settings, Trouble};
use tidings::config::{Config, LogFormat};
use tidings::server::{self, Parts};
use tidings::time::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

/// A publish is some dozens of small allocations on one thread that another frees: see 0005.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::parse();
    let outcome = match cli.command {
        Command::Serve(serve) => run(&cli.settings, &serve),
        command => return cli::run(&cli.settings, command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.report(),
    }
}

fn run(settings: &Settings, serve: &Serve) -> Result<(), Trouble> {
    let config = settings.load_for(serve)?;
    log_to_stderr(&config);
    raise_descriptors();
    keep_to_small_pages();
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Trouble::failed(error.to_string()))?;
    let served = runtime.block_on(run_server(&config, serve));
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}

async fn run_server(config: &Config, serve: &Serve) -> Result<(), Trouble> {
    let failed = |error: &dyn std::fmt::Display| Trouble::failed(error.to_string());
    let dir = &config.data.dir;
    cli::prepare_data_dir(dir)?;
    let lock = DataLock::take(dir, Duration::from_secs(5))?;
    let _lock = lock.ok_or_else(|| {
        Trouble::failed(format!("another tidings serves the data folder {}: stop it, or use --data", dir.display()))
    })?;
    let certificate = cli::prepare_certificate(config, SystemClock.now())?;
    let store = cli::open_store(config)?;
    let parts = Parts { store, certificate: certificate.chain, key: certificate.key };
    let running = server::start(config, parts).await.map_err(|error| failed(&error))?;
    let first = cli::prepare_accounts(config, &running.access).await?;
    // Asked for before anyone is told that we serve: a signal from then on is a clean stop.
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(|error| failed(&error))?;
    let at = running.addresses;
    let bound = Bound { xmpp: at.xmpp, xmpp_tls: at.xmpp_tls, component: at.component, http: at.http, admin: at.admin };
    cli::write_ready_file(&dir.join("ready.json"), &bound)?;
    if let Some(path) = &serve.ready_file {
        cli::write_ready_file(path, &bound)?;
    }
    print!("{}", cli::welcome(config, &bound, &first));
    loop {
        tokio::select! {
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
            _ = hung_up.recv() => {
                let certificates = running.certificates.clone();
                let _ = tokio::task::spawn_blocking(move || certificates.reload_and_tell()).await;
            }
        }
    }
    tracing::info!("stopping");
    cli::remove_ready_file(dir);
    tokio::select! {
        () = running.stop() => Ok(()),
        _ = terminated.recv() => Err(Trouble::failed("stopped at once, at the second signal")),
        _ = interrupted.recv() => Err(Trouble::failed("stopped at once, at the second signal")),
    }
}

/// Takes as many descriptors as the system lets us have: every connection is one.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let has = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: has.maximum, maximum: has.maximum }) {
        tracing::warn!(%error, "the limit of descriptors stays as it is");
    }
}

/// A session is some dozens of small allocations: in huge pages, thousands of them keep resident what
/// they have long given back (0005).
fn keep_to_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "transparent huge pages stay");
    }
}

fn log_to_stderr(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TIDINGS_LOG").unwrap_or_else(|_| EnvFilter::new(&config.log.filter));
    let coloured = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || OneLine::new(std::io::stderr(), coloured))
        .with_ansi(coloured);
    match config.log.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
