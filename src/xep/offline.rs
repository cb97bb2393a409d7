//! XEP-0160: Best Practices for Handling Offline Messages. They are kept and handed over by
//! `messaging`; here it is said that they are.

use crate::xep::{Entity, Extension, Feature};

pub(super) const EXTENSION: Extension = Extension {
    number: 160,
    name: "Best Practices for Handling Offline Messages",
    version: "1.0.1",
    features: &[Feature::always("msgoffline", &[Entity::Server])],
    claims: &[],
};
