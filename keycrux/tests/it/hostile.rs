//! A client that should not get what it asks for: each way by itself.

mod bounds;
mod builds;
mod callers;
mod policies;

use std::sync::atomic::{AtomicU64, Ordering};

use nostr::key::Keys;
use protocol::nec::Env;
use protocol::rpc::Refusal;
use protocol::rpc::keycrux::{
    AdvanceParams, Body, GetParams, Identity, Input, LeaseParams, Material, Policy, SecretData, SetParams,
};
use quorum::{Answer, Epoch, Reply, Stamp, Stamped};
use relay::rpc::RpcError;
use serde_json::json;

use crate::enclave::{Enclave, REPO, input, policy, signed};
use crate::world::{Running, World};

/// One key store that holds the secret of build `v2`, release 1.2.0, two of three maintainers: once as it is
/// kept by `set`, and once as it is kept by `lease`.
struct Stage {
    world: World,
    keycrux: Running,
    owner: Enclave,
    maintainers: [Keys; 3],
    policy: Policy,
    rounds: AtomicU64,
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, RpcError>) -> Refusal {
    match outcome {
        Err(RpcError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

impl Stage {
    async fn new(change: impl FnOnce(&mut Policy)) -> Self {
        Self::with_config(json!({}), change).await
    }

    async fn with_config(config: serde_json::Value, change: impl FnOnce(&mut Policy)) -> Self {
        let mut world = World::new(1, 1).await;
        world.config = config;
        let keycrux = world.start_all().await.remove(0);
        let owner = Enclave::start(&world.root, "v2");
        let maintainers = [(); 3].map(|()| Keys::generate());
        let mut policy = policy(&maintainers, 2);
        change(&mut policy);
        let stage = Self { world, keycrux, owner, maintainers, policy, rounds: AtomicU64::new(0) };
        let release = stage.released("v2", "1.2.0");
        let set = stage.set(&stage.owner, "the secret", Some(stage.policy.clone()), release.clone()).await;
        assert_eq!(set.unwrap(), "ok");
        let epoch = stage.open(&stage.owner, release.clone()).await.unwrap();
        stage.write(&stage.owner, release, &epoch, stage.body(stage.policy.clone())).await.unwrap();
        stage
    }

    /// The signatures of two maintainers.
    fn released(&self, image_seed: &str, version: &str) -> Input {
        input(
            self.maintainers[..2].iter().map(|by| signed(by, REPO, version, image_seed, Env::Dev)).collect(),
        )
    }

    fn identity(&self) -> Identity {
        self.owner.identity(&self.policy)
    }

    /// What the owner keeps.
    fn body(&self, policy: Policy) -> Body {
        let material = Material::Data(SecretData::new("the secret".into()));
        Body {
            identity: self.identity(),
            policy,
            lineage: vec![self.owner.build("1.2.0")],
            material,
            shown: vec![],
        }
    }

    async fn set(
        &self,
        from: &Enclave,
        data: &str,
        policy: Option<Policy>,
        input: Input,
    ) -> Result<String, RpcError> {
        let keys = Keys::generate();
        let (attestation, data) = (from.document(&keys), SecretData::new(data.into()));
        let params = SetParams { attestation, data, policy, input: Some(input) };
        self.world.client(&self.keycrux, &keys).await.set(&params).await
    }

    async fn get(&self, from: &Enclave, input: Input) -> Result<SecretData, RpcError> {
        let keys = Keys::generate();
        let params = GetParams { attestation: from.document(&keys), input: Some(input), identity: None };
        self.world.client(&self.keycrux, &keys).await.get(&params).await
    }

    /// Opens an epoch that is newer than all before it.
    async fn open(&self, from: &Enclave, input: Input) -> Result<Reply<Body>, RpcError> {
        let keys = Keys::generate();
        let epoch = Epoch { round: self.rounds.fetch_add(1, Ordering::Relaxed) + 1, holder: [1; 16] };
        let params =
            LeaseParams { attestation: from.document(&keys), identity: self.identity(), input, epoch };
        self.world.client(&self.keycrux, &keys).await.lease(&params).await
    }

    /// Writes in the epoch that was opened last.
    async fn write(
        &self,
        from: &Enclave,
        input: Input,
        opened: &Reply<Body>,
        body: Body,
    ) -> Result<Reply<Body>, RpcError> {
        let keys = Keys::generate();
        let epoch = Epoch { round: self.rounds.load(Ordering::Relaxed), holder: [1; 16] };
        let params = AdvanceParams {
            attestation: from.document(&keys),
            identity: self.identity(),
            input,
            epoch,
            group: opened.from.view.group,
            body: Some(Stamped { stamp: Stamp { epoch, seq: 1 }, value: body }),
            head: None,
            lease_ms: Stamped { stamp: Stamp { epoch, seq: 1 }, value: 5_000 },
        };
        self.world.client(&self.keycrux, &keys).await.advance(&params).await
    }

    /// `get`, `lease` and `advance` are refused with this code, and the owner still has its secret.
    async fn check(&self, from: &Enclave, input: Input, code: &str) {
        assert_eq!(refusal(self.get(from, input.clone()).await).code, code, "get");
        assert_eq!(refusal(self.open(from, input.clone()).await).code, code, "lease");
        let opened = self.open(&self.owner, Input::default()).await.unwrap();
        let body = self.body(self.policy.clone());
        assert_eq!(refusal(self.write(from, input, &opened, body).await).code, code, "advance");
        self.check_owner().await;
    }

    async fn check_owner(&self) {
        assert_eq!(self.get(&self.owner, Input::default()).await.unwrap().expose(), "the secret");
        let Answer::Promised(entry) = self.open(&self.owner, Input::default()).await.unwrap().answer else {
            panic!("not promised");
        };
        let body = entry.body.unwrap().value;
        assert_eq!((&body.policy, &body.identity), (&self.policy, &self.identity()));
        assert_eq!(body.material, Material::Data(SecretData::new("the secret".into())));
        assert_eq!(body.current().map(|build| build.pcrs), Some(self.owner.pcrs));
    }
}
