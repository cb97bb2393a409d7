//! The data directory: its lock, its secrets, and the file by which commands find the server.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Trouble;

/// The addresses that a server has bound; absent where a listener is off. `ready.json` and
/// `--ready-file` hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub xmpp: Option<SocketAddr>,
    pub xmpp_tls: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// Held by whoever uses the data directory; the system gives it back when the process ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the lock, which whoever holds it has `patience` to give back; absent when he does not.
    pub fn take(dir: &Path, patience: Duration) -> Result<Option<Self>, Trouble> {
        let path = dir.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|error| at("opening", &path, &error))?;
        let until = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(DataLock { _file: file })),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(at("locking", &path, &error.into())),
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(LOCK_RETRY);
        }
    }
}

/// Makes the data directory, for its owner only. One that is there must be empty or ours: a directory
/// of somebody else's things is neither used nor closed to others.
pub fn prepare_data_dir(dir: &Path) -> Result<(), Trouble> {
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            return made.map_err(|error| at("creating the data folder", dir, &error));
        }
        Err(error) => return Err(at("opening the data folder", dir, &error)),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(Trouble::failed(format!("the data folder {}: it is no folder", dir.display())));
        }
        Ok(_) => {}
    }
    let mut entries = fs::read_dir(dir).map_err(|error| at("reading the data folder", dir, &error))?;
    let ours = [LOCK, DATABASE].iter().any(|name| dir.join(name).exists());
    if !ours && entries.next().is_some() {
        return Err(Trouble::failed(format!(
            "the data folder {}: it holds something else; name an empty or a new one with --data",
            dir.display()
        )));
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(|error| at("closing to others", dir, &error))
}

/// Writes the addresses where the commands on this machine look for them, or where a script asked.
pub fn write_ready_file(path: &Path, bound: &Bound) -> Result<(), Trouble> {
    let text = serde_json::to_string(bound).expect("addresses are texts");
    write_whole(path, &format!("{text}\n"))
}

/// Takes the addresses away again when the server stops.
pub fn remove_ready_file(dir: &Path) {
    // One that stays is found out by nobody's answering there.
    let _ = fs::remove_file(dir.join(READY));
}

/// Where the server of this data directory is; absent when none has said so.
pub fn read_ready_file(dir: &Path) -> Result<Option<Bound>, Trouble> {
    let path = dir.join(READY);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("reading", &path, &error)),
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| at("reading", &path, &error.into())),
    }
}

/// The local administrator's token, where the data directory keeps one.
pub fn local_token(dir: &Path) -> Result<Option<String>, Trouble> {
    read_secret(&dir.join(ADMIN_TOKEN))
}

/// The one line of a file with a secret.
pub fn read_secret(path: &Path) -> Result<Option<String>, Trouble> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("reading", path, &error)),
        Ok(text) => Ok(Some(text.trim().to_owned())),
    }
}

/// Writes a file that its owner alone may read; it is there whole or not at all.
pub fn write_whole(path: &Path, text: &str) -> Result<(), Trouble> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        // One that a crash left behind might have other permissions.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| at("writing", path, &error))
}

pub fn at(doing: &str, path: &Path, error: &io::Error) -> Trouble {
    Trouble::failed(format!("{doing} {}: {error}", path.display()))
}

pub const READY: &str = "ready.json";
pub const ADMIN_TOKEN: &str = "admin.token";
pub const ADMIN_PASSWORD: &str = "admin.password";
pub const DATABASE: &str = "tidings.db";
const LOCK: &str = "lock";
const LOCK_RETRY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataLock::take(dir.path(), Duration::ZERO).unwrap();
        assert!(held.is_some());
        assert!(DataLock::take(dir.path(), Duration::ZERO).unwrap().is_none());
        drop(held);
        assert!(DataLock::take(dir.path(), Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn a_new_data_folder_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        prepare_data_dir(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        drop(DataLock::take(&data, Duration::ZERO).unwrap());
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        prepare_data_dir(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
    }

    #[test]
    fn a_folder_of_other_things_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("thesis.txt"), "").unwrap();
        assert!(prepare_data_dir(dir.path()).unwrap_err().to_string().contains("something else"));
        assert_eq!(mode(dir.path()), 0o755);
    }

    #[test]
    fn a_secret_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ADMIN_TOKEN);
        write_whole(&path, "one\n").unwrap();
        write_whole(&path, "two\n").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(local_token(dir.path()).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_ready_file_names_what_is_bound() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_ready_file(dir.path()).unwrap(), None);
        let bound = Bound {
            xmpp: Some("127.0.0.1:40001".parse().unwrap()),
            xmpp_tls: None,
            component: None,
            http: Some("[::1]:40002".parse().unwrap()),
            admin: Some("127.0.0.1:40003".parse().unwrap()),
        };
        write_ready_file(&dir.path().join(READY), &bound).unwrap();
        let text = fs::read_to_string(dir.path().join(READY)).unwrap();
        let expected = "{\"xmpp\":\"127.0.0.1:40001\",\"xmpp_tls\":null,\"http\":\"[::1]:40002\",\
                        \"admin\":\"127.0.0.1:40003\"}\n";
        assert_eq!(text, expected);
        assert_eq!(read_ready_file(dir.path()).unwrap(), Some(bound));
        remove_ready_file(dir.path());
        assert_eq!(read_ready_file(dir.path()).unwrap(), None);
    }
}
