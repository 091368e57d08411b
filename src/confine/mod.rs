//! What the process gives up, so that whoever takes it over gains little.
//!
//! Is responsible for: memory that no other process of the same user and no core file shows ([`process`]), and files
//! and TCP ports to which the kernel holds the agent ([`landlock`]). It cannot be switched off. What the service
//! manager adds to it stands in yocto/service/cellgate.service.
//!
//! Secrets are not locked into memory (`mlock`): a gateway has no swap, or the unit forbids it (`MemorySwapMax=0`), and
//! the kernel's usual bound on locked memory is less than TLS alone needs. They are overwritten when they are no
//! longer needed; copies that libraries hold while they use them (the session keys and the device key in rustls and
//! ring, the handshake's request in tungstenite) are what the undumpable process is for.

pub mod landlock;
pub mod process;
