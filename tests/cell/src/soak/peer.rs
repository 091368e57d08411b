//! A target of the soak: it knows from its head what a connection must bring, sends what it must send, and misbehaves
//! when it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::book::{Book, Entry, HEAD, Seen};
use super::flow::{Checker, Ending, Plan, write};
use super::verdict::Verdict;

/// A listening target; it ends with the runtime.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    shared: Shared,
    listening: mpsc::UnboundedSender<(bool, oneshot::Sender<io::Result<()>>)>,
}

#[derive(Clone)]
struct Shared {
    name: &'static str,
    book: Book,
    verdict: Verdict,
    paused: watch::Sender<bool>,
    /// Counts the times when every connection was reset.
    resets: watch::Sender<u64>,
    open: Arc<AtomicUsize>,
}

impl Peer {
    pub(super) fn start(name: &'static str, book: &Book, verdict: &Verdict) -> io::Result<Peer> {
        let listener = listen(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        let shared = Shared {
            name,
            book: book.clone(),
            verdict: verdict.clone(),
            paused: watch::Sender::default(),
            resets: watch::Sender::default(),
            open: Arc::default(),
        };
        let (listening, wishes) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, address, wishes, shared.clone()));
        Ok(Peer {
            address,
            shared,
            listening,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Reads nothing, on every connection, until it is told to go on.
    pub(super) fn pause(&self, paused: bool) {
        self.shared.paused.send_replace(paused);
    }

    /// Resets every connection.
    pub(super) fn reset(&self) {
        self.shared.resets.send_modify(|count| *count += 1);
    }

    /// Refuses new connections, or takes them again.
    pub(super) async fn listen(&self, wanted: bool) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        let gone = |_| io::Error::other("the target is gone");
        self.listening
            .send((wanted, answer))
            .map_err(|_| io::Error::other("the target is gone"))?;
        answered.await.map_err(gone)?
    }

    /// Connections that are not over.
    pub(super) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    mut wishes: mpsc::UnboundedReceiver<(bool, oneshot::Sender<io::Result<()>>)>,
    shared: Shared,
) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = next => if let Ok((socket, _)) = accepted {
                shared.open.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(socket, shared.clone()));
            },
            wish = wishes.recv() => {
                let Some((wanted, answer)) = wish else { return };
                listener = None;
                let bound = if wanted { listen(address).map(Some) } else { Ok(None) };
                let _ = answer.send(bound.map(|bound| listener = bound));
            },
            Some(_) = connections.join_next() => {},
        }
    }
}

async fn serve(mut socket: TcpStream, shared: Shared) {
    let mut resets = shared.resets.subscribe();
    resets.mark_unchanged();
    let _ = socket.set_nodelay(true);
    let found = OnceLock::new();
    let mut checker = None;
    let over = tokio::select! {
        over = carry(&mut socket, &shared, &found, &mut checker) => over,
        _ = resets.changed() => Over::Reset,
    };
    if matches!(over, Over::Reset) {
        let _ = socket.set_zero_linger();
    }
    drop(socket);
    if let (Some(entry), Some(checker)) = (found.get(), checker) {
        let too_much = matches!(over, Over::TooMuch);
        entry.target.send_modify(|seen| {
            seen.ended = true;
            seen.bytes = checker.bytes;
            seen.wrong |= too_much || !checker.is_right();
        });
    }
    shared.open.fetch_sub(1, Ordering::Relaxed);
}

/// How a connection came to its end.
enum Over {
    /// By the agent, or as it was to be.
    Ended,
    /// The target resets it.
    Reset,
    /// Bytes came behind the last.
    TooMuch,
}

async fn carry(
    socket: &mut TcpStream,
    shared: &Shared,
    found: &OnceLock<Arc<Entry>>,
    checker: &mut Option<Checker>,
) -> Over {
    let mut head = [0; HEAD];
    // One that a fault cuts before is nobody's.
    if socket.read_exact(&mut head).await.is_err() {
        return Over::Ended;
    }
    let name = shared.name;
    let Some(entry) = shared.book.find(&head) else {
        let what = format!("{name}: bytes of no stream: {head:02x?}");
        shared.verdict.wrong(what);
        return Over::Reset;
    };
    let entry = found.get_or_init(|| entry);
    let mut twice = false;
    let came = |seen: &mut Seen| twice = std::mem::replace(&mut seen.came, true);
    entry.target.send_modify(came);
    if twice {
        let what = format!("{name}: stream {} came twice", entry.number);
        shared.verdict.wrong(what);
    }
    let plan = entry.plan;
    let checker = checker.insert(Checker::new(&plan.down));
    let (mut reader, mut writer) = socket.split();
    let receive = receive(&mut reader, &plan, checker, shared);
    let send = async {
        write(&mut writer, &plan.up, plan.up.bytes)
            .await
            .map_err(|_| Over::Ended)
    };
    let received = async {
        receive.await?;
        entry.target.send_modify(|seen| seen.complete = true);
        Ok(())
    };
    if let Err(over) = tokio::try_join!(received, send) {
        return over;
    }
    if plan.ending == Ending::Target && writer.shutdown().await.is_err() {
        return Over::Ended;
    }
    match reader.read(&mut [0; 1]).await {
        Ok(1) => Over::TooMuch,
        Ok(_) | Err(_) => Over::Ended,
    }
}

/// Until all has come, the agent ends the connection, or half has come where that is enough.
async fn receive(
    reader: &mut ReadHalf<'_>,
    plan: &Plan,
    checker: &mut Checker,
    shared: &Shared,
) -> Result<(), Over> {
    let mut paused = shared.paused.subscribe();
    let mut buffer = vec![0; plan.down.read.piece];
    loop {
        if plan.ending == Ending::TargetDrops && checker.bytes >= plan.down.bytes / 2 {
            return Err(Over::Reset);
        }
        if checker.is_complete() {
            return Ok(());
        }
        let go_on = paused.wait_for(|paused| !paused).await;
        go_on.map_err(|_| Over::Ended)?;
        match reader.read(&mut buffer).await {
            Ok(length) if length > 0 => checker.take(&buffer[..length]),
            Ok(_) | Err(_) => return Err(Over::Ended),
        }
        plan.down.read.rest().await;
    }
}
