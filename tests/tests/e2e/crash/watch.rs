//! Lets the daemon on at every step but the one that is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use devnet::world::{StepReached, StepWatch, World};
use enclaved::checkpoint::Step;
use tokio::sync::mpsc;

/// Longest wait for a step: a period, a charge, a launch.
const STEP_WAIT: Duration = Duration::from_secs(40);
/// Longest silence between steps.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Hears every step of the daemon.
pub(super) struct Watch {
    armed: Arc<Mutex<Option<&'static str>>>,
    reached: tokio::sync::Mutex<mpsc::Receiver<StepReached>>,
    killed: Mutex<BTreeMap<&'static str, u32>>,
}

impl Watch {
    pub(super) fn start(world: &World) -> Result<Self> {
        let steps = StepWatch::new(world)?;
        let armed: Arc<Mutex<Option<&'static str>>> = Arc::default();
        let (sender, reached) = mpsc::channel(1);
        let wanted = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok(step) = steps.next(SILENCE_MAX).await {
                let hit = wanted.lock().unwrap().take_if(|name| *name == step.name).is_some();
                if hit {
                    drop(sender.send(step).await);
                } else {
                    // A daemon that was killed meanwhile does not hear it.
                    drop(step.go_on().await);
                }
            }
        });
        Ok(Self { armed, reached: reached.into(), killed: Mutex::default() })
    }

    /// The daemon will wait at the next such step.
    pub(super) fn arm(&self, step: Step) {
        *self.armed.lock().unwrap() = Some(step.name());
    }

    /// Waits until the daemon waits at the step.
    pub(super) async fn reached(&self, step: Step) -> Result<StepReached> {
        let mut reached = self.reached.lock().await;
        let step_reached = tokio::time::timeout(STEP_WAIT, reached.recv()).await;
        let step_reached = step_reached.with_context(|| format!("{} was never reached", step.name()))?;
        *self.killed.lock().unwrap().entry(step.name()).or_default() += 1;
        step_reached.context("the watch ended")
    }

    /// How often something was killed at this step.
    pub(super) fn killed_at(&self, step: Step) -> u32 {
        self.killed.lock().unwrap().get(step.name()).copied().unwrap_or_default()
    }
}
