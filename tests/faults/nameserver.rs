//! A DNS server for one gateway, and the `/etc/resolv.conf` that names it alone. Needs root, for port 53 and for a mount
//! namespace.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use cell::agent::AgentBuilder;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What it says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// It is this machine.
    Here,
    /// Nothing.
    Nothing,
    /// That it cannot tell (SERVFAIL).
    Failure,
}

/// Addresses of the loopback that were used, so that cells do not meet.
static USED: AtomicU16 = AtomicU16::new(1);

/// A running server. Every name is this machine's.
#[derive(Debug)]
pub(crate) struct Nameserver {
    address: Ipv4Addr,
    says: watch::Sender<Says>,
    task: JoinHandle<()>,
}

impl Nameserver {
    /// The error is why this machine cannot have one.
    pub(crate) async fn start() -> Result<Nameserver, String> {
        let made = Command::new("unshare").args(["-m", "true"]).status();
        if !made.is_ok_and(|status| status.success()) {
            return Err("no mount namespaces here (root?)".to_owned());
        }
        let [high, low] = USED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        let socket = UdpSocket::bind(SocketAddr::from((address, 53))).await;
        let socket = socket.map_err(|why| format!("port 53 is not to be had ({why})"))?;
        let (says, watched) = watch::channel(Says::Here);
        let task = tokio::spawn(answer(socket, watched));
        Ok(Nameserver {
            address,
            says,
            task,
        })
    }

    pub(crate) fn turn(&self, says: Says) {
        self.says.send_replace(says);
    }

    /// An agent that asks this server.
    pub(crate) fn asked_by(&self, builder: AgentBuilder) -> AgentBuilder {
        let text = format!("nameserver {}\n", self.address);
        let builder = builder.file("resolv.conf", &text).expect("a file");
        let conf = builder.folder().join("resolv.conf");
        let mount = format!(
            "mount --bind '{}' /etc/resolv.conf && exec \"$@\"",
            conf.display()
        );
        builder.wrapper(["unshare", "-m", "sh", "-c", &mount, "sh"])
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(socket: UdpSocket, says: watch::Receiver<Says>) {
    let mut query = [0; 512];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut query).await else {
            continue;
        };
        let says = *says.borrow();
        if let Some(reply) = reply(&query[..length], says) {
            // Whoever asked may be gone.
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// The answer to a query of one question. Source: RFC 1035, 4.1.
fn reply(query: &[u8], says: Says) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    const TYPE_A: [u8; 2] = [0, 1];
    let name = query.get(HEAD..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(HEAD..HEAD + name + 5)?;
    // It is a reply, recursion was wanted and is to be had; then the code.
    let code = match says {
        Says::Here => 0,
        Says::Nothing => return None,
        Says::Failure => 2,
    };
    let is_here = says == Says::Here && question[name + 1..name + 3] == TYPE_A;
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(is_here), 0, 0, 0, 0]);
    reply.extend(question);
    if is_here {
        // The name of the question; A, IN, a time to live of 0; four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}
