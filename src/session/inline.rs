//! What a peer asks for with its authentication by SASL2: a session of before (XEP-0198), a resource
//! (XEP-0386), a token (XEP-0484).

use super::negotiate::{Negotiation, enable_sm, fresh_name};
use super::resumption::Refused;
use crate::jid::BareJid;
use crate::stream::{
    Bind2, BindRefusal, Bound, Enable, FastToken, Inline, InlineAsk, Inlined, Input, Mechanism, Resume, Resumed,
    SmRefusal, StreamError,
};

impl Negotiation {
    pub(super) async fn inline(&mut self, ask: InlineAsk) -> Input {
        let InlineAsk { account, inline } = ask;
        let resumed = match self.resume_inline(&account, inline.resume.as_ref()).await {
            Ok(resumed) => resumed,
            Err(error) => return Input::Malformed(error),
        };
        // XEP-0386 §3.2: a resumed session has a resource.
        let bind = inline.bind.as_ref().filter(|_| !matches!(resumed, Some(Ok(_))));
        let bound = match bind {
            Some(bind) => Some(self.bind_inline(&account, bind, inline.client.as_deref()).await),
            None => None,
        };
        // Nobody who is turned away gets a token.
        let token = match &bound {
            Some(Err(_)) => None,
            _ => self.issue_token(&inline).await,
        };
        Input::Inlined(Box::new(Inlined { resumed, bound, token }))
    }

    /// XEP-0198 §9; an error is one of the stream.
    async fn resume_inline(
        &mut self,
        account: &BareJid,
        wanted: Option<&Result<Resume, SmRefusal>>,
    ) -> Result<Option<Result<Resumed, SmRefusal>>, StreamError> {
        let Some(wanted) = wanted else { return Ok(None) };
        let found = match wanted {
            Ok(Resume { previd, h }) => self.find(account, previd, *h).await.map(|found| (previd.clone(), found)),
            Err(refusal) => Err(Refused::Sm(*refusal)),
        };
        match found {
            Ok((previd, (jid, h))) => Ok(Some(Ok(Resumed { jid, previd, h }))),
            Err(Refused::Sm(refusal)) => Ok(Some(Err(refusal))),
            Err(Refused::FalseAck(false_ack)) => Err(false_ack.error()),
        }
    }

    /// XEP-0386 §3.2.1: the client's tag, and a name that stays the same for the same installation, so
    /// that its new session takes the place of the one before.
    async fn bind_inline(
        &mut self,
        account: &BareJid,
        bind: &Bind2,
        client: Option<&str>,
    ) -> Result<Bound, BindRefusal> {
        let name = client.map_or_else(fresh_name, |client| self.shared.access.client_name(account, client));
        let tagged = bind.tag.as_ref().and_then(|tag| account.with_resource(&format!("{tag}/{name}")).ok());
        let full = match tagged {
            Some(full) => full,
            // What cannot be part of an address is left away.
            None => account.with_resource(&name).map_err(|_| BindRefusal::BadRequest)?,
        };
        let jid = self.take(full)?;
        self.inactive = bind.inactive && self.shared.options.stream.client_state;
        let mut elements = self.shared.router.begin_with(&jid, client.map(|_| &*name), &bind.features).await;
        if let Some(Enable { resume, max }) = bind.enable {
            let managed = enable_sm(&self.shared, account, resume, max);
            elements.push(managed.enabled());
            self.managed = Some(managed);
        }
        Ok(Bound { jid, managed: self.managed.is_some(), elements })
    }

    /// A token where one was asked for (XEP-0484 §3.3), or where the one that was used is due to be
    /// replaced (§3.5). A client that did not say which installation it is gets none (§4.1), nor does one
    /// that has come by a token that was lent to it.
    async fn issue_token(&mut self, inline: &Inline) -> Option<FastToken> {
        let due = self.token_due.take();
        let mechanism: Mechanism = inline.request_token.or(due)?;
        let (client, login) = (inline.client.as_deref()?, self.login.as_ref()?);
        match self.shared.access.issue_fast(login, client, mechanism.name()).await {
            Ok(issued) => issued.map(|issued| FastToken { token: issued.text, expiry: issued.expires }),
            Err(failure) => {
                tracing::warn!(%failure, "no token could be issued; the client goes on without");
                None
            }
        }
    }
}
