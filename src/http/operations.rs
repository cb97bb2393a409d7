//! The table of the API: every path and method, what it takes and what it answers. `routes` allows the
//! methods that stand here and no others, and `openapi` makes the document of it, so that a route
//! without a row cannot be reached and a row without a route is found by the tests.

use crate::http::path::{HookPlace, What};

/// One method of one path.
pub(super) struct Operation {
    /// The path of the default service; the same stands under `/v1/services/{service}`.
    pub(super) template: &'static str,
    pub(super) method: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// Names of [`QUERY`].
    pub(super) query: &'static [&'static str],
    /// Names of [`HEADERS`].
    pub(super) headers: &'static [&'static str],
    pub(super) body: &'static [Content],
    pub(super) answers: &'static [Answer],
}

/// What a body is, by its media type; the schema by its name among those of the document.
pub(super) struct Content(pub(super) &'static str, pub(super) &'static str);

/// A success. What fails is a problem, whatever it is.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) what: &'static str,
    pub(super) content: &'static [Content],
}

/// A parameter: its name, its JSON Schema, and what it means.
pub(super) struct Parameter(pub(super) &'static str, pub(super) &'static str, pub(super) &'static str);

/// The template of a place. A new place has no methods until it has rows below.
pub(super) fn template(what: &What) -> &'static str {
    match what {
        What::Tickets => TICKETS,
        What::Watch => WATCH,
        What::Nodes => NODES,
        What::Node(_) => NODE,
        What::Items(_) => ITEMS,
        What::Batch(_) => BATCH,
        What::Item(..) => ITEM,
        What::Subscriptions(_) => SUBSCRIPTIONS,
        What::Subscription(..) => SUBSCRIPTION,
        What::Affiliations(_) => AFFILIATIONS,
        What::Webhooks(_, HookPlace::All) => WEBHOOKS,
        What::Webhooks(_, HookPlace::One(_)) => WEBHOOK,
        What::Webhooks(_, HookPlace::Dead(_)) => WEBHOOK_DEAD,
        What::Webhooks(_, HookPlace::Replay(_)) => WEBHOOK_REPLAY,
        What::WebhookKeys => WEBHOOK_KEYS,
        What::Hook(_) => HOOK,
    }
}

pub(super) fn methods(what: &What) -> impl Iterator<Item = &'static str> {
    let template = template(what);
    OPERATIONS.iter().filter(move |row| row.template == template).map(|row| row.method)
}

const TICKETS: &str = "/v1/tickets";
const WATCH: &str = "/v1/watch";
const NODES: &str = "/v1/nodes";
const NODE: &str = "/v1/nodes/{node}";
const ITEMS: &str = "/v1/nodes/{node}/items";
const BATCH: &str = "/v1/nodes/{node}/items:batch";
const ITEM: &str = "/v1/nodes/{node}/items/{id}";
const SUBSCRIPTIONS: &str = "/v1/nodes/{node}/subscriptions";
const SUBSCRIPTION: &str = "/v1/nodes/{node}/subscriptions/{jid}";
const AFFILIATIONS: &str = "/v1/nodes/{node}/affiliations";
const WEBHOOKS: &str = "/v1/nodes/{node}/webhooks";
const WEBHOOK: &str = "/v1/nodes/{node}/webhooks/{id}";
const WEBHOOK_DEAD: &str = "/v1/nodes/{node}/webhooks/{id}/dead";
const WEBHOOK_REPLAY: &str = "/v1/nodes/{node}/webhooks/{id}/replay";
const WEBHOOK_KEYS: &str = "/v1/webhooks/keys";
const HOOK: &str = "/v1/hooks/{id}";

/// Those of the server as a whole: they stand under no service, and take no credentials.
pub(super) const OPEN: &[&str] = &[WEBHOOK_KEYS, HOOK];

const JSON: &str = "application/json";

const fn answer(status: &'static str, what: &'static str, content: &'static [Content]) -> Answer {
    Answer { status, what, content }
}

const DONE: Answer = answer("204", "It is done.", &[]);
const PUBLISHED_NEW: Answer = answer("201", "A new item, committed.", &[Content(JSON, "Published")]);
const PUBLISHED_OVER: Answer = answer("200", "The item was replaced; committed.", &[Content(JSON, "Published")]);
const SUBSCRIBED: Answer = answer("200", "The subscription as it is.", &[Content(JSON, "Subscription")]);
const PAYLOADS: &[Content] = &[
    Content(JSON, "Anything"),
    Content("text/plain", "Text"),
    Content("application/xml", "Xml"),
    Content("application/atom+xml", "Xml"),
    Content("application/cloudevents+json", "CloudEvent"),
];

/// An event is an envelope, which no sender of webhooks uses.
const HOOKED: &[Content] = &[
    Content(JSON, "Anything"),
    Content("text/plain", "Text"),
    Content("application/xml", "Xml"),
    Content("application/atom+xml", "Xml"),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        template: TICKETS,
        method: "POST",
        id: "issueTicket",
        summary: "A ticket for a watch whose URL is all that a browser can set. Good once.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "TicketWish")],
        answers: &[answer("201", "The ticket.", &[Content(JSON, "Ticket")])],
    },
    Operation {
        template: WATCH,
        method: "GET",
        id: "watchNodes",
        summary: "Watch several nodes on one stream, with one cursor.",
        query: &["node", "since", "initial", "types", "timeout", "wait", "ticket"],
        headers: &["Last-Event-ID", "Prefer"],
        body: &[],
        answers: WATCHED,
    },
    Operation {
        template: NODES,
        method: "GET",
        id: "listNodes",
        summary: "The nodes that the caller may know of.",
        query: &["limit", "after", "before"],
        headers: &[],
        body: &[],
        answers: &[answer("200", "A page of nodes.", &[Content(JSON, "Nodes")])],
    },
    Operation {
        template: NODE,
        method: "GET",
        id: "showNode",
        summary: "A node and its configuration, as far as the caller may see it.",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[answer("200", "The node.", &[Content(JSON, "Node")])],
    },
    Operation {
        template: NODE,
        method: "PUT",
        id: "createNode",
        summary: "Create a node, or set the configuration of one that is there.",
        query: &[],
        headers: &["If-None-Match"],
        body: &[Content(JSON, "Config")],
        answers: &[
            answer("201", "The node was created.", &[Content(JSON, "Node")]),
            answer("200", "The node was there, and is configured so.", &[Content(JSON, "Node")]),
        ],
    },
    Operation {
        template: NODE,
        method: "PATCH",
        id: "configureNode",
        summary: "Change some fields of the configuration.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "Config"), Content("application/merge-patch+json", "Config")],
        answers: &[answer("200", "The node as it is now.", &[Content(JSON, "Node")])],
    },
    Operation {
        template: NODE,
        method: "DELETE",
        id: "deleteNode",
        summary: "Delete a node with all that it has.",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[DONE],
    },
    Operation {
        template: ITEMS,
        method: "GET",
        id: "listOrWatchItems",
        summary: "The current items; with watch=true, what happens to them from now on.",
        query: &[
            "limit", "after", "before", "order", "watch", "since", "initial", "types", "timeout", "wait", "ticket",
        ],
        headers: &["Last-Event-ID", "Prefer"],
        body: &[],
        answers: LISTED,
    },
    Operation {
        template: ITEMS,
        method: "POST",
        id: "publish",
        summary: "Publish an item under an id that the server makes.",
        query: &["create", "item"],
        headers: &["Idempotency-Key"],
        body: PAYLOADS,
        answers: &[PUBLISHED_NEW, PUBLISHED_OVER],
    },
    Operation {
        template: ITEMS,
        method: "DELETE",
        id: "purge",
        summary: "Remove all items.",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[DONE],
    },
    Operation {
        template: BATCH,
        method: "POST",
        id: "publishBatch",
        summary: "Publish several items: all or none (JSON), or line by line (NDJSON).",
        query: &["create", "item"],
        headers: &["Idempotency-Key"],
        body: &[
            Content(JSON, "Batch"),
            Content("application/x-ndjson", "Text"),
            Content("application/cloudevents-batch+json", "CloudEvents"),
        ],
        answers: &[
            answer("201", "All are committed, and there are new ones.", &[Content(JSON, "PublishedBatch")]),
            answer(
                "200",
                "All were there and are replaced; or a line for each line.",
                &[Content(JSON, "PublishedBatch"), Content("application/x-ndjson", "Text")],
            ),
        ],
    },
    Operation {
        template: ITEM,
        method: "GET",
        id: "showItem",
        summary: "The payload of an item, as it was published or as JSON.",
        query: &[],
        headers: &["If-None-Match"],
        body: &[],
        answers: &[
            answer(
                "200",
                "The payload.",
                &[
                    Content(JSON, "Anything"),
                    Content("text/plain", "Text"),
                    Content("application/xml", "Xml"),
                    Content("application/atom+xml", "Xml"),
                ],
            ),
            answer("204", "The item has no payload.", &[]),
            answer("304", "It is what the caller has.", &[]),
        ],
    },
    Operation {
        template: ITEM,
        method: "PUT",
        id: "publishAs",
        summary: "Publish an item under this id, where the preconditions hold.",
        query: &["create"],
        headers: &["Idempotency-Key", "If-Match", "If-None-Match"],
        body: PAYLOADS,
        answers: &[PUBLISHED_NEW, PUBLISHED_OVER],
    },
    Operation {
        template: ITEM,
        method: "DELETE",
        id: "retract",
        summary: "Retract an item.",
        query: &["notify"],
        headers: &["If-Match"],
        body: &[],
        answers: &[DONE],
    },
    Operation {
        template: SUBSCRIPTIONS,
        method: "GET",
        id: "listSubscriptions",
        summary: "Who is subscribed: everyone to an owner, to others they themselves.",
        query: &["limit", "after", "before"],
        headers: &[],
        body: &[],
        answers: &[answer("200", "A page of subscriptions.", &[Content(JSON, "Subscriptions")])],
    },
    Operation {
        template: SUBSCRIPTIONS,
        method: "PUT",
        id: "setSubscriptions",
        summary: "Subscribe, approve or end: all that are named, or none.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "SubscriptionChanges")],
        answers: &[DONE],
    },
    Operation {
        template: SUBSCRIPTION,
        method: "GET",
        id: "showSubscription",
        summary: "A subscription and its options.",
        query: &["subid"],
        headers: &[],
        body: &[],
        answers: &[SUBSCRIBED],
    },
    Operation {
        template: SUBSCRIPTION,
        method: "PUT",
        id: "subscribe",
        summary: "Subscribe, or set options of the subscription that is there.",
        query: &["subid"],
        headers: &[],
        body: &[Content(JSON, "SubscriptionOptions")],
        answers: &[
            answer("201", "The subscription is new, or waits for an owner.", &[Content(JSON, "Subscription")]),
            SUBSCRIBED,
        ],
    },
    Operation {
        template: SUBSCRIPTION,
        method: "PATCH",
        id: "setSubscriptionOptions",
        summary: "Set some options of a subscription.",
        query: &["subid"],
        headers: &[],
        body: &[Content(JSON, "SubscriptionOptions"), Content("application/merge-patch+json", "SubscriptionOptions")],
        answers: &[SUBSCRIBED],
    },
    Operation {
        template: SUBSCRIPTION,
        method: "DELETE",
        id: "unsubscribe",
        summary: "End a subscription.",
        query: &["subid"],
        headers: &[],
        body: &[],
        answers: &[DONE],
    },
    Operation {
        template: AFFILIATIONS,
        method: "GET",
        id: "listAffiliations",
        summary: "Who is what to the node.",
        query: &["limit", "after", "before"],
        headers: &[],
        body: &[],
        answers: &[answer("200", "A page of affiliations.", &[Content(JSON, "Affiliations")])],
    },
    Operation {
        template: AFFILIATIONS,
        method: "PUT",
        id: "setAffiliations",
        summary: "Change affiliations: all that are named, or none.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "AffiliationChanges")],
        answers: &[DONE],
    },
    Operation {
        template: WEBHOOKS,
        method: "GET",
        id: "listWebhooks",
        summary: "The endpoints of a node: the caller's own, to the node's owner all.",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[answer("200", "The endpoints.", &[Content(JSON, "Webhooks")])],
    },
    Operation {
        template: WEBHOOKS,
        method: "POST",
        id: "createWebhook",
        summary: "Create an endpoint, once it has answered the challenge.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "WebhookWish")],
        answers: &[answer("201", "The endpoint, with its secret, this once.", &[Content(JSON, "Webhook")])],
    },
    Operation {
        template: WEBHOOK,
        method: "GET",
        id: "showWebhook",
        summary: "An endpoint, how it fares, and the latest attempts.",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[answer("200", "The endpoint.", &[Content(JSON, "Webhook")])],
    },
    Operation {
        template: WEBHOOK,
        method: "PATCH",
        id: "enableWebhook",
        summary: "Deliver again to an endpoint that was disabled.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "WebhookChange")],
        answers: &[answer("200", "The endpoint.", &[Content(JSON, "Webhook")])],
    },
    Operation {
        template: WEBHOOK,
        method: "DELETE",
        id: "removeWebhook",
        summary: "Remove an endpoint with its dead letters.",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[DONE],
    },
    Operation {
        template: WEBHOOK_DEAD,
        method: "GET",
        id: "listDeadLetters",
        summary: "Deliveries that were given up.",
        query: &["limit", "after"],
        headers: &[],
        body: &[],
        answers: &[answer("200", "A page of dead letters.", &[Content(JSON, "DeadLetters")])],
    },
    Operation {
        template: WEBHOOK_REPLAY,
        method: "POST",
        id: "replayWebhook",
        summary: "Deliver once more: one dead letter, or everything after a position.",
        query: &[],
        headers: &[],
        body: &[Content(JSON, "Replay")],
        answers: &[answer("202", "It will be delivered.", &[])],
    },
    Operation {
        template: WEBHOOK_KEYS,
        method: "GET",
        id: "webhookKeys",
        summary: "What verifies the v1a signature of every delivery (RFC 7517).",
        query: &[],
        headers: &[],
        body: &[],
        answers: &[answer("200", "The key set.", &[Content(JSON, "WebhookKeys")])],
    },
    Operation {
        template: HOOK,
        method: "POST",
        id: "receiveWebhook",
        summary: "A webhook of a configured sender, with its signature.",
        query: &[],
        headers: &[],
        body: HOOKED,
        answers: &[answer("200", "It was published, now or before.", &[Content(JSON, "Hooked")])],
    },
];

const STREAMED: &[Content] =
    &[Content(JSON, "Events"), Content("text/event-stream", "Text"), Content("application/x-ndjson", "Text")];
const WATCHED: &[Answer] = &[
    answer("200", "A stream, or the events of a long poll.", STREAMED),
    answer("204", "A long poll in whose time nothing happened.", &[]),
    answer("101", "A WebSocket of the subprotocol tidings.v1.", &[]),
];
const LISTED: &[Answer] = &[
    answer(
        "200",
        "A page of items; with watch=true a stream, or the events of a long poll.",
        &[
            Content(JSON, "ItemsOrEvents"),
            Content("text/event-stream", "Text"),
            Content("application/x-ndjson", "Text"),
        ],
    ),
    answer("204", "A long poll in whose time nothing happened.", &[]),
    answer("101", "A WebSocket of the subprotocol tidings.v1.", &[]),
];

pub(super) const QUERY: &[Parameter] = &[
    Parameter(
        "node",
        r#"{"type":"array","items":{"type":"string","minLength":1},"minItems":1,"maxItems":100}"#,
        "The nodes to watch.",
    ),
    Parameter("limit", r#"{"type":"integer","minimum":0,"maximum":100}"#, "Entries of the page; 50 when not given."),
    Parameter("after", r#"{"type":"string"}"#, "The page after this entry, as an answer's `next` says."),
    Parameter("before", r#"{"type":"string"}"#, "The page before this entry, as an answer's `prev` says."),
    Parameter("order", r#"{"enum":["asc","desc"]}"#, "The oldest first, or the newest."),
    Parameter("watch", r#"{"type":"boolean"}"#, "To be told what happens, in place of what is there."),
    Parameter("since", r#"{"type":"string"}"#, "`now`, `earliest`, or a cursor: after it."),
    Parameter("initial", r#"{"type":"boolean"}"#, "The current items first, where no cursor holds."),
    Parameter(
        "types",
        r#"{"type":"string","pattern":"^(published|retracted|purged|configured|associated|dissociated|deleted)(,(published|retracted|purged|configured|associated|dissociated|deleted))*$"}"#,
        "The events to be told of; all when not given.",
    ),
    Parameter("timeout", r#"{"type":"integer","minimum":1,"maximum":86400}"#, "The seconds after which a stream ends."),
    Parameter(
        "wait",
        r#"{"type":"integer","minimum":0,"maximum":60}"#,
        "The seconds that a long poll waits; 30 when not given.",
    ),
    Parameter("subid", r#"{"type":"string"}"#, "Which subscription, where a JID may have several."),
    Parameter("ticket", r#"{"type":"string"}"#, "A ticket, in place of the Authorization header."),
    Parameter("create", r#"{"type":"boolean"}"#, "Whether to create the node where it is not there."),
    Parameter("item", r#"{"type":"string"}"#, "How a CloudEvent names its item: `id` or `subject`."),
    Parameter("notify", r#"{"type":"boolean"}"#, "Whether subscribers are told, in place of the node's configuration."),
];

pub(super) const HEADERS: &[Parameter] = &[
    Parameter("Last-Event-ID", r#"{"type":"string"}"#, "A cursor; it goes before `since`."),
    Parameter("Prefer", r#"{"type":"string"}"#, "`wait=30`: how long a long poll waits."),
    Parameter("Idempotency-Key", r#"{"type":"string"}"#, "The same key and body within 24 hours publish once."),
    Parameter("If-Match", r#"{"type":"string"}"#, "Only if the item is this version."),
    Parameter("If-None-Match", r#"{"type":"string"}"#, "`*`: only if there is none; or a version that the caller has."),
];
