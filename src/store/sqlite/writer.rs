//! The one connection that writes, and what it does when writing goes wrong.
//!
//! Until COMMIT is tried, an error means that nothing was done: the transaction is rolled back and the
//! answer is `Full` or `Refused`. When COMMIT itself fails:
//! - *disk full* is still "nothing was done": a frame that bears a commit was not written whole, so
//!   neither this process nor a recovery after a crash takes it for one;
//! - *busy* likewise, for nothing was written yet;
//! - anything else is `Unknown`. The commit may be in the write-ahead log, and the next start decides.
//!   After an fsync that failed, the system may have thrown the data away and say "done" when asked a
//!   second time, so the writer halts: it refuses every further write and neither checkpoints nor
//!   syncs again, not even when it closes. Reading goes on. A restart recovers from what is on the disk.
//!
//! Damage that is found while writing halts the writer too.
//!
//! Checkpoints run here, after the answer of a commit is out and before the next one begins, and not
//! inside of COMMIT as SQLite would have it: there, their errors are swallowed and tried again.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::pubsub::{NodeConfig, NodeKey};
use crate::store::Failure;
use crate::store::sqlite::trouble::{Trouble, is_busy, is_damage, is_full, is_sync_error};

pub(super) struct Writer {
    connection: Connection,
    /// Why nothing is written any more.
    halted: Option<String>,
    pub configs: Configs,
    wal: Wal,
    /// Keeps other processes out as long as the connection lives; dropped after it.
    _lock: File,
}

/// Which configuration each node's row holds, as far as it was written here, so that a publish does
/// not write it again. Compared by address: another `Arc` is written, whatever it holds.
#[derive(Default)]
pub(super) struct Configs(HashMap<NodeKey, Arc<NodeConfig>>);

struct Wal {
    /// A checkpoint is due when the log has so many pages.
    pages_max: i64,
    /// After a checkpoint that could not finish, the log grows to here before the next is tried.
    pages_due: i64,
    /// The disk was full: a checkpoint may make room, for what it writes has its place already.
    full: bool,
}

impl Writer {
    pub fn new(connection: Connection, lock: File, wal_pages_max: i64) -> Self {
        Writer {
            connection,
            halted: None,
            configs: Configs::default(),
            wal: Wal { pages_max: wal_pages_max, pages_due: wal_pages_max, full: false },
            _lock: lock,
        }
    }

    /// Does the work in one transaction; what it fails with is rolled back.
    pub fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Configs) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        if let Some(why) = &self.halted {
            return Err(Failure::Refused(format!("{HALTED}: {why}")));
        }
        if let Err(error) = self.run("BEGIN IMMEDIATE") {
            return Err(self.undone(error.into()));
        }
        match work(&self.connection, &self.configs) {
            Err(trouble) => {
                self.roll_back();
                Err(self.undone(trouble))
            }
            Ok(done) => match self.run("COMMIT") {
                Ok(()) => Ok(done),
                Err(error) => Err(self.uncommitted(error)),
            },
        }
    }

    /// After each piece of work, when its answer is out: keeps the write-ahead log short.
    pub fn tidy(&mut self) {
        if self.halted.is_some() {
            return;
        }
        let pages = match self.wal_pages("PRAGMA wal_checkpoint(NOOP)") {
            Ok((pages, _)) => pages,
            Err(error) => return tracing::warn!(%error, "the size of the write-ahead log cannot be read"),
        };
        if pages < self.wal.pages_max {
            self.wal.pages_due = self.wal.pages_max;
        }
        if pages < self.wal.pages_due && !self.wal.full {
            return;
        }
        self.wal.full = false;
        match self.wal_pages("PRAGMA wal_checkpoint(PASSIVE)") {
            Ok((pages, moved)) if moved >= pages => self.wal.pages_due = self.wal.pages_max,
            Ok((pages, _)) => self.wal.pages_due = pages + self.wal.pages_max / 4,
            Err(error) => {
                self.wal.pages_due = pages + self.wal.pages_max / 4;
                tracing::error!(%error, "the write-ahead log could not be moved into the database");
                self.judge(&error);
            }
        }
    }

    /// Closes the connection. The last one to be closed moves the write-ahead log into the database.
    pub fn close(self) {
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database could not be closed");
        }
    }

    fn uncommitted(&mut self, error: rusqlite::Error) -> Failure {
        self.roll_back();
        if is_full(&error) || is_busy(&error) {
            return self.undone(error.into());
        }
        self.halt(&error);
        Failure::Unknown(error.to_string())
    }

    /// What a failure means of which it is known that nothing was done.
    fn undone(&mut self, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Plain(failure) => failure,
            Trouble::Sql(error) if is_full(&error) => {
                self.wal.full = true;
                Failure::Full
            }
            Trouble::Sql(error) if is_busy(&error) => {
                Failure::Refused(format!("another program holds the database: {error}"))
            }
            Trouble::Sql(error) => {
                self.judge(&error);
                Failure::Refused(error.to_string())
            }
        }
    }

    fn judge(&mut self, error: &rusqlite::Error) {
        if is_sync_error(error) || is_damage(error) {
            self.halt(error);
        }
    }

    fn roll_back(&mut self) {
        // After some errors SQLite has rolled back by itself.
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.run("ROLLBACK")
            && !self.connection.is_autocommit()
        {
            self.halt(&error);
        }
    }

    fn halt(&mut self, error: &rusqlite::Error) {
        tracing::error!(%error, "nothing is written to the database any more: see to the disk, then restart");
        self.halted = Some(error.to_string());
        if let Err(error) = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
            tracing::error!(%error, "the checkpoint at closing could not be switched off");
        }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Pages in the write-ahead log, and how many of them are in the database too.
    fn wal_pages(&self, sql: &str) -> rusqlite::Result<(i64, i64)> {
        self.connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
    }

    #[cfg(test)]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Configs {
    pub fn holds(&self, node: NodeKey, config: &Arc<NodeConfig>) -> bool {
        self.0.get(&node).is_some_and(|held| Arc::ptr_eq(held, config))
    }

    /// To be told after the commit, and only then.
    pub fn learn(&mut self, written: Vec<(NodeKey, Option<Arc<NodeConfig>>)>) {
        if self.0.len() + written.len() > CONFIGS_MAX {
            self.0.clear();
        }
        for (node, config) in written {
            match config {
                Some(config) => self.0.insert(node, config),
                None => self.0.remove(&node),
            };
        }
    }
}

const HALTED: &str = "writing has stopped after an error of the disk; see to the disk, then restart the server";
const CONFIGS_MAX: usize = 16_384;
