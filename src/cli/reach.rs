//! How accounts and tokens are reached: in the data directory itself while nobody uses it, else through
//! the admin listener of the server that does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Client, Door};
use super::data::{DATABASE, DataLock, prepare_data_dir, read_ready_file};
use super::{Settings, Trouble};
use crate::access::{self, Access};
use crate::config::Config;
use crate::store::Store;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::time::SystemClock;

pub enum Reach {
    /// No server runs, and none can start while this is held.
    Stopped(Stopped),
    Running(Client),
}

pub struct Stopped {
    pub access: Access,
    store: Arc<dyn Store>,
    _lock: DataLock,
}

impl Reach {
    /// For what needs something that is there already: a folder that is not is a slip of the pen, and
    /// must not be made.
    pub async fn existing(settings: &Settings, config: &Config) -> Result<Self, Trouble> {
        let dir = &config.data.dir;
        if !dir.join(DATABASE).try_exists().unwrap_or(true) {
            let what = "there is nothing in the data folder";
            return Err(Trouble::failed(format!("{what} {}: name another with --data", dir.display())));
        }
        Self::find(settings, config).await
    }

    /// For what may be the first thing that is done: makes the data folder where there is none.
    pub async fn find(settings: &Settings, config: &Config) -> Result<Self, Trouble> {
        let dir = &config.data.dir;
        prepare_data_dir(dir)?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(lock) = DataLock::take(dir, Duration::ZERO)? {
                let store = open_store(config)?;
                let access = Access::new(store.clone(), Arc::new(SystemClock), options(config));
                return Ok(Reach::Stopped(Stopped { access, store, _lock: lock }));
            }
            // Held by a server that serves, by one that starts or stops, or by another command.
            if let Some(bound) = read_ready_file(dir)? {
                let client = Client::new(settings, config, &bound, Door::Admin)?;
                if client.answers().await {
                    return Ok(Reach::Running(client));
                }
            }
            if Instant::now() >= until {
                let what = "is in use, but no server answers there";
                return Err(Trouble::failed(format!("the data folder {} {what}: try again later", dir.display())));
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl Stopped {
    /// Closes the store, so that nothing is left for the next one to recover.
    pub async fn close(self) -> Result<(), Trouble> {
        self.store.close().await.map_err(|error| Trouble::failed(format!("closing the database: {error}")))
    }
}

/// What the configuration says of accounts. A command has the machine for itself.
fn options(config: &Config) -> access::Options {
    access::Options {
        domains: config.hosts.iter().map(|host| host.domain.as_str().to_owned()).collect(),
        verifier: config.auth.verifier,
        scram_iterations: config.auth.scram_iterations,
        checks_at_once: std::thread::available_parallelism().map_or(1, usize::from),
        ..access::Options::default()
    }
}

/// Opens the database of the data directory, or makes it. Blocks while it does. Whoever calls holds
/// the [`DataLock`].
pub fn open_store(config: &Config) -> Result<Arc<dyn Store>, Trouble> {
    let options = SqliteOptions {
        path: config.data.dir.join(DATABASE),
        durability: config.store.durability,
        readers: config.store.readers,
        ..SqliteOptions::default()
    };
    let store = SqliteStore::open(&options);
    store.map(|store| Arc::new(store) as Arc<dyn Store>).map_err(|error| Trouble::failed(error.to_string()))
}

const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::access::{NewPassword, NewUser};
    use crate::cli::Bound;
    use crate::cli::data::{READY, write_ready_file, write_whole};
    use crate::config::{Sources, load};

    fn config(dir: &Path) -> Config {
        let sets = vec!["auth.scram_iterations=4096".to_owned()];
        load(&Sources { data: Some(dir.join("data")), sets, ..Sources::default() }).unwrap()
    }

    async fn stopped(config: &Config) -> Stopped {
        match Reach::find(&Settings::default(), config).await.unwrap() {
            Reach::Stopped(stopped) => stopped,
            Reach::Running(_) => panic!("no server runs"),
        }
    }

    #[tokio::test]
    async fn without_a_server_the_data_directory_itself_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let first = stopped(&config).await;
        let password = NewPassword::Chosen("x".to_owned());
        let new = NewUser { name: "alice".to_owned(), password, admin: false, verifier: None };
        first.access.add_user(new).await.unwrap();
        first.close().await.unwrap();
        let second = stopped(&config).await;
        let users = second.access.list_users(None, 10).await.unwrap();
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].jid.as_str(), "alice@localhost");
        second.close().await.unwrap();
    }

    #[tokio::test]
    async fn with_a_server_its_admin_listener_is_spoken_to() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        prepare_data_dir(&config.data.dir).unwrap();
        let _held = DataLock::take(&config.data.dir, Duration::ZERO).unwrap().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bound = Bound { admin: Some(listener.local_addr().unwrap()), ..Bound::default() };
        write_ready_file(&config.data.dir.join(READY), &bound).unwrap();
        write_whole(&config.data.dir.join("admin.token"), "tdg_x\n").unwrap();
        assert!(matches!(Reach::find(&Settings::default(), &config).await.unwrap(), Reach::Running(_)));
    }
}
