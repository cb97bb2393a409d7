//! XEP-0413: Order-By, for the items of a node.

use crate::pubsub::{Edge, Order};
use crate::store::List;
use crate::xep::rsm::Wanted;
use crate::xep::{Entity, Extension, Feature, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 413,
    name: "Order-By",
    version: "0.2.1",
    features: &[
        Feature::always(NS_ORDER, &[Entity::Service, Entity::Account]),
        Feature::always("urn:xmpp:order-by:1@http://jabber.org/protocol/pubsub", &[Entity::Service, Entity::Account]),
    ],
    claims: &[],
};

/// In which order a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Ordering {
    pub(super) by: Order,
    /// The last of the list comes first.
    descending: bool,
}

impl Ordering {
    /// What the `<order/>` in this element asks for. Further ones would tell apart what the first leaves
    /// equal, and no two items are.
    pub(super) fn of(parent: &Element) -> Result<Option<Self>, StanzaError> {
        let Some(order) = parent.child("order", NS_ORDER) else { return Ok(None) };
        let by = match order.attr("by") {
            Some("creation") => Order::Creation,
            Some("modification") => Order::Modification,
            Some(_) => {
                let error = StanzaError::new(Condition::FeatureNotImplemented);
                return Err(error.with_text("items are ordered by creation or modification"));
            }
            None => return Err(bad_request("the order has nothing to order by")),
        };
        let descending = match order.attr("desc") {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => return Err(bad_request("desc is true or false")),
        };
        Ok(Some(Ordering { by, descending }))
    }

    /// The part of the list that holds the wanted part of its reverse, if that is what is wanted.
    pub(super) fn turn(self, wanted: Wanted) -> Wanted {
        if !self.descending {
            return wanted;
        }
        let edge = match wanted.page.edge {
            Edge::First => Edge::Last,
            Edge::Last => Edge::First,
            Edge::After(key) => Edge::Before(key),
            Edge::Before(key) => Edge::After(key),
            Edge::At(number) => Edge::AtEnd(number),
            Edge::AtEnd(number) => Edge::At(number),
        };
        Wanted { page: crate::pubsub::Page { edge, ..wanted.page }, ..wanted }
    }

    /// What was read, as it is wanted.
    pub(super) fn turn_list<T>(self, mut list: List<T>) -> List<T> {
        if self.descending {
            list.index = list.index.map(|index| list.count.saturating_sub(index + list.entries.len() as u64));
            list.entries.reverse();
            std::mem::swap(&mut list.first, &mut list.last);
        }
        list
    }
}

const NS_ORDER: &str = "urn:xmpp:order-by:1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::Page;

    fn asked(attributes: &[(&str, &str)]) -> Result<Option<Ordering>, StanzaError> {
        let order = Element::new("order", NS_ORDER);
        let order = attributes.iter().fold(order, |order, (name, value)| order.with_attr(name, *value));
        Ordering::of(&Element::new("pubsub", "urn:x").with_child(order))
    }

    #[test]
    fn an_order_is_one_of_two_and_either_way() {
        for (by, order) in [("creation", Order::Creation), ("modification", Order::Modification)] {
            assert_eq!(asked(&[("by", by)]), Ok(Some(Ordering { by: order, descending: false })));
            assert_eq!(asked(&[("by", by), ("desc", "1")]), Ok(Some(Ordering { by: order, descending: true })));
        }
        assert_eq!(asked(&[("by", "colour")]).unwrap_err().condition, Condition::FeatureNotImplemented);
        assert_eq!(asked(&[]).unwrap_err().condition, Condition::BadRequest);
        assert_eq!(asked(&[("by", "creation"), ("desc", "down")]).unwrap_err().condition, Condition::BadRequest);
        assert_eq!(Ordering::of(&Element::new("pubsub", "urn:x")), Ok(None));
    }

    #[test]
    fn a_page_of_the_reverse_is_a_page_from_the_other_end() {
        let down = Ordering { by: Order::Creation, descending: true };
        let wanted = Wanted { page: Page { max: 2, edge: Edge::After("7".to_owned()) }, paged: true };
        assert_eq!(down.turn(wanted).page.edge, Edge::Before("7".to_owned()));
        let text = |text: &str| Some(text.to_owned());
        let list =
            List { entries: vec![3, 4], count: 5, first: text("3"), last: text("4"), index: Some(2), complete: false };
        let turned = down.turn_list(list);
        assert_eq!(
            (turned.entries, turned.first, turned.last, turned.index),
            (vec![4, 3], text("4"), text("3"), Some(1))
        );
    }
}
