//! Connections: further keys of a wallet, each with its own permissions and budget. Not in NIP-47;
//! `create_connection` and `get_budget` have the shapes of Alby's SDK, the others are ours.

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::{Msat, UnixSecs};

use super::error::WalletError;
use super::fields::{Object, required};
use super::method::Method;
use super::transaction::not_negative;

/// The longest name of a connection, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// Methods that one connection can name: more than there are.
const METHODS_MAX: usize = 32;

/// When a budget begins anew, at a boundary of the calendar in UTC.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetRenewal {
    /// At midnight.
    Daily,
    /// On Monday.
    Weekly,
    /// On the first.
    Monthly,
    /// On the first of January.
    Yearly,
    /// Not at all.
    Never,
}

impl BudgetRenewal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly, Self::Never];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Never => "never",
        }
    }
}

/// `get_budget`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct GetBudget {}

/// The result of `get_budget`: empty if the connection has none.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Budget {
    /// What is spent and on its way in this period, fees and their reserves included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_budget: Option<Msat>,
    /// What may be spent in a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_budget: Option<Msat>,
    /// When the next period begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_at: Option<UnixSecs>,
    /// The period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_period: Option<BudgetRenewal>,
}

/// `create_connection`: lets another key use the caller's wallet.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CreateConnection {
    /// The other key.
    pub pubkey: PublicKey,
    /// A name for people.
    pub name: String,
    /// What it may call.
    pub request_methods: Vec<Method>,
    /// Whether it hears of payments: any of the notification types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notification_types: Vec<String>,
    /// What it may spend in a period, fees included; absent: no bound but the balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_amount: Option<Msat>,
    /// The period; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_renewal: Option<BudgetRenewal>,
    /// The last second in which it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixSecs>,
}

/// The result of `create_connection`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Connected {
    /// The service key of this connection alone: requests go to it, replies come from it.
    pub wallet_pubkey: PublicKey,
}

/// `list_connections` (ours): the caller's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ListConnections {}

/// A connection as its owner sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConnectionItem {
    /// The key that uses it.
    pub pubkey: PublicKey,
    /// Its service key, which is also its name for `revoke_connection`.
    pub wallet_pubkey: PublicKey,
    /// The name for people.
    pub name: String,
    /// What it may call.
    pub request_methods: Vec<Method>,
    /// Whether it hears of payments.
    pub notifications: bool,
    /// What it may spend in a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_amount: Option<Msat>,
    /// What it spent in this period.
    #[serde(deserialize_with = "not_negative")]
    pub used_budget: Msat,
    /// The period.
    pub budget_renewal: BudgetRenewal,
    /// The last second in which it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixSecs>,
    /// When it was made.
    pub created_at: UnixSecs,
}

/// The result of `list_connections`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Connections {
    /// Oldest first; without those that were revoked.
    pub connections: Vec<ConnectionItem>,
}

/// `revoke_connection` (ours): ends one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct RevokeConnection {
    /// Which, by its service key.
    pub wallet_pubkey: PublicKey,
}

impl CreateConnection {
    /// For these methods, without notifications, a budget or an end.
    #[must_use]
    pub fn of(pubkey: PublicKey, name: &str, request_methods: &[Method]) -> Self {
        Self {
            pubkey,
            name: name.to_owned(),
            request_methods: request_methods.to_vec(),
            notification_types: Vec::new(),
            max_amount: None,
            budget_renewal: None,
            expires_at: None,
        }
    }

    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        let names =
            required("request_methods", params.texts("request_methods", METHODS_MAX, NAME_BYTES_MAX)?)?;
        let request_methods = names.iter().map(|name| method(name)).collect::<Result<Vec<_>, _>>()?;
        if request_methods.is_empty() {
            return Err(WalletError::invalid("request_methods must name at least one method"));
        }
        // Alby's SDK asks so for a connection with a balance of its own. Given another, it would spend the owner's.
        if params.flag("isolated")?.unwrap_or(false) {
            return Err(WalletError::invalid(
                "isolated: a connection shares its owner's balance; use another key for a wallet of its own",
            ));
        }
        let words = BudgetRenewal::ALL.map(|renewal| (renewal.as_str(), renewal));
        Ok(Self {
            pubkey: required("pubkey", params.pubkey("pubkey")?)?,
            name: required("name", params.text("name", NAME_BYTES_MAX)?)?,
            request_methods,
            notification_types: params
                .texts("notification_types", METHODS_MAX, NAME_BYTES_MAX)?
                .unwrap_or_default(),
            max_amount: params.msat("max_amount")?,
            budget_renewal: params.word("budget_renewal", &words)?,
            expires_at: params.unix_secs("expires_at")?,
        })
    }
}

/// A method that can be allowed. Those by which an owner rules its wallet cannot.
fn method(name: &str) -> Result<Method, WalletError> {
    let method = Method::from_name(name);
    if Method::NIP.contains(&method) || method == Method::GetBudget {
        Ok(method)
    } else {
        Err(WalletError::invalid(format!("request_methods: {name} cannot be allowed to a connection")))
    }
}

impl RevokeConnection {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self { wallet_pubkey: required("wallet_pubkey", params.pubkey("wallet_pubkey")?)? })
    }
}
