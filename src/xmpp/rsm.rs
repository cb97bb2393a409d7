//! Result sets: which part of a list is wanted, and which part this is (XEP-0059).

use crate::xml::Element;

/// `<set/>` in a request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SetRequest {
    /// The most entries that are wanted. 0 asks for the count alone (XEP-0059 §2.7).
    pub max: Option<u64>,
    pub place: Place,
}

/// Where the wanted part begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Place {
    #[default]
    First,
    /// Behind the entry of this name (XEP-0059 §2.2).
    After(String),
    /// Ahead of the entry of this name (XEP-0059 §2.3).
    Before(String),
    /// The end of the list (XEP-0059 §2.5).
    Last,
    /// At this number, counted from 0 (XEP-0059 §2.6).
    Index(u64),
}

/// Why a request is not one: a `bad-request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetError {
    /// `<max/>` or `<index/>` is not a number, or too large for one.
    Number,
    /// More than one place.
    Ambiguous,
}

/// `<set/>` in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SetResult {
    pub first: Option<String>,
    /// The number of the first entry, counted from 0.
    pub first_index: Option<u64>,
    pub last: Option<String>,
    pub count: Option<u64>,
}

impl SetRequest {
    /// The `<set/>` among the children of this element; nothing where there is none.
    pub fn within(parent: &Element) -> Result<Option<Self>, SetError> {
        parent.child("set", NS_RSM).map(Self::parse).transpose()
    }

    pub fn parse(set: &Element) -> Result<Self, SetError> {
        let text = |name: &str| set.child(name, NS_RSM).map(Element::text);
        let number = |name: &str| match text(name) {
            Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| SetError::Number),
            None => Ok(None),
        };
        // An empty `<after/>` names no entry and so stands before them all.
        let after = text("after").map(|uid| if uid.is_empty() { Place::First } else { Place::After(uid) });
        let before = text("before").map(|uid| if uid.is_empty() { Place::Last } else { Place::Before(uid) });
        let index = number("index")?.map(Place::Index);
        let mut places = [after, before, index].into_iter().flatten();
        let place = places.next().unwrap_or_default();
        if places.next().is_some() {
            return Err(SetError::Ambiguous);
        }
        Ok(SetRequest { max: number("max")?, place })
    }

    pub fn to_element(&self) -> Element {
        let word = |name: &str, text: &str| Element::new(name, NS_RSM).with_text(text);
        let max = self.max.map(|max| word("max", &max.to_string()));
        let place = match &self.place {
            Place::First => None,
            Place::After(uid) => Some(word("after", uid)),
            Place::Before(uid) => Some(word("before", uid)),
            Place::Last => Some(word("before", "")),
            Place::Index(index) => Some(word("index", &index.to_string())),
        };
        Element::new("set", NS_RSM).with_children(max).with_children(place)
    }
}

impl SetResult {
    /// Nothing where a number is none.
    pub fn parse(set: &Element) -> Option<Self> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let first = set.child("first", NS_RSM);
        let count = set.child("count", NS_RSM);
        let index = first.and_then(|first| first.attr("index"));
        let result = SetResult {
            first: first.map(Element::text),
            first_index: index.and_then(number),
            last: set.child("last", NS_RSM).map(Element::text),
            count: count.and_then(|count| number(&count.text())),
        };
        (index.is_some() == result.first_index.is_some() && count.is_some() == result.count.is_some()).then_some(result)
    }

    pub fn to_element(&self) -> Element {
        let mut set = Element::new("set", NS_RSM);
        if let Some(first) = &self.first {
            let index = self.first_index.map(|index| index.to_string());
            set.push(Element::new("first", NS_RSM).with_attr_opt("index", index).with_text(first.as_str()));
        }
        if let Some(last) = &self.last {
            set.push(Element::new("last", NS_RSM).with_text(last.as_str()));
        }
        if let Some(count) = self.count {
            set.push(Element::new("count", NS_RSM).with_text(count.to_string()));
        }
        set
    }
}

/// XEP-0059 §8.
pub const NS_RSM: &str = "http://jabber.org/protocol/rsm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_reads_back_as_it_was_written() {
        for max in [None, Some(0), Some(10), Some(u64::MAX)] {
            for place in [
                Place::First,
                Place::After("1@2);DROP".to_owned()),
                Place::Before("<a> &".to_owned()),
                Place::Last,
                Place::Index(0),
                Place::Index(371),
            ] {
                let request = SetRequest { max, place };
                assert_eq!(SetRequest::parse(&request.to_element()), Ok(request));
            }
        }
    }

    #[test]
    fn every_result_reads_back_as_it_was_written() {
        for first_index in [None, Some(0), Some(u64::MAX)] {
            for count in [None, Some(0), Some(800)] {
                let uid = |text: &str| Some(text.to_owned());
                let page = SetResult { first: uid("a<"), first_index, last: uid("b&"), count };
                let empty = SetResult { count, ..SetResult::default() };
                for result in [page, empty] {
                    assert_eq!(SetResult::parse(&result.to_element()), Some(result));
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_or_no_single_place_is_refused() {
        let set = |children: &[(&str, &str)]| {
            let words = children.iter().map(|(name, text)| Element::new(*name, NS_RSM).with_text(*text));
            SetRequest::parse(&Element::new("set", NS_RSM).with_children(words))
        };
        for text in ["-1", "ten", "", "18446744073709551616", "1.5"] {
            assert_eq!(set(&[("max", text)]), Err(SetError::Number), "{text:?}");
            assert_eq!(set(&[("index", text)]), Err(SetError::Number), "{text:?}");
        }
        assert_eq!(set(&[("after", "a"), ("before", "b")]), Err(SetError::Ambiguous));
        assert_eq!(set(&[("after", "a"), ("index", "1")]), Err(SetError::Ambiguous));
        assert_eq!(set(&[("after", "")]), Ok(SetRequest::default()));
    }
}
