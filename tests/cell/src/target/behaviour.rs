//! What a target does on a connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::record::{End, Records};
use crate::pattern::Pattern;

/// Bytes read or written at once.
const PIECE: usize = 16_384;

/// Between two looks whether a connection that nobody reads has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long the agent may take to go after the target has closed.
const LINGER: Duration = Duration::from_secs(10);

/// What a target does on each of its connections. All of them record what they receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Sends back what it receives.
    Echo,
    /// Only receives.
    Sink,
    /// Accepts and never reads. [`Target::resume`](super::Target::resume) makes a sink of it.
    Silent,
    /// Reads some bytes at a time, and waits between.
    Slow {
        /// How many bytes.
        bytes: usize,
        /// How long it waits.
        every: Duration,
    },
    /// Sends bytes at once, and receives meanwhile. Connection `n`, from 0, sends the [`Pattern`] of `seed + n`.
    Send {
        /// How many.
        bytes: u64,
        /// Of which pattern.
        seed: u64,
        /// What comes behind the last.
        then: Then,
    },
    /// Closes after so many bytes were received.
    CloseAfter {
        /// How many; 0 closes at once.
        bytes: u64,
    },
    /// Resets after so many bytes were received.
    ResetAfter {
        /// How many; 0 resets at once.
        bytes: u64,
    },
}

/// What comes behind the last byte sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the connection stays.
    Stay,
    /// FIN.
    Close,
    /// RST. What the agent has not read by then is lost.
    Reset,
}

/// One connection of a target.
pub(super) struct Connection {
    pub(super) behaviour: Behaviour,
    pub(super) records: Records,
    pub(super) place: usize,
    /// While it is true nothing is read.
    pub(super) paused: watch::Receiver<bool>,
    /// How the target ends its connections, as soon as it is to end them.
    pub(super) orders: watch::Receiver<Then>,
}

/// Why the target is done with a connection.
enum Done {
    /// The agent ended it.
    ByAgent(End),
    /// The target closes it.
    Close,
    /// The target resets it.
    Reset,
}

impl Connection {
    pub(super) async fn run(mut self, mut socket: TcpStream) {
        let ordered = ordered(self.orders.clone());
        let served = tokio::select! {
            served = self.serve(&mut socket) => served,
            done = ordered => Ok(done),
        };
        let done = match served {
            Ok(done) => done,
            Err(error) => Done::ByAgent(End::Reset(error.to_string())),
        };
        let end = match done {
            Done::ByAgent(end) => end,
            Done::Reset => {
                // Nothing to do about a connection that is gone already.
                let _ = socket.set_zero_linger();
                End::ByTarget
            }
            Done::Close => {
                let _ = socket.shutdown().await;
                // Bytes left unread would turn the FIN into a RST.
                let (mut reader, _) = socket.split();
                let rest = self.receive(&mut reader, u64::MAX);
                match timeout(LINGER, rest).await {
                    Ok(Ok(_)) => End::Fin,
                    Ok(Err(error)) => End::Reset(error.to_string()),
                    Err(_) => End::ByTarget,
                }
            }
        };
        drop(socket);
        self.records.ended(self.place, end);
    }

    async fn serve(&mut self, socket: &mut TcpStream) -> io::Result<Done> {
        match self.behaviour {
            Behaviour::Echo => self.echo(socket).await,
            Behaviour::Sink | Behaviour::Silent | Behaviour::Slow { .. } => {
                self.receive(&mut socket.split().0, u64::MAX).await?;
                Ok(Done::ByAgent(End::Fin))
            }
            Behaviour::CloseAfter { bytes } => {
                let enough = self.receive(&mut socket.split().0, bytes).await?;
                Ok(if enough {
                    Done::Close
                } else {
                    Done::ByAgent(End::Fin)
                })
            }
            Behaviour::ResetAfter { bytes } => {
                let enough = self.receive(&mut socket.split().0, bytes).await?;
                Ok(if enough {
                    Done::Reset
                } else {
                    Done::ByAgent(End::Fin)
                })
            }
            Behaviour::Send { bytes, seed, then } => self.send(socket, bytes, seed, then).await,
        }
    }

    async fn echo(&mut self, socket: &mut TcpStream) -> io::Result<Done> {
        let mut buffer = vec![0; PIECE];
        loop {
            self.until_not_paused(socket).await?;
            match socket.read(&mut buffer).await? {
                0 => return Ok(Done::ByAgent(End::Fin)),
                length => {
                    self.records.received(self.place, &buffer[..length]);
                    socket.write_all(&buffer[..length]).await?;
                    self.records.sent(self.place, length);
                }
            }
        }
    }

    async fn send(
        &mut self,
        socket: &mut TcpStream,
        bytes: u64,
        seed: u64,
        then: Then,
    ) -> io::Result<Done> {
        let (mut reader, mut writer) = socket.split();
        let seed = seed.wrapping_add(self.place as u64);
        let (records, place) = (self.records.clone(), self.place);
        let send = async {
            send_pattern(&mut writer, bytes, seed, &records, place).await?;
            match then {
                Then::Stay => std::future::pending().await,
                Then::Close => Ok(Done::Close),
                Then::Reset => Ok(Done::Reset),
            }
        };
        tokio::select! {
            done = send => done,
            received = self.receive(&mut reader, u64::MAX) => received.map(|_| Done::ByAgent(End::Fin)),
        }
    }

    /// Receives until there is enough (true) or the agent sent FIN (false).
    async fn receive(&mut self, reader: &mut ReadHalf<'_>, enough: u64) -> io::Result<bool> {
        let piece = match self.behaviour {
            Behaviour::Slow { bytes, .. } => bytes.clamp(1, PIECE),
            Behaviour::Echo
            | Behaviour::Sink
            | Behaviour::Silent
            | Behaviour::Send { .. }
            | Behaviour::CloseAfter { .. }
            | Behaviour::ResetAfter { .. } => PIECE,
        };
        let mut buffer = vec![0; piece];
        let mut left = enough;
        while left > 0 {
            self.until_not_paused(reader.as_ref()).await?;
            let most = usize::try_from(left).unwrap_or(piece).min(piece);
            let length = reader.read(&mut buffer[..most]).await?;
            if length == 0 {
                return Ok(false);
            }
            self.records.received(self.place, &buffer[..length]);
            left -= length as u64;
            if let Behaviour::Slow { every, .. } = self.behaviour {
                sleep(every).await;
            }
        }
        Ok(true)
    }

    /// Waits while the target is paused. The end of the connection is noted even then.
    async fn until_not_paused(&mut self, socket: &TcpStream) -> io::Result<()> {
        while *self.paused.borrow_and_update() {
            tokio::select! {
                changed = self.paused.changed() => {
                    changed.map_err(|_| io::Error::other("the target was dropped"))?;
                }
                ready = socket.ready(Interest::READABLE) => {
                    if ready?.is_read_closed() {
                        let error = socket.take_error()?;
                        self.records.ended(self.place, error.map_or(End::Fin, |error| End::Reset(error.to_string())));
                        // Still nobody reads; wait to be resumed.
                        let resumed = self.paused.wait_for(|&paused| !paused).await;
                        resumed.map_err(|_| io::Error::other("the target was dropped"))?;
                        return Ok(());
                    }
                    // Bytes that nobody reads. To forget that they are there would be to miss them when the target is
                    // resumed and nothing more comes.
                    sleep(LOOK).await;
                }
            }
        }
        Ok(())
    }
}

/// Waits until the target ends its connections.
async fn ordered(mut orders: watch::Receiver<Then>) -> Done {
    let order = orders.wait_for(|order| *order != Then::Stay).await;
    let order = order.map(|order| *order);
    match order {
        Ok(Then::Reset) => Done::Reset,
        Ok(Then::Close | Then::Stay) => Done::Close,
        // The target was dropped, and its connections go with it.
        Err(_) => std::future::pending().await,
    }
}

async fn send_pattern(
    writer: &mut WriteHalf<'_>,
    bytes: u64,
    seed: u64,
    records: &Records,
    place: usize,
) -> io::Result<()> {
    let mut row = Pattern::new(seed);
    let mut buffer = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        row.fill(&mut buffer[..length]);
        writer.write_all(&buffer[..length]).await?;
        records.sent(place, length);
        left -= length as u64;
    }
    Ok(())
}
