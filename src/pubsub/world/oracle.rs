//! Who knows of a node, reads it, and may make one: said a second time, in plain words and from all that the world
//! knows, so that the rules are held to something that is not themselves.

use super::{Place, World};
use crate::jid::BareJid;
use crate::pubsub::{AccessModel, Affiliation, NodeConfig, NodeId, Role, SubscriptionState, WhoCreates};

impl World {
    /// A hidden node is there for administrators, and for whoever is affiliated or subscribed, or waits to be.
    pub(in crate::pubsub) fn knows(&self, place: &Place, config: &NodeConfig, who: &BareJid, role: Role) -> bool {
        match place.affiliation(who) {
            _ if role == Role::Admin || !config.hidden => true,
            Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly | Affiliation::Member => true,
            Affiliation::Outcast => false,
            Affiliation::None => place.subscriptions.iter().any(|one| one.jid.bare() == who),
        }
    }

    /// Those who are affiliated read, but for those who only publish; of others the access model decides.
    pub(in crate::pubsub) fn reads(&self, place: &Place, config: &NodeConfig, who: &BareJid, role: Role) -> bool {
        let mut own = place.subscriptions.iter().filter(|one| one.jid.bare() == who);
        let approved = own.any(|one| one.state == SubscriptionState::Subscribed);
        match (place.affiliation(who), config.access_model) {
            _ if role == Role::Admin => true,
            (Affiliation::Owner | Affiliation::Publisher | Affiliation::Member, _) => true,
            (Affiliation::PublishOnly | Affiliation::Outcast, _) => false,
            (Affiliation::None, AccessModel::Open) => true,
            (Affiliation::None, AccessModel::Presence) => self.sees(place, who, &|_| true),
            (Affiliation::None, AccessModel::Roster) => {
                self.sees(place, who, &|group| config.roster_groups_allowed.iter().any(|allowed| **allowed == *group))
            }
            (Affiliation::None, AccessModel::Authorize) => approved,
            (Affiliation::None, AccessModel::Whitelist) => false,
        }
    }

    /// Whether the account, or an owner of the node, lets somebody see its presence, as one of such a group; without
    /// groups where any will do.
    fn sees(&self, place: &Place, who: &BareJid, allowed: &dyn Fn(&str) -> bool) -> bool {
        let any = allowed("");
        self.rosters.iter().any(|((of, contact), entry)| {
            let counts = match self.policy.is_personal() {
                true => *of == self.policy.service,
                false => place.affiliation(of) == Affiliation::Owner,
            };
            counts && contact == who && entry.from && (any || entry.groups.iter().any(|group| allowed(group)))
        })
    }

    pub(super) fn may_make(&self, name: Option<&NodeId>, who: &BareJid, role: Role) -> bool {
        let matching = |name: &NodeId| self.policy.templates.iter().find(|one| one.matching.matches(name.as_str()));
        let creators = name.and_then(matching).map(|template| &*template.creators).unwrap_or_default();
        let listed = creators.iter().any(|creator| creator.matches(who.as_str()));
        match self.policy.who_creates {
            _ if listed => true,
            _ if !creators.is_empty() && role != Role::Admin => false,
            WhoCreates::Itself => *who == self.policy.service,
            WhoCreates::Admins => role == Role::Admin,
            WhoCreates::Accounts => role != Role::Stranger,
            WhoCreates::Anyone => true,
        }
    }
}
