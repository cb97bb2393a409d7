//! To be decided.
