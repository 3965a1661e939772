//! What there is over HTTP: one table, from which the router and the document are made.

use protocol::rpc::enclaved::{
    ContainerInfo, ContainerList, ContainerStatus, ExecParams, ExecReply, History, LaunchParams, LaunchReply,
    LogLine, Logs, Quote, ReceiptPage, SetEnvParams, Stats, Terms, TopupParams, TopupReply, TransferParams,
    UpgradeParams, Upgrades, WithdrawParams, Withdrawal,
};
use utoipa::ToSchema;
use utoipa::openapi::{Ref, RefOr, Schema};

/// Schemas by name, gathered for the document.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;
/// How a type is described: adds what it needs, and returns how it is referred to.
pub(super) type Shape = fn(&mut Schemas) -> RefOr<Schema>;

/// How it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Get,
    Post,
}

impl Verb {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// How it is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// The method of this name, to anybody.
    Open(&'static str),
    /// The method of this name, to who signs.
    Signed(&'static str),
    /// A stream of the container's output.
    Output,
    /// A stream of the container's states.
    States,
}

/// One thing that can be asked.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    pub(super) way: Way,
    pub(super) about: &'static str,
    /// Names in the query.
    pub(super) query: &'static [&'static str],
    pub(super) body: Option<Shape>,
    pub(super) answer: Shape,
}

fn shape<T: ToSchema>(all: &mut Schemas) -> RefOr<Schema> {
    T::schemas(all);
    all.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

/// A body whose container is in the path already.
fn of_container<T: ToSchema>(all: &mut Schemas) -> RefOr<Schema> {
    let reference = shape::<T>(all);
    if let Some((_, RefOr::T(Schema::Object(object)))) = all.last_mut() {
        object.properties.remove("pubkey");
        object.required.retain(|field| field != "pubkey");
    }
    reference
}

const fn get(path: &'static str, way: Way, about: &'static str, answer: Shape) -> Route {
    Route { verb: Verb::Get, path, way, about, query: &[], body: None, answer }
}

const fn post(
    path: &'static str,
    method: &'static str,
    about: &'static str,
    body: Option<Shape>,
    answer: Shape,
) -> Route {
    Route { verb: Verb::Post, path, way: Way::Signed(method), about, query: &[], body, answer }
}

/// All of it.
pub(super) const ROUTES: &[Route] = &[
    get("/v1/price", Way::Open("price"), "What this server sells, and for how much", shape::<Terms>),
    post("/v1/quotes", "quote", "What a launch would cost", Some(shape::<LaunchParams>), shape::<Quote>),
    Route {
        query: &["after"],
        ..get(
            "/v1/containers",
            Way::Signed("list"),
            "Your containers, newest first; what is behind `next` is asked for with `after`",
            shape::<ContainerList>,
        )
    },
    post(
        "/v1/containers",
        "launch",
        "Reserves units for a container and returns the invoice that pays for it",
        Some(shape::<LaunchParams>),
        shape::<LaunchReply>,
    ),
    get(
        "/v1/containers/{pubkey}",
        Way::Signed("status"),
        "Everything about a container of yours",
        shape::<ContainerStatus>,
    ),
    get(
        "/v1/containers/{pubkey}/info",
        Way::Open("info"),
        "What anybody may know of a container",
        shape::<ContainerInfo>,
    ),
    Route {
        query: &["lines", "after"],
        ..get(
            "/v1/containers/{pubkey}/logs",
            Way::Signed("logs"),
            "The newest lines that a container wrote, or the first after a time",
            shape::<Logs>,
        )
    },
    get(
        "/v1/containers/{pubkey}/logs/follow",
        Way::Output,
        "What a container writes, as server-sent events named `line`",
        shape::<LogLine>,
    ),
    get(
        "/v1/containers/{pubkey}/watch",
        Way::States,
        "A container's status whenever it changes, as server-sent events named `status`",
        shape::<ContainerStatus>,
    ),
    get(
        "/v1/containers/{pubkey}/stats",
        Way::Signed("stats"),
        "What a container uses and costs",
        shape::<Stats>,
    ),
    Route {
        query: &["limit"],
        ..get(
            "/v1/containers/{pubkey}/events",
            Way::Signed("events"),
            "What happened to a container, newest first",
            shape::<History>,
        )
    },
    Route {
        query: &["from"],
        ..get(
            "/v1/containers/{pubkey}/receipts",
            Way::Signed("receipts"),
            "Signed receipts of what was paid, in their chain, with the statement of its end",
            shape::<ReceiptPage>,
        )
    },
    get(
        "/v1/containers/{pubkey}/upgrades",
        Way::Signed("upgrades"),
        "What was decided about a container's image, newest first",
        shape::<Upgrades>,
    ),
    post(
        "/v1/containers/{pubkey}/upgrade",
        "upgrade",
        "Has another image take the place of the one that runs",
        Some(of_container::<UpgradeParams>),
        shape::<ContainerStatus>,
    ),
    post("/v1/containers/{pubkey}/pin", "pin", "Holds it at its image", None, shape::<Upgrades>),
    post("/v1/containers/{pubkey}/unpin", "unpin", "Lets its image change again", None, shape::<Upgrades>),
    post(
        "/v1/containers/{pubkey}/env",
        "set_env",
        "Gives it another environment, and starts it anew with that",
        Some(of_container::<SetEnvParams>),
        shape::<ContainerStatus>,
    ),
    post(
        "/v1/containers/{pubkey}/topup",
        "topup",
        "An invoice that pays into a container's balance",
        Some(of_container::<TopupParams>),
        shape::<TopupReply>,
    ),
    post(
        "/v1/containers/{pubkey}/withdraw",
        "withdraw",
        "Pays an invoice from a container's balance",
        Some(of_container::<WithdrawParams>),
        shape::<Withdrawal>,
    ),
    post("/v1/containers/{pubkey}/pause", "pause", "Stops its process", None, shape::<ContainerStatus>),
    post(
        "/v1/containers/{pubkey}/resume",
        "resume",
        "Starts its process again",
        None,
        shape::<ContainerStatus>,
    ),
    post(
        "/v1/containers/{pubkey}/terminate",
        "terminate",
        "Ends it and wipes its data",
        None,
        shape::<ContainerStatus>,
    ),
    post(
        "/v1/containers/{pubkey}/exec",
        "exec",
        "Runs a command in it, if its launch asked for that",
        Some(of_container::<ExecParams>),
        shape::<ExecReply>,
    ),
    post(
        "/v1/containers/{pubkey}/transfer",
        "transfer",
        "Offers it to another key",
        Some(of_container::<TransferParams>),
        shape::<ContainerStatus>,
    ),
    post(
        "/v1/containers/{pubkey}/accept_transfer",
        "accept_transfer",
        "Takes it over, if it is offered to you",
        None,
        shape::<ContainerStatus>,
    ),
    post(
        "/v1/containers/{pubkey}/cancel_transfer",
        "cancel_transfer",
        "Offers it no more",
        None,
        shape::<ContainerStatus>,
    ),
];
