//! Bad input: each case has its code, and changes nothing.
//!
//! A world is shared by the cases of one test as far as they do not disturb each other.

mod addresses;
mod capacity;
mod expiry;
mod fuzz;
mod images;
mod launch;
mod money;
mod owners;
mod requests;

use anyhow::Result;
use devnet::world::World;
use serde_json::Value;

use crate::facts::Facts;
use crate::stranger::Stranger;

/// Checks that a request is refused with `code`, by each of `methods`, and that nothing changed.
async fn check(world: &World, who: &Stranger, methods: &[&str], params: &Value, code: &str) -> Result<()> {
    let before = Facts::of(world).await?;
    for method in methods {
        assert_eq!(who.refused(method, params.clone()).await, code, "{method} {}", shown(params));
    }
    assert_eq!(Facts::of(world).await?, before, "{methods:?} {}", shown(params));
    Ok(())
}

/// Parameters for a message, cut where they are long.
fn shown(params: &Value) -> String {
    params.to_string().chars().take(300).collect()
}
