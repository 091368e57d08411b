//! The agent's end of the local socket.
//!
//! Is responsible for: few connections at once, each bounded in bytes and time, so that a slow, silent or
//! hostile client costs a place for some seconds and nothing else; a further one waits in the kernel, and while
//! all places are taken whoever keeps us waiting gives its place up at once.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use log::warn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::lock::{BindError, Held};
use super::{Reply, Request, peer};
use crate::limits::{
    CONTROL_ANSWER, CONTROL_CONNECTIONS, CONTROL_GRACE, CONTROL_LOG_EVERY, CONTROL_REPLY_MAX,
    CONTROL_REQUEST_MAX, CONTROL_TRANSFER,
};
use crate::supervise::heartbeat::Pulse;

/// After an accept that failed; the cause, no free descriptor, does not go at once.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// One question, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes. Nobody listens any more if the client has gone; that is no fault.
    pub reply: oneshot::Sender<Reply>,
}

/// The local socket. Dropped, it is removed and the folder is free for another agent.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    held: Held,
}

impl Server {
    /// Takes the runtime folder, which it makes if need be, and opens the socket in it. To be called within
    /// the runtime.
    ///
    /// # Errors
    /// Another agent has the folder, or the system says no.
    pub fn bind(runtime: &Path) -> Result<Server, BindError> {
        let held = Held::take(runtime)?;
        let listener = UnixListener::from_std(held.listen()?).map_err(|error| {
            BindError::System(
                "watch the socket",
                crate::config::paths::socket(runtime),
                error,
            )
        })?;
        Ok(Server { listener, held })
    }

    /// Serves until it is dropped. What is asked goes to `asks`; whoever takes it from there answers soon, for
    /// after [`CONTROL_ANSWER`] the client is told that the agent is busy. `pulse` is told of each client: a script that
    /// asks all the time is no live-lock.
    pub async fn serve(self, asks: mpsc::Sender<Ask>, pulse: Pulse) {
        let complaints = Complaints::default();
        let crowd = Crowd::default();
        let place = || serve_one_by_one(&self.listener, &asks, &crowd, &complaints, &pulse);
        let mut places: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        places.resize_with(CONTROL_CONNECTIONS, || Box::pin(place()));
        poll_fn(|cx| {
            for place in &mut places {
                // It has no end.
                let _ = place.as_mut().poll(cx);
            }
            Poll::<()>::Pending
        })
        .await;
        drop(self.held);
    }
}

/// One of the places for connections, for ever.
async fn serve_one_by_one(
    listener: &UnixListener,
    asks: &mpsc::Sender<Ask>,
    crowd: &Crowd,
    log: &Complaints,
    pulse: &Pulse,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                pulse.progress();
                let _place = crowd.enter();
                if let Err(trouble) = serve_client(stream, asks, crowd).await {
                    log.say(&trouble);
                }
            }
            Err(error) => {
                log.say(&format!("the local socket takes no connection ({error})"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One question and its answer. Ends in [`CONTROL_TRANSFER`], [`CONTROL_ANSWER`] and the first again.
async fn serve_client(
    mut stream: UnixStream,
    asks: &mpsc::Sender<Ask>,
    crowd: &Crowd,
) -> Result<(), String> {
    let peer = stream
        .peer_cred()
        .map_err(|error| format!("a client that the kernel does not name is refused ({error})"))?;
    if !peer::may_ask(&peer) {
        let refused = Reply::Refused(
            "your user is neither root nor the agent's, nor in the agent's group".to_owned(),
        );
        // Its question is read and thrown away: whoever writes to a closed socket never sees the answer.
        let _ = crowd.bounded(read_line(&mut stream)).await;
        let _ = crowd.bounded(stream.write_all(&refused.to_line())).await;
        return Err(format!(
            "user {} (process {}) may not ask and is refused; if it should, add it to the agent's group",
            peer.uid(),
            peer.pid().unwrap_or_default()
        ));
    }
    let who = || {
        format!(
            "user {}, process {}",
            peer.uid(),
            peer.pid().unwrap_or_default()
        )
    };
    let line = match crowd.bounded(read_line(&mut stream)).await {
        Ok(Ok(line)) => line,
        Ok(Err(reason)) => return Err(format!("{}: {reason}", who())),
        Err(late) => return Err(format!("{}: no whole request {late}", who())),
    };
    let request = Request::from_line(&line);
    // The token in it is overwritten now, and not when the answer is out.
    drop(line);
    let (reply, trouble) = match request {
        Ok(request) => (answer(request, asks).await, None),
        Err(error) => {
            let trouble = format!("{}: {error}", who());
            (Reply::Refused(error.to_string()), Some(trouble))
        }
    };
    let mut bytes = reply.to_line();
    if bytes.len() > CONTROL_REPLY_MAX {
        bytes = Reply::Refused("the answer is too long for this socket".to_owned()).to_line();
    }
    match crowd.bounded(stream.write_all(&bytes)).await {
        // A client that has gone meanwhile is no trouble of ours.
        Ok(Ok(()) | Err(_)) => {}
        Err(late) => return Err(format!("{}: its answer is not taken {late}", who())),
    }
    trouble.map_or(Ok(()), Err)
}

/// One line without its end. The memory is laid down once, so that no copy of a token stays behind.
async fn read_line(stream: &mut UnixStream) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut line = Zeroizing::new(vec![0; CONTROL_REQUEST_MAX]);
    let mut filled = 0;
    loop {
        let count = stream
            .read(&mut line[filled..])
            .await
            .map_err(|error| format!("cannot be read ({error})"))?;
        let fresh = &line[filled..filled + count];
        if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
            line.truncate(filled + end);
            return Ok(line);
        }
        filled += count;
        if filled == CONTROL_REQUEST_MAX {
            return Err(format!(
                "a request of more than the allowed {CONTROL_REQUEST_MAX} bytes"
            ));
        }
        if count == 0 {
            return Err("ended before the end of its request".to_owned());
        }
    }
}

async fn answer(request: Request, asks: &mpsc::Sender<Ask>) -> Reply {
    let busy = || Reply::Refused("the agent is busy; ask again".to_owned());
    let (reply, replied) = oneshot::channel();
    let asked = async {
        if asks.send(Ask { request, reply }).await.is_err() {
            return None;
        }
        replied.await.ok()
    };
    match timeout(CONTROL_ANSWER, asked).await {
        Ok(Some(reply)) => reply,
        Ok(None) => Reply::Refused("the agent is stopping".to_owned()),
        Err(_) => busy(),
    }
}

/// The places that are taken.
#[derive(Default)]
struct Crowd {
    taken: Cell<usize>,
    full: Notify,
}

/// One place, until it is dropped.
struct Taken<'a>(&'a Crowd);

impl Crowd {
    fn enter(&self) -> Taken<'_> {
        self.taken.set(self.taken.get() + 1);
        if self.is_full() {
            self.full.notify_waiters();
        }
        Taken(self)
    }

    fn is_full(&self) -> bool {
        self.taken.get() >= CONTROL_CONNECTIONS
    }

    /// Waits for what the client does, within [`CONTROL_TRANSFER`]; while every place is taken no longer than
    /// [`CONTROL_GRACE`].
    async fn bounded<T>(&self, transfer: impl Future<Output = T>) -> Result<T, Late> {
        let crowded = async {
            sleep(CONTROL_GRACE).await;
            let full = self.full.notified();
            if !self.is_full() {
                full.await;
            }
        };
        tokio::select! {
            biased;
            done = timeout(CONTROL_TRANSFER, transfer) => done.map_err(|_| Late::Slow),
            () = crowded => Err(Late::Crowded),
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Taken(crowd) = self;
        crowd.taken.set(crowd.taken.get().saturating_sub(1));
    }
}

/// Why nobody waits for a client any more.
enum Late {
    Slow,
    Crowded,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Late::Slow => write!(f, "within {} s", CONTROL_TRANSFER.as_secs()),
            Late::Crowded => f.write_str("at once, and others want its place"),
        }
    }
}

/// What is wrong with clients, at most a line each [`CONTROL_LOG_EVERY`].
#[derive(Default)]
struct Complaints(Cell<(Option<Instant>, u32)>);

impl Complaints {
    fn say(&self, trouble: &str) {
        let now = Instant::now();
        let (last, unsaid) = self.0.get();
        if last.is_some_and(|last| now.duration_since(last) < CONTROL_LOG_EVERY) {
            self.0.set((last, unsaid.saturating_add(1)));
            return;
        }
        self.0.set((Some(now), 0));
        match unsaid {
            0 => warn!("control socket: {trouble}"),
            more => warn!("control socket: {trouble} (and {more} more since the last such line)"),
        }
    }
}
