//! Several texts as one, whatever they hold: each with its length before it, as in `3:one5:three`.
//! Edges of pages whose entries have more than one key are written so.

/// Joins texts so that [`split`] finds them again.
pub(super) fn join<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for text in texts {
        joined.push_str(&text.len().to_string());
        joined.push(':');
        joined.push_str(text);
    }
    joined
}

/// The texts of which [`join`] made this; nothing, when it did not.
pub(super) fn split(mut joined: &str) -> Option<Vec<&str>> {
    let mut texts = Vec::new();
    while !joined.is_empty() {
        let (length, rest) = joined.split_once(':')?;
        let length: usize = length.parse().ok()?;
        texts.push(rest.get(..length)?);
        joined = &rest[length..];
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_joined_is_split() {
        for texts in [&[][..], &[""], &["", "a", ""], &["3:x", "ü:1", "\0"], &["a/b c", "'\""]] {
            assert_eq!(split(&join(texts.iter().copied())).as_deref(), Some(texts));
        }
    }

    #[test]
    fn what_was_never_joined_is_refused() {
        for text in ["x", "3:ab", "1:ü", "-1:", ":", "5", "99999999999999999999:a"] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
