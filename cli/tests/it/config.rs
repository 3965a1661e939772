//! The configuration file, as the program finds it.

use nostr::key::Keys;
use units::UnixSecs;

use crate::stage::Stage;
use crate::support::Home;

const NOW: UnixSecs = UnixSecs(1_750_000_000);

#[test]
fn file_at_its_usual_place_gives_defaults() {
    let stage = Stage::at(NOW);
    let event = stage.home.write("event.json", stage.announcement(|_| {}).as_json());
    let at = NOW.to_string();
    let line = ["instance", "verify", &event, "--at", &at, "--json"];
    stage.home.run(&line).refused("chain_untrusted", 1);
    // Its paths are seen from where it lies.
    stage.home.write(".config/encli/root.der", stage.root.der());
    let text = format!("trust-root = \"root.der\"\nmaintainer = \"{}\"\n", stage.maintainer(0));
    stage.home.write(".config/encli/config.toml", &text);
    assert_eq!(stage.home.run(&line).done()["pinned"], true);
    // The command line counts first.
    let stranger = Keys::generate().public_key().to_hex();
    stage.home.run(&[&line[..], &["--maintainer", &stranger]].concat()).refused("release_missing", 1);
    // XDG_CONFIG_HOME counts before HOME, and a file that is named before both.
    let elsewhere = stage.home.path("elsewhere");
    let mut command = stage.home.encli();
    command.args(line).env("XDG_CONFIG_HOME", &elsewhere);
    crate::support::Run::from(command.output().unwrap()).refused("chain_untrusted", 1);
    let named = stage.home.write("named.toml", "ref = \"https://example.com/other\"\n");
    let root = stage.home.path("root.der");
    stage.home.write("root.der", stage.root.der());
    let run = stage
        .home
        .run(&[&line[..], &["--config", &named, "--trust-root", &root.display().to_string()]].concat());
    run.refused("ref_mismatch", 1);
}

#[test]
fn file_that_cannot_be_used_is_named_with_its_fault() {
    let home = Home::new();
    let check = |text: &str, part: &str| {
        let file = home.write("c.toml", text);
        let message =
            home.run(&["instance", "ls", "--json", "--config", &file]).refused("config_invalid", 64);
        assert!(message.contains(part) && !message.contains("hunter2"), "{message}");
    };
    check("relays = []", "unknown field `relays`");
    check("\ntrust_root = \"x\"", "line 2: unknown field `trust_root`");
    check("relay = [1]", "a text or a list of texts");
    check("relay = [\"https://x\"]", "`relay`");
    check("threshold = 0", "`threshold`");
    check("key = nsec1hunter2", "line 1");
    check("=", "line 1");
    let missing = home.run(&["instance", "ls", "--json", "--config", "none.toml"]);
    assert!(missing.refused("config_invalid", 64).contains("none.toml"));
}

#[test]
fn file_may_ask_for_json() {
    let home = Home::new();
    let file = home.write("c.toml", "json = true\n");
    home.run(&["instance", "ls", "--config", &file]).refused("relay_missing", 64);
}
