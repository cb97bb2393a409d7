//! What only the store on disk has to show: files, refusals to open, full and failing disks.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Durability, OpenError, SqliteOptions, SqliteStore};
use crate::jid::BareJid;
use crate::pubsub::{Affiliation, Edge, NodeState, Page, Selection, Seq, SubscriptionState};
use crate::store::contract::hand::{Hand, SERVICE, jid};
use crate::store::{Account, Failure, Store, Verifier};
use crate::time::Timestamp;

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    for durability in [Durability::Full, Durability::Relaxed] {
        let (_directory, mut options) = place();
        options.durability = durability;
        let store = SqliteStore::open(&options).unwrap();
        let mut hand = Hand::create(&store, SERVICE, "n").await;
        hand.publish("i", "<a/>");
        hand.publish("i", "<b/>");
        hand.affiliate("alice@localhost", Affiliation::Owner);
        hand.subscribe("carol@localhost/p", "s", SubscriptionState::Subscribed);
        hand.commit(&store).await;
        let mut gone = Hand::create(&store, SERVICE, "gone").await;
        gone.delete(None);
        gone.commit(&store).await;
        let account = account();
        store.put_account(account.clone()).await.unwrap();
        let keys = store.reserve_node_keys(10).await.unwrap();
        store.close().await.unwrap();

        let again = SqliteStore::open(&options).unwrap();
        assert_eq!(**hand.found(&again).await.present().unwrap(), hand.node);
        assert_eq!(hand.log(&again).await, hand.told);
        assert!(matches!(gone.found(&again).await, NodeState::Deleted(_)));
        assert_eq!(again.read_items(hand.node.key, Selection::All, all()).await.unwrap().entries.len(), 1);
        assert_eq!(again.read_node_affiliations(hand.node.key, all()).await.unwrap().count, 1);
        assert_eq!(again.read_node_subscriptions(hand.node.key, all()).await.unwrap().count, 1);
        assert_eq!(again.account(account.jid.clone()).await.unwrap(), Some(account));
        assert!(again.reserve_node_keys(1).await.unwrap().start >= keys.end);
        let (one, other) = (store.identity(), again.identity());
        assert_eq!(
            (one.incarnation, one.cursor_key, one.decoy_key),
            (other.incarnation, other.cursor_key, other.decoy_key)
        );
    }
}

#[tokio::test]
async fn two_stores_are_not_taken_for_one() {
    let (_first, one) = place();
    let (_second, other) = place();
    let (one, other) = (SqliteStore::open(&one).unwrap(), SqliteStore::open(&other).unwrap());
    assert_ne!(one.identity().cursor_key, other.identity().cursor_key);
    assert_ne!(one.identity().decoy_key, other.identity().decoy_key);
    assert_ne!(one.identity().cursor_key, one.identity().decoy_key);
}

#[tokio::test]
async fn a_database_in_use_is_refused_until_it_is_closed() {
    let (_directory, options) = place();
    let store = SqliteStore::open(&options).unwrap();
    let refused = SqliteStore::open(&options).err().unwrap();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("stop that one"));
    store.close().await.unwrap();
    SqliteStore::open(&options).unwrap();
}

#[test]
fn a_program_that_writes_at_this_moment_is_in_use_too() {
    let (_directory, mut options) = place();
    options.busy_timeout_ms = 10;
    let other = Connection::open(&options.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; PRAGMA application_id = 1952738919").unwrap();
    let refused = SqliteStore::open(&options).err().unwrap();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
}

/// Security row A18: accounts of before the column are filled in by the next start, and none is read twice.
#[tokio::test]
async fn what_accounts_look_like_is_noted_once_and_found_by_an_index() {
    let (_directory, options) = place();
    SqliteStore::open(&options).unwrap().close().await.unwrap();
    let edit = Connection::open(&options.path).unwrap();
    let insert = "INSERT INTO accounts (jid, admin, disabled, created, argon2id) VALUES (?1, 0, 0, 0, '')";
    for name in ["alice@localhost", "bob@localhost"] {
        edit.execute(insert, [name]).unwrap();
    }
    drop(edit);
    let store = SqliteStore::open(&options).unwrap();
    let like = store.accounts_like(BareJid::parse("al1ce@localhost").unwrap(), 2).await.unwrap();
    assert!(like.is_empty(), "1 is an l and no i");
    let like = store.accounts_like(BareJid::parse("a1ice@localhost").unwrap(), 2).await.unwrap();
    assert_eq!(like, [BareJid::parse("alice@localhost").unwrap()]);
    store.close().await.unwrap();
    drop(store);
    let edit = Connection::open(&options.path).unwrap();
    for plan in [
        "EXPLAIN QUERY PLAN SELECT jid FROM accounts WHERE look IS NULL",
        "EXPLAIN QUERY PLAN SELECT jid FROM accounts WHERE look = 'x' AND jid <> 'y' ORDER BY jid",
    ] {
        let plan: String = edit.query_row(plan, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("SEARCH") && plan.contains("accounts_by_look"), "{plan}");
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_directory, options) = place();
    drop_and_wait(SqliteStore::open(&options).unwrap());
    let edit = Connection::open(&options.path).unwrap();
    let known: u32 = edit.query_row("SELECT max(version) FROM migrations", [], |row| row.get(0)).unwrap();
    edit.execute("INSERT INTO migrations VALUES (?1, 0)", [known + 1]).unwrap();
    edit.execute_batch("CREATE TABLE of_the_future (x)").unwrap();
    drop(edit);
    let before = std::fs::read(&options.path).unwrap();
    let refused = SqliteStore::open(&options).err().unwrap();
    let expected = (known + 1, known);
    assert!(matches!(refused, OpenError::Newer { found, known, .. } if (found, known) == expected), "{refused}");
    assert!(refused.to_string().contains("start the newer version"), "{refused}");
    assert_eq!(std::fs::read(&options.path).unwrap(), before);
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_alone() {
    let (directory, options) = place();
    std::fs::write(&options.path, "not a database, but long enough to have a header of one ".repeat(200)).unwrap();
    let refused = SqliteStore::open(&options).err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("restore a backup"), "{refused}");

    let foreign = SqliteOptions { path: directory.path().join("foreign.db"), ..options };
    Connection::open(&foreign.path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&foreign.path).unwrap();
    let refused = SqliteStore::open(&foreign).err().unwrap();
    assert!(matches!(refused, OpenError::NotOurs(_)), "{refused}");
    assert_eq!(std::fs::read(&foreign.path).unwrap(), before);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let (directory, mut options) = place();
    options.path = directory.path().join("missing").join("tidings.db");
    let refused = SqliteStore::open(&options).err().unwrap();
    assert!(matches!(refused, OpenError::NoDirectory(_)), "{refused}");
    assert!(refused.to_string().contains("missing does not exist: create it"), "{refused}");
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let (directory, options) = place();
    let store = SqliteStore::open(&options).unwrap();
    Hand::create(&store, SERVICE, "n").await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["tidings.db", "tidings.db-shm", "tidings.db-wal", "tidings.db.lock"].map(OsString::from));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_leaves_reads_and_is_overcome() {
    let (_directory, options) = place();
    let store = SqliteStore::open(&options).unwrap();
    let mut hand = Hand::create(&store, SERVICE, "n").await;
    hand.publish("small", "<a/>");
    hand.commit(&store).await;
    limit_pages(&store, 4).await;
    let mut full = hand.clone();
    for number in 0..20 {
        full.publish(&format!("i{number}"), &"x".repeat(10_000));
    }
    let part = full.part();
    for _ in 0..3 {
        assert_eq!(store.commit(vec![part.clone()]).await, Err(Failure::Full));
        assert_eq!(**hand.found(&store).await.present().unwrap(), hand.node);
        assert_eq!(hand.log(&store).await, hand.told);
        assert_eq!(store.read_items(hand.node.key, Selection::All, all()).await.unwrap().entries.len(), 1);
    }
    assert_eq!(Failure::Full.to_string(), "the disk is full: free some space; nothing was stored");
    limit_pages(&store, 100_000).await;
    store.commit(vec![part]).await.unwrap();
    assert_eq!(full.log(&store).await, full.told);
}

/// The same with a disk that is really full: give it a directory on a file system of some megabytes,
/// such as `mount -t tmpfs -o size=8m tmpfs DIRECTORY`.
#[tokio::test]
#[ignore = "needs TIDINGS_TEST_SMALL_DISK"]
async fn a_disk_that_fills_up_is_overcome_without_a_restart() {
    let directory = PathBuf::from(std::env::var_os("TIDINGS_TEST_SMALL_DISK").expect("a directory on a small disk"));
    let ballast = directory.join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    for wal_kib in [256, 1 << 20] {
        let options = SqliteOptions { path: directory.join(format!("{wal_kib}.db")), wal_kib, ..place().1 };
        let store = SqliteStore::open(&options).unwrap();
        let mut hand = Hand::create(&store, SERVICE, "n").await;
        let mut answered = hand.clone();
        let mut number = 0;
        let part = loop {
            number += 1;
            hand.publish(&format!("i{number}"), &"x".repeat(3000));
            let part = hand.part();
            match store.commit(vec![part.clone()]).await {
                Ok(()) => answered = hand.clone(),
                Err(failure) => {
                    assert_eq!(failure, Failure::Full);
                    break part;
                }
            }
        };
        for _ in 0..3 {
            assert_eq!(store.commit(vec![part.clone()]).await, Err(Failure::Full));
            assert_eq!(**answered.found(&store).await.present().unwrap(), answered.node);
            assert_eq!(answered.log(&store).await, answered.told);
        }
        std::fs::remove_file(&ballast).unwrap();
        store.commit(vec![part]).await.unwrap();
        assert_eq!(hand.log(&store).await, hand.told);
        store.close().await.unwrap();
        std::fs::remove_file(&options.path).unwrap();
        std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    }
}

/// The disk fails while a commit is written. This test runs itself again under a limit on the size of
/// files, which makes the system refuse in the midst of the write-ahead log.
#[test]
fn a_commit_that_fails_is_unknown_and_halts_the_writer() {
    if let Some(path) = std::env::var_os(CHILD) {
        return tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(write_until_it_fails(path));
    }
    let (_directory, options) = place();
    let name = "store::sqlite::tests::a_commit_that_fails_is_unknown_and_halts_the_writer";
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, &options.path)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let answered: u64 = std::fs::read_to_string(answered_path(&options.path)).unwrap().parse().unwrap();
    assert!(answered > 10);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&options).unwrap();
        let nodes = store.read_nodes(jid(SERVICE), None, all()).await.unwrap().entries;
        let last = nodes[0].last_seq.0;
        assert!(last == answered || last == answered + 1, "{last} of {answered}");
        let log = store.read_log(nodes[0].key, Seq(0), 10_000, usize::MAX).await.unwrap().unwrap();
        assert_eq!(log.events.len() as u64, last);
        store.reserve_node_keys(1).await.unwrap();
    });
}

async fn write_until_it_fails(path: OsString) {
    let options = SqliteOptions { path: PathBuf::from(path), wal_kib: 1 << 20, ..SqliteOptions::default() };
    let store = SqliteStore::open(&options).unwrap();
    let mut hand = Hand::create(&store, SERVICE, "n").await;
    let mut answered = hand.clone();
    let failure = loop {
        hand.publish("i", &"x".repeat(3000));
        match store.commit(vec![hand.part()]).await {
            Ok(()) => answered = hand.clone(),
            Err(failure) => break failure,
        }
    };
    assert!(matches!(failure, Failure::Unknown(_)), "{failure:?}");
    let refused = store.reserve_node_keys(1).await.unwrap_err();
    assert!(matches!(&refused, Failure::Refused(why) if why.contains("restart")), "{refused:?}");
    assert_eq!(**answered.found(&store).await.present().unwrap(), answered.node);
    assert_eq!(answered.log(&store).await, answered.told);
    std::fs::write(answered_path(&options.path), answered.node.last_seq.0.to_string()).unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_write_ahead_log_stays_short() {
    let (_directory, mut options) = place();
    options.wal_kib = 256;
    let store = SqliteStore::open(&options).unwrap();
    let mut hand = Hand::create(&store, SERVICE, "n").await;
    let wal = PathBuf::from(format!("{}-wal", options.path.display()));
    for number in 0..200 {
        hand.publish(&format!("i{number}"), &"x".repeat(4000));
        hand.commit(&store).await;
        assert!(std::fs::metadata(&wal).unwrap().len() < 512 * 1024);
    }
    store.close().await.unwrap();
    assert!(!wal.exists(), "a store that was closed is one file");
}

#[tokio::test]
async fn what_was_taken_in_is_finished_before_closing() {
    let (_directory, options) = place();
    let store = SqliteStore::open(&options).unwrap();
    let mut hand = Hand::create(&store, SERVICE, "n").await;
    hand.publish("i", "<a/>");
    let (commit, close) = tokio::join!(store.commit(vec![hand.part()]), store.close());
    assert_eq!((commit, close), (Ok(()), Ok(())));
    let again = SqliteStore::open(&options).unwrap();
    assert_eq!(hand.log(&again).await, hand.told);
}

#[test]
fn erased_payloads_are_not_left_in_the_file() {
    let (_directory, options) = place();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let secret = "a secret that was published by mistake";
    runtime.block_on(async {
        let store = SqliteStore::open(&options).unwrap();
        let mut hand = Hand::create(&store, SERVICE, "n").await;
        hand.publish("kept", "<kept/>");
        hand.publish("i", &format!("<a>{secret}</a>"));
        hand.commit(&store).await;
        hand.retract("i");
        hand.commit(&store).await;
        store.close().await.unwrap();
    });
    let file = std::fs::read(&options.path).unwrap();
    assert!(file.windows(7).any(|bytes| bytes == b"<kept/>"));
    assert!(!file.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
}

fn place() -> (TempDir, SqliteOptions) {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { path: directory.path().join("tidings.db"), ..SqliteOptions::default() };
    (directory, options)
}

/// Leaves so many pages to the database beyond those that it has.
async fn limit_pages(store: &SqliteStore, more: i64) {
    let limit = store.on_writer(move |writer| {
        let db = writer.connection();
        let has: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        db.pragma_update_and_check(None, "max_page_count", has + more, |_| Ok(())).unwrap();
        Ok(())
    });
    limit.await.unwrap();
}

fn drop_and_wait(store: SqliteStore) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.close()).unwrap();
}

fn answered_path(database: &Path) -> PathBuf {
    database.with_extension("answered")
}

fn account() -> Account {
    Account {
        jid: BareJid::parse("alice@localhost").unwrap(),
        verifier: Verifier::Argon2id("$argon2id$".to_owned()),
        admin: true,
        disabled: false,
        created: Timestamp(1),
    }
}

fn all() -> Page {
    Page { max: 1000, edge: Edge::First }
}

const CHILD: &str = "TIDINGS_TEST_FAILING_DATABASE";
