//! Network namespaces, seen from inside: sockets and programs as the box or a container has them.

use std::fs::File;
use std::io::Result as IoResult;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bollard::query_parameters::InspectContainerOptions;
use devnet::world::World;
use nix::sched::{CloneFlags, setns, unshare};
use nostr::key::PublicKey;

/// On one machine a packet arrives at once or never.
pub(crate) const ARRIVES_WITHIN: Duration = Duration::from_millis(700);

/// A network namespace. It lives as long as something is in it, or this is.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// The box's own.
    pub(crate) fn of_box(world: &World) -> Result<Self> {
        Self::open(format!("/proc/{}/ns/net", world.enclave().init_pid()))
    }

    /// That of a running container.
    pub(crate) async fn of_container(world: &World, pubkey: &PublicKey) -> Result<Self> {
        let name = engine_name(pubkey);
        let docker = world.engine().client();
        let found = docker.inspect_container(&name, None::<InspectContainerOptions>).await?;
        let pid = found.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        let pid = pid.with_context(|| format!("{name} does not run"))?;
        // The engine's process ids are the box's.
        Self::open(format!("/proc/{}/root/proc/{pid}/ns/net", world.enclave().init_pid()))
    }

    /// A new one, joined to nothing.
    pub(crate) fn alone() -> Result<Self> {
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::open("/proc/thread-self/ns/net")
        })
        .join()
        .unwrap()
    }

    fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self(File::open(path).with_context(|| path.display().to_string())?))
    }

    /// Where other programs find it while this lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs `make` in it; sockets stay where they were made.
    pub(crate) fn within<T: Send>(&self, make: impl FnOnce() -> IoResult<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| -> Result<T> {
                setns(&self.0, CloneFlags::CLONE_NEWNET)?;
                Ok(make()?)
            });
            inside.join().unwrap()
        })
    }

    /// Listens; nobody needs to accept for a connection to stand.
    pub(crate) fn tcp_listener(&self, at: SocketAddrV4) -> Result<TcpListener> {
        let listener = self.within(|| TcpListener::bind(at)).with_context(|| at.to_string())?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    pub(crate) fn udp_socket(&self, at: SocketAddrV4) -> Result<UdpSocket> {
        let socket = self.within(|| UdpSocket::bind(at)).with_context(|| at.to_string())?;
        socket.set_read_timeout(Some(ARRIVES_WITHIN))?;
        Ok(socket)
    }

    /// Whether a TCP connection comes about.
    pub(crate) fn connects(&self, to: SocketAddrV4) -> Result<bool> {
        let connected = self.within(|| Ok(TcpStream::connect_timeout(&to.into(), ARRIVES_WITHIN)))?;
        Ok(connected.is_ok())
    }

    /// Whether a datagram from here arrives at `listener`, which is bound at `to`.
    pub(crate) fn datagram_arrives(&self, to: SocketAddrV4, listener: &UdpSocket) -> Result<bool> {
        self.datagram_arrives_from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), to, listener)
    }

    /// The same, sent by the address `from`, which must be one of this namespace's own.
    pub(crate) fn datagram_arrives_from(
        &self,
        from: SocketAddrV4,
        to: SocketAddrV4,
        listener: &UdpSocket,
    ) -> Result<bool> {
        let sender = self.udp_socket(from)?;
        let text = format!("from {} to {to}", self.path());
        // The firewall may refuse at once; that is no arrival.
        if sender.send_to(text.as_bytes(), to).is_err() {
            return Ok(false);
        }
        let mut buffer = [0; 256];
        // What another probe sent before is passed over.
        while let Ok((length, _)) = listener.recv_from(&mut buffer) {
            if buffer[..length] == *text.as_bytes() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an echo request, made with all the rights of root, is answered.
    pub(crate) fn pings(&self, to: Ipv4Addr) -> Result<bool> {
        let ping = format!("exec busybox ping -c 1 -W 1 {to}");
        Ok(self.shell(&ping)?.status.success())
    }

    /// Runs a shell script in it, as root of this machine, to its good end.
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        let output = self.shell(script)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{script}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    fn shell(&self, script: &str) -> Result<std::process::Output> {
        let net = format!("--net={}", self.path());
        let mut command = Command::new("nsenter");
        command.args([&net, "--", "sh", "-c", script]).stdin(Stdio::null());
        command.output().context("nsenter")
    }
}

/// The engine's name of a container.
pub(crate) fn engine_name(pubkey: &PublicKey) -> String {
    format!("encl-{}", &pubkey.to_hex()[..24])
}

/// What a command in a container wrote, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i64,
    pub(crate) text: String,
}

/// Runs a shell script in a container, with the rights that the container's own processes have.
pub(crate) async fn exec(world: &World, pubkey: &PublicKey, script: &str) -> Result<Ran> {
    use bollard::exec::StartExecResults;
    use bollard::models::ExecConfig;
    use futures_util::StreamExt;

    let docker = world.engine().client();
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(["sh", "-c", script].map(ToOwned::to_owned).to_vec()),
        ..ExecConfig::default()
    };
    let made = docker.create_exec(&engine_name(pubkey), config).await?;
    let StartExecResults::Attached { mut output, .. } =
        docker.start_exec(&made.id, None::<bollard::exec::StartExecOptions>).await?
    else {
        bail!("the engine does not show what {script:?} says");
    };
    let mut text = String::new();
    while let Some(part) = output.next().await {
        text.push_str(&String::from_utf8_lossy(&part?.into_bytes()));
    }
    let ended = docker.inspect_exec(&made.id).await?;
    Ok(Ran { code: ended.exit_code.context("the command has not ended")?, text })
}
