//! Any requests in any order leave every node as it must be, while time passes, items and leases come due, people come
//! and go, and rosters change. The steps and the state are checked by [`World`] after each request; here are the
//! requests, and what only a whole history shows.

mod requests;

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use self::requests::{fields, reads, requests};
use super::world::check::ends_with_presence;
use super::world::{World, bare, raw, request};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Caller, Contact, Expire, Glob, ItemFact, Node, NodeAddress, NodeId, Precondition, RawField, Reply,
    Request, Role, SubId, Subscription, SubscriptionState, Template, Verb, WhoCreates,
};

proptest! {
    // What fails is shrunk and printed, and becomes a row of a golden table: no file of seeds is kept.
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// An owner remains, no node holds more than it may, versions and seqs have no gap, counts are true, the logs tell
    /// of every item and every child, and nobody is in the audience who may not read.
    // rows: 242, 420, 521, 527
    #[test]
    fn no_sequence_of_requests_breaks_a_node(service in services(), config in vec(fields(), 0..5), history in vec(steps(), 1..100)) {
        let mut world = service.world(config);
        for step in history {
            step.run(&mut world);
        }
    }

    /// An outcast, who has no subscription any more to end, changes nothing.
    // rows: 29, 555
    #[test]
    fn an_outcast_changes_nothing(config in vec(fields(), 0..5), history in vec(steps(), 1..40), last in requests()) {
        let mut world = Service::Generic.world(config);
        for step in history {
            step.run(&mut world);
        }
        let caller = last.caller.jid.bare().clone();
        let here = world.here();
        if here.affiliation(&caller) != Affiliation::Owner && here.node.present().is_some() {
            world.forget_subscriptions(&caller);
            world.here_mut().affiliations.insert(caller, Affiliation::Outcast);
            let administers = last.caller.role == Role::Admin;
            let elsewhere = last.verb.node() != Some(&super::world::node_id());
            if let Ok(decision) = world.ask(last) {
                prop_assert!(administers || elsewhere || decision.node.is_none());
            }
        }
    }

    /// What one may not read, one neither retrieves, follows nor subscribes to, whatever came before; one may ask an
    /// owner to be let in, where he wants to be asked.
    // rows: 34, 195, 556
    #[test]
    fn nobody_reads_who_may_not(service in services(), config in vec(fields(), 0..5), history in vec(steps(), 1..40), last in reads()) {
        let mut world = service.world(config);
        for step in history {
            step.run(&mut world);
        }
        let last = Request { service: world.policy.service.clone(), ..last };
        let place = world.at(last.verb.node());
        if let Some(node) = place.node.present() {
            let (who, role) = (last.caller.jid.bare().clone(), last.caller.role);
            let reads = world.knows(&place, &node.config, &who, role) && world.reads(&place, &node.config, &who, role);
            match world.ask(last).map(|decision| decision.reply) {
                Ok(Reply::Subscribed { subscription, send_last }) if subscription.state == SubscriptionState::Pending => {
                    prop_assert!(!send_last);
                }
                Ok(reply) => prop_assert!(reads, "{reply:?}"),
                Err(_) => {}
            }
        }
    }
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Ask(Request),
    /// What is due goes.
    Due,
    /// Somebody's last session ends.
    Gone(&'static str),
    /// The roster of the first is changed: whether the second sees him, and in which group.
    Roster(&'static str, &'static str, bool, &'static str),
}

/// After so many seconds.
#[derive(Clone, Debug)]
struct Timed(i64, Step);

fn steps() -> impl Strategy<Value = Timed> {
    let pauses = prop_oneof![12 => Just(0), 3 => 1_i64..4, 1 => Just(3600), 1 => Just(90_000)];
    let people = || prop::sample::select(vec!["hamlet", "juliet", "romeo"]);
    let step = prop_oneof![
        24 => requests().prop_map(Step::Ask),
        2 => Just(Step::Due),
        1 => people().prop_map(Step::Gone),
        1 => (people(), people(), any::<bool>(), prop::sample::select(vec!["Friends", "Foes"]))
            .prop_map(|(of, who, sees, group)| Step::Roster(of, who, sees, group)),
    ];
    (pauses, step).prop_map(|(pause, step)| Timed(pause, step))
}

impl Timed {
    fn run(self, world: &mut World) {
        let Timed(pause, step) = self;
        world.now(world.clock().plus_seconds(pause).0);
        match step {
            Step::Ask(request) => {
                let _ = world.ask(soon(request, world));
            }
            Step::Due => due(world),
            Step::Gone(who) => gone(world, &bare(who)),
            Step::Roster(of, who, sees, group) => {
                let contact = Contact { to: true, from: sees, groups: vec![group.into()] };
                world.rosters.insert((bare(of), bare(who)), contact);
            }
        }
    }
}

/// The request, as this service is asked, with its leases reckoned from now on and the subscription put in that there is.
fn soon(mut request: Request, world: &World) -> Request {
    request.service = world.policy.service.clone();
    let subscriptions = world.at(request.verb.node()).subscriptions;
    if let Verb::Approve { jid, .. } = &mut request.verb
        && let Some(waiting) = subscriptions.iter().find(|one| one.state == SubscriptionState::Pending)
    {
        *jid = waiting.jid.clone();
    }
    let standing = |wanted: &Jid| subscriptions.iter().find(|one| one.jid == *wanted);
    let put_in = |jid: &Jid, subid: &mut SubId| {
        if let Some(standing) = standing(jid).filter(|_| subid.as_str() == "?") {
            *subid = standing.subid.clone();
        }
    };
    match &mut request.verb {
        Verb::Lapse { jid, subid, .. } => put_in(jid, subid),
        Verb::Unsubscribe { jid, subid: Some(subid), .. }
        | Verb::Options { jid, subid: Some(subid), .. }
        | Verb::Approve { jid, subid: Some(subid), .. }
        | Verb::SetOptions { jid, subid: Some(subid), .. } => put_in(jid, subid),
        Verb::SetSubscriptions { changes, .. } => {
            for (jid, subid, _) in changes {
                subid.iter_mut().for_each(|subid| put_in(jid, subid));
            }
        }
        _ => {}
    }
    let options = match &mut request.verb {
        Verb::Subscribe { options: Some(options), .. } | Verb::SetOptions { options, .. } => options.as_mut_slice(),
        _ => &mut [],
    };
    for value in options.iter_mut().flat_map(|option| &mut option.values) {
        if let Some(seconds) = value.strip_prefix('+') {
            *value = world.clock().plus_seconds(seconds.parse().unwrap()).to_string();
        }
    }
    request
}

/// The service asks by itself, as `engine/due.rs` and `delivery/leases.rs` do.
fn by_service(world: &mut World, verb: Verb) {
    let caller = Caller { jid: world.policy.service.clone().into(), role: Role::Admin };
    let request = Request { caller, service: world.policy.service.clone(), verb };
    world.ask(request).expect("the service may do what is due");
}

/// Items and leases whose time has come go, and nothing that was due stays.
fn due(world: &mut World) {
    let now = world.clock();
    let items = |world: &World| -> Vec<NodeAddress> {
        let due = |node: &Node, fact: &ItemFact| {
            node.config.item_expire.is_some_and(|seconds| fact.published.0 + 1_000_000 * seconds as i64 <= now.0)
        };
        let nodes = world.present().into_iter();
        let nodes = nodes.filter(|(place, node)| place.items.values().any(|fact| due(node, fact)));
        nodes.map(|(_, node)| node.address.clone()).collect()
    };
    for address in items(world) {
        by_service(world, Verb::Expire { node: address.node });
    }
    assert_eq!(items(world), [], "items that are due stay");
    let over = |_: &Node, one: &Subscription| matches!(one.options.expire, Expire::At(end) if end <= now);
    lapse(world, &over);
}

/// What was to last as long as somebody is there goes with him.
fn gone(world: &mut World, who: &BareJid) {
    lapse(world, &|node, subscription| ends_with_presence(node, subscription, who));
    let passing = |world: &World| -> Vec<(Node, ItemFact)> {
        let nodes = world.present().into_iter().filter(|(_, node)| node.config.purge_offline);
        let items = nodes.flat_map(|(place, node)| place.items.values().map(move |fact| (node.clone(), fact.clone())));
        items.filter(|(_, fact)| fact.publisher == *who).collect()
    };
    for (node, fact) in passing(world) {
        let precondition = Precondition::At(node.key, fact.seq);
        by_service(world, Verb::Retract { node: node.address.node, items: vec![fact.id], notify: None, precondition });
    }
    assert_eq!(passing(world), [], "items stay whose publisher has gone");
}

fn lapse(world: &mut World, over: &dyn Fn(&Node, &Subscription) -> bool) {
    let found = |world: &World| -> Vec<(NodeAddress, Subscription)> {
        let all = world
            .present()
            .into_iter()
            .flat_map(|(place, node)| place.subscriptions.iter().map(move |one| (node, one)));
        all.filter(|(node, one)| over(node, one)).map(|(node, one)| (node.address.clone(), one.clone())).collect()
    };
    for (address, one) in found(world) {
        by_service(world, Verb::Lapse { node: address.node, jid: one.jid, subid: one.subid });
    }
    assert_eq!(found(world), [], "subscriptions stay whose time has come");
}

/// The services that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// Accounts make nodes, but for one name.
    Generic,
    /// Nodes are made by publishing, a JID has several subscriptions, some names begin otherwise, few nodes are held.
    Liberal,
    /// Administrators make nodes.
    Strict,
    /// Hamlet's account (XEP-0163).
    Personal,
}

fn services() -> impl Strategy<Value = Service> {
    prop_oneof![
        3 => Just(Service::Generic),
        3 => Just(Service::Liberal),
        1 => Just(Service::Strict),
        2 => Just(Service::Personal),
    ]
}

impl Service {
    /// A leaf, set so as far as it may be, a collection of its owner and one of romeo's are there. Of hamlet's friends, romeo sees him, and juliet
    /// does not.
    fn world(self, config: Vec<RawField>) -> World {
        let mut world = World::new();
        (world.policy.parents_max, world.policy.children_max) = (2, 2);
        let mut maker = ("hamlet/pc", Role::Account);
        match self {
            Service::Generic => {
                world.policy.templates = template("t", vec![Glob("juliet@d".into())], vec![raw("title", "hers")]);
            }
            Service::Liberal => {
                world.policy.auto_create = true;
                (world.policy.parents_max, world.policy.children_max) = (1, 1);
                world.policy.subscriptions.multi_subscribe = true;
                world.policy.subscriptions.lease_seconds_max = 5000;
                let config = vec![raw("max_items", "2"), raw("access_model", "authorize")];
                world.policy.templates = template("t", Vec::new(), config);
            }
            Service::Strict => {
                world.policy.who_creates = WhoCreates::Admins;
                maker = ("root/pc", Role::Admin);
            }
            Service::Personal => {
                world.policy.who_creates = WhoCreates::Itself;
                world.policy.auto_create = true;
                world.policy.service = bare("hamlet");
            }
        }
        let contact = |from| Contact { to: true, from, groups: vec!["Friends".into()] };
        let rosters = [("romeo", true), ("juliet", false)];
        world.rosters = rosters.map(|(who, from)| ((bare("hamlet"), bare(who)), contact(from))).into();
        let collection = if self == Service::Personal { "leaf" } else { "collection" };
        for (name, kind) in [("n", "leaf"), ("m", collection), ("c", collection)] {
            if let ("c", Service::Generic | Service::Liberal) = (name, self) {
                maker.0 = "romeo/pc";
            }
            let verb = Verb::Create { node: NodeId::parse(name), config: vec![raw("node_type", kind)] };
            let made = Request { service: world.policy.service.clone(), ..request(maker.0, maker.1, verb) };
            world.ask(made).expect("a node is made");
        }
        for field in config {
            let verb = Verb::Configure { node: super::world::node_id(), config: vec![field] };
            let _ =
                world.ask(Request { service: world.policy.service.clone(), ..request("root/pc", Role::Admin, verb) });
        }
        world
    }
}

fn template(name: &str, creators: Vec<Glob>, config: Vec<RawField>) -> Arc<[Template]> {
    [Template { matching: Glob(name.into()), creators, auto_create: true, config }].into()
}
