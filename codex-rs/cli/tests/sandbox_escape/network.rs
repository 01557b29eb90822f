//! Reaching anything outside.

use super::attempt::{Attempt, Effect, Profile, offline, workspace};
use super::machine::{REFUSED_ROOT, REFUSED_USER};

pub(super) const TABLE: &[Attempt] = &[
    offline(
        "a DNS look-up",
        "{a} resolve {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "a TCP connect",
        "exec 3<>/dev/tcp/127.0.0.1/{port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "the shell sends UDP",
        "echo x > /dev/udp/127.0.0.1/{port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "a host that is not this one",
        "{a} host",
        Effect::Exit,
        ("network_access", "192.0.2.1:53", "net.offline"),
    ),
    workspace(
        "a descriptor handed outside",
        "{a} smuggle {out}/s {home}/.bashrc",
        Effect::Heard,
        ("network_access", "unix:{out}/s", "net.unix"),
    ),
    offline(
        "network: tcp4",
        "{a} tcp4 {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: tcp6",
        "{a} tcp6 {port}",
        Effect::Heard,
        ("network_access", "[::1]:{port}", "net.loopback"),
    ),
    offline(
        "network: mapped",
        "{a} mapped {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1]:{port}", "net.loopback"),
    ),
    offline(
        "network: any",
        "{a} any {port}",
        Effect::Heard,
        ("network_access", "0.0.0.0:{port}", "net.loopback"),
    ),
    offline(
        "network: mptcp",
        "{a} mptcp {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: async",
        "{a} async {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: fastopen",
        "{a} fastopen {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: fastopen-connect",
        "{a} fastopen-connect {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: udp-sendto",
        "{a} udp-sendto {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: udp6",
        "{a} udp6 {port}",
        Effect::Heard,
        ("network_access", "[::1]:{port}", "net.loopback"),
    ),
    offline(
        "network: udp-connect",
        "{a} udp-connect {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: sendmsg",
        "{a} sendmsg {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    offline(
        "network: sendmmsg",
        "{a} sendmmsg {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    ),
    workspace(
        "network: unix",
        "{a} unix {out}/s",
        Effect::Heard,
        ("network_access", "{out}/s", "net.unix"),
    ),
    workspace(
        "network: abstract",
        "{a} abstract {abstract}",
        Effect::Heard,
        ("network_access", "{abstract}", "net.unix"),
    ),
    workspace(
        "network: unix-dgram",
        "{a} unix-dgram {out}/dgram",
        Effect::Heard,
        ("network_access", "(AF_UNIX, SOCK_DGRAM)", "net.socket"),
    ),
    workspace(
        "network: pair-dgram",
        "{a} pair-dgram {out}/dgram",
        Effect::Heard,
        ("network_access", "(AF_UNIX, SOCK_DGRAM)", "net.socket"),
    ),
    workspace(
        "network: unix-symlink",
        "{a} unix-symlink {out}/s {ws}/l",
        Effect::Heard,
        ("network_access", "{out}/s", "net.unix"),
    ),
    offline(
        "socket: udplite",
        "{a} udplite",
        Effect::Exit,
        ("network_access", "socket(AF_INET", "net.socket"),
    ),
    offline(
        "socket: icmp",
        "{a} icmp",
        Effect::Exit,
        ("network_access", "socket(AF_INET", "net.socket"),
    ),
    offline(
        "socket: raw",
        "{a} raw",
        Effect::Exit,
        ("network_access", "socket(AF_INET, SOCK_RAW", "net.socket"),
    ),
    offline(
        "socket: raw6",
        "{a} raw6",
        Effect::Exit,
        ("network_access", "socket(AF_INET6, SOCK_RAW", "net.socket"),
    ),
    offline(
        "socket: sctp",
        "{a} sctp",
        Effect::Exit,
        ("network_access", "socket(AF_INET", "net.socket"),
    ),
    offline(
        "socket: packet",
        "{a} packet",
        Effect::Exit,
        ("network_access", "socket(AF_PACKET", "net.socket"),
    ),
    offline(
        "socket: vsock",
        "{a} vsock",
        Effect::Exit,
        ("network_access", "socket(AF_VSOCK", "net.socket"),
    ),
    offline(
        "socket: netlink",
        "{a} netlink",
        Effect::Exit,
        ("network_access", "socket(AF_NETLINK", "net.socket"),
    ),
    offline(
        "socket: uevent",
        "{a} uevent",
        Effect::Exit,
        ("network_access", "socket(AF_NETLINK", "net.socket"),
    ),
    offline(
        "socket: alg",
        "{a} alg",
        Effect::Exit,
        ("network_access", "socket(AF_ALG", "net.socket"),
    ),
    offline(
        "socket: xdp",
        "{a} xdp",
        Effect::Exit,
        ("network_access", "socket(AF_XDP", "net.socket"),
    ),
    offline(
        "socket: bluetooth",
        "{a} bluetooth",
        Effect::Exit,
        ("network_access", "socket(AF_BLUETOOTH", "net.socket"),
    ),
    offline(
        "socket: can",
        "{a} can",
        Effect::Exit,
        ("network_access", "socket(AF_CAN", "net.socket"),
    ),
    offline(
        "socket: key",
        "{a} key",
        Effect::Exit,
        ("network_access", "socket(AF_KEY", "net.socket"),
    ),
    offline(
        "io_uring",
        "{a} io-uring",
        Effect::Exit,
        ("privilege", "io_uring", "privilege.kernel"),
    ),
];

/// The same under NetReadOnly, where the proxy runs and is the one way out; without what some
/// machine refuses to everybody.
pub(super) fn beside_the_proxy() -> Vec<Attempt> {
    let refused = |name: &str| {
        let mut lists = REFUSED_ROOT.iter().chain(REFUSED_USER);
        lists.any(|(refused, _)| *refused == name)
    };
    let with_proxy = |attempt: &Attempt| Attempt {
        name: Box::leak(format!("{}, beside the proxy", attempt.name).into_boxed_str()),
        profile: Profile::NetReadOnly,
        record: attempt.record.map(|(operation, target, rule)| match rule {
            "net.offline" => (operation, target, "net.host"),
            _ => (operation, target, rule),
        }),
        flags: match attempt.profile {
            Profile::Offline => attempt.flags,
            _ => &["--allow-write", "{ws}"],
        },
        ..*attempt
    };
    let kept = TABLE.iter().filter(|attempt| !refused(attempt.name));
    kept.map(with_proxy).collect()
}
