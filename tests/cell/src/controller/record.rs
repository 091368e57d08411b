//! What the controller remembers of a connection.

use std::net::SocketAddr;

use super::tape::Tape;

/// One TCP connection to the controller, from its acceptance on.
#[derive(Clone, Debug)]
pub struct ConnectionRecord {
    /// Its place in the order of acceptance, from 0.
    pub number: usize,
    /// Who connected.
    pub peer: SocketAddr,
    /// The name of its terminal, such as `AUX1`; none if all were taken.
    pub terminal: Option<String>,
    /// Every byte that arrived, dropped ones too.
    pub received: Tape,
    /// Every byte that was sent, the echo too.
    pub sent: Tape,
    /// How many of the received bytes were dropped because they came too fast.
    pub dropped: u64,
    /// What was wrong in the block framing of a LOAD or SAVE, in words. Empty after good transfers.
    pub faults: Vec<String>,
    /// How it ended; none while it is open.
    pub end: Option<End>,
}

impl ConnectionRecord {
    pub(super) fn new(number: usize, peer: SocketAddr) -> Self {
        Self {
            number,
            peer,
            terminal: None,
            received: Tape::default(),
            sent: Tape::default(),
            dropped: 0,
            faults: Vec::new(),
            end: None,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed in order: FIN.
    PeerFin,
    /// The peer broke off: RST, or the system gave the connection up.
    PeerReset,
    /// The controller had no terminal left and closed with FIN.
    NoTerminal,
    /// The controller closed with FIN after too many wrong names.
    NotLoggedIn,
    /// [`hang_up`](super::Controller::hang_up): the controller closed with FIN.
    HungUp,
    /// [`reboot`](super::Controller::reboot): the controller broke off with RST.
    Rebooted,
    /// The peer took no byte for 60 s, and the controller broke off with RST.
    PeerStalled,
}
