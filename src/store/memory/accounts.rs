//! Accounts, and the tokens of each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::jid::BareJid;
use crate::store::{Account, AccountTotals, FastToken, Token};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Accounts {
    accounts: BTreeMap<BareJid, Account>,
    looks: HashMap<String, BTreeSet<BareJid>>,
    tokens: BTreeMap<String, Token>,
    /// By account, then client.
    fast_tokens: BTreeMap<BareJid, BTreeMap<String, Vec<FastToken>>>,
}

impl Accounts {
    pub fn get(&self, jid: &BareJid) -> Option<Account> {
        self.accounts.get(jid).cloned()
    }

    pub fn has(&self, jid: &BareJid) -> bool {
        self.accounts.contains_key(jid)
    }

    pub fn put(&mut self, accounts: Vec<Account>) {
        for account in accounts {
            self.looks.entry(account.jid.look()).or_default().insert(account.jid.clone());
            self.accounts.insert(account.jid.clone(), account);
        }
    }

    /// Whether there was one.
    pub fn remove(&mut self, jid: &BareJid) -> bool {
        self.tokens.retain(|_, token| token.account != *jid);
        self.fast_tokens.remove(jid);
        if let Some(alike) = self.looks.get_mut(&jid.look()) {
            alike.remove(jid);
        }
        self.accounts.remove(jid).is_some()
    }

    pub fn list(&self, after: Option<&BareJid>, max: usize) -> Vec<Account> {
        let mut accounts: Vec<Account> = self.accounts.values().cloned().collect();
        accounts.sort_by(|one, other| one.jid.as_str().cmp(other.jid.as_str()));
        let after = after.map(BareJid::as_str);
        accounts.into_iter().filter(|account| after < Some(account.jid.as_str())).take(max).collect()
    }

    pub fn like(&self, jid: &BareJid, max: usize) -> Vec<BareJid> {
        let others = self.looks.get(&jid.look()).into_iter().flatten();
        others.filter(|other| *other != jid).take(max).cloned().collect()
    }

    pub fn totals(&self) -> AccountTotals {
        let count =
            |wanted: &dyn Fn(&Account) -> bool| self.accounts.values().filter(|account| wanted(account)).count() as u64;
        AccountTotals {
            accounts: count(&|_| true),
            disabled: count(&|account| account.disabled),
            admins: count(&|account| account.admin && !account.disabled),
        }
    }

    pub fn token(&self, id: &str) -> Option<Token> {
        self.tokens.get(id).cloned()
    }

    pub fn put_token(&mut self, token: Token) {
        self.tokens.insert(token.id.clone(), token);
    }

    pub fn remove_token(&mut self, id: &str) -> bool {
        self.tokens.remove(id).is_some()
    }

    pub fn tokens(&self, account: Option<&BareJid>) -> Vec<Token> {
        let of = |token: &&Token| account.is_none_or(|account| token.account == *account);
        self.tokens.values().filter(of).cloned().collect()
    }

    pub fn touch_token(&mut self, id: &str, used: Timestamp) {
        if let Some(token) = self.tokens.get_mut(id) {
            token.last_used = Some(used);
        }
    }

    pub fn fast_tokens(&self, account: &BareJid, client: &str) -> Vec<FastToken> {
        let found = self.fast_tokens.get(account).and_then(|clients| clients.get(client));
        found.cloned().unwrap_or_default()
    }

    pub fn put_fast_tokens(
        &mut self,
        account: BareJid,
        client: String,
        mut tokens: Vec<FastToken>,
        clients_max: usize,
    ) {
        let clients = self.fast_tokens.entry(account).or_default();
        tokens.sort_by_key(|token| token.used);
        clients.insert(client, tokens);
        clients.retain(|_, tokens| !tokens.is_empty());
        while clients.len() > clients_max {
            let issued = |tokens: &Vec<FastToken>| tokens.iter().map(|token| token.issued).max();
            let oldest = clients.iter().min_by_key(|(name, tokens)| (issued(tokens), Reverse(*name)));
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            clients.remove(&oldest);
        }
    }

    pub fn remove_fast_tokens(&mut self, account: &BareJid) {
        self.fast_tokens.remove(account);
    }
}
