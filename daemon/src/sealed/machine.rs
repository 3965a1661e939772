//! What this run is: its build and its machine, as the NSM attests them.

use std::sync::Arc;

use attestation::nsm::Nsm;
use attestation::{Pcr, TrustRoot};
use instance::{Attestor, Evidence};
use nostr::key::Keys;
use protocol::nec::Env;
use protocol::parent::Meta;
use protocol::rpc::keycrux::image_pcrs;
use units::Clock;

use super::SealedError;

/// This build on this machine, attested for the boot key.
pub(super) struct Machine {
    pub(super) evidence: Arc<Evidence>,
    is_aws: bool,
    image: [Pcr; 3],
    pcr4: Pcr,
}

impl Machine {
    /// Asks the NSM.
    pub(super) async fn attest(
        nsm: Nsm,
        boot: &Keys,
        root: &TrustRoot,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, SealedError> {
        let attestor = Attestor::new(nsm, boot.clone(), root.clone(), Arc::clone(clock));
        let evidence = attestor.current().await?;
        if evidence.document.is_debug() {
            return Err(SealedError::Debug);
        }
        let image = image_pcrs(&evidence.document).ok_or(SealedError::Register(0))?;
        let pcr4 = evidence.document.pcr(4).filter(|pcr| !pcr.is_zero()).ok_or(SealedError::Register(4))?;
        Ok(Self { evidence, is_aws: root.is_aws(), image, pcr4 })
    }

    /// PCR0, 1 and 2.
    pub(super) const fn image(&self) -> [Pcr; 3] {
        self.image
    }

    /// The machine's register.
    pub(super) const fn pcr4(&self) -> Pcr {
        self.pcr4
    }

    /// What this instance is for, as the announcement will say it.
    pub(super) const fn env(&self, meta: &Meta) -> Env {
        if self.is_aws && meta.prod { Env::Prod } else { Env::Dev }
    }
}
