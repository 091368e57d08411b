//! What has become of the way of a connection that is lost.
//!
//! Is responsible for: asking the kernel, without sending a byte, which way it would take now. A gateway changes
//! its way out when a cable is pulled, when it falls back to its modem, or when DHCP gives it another address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// What has changed on the way from `local` to `peer`, as the end of a line of the log; nothing if the kernel
/// would take the same way again, or cannot say.
pub fn what_changed(local: SocketAddr, peer: SocketAddr) -> Option<String> {
    let (was, to) = (local.ip(), peer.ip());
    match way_to(peer) {
        Ok(now) if now == was => unplugged(was).map(|interface| {
            format!("{interface} has no link: check its cable and what is at the other end of it")
        }),
        Ok(now) => Some(format!(
            "the way out has changed since: it was from {was}, now it is from {now}"
        )),
        Err(error) if is_no_route(&error) => Some(format!(
            "this gateway has no route to {to} now ({error}): check the cable and the uplink"
        )),
        Err(_) => None,
    }
}

/// The local address from which the kernel would send to `peer`. Connecting a UDP socket sends nothing.
fn way_to(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

fn is_no_route(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    [
        Kind::NetworkUnreachable,
        Kind::HostUnreachable,
        Kind::NetworkDown,
        Kind::AddrNotAvailable,
    ]
    .contains(&error.kind())
}

/// The interface that has this address, if its cable is out: the kernel keeps the route of an address that was
/// set by hand.
fn unplugged(address: IpAddr) -> Option<String> {
    let ip = |storage: &SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    };
    let found = getifaddrs()
        .ok()?
        .find(|interface| interface.address.as_ref().and_then(ip) == Some(address))?;
    let runs = found.flags.contains(InterfaceFlags::IFF_RUNNING);
    (!runs).then_some(found.interface_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_way_is_no_news() {
        let local = "127.0.0.1:40000".parse().expect("an address");
        let peer = "127.0.0.1:443".parse().expect("an address");
        assert_eq!(what_changed(local, peer), None);
    }

    #[test]
    fn another_local_address_is_said() {
        let local = "192.0.2.7:40000".parse().expect("an address");
        let peer = "127.0.0.1:443".parse().expect("an address");
        let said = what_changed(local, peer).expect("it has changed");
        assert!(
            said.contains("it was from 192.0.2.7, now it is from 127.0.0.1"),
            "{said}"
        );
    }
}
