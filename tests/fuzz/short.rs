//! A short run of every fuzz target without cargo-fuzz: the seeds as they stand, and changed at random
//! in a way that is the same every time. The long run is `cargo fuzz`, by hand.

mod checks;

use std::fs;
use std::path::Path;

/// Changed inputs for each target.
const CHANGED: usize = 4_000;

#[test]
fn addresses() {
    run("jid", checks::jid::check);
}

#[test]
fn messages_of_sasl() {
    run("sasl", checks::sasl::check);
}

#[test]
fn stanzas() {
    run("stanza", checks::stanza::check);
}

#[test]
fn streams_of_xml() {
    run("xml_parser", checks::xml_parser::check);
}

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut seeds: Vec<Vec<u8>> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    seeds.sort();
    assert!(seeds.len() >= 5, "{target} has too few seeds to begin with");
    seeds.iter().for_each(|seed| check(seed));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..CHANGED {
        let input = changed(&seeds, &mut random);
        let outcome = std::panic::catch_unwind(|| check(&input));
        assert!(outcome.is_ok(), "{target} fails on {}", input.escape_ascii());
    }
}

/// A seed with a few changes, or two of them spliced.
fn changed(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    if random.below(4) == 0 {
        let other = &seeds[random.below(seeds.len())];
        input.truncate(random.below(input.len() + 1));
        input.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(5) {
            0 if at < input.len() => input[at] = random.byte(),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < input.len() => drop(input.remove(at)),
            3 => {
                let piece = TELLING[random.below(TELLING.len())];
                input.splice(at..at, piece.iter().copied());
            }
            _ => input.insert(at, random.byte()),
        }
    }
    input
}

/// What has a meaning somewhere.
const TELLING: &[&[u8]] = &[
    b"\0",
    b",",
    b"=",
    b"=2C",
    b"=3D",
    b",m=",
    b"p=tls-exporter,",
    b"y,",
    b"a=victim@localhost,",
    b"\xff",
    b"@",
    b"/",
    b"<",
    b">",
    b"</",
    b"/>",
    b" type='error'",
    b" type='result'",
    b" id=''",
    b" to='a@'",
    b"<value/>",
    b"<max>-1</max>",
    b"&amp;",
    b"xmlns=''",
    "ß".as_bytes(),
    "\u{ad}".as_bytes(),
    "ＡＢ".as_bytes(),
    "\u{200d}".as_bytes(),
    "xn--".as_bytes(),
];

/// xorshift64*: the same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }
}
