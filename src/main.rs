//! Arguments, configuration, server.

use std::process::ExitCode;
use std::time::Duration;

use tidings::cli::{self, Bound, Command, DataLock, Serve, Settings, Trouble};
use tidings::server::{self, Parts};
use tidings::time::{Clock, SystemClock};

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
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Trouble::failed(error.to_string()))?;
    runtime.block_on(async {
        let dir = &config.data.dir;
        cli::prepare_data_dir(dir)?;
        let lock = DataLock::take(dir, Duration::from_secs(5))?;
        let _lock = lock.ok_or_else(|| Trouble::failed(format!("the data folder {} is in use", dir.display())))?;
        let certificate = cli::prepare_certificate(&config, SystemClock.now())?;
        let store = cli::open_store(&config)?;
        let parts = Parts { store, certificate: certificate.chain, key: certificate.key };
        let running = server::start(&config, parts).await.map_err(|error| Trouble::failed(error.to_string()))?;
        let first = cli::prepare_accounts(&config, &running.access).await?;
        let a = running.addresses;
        let bound = Bound { xmpp: a.xmpp, xmpp_tls: a.xmpp_tls, http: a.http, admin: a.admin };
        cli::write_ready_file(&dir.join("ready.json"), &bound)?;
        if let Some(path) = &serve.ready_file {
            cli::write_ready_file(path, &bound)?;
        }
        println!("{}", cli::welcome(&config, &bound, &first));
        let _ = tokio::signal::ctrl_c().await;
        cli::remove_ready_file(dir);
        running.stop().await;
        Ok(())
    })
}
