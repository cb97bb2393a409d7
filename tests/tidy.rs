//! The house rules, as tests: who may import whom, how large a file and a function may grow, what
//! the top level holds. A rule that stands in the way is changed here, in the open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, rooms that it may import, outside crates of which only the named rooms may use any.
/// A room may import itself. `docs/ARCHITECTURE.md` repeats this table for people.
const IMPORTS: &[(&str, &[&str])] = &[
    ("jid", &[]),
    ("time", &[]),
    ("counts", &[]),
    ("xml", &[]),
    ("xmpp", &["xml", "jid", "time"]),
    ("pubsub", &["jid", "time"]),
    ("im", &["jid", "time"]),
    ("payload", &["pubsub", "xml", "xmpp", "jid", "time"]),
    ("stream", &["xmpp", "xml", "jid", "time"]),
    ("store", &["pubsub", "im", "jid", "time"]),
    ("access", &["store", "jid", "time", "counts"]),
    ("engine", &["payload", "pubsub", "store", "jid", "time"]),
    ("delivery", &["engine", "payload", "pubsub", "store", "jid", "time"]),
    ("messaging", &["engine", "pubsub", "im", "store", "xmpp", "xml", "jid", "time", "counts"]),
    (
        "xep",
        &[
            "engine",
            "messaging",
            "im",
            "delivery",
            "access",
            "payload",
            "pubsub",
            "store",
            "xmpp",
            "xml",
            "jid",
            "time",
        ],
    ),
    ("http", &["engine", "delivery", "access", "payload", "pubsub", "store", "jid", "time", "counts"]),
    ("router", &["xep", "messaging", "delivery", "pubsub", "xmpp", "xml", "jid", "time"]),
    ("session", &["stream", "router", "delivery", "access", "pubsub", "xmpp", "xml", "jid", "time", "counts"]),
    ("net", &["session", "stream", "xml", "jid", "time", "counts"]),
    (
        "config",
        &[
            "access",
            "cli",
            "counts",
            "delivery",
            "engine",
            "http",
            "im",
            "jid",
            "messaging",
            "net",
            "payload",
            "pubsub",
            "router",
            "server",
            "session",
            "store",
            "stream",
            "time",
            "xep",
            "xml",
            "xmpp",
        ],
    ),
    (
        "cli",
        &[
            "access",
            "config",
            "counts",
            "delivery",
            "engine",
            "http",
            "im",
            "jid",
            "messaging",
            "net",
            "payload",
            "pubsub",
            "router",
            "server",
            "session",
            "store",
            "stream",
            "time",
            "xep",
            "xml",
            "xmpp",
        ],
    ),
    (
        "server",
        &[
            "access",
            "cli",
            "config",
            "counts",
            "delivery",
            "engine",
            "http",
            "im",
            "jid",
            "messaging",
            "net",
            "payload",
            "pubsub",
            "router",
            "session",
            "store",
            "stream",
            "time",
            "xep",
            "xml",
            "xmpp",
        ],
    ),
];

/// Crates that belong to certain rooms alone.
const CRATES: &[(&str, &[&str])] = &[
    ("precis_profiles", &["jid"]),
    ("idna", &["jid"]),
    ("unicode_security", &["jid"]),
    ("rxml", &["xml"]),
    ("rusqlite", &["store"]),
    ("argon2", &["access"]),
    ("pbkdf2", &["access"]),
    ("sha1", &["access", "stream", "messaging", "xep", "http", "net"]),
    ("sha2", &["access", "stream", "delivery", "messaging", "net", "xep", "http"]),
    ("hmac", &["access", "stream", "delivery", "messaging", "http"]),
    ("subtle", &["access", "stream", "http"]),
    ("serde_json", &["payload", "http", "access", "cli", "server"]),
    ("axum", &["http"]),
    ("hyper", &["http", "cli", "delivery"]),
    ("hyper_util", &["http", "cli", "delivery"]),
    ("tokio_tungstenite", &["http", "net"]),
    ("jsonwebtoken", &["access"]),
    ("rustls_native_certs", &["http"]),
    ("rustls", &["net", "http", "cli", "config", "server", "delivery"]),
    ("tokio_rustls", &["net", "http", "cli", "server", "delivery"]),
    ("rcgen", &["cli", "config"]),
    ("clap", &["cli"]),
    ("toml", &["config"]),
    ("tracing_subscriber", &["server", "cli", "main"]),
];

/// Rooms in which nothing waits, tells the time, draws random numbers or logs.
const PURE: &[&str] = &["jid", "xml", "xmpp", "pubsub", "im", "payload", "stream"];
const IMPURE: &[&str] = &["tokio", "tokio_util", "getrandom", "tracing", "futures_util"];

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;

/// What the top level holds, beside dot files.
const TOP: &[&str] = &["Cargo.lock", "Cargo.toml", "README.md", "certs", "docs", "src", "tests", "xeps"];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, BTreeSet<&str>> =
        IMPORTS.iter().map(|(room, may)| (*room, may.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (path, room, code) in sources() {
        if room == "lib" || room == "main" {
            continue;
        }
        let Some(may) = table.get(room.as_str()) else {
            wrong.push(format!("{}: the room {room} is not in the table", path.display()));
            continue;
        };
        for (number, line) in code.lines().enumerate() {
            for other in crate_paths(line) {
                if other != room && !may.contains(other.as_str()) {
                    wrong.push(format!("{}:{}: {room} may not import {other}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (path, room, code) in sources() {
        for (name, rooms) in CRATES {
            if rooms.contains(&room.as_str()) {
                continue;
            }
            // A test may hold a room against an oracle that the room itself must not use.
            if !is_test(&path) && mentions_crate(&code, name) {
                wrong.push(format!("{}: {name} belongs to {}", path.display(), rooms.join(", ")));
            }
        }
        if PURE.contains(&room.as_str()) {
            for name in IMPURE {
                if mentions_crate(&code, name) {
                    wrong.push(format!("{}: {room} is pure and must not use {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_cores_use_nothing_but_std() {
    let mut wrong = Vec::new();
    for (path, room, code) in sources() {
        if room != "pubsub" && room != "im" {
            continue;
        }
        for line in code.lines().map(str::trim) {
            let Some(used) = line.strip_prefix("use ").or_else(|| line.strip_prefix("pub use ")) else { continue };
            let first = used.split("::").next().unwrap_or(used).trim_end_matches(';');
            let own = fs::read_dir(format!("src/{room}"))
                .unwrap()
                .any(|entry| entry.unwrap().path().file_stem().is_some_and(|stem| stem.to_string_lossy() == first));
            if !own && !["std", "crate", "super", "self", "proptest"].contains(&first) {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for (path, _, code) in sources() {
        let lines = code.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        for (name, length) in functions(&code) {
            // The table of a table-driven test is data.
            if length > FUNCTION_LINES_MAX && !is_test(&path) {
                wrong.push(format!("{}: fn {name} has {length} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_documents_point_to_is_there() {
    let mut documents = vec![PathBuf::from("README.md")];
    for folder in ["docs", "docs/decisions", "xeps", "certs", "tests/scenes", "tests/load"] {
        let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        documents.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut wrong = Vec::new();
    let mut seen = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let beside = document.parent().unwrap();
        // Words between backticks that begin as our paths do, and links that lead to no other host.
        let quoted = text.split('`').skip(1).step_by(2).filter(|word| {
            let ours = ["src/", "tests/", "docs/", "xeps/", "certs/"].iter().any(|room| word.starts_with(room));
            ours && !word.contains(['<', '*', ' ', '{'])
        });
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let linked = linked.filter(|target| !target.contains("://") && !target.starts_with('#'));
        let paths = quoted.map(|word| (word, PathBuf::from(word))).chain(linked.map(|target| {
            let path = target.split('#').next().unwrap_or_default();
            (target, beside.join(path))
        }));
        for (word, path) in paths {
            seen += 1;
            if !path.exists() {
                wrong.push(format!("{}: {word} is not there", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(seen > 50, "the documents are read: {seen}");
}

#[test]
fn the_top_level_holds_what_it_should() {
    let wrong: Vec<String> = fs::read_dir(".")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()) && !ignored(name))
        .collect();
    assert!(wrong.is_empty(), "unexpected at the top level: {wrong:?}");
    let missing: Vec<&&str> = TOP.iter().filter(|name| !Path::new(name).exists()).collect();
    assert!(missing.is_empty(), "missing at the top level: {missing:?}");
}

/// Whatever must not be guessed is drawn from the operating system.
#[test]
fn randomness_is_the_system_s() {
    let banned = ["rand::", "fastrand", "SmallRng", "thread_rng", "RandomState::new"];
    let mut wrong = Vec::new();
    for (path, _, code) in sources().into_iter().filter(|(path, ..)| !is_test(path)) {
        // An errand is none of these.
        let whole = |at: usize| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let found = banned.iter().filter(|word| code.match_indices(**word).any(|(at, _)| whole(at)));
        wrong.extend(found.map(|word| format!("{}: {word}", path.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whoever chooses the keys of a table must not choose where they stand in it: the standard library draws the
/// key of its hash for each table.
#[test]
fn no_table_hashes_in_a_way_that_can_be_foreseen() {
    let forbidden =
        ["FxHash", "rustc_hash", "ahash", "fnv", "hashbrown", "BuildHasherDefault", "DefaultHasher::new", "indexmap"];
    let mut wrong = Vec::new();
    for (path, _, code) in sources() {
        for word in forbidden.iter().filter(|word| code.contains(*word)) {
            wrong.push(format!("{}: {word}", path.display()));
        }
    }
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    for name in ["rustc-hash", "fxhash", "ahash", "fnv", "hashbrown", "indexmap"] {
        let dependency = format!("\n{name} =");
        assert!(!manifest.contains(&dependency), "{name} is no hash for what peers choose");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The first release without the advisories that concern us; a crate that is not in the lock file needs none.
const FLOORS: &[(&str, [u64; 3])] = &[
    ("aws-lc-rs", [1, 12, 0]),
    ("bytes", [1, 11, 1]),
    ("h2", [0, 4, 16]),
    ("idna", [1, 0, 3]),
    ("jsonwebtoken", [10, 3, 0]),
    ("quick-xml", [0, 41, 0]),
    ("ring", [0, 17, 12]),
    ("rustls", [0, 23, 18]),
    ("rustls-webpki", [0, 103, 13]),
    ("rxml", [0, 14, 0]),
    ("time", [0, 3, 47]),
    ("tungstenite", [0, 20, 1]),
];

#[test]
fn no_dependency_is_older_than_its_advisories() {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap();
    let mut held = 0;
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.and_then(|value| value.strip_suffix('"')).unwrap_or_default()
        };
        let Some((name, floor)) = FLOORS.iter().find(|(name, _)| *name == field("name")) else { continue };
        let version: Vec<u64> = field("version").split('.').map_while(|part| part.parse().ok()).collect();
        assert!(version.as_slice() >= floor.as_slice(), "{name} {version:?} is older than {floor:?}");
        held += 1;
    }
    assert!(held >= 6, "the lock file was not understood: {held} packages found");
}

#[test]
fn no_queue_is_unbounded() {
    let banned = ["unbounded_channel", "read_to_end", "mpsc::channel::<"];
    let mut wrong = Vec::new();
    for (path, _, code) in sources() {
        for word in &banned[..2] {
            if code.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//")) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn sql_is_never_pasted_together() {
    let mut wrong = Vec::new();
    for (path, room, code) in sources() {
        if room != "store" {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            let upper = line.to_uppercase();
            let sql = ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM"].iter().any(|word| upper.contains(word));
            if sql && line.contains("format!") {
                wrong.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "SQL beside format!: {wrong:?}");
}

/// (path, room, code without the text of comments' examples) of every file under `src`.
fn sources() -> Vec<(PathBuf, String, String)> {
    let mut files = Vec::new();
    walk(Path::new("src"), &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix("src").unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
            let room = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
            let code = fs::read_to_string(&path).unwrap();
            (path, room, code)
        })
        .collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The rooms named by `crate::room` on a line, `use crate::{a, b::c}` included. Comments do not count.
fn crate_paths(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or(line);
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(std::mem::take(&mut word)),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            rooms.push(word);
        } else {
            rooms.push(after.to_owned());
        }
    }
    rooms
        .into_iter()
        .map(|path| path.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>())
        .filter(|room| !room.is_empty())
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

fn mentions_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

/// (name, lines) of each function: from its `fn` to the brace that closes it at the same indent.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = code.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(at) = trimmed.find("fn ") else { continue };
        let lead = &trimmed[..at];
        let is_function = lead
            .split_whitespace()
            .all(|word| word.starts_with("pub") || ["async", "const", "unsafe", "extern"].contains(&word));
        if !is_function || trimmed.starts_with("//") {
            continue;
        }
        // A signature without a body: a method of a trait.
        let ends = lines[start..].iter().find_map(|line| line.trim_end().chars().last().filter(|c| "{;}".contains(*c)));
        if ends == Some(';') {
            continue;
        }
        let indent = line.len() - trimmed.len();
        let close = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[start..].iter().position(|line| *line == close) {
            let name: String = trimmed[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((name, length + 1));
        }
    }
    found
}

fn ignored(name: &str) -> bool {
    fs::read_to_string(".gitignore").unwrap_or_default().lines().any(|line| line.trim_matches('/') == name)
}
