//! What a caller wants to be sent: `Accept` (RFC 9110 §12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::http::conditional::Form;
use crate::pubsub::Media;

/// The form in which an item is sent: its own, unless the caller would rather have JSON, or takes
/// nothing else of what there is.
pub(super) fn item_form(headers: &HeaderMap, media: Media) -> Form {
    let json = quality(headers, "application/json");
    let native = match media {
        Media::Json => return Form::Native,
        Media::Xml => quality(headers, "application/xml").max(quality(headers, "text/xml")),
        Media::Atom => quality(headers, "application/atom+xml"),
        Media::Text => quality(headers, "text/plain"),
    };
    if json > native { Form::Json } else { Form::Native }
}

/// Whether a type is asked for by its name; a wildcard asks for no stream.
pub(super) fn names(headers: &HeaderMap, media_type: &str) -> bool {
    ranges(headers).any(|(range, quality)| quality > 0 && range.eq_ignore_ascii_case(media_type))
}

/// Whether JSON is not among what the caller takes.
pub(super) fn refuses_json(headers: &HeaderMap) -> bool {
    quality(headers, "application/json") == 0
}

/// From 0, not acceptable, to 1000: the quality of the most specific range that covers the type.
fn quality(headers: &HeaderMap, media_type: &str) -> u16 {
    if !headers.contains_key(ACCEPT) {
        return 1000;
    }
    let kind = media_type.split('/').next().unwrap_or(media_type);
    let mut best = (0, 0);
    for (range, quality) in ranges(headers) {
        let specificity = if range.eq_ignore_ascii_case(media_type) {
            3
        } else if range.strip_suffix("/*").is_some_and(|prefix| prefix.eq_ignore_ascii_case(kind)) {
            2
        } else if range == "*/*" {
            1
        } else {
            continue;
        };
        best = best.max((specificity, quality));
    }
    best.1
}

/// Media ranges with their quality in thousandths. Parameters other than `q` are not looked at.
fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (&str, u16)> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let range = pieces.next().unwrap_or("");
        let quality = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
        (range, quality.map_or(1000, thousandths))
    })
}

/// RFC 9110 §12.4.2; what is malformed counts as not wanted.
fn thousandths(quality: &str) -> u16 {
    match quality.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => (value * 1000.0) as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (ACCEPT, axum::http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn items_come_as_they_are_unless_json_is_preferred() {
        for (values, media, form) in [
            (&[][..], Media::Xml, Form::Native),
            (&["*/*"], Media::Xml, Form::Native),
            (&["application/json"], Media::Xml, Form::Json),
            (&["application/json"], Media::Json, Form::Native),
            (&["application/xml"], Media::Json, Form::Native),
            (&["application/json, application/xml"], Media::Xml, Form::Native),
            (&["application/json, application/xml;q=0.5"], Media::Xml, Form::Json),
            (&["application/json;q=0.1", "text/xml"], Media::Xml, Form::Native),
            (&["application/json, */*;q=0.1"], Media::Atom, Form::Json),
            (&["application/*"], Media::Atom, Form::Native),
            (&["image/png"], Media::Text, Form::Native),
            (&["application/json, text/*;q=0"], Media::Text, Form::Json),
        ] {
            assert_eq!(item_form(&headers(values), media), form, "{values:?} {media:?}");
        }
    }

    #[test]
    fn a_stream_is_asked_for_by_name() {
        let stream = "text/event-stream";
        for (values, named) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["text/event-stream"], true),
            (&["application/json", "Text/Event-Stream;q=0.9"], true),
            (&["text/event-stream;q=0"], false),
        ] {
            assert_eq!(names(&headers(values), stream), named, "{values:?}");
        }
    }
}
