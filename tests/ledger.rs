//! The ledger of conformance, `xeps/`, held to the tests, and the documents that are generated.
//!
//! A test says which rows of `xeps/xep-0060.md` it shows, with a remark `rows: 12, 345` above it; the
//! ledger's last column names the test. Here both directions are checked, that what is left out may be
//! left out, that what the server advertises stands in `xeps/ledger.toml`, and that no generated
//! document is stale. `UPDATE=1 cargo test --test ledger` writes the column and the documents anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[test]
fn the_ledger_names_the_tests_that_bear_its_rows_and_no_others() {
    let mut wrong = Vec::new();
    let cited = &known().cited;
    for row in &known().rows {
        let named: BTreeSet<&str> = names(&row.value).collect();
        let bearers: BTreeSet<&str> = cited.get(&row.id).into_iter().flatten().map(String::as_str).collect();
        for test in named.difference(&bearers) {
            wrong.push(format!("{LEDGER}: row {} names {test}, which does not bear it, or is not there", row.id));
        }
        for test in bearers.difference(&named) {
            wrong.push(format!("{LEDGER}: row {} does not name {test}, which bears it", row.id));
        }
    }
    let ids: BTreeSet<&str> = known().rows.iter().map(|row| row.id.as_str()).collect();
    for (id, tests) in cited.iter().filter(|(id, _)| !ids.contains(id.as_str())) {
        let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
        wrong.push(format!("{} bears row {id}, which is not in the ledger", tests.join(", ")));
    }
    wrong.extend(known().stray.iter().cloned());
    assert!(wrong.is_empty(), "\n{}\n{HOW}", wrong.join("\n"));
}

/// A demand on the service that is neither MAY nor OPTIONAL is left out `without row 163`, which is one
/// of those and is left out itself, or `with row 464`, which is shown and keeps the case from coming up.
#[test]
fn every_row_is_shown_or_open_or_may_be_left_out() {
    let by_id: BTreeMap<&str, &Row> = known().rows.iter().map(|row| (row.id.as_str(), row)).collect();
    assert_eq!(by_id.len(), known().rows.len(), "a number stands twice");
    let mut wrong = Vec::new();
    for row in &known().rows {
        let Some(reason) = row.value.strip_prefix("n/a: ") else {
            if row.state() == State::Open && row.value != OPEN {
                wrong.push(format!("row {} has no value: {:?}", row.id, row.value));
            }
            continue;
        };
        let permits = |without: bool, id: &str| {
            let state = by_id.get(id).map(|other| (other.state(), other.weight()));
            if without {
                state == Some((State::LeftOut, Weight::May))
            } else {
                state.is_some_and(|(state, _)| state == State::Shown)
            }
        };
        let referred = referred(reason);
        if referred.is_empty() && row.on == "S" && row.weight() != Weight::May {
            wrong.push(format!("row {} is left out, and no row permits it: {reason}", row.id));
        }
        for (without, id) in referred.iter().filter(|(without, id)| !permits(*without, id)) {
            let expected = if *without { "a MAY that is left out" } else { "shown" };
            wrong.push(format!("row {} is left out, but row {id} is not {expected}: {reason}", row.id));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_advertised_stands_in_the_ledger() {
    let mut wrong = Vec::new();
    for extension in tidings::xep::EXTENSIONS {
        let key = format!("xep-{:04}", extension.number);
        match specifications().get(&key) {
            None => wrong.push(format!("{key} is advertised, and not in {SPECIFICATIONS}")),
            Some(entry) => {
                if (&*entry.name, &*entry.version) != (extension.name, extension.version) {
                    wrong.push(format!(
                        "{key}: {} {} there, {} {} here",
                        extension.name, extension.version, entry.name, entry.version
                    ));
                }
                if entry.status == "planned" {
                    wrong.push(format!("{key} is advertised, and only planned in {SPECIFICATIONS}"));
                }
            }
        }
    }
    for (key, entry) in specifications() {
        let handled = entry.places.iter().any(|place| place.starts_with("src/xep/"));
        let advertised = tidings::xep::EXTENSIONS.iter().any(|other| format!("xep-{:04}", other.number) == *key);
        if handled && entry.status != "planned" && !advertised {
            wrong.push(format!("{key} lives in src/xep, and EXTENSIONS does not have it"));
        }
        for place in entry.places.iter().filter(|place| !Path::new(place).exists()) {
            wrong.push(format!("{key}: there is no {place}"));
        }
        if !["complete", "partial", "planned"].contains(&&*entry.status) {
            wrong.push(format!("{key}: {} is no status", entry.status));
        }
        if entry.places.is_empty() != (entry.status == "planned") {
            wrong.push(format!("{key}: it lives somewhere, or is planned"));
        }
        if entry.status != "complete" && entry.words.is_empty() {
            wrong.push(format!("{key}: what is missing?"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `docs/security.md` is written by hand: every row of the design stands there, with tests that are there.
#[test]
fn every_attack_is_met_or_open() {
    let text = fs::read_to_string(ATTACKS).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().filter_map(attack).collect();
    let expected = [("X", 16), ("T", 16), ("A", 18), ("H", 19), ("L", 6)];
    let expected: Vec<String> =
        expected.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}"))).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), expected);
    let mut wrong = Vec::new();
    for row in &rows {
        let named: Vec<&str> = row[2].split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
        let reason = ["open", "n/a: "].iter().any(|word| row[2].starts_with(word));
        if named.is_empty() != reason {
            wrong.push(format!("{ATTACKS}: {} names tests, or says why it names none", row[0]));
        }
        let missing = named.into_iter().filter(|name| !stands(name));
        wrong.extend(missing.map(|name| format!("{ATTACKS}: {} names {name}, which is not there", row[0])));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn conformance_is_documented() {
    fresh("docs/conformance.md", &conformance());
}

#[test]
fn permissions_are_documented() {
    fresh("docs/permissions.md", &permissions(include_str!("../src/pubsub/permissions.txt")));
}

#[test]
fn every_setting_is_documented() {
    fresh("docs/configuration.md", &tidings::config::reference());
}

#[test]
fn every_field_is_documented() {
    fresh("docs/fields.md", &tidings::xep::fields_reference());
}

/// The three cells of a row of attacks.
fn attack(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::trim).collect();
    let number = cells[0].strip_prefix(['X', 'T', 'A', 'H', 'L'])?;
    (cells.len() == 3 && number.parse::<u32>().is_ok()).then_some(cells)
}

/// Whether there is a test of this name that is run.
fn stands(name: &str) -> bool {
    let (kind, path) = name.split_once(':').unwrap_or_default();
    if kind == "scene" && path.split("::").next().is_some_and(|file| ["self_check", "removal"].contains(&file)) {
        // Not a dialogue: a trial that the stage is used for.
        let file = path.split("::").next().unwrap_or_default();
        let code = fs::read_to_string(format!("tests/scenes/{file}.rs")).unwrap_or_default();
        return code.contains(&format!("\"{path}\""));
    }
    if kind == "scene" {
        return Path::new("tests/scenes").join(path.replace("::", "/")).with_extension("scene").exists();
    }
    let root = Path::new(if kind == "unit" { "src" } else { "tests" });
    let mut places: Vec<&str> = path.split("::").collect();
    let Some(test) = places.pop() else { return false };
    // The last place may be a module within the file of the one before.
    let within = places.split_last().filter(|(last, _)| **last == "tests").map(|(_, before)| before);
    let files = [Some(&places[..]), within].into_iter().flatten().flat_map(|places| {
        let stem = root.join(places.iter().collect::<PathBuf>());
        [stem.with_extension("rs"), stem.join("mod.rs")]
    });
    files.filter_map(|file| fs::read_to_string(file).ok()).any(|code| {
        let lines: Vec<&str> = code.lines().collect();
        let heads = |at: usize| lines[..at].iter().rev().take_while(|line| line.trim().starts_with("#["));
        (0..lines.len()).filter(|at| function(lines[*at]) == Some(test)).any(|at| {
            heads(at).any(|line| line.contains("test]") || line.contains("tokio::test("))
                && !heads(at).any(|line| line.contains("#[ignore"))
        })
    })
}

/// A demand of the specification.
struct Row {
    id: String,
    chapter: String,
    place: String,
    level: String,
    on: String,
    what: String,
    /// The last column, as it stands.
    value: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Must,
    Should,
    May,
    Definition,
    Field,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Shown,
    Open,
    LeftOut,
}

impl Row {
    fn weight(&self) -> Weight {
        match self.level.as_str() {
            "MUST" | "MUST NOT" | "REQ" | "shall" => Weight::Must,
            "SHOULD" | "SHOULD NOT" | "REC" => Weight::Should,
            "MAY" | "OPT" => Weight::May,
            "def" => Weight::Definition,
            "field" => Weight::Field,
            other => panic!("row {}: {other} is no level", self.id),
        }
    }

    fn state(&self) -> State {
        match self.value.as_str() {
            value if names(value).next().is_some() => State::Shown,
            value if value.starts_with("n/a: ") => State::LeftOut,
            _ => State::Open,
        }
    }
}

/// What ledger and tests say of each other.
struct Known {
    rows: Vec<Row>,
    /// Row, and the tests that bear it.
    cited: BTreeMap<String, BTreeSet<String>>,
    /// Remarks that belong to no test.
    stray: Vec<String>,
}

/// Read once; with `UPDATE` the column is written first.
fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let (mut cited, mut stray) = (BTreeMap::<String, BTreeSet<String>>::new(), Vec::new());
        let mut bears = |test: String, ids: Vec<String>| {
            for id in ids {
                cited.entry(id).or_default().insert(test.clone());
            }
        };
        for path in files("tests/scenes", "scene") {
            let name = path.strip_prefix("tests/scenes").unwrap().with_extension("").display().to_string();
            let text = fs::read_to_string(&path).unwrap();
            let remarks = text.lines().filter_map(|line| line.strip_prefix("# rows:"));
            remarks.for_each(|list| bears(format!("scene:{}", name.replace('/', "::")), numbers(list)));
        }
        for path in files("src", "rs") {
            match bearers(&path, &fs::read_to_string(&path).unwrap()) {
                Ok(found) => found.into_iter().for_each(|(test, ids)| bears(format!("unit:{test}"), ids)),
                Err(line) => stray.push(format!("{}:{line}: rows that no test bears", path.display())),
            }
        }
        let mut text = fs::read_to_string(LEDGER).unwrap();
        if updating() {
            text = filled(&text, &cited);
            fs::write(LEDGER, &text).unwrap();
        }
        Known { rows: rows(&text), cited, stray }
    })
}

fn rows(text: &str) -> Vec<Row> {
    let mut chapter = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            chapter = title.to_owned();
        }
        let Some(cells) = cells(line) else { continue };
        let field = cells[0].starts_with('F');
        let cell = |at: usize| cells[at].to_owned();
        rows.push(Row {
            id: cell(0),
            chapter: chapter.clone(),
            place: if field { String::new() } else { cell(1) },
            level: if field { "field".to_owned() } else { cell(2) },
            on: if field { "S".to_owned() } else { cell(3) },
            what: if field { format!("{}: {}", cells[1], cells[4]) } else { cell(4) },
            value: cell(5),
        });
    }
    rows
}

/// The six cells of a row that has a number.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells: Vec<&str> = inside.split(" | ").map(str::trim).collect();
    let number = cells[0].strip_prefix('F').unwrap_or(cells[0]);
    (cells.len() == 6 && number.parse::<u32>().is_ok()).then_some(cells)
}

/// The ledger with its last column as the tests say; what is written by hand stays.
fn filled(text: &str, cited: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut new = String::with_capacity(text.len());
    for line in text.lines() {
        match cells(line) {
            None => new.push_str(line),
            Some(cells) => {
                let stands = cells[5];
                let value = match cited.get(cells[0]) {
                    Some(tests) => tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", "),
                    None if stands.is_empty() || names(stands).next().is_some() => OPEN.to_owned(),
                    None => stands.to_owned(),
                };
                write!(new, "| {} | {value} |", cells[..5].join(" | ")).unwrap();
            }
        }
        new.push('\n');
    }
    new
}

/// The tests that a value names.
fn names(value: &str) -> impl Iterator<Item = &str> {
    let quoted = value.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.starts_with("scene:") || name.starts_with("unit:"))
}

/// The rows that a reason refers to, and whether it does without them: `with row 12: …`,
/// `without rows 12, F34: …`.
fn referred(reason: &str) -> Vec<(bool, String)> {
    let (list, without) = match (reason.strip_prefix("with row"), reason.strip_prefix("without row")) {
        (Some(list), _) => (list, false),
        (_, Some(list)) => (list, true),
        (None, None) => return Vec::new(),
    };
    let list = list.split(':').next().unwrap_or(list);
    numbers(list.trim_start_matches('s')).into_iter().map(|id| (without, id)).collect()
}

fn numbers(list: &str) -> Vec<String> {
    let words = list.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.strip_prefix('F').unwrap_or(word).parse::<u32>().is_ok()).map(str::to_owned).collect()
}

/// The tests of a file with the rows that they bear, or the line of rows that no test bears. A remark
/// stands above a test, or above a row of a golden table, whose test is the one that checks the table.
fn bearers(path: &Path, code: &str) -> Result<Vec<(String, Vec<String>)>, usize> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    let mut modules: Vec<(usize, &str)> = Vec::new();
    let mut table = "";
    for (at, line) in lines.iter().enumerate() {
        let (indent, trimmed) = (line.len() - line.trim_start().len(), line.trim());
        if trimmed == "}" {
            modules.retain(|(outer, _)| *outer < indent);
        }
        if let Some(name) = trimmed.strip_suffix(" {").and_then(|line| line.split("mod ").nth(1)) {
            modules.push((indent, name));
        }
        if let Some(name) = trimmed.strip_suffix(": &[Row] = &[").and_then(|line| line.strip_prefix("const ")) {
            table = name;
        }
        let Some(list) = trimmed.strip_prefix("// rows:") else { continue };
        let mut ids = numbers(list);
        let mut next = at + 1;
        let mut last = trimmed;
        while last.ends_with(',') && lines.get(next).is_some_and(|line| line.trim().starts_with("// ")) {
            last = lines[next].trim();
            ids.extend(numbers(last));
            next += 1;
        }
        let place: Vec<&str> = module(path).into_iter().chain(modules.iter().map(|(_, name)| *name)).collect();
        let name = bearer(&lines, next, table).ok_or(at + 1)?;
        found.push((format!("{}::{name}", place.join("::")), ids));
    }
    Ok(found)
}

/// The name of what stands at or below a line: a test, or a row of a table that a test checks.
fn bearer(lines: &[&str], from: usize, table: &str) -> Option<String> {
    let attributes = lines[from..].iter().take_while(|line| {
        let line = line.trim();
        line.starts_with("#[") || line.starts_with("//")
    });
    let is_test = attributes.clone().any(|line| line.contains("test]") || line.contains("tokio::test("))
        && !attributes.clone().any(|line| line.contains("#[ignore"));
    let first = lines.get(from + attributes.count())?.trim();
    if let Some(row) = first.strip_prefix("Row(\"") {
        let checks = format!("check({table})");
        let at = lines.iter().position(|line| line.trim().starts_with(&checks))?;
        let above = at.checked_sub(2)?;
        let test = function(lines[above + 1]).filter(|_| lines[above].trim() == "#[test]")?;
        return Some(format!("{test}/{}", row.split_once("\",")?.0));
    }
    function(first).filter(|_| is_test).map(str::to_owned)
}

fn function(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("async ");
    line.strip_prefix("fn ")?.split('(').next()
}

/// `src/pubsub/golden/mod.rs` is `pubsub::golden`.
fn module(path: &Path) -> Vec<&str> {
    let inside = path.strip_prefix("src").unwrap();
    let folders = inside.parent().unwrap().iter().map(|folder| folder.to_str().unwrap());
    let stem = inside.file_stem().unwrap().to_str().unwrap();
    folders.chain(Some(stem).filter(|stem| !["mod", "lib", "main"].contains(stem))).collect()
}

/// A specification that the project knows of.
struct Specification {
    name: String,
    version: String,
    status: String,
    words: String,
    places: Vec<String>,
}

fn specifications() -> &'static BTreeMap<String, Specification> {
    static ENTRIES: OnceLock<BTreeMap<String, Specification>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let text = fs::read_to_string(SPECIFICATIONS).unwrap();
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{SPECIFICATIONS}: {error}"));
        let entry = |(key, value): (String, toml::Value)| {
            let word = |name: &str| value.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
            let places = value.get("where").and_then(|places| places.as_array()).cloned().unwrap_or_default();
            let places = places.iter().filter_map(|place| place.as_str().map(str::to_owned)).collect();
            let (name, version, status, words) = (word("name"), word("version"), word("status"), word("words"));
            assert!(!name.is_empty() && (!version.is_empty() || key.starts_with("rfc-")), "{SPECIFICATIONS}: {key}");
            (key, Specification { name, version, status, words, places })
        };
        table.into_iter().map(entry).collect()
    })
}

fn conformance() -> String {
    let rows = &known().rows;
    let mut text = format!("{GENERATED}# Conformance\n\n{CONFORMANCE_HEAD}\n## XEP-0060 in numbers\n\n{NUMBERS_HEAD}");
    let mut chapters: Vec<&str> = rows.iter().map(|row| row.chapter.as_str()).collect();
    chapters.dedup();
    text.push_str("| Section | MUST | SHOULD | MAY | Definitions | Fields |\n|---|---|---|---|---|---|\n");
    for chapter in &chapters {
        let title = chapter.strip_prefix("http://jabber.org/protocol/pubsub").unwrap_or(chapter);
        let of = rows.iter().filter(|row| row.chapter == **chapter);
        writeln!(text, "| {title} | {} |", counts(of)).unwrap();
    }
    writeln!(text, "| **All** | {} |", counts(rows.iter())).unwrap();
    text.push_str("\n## Specifications\n\n| Specification | Version | Status | What that means | Where |\n|---|---|---|---|---|\n");
    for (key, entry) in specifications() {
        let places: Vec<String> = entry.places.iter().map(|place| format!("`{place}`")).collect();
        let (key, name) = (key.to_uppercase(), &entry.name);
        let key = if key.starts_with("RFC") { key.replace('-', " ") } else { key };
        let (version, status, words) = (&entry.version, &entry.status, &entry.words);
        writeln!(text, "| {key} {name} | {version} | {status} | {words} | {} |", places.join(" ")).unwrap();
    }
    text.push_str(
        "\n## Rows of XEP-0060 that are open\n\nNothing shows them: they are not done, or done and not tested.\n",
    );
    for chapter in chapters {
        let open: Vec<&Row> = rows.iter().filter(|row| row.chapter == chapter && row.state() == State::Open).collect();
        if open.is_empty() {
            continue;
        }
        write!(text, "\n### {chapter}\n\n").unwrap();
        for row in open {
            let place = if row.place.is_empty() { String::new() } else { format!(" §{}", row.place) };
            let level = if row.weight() == Weight::Field { String::new() } else { format!(" {},", row.level) };
            let on = if row.weight() == Weight::Field { String::new() } else { format!(" on {}:", row.on) };
            writeln!(text, "- {}{place}{level}{on} {}", row.id, row.what).unwrap();
        }
    }
    text
}

/// Shown, open and left out, for each weight.
fn counts<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut counted = BTreeMap::<Weight, [usize; 3]>::new();
    for row in rows {
        counted.entry(row.weight()).or_default()[row.state() as usize] += 1;
    }
    let weights = [Weight::Must, Weight::Should, Weight::May, Weight::Definition, Weight::Field];
    let cell = |weight: &Weight| match counted.get(weight) {
        None => String::new(),
        Some([shown, open, left]) => format!("{shown} / {open} / {left}"),
    };
    weights.iter().map(cell).collect::<Vec<_>>().join(" | ")
}

/// The authorisation matrix as Markdown.
fn permissions(matrix: &str) -> String {
    let mut text = format!("{GENERATED}# Permissions\n\n");
    let (mut table, mut below_head) = (Vec::new(), false);
    for line in matrix.lines() {
        match line.strip_prefix('#') {
            Some(legend) if legend.starts_with("   ") => {
                let (word, meaning) = legend.trim().split_once(' ').unwrap();
                writeln!(text, "- `{word}`: {}", meaning.trim()).unwrap();
            }
            Some(prose) => writeln!(text, "{}", prose.trim()).unwrap(),
            None if line.trim().is_empty() => {}
            None => {
                let cells: Vec<&str> = line.split_whitespace().collect();
                table.push(format!("| {} |", cells.join(" | ")));
                if !std::mem::replace(&mut below_head, true) {
                    table.push(format!("|{}", "---|".repeat(cells.len())));
                }
            }
        }
    }
    text + "\n" + &table.join("\n") + "\n"
}

/// Compares a generated document with what stands, or writes it.
fn fresh(path: &str, generated: &str) {
    if updating() {
        fs::write(path, generated).unwrap();
    }
    let stands = fs::read_to_string(path).unwrap_or_default();
    assert!(stands == generated, "{path} is stale. {HOW}");
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn files(root: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from(root)];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|other| other == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

const ATTACKS: &str = "docs/security.md";
const LEDGER: &str = "xeps/xep-0060.md";
const SPECIFICATIONS: &str = "xeps/ledger.toml";
const OPEN: &str = "open";
const HOW: &str = "UPDATE=1 cargo test --test ledger writes it.";
const GENERATED: &str = "<!-- Generated by UPDATE=1 cargo test --test ledger; changes here are lost. -->\n\n";

const CONFORMANCE_HEAD: &str = "\
What the specifications demand, and how much of it a test shows. The demands of XEP-0060 stand one by one, each with
its tests, in [`xeps/xep-0060.md`](../xeps/xep-0060.md).
";

const NUMBERS_HEAD: &str = "\
Shown by a test / open / left out where the specification lets it be, with the reason in the ledger. MUST counts
REQUIRED and MUST NOT too, SHOULD counts RECOMMENDED and SHOULD NOT, MAY counts OPTIONAL; definitions are statements
without such a word that an implementation has to follow.

";
