//! XEP-0157: Contact Addresses for XMPP Services, as a form beside what service discovery says of a
//! server (XEP-0128).

use crate::xep::Extension;
use crate::xmpp::{Field, FieldType, Form, FormType};

pub(super) const EXTENSION: Extension = Extension {
    number: 157,
    name: "Contact Addresses for XMPP Services",
    version: "1.1.1",
    features: &[],
    claims: &[],
};

/// Where to write about what: URIs, each in the field that the specification registers for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    pub abuse: Vec<String>,
    pub admin: Vec<String>,
    pub feedback: Vec<String>,
    pub sales: Vec<String>,
    pub security: Vec<String>,
    pub status: Vec<String>,
    pub support: Vec<String>,
}

impl Contacts {
    /// Nothing where there is nobody to write to.
    pub(super) fn form(&self) -> Option<Form> {
        let all = [
            ("abuse-addresses", &self.abuse),
            ("admin-addresses", &self.admin),
            ("feedback-addresses", &self.feedback),
            ("sales-addresses", &self.sales),
            ("security-addresses", &self.security),
            ("status-addresses", &self.status),
            ("support-addresses", &self.support),
        ];
        let mut form = Form::of_type(FormType::Result, NS_SERVERINFO);
        for (name, addresses) in all.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
            form.fields.push(Field { values: addresses.clone(), ..Field::new(name, FieldType::ListMulti) });
        }
        (form.fields.len() > 1).then_some(form)
    }
}

const NS_SERVERINFO: &str = "http://jabber.org/network/serverinfo";
