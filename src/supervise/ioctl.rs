//! The questions to a watchdog device that the kernel takes by ioctl alone.
//!
//! One of the agent's two files with unsafe code (the other asks sockets): no library that is kept up wraps these four
//! calls, and what nix makes of them is unsafe by its nature. Each passes the address of one integer or structure of the
//! size that the kernel's header gives it, which lives for the time of the call, and an open file.
#![expect(unsafe_code, reason = "ioctl takes a pointer; see above")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct watchdog_info` of linux/watchdog.h.
#[repr(C)]
#[derive(Default)]
pub(super) struct Support {
    /// What it can, `WDIOF_*`.
    pub(super) options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

impl Support {
    /// The name that the driver gives it.
    pub(super) fn identity(&self) -> String {
        let name = self.identity.split(|byte| *byte == 0).next();
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }
}

mod request {
    nix::ioctl_read!(support, b'W', 0, super::Support);
    nix::ioctl_read!(boot_status, b'W', 2, i32);
    nix::ioctl_readwrite!(set_timeout, b'W', 6, i32);
    nix::ioctl_read!(timeout, b'W', 7, i32);
}

/// What it is.
pub(super) fn support(file: &File) -> io::Result<Support> {
    let mut support = Support::default();
    // SAFETY: the structure has the kernel's layout and outlives the call.
    unsafe { request::support(file.as_raw_fd(), &raw mut support) }?;
    Ok(support)
}

/// What the last reset was.
pub(super) fn boot_status(file: &File) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the kernel writes one int, which outlives the call.
    unsafe { request::boot_status(file.as_raw_fd(), &raw mut status) }?;
    Ok(status)
}

/// Its timeout in seconds.
pub(super) fn timeout(file: &File) -> io::Result<i32> {
    let mut seconds = 0;
    // SAFETY: the kernel writes one int, which outlives the call.
    unsafe { request::timeout(file.as_raw_fd(), &raw mut seconds) }?;
    Ok(seconds)
}

/// Asks for another timeout in seconds. What the hardware made of it [`timeout`] tells.
pub(super) fn set_timeout(file: &File, mut seconds: i32) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one int, which outlives the call.
    unsafe { request::set_timeout(file.as_raw_fd(), &raw mut seconds) }?;
    Ok(())
}
