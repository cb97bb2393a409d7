//! What a peer asks for with its authentication by SASL2: a resource (XEP-0386), a token (XEP-0484).

use super::negotiate::{Negotiation, fresh_name};
use crate::jid::BareJid;
use crate::stream::{Bind2, BindRefusal, Bound, FastToken, Inline, InlineAsk, Inlined, Input, Mechanism};

impl Negotiation {
    pub(super) async fn inline(&mut self, ask: InlineAsk) -> Input {
        let InlineAsk { account, inline } = ask;
        let bound = inline.bind.as_ref().map(|bind| self.bind_inline(&account, bind, inline.client.as_deref()));
        // Nobody who is turned away gets a token.
        let token = match &bound {
            Some(Err(_)) => None,
            _ => self.issue_token(&inline).await,
        };
        Input::Inlined(Box::new(Inlined { bound, token }))
    }

    /// XEP-0386 §3.2.1: the client's tag, and a name that stays the same for the same installation, so
    /// that its new session takes the place of the one before.
    fn bind_inline(&mut self, account: &BareJid, bind: &Bind2, client: Option<&str>) -> Result<Bound, BindRefusal> {
        let name = client.map_or_else(fresh_name, |client| self.shared.access.client_name(account, client));
        let tagged = bind.tag.as_ref().and_then(|tag| account.with_resource(&format!("{tag}/{name}")).ok());
        let full = match tagged {
            Some(full) => full,
            // What cannot be part of an address is left away.
            None => account.with_resource(&name).map_err(|_| BindRefusal::BadRequest)?,
        };
        let jid = self.take(full)?;
        Ok(Bound { jid, elements: Vec::new() })
    }

    /// A token where one was asked for (XEP-0484 §3.3), or where the one that was used is due to be
    /// replaced (§3.5). A client that did not say which installation it is gets none (§4.1).
    async fn issue_token(&mut self, inline: &Inline) -> Option<FastToken> {
        let due = self.token_due.take();
        let mechanism: Mechanism = inline.request_token.or(due)?;
        let (client, login) = (inline.client.as_deref()?, self.login.as_ref()?);
        match self.shared.access.issue_fast(login, client, mechanism.name()).await {
            Ok(issued) => Some(FastToken { token: issued.text, expiry: issued.expires }),
            Err(failure) => {
                tracing::warn!(%failure, "no token could be issued; the client goes on without");
                None
            }
        }
    }
}
