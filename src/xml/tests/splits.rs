//! However a stream arrives in pieces, it is the same stream.

use proptest::prelude::*;

use super::*;

const SAMPLES: &[&[u8]] = &[
    b"<iq id='1' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='a/b'/></pubsub></iq></stream:stream>",
    b"<a>x&lt;&#x1F600;y<![CDATA[]]]>&#13;\r\n\r\rw\xE2\x82\xAC\xF0\x9F\x98\x80</a> \r\n <a b='\r\n\t&quot;\xC3\xA9'  c = \"'\" />",
    b"<p:a xmlns:p='u' p:b='1'><p:c xmlns:p='v'/></p:a ></stream:stream > trailing",
    b"<![CDATA[ ]]> <![CDATA[]]>\n<a>]]</a><a>]]]</a>",
    b"<a>\xEB></a>",
    b"<a>\xF4\x90\x80\x80</a>",
    b"<a>abc\xED\xA0\x80</a>",
    b"<a b='\xC0\x80'/>",
    b"<a>]]></a>",
    b"<a>&x;</a>",
    b"<a>&#xFFFE;</a>",
    b"<a><!-- --></a>",
    b"<a><?php",
    b"<a><?xml ",
    b"<!DOCTYPE a>",
    b"<![CDATA[ ]]> x <a/>",
    b"<a x='1' x='2'/>",
    b"<a xmlns='u' xmlns='u'/>",
    b"<a/>x",
    b"<a></b>",
    b"<a\x01/>",
    b"<a>\r\x01</a>",
    b"<a\r\n b='\r\r\nx\ry\r'>\r\r\n\n\r<![CDATA[\r\n\r]]></a\r\n>\r\n<a/>\r",
];

#[test]
fn a_stream_in_two_pieces_is_the_same_wherever_it_is_cut() {
    for sample in SAMPLES {
        let whole = [HEADER.as_bytes(), sample].concat();
        let expected = events_of([&whole[..]], Limits::authenticated());
        for at in 0..=whole.len() {
            let (first, second) = whole.split_at(at);
            assert_eq!(
                events_of([first, second], Limits::authenticated()),
                expected,
                "{} at {at}",
                sample.escape_ascii()
            );
        }
        assert_eq!(events_of(whole.chunks(1), Limits::authenticated()), expected, "{}", sample.escape_ascii());
        assert_eq!(events_of(whole.chunks(3), Limits::authenticated()), expected, "{}", sample.escape_ascii());
    }
}

/// A small token limit, so that long texts are cut by the tokenizer as well.
fn narrow() -> Limits {
    Limits { token_bytes: 32, ..Limits::authenticated() }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..24),
        noise in prop::collection::vec(any::<u8>(), 0..4),
        cuts in prop::collection::vec(1..20usize, 1..64),
    ) {
        let mut whole = HEADER.as_bytes().to_vec();
        for part in parts {
            whole.extend_from_slice(part);
        }
        whole.extend_from_slice(&noise);
        let limits = Limits { stanza_bytes: 200, ..Limits::authenticated() };
        for limits in [limits, narrow()] {
            let expected = events_of([&whole[..]], limits);
            let mut rest = &whole[..];
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(events_of(pieces, limits), expected);
        }
    }
}

const PARTS: &[&[u8]] = &[
    b"<a>",
    b"<a b='c'>",
    b"<p:a xmlns:p='u'>",
    b"</a>",
    b"</p:a>",
    b"<a/>",
    b"<iq id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    b" ",
    b"\r",
    b"\n",
    b"<a b='x\r\ny\r'>",
    b"]]",
    b"]]>",
    b"<![CDATA[",
    b"&amp;",
    b"&#13;",
    b"text of some length, more than one token",
    b"\xE2\x82\xAC",
    b"\xF0\x9F\x98\x80\xF0\x9F\x98\x80\xF0\x9F\x98\x80\xF0\x9F\x98\x80",
    b"<a b='a value of some length'/>",
    b"</stream:stream>",
];
