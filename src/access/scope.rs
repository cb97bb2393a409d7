//! The scopes of an API token: verbs and node globs.

use std::fmt;
use std::sync::Arc;

/// The scopes of a token: verbs and node globs. They only narrow.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Scopes(Arc<[Scope]>);

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// It is not `verb:glob` with a verb of [`VERBS`].
    Form(String),
    /// The glob is longer than [`GLOB_BYTES_MAX`].
    TooLong,
    /// There are more than [`SCOPES_MAX`].
    TooMany,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    verb: String,
    glob: String,
    /// Whether a star is a star.
    literal: bool,
}

impl Scopes {
    /// Reads scopes as they are given and kept, `verb:glob` each: `publish:orders/*`. In a glob, `*`
    /// stands for any characters, `/` among them, and nothing else is special.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, ScopeError> {
        if texts.len() > SCOPES_MAX {
            return Err(ScopeError::TooMany);
        }
        let parse = |text: &S| {
            let text = text.as_ref();
            let form = || ScopeError::Form(text.chars().take(SHOWN_CHARS_MAX).collect());
            let (verb, glob) = text.split_once(':').ok_or_else(form)?;
            if !VERBS.contains(&verb) || glob.is_empty() {
                return Err(form());
            }
            if glob.len() > GLOB_BYTES_MAX {
                return Err(ScopeError::TooLong);
            }
            Ok(Scope { verb: verb.to_owned(), glob: glob.to_owned(), literal: false })
        };
        Ok(Scopes(texts.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Reading these nodes, each by its name, and nothing else.
    pub fn reading(nodes: &[String]) -> Self {
        let scope = |node: &String| Scope { verb: "read".to_owned(), glob: node.clone(), literal: true };
        Scopes(nodes.iter().map(scope).collect())
    }

    /// Whether any scope covers the verb (`publish`, `read`, `manage`) at the node.
    pub fn allow(&self, verb: &str, node: &str) -> bool {
        let covers = |scope: &Scope| if scope.literal { scope.glob == node } else { matches(&scope.glob, node) };
        self.0.iter().any(|scope| scope.verb == verb && covers(scope))
    }
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScopeError::Form(text) => write!(
                f,
                "{text:?} is not a scope: write a verb ({}), a colon and a node with * for any characters, as in \
                 publish:orders/*",
                VERBS.join(", ")
            ),
            ScopeError::TooLong => write!(f, "the node of a scope is longer than {GLOB_BYTES_MAX} bytes"),
            ScopeError::TooMany => write!(f, "a token has at most {SCOPES_MAX} scopes"),
        }
    }
}

impl std::error::Error for ScopeError {}

/// Whether a glob covers a text; `*` stands for any characters, and nothing else is special.
///
/// Matches with one step back: to the last star, which takes one byte more. That is enough, because
/// whatever an earlier star could take in addition, the last one can take too.
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == b'*' {
            star = Some((g + 1, t));
            g += 1;
        } else if g < glob.len() && glob[g] == text[t] {
            g += 1;
            t += 1;
        } else if let Some((after, taken)) = star {
            star = Some((after, taken + 1));
            g = after;
            t = taken + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// What a token can be narrowed to: publishing and retracting, reading and watching, and creating,
/// configuring, purging and deleting nodes.
pub const VERBS: [&str; 3] = ["publish", "read", "manage"];

/// Scopes of one token; each is looked at for each request.
pub const SCOPES_MAX: usize = 64;

/// As long as a node id may be (a prepared part of an address, RFC 7622 §3.1).
pub const GLOB_BYTES_MAX: usize = 1023;

const SHOWN_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_covers_what_it_says() {
        for (glob, node, covered) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("orders/*", "orders/42", true),
            ("orders/*", "orders/42/lines", true),
            ("orders/*", "orders/", true),
            ("orders/*", "orders", false),
            ("orders/*", "xorders/1", false),
            ("*/secret", "a/secret", true),
            ("*/secret", "a/secret1", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("orders/?", "orders/1", false),
            ("", "", true),
            ("ä*", "äö", true),
        ] {
            assert_eq!(matches(glob, node), covered, "{glob} {node}");
        }
    }

    #[test]
    fn scopes_narrow_by_verb_and_node() {
        let scopes = Scopes::parse(&["publish:orders/*", "read:*"]).unwrap();
        assert!(scopes.allow("publish", "orders/1"));
        assert!(!scopes.allow("publish", "stock/1"));
        assert!(scopes.allow("read", "stock/1"));
        assert!(!scopes.allow("manage", "orders/1"));
        assert!(!Scopes::default().allow("read", "orders/1"));
    }

    #[test]
    fn a_scope_for_reading_by_name_takes_a_star_for_a_star() {
        let scopes = Scopes::reading(&["a*".to_owned(), "b".to_owned()]);
        assert!(scopes.allow("read", "a*") && scopes.allow("read", "b"));
        assert!(!scopes.allow("read", "ab") && !scopes.allow("publish", "b"));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for text in ["", "publish", "publish:", "write:*", "*:*", ":x", "Publish:x"] {
            assert!(matches!(Scopes::parse(&[text]), Err(ScopeError::Form(_))), "{text}");
        }
        assert_eq!(Scopes::parse(&[format!("read:{}", "a".repeat(1024))]), Err(ScopeError::TooLong));
        assert_eq!(Scopes::parse(&["read:*"; 65]), Err(ScopeError::TooMany));
    }
}
