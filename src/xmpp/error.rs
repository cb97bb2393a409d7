//! Stanza errors (RFC 6120 §8.3).

use crate::xml::Element;

/// Why a stanza was not dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender may do about it.
    pub kind: ErrorType,
    pub condition: Condition,
    /// For whoever reads logs, in English.
    pub text: Option<String>,
    /// Conditions of another namespace that say more (RFC 6120 §8.3.4). Almost always none or one.
    pub application: Vec<Element>,
}

/// RFC 6120 §8.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    Auth,
    Cancel,
    Continue,
    Modify,
    Wait,
}

/// RFC 6120 §8.3.3, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    BadRequest,
    Conflict,
    FeatureNotImplemented,
    Forbidden,
    /// With the new address, if it has one.
    Gone(Option<String>),
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    NotAuthorized,
    PolicyViolation,
    RecipientUnavailable,
    /// With the address to be used for now, if there is one.
    Redirect(Option<String>),
    RegistrationRequired,
    RemoteServerNotFound,
    RemoteServerTimeout,
    ResourceConstraint,
    ServiceUnavailable,
    SubscriptionRequired,
    UndefinedCondition,
    UnexpectedRequest,
}

impl StanzaError {
    /// An error of the type that the specification gives to its condition.
    pub fn new(condition: Condition) -> Self {
        StanzaError { kind: condition.default_type(), condition, text: None, application: Vec::new() }
    }

    #[must_use]
    pub fn with_type(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    #[must_use]
    pub fn with_application(mut self, condition: Element) -> Self {
        self.application.push(condition);
        self
    }

    /// Reads `<error/>`. A condition that is not known is `undefined-condition` (RFC 6120 §8.3.2); so
    /// is none at all. A type that is not known becomes the condition's own.
    pub fn parse(element: &Element) -> Self {
        let condition = element
            .children()
            .find(|child| child.ns() == NS_STANZA_ERRORS && child.name() != "text")
            .map_or(Condition::UndefinedCondition, Condition::parse);
        let kind = element.attr("type").and_then(ErrorType::parse).unwrap_or_else(|| condition.default_type());
        StanzaError {
            kind,
            condition,
            text: element.child("text", NS_STANZA_ERRORS).map(Element::text),
            application: element.children().filter(|child| child.ns() != NS_STANZA_ERRORS).cloned().collect(),
        }
    }

    /// `<error/>` within a stanza of this namespace.
    pub fn to_element(&self, stanza_ns: &str) -> Element {
        let mut condition = Element::new(self.condition.name(), NS_STANZA_ERRORS);
        if let Condition::Gone(Some(uri)) | Condition::Redirect(Some(uri)) = &self.condition {
            condition.push_text(uri.as_str());
        }
        let mut error = Element::new("error", stanza_ns).with_attr("type", self.kind.as_str()).with_child(condition);
        if let Some(text) = &self.text {
            let mut words = Element::new("text", NS_STANZA_ERRORS).with_text(text.as_str());
            words.set_attr_ns(NS_XML, "lang", "en");
            error.push(words);
        }
        error.with_children(self.application.iter().cloned())
    }
}

impl ErrorType {
    pub const ALL: [ErrorType; 5] =
        [ErrorType::Auth, ErrorType::Cancel, ErrorType::Continue, ErrorType::Modify, ErrorType::Wait];

    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Condition {
    pub const ALL: [Condition; 22] = [
        Condition::BadRequest,
        Condition::Conflict,
        Condition::FeatureNotImplemented,
        Condition::Forbidden,
        Condition::Gone(None),
        Condition::InternalServerError,
        Condition::ItemNotFound,
        Condition::JidMalformed,
        Condition::NotAcceptable,
        Condition::NotAllowed,
        Condition::NotAuthorized,
        Condition::PolicyViolation,
        Condition::RecipientUnavailable,
        Condition::Redirect(None),
        Condition::RegistrationRequired,
        Condition::RemoteServerNotFound,
        Condition::RemoteServerTimeout,
        Condition::ResourceConstraint,
        Condition::ServiceUnavailable,
        Condition::SubscriptionRequired,
        Condition::UndefinedCondition,
        Condition::UnexpectedRequest,
    ];

    /// The name of the element.
    pub fn name(&self) -> &'static str {
        match self {
            Condition::BadRequest => "bad-request",
            Condition::Conflict => "conflict",
            Condition::FeatureNotImplemented => "feature-not-implemented",
            Condition::Forbidden => "forbidden",
            Condition::Gone(_) => "gone",
            Condition::InternalServerError => "internal-server-error",
            Condition::ItemNotFound => "item-not-found",
            Condition::JidMalformed => "jid-malformed",
            Condition::NotAcceptable => "not-acceptable",
            Condition::NotAllowed => "not-allowed",
            Condition::NotAuthorized => "not-authorized",
            Condition::PolicyViolation => "policy-violation",
            Condition::RecipientUnavailable => "recipient-unavailable",
            Condition::Redirect(_) => "redirect",
            Condition::RegistrationRequired => "registration-required",
            Condition::RemoteServerNotFound => "remote-server-not-found",
            Condition::RemoteServerTimeout => "remote-server-timeout",
            Condition::ResourceConstraint => "resource-constraint",
            Condition::ServiceUnavailable => "service-unavailable",
            Condition::SubscriptionRequired => "subscription-required",
            Condition::UndefinedCondition => "undefined-condition",
            Condition::UnexpectedRequest => "unexpected-request",
        }
    }

    /// The type that RFC 6120 §8.3.3 wants; the first where it names two.
    pub fn default_type(&self) -> ErrorType {
        match self {
            Condition::BadRequest | Condition::JidMalformed | Condition::NotAcceptable => ErrorType::Modify,
            Condition::PolicyViolation | Condition::Redirect(_) => ErrorType::Modify,
            Condition::Forbidden | Condition::NotAuthorized => ErrorType::Auth,
            Condition::RegistrationRequired | Condition::SubscriptionRequired => ErrorType::Auth,
            Condition::RecipientUnavailable | Condition::RemoteServerTimeout => ErrorType::Wait,
            Condition::ResourceConstraint | Condition::UnexpectedRequest => ErrorType::Wait,
            Condition::Conflict
            | Condition::FeatureNotImplemented
            | Condition::Gone(_)
            | Condition::InternalServerError
            | Condition::ItemNotFound
            | Condition::NotAllowed
            | Condition::RemoteServerNotFound
            | Condition::ServiceUnavailable
            | Condition::UndefinedCondition => ErrorType::Cancel,
        }
    }

    fn parse(element: &Element) -> Self {
        let text = element.text();
        let uri = Some(text.trim()).filter(|uri| !uri.is_empty()).map(str::to_owned);
        match element.name() {
            "gone" => Condition::Gone(uri),
            "redirect" => Condition::Redirect(uri),
            name => Self::ALL
                .into_iter()
                .find(|condition| condition.name() == name)
                .unwrap_or(Condition::UndefinedCondition),
        }
    }
}

/// RFC 6120 §8.3.2.
pub const NS_STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const NS_XML: &str = "http://www.w3.org/XML/1998/namespace";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_reads_back_as_it_was_written() {
        let mut conditions = Condition::ALL.to_vec();
        conditions.push(Condition::Gone(Some("xmpp:p.example?;node=n".to_owned())));
        conditions.push(Condition::Redirect(Some("xmpp:p.example?;node=n".to_owned())));
        for condition in conditions {
            for kind in ErrorType::ALL {
                let bare = StanzaError::new(condition.clone()).with_type(kind);
                let full = bare
                    .clone()
                    .with_text("words & <more>")
                    .with_application(Element::new("x", "urn:a"))
                    .with_application(Element::new("y", "urn:b"));
                for error in [bare, full] {
                    assert_eq!(StanzaError::parse(&error.to_element("jabber:client")), error);
                }
            }
        }
    }

    #[test]
    fn an_unknown_condition_is_undefined() {
        let strange = Element::new("error", "jabber:client")
            .with_attr("type", "perhaps")
            .with_child(Element::new("out-of-tea", NS_STANZA_ERRORS));
        let error = StanzaError::parse(&strange);
        assert_eq!((error.kind, error.condition), (ErrorType::Cancel, Condition::UndefinedCondition));
    }
}
