//! A way from the engineer's end to a target: through the agent, through the bare loop, or straight.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bare::Bare;
use super::process::Process;
use super::program::Program;
use super::service::{Stream, Tunnel};
use super::targets::{Kind, Targets};

/// Bytes that a bulk transfer offers at once: what the reference source puts into one message.
const PIECE: usize = 63 * 1024;

/// No measurement takes longer than this; one that does has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Round trips before those that are counted.
pub(super) const WARM: usize = 100;

/// What a bulk transfer took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) elapsed: Duration,
    /// Of the relay alone; none on the straight way.
    pub(super) cpu: Duration,
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// The ways.
pub(super) enum Way {
    /// By a tunnel, through the agent or the reference.
    Tunnel(Box<Program>),
    Loop(Bare),
    Straight,
}

impl Way {
    /// How it is called in the results.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Way::Tunnel(program) => program.name,
            Way::Loop(_) => "loop",
            Way::Straight => "straight",
        }
    }

    /// The process that relays, if one does.
    pub(super) fn process(&self) -> Option<Process> {
        match self {
            Way::Tunnel(program) => Some(program.process),
            Way::Loop(bare) => Some(bare.process()),
            Way::Straight => None,
        }
    }

    /// Time of that process on a processor so far.
    pub(super) fn cpu(&self) -> io::Result<Duration> {
        self.process().map_or(Ok(Duration::ZERO), Process::cpu)
    }

    async fn connect(&self, targets: &Targets, kind: Kind) -> io::Result<Box<dyn Socket>> {
        Ok(match self {
            Way::Loop(bare) => Box::new(bare.connect(kind).await?),
            Way::Tunnel(_) | Way::Straight => {
                let socket = TcpStream::connect(targets.address(kind)).await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        })
    }

    /// The times of `count` round trips of `size` bytes, one after another.
    pub(super) async fn round_trips(
        &mut self,
        targets: &Targets,
        size: usize,
        count: usize,
    ) -> io::Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(WARM + count);
        let all = async {
            if let Way::Tunnel(program) = self {
                let tunnel = &mut program.tunnel;
                let stream = tunnel.open(Kind::Echo.service(), 1).await?;
                for _ in 0..WARM + count {
                    let start = Instant::now();
                    exchange(tunnel, stream, size).await?;
                    times.push(start.elapsed());
                }
                return tunnel.end(stream).await;
            }
            let mut socket = self.connect(targets, Kind::Echo).await?;
            let piece = vec![7; size];
            let mut back = vec![0; size];
            for _ in 0..WARM + count {
                let start = Instant::now();
                socket.write_all(&piece).await?;
                socket.flush().await?;
                socket.read_exact(&mut back).await?;
                times.push(start.elapsed());
            }
            Ok(())
        };
        within(all).await?;
        Ok(times.split_off(WARM))
    }

    /// `total` bytes to the targets, spread over so many connections.
    pub(super) async fn down(
        &mut self,
        targets: &Targets,
        connections: u32,
        total: u64,
    ) -> io::Result<Took> {
        let pieces = pieces_each(connections, total);
        let mut open = Open::new(self, targets, Kind::Sink, connections).await?;
        targets.expect(pieces * u64::from(connections) * PIECE as u64);
        let (cpu, start) = (self.cpu()?, Instant::now());
        within(async {
            match (&mut *self, &mut open) {
                (Way::Tunnel(program), Open::Stream(stream)) => {
                    let tunnel = &mut program.tunnel;
                    let frames: Vec<Bytes> = (0..connections)
                        .map(|number| stream.data(number, vec![7; PIECE]))
                        .collect();
                    for _ in 0..pieces {
                        for frame in &frames {
                            tunnel.put(frame.clone()).await?;
                        }
                    }
                    tunnel.flush().await?;
                }
                (_, open) => {
                    open.each(Work::Push(pieces)).await?;
                }
            }
            targets.taken().await;
            Ok(())
        })
        .await?;
        let took = self.took(start, cpu)?;
        self.close(open).await?;
        Ok(took)
    }

    /// `total` bytes from the targets, spread over so many connections.
    pub(super) async fn up(
        &mut self,
        targets: &Targets,
        connections: u32,
        total: u64,
    ) -> io::Result<Took> {
        let each = pieces_each(connections, total) * PIECE as u64;
        let mut open = Open::new(self, targets, Kind::Flood, connections).await?;
        let wanted = each.to_be_bytes();
        let (cpu, start) = (self.cpu()?, Instant::now());
        within(async {
            match (&mut *self, &mut open) {
                (Way::Tunnel(program), Open::Stream(stream)) => {
                    let tunnel = &mut program.tunnel;
                    for number in 0..connections {
                        tunnel.put(stream.data(number, wanted.to_vec())).await?;
                    }
                    tunnel.flush().await?;
                    tunnel.receive(*stream, each * u64::from(connections)).await
                }
                (_, open) => open.each(Work::Take(each)).await,
            }
        })
        .await?;
        let took = self.took(start, cpu)?;
        self.close(open).await?;
        Ok(took)
    }

    fn took(&self, start: Instant, cpu: Duration) -> io::Result<Took> {
        Ok(Took {
            elapsed: start.elapsed(),
            cpu: self.cpu()? - cpu,
        })
    }

    async fn close(&mut self, open: Open) -> io::Result<()> {
        match (self, open) {
            (Way::Tunnel(program), Open::Stream(stream)) => program.tunnel.end(stream).await,
            (_, _) => Ok(()),
        }
    }
}

/// One round trip through a tunnel.
pub(super) async fn exchange(tunnel: &mut Tunnel, stream: Stream, size: usize) -> io::Result<()> {
    tunnel.send(stream.data(0, vec![7; size])).await?;
    tunnel.receive(stream, size as u64).await
}

/// The connections of one transfer.
enum Open {
    Stream(Stream),
    Sockets(Vec<Box<dyn Socket>>),
}

impl Open {
    async fn new(
        way: &mut Way,
        targets: &Targets,
        kind: Kind,
        connections: u32,
    ) -> io::Result<Open> {
        if let Way::Tunnel(program) = way {
            let stream = program.tunnel.open(kind.service(), connections).await?;
            return Ok(Open::Stream(stream));
        }
        let mut sockets = Vec::new();
        for _ in 0..connections {
            sockets.push(way.connect(targets, kind).await?);
        }
        Ok(Open::Sockets(sockets))
    }

    /// The same on each socket at once.
    async fn each(&mut self, work: Work) -> io::Result<()> {
        let Open::Sockets(sockets) = self else {
            return Ok(());
        };
        let mut tasks = JoinSet::new();
        for mut socket in std::mem::take(sockets) {
            tasks.spawn(async move {
                work.carry_out(&mut socket).await?;
                io::Result::Ok(socket)
            });
        }
        while let Some(done) = tasks.join_next().await {
            // Kept: what it sent must arrive before it closes.
            sockets.push(done.map_err(io::Error::other)??);
        }
        Ok(())
    }
}

/// What is done on a socket.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// So many pieces are written.
    Push(u64),
    /// So many bytes are asked for and read.
    Take(u64),
}

impl Work {
    async fn carry_out(self, socket: &mut Box<dyn Socket>) -> io::Result<()> {
        let mut piece = vec![7; PIECE];
        match self {
            Work::Push(pieces) => {
                for _ in 0..pieces {
                    socket.write_all(&piece).await?;
                }
                socket.flush().await
            }
            Work::Take(bytes) => {
                socket.write_all(&bytes.to_be_bytes()).await?;
                socket.flush().await?;
                let mut left = bytes;
                while left > 0 {
                    match socket.read(&mut piece).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        count => left = left.saturating_sub(count as u64),
                    }
                }
                Ok(())
            }
        }
    }
}

fn pieces_each(connections: u32, total: u64) -> u64 {
    (total / u64::from(connections) / PIECE as u64).max(1)
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(LIMIT, work)
        .await
        .map_err(|_| io::Error::other(format!("no end within {LIMIT:?}")))?
}
