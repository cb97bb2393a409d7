//! Each limit at n and at n + 1, and what an attack may cost.

use std::time::{Duration, Instant};

use super::*;

fn refused(text: impl AsRef<[u8]>, limits: Limits) -> Option<XmlError> {
    stanzas(text, limits).1
}

#[test]
fn a_stanza_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let padded = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - "<a></a>".len()));
        let exact = padded(limits.stanza_bytes);
        assert_eq!(exact.len(), limits.stanza_bytes);
        assert_eq!(refused(&exact, limits), None);
        assert_eq!(refused(padded(limits.stanza_bytes + 1), limits), Some(XmlError::TooBig));
        // White space between stanzas is not of them, and each counts for itself.
        assert_eq!(refused(format!("  \n{exact} {exact}<b/>"), limits), None);
        assert_eq!(refused(format!("{exact}<b>"), limits), None);
        assert_eq!(parse_document(exact.as_bytes(), &limits).map(|_| ()), Ok(()));
        assert_eq!(parse_document(padded(limits.stanza_bytes + 1).as_bytes(), &limits), Err(XmlError::TooBig));
    }
    let tag = |bytes: usize| format!("<a{}/>", " ".repeat(bytes - "<a/>".len()));
    let limits = Limits::unauthenticated();
    assert_eq!(refused(tag(limits.stanza_bytes), limits), None);
    assert_eq!(refused(tag(limits.stanza_bytes + 1), limits), Some(XmlError::TooBig));
}

#[test]
fn a_header_has_the_same_limit() {
    let limits = Limits::unauthenticated();
    let header =
        |bytes: usize| format!("<?xml version='1.0'?><a{}>", " ".repeat(bytes - "<?xml version='1.0'?><a>".len()));
    let (events, error) = events_of([header(limits.stanza_bytes).as_bytes()], limits);
    assert_eq!((events.len(), error), (1, None));
    assert_eq!(events_of([header(limits.stanza_bytes + 1).as_bytes()], limits), (vec![], Some(XmlError::TooBig)));
}

#[test]
fn white_space_is_limited_before_the_header_and_free_between_stanzas() {
    let limits = Limits::unauthenticated();
    let spaces = |n: usize| format!("{}<a>", " ".repeat(n));
    assert_eq!(events_of([spaces(64).as_bytes()], limits).1, None);
    assert_eq!(events_of([spaces(65).as_bytes()], limits).1, Some(XmlError::TooMuchWhitespace));
    let declared = format!("{}<?xml version='1.0'?>{}<a>", " ".repeat(32), "\n".repeat(32));
    assert_eq!(events_of([declared.as_bytes()], limits).1, None);
    let declared = format!("{}<?xml version='1.0'?>{}<a>", " ".repeat(32), "\n".repeat(33));
    assert_eq!(events_of([declared.as_bytes()], limits).1, Some(XmlError::TooMuchWhitespace));
    assert_eq!(refused(" \r\n\t".repeat(1 << 20), limits), None);
}

#[test]
fn depth_has_a_limit() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(refused(nested(limits.depth), limits), None);
        assert_eq!(refused(nested(limits.depth + 1), limits), Some(XmlError::TooDeep));
        assert_eq!(parse_document(nested(limits.depth).as_bytes(), &limits).map(|_| ()), Ok(()));
        assert_eq!(parse_document(nested(limits.depth + 1).as_bytes(), &limits), Err(XmlError::TooDeep));
    }
    let (_, error) = stanzas("<message>".to_owned() + &"<a>".repeat(100_000), Limits::authenticated());
    assert_eq!(error, Some(XmlError::TooDeep));
}

#[test]
fn elements_have_a_limit() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let flood = |elements: usize| format!("<auth>{}</auth>", "<a/>".repeat(elements - 1));
        assert_eq!(refused(flood(limits.elements), limits), None);
        assert_eq!(refused(flood(limits.elements + 1), limits), Some(XmlError::TooManyElements));
        assert_eq!(refused(flood(limits.elements).repeat(2), limits), None, "each stanza counts for itself");
    }
}

fn attributes(n: usize) -> String {
    (0..n).map(|at| format!(" a{at}=''")).collect()
}

#[test]
fn attributes_have_a_limit() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let n = limits.attributes;
        assert_eq!(refused(format!("<a{}/>", attributes(n)), limits), None);
        assert_eq!(refused(format!("<a{}/>", attributes(n + 1)), limits), Some(XmlError::TooManyAttributes));
        let full = limits.attributes_total / n;
        let many = |more: &str| format!("<a>{}<b{more}/></a>", format!("<b{}/>", attributes(n)).repeat(full));
        assert_eq!(limits.attributes_total % n, 0);
        assert_eq!(refused(many(""), limits), None);
        assert_eq!(refused(many(" c=''"), limits), Some(XmlError::TooManyAttributes));
    }
    // X4: the tag need not end, or arrive, to be refused.
    let (_, error) = stanzas(format!("<a{}", attributes(65)), Limits::authenticated());
    assert_eq!(error, Some(XmlError::TooManyAttributes));
}

#[test]
fn namespace_declarations_have_a_limit() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let declared = |n: usize| -> String { (0..n).map(|at| format!(" xmlns:a{at}='u'")).collect() };
        let n = limits.namespaces;
        assert_eq!(refused(format!("<a{}/>", declared(n)), limits), None);
        assert_eq!(refused(format!("<a{}/>", declared(n + 1)), limits), Some(XmlError::TooManyNamespaces));
        // Two stand on the header.
        let nested = |first: usize| {
            let inner = format!("<a{}>", declared(n)).repeat(limits.namespaces_in_scope / n - 1);
            let levels = limits.namespaces_in_scope / n;
            format!("<a{}>{inner}{}", declared(first), "</a>".repeat(levels))
        };
        assert_eq!(limits.namespaces_in_scope % n, 0);
        assert_eq!(refused(nested(n - 2), limits), None);
        assert_eq!(refused(nested(n - 1), limits), Some(XmlError::TooManyNamespaces));
        // What has ended is not in scope.
        assert_eq!(refused(format!("<a{}/>", declared(n)).repeat(100), limits), None);
    }
}

#[test]
fn namespaces_of_attributes_have_a_limit_so_that_what_is_read_can_be_read_again() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let used = |from: usize, to: usize| -> String {
            (from..to).map(|at| format!(" xmlns:a{at}='{at}' a{at}:b=''")).collect()
        };
        let (n, half) = (limits.namespaces - 1, limits.namespaces / 2);
        let inner = |to: usize| -> String { (0..to).map(|at| format!(" a{at}:c=''")).collect() };
        let split = |to: usize| format!("<a{}><b{} xmlns='u'{}/></a>", used(0, half), used(half, to), inner(half));
        let element = parse_document(split(n).as_bytes(), &limits).expect("it is at the limit");
        assert_eq!(parse_document(&element.to_bytes(), &limits), Ok(element));
        assert_eq!(parse_document(split(n + 1).as_bytes(), &limits), Err(XmlError::TooManyNamespaces));
        // However deep it is, each namespace is declared once on the way.
        let (open, close) = ("<p:a q:b='' r:c=''><q:a q:b='' r:c=''>", "</q:a></p:a>");
        let deep = |pairs: usize| format!("{}{}", open.repeat(pairs), close.repeat(pairs));
        let deep = format!("<a xmlns:p='u' xmlns:q='v' xmlns:r='w'><a>{}</a></a>", deep(limits.depth / 2 - 1));
        let element = parse_document(deep.as_bytes(), &limits).expect("it is at the limit");
        assert_eq!(parse_document(&element.to_bytes(), &limits), Ok(element));
    }
}

#[test]
fn names_and_values_have_a_limit() {
    for limits in [Limits::unauthenticated(), Limits::authenticated()] {
        let n = limits.token_bytes;
        let value = |n: usize| format!("<a b='{}'/>", "x".repeat(n));
        assert_eq!(refused(value(n), limits), None);
        assert_eq!(refused(value(n + 1), limits), Some(XmlError::TokenTooBig));
        let name = |n: usize| format!("<{}/>", "x".repeat(n));
        assert_eq!(refused(name(n), limits), None);
        assert_eq!(refused(name(n + 1), limits), Some(XmlError::TokenTooBig));
    }
}

#[test]
fn limits_are_raised_within_a_stream() {
    let mut parser = Parser::new(Limits::unauthenticated());
    let mut input = HEADER.as_bytes();
    assert!(matches!(parser.feed(&mut input), Ok(Some(XmlEvent::StreamStart { .. }))));
    parser.set_limits(Limits::authenticated());
    let long = format!(" <a b='{}'>{}</a></stream:stream>", "x".repeat(60_000), "y".repeat(100_000));
    let mut input = long.as_bytes();
    let Ok(Some(XmlEvent::Element(element))) = parser.feed(&mut input) else { panic!() };
    assert_eq!((element.ns(), element.text().len()), ("jabber:client", 100_000));
    assert_eq!(parser.feed(&mut input), Ok(Some(XmlEvent::StreamEnd)));
}

#[test]
fn what_never_ends_is_refused_before_it_is_kept() {
    for begin in ["<message><body>", "<message a='", "<message ", "<message", "<message><![CDATA[", "</stream:stream "]
    {
        let mut parser = Parser::new(Limits::authenticated());
        let mut input = HEADER.as_bytes();
        assert!(matches!(parser.feed(&mut input), Ok(Some(XmlEvent::StreamStart { .. }))));
        assert_eq!(parser.feed(&mut begin.as_bytes()), Ok(None));
        let filler = if begin.ends_with(' ') { [b' '; 4096] } else { [b'x'; 4096] };
        let mut fed = begin.len();
        let error = loop {
            match parser.feed(&mut &filler[..]) {
                Ok(event) => assert_eq!(event, None),
                Err(error) => break error,
            }
            fed += filler.len();
        };
        assert!(matches!(error, XmlError::TooBig | XmlError::TokenTooBig), "{begin}: {error}");
        assert!(fed <= Limits::authenticated().stanza_bytes, "{begin}: {fed}");
    }
}

/// X6. The bound is far above what it takes (some 20 ms), and far below what quadratic work would.
#[test]
fn a_big_token_byte_by_byte_takes_linear_time() {
    let limits = Limits { token_bytes: 256 * 1024, stanza_bytes: 512 * 1024, ..Limits::authenticated() };
    for (begin, end) in [("<a b='", "'/>"), ("<a>", "</a>"), ("<a><![CDATA[", "]]></a>")] {
        let text = [HEADER, begin, &"x".repeat(limits.token_bytes), end].concat();
        let begun = Instant::now();
        let (events, error) = events_of(text.as_bytes().chunks(1), limits);
        assert_eq!((events.len(), error), (2, None));
        assert!(begun.elapsed() < Duration::from_secs(5), "{begin} took {:?}", begun.elapsed());
    }
}

/// X3 and X4: a stanza takes at most eight times its bytes, at the limits, where it is worst.
#[test]
fn a_stanza_takes_no_more_memory_than_eight_times_its_bytes() {
    let limits = Limits::authenticated();
    let fill = |part: &dyn Fn(usize) -> String, most: usize| {
        let mut text = String::from("<a>");
        for at in 0..most {
            let part = part(at);
            if text.len() + part.len() + "</a>".len() > limits.stanza_bytes {
                break;
            }
            text += &part;
        }
        text + "</a>"
    };
    let tag = |at: usize| {
        format!("<b{}/>", (0..64).map(|n| format!(" {}{n}=''", (b'a' + (at % 26) as u8) as char)).collect::<String>())
    };
    let worst = [
        ("elements", fill(&|_| "<a/>".into(), 4095)),
        ("pairs", fill(&|_| "<a><a/></a>".into(), 2047)),
        ("mixed", fill(&|_| "<a/>x".into(), 4095)),
        ("namespaces", fill(&|at| format!("<a xmlns='{at}'/>"), 4095)),
        ("attributes", fill(&tag, limits.attributes_total / 64)),
        ("few attributes", fill(&|_| "<a p='' q=''>x</a>".into(), 4095)),
        ("references", fill(&|_| "&lt;".into(), usize::MAX)),
    ];
    for (what, text) in worst {
        let bytes = stanza(&text).heap_bytes();
        // The limit, not the length: a flood is refused long before it fills the limit.
        assert!(bytes <= 8 * limits.stanza_bytes, "{what}: {bytes} bytes for {}", text.len());
    }
}

/// X2: what is deepest of all that any limit lets in, the answer to it, and its end need little stack.
#[test]
fn the_deepest_tree_needs_little_stack() {
    let deepest = 2 * Limits::authenticated().depth;
    let work = move || {
        let mut tree = Element::new("a", "urn:x").with_attr("b", "c");
        for _ in 0..deepest {
            tree = Element::new("a", "urn:x").with_text("t").with_child(tree);
        }
        let written = tree.to_bytes();
        let limits = Limits { depth: deepest + 1, ..Limits::authenticated() };
        let read = crate::xml::parse_document(&written, &limits).expect("what was written is read");
        assert!(read == tree && read.clone() == tree);
        drop((read, tree));
    };
    // Tasks have 2 MiB.
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
}

#[test]
fn an_idle_parser_is_small() {
    assert!(size_of::<Parser>() <= 1024, "{}", size_of::<Parser>());
}
