//! Pages of lists, forwards and backwards.
//!
//! `after` and `before` bear what the last answer called `next` or `prev`: the list's own key of an
//! entry, which is opaque to the caller.

use crate::http::Options;
use crate::http::json::Object;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::pubsub::{Edge, Page};
use crate::store::List;

/// The page that a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) page: Page,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// The query parameters of a page without an order.
pub(super) const PARAMETERS: &[&str] = &["limit", "after", "before"];

impl Paging {
    pub(super) fn read(query: &Query<'_>, options: &Options) -> Result<Self, Problem> {
        let max = query.number("limit", 0, options.page_entries_max)?.unwrap_or(options.page_entries);
        let order = match query.text("order") {
            None | Some("asc") => Order::Ascending,
            Some("desc") => Order::Descending,
            Some(_) => return Err(Problem::bad_request("the query parameter order takes asc or desc")),
        };
        let edge = match (query.text("after"), query.text("before"), order) {
            (Some(_), Some(_), _) => return Err(Problem::bad_request("after and before exclude each other")),
            (None, None, Order::Ascending) => Edge::First,
            (None, None, Order::Descending) => Edge::Last,
            // In a list that runs backwards, what comes after an entry stands before it.
            (Some(key), None, Order::Ascending) | (None, Some(key), Order::Descending) => Edge::After(key.to_owned()),
            (None, Some(key), Order::Ascending) | (Some(key), None, Order::Descending) => Edge::Before(key.to_owned()),
        };
        Ok(Paging { page: Page { max, edge }, order })
    }

    /// The entries in the order that was asked for.
    pub(super) fn ordered<'a, T>(&self, list: &'a List<T>) -> Box<dyn Iterator<Item = &'a T> + Send + 'a>
    where
        T: Sync,
    {
        match self.order {
            Order::Ascending => Box::new(list.entries.iter()),
            Order::Descending => Box::new(list.entries.iter().rev()),
        }
    }

    /// How many there are in all, and where the pages beside this one begin.
    pub(super) fn write<T>(&self, object: &mut Object<'_>, list: &List<T>) {
        object.number("count", list.count);
        let (follows, precedes) = match self.page.edge {
            Edge::First => (!list.complete, false),
            Edge::After(_) | Edge::At(_) => (!list.complete, true),
            Edge::Last => (false, !list.complete),
            Edge::Before(_) | Edge::AtEnd(_) => (true, !list.complete),
        };
        let onward = list.last.as_deref().filter(|_| follows);
        let back = list.first.as_deref().filter(|_| precedes);
        let (next, prev) = match self.order {
            Order::Ascending => (onward, back),
            Order::Descending => (back, onward),
        };
        if let Some(next) = next {
            object.text("next", next);
        }
        if let Some(prev) = prev {
            object.text("prev", prev);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["limit", "after", "before", "order"];

    fn read(raw: &str) -> Result<Paging, Problem> {
        Paging::read(&Query::parse(Some(raw), KNOWN).unwrap(), &Options::default())
    }

    fn edges(raw: &str, complete: bool) -> serde_json::Value {
        let list = List {
            entries: vec![1, 2, 3],
            count: 9,
            first: Some("1".to_owned()),
            last: Some("3".to_owned()),
            index: None,
            complete,
        };
        let mut out = vec![];
        let mut object = Object::begin(&mut out);
        read(raw).unwrap().write(&mut object, &list);
        object.end();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn pages_are_asked_for() {
        let page = |max, edge| Page { max, edge };
        for (raw, expected) in [
            ("", page(50, Edge::First)),
            ("limit=7", page(7, Edge::First)),
            ("limit=0&order=asc", page(0, Edge::First)),
            ("after=k%2B", page(50, Edge::After("k+".to_owned()))),
            ("before=k", page(50, Edge::Before("k".to_owned()))),
            ("order=desc", page(50, Edge::Last)),
            ("order=desc&after=k", page(50, Edge::Before("k".to_owned()))),
            ("order=desc&before=k", page(50, Edge::After("k".to_owned()))),
        ] {
            assert_eq!(read(raw).unwrap().page, expected, "{raw}");
        }
        for raw in ["limit=101", "limit=x", "after=a&before=b", "order=newest"] {
            assert_eq!(read(raw).unwrap_err().status.as_u16(), 400, "{raw}");
        }
    }

    #[test]
    fn pages_lead_to_their_neighbours() {
        use serde_json::json;
        for (raw, complete, expected) in [
            ("", true, json!({"count": 9})),
            ("", false, json!({"count": 9, "next": "3"})),
            ("after=0", false, json!({"count": 9, "next": "3", "prev": "1"})),
            ("after=0", true, json!({"count": 9, "prev": "1"})),
            ("before=4", true, json!({"count": 9, "next": "3"})),
            ("before=4", false, json!({"count": 9, "next": "3", "prev": "1"})),
            ("order=desc", false, json!({"count": 9, "next": "1"})),
            ("order=desc", true, json!({"count": 9})),
            ("order=desc&after=4", false, json!({"count": 9, "next": "1", "prev": "3"})),
            ("order=desc&before=0", false, json!({"count": 9, "next": "1", "prev": "3"})),
        ] {
            assert_eq!(edges(raw, complete), expected, "{raw} {complete}");
        }
        let paging = read("order=desc").unwrap();
        let list = List { entries: vec![1, 2, 3], count: 3, first: None, last: None, index: None, complete: true };
        assert_eq!(paging.ordered(&list).copied().collect::<Vec<_>>(), [3, 2, 1]);
    }
}
