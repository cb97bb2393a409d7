//! When accounts were here last (XEP-0012). Whoever may see an account's presence may know.

use super::Messaging;
use crate::im::Departure;
use crate::jid::{BareJid, Jid};
use crate::store::Failure;
use crate::xml::Element;
use crate::xmpp::{NS_CLIENT, Presence};

/// What is known of when an account was here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastActivity {
    /// It is not for whoever asks to know, whether there is such an account or not.
    Hidden,
    /// It is here.
    Now,
    /// It is not known to have been here.
    Never,
    Since(Departure),
}

impl Messaging {
    /// What somebody is told of an account of this server.
    pub async fn last_activity(&self, from: &Jid, of: &BareJid) -> Result<LastActivity, Failure> {
        let access = self.access(from, of).await?;
        if from.bare() != of && (access.refusal.is_some() || !access.shares) {
            return Ok(LastActivity::Hidden);
        }
        if self.shared.directory.is_here(of) {
            return Ok(LastActivity::Now);
        }
        Ok(self.store().departure(of.clone()).await?.map_or(LastActivity::Never, LastActivity::Since))
    }

    /// Remembers when an account went that is not available any more. In its turn.
    pub(super) async fn departed(&self, account: &BareJid, said: Option<&Presence>) {
        if !self.shared.directory.presences(account).is_empty() {
            return;
        }
        let status = said.and_then(|said| said.content.child("status", NS_CLIENT)).map(Element::text);
        let status = status.unwrap_or_default().chars().take(STATUS_CHARS_MAX).collect();
        let departure = Departure { at: self.shared.engine.clock().now(), status };
        if let Err(failure) = self.store().put_departure(account.clone(), departure).await {
            tracing::warn!(%failure, %account, "when an account went cannot be remembered");
        }
    }

    /// Waits until everybody who has left so far is known to have.
    pub async fn settled(&self) {
        self.shared.farewells.close();
        self.shared.farewells.wait().await;
    }
}

/// What is kept of the words of somebody who goes.
const STATUS_CHARS_MAX: usize = 1024;
