//! The hash of an account's avatar, which its presence bears for those who know vCards alone (XEP-0398
//! §4, XEP-0153).

use super::Messaging;
use crate::jid::BareJid;
use crate::pubsub::NodeId;
use crate::store::Failure;
use crate::xml::Element;
use crate::xmpp::{Presence as Stanza, PresenceType};

impl Messaging {
    /// The presence as others are told it. A client that says that it has no avatar, or that the account
    /// shall show none, has its way.
    pub(super) async fn with_avatar(&self, own: &BareJid, mut stanza: Stanza) -> Result<Stanza, Failure> {
        if stanza.kind != PresenceType::Available || has_no_photo(&stanza.content) {
            return Ok(stanza);
        }
        if let Some(hash) = self.avatar(own).await? {
            stanza.content.retain_children(|child| !child.is("x", NS_UPDATE));
            let photo = Element::new("photo", NS_UPDATE).with_text(hash);
            stanza.content.push(Element::new("x", NS_UPDATE).with_child(photo));
        }
        Ok(stanza)
    }

    /// The item of the avatar that is shown now is named by its hash (XEP-0084 §4.2).
    async fn avatar(&self, own: &BareJid) -> Result<Option<String>, Failure> {
        let Some(node) = NodeId::parse("urn:xmpp:avatar:metadata") else { return Ok(None) };
        let found = self.store().read_personal(vec![own.clone()], vec![node]).await?;
        let item = found.into_iter().next().and_then(|(_, item)| item);
        Ok(item.and_then(|item| {
            let shows = item.payload.is_some_and(|payload| payload.xml.windows(5).any(|part| part == b"<info"));
            let id = item.fact.id.as_str();
            let is_hash = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            (shows && is_hash).then(|| id.to_owned())
        }))
    }
}

fn has_no_photo(content: &Element) -> bool {
    let photo = content.child("x", NS_UPDATE).and_then(|x| x.child("photo", NS_UPDATE));
    photo.is_some_and(|photo| photo.text().trim().is_empty())
}

const NS_UPDATE: &str = "vcard-temp:x:update";
