//! Data forms (XEP-0004), with the field that names their kind (XEP-0068) and what a field takes
//! (XEP-0122).

use std::fmt;

use crate::xml::Element;

/// `<x xmlns='jabber:x:data'/>`. White space around words is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub kind: FormType,
    pub title: Option<String>,
    pub instructions: Vec<String>,
    pub fields: Vec<Field>,
    /// The columns of a table (XEP-0004 §3.4).
    pub reported: Vec<Field>,
    /// The rows of a table.
    pub items: Vec<Vec<Field>>,
}

/// XEP-0004 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormType {
    Form,
    Submit,
    Cancel,
    Result,
}

/// XEP-0004 §3.2.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Field {
    /// Absent only from fields of type `fixed`, and not always from those.
    pub name: Option<String>,
    pub kind: Option<FieldType>,
    pub label: Option<String>,
    pub description: Option<String>,
    pub required: bool,
    pub values: Vec<String>,
    pub options: Options,
    pub validation: Option<Validation>,
}

/// What the values of a field must be, beyond its type (XEP-0122 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// `xs:integer` and the like.
    pub datatype: String,
    pub method: Method,
}

/// XEP-0122 §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// What the datatype says.
    Basic,
    /// Others than the options will do.
    Open,
    /// From the least to the most.
    Range { min: Option<String>, max: Option<String> },
    /// A POSIX extended regular expression.
    Regex(String),
}

/// What a field of a list type offers: the label, where there is one, and the value.
pub type Options = Vec<(Option<String>, String)>;

/// XEP-0004 §3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    Boolean,
    Fixed,
    Hidden,
    JidMulti,
    JidSingle,
    ListMulti,
    ListSingle,
    TextMulti,
    TextPrivate,
    TextSingle,
}

/// Why an element is not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// Another element, or a type that does not exist.
    NotAForm,
    /// A field without a name, whose type is not `fixed`.
    NamelessField,
    /// One name twice: which of the two counts?
    RepeatedField,
    /// An option without exactly one value.
    BadOption,
}

impl Form {
    pub fn new(kind: FormType) -> Self {
        Form {
            kind,
            title: None,
            instructions: Vec::new(),
            fields: Vec::new(),
            reported: Vec::new(),
            items: Vec::new(),
        }
    }

    /// A form whose first field says of what kind it is (XEP-0068 §3.1).
    pub fn of_type(kind: FormType, form_type: &str) -> Self {
        Form { fields: vec![Field::new(FORM_TYPE, FieldType::Hidden).with_value(form_type)], ..Form::new(kind) }
    }

    #[must_use]
    pub fn with_field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The form among the children of this element; nothing where there is none.
    pub fn within(parent: &Element) -> Result<Option<Self>, FormError> {
        parent.child("x", NS_DATA).map(Self::parse).transpose()
    }

    pub fn parse(element: &Element) -> Result<Self, FormError> {
        if !element.is("x", NS_DATA) {
            return Err(FormError::NotAForm);
        }
        let kind = element.attr("type").and_then(FormType::parse).ok_or(FormError::NotAForm)?;
        let mut form = Form::new(kind);
        for child in element.children().filter(|child| child.ns() == NS_DATA) {
            match child.name() {
                "title" => form.title = Some(child.text()),
                "instructions" => form.instructions.push(child.text()),
                "field" => form.fields.push(Field::parse(child)?),
                "reported" => form.reported.extend(fields_of(child)?),
                "item" => form.items.push(fields_of(child)?),
                _ => {}
            }
        }
        unique(&form.fields)?;
        Ok(form)
    }

    pub fn to_element(&self) -> Element {
        let word = |name: &str, text: &str| Element::new(name, NS_DATA).with_text(text);
        let table = |name: &str, fields: &[Field]| {
            Element::new(name, NS_DATA).with_children(fields.iter().map(Field::to_element))
        };
        Element::new("x", NS_DATA)
            .with_attr("type", self.kind.as_str())
            .with_children(self.title.iter().map(|title| word("title", title)))
            .with_children(self.instructions.iter().map(|line| word("instructions", line)))
            .with_children(self.fields.iter().map(Field::to_element))
            .with_children((!self.reported.is_empty()).then(|| table("reported", &self.reported)))
            .with_children(self.items.iter().map(|item| table("item", item)))
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.as_deref() == Some(name))
    }

    /// Of what kind the form is (XEP-0068 §3.1).
    pub fn form_type(&self) -> Option<&str> {
        self.field(FORM_TYPE)?.values.first().map(String::as_str)
    }

    /// The name and values of every field but the one that names the form's kind.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.fields
            .iter()
            .filter_map(|field| Some((field.name.as_deref()?, field.values.as_slice())))
            .filter(|(name, _)| *name != FORM_TYPE)
    }
}

impl Field {
    pub fn new(name: &str, kind: FieldType) -> Self {
        Field { name: Some(name.to_owned()), kind: Some(kind), ..Field::default() }
    }

    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        self.values.push(value.into());
        self
    }

    fn parse(element: &Element) -> Result<Self, FormError> {
        // XEP-0004 §3.3: a type that is not understood is text-single.
        let kind = element.attr("type").map(|word| FieldType::parse(word).unwrap_or(FieldType::TextSingle));
        let mut field = Field {
            name: element.attr("var").map(str::to_owned),
            kind,
            label: element.attr("label").map(str::to_owned),
            ..Field::default()
        };
        if field.name.is_none() && kind != Some(FieldType::Fixed) {
            return Err(FormError::NamelessField);
        }
        for child in element.children().filter(|child| child.ns() == NS_DATA) {
            match child.name() {
                "desc" => field.description = Some(child.text()),
                "required" => field.required = true,
                "value" => field.values.push(child.text()),
                "option" => field.options.push(parse_option(child)?),
                _ => {}
            }
        }
        field.validation = element.child("validate", NS_VALIDATE).map(Validation::parse);
        Ok(field)
    }

    fn to_element(&self) -> Element {
        let word = |name: &str, text: &str| Element::new(name, NS_DATA).with_text(text);
        let option = |(label, value): &(Option<String>, String)| {
            Element::new("option", NS_DATA).with_attr_opt("label", label.as_deref()).with_child(word("value", value))
        };
        Element::new("field", NS_DATA)
            .with_attr_opt("var", self.name.as_deref())
            .with_attr_opt("type", self.kind.map(FieldType::as_str))
            .with_attr_opt("label", self.label.as_deref())
            .with_children(self.description.iter().map(|text| word("desc", text)))
            .with_children(self.required.then(|| Element::new("required", NS_DATA)))
            .with_children(self.values.iter().map(|value| word("value", value)))
            .with_children(self.options.iter().map(option))
            .with_children(self.validation.iter().map(Validation::to_element))
    }
}

impl Validation {
    /// Whole numbers between two, these included.
    pub fn whole(least: u64, most: u64) -> Self {
        let method = Method::Range { min: Some(least.to_string()), max: Some(most.to_string()) };
        Validation { datatype: INTEGER.to_owned(), method }
    }

    /// Whole numbers.
    pub fn integer() -> Self {
        Validation { datatype: INTEGER.to_owned(), method: Method::Basic }
    }

    /// A method that is not understood is the basic one (XEP-0122 §4.1).
    fn parse(element: &Element) -> Self {
        let datatype = element.attr("datatype").unwrap_or(STRING).to_owned();
        let method = element.children().filter(|child| child.ns() == NS_VALIDATE).find_map(|child| {
            let limit = |name: &str| child.attr(name).map(str::to_owned);
            match child.name() {
                "open" => Some(Method::Open),
                "range" => Some(Method::Range { min: limit("min"), max: limit("max") }),
                "regex" => Some(Method::Regex(child.text())),
                _ => None,
            }
        });
        Validation { datatype, method: method.unwrap_or(Method::Basic) }
    }

    fn to_element(&self) -> Element {
        let method = match &self.method {
            Method::Basic => Element::new("basic", NS_VALIDATE),
            Method::Open => Element::new("open", NS_VALIDATE),
            Method::Range { min, max } => Element::new("range", NS_VALIDATE)
                .with_attr_opt("min", min.as_deref())
                .with_attr_opt("max", max.as_deref()),
            Method::Regex(pattern) => Element::new("regex", NS_VALIDATE).with_text(pattern.as_str()),
        };
        Element::new("validate", NS_VALIDATE).with_attr("datatype", self.datatype.as_str()).with_child(method)
    }
}

impl FormType {
    pub const ALL: [FormType; 4] = [FormType::Form, FormType::Submit, FormType::Cancel, FormType::Result];

    pub fn as_str(self) -> &'static str {
        match self {
            FormType::Form => "form",
            FormType::Submit => "submit",
            FormType::Cancel => "cancel",
            FormType::Result => "result",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl FieldType {
    pub const ALL: [FieldType; 10] = [
        FieldType::Boolean,
        FieldType::Fixed,
        FieldType::Hidden,
        FieldType::JidMulti,
        FieldType::JidSingle,
        FieldType::ListMulti,
        FieldType::ListSingle,
        FieldType::TextMulti,
        FieldType::TextPrivate,
        FieldType::TextSingle,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FieldType::Boolean => "boolean",
            FieldType::Fixed => "fixed",
            FieldType::Hidden => "hidden",
            FieldType::JidMulti => "jid-multi",
            FieldType::JidSingle => "jid-single",
            FieldType::ListMulti => "list-multi",
            FieldType::ListSingle => "list-single",
            FieldType::TextMulti => "text-multi",
            FieldType::TextPrivate => "text-private",
            FieldType::TextSingle => "text-single",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormError::NotAForm => "there is no data form of a known type",
            FormError::NamelessField => "a field of the form has no name",
            FormError::RepeatedField => "a field of the form is given twice",
            FormError::BadOption => "an option of the form has not exactly one value",
        })
    }
}

fn fields_of(parent: &Element) -> Result<Vec<Field>, FormError> {
    let fields = parent.children().filter(|child| child.is("field", NS_DATA)).map(Field::parse);
    let fields = fields.collect::<Result<Vec<Field>, FormError>>()?;
    unique(&fields)?;
    Ok(fields)
}

fn unique(fields: &[Field]) -> Result<(), FormError> {
    let mut names: Vec<&str> = fields.iter().filter_map(|field| field.name.as_deref()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) { Err(FormError::RepeatedField) } else { Ok(()) }
}

fn parse_option(option: &Element) -> Result<(Option<String>, String), FormError> {
    let mut values = option.children().filter(|child| child.is("value", NS_DATA));
    match (values.next(), values.next()) {
        (Some(value), None) => Ok((option.attr("label").map(str::to_owned), value.text())),
        _ => Err(FormError::BadOption),
    }
}

/// XEP-0004 §9.
pub const NS_DATA: &str = "jabber:x:data";
/// XEP-0122 §3.
pub const NS_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
const INTEGER: &str = "xs:integer";
const STRING: &str = "xs:string";
const FORM_TYPE: &str = "FORM_TYPE";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn every_form_reads_back_as_it_was_written() {
        for kind in FormType::ALL {
            let mut form = Form::of_type(kind, "urn:example:kind");
            form.title = text("A & B");
            form.instructions = vec!["one".to_owned(), "<two>".to_owned()];
            for field_type in FieldType::ALL {
                form.fields.push(Field {
                    description: text("what it is"),
                    required: true,
                    values: vec![String::new(), "v'1'".to_owned()],
                    options: vec![(None, "a".to_owned()), (text("B"), "b".to_owned())],
                    ..Field::new(field_type.as_str(), field_type).with_label("l\"abel")
                });
            }
            form.fields.push(Field { name: text("untyped"), ..Field::default() });
            form.fields.push(Field { kind: Some(FieldType::Fixed), ..Field::default() }.with_value("Section"));
            assert_eq!(Form::parse(&form.to_element()), Ok(form.clone()));
            assert_eq!(form.form_type(), Some("urn:example:kind"));
            assert!(form.answers().all(|(name, _)| name != FORM_TYPE));
            assert_eq!(Form::parse(&Form::new(kind).to_element()), Ok(Form::new(kind)));
        }
    }

    #[test]
    fn every_validation_reads_back_as_it_was_written() {
        let limit = |limit: &str| Some(limit.to_owned());
        for method in [
            Method::Basic,
            Method::Open,
            Method::Range { min: limit("1"), max: limit("7") },
            Method::Range { min: None, max: limit("7") },
            Method::Range { min: None, max: None },
            Method::Regex("<[0-9]+>".to_owned()),
        ] {
            let validation = Validation { datatype: "xs:dateTime".to_owned(), method };
            let field = Field { validation: Some(validation), ..Field::new("a", FieldType::TextSingle) };
            let form = Form::new(FormType::Form).with_field(field);
            assert_eq!(Form::parse(&form.to_element()), Ok(form));
        }
        let unheard_of = Element::new("validate", NS_VALIDATE).with_child(Element::new("prime", NS_VALIDATE));
        let read = Validation { datatype: "xs:string".to_owned(), method: Method::Basic };
        assert_eq!(Validation::parse(&unheard_of), read);
    }

    #[test]
    fn a_table_reads_back_as_it_was_written() {
        let mut form = Form::new(FormType::Result);
        form.reported =
            vec![Field::new("a", FieldType::TextSingle).with_label("A"), Field::new("b", FieldType::JidSingle)];
        let row = |a: &str| vec![Field { name: text("a"), ..Field::default() }.with_value(a)];
        form.items = vec![row("1"), row("2")];
        assert_eq!(Form::parse(&form.to_element()), Ok(form));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let x = || Element::new("x", NS_DATA).with_attr("type", "submit");
        let field = |name: Option<&str>| Element::new("field", NS_DATA).with_attr_opt("var", name);
        let option = Element::new("option", NS_DATA);
        for (element, error) in [
            (Element::new("x", "jabber:x:other").with_attr("type", "submit"), FormError::NotAForm),
            (Element::new("x", NS_DATA), FormError::NotAForm),
            (Element::new("x", NS_DATA).with_attr("type", "reply"), FormError::NotAForm),
            (x().with_child(field(None)), FormError::NamelessField),
            (x().with_child(field(Some("a"))).with_child(field(Some("a"))), FormError::RepeatedField),
            (x().with_child(field(Some("a")).with_child(option)), FormError::BadOption),
        ] {
            assert_eq!(Form::parse(&element), Err(error), "{element}");
        }
    }

    #[test]
    fn an_unknown_field_type_is_a_single_line_of_text() {
        let field = Element::new("field", NS_DATA).with_attr("var", "a").with_attr("type", "colour");
        let form = Element::new("x", NS_DATA).with_attr("type", "form").with_child(field);
        assert_eq!(Form::parse(&form).unwrap().fields[0].kind, Some(FieldType::TextSingle));
    }
}
