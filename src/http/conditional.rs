//! Entity tags and preconditions (RFC 9110 §8.8.3, §13).
//!
//! A tag is the opaque `epoch-seq` of the item's publication with a suffix for the representation, so
//! that the native form and the JSON form of one item have different tags, while any of them names
//! the same state of the item to `If-Match`.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::delivery::Cursors;
use crate::engine::Position;
use crate::http::problem::Problem;
use crate::pubsub::{Media, NodeKey, Precondition, Refusal, Seq};

/// The shape in which an item is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it was published.
    Native,
    /// As JSON, whatever it was.
    Json,
}

/// The entity tag of one representation of an item.
pub(super) fn entity_tag(cursors: &Cursors, at: Position, media: Option<Media>, form: Form) -> String {
    format!("\"{}-{}\"", cursors.etag(at), suffix(media, form))
}

fn suffix(media: Option<Media>, form: Form) -> &'static str {
    match (media, form) {
        (None, _) => "n",
        (Some(Media::Json), _) => "j",
        (Some(Media::Xml), Form::Native) => "x",
        (Some(Media::Xml), Form::Json) => "xj",
        (Some(Media::Atom), Form::Native) => "a",
        (Some(Media::Atom), Form::Json) => "aj",
        (Some(Media::Text), Form::Native) => "t",
        (Some(Media::Text), Form::Json) => "tj",
    }
}

/// What `If-Match` or `If-None-Match` bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    weak: bool,
    opaque: String,
}

impl Tags {
    /// Reads a header, which may stand several times (RFC 9110 §5.3). Absent is `None`.
    pub(super) fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let malformed = || Problem::bad_request(format!("{name} bears neither * nor quoted entity tags"));
        let mut tags = vec![];
        let mut values = headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            return Ok(None);
        }
        for value in values {
            let text = value.to_str().map_err(|_| malformed())?.trim();
            if text == "*" && headers.get_all(name).iter().count() == 1 {
                return Ok(Some(Tags::Any));
            }
            read_tags(text, &mut tags).ok_or_else(malformed)?;
        }
        match tags.len() {
            0 => Err(malformed()),
            1..=TAGS_MAX => Ok(Some(Tags::These(tags))),
            _ => Err(Problem::bad_request(format!("{name} bears more than {TAGS_MAX} entity tags"))),
        }
    }

    /// Weak comparison with a tag of ours (RFC 9110 §8.8.3.2).
    pub(super) fn match_weakly(&self, quoted: &str) -> bool {
        match self {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|tag| tag.is(quoted)),
        }
    }

    /// Strong comparison: a weak tag never matches.
    pub(super) fn match_strongly(&self, quoted: &str) -> bool {
        match self {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|tag| !tag.weak && tag.is(quoted)),
        }
    }
}

impl Tag {
    fn is(&self, quoted: &str) -> bool {
        quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(&self.opaque)
    }

    /// The publication that the tag names, if it is one of this node's.
    fn seq(&self, cursors: &Cursors, node: NodeKey) -> Option<Seq> {
        let (position, _suffix) = self.opaque.rsplit_once('-')?;
        let (_epoch, seq) = position.rsplit_once('-')?;
        let seq = Seq(u64::from_str_radix(seq, 16).ok()?);
        (cursors.etag(Position { node, seq }) == position).then_some(seq)
    }
}

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteCondition {
    Simple(Precondition),
    /// `If-Match` with tags: only a caller who knows the node can tell which positions they name.
    Match(Vec<Tag>),
}

impl WriteCondition {
    /// Reads the headers of a write that names an item.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let if_match = Tags::read(headers, &IF_MATCH)?;
        let if_none_match = Tags::read(headers, &IF_NONE_MATCH)?;
        match (if_match, if_none_match) {
            (None, None) => Ok(WriteCondition::Simple(Precondition::None)),
            (Some(Tags::Any), None) => Ok(WriteCondition::Simple(Precondition::Present)),
            (None, Some(Tags::Any)) => Ok(WriteCondition::Simple(Precondition::Absent)),
            (Some(Tags::These(tags)), None) => Ok(WriteCondition::Match(tags)),
            (None, Some(Tags::These(_))) => {
                Err(Problem::bad_request("If-None-Match on a write takes * only: create, but do not replace"))
            }
            (Some(_), Some(_)) => Err(Problem::bad_request("If-Match and If-None-Match exclude each other on a write")),
        }
    }

    /// For a write that names no item: there is nothing to compare with.
    pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
        match headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH) {
            true => Err(Problem::bad_request("If-Match and If-None-Match mean nothing where no item is named")),
            false => Ok(()),
        }
    }
}

/// The conditions of which one must hold, in the order of the tags. None means that no tag is one of
/// this node's, or all are weak: the write must fail.
pub(super) fn candidates(tags: &[Tag], cursors: &Cursors, node: NodeKey) -> Vec<Precondition> {
    let mut seqs: Vec<Seq> = tags.iter().filter(|tag| !tag.weak).filter_map(|tag| tag.seq(cursors, node)).collect();
    seqs.dedup();
    seqs.into_iter().map(|seq| Precondition::At(node, seq)).collect()
}

/// What a conditional reading comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadCondition {
    Holds,
    /// 304
    NotModified,
}

/// RFC 9110 §13.2.2, for GET and HEAD.
pub(super) fn check_read(headers: &HeaderMap, quoted: &str) -> Result<ReadCondition, Problem> {
    if let Some(tags) = Tags::read(headers, &IF_MATCH)?
        && !tags.match_strongly(quoted)
    {
        return Err(Refusal::PreconditionFailed.into());
    }
    match Tags::read(headers, &IF_NONE_MATCH)? {
        Some(tags) if tags.match_weakly(quoted) => Ok(ReadCondition::NotModified),
        _ => Ok(ReadCondition::Holds),
    }
}

pub(super) fn header(quoted: &str) -> HeaderValue {
    HeaderValue::from_str(quoted).expect("entity tags are made of visible ASCII")
}

/// A comma-separated list of entity tags, with the empty elements that RFC 9110 §5.6.1.2 tolerates.
fn read_tags(mut text: &str, tags: &mut Vec<Tag>) -> Option<()> {
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Some(());
        }
        let (weak, rest) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = rest.strip_prefix('"')?.split_once('"')?;
        if opaque.bytes().any(|byte| byte <= b' ') {
            return None;
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
        tags.push(Tag { weak, opaque: opaque.to_owned() });
        text = rest;
    }
}

/// Each tag of a write may cost one attempt.
const TAGS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn tag(weak: bool, opaque: &str) -> Tag {
        Tag { weak, opaque: opaque.to_owned() }
    }

    #[test]
    fn tags_are_read_as_rfc_9110_writes_them() {
        for (values, expected) in [
            (&["*"][..], Tags::Any),
            (&["\"a-1\""], Tags::These(vec![tag(false, "a-1")])),
            (&["W/\"a\" , \"b,c\""], Tags::These(vec![tag(true, "a"), tag(false, "b,c")])),
            (&[",\"a\",,", "\"b\""], Tags::These(vec![tag(false, "a"), tag(false, "b")])),
            (&["\"\""], Tags::These(vec![tag(false, "")])),
        ] {
            assert_eq!(Tags::read(&headers(&IF_MATCH, values), &IF_MATCH), Ok(Some(expected)), "{values:?}");
        }
        assert_eq!(Tags::read(&HeaderMap::new(), &IF_MATCH), Ok(None));
        for values in [&["a"][..], &["\"a"], &["\"a\"b"], &["*, \"a\""], &["*", "*"], &["w/\"a\""], &[""], &["\"a b\""]]
        {
            assert!(Tags::read(&headers(&IF_MATCH, values), &IF_MATCH).is_err(), "{values:?}");
        }
        let many = vec!["\"a\""; TAGS_MAX + 1];
        assert!(Tags::read(&headers(&IF_MATCH, &many), &IF_MATCH).is_err());
    }

    #[test]
    fn a_tag_of_ours_names_its_position_whatever_its_suffix() {
        let cursors = Cursors::new(&crate::store::Identity { incarnation: 9, cursor_key: [1; 32], decoy_key: [0; 32] });
        let node = NodeKey(77);
        for seq in [1, 10, 255, u64::MAX] {
            let at = Position { node, seq: Seq(seq) };
            for (media, form) in
                [(None, Form::Native), (Some(Media::Xml), Form::Json), (Some(Media::Text), Form::Native)]
            {
                let quoted = entity_tag(&cursors, at, media, form);
                let read = Tags::read(&headers(&IF_MATCH, &[quoted.as_str()]), &IF_MATCH).unwrap().unwrap();
                let Tags::These(tags) = read else { panic!("{quoted}") };
                assert_eq!(candidates(&tags, &cursors, node), [Precondition::At(node, Seq(seq))], "{quoted}");
                assert_eq!(candidates(&tags, &cursors, NodeKey(78)), [], "{quoted}");
            }
        }
        for opaque in ["", "-", "x", "9.4d-1", "9.4d-01-j", "9.4d-+1-j", "8.4d-1-j", "9.4D-1-j"] {
            assert_eq!(candidates(&[tag(false, opaque)], &cursors, node), [], "{opaque}");
        }
        assert_eq!(candidates(&[tag(true, "9.4d-1-j")], &cursors, node), []);
    }

    #[test]
    fn a_weak_tag_matches_weakly_only() {
        let tags = Tags::These(vec![tag(true, "a"), tag(false, "b")]);
        assert!(tags.match_weakly("\"a\"") && tags.match_weakly("\"b\"") && !tags.match_weakly("\"c\""));
        assert!(!tags.match_strongly("\"a\"") && tags.match_strongly("\"b\""));
    }

    #[test]
    fn conditions_of_a_write() {
        let read = |name, value| WriteCondition::read(&headers(name, &[value]));
        assert_eq!(WriteCondition::read(&HeaderMap::new()), Ok(WriteCondition::Simple(Precondition::None)));
        assert_eq!(read(&IF_NONE_MATCH, "*"), Ok(WriteCondition::Simple(Precondition::Absent)));
        assert_eq!(read(&IF_MATCH, "*"), Ok(WriteCondition::Simple(Precondition::Present)));
        assert_eq!(read(&IF_MATCH, "\"a\""), Ok(WriteCondition::Match(vec![tag(false, "a")])));
        assert!(read(&IF_NONE_MATCH, "\"a\"").is_err());
        let mut both = headers(&IF_MATCH, &["*"]);
        both.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(WriteCondition::read(&both).is_err());
        assert!(WriteCondition::refuse(&both).is_err());
        assert!(WriteCondition::refuse(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn conditions_of_a_reading() {
        let read = |name, value: &str| check_read(&headers(name, &[value]), "\"e-7-j\"");
        assert_eq!(check_read(&HeaderMap::new(), "\"e-7-j\""), Ok(ReadCondition::Holds));
        assert_eq!(read(&IF_NONE_MATCH, "\"e-7-j\""), Ok(ReadCondition::NotModified));
        assert_eq!(read(&IF_NONE_MATCH, "W/\"e-7-j\""), Ok(ReadCondition::NotModified));
        assert_eq!(read(&IF_NONE_MATCH, "*"), Ok(ReadCondition::NotModified));
        assert_eq!(read(&IF_NONE_MATCH, "\"e-6-j\""), Ok(ReadCondition::Holds));
        assert_eq!(read(&IF_MATCH, "\"e-7-j\""), Ok(ReadCondition::Holds));
        assert_eq!(read(&IF_MATCH, "\"e-6-j\"").unwrap_err().status.as_u16(), 412);
    }
}
