//! Attacks by a shell, and the guard that each is aimed at.

use bollard::models::HostConfig;

/// What an attack says that got through.
pub(super) const WORKED: &str = "GOT-THROUGH";

/// A guard, to be left out.
#[derive(Clone, Copy)]
enum Guard {
    Pids,
    Memory,
    Volume,
    OpenFiles,
    Cpu,
    RawSockets,
    NetworkRights,
    NewPrivileges,
    Users,
    Confinement,
    Processes,
}

pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    guard: Guard,
}

impl Attack {
    /// How the engine runs the same without the guard.
    pub(super) fn unguarded(&self) -> HostConfig {
        let plain = HostConfig::default();
        let text = |text: &str| Some(text.to_owned());
        match self.guard {
            Guard::Pids
            | Guard::Memory
            | Guard::OpenFiles
            | Guard::Cpu
            | Guard::RawSockets
            | Guard::NewPrivileges => plain,
            Guard::Volume => {
                HostConfig { tmpfs: Some([("/data".to_owned(), "size=100m".to_owned())].into()), ..plain }
            }
            Guard::NetworkRights => HostConfig { cap_add: Some(vec!["NET_ADMIN".to_owned()]), ..plain },
            Guard::Users => HostConfig { userns_mode: text("host"), ..plain },
            Guard::Processes => HostConfig {
                tmpfs: Some([("/data".to_owned(), "size=1m".to_owned())].into()),
                pid_mode: text("host"),
                userns_mode: text("host"),
                cap_add: Some(vec!["SYS_PTRACE".to_owned()]),
                ..plain
            },
            Guard::Confinement => HostConfig {
                userns_mode: text("host"),
                cap_add: Some(vec!["SYS_ADMIN".to_owned()]),
                security_opt: Some(vec!["seccomp=unconfined".to_owned()]),
                masked_paths: Some(Vec::new()),
                readonly_paths: Some(Vec::new()),
                ..plain
            },
        }
    }
}

macro_rules! attack {
    ($name:literal, $guard:ident, $script:literal) => {
        Attack { name: $name, guard: Guard::$guard, script: concat!($script, " && echo GOT-THROUGH") }
    };
}

pub(super) const ATTACKS: [Attack; 16] = [
    // The first process of what it sees is its own, with its own root.
    attack!(
        "a link to the machine's root",
        Processes,
        "rm -f /data/way; busybox ln -s /proc/1/root /data/way && ls /data/way/ > /dev/null && \
         [ ! -e /data/way/www/index.html ]"
    ),
    attack!("a memory hog", Memory, "dd if=/dev/zero of=/dev/null bs=120M count=1 2>/dev/null"),
    attack!("a shared memory hog", Memory, "dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null"),
    attack!("a disk filler", Volume, "dd if=/dev/zero of=/data/x bs=1M count=30 2>/dev/null"),
    attack!("an open file hog", OpenFiles, "ulimit -n 8192"),
    // A second of a whole processor, ten times as long of a tenth.
    attack!(
        "a processor hog",
        Cpu,
        "busybox timeout 4 dd if=/dev/zero of=/dev/null bs=64k count=500000 2>/dev/null"
    ),
    attack!("raw sockets", RawSockets, "ping -c 1 -W 1 127.0.0.1"),
    attack!("a forged address", NetworkRights, "ip address add 10.99.99.99/32 dev lo"),
    attack!(
        "rights by a program's owner",
        NewPrivileges,
        "busybox grep -q 'NoNewPrivs:.0' /proc/self/status"
    ),
    attack!("root of the machine", Users, "busybox grep -q '^ *0 *0 ' /proc/self/uid_map"),
    attack!("a device of the machine", Users, "busybox mknod /tmp-device b 7 0"),
    attack!("a mount", Confinement, "mkdir -p /m; mount -t tmpfs none /m"),
    attack!(
        "the kernel's switches",
        Confinement,
        "echo 0 2>/dev/null > /proc/sys/net/ipv4/conf/all/rp_filter"
    ),
    attack!("another host name", Confinement, "busybox hostname elsewhere"),
    attack!("a namespace of its own", Confinement, "busybox unshare -m true"),
    // Last: it leaves no room for another command.
    attack!("a fork bomb", Pids, "i=0; while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done; true"),
];

/// A script for a container that tries it for as long as it runs.
pub(super) fn storm_of(script: &str) -> String {
    let attempt = script.trim_end_matches(" && echo GOT-THROUGH");
    format!("while :; do {{ {attempt}; }} 2> /dev/null; done")
}
