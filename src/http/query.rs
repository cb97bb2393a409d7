//! Query parameters: each known by name, given once, and of its type; anything else is refused, for a
//! typo must fail loudly.

use std::borrow::Cow;

use crate::http::path::{Plus, percent_decode};
use crate::http::problem::Problem;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads a raw query in which only these names may stand.
    pub(super) fn parse(raw: Option<&'a str>, known: &'static [&'static str]) -> Result<Self, Problem> {
        Query::parse_with(raw, known, &[])
    }

    /// The same, where some of them may be given more than once.
    pub(super) fn parse_with(
        raw: Option<&'a str>,
        known: &'static [&'static str],
        repeated: &[&str],
    ) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for pair in raw.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode(name, Plus::Space)?;
            let name = *known.iter().find(|known| **known == name).ok_or_else(|| unknown(&name, known))?;
            if !repeated.contains(&name) && pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_request(format!("the query parameter {name} is given twice")));
            }
            pairs.push((name, percent_decode(value, Plus::Space)?));
        }
        Ok(Query { pairs })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| &**value)
    }

    /// Every value of a parameter that may be repeated.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(other, _)| *other == name).map(|(_, value)| &**value)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Problem::bad_request(format!("the query parameter {name} takes true or false"))),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Problem::bad_request(format!("the query parameter {name} takes a number from {least} to {most}"))),
        }
    }

    /// Refuses the parameters that mean nothing in this case, though they do in others.
    pub(super) fn without(&self, names: &[&str], why: &str) -> Result<(), Problem> {
        match self.pairs.iter().find(|(name, _)| names.contains(name)) {
            Some((name, _)) => Err(Problem::bad_request(format!("the query parameter {name} means nothing {why}"))),
            None => Ok(()),
        }
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let shown: String = name.chars().take(NAME_CHARS_SHOWN).collect();
    let detail = match known {
        [] => format!("unknown query parameter {shown:?}: none is taken here"),
        known => format!("unknown query parameter {shown:?}: known are {}", known.join(", ")),
    };
    Problem::new(axum::http::StatusCode::BAD_REQUEST, "unknown-parameter", "Unknown query parameter", detail)
}

const NAME_CHARS_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["limit", "after", "watch"];

    #[test]
    fn parameters_are_read_by_name_and_type() {
        let query = Query::parse(Some("limit=50&after=a%2Fb+c%2B&watch=true"), KNOWN).unwrap();
        assert_eq!(query.number("limit", 1, 100), Ok(Some(50)));
        assert_eq!(query.text("after"), Some("a/b c+"));
        assert_eq!(query.boolean("watch"), Ok(Some(true)));
        let query = Query::parse(None, KNOWN).unwrap();
        assert_eq!(
            (query.text("after"), query.boolean("watch"), query.number("limit", 0, 9)),
            (None, Ok(None), Ok(None))
        );
        assert!(Query::parse(Some(""), KNOWN).is_ok());
    }

    #[test]
    fn a_typo_fails_loudly() {
        for raw in ["limits=1", "Limit=1", "limit=1&limit=1", "x", "=1", "%", "after=%zz", "after=%ff"] {
            assert_eq!(Query::parse(Some(raw), KNOWN).unwrap_err().status.as_u16(), 400, "{raw}");
        }
        for raw in [
            "limit=",
            "limit=-1",
            "limit=+5",
            "limit=%2B5",
            "limit=0",
            "limit=101",
            "limit=1e1",
            "limit=99999999999999999999",
        ] {
            let query = Query::parse(Some(raw), KNOWN).unwrap();
            assert_eq!(query.number("limit", 1, 100).unwrap_err().status.as_u16(), 400, "{raw}");
        }
        for raw in ["watch", "watch=1", "watch=TRUE"] {
            assert!(Query::parse(Some(raw), KNOWN).unwrap().boolean("watch").is_err(), "{raw}");
        }
        let query = Query::parse(Some("watch=true"), KNOWN).unwrap();
        assert!(query.without(&["watch"], "here").is_err());
        assert!(query.without(&["after"], "here").is_ok());
    }
}
