//! What is said, in plain sentences.

use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use protocol::dm::{HELP, deploy_text};
use protocol::rpc::Failure;
use protocol::rpc::enclaved::{
    ContainerInfo, ContainerList, ContainerStatus, ContainerSummary, Invoice, LaunchParams, LaunchReply,
    Logs, Quote, Terms,
};
use relay::dm::{TEXT_BYTES_MAX, escaped_bytes};
use units::{Msat, UnixSecs, calendar};

const MEGABYTE: u64 = 1_000_000;
/// Longest launch that is repeated; the rest of a message is for what stands around it.
const DEPLOY_BYTES_MAX: usize = TEXT_BYTES_MAX - 4_000;

pub(super) fn npub(key: &PublicKey) -> String {
    key.to_bech32().unwrap_or_else(|_| key.to_hex())
}

/// What its owner calls it.
pub(super) fn named(info: &ContainerInfo) -> String {
    info.name.clone().unwrap_or_else(|| npub(&info.pubkey))
}

pub(super) fn failure(failure: &Failure) -> String {
    format!("That did not work: {}. [{}]", failure.message.trim_end_matches('.'), failure.code)
}

pub(super) fn help(server: &str) -> String {
    format!(
        "This is {server}: it runs Docker images in an enclave, paid over Lightning. Write one of:\n{HELP}"
    )
}

pub(super) fn not_understood() -> String {
    "I know a few commands only. Write help to see them.".to_owned()
}

pub(super) fn terms(terms: &Terms) -> String {
    let size = &terms.unit_size;
    let mut said = format!(
        "A unit is {} % of a CPU, {} MB of memory, {} processes, {} MB of image and {} MB of volume. \
         It costs {} sat an hour, paid {} ahead. {} of {} units are free.",
        size.cpu_milli / 10,
        size.memory_bytes / MEGABYTE,
        size.pids,
        size.image_disk_bytes / MEGABYTE,
        size.volume_bytes / MEGABYTE,
        terms.unit_hour_msat,
        calendar::duration(u64::from(terms.period_secs)),
        terms.units_free,
        terms.units,
    );
    said.push_str(&format!(
        " What is not paid is stopped, and its data kept for {}.",
        calendar::duration(terms.retention_secs)
    ));
    if terms.overcommit_percent > 100 {
        said.push_str(&format!(
            " The machine is sold {} %: at peaks units share it.",
            terms.overcommit_percent
        ));
    }
    if !terms.limits_not_enforced.is_empty() {
        said.push_str(&format!(" Not enforced here: {}.", terms.limits_not_enforced.join(", ")));
    }
    if !terms.open {
        said.push_str(" No new containers are taken at the moment.");
    }
    if let Some(at) = terms.ends_at {
        let at = calendar::date(at);
        said.push_str(&format!(" This server ends at {at} to be replaced by another version."));
    }
    said
}

/// An invoice twice: to copy, and to tap.
fn invoice(invoice: &Invoice) -> String {
    format!("{}\n\nlightning:{}", invoice.invoice, invoice.invoice)
}

pub(super) fn launched(reply: &LaunchReply, units: u32, period_secs: u32, now: UnixSecs) -> String {
    format!(
        "Pay {} sat {} and it starts: that is for the first {}. After that it costs {} sat an hour from its \
         balance.\n\n{}\n\nImage: {}\nUnits: {units}\nContainer: {}\nManifest: {}\nWrite status to see how \
         it goes.",
        reply.invoice.amount,
        calendar::relative(reply.invoice.expires_at, now).replacen("in ", "within ", 1),
        calendar::duration(u64::from(period_secs)),
        reply.price_msat_per_hour,
        invoice(&reply.invoice),
        reply.image,
        npub(&reply.pubkey),
        reply.manifest_sha256,
    )
}

pub(super) fn topup(made: &Invoice, now: UnixSecs) -> String {
    format!(
        "Pay {} sat {}, and they are on its balance.\n\n{}",
        made.amount,
        calendar::relative(made.expires_at, now).replacen("in ", "within ", 1),
        invoice(made)
    )
}

pub(super) fn list(list: &ContainerList, now: UnixSecs) -> String {
    if list.containers.is_empty() {
        return "You have no container here. Write deploy IMAGE to launch one.".to_owned();
    }
    let line = |one: &ContainerSummary| {
        let paid = match one.paid_until {
            Some(until) if until > now => format!(", paid {}", until_text(until, now)),
            Some(_) | None => String::new(),
        };
        format!("{} — {}, balance {} sat{paid}", named(&one.info), one.info.state, one.balance_msat)
    };
    let mut lines: Vec<String> = list.containers.iter().map(line).collect();
    if list.next.is_some() {
        lines.push("There are older ones; encli container ls shows them all.".to_owned());
    }
    lines.join("\n")
}

fn until_text(until: UnixSecs, now: UnixSecs) -> String {
    format!("until {} ({})", calendar::date(until), calendar::relative(until, now))
}

pub(super) fn status(status: &ContainerStatus, now: UnixSecs) -> String {
    let info = &status.info;
    let mut lines = vec![match (info.state.as_str(), status.owner_paused) {
        ("paused", true) => format!("{} is paused, as you asked.", named(info)),
        ("waiting", _) => format!("{} waits for its first payment.", named(info)),
        (state, _) => format!("{} is {state}.", named(info)),
    }];
    if let Some(reason) = &status.reason {
        lines.push(format!("Why: {}. [{}]", reason.message.trim_end_matches('.'), reason.code));
    }
    if let Some(until) = status.paid_until {
        lines.push(format!("Paid {}; balance {} sat.", until_text(until, now), status.balance_msat));
    } else if status.balance_msat > Msat::ZERO {
        lines.push(format!("Balance {} sat.", status.balance_msat));
    }
    if let Some(until) = status.data_kept_until {
        lines.push(format!("Its data is kept {}. Write topup 100 to go on.", until_text(until, now)));
    }
    lines.extend(
        info.endpoints.iter().map(|at| format!("Port {}: {}:{}", at.container_port, at.host, at.port)),
    );
    lines.push(format!("Image: {}", info.image));
    lines.push(format!("{} units at {} sat an hour in all.", info.units, info.price_msat_per_hour));
    lines.push(format!("Container: {}", npub(&info.pubkey)));
    if let Some(open) = &status.invoice {
        lines.push(format!("\n{}", invoice(open)));
    }
    lines.join("\n")
}

pub(super) fn logs(logs: &Logs, chars_max: usize) -> String {
    if logs.lines.is_empty() {
        return "It has written nothing.".to_owned();
    }
    // The newest lines that fit.
    let (mut chars, mut bytes, mut shown) = (0, 0, Vec::new());
    for line in logs.lines.iter().rev() {
        chars += line.text.chars().count() + 1;
        // Of control characters fewer fit.
        bytes += escaped_bytes(&line.text) + escaped_bytes("\n");
        if chars > chars_max || bytes > TEXT_BYTES_MAX {
            break;
        }
        shown.push(line.text.as_str());
    }
    if shown.is_empty() {
        return "Its last line is too long for a message; read it with encli container logs.".to_owned();
    }
    shown.reverse();
    shown.join("\n")
}

pub(super) fn upgrading(info: &ContainerInfo) -> String {
    format!(
        "{} takes the other image as soon as it is fetched; if it does not become healthy, the one that runs \
         now comes back with its data. Write status to see how it goes.",
        named(info)
    )
}

pub(super) fn verify(info: &ContainerInfo, server: &PublicKey, relay: Option<&str>) -> String {
    let relay = relay.map(|url| format!(" --relay {url}")).unwrap_or_default();
    let key = npub(&info.pubkey);
    format!(
        "This server says that {} runs\n{}\nunder manifest {} on server {}. Do not take its word for it: check \
         the chain from the processor's maker down to that digest yourself, naming the maintainers that you \
         trust:\n\nencli container verify {key}{relay} --maintainer npub…",
        named(info),
        info.image,
        info.manifest_sha256,
        npub(server),
    )
}

fn price(quote: &Quote) -> String {
    format!(
        "{} units cost {} sat an hour, of which {} sat are paid for the first {}; {} units are free.",
        quote.units,
        quote.price_msat_per_hour,
        quote.price_msat_per_period,
        calendar::duration(u64::from(quote.period_secs)),
        quote.units_free,
    )
}

pub(super) fn quote_in_public(quote: &Quote) -> String {
    format!("{} I wrote you how to go on in a private message.", price(quote))
}

/// The quote, and the whole launch as it was asked for, of exactly this image.
pub(super) fn quote_in_private(quote: &Quote, asked: LaunchParams) -> String {
    let has_env = !asked.env.is_empty();
    let deploy = deploy_text(&LaunchParams { docker: quote.image.clone(), ..asked });
    let how = if escaped_bytes(&deploy) <= DEPLOY_BYTES_MAX {
        format!("To launch it, answer here:\n\n{deploy}")
    } else {
        "To launch it, write here what stood in your note, from the word deploy on.".to_owned()
    };
    let mut said =
        format!("You asked for a quote in public. {}\nThe image is\n{}\n{how}", price(quote), quote.image);
    if has_env {
        said.push_str(
            "\n\nThe env values in your note are public now: put others in place of what is secret.",
        );
    }
    said
}

#[cfg(test)]
mod tests;
