//! Plays a scene: a server of its own, and the actors' steps, one after the other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tidings::access::{NewPassword, NewToken, NewUser};
use tidings::config::{self, Sources};
use tidings::server::{self, Parts, Running};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::xml::{Element, Limits, Node, parse_document};

use crate::actor::{Actor, Raw};
use crate::compare::{self, Names};
use crate::script::{Kind, Script};
use crate::{Over, proxy, secrets};

pub struct Stage<'a> {
    script: &'a Script,
    dir: &'a Path,
    over: Over,
    /// Where clients connect.
    door: Option<SocketAddr>,
    server: Option<Running>,
    pub actors: HashMap<String, Actor>,
    raws: HashMap<String, Raw>,
    tokens: HashMap<String, String>,
    names: Names,
    answer: Option<Answer>,
    pings: u32,
}

pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

pub async fn play(script: &Script, over: Over) -> Result<(), String> {
    perform(script, over, async |stage| {
        for step in &script.steps {
            let done = tokio::time::timeout(STEP_MAX, stage.step(&step.kind)).await;
            let done = done.unwrap_or_else(|_| Err("took too long".to_owned()));
            done.map_err(|error| format!("line {}: {error}", step.line))?;
        }
        Ok(())
    })
    .await
}

/// Opens the stage of a scene, and closes it when it was acted on.
pub async fn perform(
    script: &Script,
    over: Over,
    act: impl AsyncFnOnce(&mut Stage<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let over = if script.connections && over == Over::Bosh { Over::StartTls } else { over };
    let mut stage = Stage {
        script,
        dir: dir.path(),
        over,
        door: None,
        server: None,
        actors: HashMap::new(),
        raws: HashMap::new(),
        tokens: HashMap::new(),
        names: Names::new(),
        answer: None,
        pings: 0,
    };
    stage.open().await?;
    stage.hire().await?;
    let mut outcome = act(&mut stage).await;
    if outcome.is_ok() {
        outcome = stage.look_through_metrics().await;
    }
    stage.close().await;
    outcome.and_then(|()| stage.look_through_files())
}

impl Stage<'_> {
    async fn open(&mut self) -> Result<(), String> {
        let mut sets: Vec<String> = DEFAULTS.iter().map(|set| (*set).to_owned()).collect();
        sets.extend(self.script.settings.iter().map(|(key, value)| format!("{key}={value}")));
        let file = self.dir.join("tidings.toml");
        std::fs::write(&file, &self.script.file).map_err(|error| error.to_string())?;
        for line in self.script.file.lines().filter(|line| line.trim_start().starts_with("secret")) {
            line.split(['"', '\'']).skip(1).step_by(2).for_each(|secret| secrets::ears().keep(secret));
        }
        let sources = Sources { sets, file: Some(file), data: Some(self.dir.to_owned()), ..Sources::default() };
        let config = config::load(&sources).map_err(|mistakes| format!("{mistakes:?}"))?;
        secrets::ears().check("the configuration", format!("{config:?}").as_bytes())?;
        let (certificate, key) = (self.dir.join("cert.pem"), self.dir.join("cert.key"));
        if !certificate.exists() {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(|e| e.to_string())?;
            std::fs::write(&certificate, made.cert.pem()).map_err(|error| error.to_string())?;
            let pem = made.signing_key.serialize_pem();
            secrets::ears().keep_key(&pem);
            std::fs::write(&key, pem).map_err(|error| error.to_string())?;
        }
        let options = SqliteOptions { path: self.dir.join("tidings.db"), ..SqliteOptions::default() };
        let store = SqliteStore::open(&options).map_err(|error| error.to_string())?;
        let parts = Parts { store: Arc::new(store), certificate, key };
        let server = server::start(&config, parts).await.map_err(|error| error.to_string())?;
        self.door = match self.over {
            Over::StartTls | Over::WebSocket | Over::Bosh => server.addresses.xmpp,
            Over::Proxy(cut) => Some(proxy::before(server.addresses.xmpp.ok_or("no XMPP")?, cut).await?),
        };
        self.server = Some(server);
        Ok(())
    }

    /// Makes the accounts and a token for each.
    async fn hire(&mut self) -> Result<(), String> {
        let access = &self.server()?.access;
        let mut tokens = HashMap::new();
        for (name, admin) in &self.script.accounts {
            let password = format!("{name}-password");
            secrets::ears().keep_unstored(&password);
            let password = NewPassword::Chosen(password);
            let new = NewUser { name: name.clone(), password, admin: *admin, verifier: None };
            let account = access.add_user(new).await.map_err(|error| error.to_string())?;
            let new = NewToken { account, scopes: Vec::new(), expires_seconds: None };
            let token = access.create_token(new).await.map_err(|error| error.to_string())?;
            secrets::ears().keep_unstored(&token.text);
            tokens.insert(name.clone(), token.text);
        }
        self.tokens = tokens;
        Ok(())
    }

    async fn close(&mut self) {
        self.actors.clear();
        self.raws.clear();
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// What the server tells of itself holds no secret.
    async fn look_through_metrics(&mut self) -> Result<(), String> {
        let Running { access, addresses, .. } = self.server()?;
        let Some(address) = addresses.admin else { return Ok(()) };
        let password = NewPassword::Chosen("a-password-of-the-meter".to_owned());
        let new = NewUser { name: "meter".to_owned(), password, admin: true, verifier: None };
        let account = access.add_user(new).await.map_err(|error| error.to_string())?;
        let new = NewToken { account, scopes: Vec::new(), expires_seconds: None };
        let token = access.create_token(new).await.map_err(|error| error.to_string())?;
        self.tokens.insert("meter".to_owned(), token.text);
        let answer = self.request_at(address, "meter", "GET", "/metrics", None, &[], "").await?;
        if answer.status != 200 || !answer.body.contains("tidings_sessions") {
            return Err(format!("no metrics: {} {}", answer.status, answer.body));
        }
        secrets::ears().check("the metrics", answer.body.as_bytes())
    }

    /// What nobody has to know again is not in the database.
    fn look_through_files(&self) -> Result<(), String> {
        for name in ["tidings.db", "tidings.db-wal"] {
            let bytes = std::fs::read(self.dir.join(name)).unwrap_or_default();
            secrets::ears().check_stored(name, &bytes)?;
        }
        Ok(())
    }

    pub async fn step(&mut self, kind: &Kind) -> Result<(), String> {
        match kind {
            Kind::Connect { actor, resource } => {
                let name = actor.split('/').next().unwrap_or(actor);
                let session = match self.over {
                    Over::WebSocket => Actor::log_in_over_websocket(self.http()?, name, resource).await?,
                    Over::Bosh => Actor::log_in_over_bosh(self.http()?, name, resource).await?,
                    Over::StartTls | Over::Proxy(_) => Actor::log_in(self.xmpp()?, name, resource).await?,
                };
                self.actors.insert(actor.clone(), session);
                Ok(())
            }
            Kind::LogIn { actor } => {
                let name = actor.split('/').next().unwrap_or(actor);
                let session = match self.over {
                    Over::WebSocket => Actor::authenticate_over_websocket(self.http()?, name).await?,
                    Over::Bosh => Actor::authenticate_over_bosh(self.http()?, name).await?,
                    Over::StartTls | Over::Proxy(_) => Actor::authenticate(self.xmpp()?, name).await?,
                };
                self.actors.insert(actor.clone(), session);
                Ok(())
            }
            Kind::Drop { actor } => self.actors.remove(actor).map(drop).ok_or_else(|| "is not connected".to_owned()),
            Kind::ConnectSocket { actor, resource } => {
                let name = actor.split('/').next().unwrap_or(actor);
                let session = Actor::log_in_over_websocket(self.http()?, name, resource).await?;
                self.actors.insert(actor.clone(), session);
                Ok(())
            }
            Kind::ConnectBosh { actor, resource } => {
                let name = actor.split('/').next().unwrap_or(actor);
                let session = Actor::log_in_over_bosh(self.http()?, name, resource).await?;
                self.actors.insert(actor.clone(), session);
                Ok(())
            }
            Kind::Send { actor, xml } => {
                let xml = compare::fill(xml, &self.names);
                self.actor(actor)?.send(&xml).await
            }
            Kind::Receive { actor, xml, any_order } => self.receive(actor, xml, *any_order).await,
            Kind::ReceiveNothing { actor } => self.receive_nothing(actor).await,
            Kind::Disconnect { actor } => {
                let mut session = self.actors.remove(actor).ok_or("is not connected")?;
                session.send("</stream:stream>").await?;
                session.closed().await
            }
            Kind::CutOff { actor, xml } => {
                self.receive(actor, std::slice::from_ref(xml), false).await?;
                let mut session = self.actors.remove(actor).ok_or("is not connected")?;
                session.closed().await
            }
            Kind::RawConnect { actor, tls } => {
                let raw = Raw::connect(self.xmpp()?).await?;
                let raw = if *tls { raw.start_tls().await? } else { raw };
                self.raws.insert(actor.clone(), raw);
                Ok(())
            }
            Kind::RawComponent { actor } => {
                let raw = Raw::connect(self.components()?).await?;
                self.raws.insert(actor.clone(), raw);
                Ok(())
            }
            Kind::ComponentRefused { domain, secret, condition } => {
                match Actor::join(self.components()?, domain, secret).await {
                    Err(error) if error.contains(&format!("<{condition} ")) => Ok(()),
                    Err(error) => Err(error),
                    Ok(_) => Err("was accepted".to_owned()),
                }
            }
            Kind::Component { actor, domain, secret } => {
                let component = Actor::join(self.components()?, domain, secret).await?;
                self.actors.insert(actor.clone(), component);
                Ok(())
            }
            Kind::RawWrite { actor, text } => {
                let text = compare::fill(text, &self.names);
                self.raw(actor)?.write(&text).await
            }
            Kind::RawRead { actor, text } => self.raw(actor)?.read_until(text).await.map(drop),
            Kind::RawClosed { actor } => self.raw(actor)?.closed().await,
            Kind::Http { caller, method, path, media, headers, body } => {
                self.answer = Some(self.request(caller, method, path, media.as_deref(), headers, body).await?);
                Ok(())
            }
            Kind::Answer { status, headers, body } => self.check_answer(*status, headers, body),
            Kind::Restart => {
                let server = self.server.take().ok_or("no server")?;
                // Whoever is told that the server stops closes, as clients do; it would wait for them.
                let leave = async {
                    for actor in self.actors.values_mut() {
                        while actor.next().await.is_ok() {}
                    }
                    self.actors.clear();
                    self.raws.clear();
                };
                tokio::join!(server.stop(), leave);
                self.open().await
            }
        }
    }

    async fn receive(&mut self, actor: &str, expected: &[String], any_order: bool) -> Result<(), String> {
        let mut left: Vec<Element> = expected.iter().map(|xml| stanza(xml)).collect::<Result<_, _>>()?;
        while !left.is_empty() {
            let session = self.actors.get_mut(actor).ok_or("is not connected")?;
            let came = session.next().await.map_err(|error| format!("{error}; expected {}", left[0]))?;
            if came.is("r", NS_SM) && !left.iter().any(|expected| expected.is("r", NS_SM)) {
                continue;
            }
            let came = compare::without_layout(&as_client(&came));
            if any_order {
                let names = &mut self.names;
                let at = left.iter().position(|expected| compare::element(expected, &came, names).is_ok());
                drop(left.remove(at.ok_or_else(|| format!("unexpected: {came}"))?));
            } else {
                let next = left.remove(0);
                compare::element(&next, &came, &mut self.names)
                    .map_err(|error| format!("{error}\n  expected {next}\n  got      {came}"))?;
            }
        }
        Ok(())
    }

    async fn receive_nothing(&mut self, actor: &str) -> Result<(), String> {
        self.pings += 1;
        let id = format!("nothing-{}", self.pings);
        let session = self.actor(actor)?;
        session.send(&format!("<iq type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")).await?;
        let mut came = session.next().await?;
        while came.is("r", NS_SM) {
            came = session.next().await?;
        }
        if came.attr("id") == Some(&id) { Ok(()) } else { Err(format!("expected nothing, got {came}")) }
    }

    pub async fn request(
        &self,
        caller: &str,
        method: &str,
        path: &str,
        media: Option<&str>,
        headers: &[String],
        body: &str,
    ) -> Result<Answer, String> {
        self.request_at(self.http()?, caller, method, path, media, headers, body).await
    }

    #[allow(clippy::too_many_arguments, reason = "they are the parts of a request")]
    async fn request_at(
        &self,
        address: SocketAddr,
        caller: &str,
        method: &str,
        path: &str,
        media: Option<&str>,
        headers: &[String],
        body: &str,
    ) -> Result<Answer, String> {
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        let socket = tokio::net::TcpStream::connect(address).await.map_err(|error| wrong(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| wrong(&error))?;
        tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(compare::fill(path, &self.names));
        // One that a scene names is in place of ours: there is only ever one.
        if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
            request = request.header("Host", address.to_string());
        }
        if let Some(media) = media {
            request = request.header("Content-Type", media);
        }
        if let Some(credential) = self.credential(caller)? {
            request = request.header("Authorization", credential);
        }
        for header in headers {
            let (name, value) = header.split_once(':').ok_or("header Name: value")?;
            request = request.header(name.trim(), compare::fill(value.trim(), &self.names));
        }
        let body = Bytes::from(compare::fill(body, &self.names));
        secrets::ears().overhear_json(&body);
        let request = request.body(Full::new(body)).map_err(|error| wrong(&error))?;
        let response = sender.send_request(request).await.map_err(|error| wrong(&error))?;
        let status = response.status().as_u16();
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let body = response.into_body().collect().await.map_err(|error| wrong(&error))?.to_bytes();
        secrets::ears().overhear_json(&body);
        if status >= 400 {
            secrets::ears().check("a problem", format!("{headers:?}").as_bytes())?;
            secrets::ears().check("a problem", &body)?;
        }
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub fn credential(&self, caller: &str) -> Result<Option<String>, String> {
        use base64::Engine as _;
        if caller == "nobody" {
            return Ok(None);
        }
        if let Some(name) = caller.strip_prefix("basic:") {
            let (name, password) = match name.split_once(':') {
                Some((name, password)) => (name, password.to_owned()),
                None => (name, format!("{name}-password")),
            };
            let pair = format!("{name}@localhost:{password}");
            return Ok(Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))));
        }
        let token = self.tokens.get(caller).ok_or_else(|| format!("{caller} has no token"))?;
        Ok(Some(format!("Bearer {token}")))
    }

    fn check_answer(&mut self, status: u16, headers: &[String], body: &str) -> Result<(), String> {
        let answer = self.answer.take().ok_or("nothing was asked")?;
        if answer.status != status {
            return Err(format!("expected status {status}, got {} {}", answer.status, answer.body));
        }
        for header in headers {
            let (name, expected) = header.split_once(':').ok_or("header Name: value")?;
            let found = answer.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            let (_, value) = found.ok_or_else(|| format!("no header {name}"))?;
            compare::text(expected.trim(), value, &mut self.names).map_err(|error| format!("{name}: {error}"))?;
        }
        if body.is_empty() {
            return Ok(());
        }
        match (serde_json::from_str::<Value>(body), serde_json::from_str::<Value>(&answer.body)) {
            (Ok(expected), Ok(came)) => compare::json(&expected, &came, &mut self.names)
                .map_err(|error| format!("{error}\n  got {}", answer.body)),
            _ => compare::text(body, answer.body.trim(), &mut self.names),
        }
    }

    pub fn server(&self) -> Result<&Running, String> {
        self.server.as_ref().ok_or_else(|| "no server".to_owned())
    }

    pub fn xmpp(&self) -> Result<SocketAddr, String> {
        self.door.ok_or_else(|| "no XMPP".to_owned())
    }

    pub fn http(&self) -> Result<SocketAddr, String> {
        self.server()?.addresses.http.ok_or_else(|| "no HTTP".to_owned())
    }

    pub fn components(&self) -> Result<SocketAddr, String> {
        self.server()?.addresses.component.ok_or_else(|| "no components".to_owned())
    }

    pub fn actor(&mut self, name: &str) -> Result<&mut Actor, String> {
        self.actors.get_mut(name).ok_or_else(|| format!("{name} is not connected"))
    }

    fn raw(&mut self, name: &str) -> Result<&mut Raw, String> {
        self.raws.get_mut(name).ok_or_else(|| format!("{name} is not connected"))
    }
}

/// A component's stanzas look like a client's, to be compared.
fn as_client(element: &Element) -> Element {
    let ns = if element.ns() == "jabber:component:accept" { "jabber:client" } else { element.ns() };
    let mut same = Element::new(element.name(), ns);
    for (ns, name, value) in element.attributes() {
        same.set_attr_ns(ns, name, value);
    }
    for node in element.nodes() {
        match node {
            Node::Element(child) => same.push(as_client(child)),
            Node::Text(text) => same.push_text(text.as_str()),
        }
    }
    same
}

/// Reads an expected stanza, which stands in a stream's default namespace.
fn stanza(xml: &str) -> Result<Element, String> {
    let framed = format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{xml}</stream:stream>"
    );
    let frame =
        parse_document(framed.as_bytes(), &Limits::authenticated()).map_err(|error| format!("{error}: {xml}"))?;
    let stanza = frame.children().next().ok_or("nothing is expected")?;
    Ok(compare::without_layout(stanza))
}

/// Settings of every scene: any ports, and passwords that are cheap to check.
const DEFAULTS: &[&str] = &[
    "xmpp.listen=127.0.0.1:0",
    "xmpp.listen_tls=127.0.0.1:0",
    "xmpp.listen_component=127.0.0.1:0",
    "http.listen=127.0.0.1:0",
    "admin.listen=127.0.0.1:0",
    "auth.scram_iterations=4096",
    // Who vanishes is soon taken for gone.
    "bosh.inactivity_seconds=1",
];
/// Stream management: a server may ask at any time what has come.
const NS_SM: &str = "urn:xmpp:sm:3";
const STEP_MAX: Duration = Duration::from_secs(60);
