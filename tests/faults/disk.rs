//! A disk that is full: publishes are refused, everything else goes on, and when there is room again the
//! same server publishes again.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Server, arguments};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_publishes_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = on_small_disk(dir.path());
    let mut client = server.client().await;
    let created = client.ask("PUT", "/v1/nodes/n", r#"{"max_items":10000}"#).await.expect("an answer");
    assert_eq!(created.0, 201, "{}", created.1);
    let body = format!("\"{}\"", "x".repeat(60_000));

    let mut kept = Vec::new();
    let refused = loop {
        let id = format!("item-{}", kept.len());
        let (status, answer) = client.ask("PUT", &format!("/v1/nodes/n/items/{id}"), &body).await.expect("an answer");
        if status != 201 {
            assert_eq!(status, 507, "{answer}");
            break id;
        }
        kept.push(id);
        assert!(kept.len() < 2000, "this much has no place on the disk");
    };
    assert!(kept.len() > 10, "the disk was full at once");

    // Reading goes on, and shows what was acknowledged and nothing else.
    for id in &kept {
        let (status, answer) = client.ask("GET", &format!("/v1/nodes/n/items/{id}"), "").await.expect("an answer");
        assert_eq!((status, answer), (200, body.clone()), "{id}");
    }
    let (status, _) = client.ask("GET", &format!("/v1/nodes/n/items/{refused}"), "").await.expect("an answer");
    assert_eq!(status, 404, "what was refused is not there");

    // Room again, without a restart.
    std::fs::remove_file(seen(dir.path(), server.process()).join(BALLAST)).expect("the ballast goes");
    let again = client.ask("PUT", &format!("/v1/nodes/n/items/{refused}"), &body).await.expect("an answer");
    assert_eq!(again.0, 201, "{}", again.1);
}

/// A server whose directory is a file system of its own, of 24 MiB, of which a ballast takes 8: in a mount
/// namespace that nobody else sees.
fn on_small_disk(dir: &Path) -> Server {
    let script =
        format!("mount -t tmpfs -o size=24m none \"$0\" && head -c 8M /dev/zero > \"$0/{BALLAST}\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    // Without being root, root of a user namespace serves as well.
    command.args(if rustix::process::geteuid().is_root() { ["-m"].as_slice() } else { &["-U", "-r", "-m"] });
    command.args(["sh", "-c", &script]).arg(dir).arg(env!("CARGO_BIN_EXE_tidings")).args(arguments(dir, &[]));
    Server::run(command, dir, |process| seen(dir, process.id()))
}

/// The directory as the server's process sees it.
fn seen(dir: &Path, process: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/root")).join(dir.strip_prefix("/").expect("an absolute path"))
}

const BALLAST: &str = "ballast";
