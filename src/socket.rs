//! The TCP options that link and relay both need, and what the kernel tells of a connection.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, sendmsg, setsockopt, sockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES};

mod info;

sockopt_impl!(
    /// Bytes that may wait unsent in the kernel before the socket counts as full.
    UnsentLowWater, SetOnly, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, u32);

/// Sends what is written at once, and finds a peer that vanished: idle by keepalive probes, with
/// unacknowledged bytes after `user_timeout` (none leaves that to the caller's own clock).
///
/// # Errors
/// What the kernel says; on Linux all these options exist.
pub fn tune(socket: &impl AsFd, user_timeout: Option<Duration>) -> io::Result<()> {
    setsockopt(socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &seconds(KEEPALIVE_IDLE))?;
    setsockopt(
        socket,
        sockopt::TcpKeepInterval,
        &seconds(KEEPALIVE_INTERVAL),
    )?;
    setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    if let Some(timeout) = user_timeout {
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        setsockopt(socket, sockopt::TcpUserTimeout, &millis)?;
    }
    Ok(())
}

/// Fixes how many bytes the kernel takes in unread; it doubles the number for its own overhead.
///
/// # Errors
/// What the kernel says.
pub fn bound_received(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    Ok(())
}

/// Fixes how many bytes the kernel holds for the peer, sent and unsent; it doubles the number for its own overhead, and
/// looks at it when it begins a segment, so that up to one write more is taken: see [`send_record`].
///
/// # Errors
/// What the kernel says.
pub fn bound_sent(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    setsockopt(socket, sockopt::SndBuf, &bytes)?;
    Ok(())
}

/// Gives the kernel bytes for the peer, as one record (`MSG_EOR`): what is written next goes into a segment of its own in
/// the kernel, so that it looks at its bounds first. Without that a segment grows by write after write, to half of the
/// peer's window, and no bound is looked at. Tells how many bytes it took.
///
/// # Errors
/// What the kernel says.
pub fn send_record(socket: &impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_EOR | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let socket = socket.as_fd().as_raw_fd();
    Ok(sendmsg::<()>(socket, slices, &[], flags, None)?)
}

/// Limits the size of segments, before the connection is made.
///
/// # Errors
/// What the kernel says.
pub fn bound_segments(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    setsockopt(socket, sockopt::TcpMaxSeg, &bytes)?;
    Ok(())
}

/// Lets no more than `bytes` wait unsent in the kernel.
///
/// # Errors
/// What the kernel says.
pub fn bound_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    setsockopt(socket, UnsentLowWater, &bytes)?;
    Ok(())
}

/// Bytes the peer has acknowledged so far, its SYN counted as one. `written` is what the kernel was given, counted from
/// the first answer: a kernel that does not count tells what of it still waits for an acknowledgement.
///
/// # Errors
/// What the kernel says.
pub fn acknowledged(socket: &impl AsFd, written: u64) -> io::Result<u64> {
    match info::acknowledged(socket)? {
        Some(counted) => Ok(counted),
        None => Ok(written.saturating_sub(info::unacknowledged(socket)?)),
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    use nix::getsockopt_impl;
    use nix::sys::socket::{GetSockOpt, getsockopt};

    use super::*;

    sockopt_impl!(
        /// The other direction of what the agent only sets.
        ReadUnsentLowWater, GetOnly, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, u32);

    /// Both ends of a connection over the loopback.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let near = TcpStream::connect(address).expect("it listens");
        (near, listener.accept().expect("somebody connected").0)
    }

    fn value<O: GetSockOpt>(socket: &impl AsFd, option: O) -> O::Val {
        getsockopt(socket, option).expect("an option of Linux")
    }

    /// When keepalive probes begin, how far apart they are (seconds), and how many there are.
    fn probes(socket: &impl AsFd) -> (u32, u32, u32) {
        (
            value(socket, sockopt::TcpKeepIdle),
            value(socket, sockopt::TcpKeepInterval),
            value(socket, sockopt::TcpKeepCount),
        )
    }

    #[test]
    fn a_tuned_socket_sends_at_once_and_finds_a_peer_that_vanished() {
        let (near, far) = pair();
        tune(&near, Some(Duration::from_millis(30_250))).expect("options of Linux");
        assert!(value(&near, sockopt::TcpNoDelay));
        assert!(value(&near, sockopt::KeepAlive));
        assert_eq!(
            probes(&near),
            (
                seconds(KEEPALIVE_IDLE),
                seconds(KEEPALIVE_INTERVAL),
                KEEPALIVE_PROBES
            )
        );
        assert_eq!(value(&near, sockopt::TcpUserTimeout), 30_250, "ms");
        // The kernel's own are others, so that the above was really set.
        assert!(!value(&far, sockopt::TcpNoDelay));
        assert!(!value(&far, sockopt::KeepAlive));
        assert_ne!(probes(&far), probes(&near));
    }

    #[test]
    fn without_a_user_timeout_the_kernel_keeps_its_own_clock() {
        let (near, _far) = pair();
        tune(&near, None).expect("options of Linux");
        assert!(value(&near, sockopt::KeepAlive));
        assert_eq!(value(&near, sockopt::TcpUserTimeout), 0);
    }

    #[test]
    fn a_user_timeout_that_the_kernel_cannot_count_is_an_error() {
        let (near, _far) = pair();
        // It is a signed int there; what does not fit must not become a short one.
        assert!(tune(&near, Some(Duration::MAX)).is_err());
        assert_eq!(value(&near, sockopt::TcpUserTimeout), 0);
    }

    #[test]
    fn bounds_are_in_the_kernel() {
        let (near, _far) = pair();
        bound_received(&near, 20_000).expect("an option of Linux");
        assert_eq!(value(&near, sockopt::RcvBuf), 2 * 20_000);
        bound_unsent(&near, 12_345).expect("an option of Linux");
        assert_eq!(value(&near, ReadUnsentLowWater), 12_345);
    }

    #[test]
    fn no_segment_is_larger_than_its_bound() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let near = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .expect("a socket");
        bound_segments(&near, 1_000).expect("an option of Linux");
        let there = SockaddrIn::new(127, 0, 0, 1, port);
        connect(std::os::fd::AsRawFd::as_raw_fd(&near), &there).expect("it listens");
        // The kernel takes off what the time stamps of each segment need.
        let segment = value(&near, sockopt::TcpMaxSeg);
        assert!((900..=1_000).contains(&segment), "{segment} bytes");
    }

    #[test]
    fn acknowledged_counts_what_the_peer_has() {
        let (mut near, mut far) = pair();
        let before = acknowledged(&near, 0).expect("TCP_INFO");
        near.write_all(&[7; 10_000]).expect("connected");
        far.read_exact(&mut [0; 10_000]).expect("connected");
        let start = Instant::now();
        // An acknowledgement may be as late as the kernel's delay of them.
        while acknowledged(&near, 0).expect("TCP_INFO") != before + 10_000 {
            let after = start.elapsed();
            assert!(after < Duration::from_secs(5), "not after {after:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            acknowledged(&far, 0).expect("TCP_INFO"),
            0,
            "it sent nothing"
        );
    }

    #[test]
    fn what_is_not_acknowledged_is_known_without_tcp_info() {
        let (mut near, mut far) = pair();
        near.set_nonblocking(true).expect("a socket");
        let mut written = 0;
        while let Ok(count) = near.write(&[7; 100_000]) {
            written += count as u64;
        }
        // More than the other end takes unread: the rest of it waits here for ever.
        let taken = written - info::unacknowledged(&near).expect("an ioctl of Linux");
        assert!(taken < written, "all of {written} bytes");
        far.set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a socket");
        let mut bytes = vec![0; usize::try_from(written).expect("some megabytes")];
        far.read_exact(&mut bytes).expect("connected");
        let start = Instant::now();
        while info::unacknowledged(&near).expect("an ioctl of Linux") != 0 {
            let after = start.elapsed();
            assert!(after < Duration::from_secs(5), "not after {after:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
