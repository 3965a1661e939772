//! Verifying a statement, from the attestation down to what is stated.

use std::collections::BTreeSet;

use nostr::key::PublicKey;
use units::UnixSecs;

use super::announcement::{Claims, Form};
use super::certificate::CertifiedContainer;
use super::{NecError, Policy, VerifiedChain, VerifiedRoot, release};
use crate::event::CheckedEvent;
use crate::receipt::{self, Receipt};
use crate::statement::{BATCH_MAX, BATCH_SECS_MAX, Claim, Statement, StatementProof};

/// Clocks of the server and its NSM may differ by so much, as in `attestation`.
const LEEWAY_SECS: u64 = 2;
/// Most release signatures that are looked at.
const RELEASES_MAX: usize = 32;

/// A statement that was verified: the enclave that the policy wants had it put into its attestation
/// document at [`VerifiedStatement::attested_at_ms`].
#[derive(Clone, Debug)]
pub struct VerifiedStatement {
    chain: VerifiedChain,
    certified: CertifiedContainer,
    statement: Statement,
    stated_at: UnixSecs,
    releasers: BTreeSet<PublicKey>,
    pinned: bool,
}

impl VerifiedStatement {
    /// When the statement's evidence says that it was made, for a policy that asks whether it was good
    /// then. Nothing is verified yet: [`Self::verify`] compares it with the document's time.
    #[must_use]
    pub fn claimed_time(proof: &StatementProof) -> UnixSecs {
        proof.root.created_at()
    }

    /// Verifies a statement. For one that was kept, the policy's time is [`Self::claimed_time`].
    ///
    /// # Errors
    /// [`NecError`] with the first reason to refuse.
    pub fn verify(proof: &StatementProof, policy: &Policy) -> Result<Self, NecError> {
        let statement = Statement::read(&proof.statement).map_err(NecError::Statement)?;
        let certificates = std::slice::from_ref(&proof.certificate);
        let chain = VerifiedChain::verify(&proof.root, certificates, &proof.statement.pubkey, policy)?;
        let Some(certified) = chain.container().cloned() else {
            return Err(NecError::event("no certificate leads to the container"));
        };
        // A container has had other images; a certificate of another hour must not lend it theirs.
        if statement.image != certified.image || statement.manifest_sha256 != certified.manifest_sha256 {
            return Err(NecError::statement("it is about another image than its certificate"));
        }
        check_tree(proof, chain.root())?;
        let stated_at = proof.statement.created_at();
        check_time(stated_at, chain.root())?;
        let releasers = check_code(proof, chain.root(), policy)?;
        Ok(Self { chain, certified, statement, stated_at, releasers, pinned: policy.pins_code() })
    }

    /// Verifies that these receipts are the chain that this statement is about.
    ///
    /// # Errors
    /// [`NecError::Receipt`] with what is wrong.
    pub fn verify_receipts(&self, receipts: &[CheckedEvent]) -> Result<Vec<Receipt>, NecError> {
        let Claim::Receipts { count, head } = self.statement.claim else {
            return Err(NecError::receipt("the statement beside them is about something else"));
        };
        let service = self.chain.root().service();
        let (read, last) =
            receipt::check_chain(receipts, &service, &self.certified.pubkey).map_err(NecError::Receipt)?;
        if u64::try_from(read.len()) != Ok(count) || last != head {
            return Err(NecError::receipt("the enclave stated another number of receipts, or another end"));
        }
        Ok(read)
    }

    /// What was stated.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The container, as the service certified it.
    #[must_use]
    pub const fn certified(&self) -> &CertifiedContainer {
        &self.certified
    }

    /// The attestation at the top.
    #[must_use]
    pub const fn root(&self) -> &VerifiedRoot {
        self.chain.root()
    }

    /// When the server says that it was stated.
    #[must_use]
    pub const fn stated_at(&self) -> UnixSecs {
        self.stated_at
    }

    /// When the NSM put it into its document, in milliseconds since 1970: nobody can have chosen it.
    #[must_use]
    pub const fn attested_at_ms(&self) -> u64 {
        self.chain.root().document().timestamp_ms()
    }

    /// Whose release signatures of the service it shows.
    #[must_use]
    pub const fn releasers(&self) -> &BTreeSet<PublicKey> {
        &self.releasers
    }

    /// True if the policy said which code may run.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.pinned
    }
}

fn check_tree(proof: &StatementProof, root: &VerifiedRoot) -> Result<(), NecError> {
    if usize::try_from(proof.path.size).map_or(true, |size| size > BATCH_MAX) {
        return Err(NecError::Statement(format!("its tree has more than {BATCH_MAX} leaves")));
    }
    let head = proof.path.head(&proof.statement.id);
    let attested = root.document().user_data();
    if head.is_none() || attested != head.as_ref().map(|head| head.0.as_slice()) {
        return Err(NecError::statement("its path does not lead to the `user_data` of the attestation"));
    }
    Ok(())
}

fn check_time(stated_at: UnixSecs, root: &VerifiedRoot) -> Result<(), NecError> {
    let attested_at = UnixSecs(root.document().timestamp_ms() / 1_000);
    let is_early = stated_at > attested_at.plus_secs(LEEWAY_SECS);
    if is_early || attested_at.secs_since(stated_at) > BATCH_SECS_MAX {
        let why = format!("it is dated {stated_at} and was attested at {attested_at}");
        return Err(NecError::Statement(why));
    }
    Ok(())
}

/// The releases of the service, as in a container's event.
fn check_code(
    proof: &StatementProof,
    root: &VerifiedRoot,
    policy: &Policy,
) -> Result<BTreeSet<PublicKey>, NecError> {
    if proof.releases.len() > RELEASES_MAX {
        return Err(NecError::Release(format!("more than {RELEASES_MAX} signatures")));
    }
    let claims = Claims { form: Form::Current, repo: Some(&proof.repo), env: root.env(), version: None };
    claims.check_policy(policy)?;
    let releasers = proof
        .releases
        .iter()
        .map(|signature| release::verify(signature, root.document(), &claims, policy))
        .collect::<Result<BTreeSet<_>, _>>()?;
    release::check_threshold(&releasers, policy)?;
    Ok(releasers)
}
