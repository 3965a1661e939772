//! Makes the seeds and the first inputs of every target anew, with new keys. Only needed when what they
//! show changes: `cargo run --example corpus` in this folder.

use std::error::Error;
use std::fs;
use std::path::Path;

use attestation::nsm::{NsmRequest, NsmResponse};
use attestation::{VerifyAt, verify};
use attestation_sim::{Forge, SimRoot};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fuzz::{NOW, enveloped, keys};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = SimRoot::generate()?;
    let mut forge = Forge::at(NOW);
    forge.payload.public_key = Some(keys(0).public_key().to_bytes().to_vec());
    forge.payload.nonce = Some(vec![4; 20]);
    let chain = forge.chain.clone().issue(&root)?;
    let payload = forge.payload.encode(chain.certificate(), chain.cabundle());
    let document = attestation_sim::sign(&payload, chain.leaf_key())?;
    let verified = verify(&document, &Default::default(), root.trust_root(), VerifyAt::DocumentTime)?;
    let pcr4 = verified.pcr(4).ok_or("the document has no PCR4")?.to_string();
    fs::create_dir_all(here.join("seeds"))?;
    fs::write(here.join("seeds/root.der"), root.der())?;
    fs::write(here.join("seeds/document.cbor"), &document)?;

    let put = |target: &str, name: &str, input: &[u8]| -> Result<()> {
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), input)?)
    };
    put("cose", "document", &document)?;
    put("cose", "tagged", &[&[0xd2], &document[..]].concat())?;
    put("cose", "base64", STANDARD.encode(&document).as_bytes())?;
    put("cose", "small", &enveloped(&[0xa0]))?;
    put("chain", "payload", &payload)?;
    forge.payload.is_definite = true;
    put("chain", "payload-definite", &forge.payload.encode(chain.certificate(), chain.cabundle()))?;
    for (name, der) in ["root", "region", "zone", "instance"].iter().zip(chain.cabundle()) {
        put("chain", name, der)?;
    }
    put("chain", "leaf", chain.certificate())?;
    put("cbor", "payload", &payload)?;
    cbor(&put)?;
    put("verify", "unchanged", &[])?;
    put("verify", "tag", &[0, 0, 1, 0xd2])?;
    put("verify", "bits", &[0, 200, 0, 1, 1, 44, 0, 128, 10, 0, 0, 4])?;
    put("verify", "cut", &[12, 0, 3, 0])?;
    put("verify", "copied", &[0, 40, 4, 60])?;
    events(&put, &document, &pcr4)?;
    keycrux(&put)?;
    backup(&put)?;
    dm(&put)?;
    rpc(&put)
}

type Put<'a> = dyn Fn(&str, &str, &[u8]) -> Result<()> + 'a;

fn cbor(put: &Put<'_>) -> Result<()> {
    let requests = [
        NsmRequest::DescribePcr { index: 3 },
        NsmRequest::ExtendPcr { index: 16, data: vec![7; 20] },
        NsmRequest::LockPcr { index: 16 },
        NsmRequest::LockPcrs { range: 20 },
        NsmRequest::DescribeNsm,
        NsmRequest::GetRandom,
        NsmRequest::Attestation { user_data: None, nonce: Some(vec![1; 20]), public_key: Some(vec![2; 32]) },
    ];
    for (number, request) in requests.iter().enumerate() {
        put("cbor", &format!("request-{number}"), &request.encode())?;
    }
    put("cbor", "response-document", &NsmResponse::Attestation { document: vec![1; 40] }.encode())?;
    let framed = [&[0, 0, 0, 10], &requests[4].encode()[..]].concat();
    put("cbor", "frame", &framed)?;
    // Every kind of item once (RFC 8949, appendix A).
    put("cbor", "items", b"\x9f\x00\x18\x64\x38\x63\x44\x01\x02\x03\x04\x64IETF\xbf\x61a\xf5\x61b\xf6\xff\xc1\x1a\x51\x4b\x67\xb0\xf9\x7e\x00\xf4\xff")
}

fn events(put: &Put<'_>, document: &[u8], pcr4: &str) -> Result<()> {
    let soon = (NOW.0 + 3_600).to_string();
    let service = keys(0).public_key().to_hex();
    let container = keys(1).public_key().to_hex();
    let pcrs = attestation_sim::image_pcrs("forged image");
    let pcr_tags = || (0..3).map(|index| json!(["x", pcrs[index].to_string(), format!("PCR{index}")]));
    let tagged = |tags: Vec<Value>, more: Vec<Value>| Value::Array([tags, more].concat());
    let root = json!({"kind": 23_793, "tags": [["-"], ["t", "dev"], ["expiration", soon]],
        "content": STANDARD.encode(document)});
    let release = json!({"by": 3, "kind": 63_794, "content": "", "tags": tagged(
        vec![json!(["r", "https://example.com/enclaved"]), json!(["t", "dev"]), json!(["v", "1.2.3"])],
        pcr_tags().collect())});
    let launcher = json!({"by": 4, "kind": 23_795, "content": "", "tags": [["t", "dev"],
        ["x", attestation::pcr_digest(b"i-0123456789abcdef0").to_string(), "PCR4"]]});
    let builder = json!({"by": 5, "kind": 23_794, "content": "", "tags": [["t", "dev"],
        ["cert", "AAAA"], ["x", attestation::pcr_digest(b"").to_string(), "PCR8"]]});
    let announced = vec![
        json!(["r", "https://example.com/enclaved"]),
        json!(["name", "enclaved"]),
        json!(["v", "1.2.3"]),
        json!(["t", "dev"]),
        json!(["expiration", soon]),
        json!(["o", "true"]),
        json!(["tee_root", root]),
        json!(["relay", "wss://relay.example.com"]),
        json!(["price", "5000", "3600"]),
        json!(["units_free", "90", "100"]),
    ];
    let announcement = |more: Vec<Value>| {
        json!({"kind": 13_793, "content": "",
        "tags": tagged([announced.clone(), pcr_tags().collect()].concat(), more)})
    };
    let certificate = json!({"kind": 23_797, "content": "", "tags": [["p", container, "container"],
        ["r", "docker://example.com/echo@sha256:0000000000000000000000000000000000000000000000000000000000000000"],
        ["expiration", soon], ["x", "00".repeat(32), "manifest"]]});
    let of_container = json!({"by": 1, "kind": 63_797, "content": "", "tags": [["p", service, "enclaved"],
        ["tee_root", root], ["tee_cert", certificate], ["expiration", soon], ["state", "deployed"],
        ["balance", "10"], ["units", "1"], ["upgrade", "none"], ["t", "dev"],
        ["r", "example.com/echo@sha256:0000000000000000000000000000000000000000000000000000000000000000", "docker"],
        ["r", "https://example.com/enclaved", "enclaved"], ["endpoint", "8080", "127.0.0.1", "4000"]]});
    let older = json!({"kind": 63_793, "content": STANDARD.encode(document), "tags": [
        ["r", "https://example.com/enclaved"], ["t", "dev"], ["expiration", soon],
        ["build", {"by": 5, "kind": 63_795, "tags": [["t", "dev"], ["cert", "AAAA"]]}]]});
    let genesis = json!({"by": 4, "kind": 23_796, "content": "", "tags": [["-"], ["t", "dev"], ["PCR4", pcr4],
        ["p", container], ["expiration", soon]]});
    let approval = json!({"by": 3, "kind": 63_794, "content": "", "tags": [["r", "https://example.com/enclaved"],
        ["t", "dev"], ["policy", "ab".repeat(32), "cd".repeat(32)]]});
    for (name, draft) in [
        ("announcement", announcement(vec![])),
        ("announcement-released", announcement(vec![json!(["release", release.clone()])])),
        ("announcement-launched", announcement(vec![json!(["instance", launcher])])),
        ("announcement-built", announcement(vec![json!(["build", builder])])),
        ("container", of_container),
        ("root", root.clone()),
        ("older", older),
        ("release", release.clone()),
        ("genesis", genesis),
        ("approval", approval),
    ] {
        let text = serde_json::to_string(&draft)?;
        put("nec", name, text.as_bytes())?;
        let signed =
            serde_json::from_value::<fuzz::Draft>(draft)?.signed().ok_or("a draft cannot be signed")?;
        if ["root", "announcement-launched"].contains(&name) {
            put("event", name, signed.as_json().as_bytes())?;
        }
    }
    let small: fuzz::Draft = serde_json::from_value(json!({"kind": 1, "tags": [["expiration", soon]]}))?;
    let small = small.signed().ok_or("a draft cannot be signed")?;
    put("event", "small", small.as_json().as_bytes())
}

fn keycrux(put: &Put<'_>) -> Result<()> {
    let (one, two) = (keys(3).public_key().to_hex(), keys(4).public_key().to_hex());
    let policy = json!({"ref": "repo", "release_pubkeys": [one, two], "t": "prod", "threshold": 1,
        "min_delay_secs": 60, "min_version": "1.2.0", "revoked": ["1.3.0", "ab".repeat(48)]});
    let pcr = |digit: &str| digit.repeat(96);
    let signed = json!({"signed": {"ref": "repo", "t": "dev", "release_pubkeys": [one], "threshold": 1}});
    let identity = json!({"pcr4": pcr("4"), "founded": signed, "genesis": "ab".repeat(32)});
    let exact = json!({"pcr4": pcr("4"), "founded": {"exact": {"pcrs": [pcr("1"), pcr("2"), pcr("3")]}}});
    let epoch = json!({"round": 1, "holder": "07".repeat(16)});
    let stamp = json!({"epoch": epoch, "seq": 1});
    let build = json!({"pcrs": [pcr("1"), pcr("2"), pcr("3")], "version": "1.2.3", "since": 1});
    let data = json!({"identity": identity, "policy": policy, "lineage": [build], "material": {"data": "secret"}});
    let split = json!({"threshold": 2, "shares": [{"dealing": stamp, "x": 1, "bytes": "ab01"}]});
    let shares = json!({"identity": exact, "policy": {}, "lineage": [build], "material": {"split": split}});
    let body = json!({"stamp": stamp, "value": data});
    let head = json!({"stamp": stamp, "value": {"generation": 1, "digest": "05".repeat(32)}});
    let member = "03".repeat(32);
    let seats = json!({member.clone(): {"count": 1, "boot": member}});
    let origin = json!({"member": member, "incarnation": {"count": 1, "boot": member},
        "view": {"group": "06".repeat(32), "seats": seats}});
    for (name, value) in [
        ("policy", policy.clone()),
        ("identity", identity.clone()),
        ("identity-exact", exact.clone()),
        ("body", data),
        ("body-split", shares),
        ("set", json!({"attestation": "AAAA", "data": "d", "policy": policy, "input": {"ref": "repo"}})),
        ("get", json!({"attestation": "AAAA", "identity": identity})),
        ("lease", json!({"attestation": "AAAA", "identity": identity, "epoch": epoch})),
        (
            "advance",
            json!({"attestation": "AAAA", "identity": exact, "epoch": epoch, "group": "06".repeat(32),
                "body": body, "head": head}),
        ),
        (
            "check",
            json!({"build": {"pcrs": [pcr("1"), pcr("2"), pcr("3")], "pcr4": pcr("4")},
                "genesis": "ab".repeat(32)}),
        ),
        ("has", json!({"PCR4": pcr("4")})),
        ("head", json!({"record": "05".repeat(32)})),
        (
            "status",
            json!({"version": "1.2.3", "env": "dev", "serving": true, "origin": origin, "members": 3,
                "writes": 2, "records": 1, "records_max": 2, "data_bytes_max": 3, "ttl_secs": 4}),
        ),
    ] {
        put("keycrux", name, value.to_string().as_bytes())?;
    }
    Ok(())
}

fn backup(put: &Put<'_>) -> Result<()> {
    let frame = |value: Value| {
        let text = value.to_string();
        let length = u32::try_from(text.len()).unwrap_or_default().to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    };
    let (id, instance) = ("05".repeat(32), "01".repeat(16));
    let head = json!({"generation": 1, "manifest": id});
    let requests = [
        json!({"op": "open", "version": 1, "instance": instance}),
        json!({"op": "lacking", "objects": 2}),
        json!({"op": "put", "object": id, "bytes": 4}),
        json!({"op": "commit", "head": head, "objects": 1}),
        json!({"op": "confirm", "head": head}),
        json!({"op": "get", "object": id}),
        json!({"op": "list"}),
    ];
    put("backup", "requests", &requests.map(frame).concat())?;
    let generation = json!({"head": head, "committed_at": 1, "confirmed": true});
    let replies = [
        json!({"re": "opened"}),
        json!({"re": "lacking", "objects": 1}),
        json!({"re": "object", "bytes": 4}),
        json!({"re": "generations", "generations": [generation]}),
        json!({"re": "refused", "code": "no_space", "message": "m"}),
    ];
    put("backup", "replies", &replies.map(frame).concat())?;
    // Headers of age, for somebody else (age-encryption.org/v1).
    let stanza = "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U";
    let mac = "--- Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7qI0\n";
    put("backup", "age", format!("age-encryption.org/v1\n{stanza}\n{mac}0123456789abcdef0123456789abcdef").as_bytes())?;
    put("backup", "age-headless", format!("{stanza}\n{mac}").as_bytes())
}

fn dm(put: &Put<'_>) -> Result<()> {
    for (name, text) in [
        ("help", "help"),
        (
            "deploy",
            "deploy example.com/echo:1 units 2 name blog env K=V env TITLE=\"two words\" port 8080 volume /data egress none upgrade auto logs on exec off args /bin/sh -c 'echo a'",
        ),
        ("status", "/STATUS on blog"),
        ("logs", "logs 20 npub1sg6plzptd64u62a878hep2kev88swjh3tw00gjsfl8f237lmu63q0uf63m"),
        ("topup", "topup 500 sats blog"),
        (
            "upgrade",
            "upgrade docker://example.com/echo@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 on blog",
        ),
        ("mention", "hello @Enclaved, deploy example.com/echo units 3"),
        ("quotes", "deploy 'a\"b' name \"unclosed"),
        ("number", "logs 99999999999999999999"),
    ] {
        put("dm", name, text.as_bytes())?;
    }
    Ok(())
}

fn rpc(put: &Put<'_>) -> Result<()> {
    for (name, text) in [
        ("ping", r#"{"id":"1","method":"ping","params":{}}"#),
        (
            "launch",
            r#"{"id":"2","method":"launch","params":{"docker":"example.com/echo:1","units":1,"name":"a","env":{"K":"V"},"ports":[8080],"args":["x"],"volumes":["/data"],"egress":"none","upgrade":"none"}}"#,
        ),
        (
            "number",
            r#"{"id":"3","method":"status","params":{"n":80333333333333333333333333333333333333333333380}}"#,
        ),
        ("reply", r#"{"id":"1","result":"pong"}"#),
        ("refusal", r#"{"id":"1","error":"no","code":"bad_request"}"#),
        ("nwc-pay", r#"{"method":"pay_invoice","params":{"invoice":"lnbcrt1","amount":1000}}"#),
        (
            "nwc-make",
            r#"{"method":"make_invoice","params":{"amount":1000,"description":"d","expiry":60,"metadata":{"a":1}}}"#,
        ),
        (
            "nwc-list",
            r#"{"method":"list_transactions","params":{"from":1,"until":2,"limit":3,"offset":0,"unpaid":true,"type":"incoming"}}"#,
        ),
        (
            "nwc-lookup",
            r#"{"method":"lookup_invoice","params":{"payment_hash":"0000000000000000000000000000000000000000000000000000000000000000"}}"#,
        ),
        (
            "uri",
            "nostr+walletconnect://b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4?relay=wss%3A%2F%2Frelay.example.com&secret=71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c&lud16=a@example.com",
        ),
    ] {
        put("rpc", name, text.as_bytes())?;
    }
    put("rpc", "frames", b"\0\0\0\x02{}\0\0\0\x04null\0\0\0\x05[1,2]")
}
