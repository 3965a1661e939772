//! What builder, launcher and maintainers signed.

use attestation::{Pcr, pcr_digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Kind;
use rcgen::DnType;

use super::{ACCEPTED, Family, Form};
use crate::draft::Draft;
use crate::stage::{Signing, npub, second_common_name};

const OTHER_REPO: &str = "https://example.com/other";

pub(super) fn families() -> Vec<Family> {
    vec![certificates(Form::Announcement, "certificate"), build(), instance(), release()]
}

/// The certificate that signs the image, in a build whose document and tags all agree with it.
pub(super) fn certificates(form: Form, part: &'static str) -> Family {
    let mut faults = Family::new(form, part);
    let mut add = |what: &str, code, spoil: fn(&mut Signing)| {
        faults.add(what, code, move |recipe, stage| {
            let certificate = stage.certificate(spoil);
            recipe.sign_image_with(&certificate);
        });
    };
    add("of the builder", ACCEPTED, |_| {});
    add("without a name", "builder_invalid", |it| drop(it.names.remove(0)));
    add("without O", "builder_invalid", |it| drop(it.names.remove(1)));
    add("O of somebody else", "builder_invalid", |it| it.names[1].1 = "Noster".to_owned());
    add("O in small letters", "builder_invalid", |it| it.names[1].1 = "nostr".to_owned());
    add("name with a space", "builder_invalid", |it| it.names[0].1.push(' '));
    add("two names, the first right", "builder_invalid", |it| {
        it.names.push((second_common_name(), "npub1other".to_owned()));
    });
    add("issued by another name", "builder_invalid", |it| {
        let mut names = it.names.clone();
        names[0].1 = "npub1other".to_owned();
        it.issuer_names = Some(names);
    });
    add("named by its issuer alone", "builder_invalid", |it| {
        it.issuer_names = Some(it.names.clone());
        it.names[0].1 = "npub1other".to_owned();
    });
    add("signed by another key", "builder_invalid", |it| it.by_another_key = true);
    add("of a P-256 key", "builder_invalid", |it| it.is_p256 = true);
    add("ended", "builder_invalid", |it| it.years = (2020, 2025));
    add("not begun", "builder_invalid", |it| it.years = (2026, 2030));
    let in_unit = |it: &mut Signing| it.names[0].0 = DnType::OrganizationalUnitName;
    let unit_code = if form == Form::Old { ACCEPTED } else { "builder_invalid" };
    add("named as OU", unit_code, in_unit);
    faults.add("of a stranger", "builder_invalid", |recipe, stage| {
        let certificate = stage.certificate(|it| it.names[0].1 = npub(&stage.stranger));
        recipe.sign_image_with(&certificate);
    });
    faults.add("of another image", "builder_invalid", |recipe, stage| {
        recipe.build.set("cert", STANDARD.encode(stage.certificate(|_| {})));
    });
    faults.add("of a builder who did not sign the event", "builder_invalid", |recipe, stage| {
        recipe.build.keys = stage.stranger.clone();
    });
    faults
}

fn build() -> Family {
    let mut faults = Family::new(Form::Announcement, "build");
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.build));
    };
    add("cert missing", "builder_invalid", |it| it.drop("cert"));
    add("cert empty", "builder_invalid", |it| it.set("cert", ""));
    add("cert twice", "builder_invalid", |it| it.double("cert", None));
    add("cert in armour", ACCEPTED, |it| {
        let body = it.get("cert");
        it.set("cert", format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"));
    });
    add("cert in lines", ACCEPTED, |it| {
        let body = it.get("cert");
        it.set("cert", format!("{}\n{}", &body[..64], &body[64..]));
    });
    add("cert in armour on one line", ACCEPTED, |it| {
        let body = it.get("cert");
        it.set("cert", format!("-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----"));
    });
    add("cert is no base64", "builder_invalid", |it| it.set("cert", "*certificate*"));
    add("cert cut short", "builder_invalid", |it| {
        let body = it.get("cert");
        it.set("cert", &body[..body.len() - 4]);
    });
    add("cert goes on", "builder_invalid", |it| {
        let mut der = STANDARD.decode(it.get("cert")).unwrap();
        der.push(0);
        it.set("cert", STANDARD.encode(der));
    });
    add("cert is too long", "builder_invalid", |it| it.set("cert", "A".repeat(20_000)));
    add("PCR8 missing", ACCEPTED, |it| it.drop("PCR8"));
    add("PCR8 of another image", "builder_invalid", |it| it.set("PCR8", pcr_digest(b"other")));
    add("PCR8 twice", "builder_invalid", |it| it.double("PCR8", None));
    add("PCR8 in capitals", "builder_invalid", |it| it.set("PCR8", it.get("PCR8").to_uppercase()));
    add("r missing", "builder_invalid", |it| it.drop("r"));
    add("r of another repository", "builder_invalid", |it| it.set("r", OTHER_REPO));
    add("r twice", "builder_invalid", |it| it.double("r", Some(OTHER_REPO)));
    add("t missing", ACCEPTED, |it| it.drop("t"));
    add("t of another use", "builder_invalid", |it| it.set("t", "prod"));
    add("t twice", "builder_invalid", |it| it.double("t", Some("prod")));
    add("t of nothing known", "builder_invalid", |it| it.set("t", "developement"));
    add("v missing", ACCEPTED, |it| it.drop("v"));
    add("v of another version", "builder_invalid", |it| it.set("v", "1.2.4"));
    add("v twice", "builder_invalid", |it| it.double("v", None));
    add("of the older kind", "builder_invalid", |it| it.kind = Kind::Custom(63_795));
    faults.add("of an image that is not signed", "builder_invalid", |recipe, _| {
        recipe.set_pcr(8, Pcr::ZERO);
        recipe.build.set("PCR8", Pcr::ZERO);
    });
    faults.add("is the launcher's", "builder_invalid", |recipe, _| recipe.build = recipe.instance.clone());
    faults
}

fn instance() -> Family {
    let mut faults = Family::new(Form::Announcement, "instance");
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.instance));
    };
    add("PCR4 missing", "launcher_invalid", |it| it.drop("PCR4"));
    add("PCR4 empty", "launcher_invalid", |it| it.set("PCR4", ""));
    add("PCR4 of another machine", "launcher_invalid", |it| it.set("PCR4", pcr_digest(b"i-elsewhere")));
    add("PCR4 not hashed", "launcher_invalid", |it| it.set("PCR4", "i-0123456789abcdef0"));
    add("PCR4 in capitals", "launcher_invalid", |it| it.set("PCR4", it.get("PCR4").to_uppercase()));
    add("PCR4 twice", "launcher_invalid", |it| {
        it.double("PCR4", Some(&pcr_digest(b"i-elsewhere").to_string()));
    });
    add("PCR4 as an x tag", "launcher_invalid", |it| {
        let value = it.get("PCR4");
        it.drop("PCR4");
        it.add(&["x", &value, "PCR4"]);
    });
    add("t missing", ACCEPTED, |it| it.drop("t"));
    add("t of another use", "launcher_invalid", |it| it.set("t", "prod"));
    add("t of nothing known", "launcher_invalid", |it| it.set("t", "production"));
    add("of the older kind", "launcher_invalid", |it| it.kind = Kind::Custom(63_796));
    faults.add("of a parent that is not named", "launcher_invalid", |recipe, _| {
        recipe.set_pcr(4, Pcr::ZERO);
        recipe.instance.set("PCR4", Pcr::ZERO);
    });
    faults.add("is the builder's", "launcher_invalid", |recipe, _| recipe.instance = recipe.build.clone());
    faults
}

fn release() -> Family {
    let mut faults = Family::new(Form::Announcement, "release");
    for index in ["PCR0", "PCR1", "PCR2"] {
        let mut of = |what: &str, change: fn(&mut Draft, &str)| {
            faults.add(&format!("{index} {what}"), "release_invalid", move |recipe, _| {
                change(&mut recipe.releases[0], index);
            });
        };
        of("missing", |it, index| it.drop_marked("x", index));
        of("of another build", |it, index| it.set_marked("x", index, pcr_digest(b"other")));
        of("zero", |it, index| it.set_marked("x", index, Pcr::ZERO));
        of("empty", |it, index| it.set_marked("x", index, ""));
        of("in capitals", |it, index| {
            let value = it.get_marked("x", index);
            it.set_marked("x", index, value.to_uppercase());
        });
        of("twice", |it, index| it.add(&["x", &pcr_digest(b"other").to_string(), index]));
    }
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.releases[0]));
    };
    add("registers without markers", "release_invalid", |it| {
        it.tags.iter_mut().filter(|tag| tag[0] == "x").for_each(|tag| tag.truncate(2));
    });
    add("registers in tags of their own", "release_invalid", |it| {
        for tag in it.tags.iter_mut().filter(|tag| tag[0] == "x") {
            *tag = vec![tag[2].clone(), tag[1].clone()];
        }
    });
    add("r missing", "release_invalid", |it| it.drop("r"));
    add("r of another repository", "release_invalid", |it| it.set("r", OTHER_REPO));
    add("r twice", "release_invalid", |it| it.double("r", Some(OTHER_REPO)));
    add("t missing", ACCEPTED, |it| it.drop("t"));
    add("t of another use", "release_invalid", |it| it.set("t", "prod"));
    add("t twice", "release_invalid", |it| it.double("t", Some("prod")));
    add("t of nothing known", "release_invalid", |it| it.set("t", "PROD"));
    add("v missing", ACCEPTED, |it| it.drop("v"));
    add("v of another version", "release_invalid", |it| it.set("v", "1.2.4"));
    add("v twice", "release_invalid", |it| it.double("v", None));
    add("of the older kind", "release_invalid", |it| it.kind = Kind::Custom(63_792));
    faults.add("second of another build", "release_invalid", |recipe, _| {
        recipe.releases[1].set_marked("x", "PCR0", pcr_digest(b"other"));
    });
    faults.add("second of another repository", "release_invalid", |recipe, _| {
        recipe.releases[1].set("r", OTHER_REPO);
    });
    faults.add("is the builder's", "release_invalid", |recipe, _| recipe.releases[0] = recipe.build.clone());
    faults
}
