//! Registries that are, or lead to, private addresses.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::http::{StatusCode, header};
use devnet::world::World;
use serde_json::json;

use super::check;
use crate::facts::seen_in_box;
use crate::in_world::{calm, in_world};
use crate::liar::{Liar, elsewhere};
use crate::netns::Netns;
use crate::reconfigure::reconfigure;
use crate::stranger::Stranger;

/// Somebody in the operator's network, whom the machine reaches.
const PRIVATE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 66, 0, 1), 443);
/// A name that leads there.
const NAME: &str = "registry.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn private_address_is_never_connected_to() -> Result<()> {
    in_world(calm()?, async |world| {
        let machine = Netns::of_box(world)?;
        machine.run(&format!("ip address add {}/32 dev lo", PRIVATE.ip()))?;
        let listener = machine.tcp_listener(PRIVATE)?;
        let hosts = seen_in_box(world, "/etc/hosts".as_ref())?;
        let text = std::fs::read_to_string(&hosts)?;
        std::fs::write(&hosts, format!("{text}\n{} {NAME}\n", PRIVATE.ip()))?;
        let liar = Liar::start(world).await?;
        let stranger = Stranger::with(world, 0).await?;
        let authority = liar.authority();
        reconfigure(world, |config| {
            config["development"]["plain_http_registries"].as_array_mut().unwrap().push(json!(authority));
        })
        .await?;
        each_way(world, &stranger, &liar, "address_refused").await?;
        assert!(listener.accept().is_err(), "a private address was connected to");

        // The same ways lead there once the configuration lets them.
        reconfigure(world, |config| {
            config["development"]["addresses"].as_array_mut().unwrap().push(json!("10.66.0.0/16"));
        })
        .await?;
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let came = std::thread::spawn(move || hang_up(&listener, &told));
        let outcome = each_way(world, &stranger, &liar, "registry_unreachable").await;
        enough.store(true, Ordering::SeqCst);
        assert_eq!(came.join().unwrap(), WAYS);
        outcome
    })
    .await
}

/// In how many ways it is tried, each by a quote and by a launch.
const WAYS: usize = 2 * 6;

/// By address, by name, by redirect and by the realm of tokens.
async fn each_way(world: &World, who: &Stranger, liar: &Liar, code: &str) -> Result<()> {
    let image = format!("{}/x:1", liar.authority());
    for docker in [format!("{}:443/x", PRIVATE.ip()), format!("{NAME}/x:1")] {
        check(world, who, &["quote", "launch"], &json!({"docker": docker, "units": 1}), code).await?;
    }
    let params = json!({"docker": image, "units": 1});
    for host in [PRIVATE.ip().to_string(), NAME.to_owned()] {
        let location = format!("https://{host}/v2/x/manifests/1");
        liar.tell(move |_| Some(elsewhere(StatusCode::TEMPORARY_REDIRECT, header::LOCATION, &location)));
        check(world, who, &["quote", "launch"], &params, code).await?;
        let realm = format!(r#"Bearer realm="https://{host}/token",service="x",scope="repository:x:pull""#);
        liar.tell(move |_| Some(elsewhere(StatusCode::UNAUTHORIZED, header::WWW_AUTHENTICATE, &realm)));
        check(world, who, &["quote", "launch"], &params, code).await?;
    }
    Ok(())
}

/// Hangs up on everybody who comes, until it is enough; says how many came.
fn hang_up(listener: &TcpListener, enough: &AtomicBool) -> usize {
    let mut came = 0;
    while !enough.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok(_) => came += 1,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    came
}
