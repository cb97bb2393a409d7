//! Reads a scene.

#[derive(Debug)]
pub struct Script {
    pub settings: Vec<(String, String)>,
    /// The file of settings.
    pub file: String,
    pub accounts: Vec<(String, bool)>,
    /// What happens where a connection ends: over requests there is none.
    pub connections: bool,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Connect { actor: String, resource: String },
    LogIn { actor: String },
    ConnectSocket { actor: String, resource: String },
    ConnectBosh { actor: String, resource: String },
    Drop { actor: String },
    Send { actor: String, xml: String },
    Receive { actor: String, xml: Vec<String>, any_order: bool },
    ReceiveNothing { actor: String },
    Disconnect { actor: String },
    CutOff { actor: String, xml: String },
    RawConnect { actor: String, tls: bool },
    Component { actor: String, domain: String, secret: String },
    ComponentRefused { domain: String, secret: String, condition: String },
    RawComponent { actor: String },
    RawWrite { actor: String, text: String },
    RawRead { actor: String, text: String },
    RawClosed { actor: String },
    Http { caller: String, method: String, path: String, media: Option<String>, headers: Vec<String>, body: String },
    Answer { status: u16, headers: Vec<String>, body: String },
    Restart,
}

pub fn parse(text: &str) -> Result<Script, String> {
    let (settings, accounts, steps) = (Vec::new(), Vec::new(), Vec::new());
    let mut script = Script { settings, file: String::new(), accounts, connections: false, steps };
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut block = Vec::new();
        while let Some((_, next)) = lines.peek() {
            if !next.is_empty() && !next.starts_with(' ') {
                break;
            }
            block.push(next.trim().to_owned());
            lines.next();
        }
        while block.last().is_some_and(String::is_empty) {
            block.pop();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["set", rest @ ..] => {
                let (key, value) = rest.first().and_then(|pair| pair.split_once('=')).ok_or("set key=value")?;
                script.settings.push((key.to_owned(), value.to_owned()));
            }
            ["over", "connections"] => script.connections = true,
            ["file"] => script.file = block.join("\n"),
            ["user", name] => script.accounts.push(((*name).to_owned(), false)),
            ["admin", name] => script.accounts.push(((*name).to_owned(), true)),
            words => {
                let kind = step(words, block).ok_or_else(|| format!("line {}: not a step: {line}", number + 1))?;
                script.steps.push(Step { line: number + 1, kind });
            }
        }
    }
    Ok(script)
}

fn step(words: &[&str], block: Vec<String>) -> Option<Kind> {
    let (headers, rest): (Vec<String>, Vec<String>) = block.into_iter().partition(|line| line.starts_with("header "));
    let headers = headers.into_iter().map(|line| line["header ".len()..].to_owned()).collect();
    let own = |word: &str| word.to_owned();
    Some(match words {
        ["restart"] => Kind::Restart,
        ["raw", actor, "connects"] => Kind::RawConnect { actor: own(actor), tls: false },
        ["raw", actor, "connects", "tls"] => Kind::RawConnect { actor: own(actor), tls: true },
        ["component", actor, "joins", domain, secret] => {
            Kind::Component { actor: own(actor), domain: own(domain), secret: own(secret) }
        }
        ["component", _, "is", "turned", "away", domain, secret, condition] => {
            Kind::ComponentRefused { domain: own(domain), secret: own(secret), condition: own(condition) }
        }
        ["raw", actor, "connects", "component"] => Kind::RawComponent { actor: own(actor) },
        ["raw", actor, "writes"] => Kind::RawWrite { actor: own(actor), text: rest.join("\n") },
        ["raw", actor, "reads"] => Kind::RawRead { actor: own(actor), text: rest.join("\n") },
        ["raw", actor, "closed"] => Kind::RawClosed { actor: own(actor) },
        ["http", caller, method, path, media @ ..] => Kind::Http {
            caller: own(caller),
            method: own(method),
            path: own(path),
            media: media.first().map(|media| own(media)),
            headers,
            body: rest.join("\n"),
        },
        ["answer", status] => Kind::Answer { status: status.parse().ok()?, headers, body: rest.join("\n") },
        [actor, "connects"] => Kind::Connect { actor: own(actor), resource: own("scene") },
        [actor, "connects", "as", resource] => Kind::Connect { actor: own(actor), resource: own(resource) },
        [actor, "connects", "over", "bosh"] => Kind::ConnectBosh { actor: own(actor), resource: own("scene") },
        [actor, "connects", "over", "websocket"] => Kind::ConnectSocket { actor: own(actor), resource: own("scene") },
        [actor, "logs", "in"] => Kind::LogIn { actor: own(actor) },
        [actor, "vanishes"] => Kind::Drop { actor: own(actor) },
        [actor, "sends"] => Kind::Send { actor: own(actor), xml: rest.join("") },
        [actor, "receives", "nothing"] => Kind::ReceiveNothing { actor: own(actor) },
        [actor, "receives", "in", "any", "order"] => {
            Kind::Receive { actor: own(actor), xml: stanzas(&rest), any_order: true }
        }
        [actor, "receives"] => Kind::Receive { actor: own(actor), xml: stanzas(&rest), any_order: false },
        [actor, "disconnects"] => Kind::Disconnect { actor: own(actor) },
        [actor, "is", "cut", "off"] => Kind::CutOff { actor: own(actor), xml: rest.join("") },
        _ => return None,
    })
}

/// Stanzas are set apart by empty lines.
fn stanzas(block: &[String]) -> Vec<String> {
    block.split(String::is_empty).filter(|lines| !lines.is_empty()).map(|lines| lines.join("")).collect()
}
