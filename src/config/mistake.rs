//! A mistake in the configuration, and where it was made.

use std::fmt;
use std::path::PathBuf;

/// One thing to be set right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of the file, counted from 1; 0 is the file as a whole.
    File {
        path: PathBuf,
        line: usize,
    },
    Variable(String),
    Flag(String),
    /// No one place: what the defaults make of the rest.
    Defaults,
}

impl Mistake {
    pub fn new(place: &Place, what: impl Into<String>) -> Self {
        Mistake { place: place.clone(), what: what.into() }
    }

    /// Files by line, then variables, then flags.
    pub fn order(&self) -> (u8, usize) {
        match &self.place {
            Place::File { line, .. } => (0, *line),
            Place::Variable(_) => (1, 0),
            Place::Flag(_) => (2, 0),
            Place::Defaults => (3, 0),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line: 0 } => write!(f, "{}: {}", path.display(), self.what),
            Place::File { path, line } => write!(f, "{}:{line}: {}", path.display(), self.what),
            Place::Variable(name) => write!(f, "{name}: {}", self.what),
            Place::Flag(flag) => write!(f, "{flag}: {}", self.what),
            Place::Defaults => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Mistake {}
