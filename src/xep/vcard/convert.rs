//! Between vcard-temp and vCard4 (XEP-0292 §11). What one of them cannot say is left out.

use super::NS_VCARD;
use crate::xml::Element;

/// Properties of one value: name in vcard-temp, name in vCard4, and what its value is there.
const SINGLE: &[(&str, &str, &str, &str)] = &[
    ("FN", "fn", "text", ""),
    ("NICKNAME", "nickname", "text", ""),
    ("BDAY", "bday", "date", ""),
    ("JABBERID", "impp", "uri", "xmpp:"),
    ("TZ", "tz", "text", ""),
    ("TITLE", "title", "text", ""),
    ("ROLE", "role", "text", ""),
    ("URL", "url", "uri", ""),
    ("DESC", "note", "text", ""),
];

/// A name in vcard-temp, and in vCard4.
type Names = (&'static str, &'static str);

/// Properties of several parts, and of certain types where they have any.
const COMPOSED: &[(&str, &str, &[Names])] = &[
    (
        "N",
        "n",
        &[
            ("FAMILY", "surname"),
            ("GIVEN", "given"),
            ("MIDDLE", "additional"),
            ("PREFIX", "prefix"),
            ("SUFFIX", "suffix"),
        ],
    ),
    (
        "ADR",
        "adr",
        &[
            ("POBOX", "pobox"),
            ("EXTADD", "ext"),
            ("STREET", "street"),
            ("LOCALITY", "locality"),
            ("REGION", "region"),
            ("PCODE", "code"),
            ("CTRY", "country"),
        ],
    ),
];

/// Properties of one value with types: where the value is, in either.
const TYPED: &[(&str, &str, &str, &str, &str)] =
    &[("TEL", "tel", "NUMBER", "uri", "tel:"), ("EMAIL", "email", "USERID", "text", "")];

const TYPES: &[&str] = &["HOME", "WORK", "VOICE", "FAX", "PAGER", "CELL", "VIDEO", "TEXT"];

pub(super) fn to_vcard4(temp: &Element) -> Element {
    let mut card = Element::new("vcard", NS_VCARD4);
    for property in temp.children().filter(|child| child.ns() == NS_VCARD) {
        let name = property.name();
        if let Some((_, four, kind, prefix)) = SINGLE.iter().find(|(temp, ..)| *temp == name) {
            let text = property.text();
            if !text.trim().is_empty() {
                card.push(four_of(four).with_child(four_of(kind).with_text(format!("{prefix}{}", text.trim()))));
            }
        } else if let Some((_, four, parts)) = COMPOSED.iter().find(|(temp, ..)| *temp == name) {
            let parts = parts.iter().filter_map(|(part, four)| {
                let text = property.child(part, NS_VCARD)?.text();
                Some(four_of(four).with_text(text.trim()))
            });
            card.push(four_of(four).with_children(parameters(property)).with_children(parts));
        } else if let Some((_, four, value, kind, prefix)) = TYPED.iter().find(|(temp, ..)| *temp == name) {
            let Some(text) = property.child(value, NS_VCARD).map(Element::text) else { continue };
            let text = format!("{prefix}{}", text.trim());
            let value = four_of(kind).with_text(text);
            card.push(four_of(four).with_children(parameters(property)).with_child(value));
        } else if name == "ORG" {
            let units = property.children().filter(|unit| matches!(unit.name(), "ORGNAME" | "ORGUNIT"));
            let units = units.map(|unit| four_of("text").with_text(unit.text().trim()));
            card.push(four_of("org").with_children(units));
        } else if name == "PHOTO"
            && let Some(place) = property.child("EXTVAL", NS_VCARD)
        {
            card.push(four_of("photo").with_child(four_of("uri").with_text(place.text().trim())));
        }
    }
    card
}

pub(super) fn to_temp(card: &Element) -> Element {
    let mut temp = Element::new("vCard", NS_VCARD);
    for property in card.children().filter(|child| child.ns() == NS_VCARD4) {
        let name = property.name();
        let value = |kind: &str| property.child(kind, NS_VCARD4).map(|value| value.text().trim().to_owned());
        if let Some((old, _, kind, prefix)) = SINGLE.iter().find(|(_, four, ..)| *four == name) {
            let Some(text) = value(kind) else { continue };
            // An address of another network is no JID.
            if let Some(text) = text.strip_prefix(prefix) {
                temp.push(old_of(old).with_text(text));
            }
        } else if let Some((old, _, parts)) = COMPOSED.iter().find(|(_, four, _)| *four == name) {
            let parts = parts.iter().filter_map(|(old, four)| Some(old_of(old).with_text(value(four)?)));
            temp.push(old_of(old).with_children(types(property)).with_children(parts));
        } else if let Some((old, _, part, kind, prefix)) = TYPED.iter().find(|(_, four, ..)| *four == name) {
            let Some(text) = value(kind).or_else(|| value("text")) else { continue };
            let text = text.strip_prefix(prefix).unwrap_or(&text);
            temp.push(old_of(old).with_children(types(property)).with_child(old_of(part).with_text(text)));
        } else if name == "org" {
            let units = property.children().filter(|unit| unit.is("text", NS_VCARD4)).enumerate();
            let units = units
                .map(|(at, unit)| old_of(if at == 0 { "ORGNAME" } else { "ORGUNIT" }).with_text(unit.text().trim()));
            temp.push(old_of("ORG").with_children(units));
        } else if name == "photo"
            && let Some(place) = value("uri").filter(|place| !place.starts_with("data:"))
        {
            temp.push(old_of("PHOTO").with_child(old_of("EXTVAL").with_text(place)));
        }
    }
    temp
}

/// The types of a property, as vCard4 has them.
fn parameters(property: &Element) -> Option<Element> {
    let has = |name: &str| property.child(name, NS_VCARD).is_some();
    let types: Vec<Element> = TYPES
        .iter()
        .filter(|name| has(name))
        .map(|name| four_of("text").with_text(name.to_ascii_lowercase()))
        .collect();
    let mut parameters = four_of("parameters");
    if !types.is_empty() {
        parameters.push(four_of("type").with_children(types));
    }
    if has("PREF") {
        parameters.push(four_of("pref").with_child(four_of("integer").with_text("1")));
    }
    (!parameters.nodes().is_empty()).then_some(parameters)
}

/// The same, as vcard-temp has them.
fn types(property: &Element) -> Vec<Element> {
    let Some(parameters) = property.child("parameters", NS_VCARD4) else { return Vec::new() };
    let said: Vec<String> = parameters
        .child("type", NS_VCARD4)
        .into_iter()
        .flat_map(Element::children)
        .map(|kind| kind.text().trim().to_ascii_uppercase())
        .collect();
    let kinds = TYPES.iter().filter(|name| said.iter().any(|said| said == *name)).map(|name| old_of(name));
    let preferred = parameters.child("pref", NS_VCARD4).map(|_| old_of("PREF"));
    kinds.chain(preferred).collect()
}

fn four_of(name: &str) -> Element {
    Element::new(name, NS_VCARD4)
}

fn old_of(name: &str) -> Element {
    Element::new(name, NS_VCARD)
}

const NS_VCARD4: &str = "urn:ietf:params:xml:ns:vcard-4.0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Limits, parse_document};

    fn parse(text: &str) -> Element {
        parse_document(text.as_bytes(), &Limits::authenticated()).unwrap()
    }

    const OLD: &str = "<vCard xmlns='vcard-temp'><FN>Peter Saint-Andre</FN><N><FAMILY>Saint-Andre</FAMILY>\
        <GIVEN>Peter</GIVEN><MIDDLE/></N><NICKNAME>stpeter</NICKNAME><NICKNAME>psa</NICKNAME>\
        <BDAY>1966-08-06</BDAY><ADR><WORK/><PREF/><EXTADD>Suite 600</EXTADD><LOCALITY>Denver</LOCALITY>\
        <CTRY>USA</CTRY></ADR><TEL><WORK/><VOICE/><PREF/><NUMBER>+1-303-308-3282</NUMBER></TEL>\
        <EMAIL><WORK/><USERID>psaintan@cisco.com</USERID></EMAIL><JABBERID>stpeter@jabber.org</JABBERID>\
        <TZ>America/Denver</TZ><TITLE>Executive Director</TITLE><ROLE>Patron Saint</ROLE>\
        <ORG><ORGNAME>XMPP Standards Foundation</ORGNAME><ORGUNIT>Board</ORGUNIT></ORG>\
        <URL>https://stpeter.im/</URL><PHOTO><EXTVAL>http://stpeter.im/images/a.jpg</EXTVAL></PHOTO>\
        <DESC>More &amp; more</DESC></vCard>";
    const NEW: &str = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Peter Saint-Andre</text></fn>\
        <n><surname>Saint-Andre</surname><given>Peter</given><additional/></n>\
        <nickname><text>stpeter</text></nickname><nickname><text>psa</text></nickname>\
        <bday><date>1966-08-06</date></bday><adr><parameters><type><text>work</text></type>\
        <pref><integer>1</integer></pref></parameters><ext>Suite 600</ext><locality>Denver</locality>\
        <country>USA</country></adr><tel><parameters><type><text>work</text><text>voice</text></type>\
        <pref><integer>1</integer></pref></parameters><uri>tel:+1-303-308-3282</uri></tel>\
        <email><parameters><type><text>work</text></type></parameters><text>psaintan@cisco.com</text></email>\
        <impp><uri>xmpp:stpeter@jabber.org</uri></impp><tz><text>America/Denver</text></tz>\
        <title><text>Executive Director</text></title><role><text>Patron Saint</text></role>\
        <org><text>XMPP Standards Foundation</text><text>Board</text></org>\
        <url><uri>https://stpeter.im/</uri></url><photo><uri>http://stpeter.im/images/a.jpg</uri></photo>\
        <note><text>More &amp; more</text></note></vcard>";

    #[test]
    fn a_card_is_the_same_in_either_form() {
        let (old, new) = (parse(OLD), parse(NEW));
        let text = |element: &Element| String::from_utf8(element.to_bytes()).unwrap();
        assert_eq!(text(&to_vcard4(&old)), text(&new));
        assert_eq!(text(&to_temp(&new)), text(&old));
    }

    #[test]
    fn what_the_other_form_cannot_say_is_left_out() {
        let old = parse("<vCard xmlns='vcard-temp'><MAILER>x</MAILER><FN> </FN><FN xmlns='urn:x'>y</FN></vCard>");
        assert_eq!(to_vcard4(&old).children().count(), 0);
        let new = parse(
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><lang><language-tag>de</language-tag></lang>\
             <impp><uri>sip:a@b</uri></impp><photo><uri>data:image/png;base64,AA==</uri></photo></vcard>",
        );
        assert_eq!(to_temp(&new).children().count(), 0);
    }
}
