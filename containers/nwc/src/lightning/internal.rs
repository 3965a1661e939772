//! Lightning without a network: real invoices that only this wallet's own accounts can pay.

use std::fmt;
use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey, SignOnly};
use lightning_invoice::{Bolt11InvoiceDescription, Description, InvoiceBuilder, PaymentSecret, Sha256};
use protocol::nwc::PaymentHash;
use sha2::{Digest, Sha256 as Hasher};
use zeroize::Zeroizing;

use super::{
    AttemptId, Bolt11, CannotPay, CreateInvoiceError, Dispatch, Fate, InvoiceTerms, LightningBackend,
    Network, NodeId, OutgoingPayment, Purpose,
};

/// Blocks that the last hop must leave us, as other implementations ask for.
const MIN_FINAL_CLTV_EXPIRY_DELTA: u64 = 144;

const FOREIGN: &str = "this wallet has no Lightning node: it settles only between its own accounts, \
                       and this invoice is not one of them";

/// The `internal` backend. It signs BOLT11 invoices with the wallet's node key, so that clients see the
/// real thing; the wallet settles them in its ledger. An invoice of anybody else is refused.
pub struct InternalBackend {
    secp: Secp256k1<SignOnly>,
    secret: SecretKey,
    node_id: NodeId,
    network: Network,
}

/// The node key is no secret key (the chance is 1 in 2^128; the file was damaged).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the node key is not a valid secret key")]
pub struct InvalidNodeKey;

impl InternalBackend {
    /// A backend that signs with `node_key` for `network`.
    ///
    /// # Errors
    /// [`InvalidNodeKey`].
    pub fn new(node_key: &Zeroizing<[u8; 32]>, network: Network) -> Result<Self, InvalidNodeKey> {
        let secret = SecretKey::from_slice(node_key.as_ref()).map_err(|_| InvalidNodeKey)?;
        let secp = Secp256k1::signing_only();
        let node_id = NodeId::from_bytes(PublicKey::from_secret_key(&secp, &secret).serialize());
        Ok(Self { secp, secret, node_id, network })
    }

    /// Every invoice needs a secret that only its payer knows. Nobody can send us money by it, so
    /// deriving it is enough.
    fn payment_secret(&self, payment_hash: &[u8; 32]) -> PaymentSecret {
        let mut hasher = Hasher::new();
        hasher.update(b"nwc internal payment secret");
        hasher.update(self.secret.secret_bytes());
        hasher.update(payment_hash);
        PaymentSecret(hasher.finalize().into())
    }
}

impl LightningBackend for InternalBackend {
    fn node_id(&self) -> NodeId {
        self.node_id
    }

    fn network(&self) -> Network {
        self.network
    }

    fn create_invoice(&self, terms: &InvoiceTerms) -> Result<String, CreateInvoiceError> {
        let failed = |error: &dyn fmt::Display| CreateInvoiceError(error.to_string());
        let amount_msat = u64::try_from(terms.amount.msat()).map_err(|error| failed(&error))?;
        let purpose = match &terms.purpose {
            Purpose::Description(text) => Bolt11InvoiceDescription::Direct(
                Description::new(text.clone()).map_err(|error| failed(&error))?,
            ),
            Purpose::Hash(hash) => {
                Bolt11InvoiceDescription::Hash(Sha256(sha256::Hash::from_byte_array(*hash.as_bytes())))
            }
        };
        let payment_hash = terms.payment_hash.as_bytes();
        let invoice = InvoiceBuilder::new(self.network.currency())
            .invoice_description(purpose)
            .payment_hash(sha256::Hash::from_byte_array(*payment_hash))
            .payment_secret(self.payment_secret(payment_hash))
            .amount_milli_satoshis(amount_msat)
            .duration_since_epoch(Duration::from_secs(terms.created_at.0))
            .expiry_time(Duration::from_secs(terms.expiry_secs.into()))
            .min_final_cltv_expiry_delta(terms.min_cltv_delta.map_or(MIN_FINAL_CLTV_EXPIRY_DELTA, u64::from))
            .build_signed(|message| self.secp.sign_ecdsa_recoverable(message, &self.secret))
            .map_err(|error| failed(&error))?;
        Ok(invoice.to_string())
    }

    fn check_payable(&self, _invoice: &Bolt11) -> Result<(), CannotPay> {
        Err(CannotPay(FOREIGN.into()))
    }

    fn fate(&self, _payment_hash: PaymentHash, _attempt: AttemptId) -> Fate {
        Fate::NeverSent
    }

    fn pay(&self, _payment: &OutgoingPayment) -> Dispatch {
        Dispatch::Refused(CannotPay(FOREIGN.into()))
    }
}

impl Drop for InternalBackend {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for InternalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InternalBackend")
            .field("node_id", &self.node_id)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
