//! What an error of SQLite means for the one who asked.

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::Failure;

/// What may go wrong with a piece of work: SQLite's own errors, or what the work has found out.
pub(super) enum Trouble {
    Sql(Error),
    Plain(Failure),
}

impl Trouble {
    pub fn of_read(self) -> Failure {
        match self {
            Trouble::Sql(error) => Failure::Read(error.to_string()),
            Trouble::Plain(failure) => failure,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Sql(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Plain(failure)
    }
}

pub(super) fn is_full(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The file is not what SQLite wrote.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The system could not say that data is on the disk. Asking again may be answered with success
/// although the data is lost, so nothing is written after this.
pub(super) fn is_sync_error(error: &Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_CLOSE))
}
