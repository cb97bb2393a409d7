//! Scenes: scripted dialogues with the real server over real TLS sockets, one file each.
//!
//! A scene is a text file under `tests/scenes/`, named by what it shows. `script.rs` reads it,
//! `stage.rs` starts a server for it, `actor.rs` speaks for a client, `compare.rs` compares what came
//! with what was expected. The language is described in `README.md` beside this file.

mod actor;
mod bosh;
mod compare;
mod proxy;
mod removal;
mod scram;
mod script;
#[allow(dead_code, reason = "other tests need more of it")]
mod secrets;
mod self_check;
mod socket;
mod stage;
mod trusting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::secrets::Ears;
use crate::stage::Stage;

fn main() {
    let arguments = Arguments::from_args();
    let over = match std::env::var("SCENES_OVER").as_deref() {
        Err(_) | Ok("starttls") => Over::StartTls,
        Ok("websocket") => Over::WebSocket,
        Ok("bosh") => Over::Bosh,
        Ok("one-byte") => Over::Proxy(proxy::Cut::OneByte),
        Ok("coalesced") => Over::Proxy(proxy::Cut::Coalesced),
        Ok(other) => panic!("SCENES_OVER={other}: starttls, websocket, bosh, one-byte or coalesced"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let mut files = Vec::new();
    find(&root, &mut files);
    files.sort();
    secrets::listen();
    let trials = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("").display().to_string();
            Trial::test(name.replace('/', "::"), move || perform(&path, over))
        })
        .chain(self_check::trials())
        .chain(removal::trials())
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    StartTls,
    WebSocket,
    Bosh,
    Proxy(proxy::Cut),
}

fn perform(path: &Path, over: Over) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    perform_text(&text, over, || ()).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Plays a scene with ears of its own; what else happens meanwhile does so once it is over, before the log is
/// looked through.
fn perform_text(text: &str, over: Over, meanwhile: impl FnOnce()) -> Result<(), String> {
    let script = script::parse(text)?;
    with_ears(async {
        let played = stage::play(&script, over).await;
        meanwhile();
        played
    })
}

/// Plays what is no scene, on the stage of one.
fn perform_on(
    script: &script::Script,
    act: impl AsyncFnOnce(&mut Stage<'_>) -> Result<(), String>,
) -> Result<(), String> {
    with_ears(stage::perform(script, Over::StartTls, act))
}

fn with_ears(play: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let ears = Arc::new(Ears::default());
    let (own, lent) = (secrets::ears(), ears.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || secrets::lend(&lent))
        .build()
        .map_err(|error| error.to_string())?;
    secrets::lend(&ears);
    let played = runtime.block_on(play);
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    secrets::lend(&own);
    played.and_then(|()| ears.check_log())
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "scene") {
            files.push(path);
        }
    }
}
