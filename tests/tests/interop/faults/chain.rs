//! The certificates of the attestation document.

use attestation_sim::{BasicConstraints, CertificateSpec, KeyUse};

use super::{ACCEPTED, Family, Form};
use crate::foreign_root;
use crate::recipe::{Certificates, Recipe};
use crate::stage::NOW;

/// From below the root: what the certificates are called here.
const PLACES: [&str; 4] = ["region", "zone", "instance", "leaf"];

pub(super) fn families() -> Vec<Family> {
    vec![validity(), authority(), leaf(), bundle(), roots()]
}

/// The certificate at this place, before it is issued.
fn at(recipe: &mut Recipe, place: usize) -> &mut CertificateSpec {
    let chain = &mut recipe.forge.chain;
    chain.authorities.get_mut(place).unwrap_or(&mut chain.leaf)
}

fn validity() -> Family {
    let mut faults = Family::new(Form::Announcement, "chain");
    for (place, name) in PLACES.iter().enumerate() {
        faults.add(&format!("{name} ended a second ago"), "certificate_expired", move |recipe, _| {
            at(recipe, place).not_after = NOW.minus_secs(1);
        });
        faults.add(&format!("{name} begins in a second"), "certificate_not_yet_valid", move |recipe, _| {
            at(recipe, place).not_before = NOW.plus_secs(1);
        });
    }
    faults.add("judged when the leaf has ended", "certificate_expired", |recipe, _| {
        recipe.judge_at(NOW.plus_secs(3 * 3_600 + 1));
    });
    faults.add("judged before the leaf begins", "certificate_not_yet_valid", |recipe, _| {
        recipe.judge_at(NOW.minus_secs(4));
    });
    faults.add("judged before the document was made", "timestamp_invalid", |recipe, _| {
        recipe.judge_at(NOW.minus_secs(3));
    });
    faults.add("judged in the leaf's last second", ACCEPTED, |recipe, _| {
        recipe.judge_at(NOW.plus_secs(3 * 3_600));
    });
    faults
}

fn authority() -> Family {
    let mut faults = Family::new(Form::Announcement, "authority");
    for (place, name) in PLACES.iter().enumerate().take(3) {
        let mut add = |what: &str, change: fn(&mut CertificateSpec)| {
            faults.add(&format!("{name} {what}"), "chain_untrusted", move |recipe, _| {
                change(at(recipe, place));
            });
        };
        add("is no authority", |it| {
            it.basic_constraints = Some(BasicConstraints { is_authority: false, path_length: None });
        });
        add("does not say that it is one", |it| it.basic_constraints = None);
        add("may not sign certificates", |it| it.key_uses = vec![KeyUse::DigitalSignature]);
        add("names another issuer", |it| it.issuer_common_name = Some("aws.nitro-enclaves".to_owned()));
        add("has an unknown critical extension", |it| {
            it.extensions.push((vec![1, 2, 3, 4], true, vec![5, 0]));
        });
    }
    // Below the region stand two authorities, below the zone one.
    for (place, name) in PLACES.iter().enumerate().take(2) {
        faults.add(&format!("{name} allows none below"), "chain_untrusted", move |recipe, _| {
            let constraints = BasicConstraints { is_authority: true, path_length: Some(0) };
            at(recipe, place).basic_constraints = Some(constraints);
        });
    }
    faults
}

fn leaf() -> Family {
    let mut faults = Family::new(Form::Announcement, "leaf");
    faults.add("may not sign documents", "chain_untrusted", |recipe, _| {
        recipe.forge.chain.leaf.key_uses = vec![KeyUse::CertificateSigning];
    });
    faults.add("names another issuer", "chain_untrusted", |recipe, _| {
        recipe.forge.chain.leaf.issuer_common_name = Some("aws.nitro-enclaves".to_owned());
    });
    faults.add("has an unknown critical extension", "chain_untrusted", |recipe, _| {
        recipe.forge.chain.leaf.extensions.push((vec![1, 2, 3, 4], true, vec![5, 0]));
    });
    faults.add("has an unknown extension", ACCEPTED, |recipe, _| {
        recipe.forge.chain.leaf.extensions.push((vec![1, 2, 3, 4], false, vec![5, 0]));
    });
    faults
}

fn bundle() -> Family {
    let mut faults = Family::new(Form::Announcement, "bundle");
    let mut add = |what: &str, code, change: fn(&mut Certificates)| {
        faults.add(what, code, move |recipe, _| recipe.certificates.push(Box::new(change)));
    };
    add("empty", "payload_malformed", |it| it.bundle.clear());
    add("the root alone", "chain_untrusted", |it| it.bundle.truncate(1));
    add("without the root", "chain_untrusted", |it| drop(it.bundle.remove(0)));
    add("without the region", "chain_untrusted", |it| drop(it.bundle.remove(1)));
    add("without the zone", "chain_untrusted", |it| drop(it.bundle.remove(2)));
    add("without the instance", "chain_untrusted", |it| drop(it.bundle.remove(3)));
    add("upside down", "chain_untrusted", |it| it.bundle.reverse());
    add("zone twice", "chain_untrusted", |it| it.bundle.insert(2, it.bundle[2].clone()));
    add("root twice", "chain_untrusted", |it| it.bundle.insert(0, it.bundle[0].clone()));
    add("leaf in it", "chain_untrusted", |it| it.bundle.push(it.leaf.clone()));
    add("an empty certificate", "payload_malformed", |it| it.bundle[1].clear());
    add("no certificate but text", "chain_untrusted", |it| it.bundle[1] = b"certificate".to_vec());
    add("bytes after a certificate", "chain_untrusted", |it| it.bundle[1].push(0));
    add("bytes after the leaf", "chain_untrusted", |it| it.leaf.push(0));
    add("leaf cut short", "chain_untrusted", |it| it.leaf.truncate(it.leaf.len() - 1));
    add("leaf empty", "payload_malformed", |it| it.leaf.clear());
    add("an authority as the leaf", "chain_untrusted", |it| it.leaf = it.bundle[3].clone());
    add("root's signature flipped", "chain_untrusted", |it| flip_last(&mut it.bundle[0]));
    for place in 1..4 {
        let name = PLACES[place - 1];
        faults.add(&format!("{name}'s signature flipped"), "chain_untrusted", move |recipe, _| {
            recipe.certificates.push(Box::new(move |it: &mut Certificates| flip_last(&mut it.bundle[place])));
        });
    }
    faults.add("leaf's signature flipped", "chain_untrusted", |recipe, _| {
        recipe.certificates.push(Box::new(|it: &mut Certificates| flip_last(&mut it.leaf)));
    });
    faults.add("zone of another chain", "chain_untrusted", |recipe, stage| {
        let other = recipe.forge.chain.clone().issue(&stage.root).unwrap();
        let zone = other.cabundle()[2].clone();
        recipe.certificates.push(Box::new(move |it: &mut Certificates| it.bundle[2] = zone));
    });
    faults
}

fn flip_last(certificate: &mut [u8]) {
    if let Some(last) = certificate.last_mut() {
        *last ^= 1;
    }
}

fn roots() -> Family {
    let mut faults = Family::new(Form::Announcement, "root");
    faults.add("another of the same name", "chain_untrusted", |recipe, _| {
        recipe.issuer = Some(foreign_root::of_the_same_name());
    });
    faults.add("another of the same name and serial number", "chain_untrusted", |recipe, stage| {
        recipe.issuer = Some(foreign_root::of_the_same_serial(&stage.root));
    });
    faults.add("another, with the trusted one in front", "chain_untrusted", |recipe, stage| {
        recipe.issuer = Some(foreign_root::of_the_same_name());
        let trusted = stage.root.der().to_vec();
        recipe.certificates.push(Box::new(|it: &mut Certificates| it.bundle[0] = trusted));
    });
    faults.add("another, beside the trusted one", "chain_untrusted", |recipe, stage| {
        recipe.issuer = Some(foreign_root::of_the_same_name());
        let trusted = stage.root.der().to_vec();
        recipe.certificates.push(Box::new(|it: &mut Certificates| it.bundle.insert(0, trusted)));
    });
    faults
}
