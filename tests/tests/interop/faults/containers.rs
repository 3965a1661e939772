//! A container's public event: the certificate below the attestation, and what the event says.

use nostr::event::Kind;

use super::events::{AFTER_SIGNING, flip};
use super::{ACCEPTED, Family, Form, document};
use crate::draft::Draft;
use crate::stage::{IMAGE, NOW};

const LEAF_END: u64 = NOW.0 + 3 * 3_600;

pub(super) fn families() -> Vec<Family> {
    vec![itself(), certificate(), attestation()]
}

fn itself() -> Family {
    let mut faults = Family::new(Form::Container, "container");
    for (name, code, change) in AFTER_SIGNING {
        faults.add(name, code, move |recipe, _| recipe.event.twist(change));
    }
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.event));
    };
    add("as it was", ACCEPTED, |_| {});
    add("is a note", "event_invalid", |it| it.kind = Kind::TextNote);
    add("tee_root missing", "event_invalid", |it| it.drop("tee_root"));
    add("tee_root twice", "event_invalid", |it| it.double("tee_root", None));
    add("tee_cert missing", "key_mismatch", |it| it.drop("tee_cert"));
    add("tee_cert twice", "key_mismatch", |it| it.double("tee_cert", None));
    add("another image", "event_invalid", |it| it.set_marked("r", "docker", IMAGE.replace("cd", "ef")));
    add("image missing", "event_invalid", |it| it.drop_marked("r", "docker"));
    add("a second image", "event_invalid", |it| it.add(&["r", "registry.example/other", "docker"]));
    add("prod, attested dev", "event_invalid", |it| it.set("t", "prod"));
    add("another service", "key_mismatch", |it| it.set_marked("p", "enclaved", "11".repeat(32)));
    add("app that is no key", "event_invalid", |it| it.set_marked("p", "app", "app"));
    add("two apps", "event_invalid", |it| it.add(&["p", &"11".repeat(32), "app"]));
    add("two owners", "event_invalid", |it| it.add(&["p", &"11".repeat(32), "admin"]));
    add("without expiration", ACCEPTED, |it| it.drop("expiration"));
    add("expired", "expired", |it| it.set("expiration", NOW.0 - 1));
    add("outlives its evidence", "event_invalid", |it| it.set("expiration", LEAF_END + 1));
    add("expiration is no number", "event_invalid", |it| it.set("expiration", "soon"));
    faults.add("published by a stranger", "key_mismatch", |recipe, stage| {
        recipe.event.keys = stage.stranger.clone();
    });
    faults.add("published by the service", "key_mismatch", |recipe, stage| {
        recipe.event.keys = stage.service.clone();
    });
    faults.add("service's release of another build", "release_invalid", |recipe, _| {
        recipe.releases[0].set_marked("x", "PCR0", attestation::pcr_digest(b"other"));
    });
    faults.add("service of another repository", "ref_mismatch", |recipe, _| {
        recipe.policy.repo = Some("https://example.com/other".to_owned());
    });
    faults.add("service's maintainer did not sign", "release_missing", |recipe, stage| {
        recipe.policy.maintainers = [stage.stranger.public_key()].into();
    });
    faults
}

fn certificate() -> Family {
    let mut faults = Family::new(Form::Container, "tee_cert");
    for (name, code, change) in AFTER_SIGNING {
        faults.add(name, code, move |recipe, _| recipe.certificate.twist(change));
    }
    for field in ["id", "pubkey", "sig"] {
        faults.add(&format!("{field} flipped"), "event_invalid", move |recipe, _| {
            recipe.certificate.twist(flip(field));
        });
    }
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.certificate));
    };
    add("is a note", "event_invalid", |it| it.kind = Kind::TextNote);
    add("of the attestation's kind", "event_invalid", |it| it.kind = Kind::Custom(23_793));
    add("text cut short", "event_invalid", |it| it.rewrite(|text| text[..text.len() - 1].to_owned()));
    add("for another key", "key_mismatch", |it| it.set("p", "11".repeat(32)));
    add("for nobody", "event_invalid", |it| it.drop("p"));
    add("for two keys", "event_invalid", |it| it.double("p", Some(&"11".repeat(32))));
    add("for what is no key", "event_invalid", |it| it.set("p", "container"));
    add("without expiration", "event_invalid", |it| it.drop("expiration"));
    add("expired", "expired", |it| it.set("expiration", NOW.0 - 1));
    add("ends now", "event_invalid", |it| it.set("expiration", NOW));
    add("outlives the leaf", "event_invalid", |it| it.set("expiration", LEAF_END + 1));
    add("expiration twice", "event_invalid", |it| it.double("expiration", Some("9999999999")));
    add("without an image", "event_invalid", |it| it.drop("r"));
    add("two images", "event_invalid", |it| it.double("r", Some("docker://registry.example/other")));
    add("image by its tag", "event_invalid", |it| it.set("r", "docker://registry.example/echo:latest"));
    add("image without docker://", "event_invalid", |it| it.set("r", IMAGE));
    add("image's digest cut short", "event_invalid", |it| {
        let image = it.get("r");
        it.set("r", &image[..image.len() - 1]);
    });
    add("image's digest in capitals", "event_invalid", |it| {
        it.set("r", it.get("r").replace("cd", "CD"));
    });
    add("manifest that is no hash", "event_invalid", |it| it.set_marked("x", "manifest", "ab"));
    add("manifest twice", "event_invalid", |it| it.double("x", None));
    add("without a manifest", ACCEPTED, |it| it.drop("x"));
    faults.add("by a stranger", "key_mismatch", |recipe, stage| {
        recipe.certificate.keys = stage.stranger.clone();
    });
    faults.add("by the container itself", "key_mismatch", |recipe, stage| {
        recipe.certificate.keys = stage.container.clone();
    });
    faults
}

fn attestation() -> Family {
    let mut faults = Family::new(Form::Container, "container's tee_root");
    for (name, code, change) in AFTER_SIGNING {
        faults.add(name, code, move |recipe, _| recipe.root.twist(change));
    }
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.root));
    };
    add("is a note", "event_invalid", |it| it.kind = Kind::TextNote);
    add("without expiration", "event_invalid", |it| it.drop("expiration"));
    add("expired", "expired", |it| it.set("expiration", NOW.0 - 1));
    add("outlives the leaf", "event_invalid", |it| it.set("expiration", LEAF_END + 1));
    add("prod, said dev", "event_invalid", |it| it.set("t", "prod"));
    document::add_a_few(&mut faults);
    faults
}
