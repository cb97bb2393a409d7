//! What a person, or a script, types: passwords, and whatever else comes from stdin.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Trouble;
use crate::access::{NewPassword, random_text};

/// The password of a new or changed account: the first line of stdin where that is asked for, else
/// typed twice where there is a terminal, else a generated one.
pub fn new_password(from_stdin: bool) -> Result<NewPassword, Trouble> {
    if from_stdin {
        return Ok(NewPassword::Chosen(first_line()?));
    }
    if !io::stdin().is_terminal() {
        return Ok(NewPassword::Generated(random_text(GENERATED_CHARS)));
    }
    let once = ask("Password: ")?;
    if once.is_empty() {
        return Err(Trouble::failed("no password was typed"));
    }
    if once != ask("Again: ")? {
        return Err(Trouble::failed("the two passwords differ"));
    }
    Ok(NewPassword::Chosen(once))
}

/// Everything that stdin gives, up to a limit.
pub fn everything() -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let mut stdin = io::stdin().lock().take(STDIN_BYTES_MAX + 1);
    io::copy(&mut stdin, &mut bytes).map_err(|error| Trouble::failed(format!("reading stdin: {error}")))?;
    if bytes.len() as u64 > STDIN_BYTES_MAX {
        return Err(Trouble::failed(format!("stdin gives more than {STDIN_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn first_line() -> Result<String, Trouble> {
    let mut line = String::new();
    let mut stdin = io::stdin().lock().take(LINE_BYTES_MAX);
    stdin.read_line(&mut line).map_err(|error| Trouble::failed(format!("reading the password from stdin: {error}")))?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Trouble::failed("stdin gives no password: its first line is empty"));
    }
    Ok(line.to_owned())
}

fn ask(prompt: &str) -> Result<String, Trouble> {
    let failed = |error: &dyn std::fmt::Display| Trouble::failed(format!("asking for the password: {error}"));
    let _silent = Silent::begin().map_err(|error| failed(&error))?;
    let mut err = io::stderr().lock();
    err.write_all(prompt.as_bytes()).and_then(|()| err.flush()).map_err(|error| failed(&error))?;
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).map_err(|error| failed(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// While it lives, what is typed is not shown, but for the end of the line.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silent { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone away.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// More than 128 random bits.
pub const GENERATED_CHARS: usize = 22;

/// A password has at most 1023 bytes.
const LINE_BYTES_MAX: u64 = 4_096;

/// More than any server takes in one request.
const STDIN_BYTES_MAX: u64 = 64 << 20;
