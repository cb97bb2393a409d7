//! XEP-0059: Result Set Management, as lists of this door are paged with it.

use crate::pubsub::{Edge, Page};
use crate::store::List;
use crate::xep::{Entity, Extension, Feature, bad_request};
use crate::xml::Element;
use crate::xmpp::{NS_RSM, Place, SetError, SetRequest, SetResult, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 59,
    name: "Result Set Management",
    version: "1.0",
    features: &[Feature::always(NS_RSM, &[Entity::Service])],
    claims: &[],
};

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) page: Page,
    /// The request speaks of result sets, so the answer does.
    pub(super) paged: bool,
}

/// What the `<set/>` in this element asks for, or the first page where there is none.
pub(super) fn wanted(parent: &Element, entries_max: u64) -> Result<Wanted, StanzaError> {
    let request = SetRequest::within(parent).map_err(|error| match error {
        SetError::Number => bad_request("a number of the result set is none, or too large"),
        SetError::Ambiguous => bad_request("the result set is asked for at two places"),
    })?;
    let paged = request.is_some();
    let SetRequest { max, place } = request.unwrap_or_default();
    let edge = match place {
        Place::First => Edge::First,
        Place::After(uid) => Edge::After(uid),
        Place::Before(uid) => Edge::Before(uid),
        Place::Last => Edge::Last,
        // XEP-0059 §2.6.
        Place::Index(number) => Edge::At(number),
    };
    Ok(Wanted { page: Page { max: max.unwrap_or(entries_max).min(entries_max), edge }, paged })
}

/// Which part of the list this is. Where nobody asked, it is said only of a list that was cut short
/// (XEP-0060 §6.5.4); of a list without entries it is never said (XEP-0059 §2.2).
pub(super) fn notation<T>(list: &List<T>, paged: bool) -> Option<Element> {
    if list.count == 0 || (!paged && list.complete) {
        return None;
    }
    let some = !list.entries.is_empty();
    let result = SetResult {
        first: list.first.clone().filter(|_| some),
        first_index: list.index.filter(|_| some),
        last: list.last.clone().filter(|_| some),
        count: Some(list.count),
    };
    Some(result.to_element())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &SetRequest) -> Result<Wanted, StanzaError> {
        wanted(&Element::new("query", "urn:x").with_child(request.to_element()), 100)
    }

    fn page(max: u64, edge: Edge) -> Wanted {
        Wanted { page: Page { max, edge }, paged: true }
    }

    // rows: 79, 203
    #[test]
    fn a_page_is_never_larger_than_the_service_allows() {
        let place = Place::After("a".to_owned());
        for (max, allowed) in [(None, 100), (Some(0), 0), (Some(7), 7), (Some(u64::MAX), 100)] {
            let wanted = ask(&SetRequest { max, place: place.clone() });
            assert_eq!(wanted, Ok(page(allowed, Edge::After("a".to_owned()))));
        }
    }

    #[test]
    fn every_place_is_found() {
        let at = |place: Place| ask(&SetRequest { max: Some(5), place });
        assert_eq!(at(Place::First), Ok(page(5, Edge::First)));
        assert_eq!(at(Place::Index(0)), Ok(page(5, Edge::At(0))));
        assert_eq!(at(Place::Index(3)), Ok(page(5, Edge::At(3))));
        assert_eq!(at(Place::Before("z".to_owned())), Ok(page(5, Edge::Before("z".to_owned()))));
        assert_eq!(at(Place::Last), Ok(page(5, Edge::Last)));
    }

    #[test]
    fn a_list_says_which_part_it_is_when_asked_or_cut_short() {
        let list = |entries: Vec<u8>, count: u64, complete: bool| {
            let edge = |entry: Option<&u8>| entry.map(u8::to_string);
            let (first, last) = (edge(entries.first()), edge(entries.last()));
            List { entries, count, first, last, index: Some(0), complete }
        };
        assert_eq!(notation(&list(vec![1, 2], 2, true), false), None);
        assert_eq!(notation(&list(vec![], 0, true), true), None);
        for paged in [true, false] {
            let set = notation(&list(vec![1, 2], 3, false), paged).unwrap();
            let text = |text: &str| Some(text.to_owned());
            let said = SetResult { first: text("1"), first_index: Some(0), last: text("2"), count: Some(3) };
            assert_eq!(SetResult::parse(&set), Some(said));
        }
        let counted = notation(&list(vec![], 3, false), true).unwrap();
        assert_eq!(SetResult::parse(&counted), Some(SetResult { count: Some(3), ..SetResult::default() }));
    }
}
