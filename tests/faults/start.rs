//! A start that cannot be: one sentence that says what is wrong and what to do, exit code 1, and the
//! data left as they were.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;

use super::server::{Server, arguments};

#[test]
fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("its number");
    for listener in ["http.listen", "xmpp.listen", "xmpp.listen_tls", "admin.listen"] {
        let told = refused(dir.path(), &[&format!("{listener}={address}")]);
        assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
        assert!(told.contains("choose another address") && told.contains(&format!("({listener})")), "{told}");
    }
    drop(held);
    Server::start(dir.path(), &[&format!("http.listen={taken}")]).kill();
}

#[test]
fn every_mistake_of_a_configuration_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("bad.toml");
    let text = "[xmpp]\nlisten = 5\nport = \"x\"\n[limits]\nstanza_bytes = \"a\"\n";
    std::fs::write(&file, text).expect("a file");
    for command in [["serve"].as_slice(), &["config", "check"]] {
        let output = run(Command::new(PROGRAM).args(command).arg("--config").arg(&file).current_dir(dir.path()));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        for place in
            ["bad.toml:2: xmpp.listen", "bad.toml:3: there is no setting xmpp.port", "bad.toml:5: limits.stanza_bytes"]
        {
            assert!(told.contains(place), "{place}: {told}");
        }
    }
    assert!(!dir.path().join("tidings-data").exists(), "nothing is made for a server that cannot start");
}

#[test]
fn a_command_that_looks_for_something_makes_no_data_folder() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let ask = |words: &[&str]| run(Command::new(PROGRAM).args(words).arg("--data").arg(&data).current_dir(dir.path()));
    for words in [&["user", "list"][..], &["user", "remove", "alice"], &["token", "list"], &["token", "revoke", "x"]] {
        let output = ask(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), data.exists()), (Some(1), false), "{words:?}: {told}");
        assert!(told.contains("there is nothing in the data folder"), "{told}");
    }
    // What may be the first thing that is done makes it.
    assert!(ask(&["user", "add", "alice"]).status.success());
    assert!(ask(&["user", "list"]).status.success());
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Server::start(dir.path(), &[]);
    let told = refused(dir.path(), &[]);
    assert!(told.contains("another tidings serves the data folder"), "{told}");
    first.kill();
    Server::start(dir.path(), &[]).kill();
}

#[test]
fn data_of_a_newer_version_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    Server::start(dir.path(), &[]).kill();
    let file = dir.path().join("data/tidings.db");
    let newer = Connection::open(&file).expect("a database");
    newer.execute("INSERT INTO migrations (version, applied) VALUES (999, 0)", []).expect("a row");
    newer.close().expect("it closes");
    let before = std::fs::read(&file).expect("a file");
    let told = refused(dir.path(), &[]);
    assert!(told.contains("schema 999") && told.contains("start the newer version"), "{told}");
    assert_eq!(std::fs::read(&file).expect("a file"), before);
}

#[test]
fn data_that_are_no_database_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("data")).expect("a directory");
    let file = dir.path().join("data/tidings.db");
    let before = b"The orders of last year, kept by hand.\n".repeat(200);
    std::fs::write(&file, &before).expect("a file");
    let told = refused(dir.path(), &[]);
    assert!(told.contains("tidings.db"), "{told}");
    assert_eq!(std::fs::read(&file).expect("a file"), before);
}

/// What a server says that does not start.
fn refused(dir: &Path, settings: &[&str]) -> String {
    let output = run(Command::new(PROGRAM).args(arguments(dir, settings)));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    assert!(!told.contains('\u{1b}'), "no colours where no terminal is: {told:?}");
    told
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program can be run")
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidings");
