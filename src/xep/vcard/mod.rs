//! XEP-0054: vcard-temp, of which nothing is kept: it is made of what an account has published, its
//! vCard4 (XEP-0292) and its avatar (XEP-0084), and what is set becomes these (XEP-0398). Who may read
//! those may read it.

mod convert;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::engine::{Answer, Engine, Wrong};
use crate::jid::BareJid;
use crate::payload;
use crate::pubsub::{
    Caller, Edge, ItemId, NewItem, NodeId, Page, Precondition, RawField, Refusal, Request, Selection, Verb, View,
};
use crate::xep::pubsub::errors;
use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Target, Work, bad_request};
use crate::xml::{Element, Limits, parse_document};
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 54,
    name: "vcard-temp",
    version: "1.3.0",
    features: &[Feature::always(NS_VCARD, &[Entity::Server, Entity::Account])],
    claims: &[
        Claim { name: "vCard", ns: NS_VCARD, kinds: &[RequestKind::Get], at: WHOSE, handler: retrieve },
        Claim { name: "vCard", ns: NS_VCARD, kinds: &[RequestKind::Set], at: WHOSE, handler: update },
    ],
};

pub(super) const CONVERSION: Extension = Extension {
    number: 398,
    name: "User Avatar to vCard-Based Avatars Conversion",
    version: "1.0.0",
    features: &[Feature::always("urn:xmpp:pep-vcard-conversion:0", &[Entity::Account])],
    claims: &[],
};

/// XEP-0054 §3.1, §3.3.
fn retrieve(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let nodes = Nodes::of(asked);
    let own = matches!(asked.target, Target::Account(_));
    Ok(Work::Wait(Box::pin(async move {
        let published = nodes.newest(NODE_VCARD4).await?;
        let photo = nodes.photo().await?;
        if published.is_none() && photo.is_none() && !own {
            // The same as of somebody who does not exist.
            return Err(StanzaError::new(Condition::ServiceUnavailable));
        }
        let vcard = published.map_or_else(|| Element::new("vCard", NS_VCARD), |card| convert::to_temp(&card));
        Ok(Body::Element(vcard.with_children(photo)))
    })))
}

/// XEP-0054 §3.2, XEP-0398 §3.2. An avatar stays where the card brings none: most clients that change a
/// name have never seen the picture.
fn update(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let photo = asked.element.child("PHOTO", NS_VCARD).filter(|photo| photo.child("BINVAL", NS_VCARD).is_some());
    let photo = photo.map(Picture::parse).transpose()?;
    let (nodes, card) = (Nodes::of(asked), convert::to_vcard4(&asked.element));
    Ok(Work::Wait(Box::pin(async move {
        if let Some(picture) = photo {
            nodes.publish(NODE_DATA, &picture.id, &picture.data()).await?;
            nodes.publish(NODE_METADATA, &picture.id, &picture.metadata()).await?;
        }
        nodes.publish(NODE_VCARD4, "current", &card).await?;
        Ok(Body::Empty)
    })))
}

/// The nodes of an account, as somebody may use them.
struct Nodes {
    engine: Engine,
    caller: Caller,
    service: BareJid,
}

impl Nodes {
    fn of(asked: &Asked<'_>) -> Self {
        let service = asked.target.service().clone();
        Nodes { engine: asked.engine.clone(), caller: asked.caller.clone(), service }
    }

    fn request(&self, verb: Verb) -> Request {
        Request { caller: self.caller.clone(), service: self.service.clone(), verb }
    }

    async fn newest(&self, node: &str) -> Result<Option<Element>, StanzaError> {
        self.item(node, Selection::Newest(1)).await
    }

    /// What an item holds; nothing where there is none, or none that the caller may read.
    async fn item(&self, node: &str, selection: Selection) -> Result<Option<Element>, StanzaError> {
        let Some(node) = NodeId::parse(node) else { return Ok(None) };
        let page = Page { max: 1, edge: Edge::First };
        let verb = Verb::Items { node, selection, page, view: View::default() };
        match self.engine.ask(self.request(verb)).await {
            Ok(answered) => {
                let Answer::Items { list, .. } = answered.answer else { return Ok(None) };
                let payload = list.entries.into_iter().next().and_then(|item| item.payload);
                Ok(payload.and_then(|payload| {
                    let limits = Limits { stanza_bytes: payload.xml.len(), ..Limits::authenticated() };
                    parse_document(&payload.xml, &limits).ok()
                }))
            }
            Err(Wrong::Refused(_)) => Ok(None),
            Err(wrong) => Err(errors::wrong(&wrong)),
        }
    }

    /// XEP-0398 §3.1.
    async fn photo(&self) -> Result<Option<Element>, StanzaError> {
        let Some(metadata) = self.newest(NODE_METADATA).await? else { return Ok(None) };
        let mut infos = metadata.children().filter(|info| info.is("info", NODE_METADATA));
        let Some(info) = infos.find(|info| info.attr("url").is_none()) else { return Ok(None) };
        let Some(id) = info.attr("id").and_then(ItemId::parse) else { return Ok(None) };
        let Some(data) = self.item(NODE_DATA, Selection::These(vec![id.clone()])).await? else { return Ok(None) };
        let picture = STANDARD.decode(unbroken(&data.text())).ok().filter(|picture| hash(picture) == id.as_str());
        Ok(picture.map(|picture| {
            let word = |name: &str, text: &str| Element::new(name, NS_VCARD).with_text(text);
            Element::new("PHOTO", NS_VCARD)
                .with_child(word("TYPE", info.attr("type").unwrap_or("image/png")))
                .with_child(word("BINVAL", &STANDARD.encode(picture)))
        }))
    }

    /// Anybody may read it, as it is with vcard-temp; where the node is there with another rule, that stays.
    async fn publish(&self, node: &str, id: &str, element: &Element) -> Result<(), StanzaError> {
        let payload = payload::from_element(element).map_err(|error| errors::invalid_payload(error.to_string()))?;
        let open = || {
            let values = vec!["open".to_owned()];
            vec![RawField { name: "pubsub#access_model".to_owned(), values }]
        };
        let publication = |options: Option<Vec<RawField>>| {
            let item =
                NewItem { id: ItemId::parse(id), payload: Some(payload.clone()), precondition: Precondition::None };
            let node = NodeId::parse(node).ok_or_else(|| StanzaError::new(Condition::InternalServerError))?;
            Ok(self.request(Verb::Publish { node, items: vec![item], options, create: false }))
        };
        let published = match self.engine.ask(publication(Some(open()))?).await {
            Err(Wrong::Refused(Refusal::OptionsMismatch { .. })) => self.engine.ask(publication(None)?).await,
            other => other,
        };
        published.map(|_| ()).map_err(|wrong| errors::wrong(&wrong))
    }
}

/// A picture that came in a vCard.
struct Picture {
    id: String,
    media: String,
    bytes: Vec<u8>,
}

impl Picture {
    fn parse(photo: &Element) -> Result<Self, StanzaError> {
        let text = |name: &str| photo.child(name, NS_VCARD).map(Element::text);
        let bytes = STANDARD.decode(unbroken(&text("BINVAL").unwrap_or_default()));
        let bytes = bytes.ok().filter(|bytes| !bytes.is_empty()).ok_or_else(|| bad_request("a photo that is none"))?;
        let media = text("TYPE").map(|media| media.trim().to_owned()).filter(|media| media.starts_with("image/"));
        let media = media.or_else(|| media_of(&bytes).map(str::to_owned));
        let media = media.ok_or_else(|| bad_request("a photo whose type is none of an image"))?;
        Ok(Picture { id: hash(&bytes), media, bytes })
    }

    fn data(&self) -> Element {
        Element::new("data", NODE_DATA).with_text(STANDARD.encode(&self.bytes))
    }

    fn metadata(&self) -> Element {
        let info = Element::new("info", NODE_METADATA)
            .with_attr("bytes", self.bytes.len().to_string())
            .with_attr("id", self.id.as_str())
            .with_attr("type", self.media.as_str());
        Element::new("metadata", NODE_METADATA).with_child(info)
    }
}

fn media_of(bytes: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 3] =
        [(b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif")];
    known.into_iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, media)| media)
}

fn hash(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Base64 as people break it into lines.
fn unbroken(text: &str) -> String {
    text.split_ascii_whitespace().collect()
}

/// Others are told that it is not for them to change.
const WHOSE: &[Entity] = &[Entity::Account, Entity::Contact];
const NS_VCARD: &str = "vcard-temp";
const NODE_VCARD4: &str = "urn:xmpp:vcard4";
const NODE_DATA: &str = "urn:xmpp:avatar:data";
const NODE_METADATA: &str = "urn:xmpp:avatar:metadata";
