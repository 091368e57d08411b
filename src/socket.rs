//! The TCP options that link and relay both need, and what the kernel tells of a connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES};

sockopt_impl!(
    /// Bytes that may wait unsent in the kernel before the socket counts as full.
    UnsentLowWater, SetOnly, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, u32);

sockopt_impl!(
    /// The first 128 bytes of the kernel's `struct tcp_info`, which ends there with `tcpi_bytes_acked`.
    /// Source: linux/tcp.h, unchanged since Linux 4.1.
    Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u64; 16]);

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

/// Bytes the peer has acknowledged so far, its SYN counted as one.
///
/// # Errors
/// What the kernel says.
pub fn acknowledged(socket: &impl AsFd) -> io::Result<u64> {
    Ok(getsockopt(socket, Info)?[15])
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
