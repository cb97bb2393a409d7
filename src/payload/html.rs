//! The text of HTML, for titles and summaries of Atom (RFC 4287 §3.1.1.2). What it says, not how it would look.

/// Without tags, comments, scripts and styles; its white space evened out.
pub(super) fn plain(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('<') { after_markup(rest, &mut out) } else { after_reference(rest, &mut out) };
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<&str>>().join(" ")
}

/// What follows a tag or a comment. A tag that is no part of a line parts words.
fn after_markup<'a>(html: &'a str, out: &mut String) -> &'a str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, rest)| rest);
    }
    let tag = html[1..].strip_prefix('/').unwrap_or(&html[1..]);
    if !tag.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '!' | '?')) {
        out.push('<');
        return &html[1..];
    }
    let name = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
    if !WITHIN_LINES.contains(&&*name) {
        out.push(' ');
    }
    let rest = html.split_once('>').map_or("", |(_, rest)| rest);
    match UNREAD.iter().find(|(unread, _)| *unread == name) {
        Some((_, end)) if !html.starts_with("</") => {
            let found = rest.as_bytes().windows(end.len()).position(|part| part.eq_ignore_ascii_case(end.as_bytes()));
            found.map_or("", |at| &rest[at..])
        }
        _ => rest,
    }
}

/// What follows a character reference; of an unknown one its `&` stays.
fn after_reference<'a>(html: &'a str, out: &mut String) -> &'a str {
    let end = html.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
    let named = end.map(|end| (&html[1..end], &html[end + 1..]));
    let letter = named.and_then(|(name, _)| match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            // A body is text of XML (XML 1.0 §2.2).
            char::from_u32(code).filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
        }
    });
    match (letter, named) {
        (Some(letter), Some((_, rest))) => {
            out.push(letter);
            rest
        }
        _ => {
            out.push('&');
            &html[1..]
        }
    }
}

/// Elements that part no words.
const WITHIN_LINES: &[&str] = &[
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "mark", "q", "s",
    "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
];
/// Elements whose text nobody reads, and how they end.
const UNREAD: &[(&str, &str)] = &[("script", "</script"), ("style", "</style")];
/// The longest reference that is known is `&#1114111;`.
const REFERENCE_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_read_as_text() {
        for (html, expected) in [
            ("plain", "plain"),
            ("<b>bo</b>ld <I>and</I>  more", "bold and more"),
            ("<p>one</p><p class='x>y'>two", "one y'>two"),
            ("a<br/>b<!-- <i> -->c", "a bc"),
            ("<style>p { }</style>x<SCRIPT src='y'>z()</ScRiPt >!", "x !"),
            ("<script>never ends", ""),
            ("5 &lt; 6 &amp;&#38; &#x41;&nbsp;&unknown; &;&", "5 < 6 && A &unknown; &;&"),
            ("5 < 6 <7> <", "5 < 6 <7> <"),
            ("a <b", "a"),
            ("&#0;&#xffff;&#x110000;ä&", "&#0;&#xffff;&#x110000;ä&"),
        ] {
            assert_eq!(plain(html), expected, "{html}");
        }
    }
}
