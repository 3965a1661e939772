//! The server's OpenAPI document by a validator that we did not write, real answers by that document, and what a
//! web page's browser asks first.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::client::{Curl, Talker};
use crate::npm;

/// An answer as it came, by the path that the document has.
fn answer(method: &str, path: &str, (status, body): (u16, Value)) -> Value {
    json!({"method": method, "path": path, "status": status, "body": body})
}

pub(super) async fn check(
    curl: &Curl,
    owner: &mut Talker,
    stranger: &mut Talker,
    pubkey: &str,
) -> Result<()> {
    let (_, document) = curl.get("/v1/openapi.json", None).await?;
    let one = "/v1/containers/{pubkey}";
    let mut answers = vec![
        answer("get", "/v1/price", curl.get("/v1/price", None).await?),
        answer(
            "get",
            &format!("{one}/info"),
            curl.get(&format!("/v1/containers/{pubkey}/info"), None).await?,
        ),
        answer("get", "/v1/containers", curl.get("/v1/containers", None).await?),
    ];
    for path in ["", "/logs", "/stats", "/events", "/upgrades", "/receipts"] {
        let asked = format!("/v1/containers/{pubkey}{path}");
        for talker in [&mut *owner, &mut *stranger] {
            let token = talker.token(&curl.url(&asked), "GET", None).await?;
            answers.push(answer("get", &format!("{one}{path}"), curl.get(&asked, Some(&token)).await?));
        }
    }
    let token = owner.token(&curl.url("/v1/containers"), "GET", None).await?;
    answers.push(answer("get", "/v1/containers", curl.get("/v1/containers", Some(&token)).await?));
    let topup = format!("/v1/containers/{pubkey}/topup");
    let made = curl.post(owner, &topup, Some(&json!({"amount_msat": 11_000})), 200).await?;
    answers.push(answer("post", &format!("{one}/topup"), (200, made)));
    let refused = curl.post(owner, &topup, Some(&json!({"amount_msat": "x"})), 400).await?;
    answers.push(answer("post", &format!("{one}/topup"), (400, refused)));
    let statuses: Vec<_> = answers.iter().map(|one| one["status"].as_u64()).collect();
    for status in [200, 400, 401, 403] {
        ensure!(statuses.contains(&Some(status)), "no answer with {status}: {statuses:?}");
    }

    let judged = judge(&document, &answers).await?;
    ensure!(judged["valid"] == true && judged["version"] == "3.1", "{judged}");
    for (answer, judged) in answers.iter().zip(judged["answers"].as_array().context("answers")?) {
        ensure!(judged.is_null(), "{answer}: {judged}");
    }
    // Who judges must be able to refuse.
    let mut broken = document.clone();
    broken["paths"]["/v1/price"]["get"]["parameters"] = json!([{"name": "x"}]);
    let mut lied = answers[0].clone();
    lied["body"]["units_free"] = json!("many");
    let judged = judge(&broken, &[lied]).await?;
    ensure!(judged["valid"] == false && judged["answers"][0].is_array(), "{judged}");
    from_a_page(curl).await
}

async fn judge(document: &Value, answers: &[Value]) -> Result<Value> {
    let mut node = npm::start("openapi.mjs", &[])?;
    let input = json!({"document": document, "answers": answers}).to_string();
    // It reads everything before it writes anything; its input ends when this is dropped.
    node.stdin.take().context("no stdin")?.write_all(input.as_bytes()).await?;
    let output = node.wait_with_output().await?;
    ensure!(output.status.success(), "node ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("what node wrote")
}

/// A browser asks whether a page of another origin may send what it wants to, before it sends that; and shows the
/// page an answer only if that says so, too.
async fn from_a_page(curl: &Curl) -> Result<()> {
    let origin = ["--header", "Origin: https://page.example"];
    let preflight = [
        &origin[..],
        &["--request", "OPTIONS", "--header", "Access-Control-Request-Method: POST"],
        &["--header", "Access-Control-Request-Headers: authorization,content-type,idempotency-key"],
    ]
    .concat();
    let (status, headers) = curl.headers("/v1/containers", &preflight).await?;
    ensure!(status == 204, "{status} {headers:?}");
    let of = |headers: &[(String, String)], name: &str| {
        headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.to_lowercase()).unwrap_or_default()
    };
    ensure!(of(&headers, "access-control-allow-origin") == "*", "{headers:?}");
    ensure!(of(&headers, "access-control-allow-methods").contains("post"), "{headers:?}");
    for name in ["authorization", "content-type", "idempotency-key"] {
        ensure!(of(&headers, "access-control-allow-headers").contains(name), "{name}: {headers:?}");
    }
    // No cookies go with it: a page can do nothing in the name of who looks at it.
    ensure!(of(&headers, "access-control-allow-credentials").is_empty(), "{headers:?}");
    for (path, wanted) in [("/v1/price", 200), ("/v1/containers", 401), ("/v1/nothing", 404)] {
        let (status, headers) = curl.headers(path, &origin).await?;
        ensure!(status == wanted, "{path}: {status}");
        ensure!(of(&headers, "access-control-allow-origin") == "*", "{path}: {headers:?}");
    }
    Ok(())
}
