//! `encli deploy`.

use clap::Args;
use nostr::key::PublicKey;

use super::options::Unseen;
use super::values;

/// `encli deploy`.
///
/// The values of units, ports, volumes and so on are taken as they are and judged by the rules of the
/// launch itself, so that a fault has the same code whoever finds it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    encli deploy registry.example/app:1 --units 2 --port 8080 --maintainer npub1…\n  \
    encli deploy registry.example/app:1 --env MODE=fast --env TOKEN@token.txt --env KEY=env:KEY\n  \
    encli deploy registry.example/app:1 --secret TOKEN@token.txt --secret-file tls.pem@key.pem\n  \
    encli deploy registry.example/app:1 --pay file:wallet --wait --json -- serve --verbose")]
pub(crate) struct Deploy {
    /// The image: `[registry/]name[:tag][@sha256:…]`.
    #[arg(value_name = "IMAGE", value_parser = values::text)]
    pub(crate) image: String,
    /// The server; the cheapest with room that verifies and is pinned if it is left out.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) instance: Option<PublicKey>,
    /// Compute units, 1 to 50.
    #[arg(long, value_name = "N", value_parser = values::text, default_value = "1")]
    pub(crate) units: String,
    /// A name for people.
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub(crate) name: Option<String>,
    /// A variable of the container's environment: K=V, K@FILE for a file's content, K=env:NAME for a
    /// variable of yours. May be given several times.
    #[arg(long, value_name = "K=V|K@FILE|K=env:NAME")]
    pub(crate) env: Vec<Unseen>,
    /// A secret that only the container sees, as the file that its variable K_FILE names: K@FILE for a
    /// file's content, K=env:NAME for a variable of yours. May be given several times.
    #[arg(long, value_name = "K@FILE|K=env:NAME")]
    pub(crate) secret: Vec<Unseen>,
    /// A file that only the container sees, in /run/enclaved/secrets. May be given several times.
    #[arg(long, value_name = "NAME@FILE")]
    pub(crate) secret_file: Vec<Unseen>,
    #[command(flatten)]
    pub(crate) account: RegistryAccount,
    /// What the container may reach: none or all.
    #[arg(long, value_name = "POLICY", value_parser = values::text, default_value = "all")]
    pub(crate) egress: String,
    /// Who may change the running image: none (nobody), owner (you) or signed (all signers that it names,
    /// together; auto means the same).
    #[arg(long, value_name = "none|owner|signed", value_parser = values::text, default_value = "none")]
    pub(crate) upgrade: String,
    /// Pay at once: env:NAME or file:PATH of a wallet's connection string.
    #[arg(long, value_name = "WHERE")]
    pub(crate) pay: Option<Unseen>,
    /// A TCP port of the container to publish; may be given several times.
    #[arg(long, value_name = "N", value_parser = values::text)]
    pub(crate) port: Vec<String>,
    /// Where in the container its volume is mounted; may be given several times.
    #[arg(long, value_name = "PATH", value_parser = values::text)]
    pub(crate) volume: Vec<String>,
    /// Let yourself run commands in it with `container exec`; its certificate says so to everybody.
    #[arg(long)]
    pub(crate) exec: bool,
    /// Wait until it runs, verify it, and say where it is reached.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Launch even though nothing says which code the server must run.
    #[arg(long)]
    pub(crate) unpinned: bool,
    /// Arguments in place of the image's own command.
    #[arg(value_name = "ARGS", last = true)]
    pub(crate) args: Vec<String>,
}

/// Who asks the registry of a private image.
#[derive(Args, Debug)]
pub(crate) struct RegistryAccount {
    /// Your account at the registry of a private image; the container does not see it.
    #[arg(long, value_name = "NAME", value_parser = values::text, requires = "registry_password")]
    pub(crate) registry_user: Option<String>,
    /// Its password or token: env:NAME or file:PATH.
    #[arg(long, value_name = "WHERE", requires = "registry_user")]
    pub(crate) registry_password: Option<Unseen>,
    /// The host that hands out the registry's tokens and may be told the password, where that is not the
    /// registry itself; auth.docker.io for images of docker.io.
    #[arg(long, value_name = "HOST", value_parser = values::text, requires = "registry_user")]
    pub(crate) registry_realm: Option<String>,
}
