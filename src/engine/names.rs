//! Names that nobody had before.

use crate::time::Timestamp;

/// Names that were never used before: 48 bits of milliseconds, so that a node's items lie in the
/// order of their names, and 80 random bits; in Crockford's base 32.
#[derive(Default)]
pub(super) struct Names {
    pool: Vec<u8>,
}

impl Names {
    pub fn next(&mut self, now: Timestamp) -> String {
        if self.pool.len() < RANDOM_BYTES {
            self.pool.resize(RANDOM_BYTES * NAMES_DRAWN, 0);
            getrandom::fill(&mut self.pool).expect("the system gives random bytes");
        }
        let mut number = u128::from((now.0 / 1000).unsigned_abs() & 0xffff_ffff_ffff) << 80;
        for byte in self.pool.drain(self.pool.len() - RANDOM_BYTES..).enumerate() {
            number |= u128::from(byte.1) << (8 * byte.0);
        }
        (0..26).rev().map(|place| char::from(BASE32[(number >> (5 * place)) as usize & 31])).collect()
    }
}

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_BYTES: usize = 10;
const NAMES_DRAWN: usize = 256;
