//! The socket of one terminal: bytes in, bytes out, and every switch that bends them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::record::End;
use super::state::Shared;
use super::switches::{DropBeyond, Faults};
use crate::program::Dice;

/// Buffered bytes of one connection. What is written goes out when the terminal waits for input, as one piece or in
/// fragments; every byte that crosses the socket is on the record.
pub(super) struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    number: usize,
    faults: Faults,
    orders: watch::Receiver<Option<End>>,
    /// Where the socket is read into.
    buffer: Vec<u8>,
    /// What was read and not dropped, and how much of it the terminal has taken.
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
    received: u64,
    sent: u64,
    stalled: bool,
    bucket: Option<Bucket>,
    dice: Dice,
}

/// The most that is read at once, in bytes.
const READ: usize = 4096;
/// When so much waits to be written, it is written without waiting for input.
const WRITE: usize = 8192;
/// A peer that takes no byte for so long is given up.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

impl Connection {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>, number: usize) -> Self {
        // Without it, fragments would be glued again and each echo would wait for an acknowledgement. If the system
        // refuses, the terminal is slower and nothing else.
        let _ = stream.set_nodelay(true);
        let faults = shared.lock().faults.clone();
        Self {
            bucket: faults.drop_beyond.map(Bucket::new),
            orders: shared.orders(),
            dice: Dice::new(number as u64),
            stream,
            shared,
            number,
            faults,
            buffer: vec![0; READ],
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            received: 0,
            sent: 0,
            stalled: false,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Writes a fault of the block framing on the record.
    pub(super) fn note_fault(&self, fault: String) {
        self.shared
            .note(self.number, |record| record.faults.push(fault));
    }

    /// Gives the record its terminal.
    pub(super) fn note_terminal(&self, name: &str) {
        self.shared
            .note(self.number, |record| record.terminal = Some(name.into()));
    }

    /// The next byte of the peer, waiting as long as it takes; a person thinks.
    pub(super) async fn byte(&mut self) -> Result<u8, End> {
        while self.taken == self.input.len() {
            self.flush().await?;
            self.fill().await?;
        }
        let byte = self.input[self.taken];
        self.taken += 1;
        Ok(byte)
    }

    /// The next byte of the peer if there is one within `limit`; it is not taken.
    pub(super) async fn input_within(&mut self, limit: Duration) -> Result<Option<u8>, End> {
        self.flush().await?;
        if self.taken == self.input.len()
            && let Ok(filled) = tokio::time::timeout(limit, self.fill()).await
        {
            filled?;
        }
        Ok(self.input.get(self.taken).copied())
    }

    /// Sends bytes, at the latest when the next input is waited for.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= WRITE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        let output = std::mem::take(&mut self.output);
        let mut rest = self.audible(&output);
        while !rest.is_empty() {
            let size = match self.faults.fragments {
                Some(most) => self.dice.between(1, most.max(1)).min(rest.len()),
                None => rest.len(),
            };
            let (piece, later) = rest.split_at(size);
            self.send(piece).await?;
            rest = later;
        }
        Ok(())
    }

    /// Closes as the end asks for, and writes it on the record.
    pub(super) async fn close(mut self, end: End) {
        match end {
            End::PeerFin | End::NoTerminal | End::NotLoggedIn | End::HungUp => {
                // The peer may be gone already; the end on the record stays what it was.
                let _ = self.flush().await;
                let _ = self.stream.shutdown().await;
                self.discard().await;
            }
            End::Rebooted | End::PeerStalled => {
                // If the system refuses, the peer gets FIN in the place of RST.
                let _ = self.stream.set_zero_linger();
            }
            End::PeerReset => {}
        }
        drop(self.stream);
        self.shared
            .note(self.number, |record| record.end = Some(end));
    }

    /// Reads what is still on the way, for a bounded time: closing with unread bytes would be an RST, and the peer
    /// could lose our last ones.
    async fn discard(&mut self) {
        let mut lost = [0; READ];
        let until_closed = async { while let Ok(1..) = self.stream.read(&mut lost).await {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), until_closed).await;
    }

    /// One read into the empty input buffer, bent by the switches. May leave it empty, if all was dropped.
    async fn fill(&mut self) -> Result<(), End> {
        self.stall().await?;
        self.input.clear();
        self.taken = 0;
        let most = match self.faults.read_rate {
            Some(rate) => READ.min((rate / 20).max(1) as usize),
            None => READ,
        };
        let count = tokio::select! {
            read = self.stream.read(&mut self.buffer[..most]) => read.map_err(|error| broken(&error))?,
            end = ordered_end(&mut self.orders) => return Err(end),
        };
        if count == 0 {
            return Err(End::PeerFin);
        }
        self.received += count as u64;
        let kept = match &mut self.bucket {
            Some(bucket) => bucket.take(count),
            None => count,
        };
        self.input.extend_from_slice(&self.buffer[..kept]);
        self.shared.note(self.number, |record| {
            record.received.record(&self.buffer[..count]);
            record.dropped += (count - kept) as u64;
        });
        if let Some(rate) = self.faults.read_rate {
            let busy = Duration::from_secs_f64(count as f64 / f64::from(rate.max(1)));
            self.pause(busy).await?;
        }
        Ok(())
    }

    async fn stall(&mut self) -> Result<(), End> {
        match self.faults.stall {
            Some(stall) if !self.stalled && self.received >= stall.after => {
                self.stalled = true;
                self.pause(stall.lasts).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn pause(&mut self, time: Duration) -> Result<(), End> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            end = ordered_end(&mut self.orders) => Err(end),
        }
    }

    /// The part of the output that a mute controller still says.
    fn audible<'a>(&self, output: &'a [u8]) -> &'a [u8] {
        let Some(limit) = self.faults.mute_after else {
            return output;
        };
        let left = usize::try_from(limit.saturating_sub(self.sent)).unwrap_or(usize::MAX);
        &output[..output.len().min(left)]
    }

    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let count = tokio::select! {
                written = tokio::time::timeout(WRITE_LIMIT, self.stream.write(bytes)) => match written {
                    Ok(count) => count.map_err(|error| broken(&error))?,
                    Err(_) => return Err(End::PeerStalled),
                },
                end = ordered_end(&mut self.orders) => return Err(end),
            };
            self.sent += count as u64;
            self.shared
                .note(self.number, |record| record.sent.record(&bytes[..count]));
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

/// How the peer ended, from the error of the socket. Linux says "broken pipe" if a FIN had come before the RST.
fn broken(error: &io::Error) -> End {
    if error.kind() == io::ErrorKind::BrokenPipe {
        End::PeerFin
    } else {
        End::PeerReset
    }
}

/// Waits for the controller's order to end.
async fn ordered_end(orders: &mut watch::Receiver<Option<End>>) -> End {
    if orders.changed().await.is_ok()
        && let Some(end) = *orders.borrow_and_update()
    {
        return end;
    }
    std::future::pending().await
}

/// The input buffer of a controller that keeps up with a certain rate only.
struct Bucket {
    rate: f64,
    size: f64,
    room: f64,
    last: Instant,
}

impl Bucket {
    fn new(limit: DropBeyond) -> Self {
        Self {
            rate: f64::from(limit.bytes_per_second),
            size: f64::from(limit.burst),
            room: f64::from(limit.burst),
            last: Instant::now(),
        }
    }

    /// How many of `count` bytes that came now find room.
    fn take(&mut self, count: usize) -> usize {
        let now = Instant::now();
        let emptied = now.duration_since(self.last).as_secs_f64() * self.rate;
        self.last = now;
        self.room = (self.room + emptied).min(self.size);
        let kept = (0..count)
            .take_while(|n| *n as f64 + 1.0 <= self.room)
            .count();
        self.room -= kept as f64;
        kept
    }
}
