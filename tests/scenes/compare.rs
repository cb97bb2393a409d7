//! Compares what came with what a scene expects.

use std::collections::HashMap;

use serde_json::Value;
use tidings::xml::{Element, Node};

/// What `{name}` stands for, once it has matched.
pub type Names = HashMap<String, String>;

/// Whether an element is as expected; a failed comparison leaves `names` untouched.
pub fn element(expected: &Element, came: &Element, names: &mut Names) -> Result<(), String> {
    let mut trial = names.clone();
    compare(expected, came, &mut trial)?;
    *names = trial;
    Ok(())
}

fn compare(expected: &Element, came: &Element, names: &mut Names) -> Result<(), String> {
    if !came.is(expected.name(), expected.ns()) {
        return Err(format!(
            "expected <{} xmlns='{}'>, got <{} xmlns='{}'>",
            expected.name(),
            expected.ns(),
            came.name(),
            came.ns()
        ));
    }
    for (ns, name, value) in expected.attributes() {
        let found = came.attr_ns(ns, name);
        if value == "{none}" {
            if found.is_some() {
                return Err(format!("<{}> should have no attribute {name}", came.name()));
            }
            continue;
        }
        let found = found.ok_or_else(|| format!("<{}> has no attribute {name}", came.name()))?;
        text(value, found, names).map_err(|error| format!("attribute {name} of <{}>: {error}", came.name()))?;
    }
    let open = expected.text().contains("{...}");
    let expected_text = expected.text().replace("{...}", "");
    if !(open && expected_text.trim().is_empty()) {
        let came_text = came.text();
        let blank = expected_text.trim().is_empty() && came_text.trim().is_empty();
        if !blank {
            text(&expected_text, &came_text, names).map_err(|error| format!("text of <{}>: {error}", came.name()))?;
        }
    }
    children(expected, came, open, names)
}

fn children(expected: &Element, came: &Element, open: bool, names: &mut Names) -> Result<(), String> {
    let mut left: Vec<&Element> = came.children().collect();
    for child in expected.children() {
        let mut why = None;
        let at = left.iter().position(|candidate| {
            let mut trial = names.clone();
            match compare(child, candidate, &mut trial) {
                Ok(()) => {
                    *names = trial;
                    true
                }
                Err(error) => {
                    if candidate.name() == child.name() {
                        why.get_or_insert(error);
                    }
                    false
                }
            }
        });
        match at {
            Some(at) => drop(left.remove(at)),
            None => {
                let why = why.unwrap_or_else(|| "there is none of that name".to_owned());
                return Err(format!("<{}> lacks <{}>: {why}", came.name(), child.name()));
            }
        }
    }
    match left.first() {
        Some(extra) if !open => Err(format!("<{}> holds <{}>, which is not expected", came.name(), extra.name())),
        _ => Ok(()),
    }
}

/// Whether a text is as expected, with `{name}` and `{any}` in it.
pub fn text(expected: &str, came: &str, names: &mut Names) -> Result<(), String> {
    let wrong = |expected: &str| Err(format!("expected {expected:?}, got {came:?}"));
    let Some((before, rest)) = expected.split_once('{') else {
        return if expected == came { Ok(()) } else { wrong(expected) };
    };
    let Some((name, after)) = rest.split_once('}') else {
        return if expected == came { Ok(()) } else { wrong(expected) };
    };
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_') || name.is_empty() {
        return if expected == came { Ok(()) } else { wrong(expected) };
    }
    if let Some(known) = names.get(name) {
        let whole = format!("{before}{known}{after}");
        return text(&whole, came, names);
    }
    let Some(rest) = came.strip_prefix(before) else { return wrong(expected) };
    let end = match after.find('{') {
        None => match rest.strip_suffix(after) {
            Some(value) => value.len(),
            None => return wrong(expected),
        },
        Some(next) => match rest.find(&after[..next]) {
            Some(at) if next > 0 => at,
            _ => return wrong(expected),
        },
    };
    let (value, remaining) = rest.split_at(end);
    if value.is_empty() {
        return wrong(expected);
    }
    if name != "any" {
        names.insert(name.to_owned(), value.to_owned());
    }
    text(after, remaining, names)
}

/// Whether JSON holds all that is expected; more may be there.
pub fn json(expected: &Value, came: &Value, names: &mut Names) -> Result<(), String> {
    match (expected, came) {
        (Value::String(expected), Value::String(came)) => text(expected, came, names),
        (Value::Object(expected), Value::Object(came)) => {
            for (member, value) in expected {
                let found = came.get(member).ok_or_else(|| format!("there is no member {member:?}"))?;
                json(value, found, names).map_err(|error| format!("{member}: {error}"))?;
            }
            Ok(())
        }
        (Value::Array(expected), Value::Array(came)) => {
            if expected.len() != came.len() {
                return Err(format!("expected {} elements, got {}", expected.len(), came.len()));
            }
            for (at, (expected, came)) in expected.iter().zip(came).enumerate() {
                json(expected, came, names).map_err(|error| format!("[{at}]: {error}"))?;
            }
            Ok(())
        }
        (expected, came) if expected == came => Ok(()),
        (expected, came) => Err(format!("expected {expected}, got {came}")),
    }
}

/// Puts what names stand for into a text that is to be sent.
pub fn fill(text: &str, names: &Names) -> String {
    let mut filled = text.to_owned();
    for (name, value) in names {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    // `{1000 times x}`
    while let Some(at) = filled.find(" times ") {
        let (Some(from), Some(to)) = (filled[..at].rfind('{'), filled[at..].find('}')) else { break };
        let Ok(count) = filled[from + 1..at].parse::<usize>() else { break };
        let many = filled[at + " times ".len()..at + to].repeat(count);
        filled.replace_range(from..=at + to, &many);
    }
    filled
}

/// Forgets the white space that only lays a scene out.
pub fn without_layout(element: &Element) -> Element {
    let mut clean = Element::new(element.name(), element.ns());
    for (ns, name, value) in element.attributes() {
        clean.set_attr_ns(ns, name, value);
    }
    for node in element.nodes() {
        match node {
            Node::Element(child) => clean.push(without_layout(child)),
            Node::Text(text) if text.trim().is_empty() && element.children().next().is_some() => {}
            Node::Text(text) => clean.push_text(text.clone()),
        }
    }
    clean
}
