//! How far the kernel is with a connection's bytes.
//!
//! nix and socket2 take `TCP_INFO` only as a whole structure and panic when the kernel's answer has another length. An
//! emulated kernel gives such an answer (qemu-user: 4 bytes), and a panic would end the agent: so it is asked for here,
//! and the length looked at.
#![expect(
    unsafe_code,
    reason = "getsockopt and ioctl take pointers; no safe wrapper tells how much was written"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use nix::libc;

/// The first 128 bytes of the kernel's `struct tcp_info`, which end with `tcpi_bytes_acked`.
/// Source: linux/tcp.h, unchanged since Linux 4.1.
type Info = [u64; 16];

/// Bytes that the peer acknowledged, its SYN counted as one; none by a kernel that does not count them.
///
/// # Errors
/// What the kernel says.
pub(super) fn acknowledged(socket: &impl AsFd) -> io::Result<Option<u64>> {
    let mut info: Info = [0; 16];
    let size = libc::socklen_t::try_from(size_of::<Info>()).map_err(io::Error::other)?;
    let mut length = size;
    // SAFETY: both pointers are to variables of this function that live through the call; the kernel writes no more than
    // `length` bytes, which is the size of `info`, and any bytes are integers.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    Errno::result(answer)?;
    Ok((length >= size).then_some(info[15]))
}

/// Bytes that were given to the kernel and that the peer has not acknowledged; a FIN counts as one.
///
/// # Errors
/// What the kernel says.
pub(super) fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    let mut queued: libc::c_int = 0;
    // SAFETY: the pointer is to a variable of this function that lives through the call; the kernel writes one int.
    let answer =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) };
    Errno::result(answer)?;
    Ok(u64::try_from(queued).unwrap_or_default())
}
