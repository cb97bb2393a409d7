//! The server as a process, and what may happen to one: `kill -9`, a full disk, a start that cannot be.
//!
//! Everything here is seen from outside: what was acknowledged is kept by the test, and held against what
//! the server has afterwards (promises P1, P3, P7 and P15 in `README.md`).

mod disk;
mod kill;
mod server;
mod start;
