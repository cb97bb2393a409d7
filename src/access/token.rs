//! The text of an API token: `tdg_<id>_<secret><checksum>`.
//!
//! The prefix and the checksum let a scanner of leaked secrets recognise one without asking anybody.
//! The id is public: lists and logs show it. The secret is 43 characters of 62, which is 256 random
//! bits; what is kept of it is its SHA-256.

use sha2::{Digest, Sha256};

/// A new token, and what is kept of it.
pub struct Minted {
    pub text: String,
    pub secret_sha256: [u8; 32],
}

/// A token as somebody presented it, well formed.
pub struct Presented<'a> {
    pub id: &'a str,
    pub secret_sha256: [u8; 32],
}

/// Draws the secret of a new token.
pub fn mint(id: &str) -> Minted {
    let secret = random_text(SECRET_CHARS);
    let body = format!("{PREFIX}{id}_{secret}");
    let text = format!("{body}{}", checksum(&body));
    Minted { text, secret_sha256: Sha256::digest(secret.as_bytes()).into() }
}

/// Reads a token; absent where it is not one that was ever minted.
pub fn read(text: &str) -> Option<Presented<'_>> {
    if !text.is_ascii() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (id, tail) = text.strip_prefix(PREFIX)?.split_once('_')?;
    if id.is_empty() || tail.len() != SECRET_CHARS + CHECKSUM_CHARS {
        return None;
    }
    let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
    if checksum(body) != sum {
        return None;
    }
    Some(Presented { id, secret_sha256: Sha256::digest(&tail.as_bytes()[..SECRET_CHARS]).into() })
}

/// A new public id.
pub fn new_id() -> String {
    random_text(ID_CHARS)
}

/// Text of random letters and digits, 5.95 bits each: 22 of them are more than 128 bits.
pub fn random_text(chars: usize) -> String {
    let mut text = String::with_capacity(chars);
    let mut bytes = [0u8; 64];
    while text.len() < chars {
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        // What is above the greatest multiple of 62 would make some letters likelier than others.
        let letters = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(LETTERS[usize::from(byte % 62)]));
        text.extend(letters.take(chars - text.len()));
    }
    text
}

/// Six characters of 62 from the first eight bytes of SHA-256.
fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    let mut number = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes are eight bytes"));
    let mut sum = String::with_capacity(CHECKSUM_CHARS);
    for _ in 0..CHECKSUM_CHARS {
        sum.push(char::from(LETTERS[usize::try_from(number % 62).expect("it is less than 62")]));
        number /= 62;
    }
    sum
}

/// The id of the token that the data directory keeps for the commands on this machine. A change of its
/// account's password leaves it: whoever can read it can read the database too.
pub const LOCAL_TOKEN_ID: &str = "local";

/// How the text of every API token begins.
pub const PREFIX: &str = "tdg_";
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const ID_CHARS: usize = 12;
const TEXT_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_minted() {
        for _ in 0..100 {
            let id = new_id();
            let minted = mint(&id);
            let presented = read(&minted.text).unwrap();
            assert_eq!(presented.id, id);
            assert_eq!(presented.secret_sha256, minted.secret_sha256);
        }
        assert_ne!(mint("a").text, mint("a").text);
    }

    #[test]
    fn a_token_with_any_other_byte_is_no_token() {
        let text = mint("abc").text;
        for at in 0..text.len() {
            for byte in *b"0aZ_~" {
                let mut bytes = text.clone().into_bytes();
                if bytes[at] != byte {
                    bytes[at] = byte;
                    assert!(read(std::str::from_utf8(&bytes).unwrap()).is_none(), "{at}");
                }
            }
            assert!(read(&text[..at]).is_none());
        }
        assert!(read(&format!("{text}0")).is_none());
        assert!(read("").is_none());
        assert!(read("tdg__").is_none());
        assert!(read(&format!("tdg_{}", "é".repeat(30))).is_none());
    }

    #[test]
    fn random_texts_use_every_letter_and_repeat_never() {
        let text = random_text(20_000);
        assert!(LETTERS.iter().all(|letter| text.contains(char::from(*letter))));
        assert_eq!(random_text(0), "");
        let drawn: std::collections::HashSet<_> = (0..1_000).map(|_| random_text(22)).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
