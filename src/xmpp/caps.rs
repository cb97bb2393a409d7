//! What an entity can, told by a hash of it (XEP-0115, XEP-0390).

use crate::xml::Element;

/// The mark that presence bears: a hash of what disco#info would answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    pub form: MarkForm,
    /// The name of the hash function, as XEP-0300 has it.
    pub algorithm: String,
    /// In base 64.
    pub hash: String,
    /// The node to be asked what the hash stands for.
    pub node: String,
}

/// How the text is made whose hash it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkForm {
    /// XEP-0115 §5.1.
    Slashes,
    /// XEP-0390 §4.1.
    Separators,
}

impl Mark {
    /// The mark of a presence whose hash is made by one of these functions, the newer form first.
    pub fn of(presence: &Element, algorithms: &[&str]) -> Option<Self> {
        let newer = presence.child("c", NS_CAPS_2).into_iter().flat_map(Element::children).find_map(|hash| {
            let algorithm = hash.attr("algo").filter(|algorithm| algorithms.contains(algorithm))?;
            let text = hash.is("hash", NS_HASHES).then(|| hash.text().trim().to_owned())?;
            let node = format!("{NS_CAPS_2}#{algorithm}.{text}");
            Some(Mark { form: MarkForm::Separators, algorithm: algorithm.to_owned(), hash: text, node })
        });
        newer.or_else(|| {
            let caps = presence.child("c", NS_CAPS)?;
            let (algorithm, hash, node) = (caps.attr("hash")?, caps.attr("ver")?, caps.attr("node")?);
            algorithms.contains(&algorithm).then(|| Mark {
                form: MarkForm::Slashes,
                algorithm: algorithm.to_owned(),
                hash: hash.to_owned(),
                node: format!("{node}#{hash}"),
            })
        })
    }
}

impl MarkForm {
    /// The text whose hash the mark is; nothing where the answer is ill-formed.
    pub fn text(self, info: &Element) -> Option<Vec<u8>> {
        if !info.is("query", NS_INFO) {
            return None;
        }
        match self {
            MarkForm::Slashes => slashes(info),
            MarkForm::Separators => separators(info),
        }
    }
}

/// The features that an answer names.
pub fn features(info: &Element) -> impl Iterator<Item = &str> {
    info.children().filter(|child| child.is("feature", NS_INFO)).filter_map(|feature| feature.attr("var"))
}

fn slashes(info: &Element) -> Option<Vec<u8>> {
    let of = |element: &Element, name: &str| element.attr(name).unwrap_or_default().to_owned();
    let mut identities: Vec<[String; 4]> = info
        .children()
        .filter(|child| child.is("identity", NS_INFO))
        .map(|identity| [of(identity, "category"), of(identity, "type"), lang(identity), of(identity, "name")])
        .collect();
    let mut features: Vec<&str> = features(info).collect();
    identities.sort();
    features.sort_unstable();
    let twice =
        identities.windows(2).any(|pair| pair[0] == pair[1]) || features.windows(2).any(|pair| pair[0] == pair[1]);
    if twice {
        return None;
    }
    let mut text = Vec::new();
    let mut say = |word: &str| {
        text.extend_from_slice(word.as_bytes());
        text.push(b'<');
    };
    identities.iter().for_each(|identity| say(&identity.join("/")));
    features.iter().for_each(|feature| say(feature));
    let mut forms: Vec<Form> = info.children().filter_map(form).collect();
    forms.sort();
    if forms.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    for (kind, fields) in &forms {
        say(kind);
        for (var, values) in fields {
            say(var);
            values.iter().for_each(|value| say(value));
        }
    }
    Some(text)
}

/// The type of a form, and its fields with their values.
type Form = (String, Vec<(String, Vec<String>)>);

/// The type of a form and its fields, sorted; nothing for what is ignored (XEP-0115 §5.4, 3.6).
fn form(element: &Element) -> Option<Form> {
    if !element.is("x", NS_DATA) {
        return None;
    }
    let mut fields = Vec::new();
    let mut kind = None;
    for field in element.children().filter(|child| child.is("field", NS_DATA)) {
        let mut values = values(field);
        values.sort();
        match field.attr("var") {
            Some("FORM_TYPE") if field.attr("type") == Some("hidden") => kind = values.into_iter().next(),
            Some("FORM_TYPE") => return None,
            var => fields.push((var.unwrap_or_default().to_owned(), values)),
        }
    }
    fields.sort();
    Some((kind?, fields))
}

fn values(field: &Element) -> Vec<String> {
    field.children().filter(|child| child.is("value", NS_DATA)).map(Element::text).collect()
}

fn separators(info: &Element) -> Option<Vec<u8>> {
    let (mut features, mut identities, mut forms) = (Vec::new(), Vec::new(), Vec::new());
    for child in info.children() {
        let of = |name: &str| child.attr(name).unwrap_or_default().to_owned();
        if child.is("feature", NS_INFO) {
            features.push(ended([of("var")], 0x1f));
        } else if child.is("identity", NS_INFO) {
            let parts = [of("category"), of("type"), lang(child), of("name")];
            identities.push([ended(parts, 0x1f), vec![0x1e]].concat());
        } else if child.is("x", NS_DATA) {
            forms.push(separated_form(child)?);
        } else {
            return None;
        }
    }
    let mut text = Vec::new();
    for mut parts in [features, identities, forms] {
        parts.sort();
        parts.iter().for_each(|part| text.extend_from_slice(part));
        text.push(0x1c);
    }
    Some(text)
}

fn separated_form(form: &Element) -> Option<Vec<u8>> {
    let mut fields = Vec::new();
    let mut typed = false;
    for field in form.children() {
        if field.is("reported", NS_DATA) || field.is("item", NS_DATA) {
            return None;
        }
        if !field.is("field", NS_DATA) {
            continue;
        }
        let var = field.attr("var").unwrap_or_default();
        typed |= var == "FORM_TYPE";
        let mut values: Vec<Vec<u8>> = values(field).into_iter().map(|value| ended([value], 0x1f)).collect();
        values.sort();
        fields.push([ended([var.to_owned()], 0x1f), values.concat(), vec![0x1e]].concat());
    }
    fields.sort();
    fields.push(vec![0x1d]);
    typed.then(|| fields.concat())
}

fn ended<const N: usize>(texts: [String; N], end: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(end);
    }
    bytes
}

fn lang(element: &Element) -> String {
    element.attr_ns("http://www.w3.org/XML/1998/namespace", "lang").unwrap_or_default().to_owned()
}

const NS_CAPS: &str = "http://jabber.org/protocol/caps";
const NS_CAPS_2: &str = "urn:xmpp:caps";
const NS_HASHES: &str = "urn:xmpp:hashes:2";
const NS_INFO: &str = "http://jabber.org/protocol/disco#info";
const NS_DATA: &str = "jabber:x:data";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Limits, parse_document};

    fn element(xml: &str) -> Element {
        parse_document(xml.as_bytes(), &Limits::authenticated()).expect(xml)
    }

    /// XEP-0115 §5.3.
    #[test]
    fn the_complex_example_of_the_specification_comes_out() {
        let info = element(
            "<query xmlns='http://jabber.org/protocol/disco#info' node='n'>
               <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
               <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
               <feature var='http://jabber.org/protocol/caps'/>
               <feature var='http://jabber.org/protocol/disco#info'/>
               <feature var='http://jabber.org/protocol/disco#items'/>
               <feature var='http://jabber.org/protocol/muc'/>
               <x xmlns='jabber:x:data' type='result'>
                 <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
                 <field var='ip_version'><value>ipv4</value><value>ipv6</value></field>
                 <field var='os'><value>Mac</value></field>
                 <field var='os_version'><value>10.5.1</value></field>
                 <field var='software'><value>Psi</value></field>
                 <field var='software_version'><value>0.11</value></field>
               </x>
             </query>",
        );
        let expected = "client/pc/el/Ψ 0.11<client/pc/en/Psi 0.11<http://jabber.org/protocol/caps<\
                        http://jabber.org/protocol/disco#info<http://jabber.org/protocol/disco#items<\
                        http://jabber.org/protocol/muc<urn:xmpp:dataforms:softwareinfo<ip_version<ipv4<ipv6<os<Mac<\
                        os_version<10.5.1<software<Psi<software_version<0.11<";
        assert_eq!(String::from_utf8(MarkForm::Slashes.text(&info).unwrap()).unwrap(), expected);
    }

    #[test]
    fn the_newer_form_separates_by_octets() {
        let info = element(
            "<query xmlns='http://jabber.org/protocol/disco#info'>
               <identity category='client' type='pc' name='N'/><feature var='b'/><feature var='a'/>
               <x xmlns='jabber:x:data' type='result'><field var='z'><value>2</value><value>1</value></field>
                 <field var='FORM_TYPE' type='hidden'><value>f</value></field></x>
             </query>",
        );
        let expected =
            "a\x1fb\x1f\x1cclient\x1fpc\x1f\x1fN\x1f\x1e\x1cFORM_TYPE\x1ff\x1f\x1ez\x1f1\x1f2\x1f\x1e\x1d\x1c";
        assert_eq!(String::from_utf8(MarkForm::Separators.text(&info).unwrap()).unwrap(), expected);
    }

    #[test]
    fn an_ill_formed_answer_has_no_text() {
        for (form, inside) in [
            (MarkForm::Slashes, "<feature var='a'/><feature var='a'/>"),
            (MarkForm::Slashes, "<identity category='c' type='t'/><identity category='c' type='t'/>"),
            (MarkForm::Separators, "<other xmlns='urn:x'/>"),
            (MarkForm::Separators, "<x xmlns='jabber:x:data' type='result'><field var='a'/></x>"),
        ] {
            let info = element(&format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inside}</query>"));
            assert_eq!(form.text(&info), None, "{inside}");
        }
    }

    #[test]
    fn the_newer_mark_goes_before_the_older() {
        let older = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:n' ver='v='/>";
        let newer = "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-512'>x</hash>\
                     <hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>y=</hash></c>";
        let presence = |inside: &str| element(&format!("<presence xmlns='jabber:client'>{inside}</presence>"));
        let algorithms = ["sha-1", "sha-256"];
        let mark = Mark::of(&presence(older), &algorithms).unwrap();
        assert_eq!((mark.form, &*mark.hash, &*mark.node), (MarkForm::Slashes, "v=", "urn:n#v="));
        let mark = Mark::of(&presence(&format!("{older}{newer}")), &algorithms).unwrap();
        assert_eq!((mark.form, &*mark.node), (MarkForm::Separators, "urn:xmpp:caps#sha-256.y="));
        assert_eq!(Mark::of(&presence(older), &["sha-256"]), None);
        assert_eq!(Mark::of(&presence(""), &algorithms), None);
    }
}
