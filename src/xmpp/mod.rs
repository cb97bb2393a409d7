//! XMPP's words as plain types: stanzas, stanza errors, data forms, result sets, delay.
//!
//! Each has a way in (`parse`) and a way out (`to_element`), which are each other's inverse. Not
//! here: what a word does to anybody (`xep`, `router`), how bytes become elements (`xml`), and the
//! words of streams (`stream`).

pub mod caps;
mod delay;
mod error;
mod form;
mod rsm;
mod stanza;

pub use delay::{Delay, NS_DELAY};
pub use error::{Condition, ErrorType, NS_STANZA_ERRORS, StanzaError};
pub use form::{Field, FieldType, Form, FormError, FormType, Method, NS_DATA, NS_VALIDATE, Options, Validation};
pub use rsm::{NS_RSM, Place, SetError, SetRequest, SetResult};
pub use stanza::{Iq, IqKind, Malformed, Message, MessageType, NS_CLIENT, Presence, PresenceType, Stanza, StanzaName};
