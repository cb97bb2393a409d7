//! A client's stream over HTTP requests (XEP-0124, XEP-0206): one request always waits, a second one
//! bears what the client has to say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tidings::xml::{Element, Limits, parse_document};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::scram::{self, Elements};
use crate::secrets;

pub struct Bosh {
    says: mpsc::Sender<Said>,
    hears: mpsc::Receiver<Result<Element, String>>,
}

enum Said {
    Payload(String),
    Restart,
    Terminate,
}

impl Bosh {
    pub async fn authenticate(address: SocketAddr, name: &str) -> Result<Bosh, String> {
        let rid = 1_573_741_820;
        let body = format!(
            "<body rid='{rid}' to='localhost' wait='60' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0' \
             xmlns:xmpp='urn:xmpp:xbosh' xmlns='{BIND}'/>"
        );
        let begun = post(address, body).await?;
        let sid = begun.attr("sid").ok_or_else(|| format!("no sid: {begun}"))?.to_owned();
        secrets::ears().keep(&sid);
        let (says, said) = mpsc::channel(64);
        let (heard, hears) = mpsc::channel(4096);
        tokio::spawn(run(Session { address, sid, rid, told: rid, heard }, said));
        let mut bosh = Bosh { says, hears };
        scram::authenticate(&mut bosh, address, name).await?;
        bosh.say(Said::Restart).await?;
        let features = bosh.next().await?;
        if features.name() == "features" { Ok(bosh) } else { Err(format!("expected features, got {features}")) }
    }

    pub async fn send(&mut self, xml: &str) -> Result<(), String> {
        let end = xml.trim() == "</stream:stream>";
        self.say(if end { Said::Terminate } else { Said::Payload(xml.to_owned()) }).await
    }

    pub async fn next(&mut self) -> Result<Element, String> {
        let next = tokio::time::timeout(PATIENCE, self.hears.recv()).await.map_err(|_| "nothing more came")?;
        next.unwrap_or_else(|| Err("the session is over".to_owned()))
    }

    async fn say(&self, said: Said) -> Result<(), String> {
        self.says.send(said).await.map_err(|_| "the session is over".to_owned())
    }
}

impl Elements for Bosh {
    async fn write(&mut self, xml: &str) -> Result<(), String> {
        self.send(xml).await
    }

    async fn element(&mut self) -> Result<Element, String> {
        self.next().await
    }
}

struct Session {
    address: SocketAddr,
    sid: String,
    /// Of the newest request, and of the newest answer that was passed on.
    rid: u64,
    told: u64,
    heard: mpsc::Sender<Result<Element, String>>,
}

type Asked = BoxFuture<'static, (u64, Result<Element, String>)>;

/// Asks and listens until the session is over, or nobody is interested.
async fn run(mut session: Session, mut said: mpsc::Receiver<Said>) {
    let mut asked: FuturesUnordered<Asked> = FuturesUnordered::new();
    let mut answers = BTreeMap::new();
    loop {
        if asked.is_empty() {
            let request = session.ask("", "").await;
            asked.push(request);
        }
        tokio::select! {
            next = said.recv(), if asked.len() < 2 => {
                let request = match next {
                    None => return,
                    Some(Said::Payload(xml)) => session.ask("", &xml).await,
                    Some(Said::Restart) => session.ask(RESTART, "").await,
                    Some(Said::Terminate) => session.ask(" type='terminate'", "").await,
                };
                asked.push(request);
            }
            Some((rid, answer)) = asked.next() => {
                answers.insert(rid, answer);
                while let Some(answer) = answers.remove(&(session.told + 1)) {
                    session.told += 1;
                    if session.pass_on(answer).await.is_none() {
                        return;
                    }
                }
            }
        }
    }
}

impl Session {
    async fn ask(&mut self, attributes: &str, payload: &str) -> Asked {
        self.rid += 1;
        let (rid, sid) = (self.rid, &self.sid);
        let body = format!("<body rid='{rid}' sid='{sid}' xmlns='{BIND}'{attributes}>{payload}</body>");
        let asked = ask(self.address, &body).await;
        Box::pin(async move {
            match asked {
                Ok(socket) => (rid, answer(socket).await),
                Err(error) => (rid, Err(error)),
            }
        })
    }

    /// Nothing when that was the last.
    async fn pass_on(&self, answer: Result<Element, String>) -> Option<()> {
        let body = match answer {
            Ok(body) => body,
            Err(error) => {
                let _ = self.heard.send(Err(error)).await;
                return None;
            }
        };
        for child in body.children() {
            self.heard.send(Ok(child.clone())).await.ok()?;
        }
        if body.attr("type") == Some("terminate") {
            let condition = body.attr("condition").unwrap_or("no condition");
            let _ = self.heard.send(Err(format!("the server ended the session: {condition}"))).await;
            return None;
        }
        Some(())
    }
}

async fn post(address: SocketAddr, body: String) -> Result<Element, String> {
    let asked = ask(address, &body).await?;
    answer(asked).await
}

/// Writes a request; whoever vanishes after it has said it.
async fn ask(address: SocketAddr, body: &str) -> Result<TcpStream, String> {
    let mut socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let length = body.len();
    let request = format!(
        "POST /http-bind HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml; charset=utf-8\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    Ok(socket)
}

async fn answer(mut socket: TcpStream) -> Result<Element, String> {
    let mut answer = Vec::new();
    loop {
        if socket.read_buf(&mut answer).await.map_err(|error| error.to_string())? == 0 {
            return Err(format!("the server closed the connection: {}", String::from_utf8_lossy(&answer)));
        }
        let Some((head, body)) = std::str::from_utf8(&answer).ok().and_then(|text| text.split_once("\r\n\r\n")) else {
            continue;
        };
        if !head.starts_with("HTTP/1.1 200") {
            return Err(head.to_owned());
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if length.is_none_or(|length: usize| body.len() < length) {
            continue;
        }
        return read(body);
    }
}

fn read(body: &str) -> Result<Element, String> {
    let limits = Limits { stanza_bytes: 16 << 20, elements: 1 << 20, ..Limits::authenticated() };
    parse_document(body.as_bytes(), &limits).map_err(|error| format!("{error:?}: {body}"))
}

const RESTART: &str = " to='localhost' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'";
const BIND: &str = "http://jabber.org/protocol/httpbind";
const PATIENCE: Duration = Duration::from_secs(20);
