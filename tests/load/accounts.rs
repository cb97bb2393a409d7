//! The accounts that the driver logs in to: `load0`, `load1`, … with one password.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::client::account;
use crate::options::Options;
use crate::server::output;

/// Creates them with the server's own command, before it serves.
pub fn import_into_tidings(options: &Options, folder: &Path, tidings: &dyn Fn(&[&str]) -> Command) -> Outcome<()> {
    let mut lines = String::new();
    for number in 0..options.accounts() {
        writeln!(lines, "{} {}", account(number), options.password)?;
    }
    let file = folder.join("accounts.txt");
    std::fs::write(&file, lines)?;
    eprintln!("creating {} accounts", options.accounts());
    output(tidings(&["user", "import"]).arg(&file)).map(drop)
}

/// An API token of the first account, which may do what the account may.
pub fn token(tidings: &dyn Fn(&[&str]) -> Command, domain: &str) -> Outcome<String> {
    let jid = format!("{}@{domain}", account(0));
    let said = output(&mut tidings(&["token", "create", &jid]))?;
    let token = said.split_whitespace().find(|word| word.starts_with("tdg_"));
    Ok(token.ok_or("`tidings token create` printed no token")?.to_owned())
}
