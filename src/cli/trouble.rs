//! Why a command ends without having done what it was asked.

use std::fmt;
use std::process::ExitCode;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    kind: Kind,
    /// What was being done, to what, why it failed, and what to do.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    WrongUsage,
    /// Nobody reads what is written any more.
    Unheard,
}

impl Trouble {
    pub fn failed(text: impl Into<String>) -> Self {
        Trouble { kind: Kind::Failed, text: text.into() }
    }

    pub fn wrong_usage(text: impl Into<String>) -> Self {
        Trouble { kind: Kind::WrongUsage, text: text.into() }
    }

    pub fn unheard() -> Self {
        Trouble { kind: Kind::Unheard, text: String::new() }
    }

    /// Says so on stderr, and answers how the process ends: 1 failed, 2 wrong usage.
    pub fn report(&self) -> ExitCode {
        match self.kind {
            Kind::Unheard => return ExitCode::SUCCESS,
            Kind::Failed | Kind::WrongUsage => eprintln!("tidings: {}", self.text),
        }
        ExitCode::from(if self.kind == Kind::WrongUsage { 2 } else { 1 })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}
