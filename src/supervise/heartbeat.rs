//! Whether the agent works.
//!
//! Is responsible for: asking every loop of the agent in rounds whether it still turns, and for what counts as an
//! answer. The watchdogs are fed after a round that every loop answered, and never by a timer beside the loops: a
//! thread that is stuck in one of them takes this one with it, since all share the one thread.
//!
//! A wait for the network is no hang: a loop that waits is woken, looks at everything, and waits on. A loop that turns
//! without end and moves nothing is one.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{HEARTBEAT_PATIENCE, SPIN_ROUNDS, SPIN_TURNS};

/// The patience with a loop is cut into so many pieces, in each of which the loops had a turn: a process that was
/// stopped and goes on finds the patience used up, and its loops innocent.
const PIECES: u32 = 10;

/// Asks the loops.
#[derive(Default)]
pub struct Heartbeat {
    loops: RefCell<Vec<Weak<Loop>>>,
    asker: Rc<Asker>,
}

/// One loop's end of it. The loop is a member until the last clone is dropped.
#[derive(Clone)]
pub struct Pulse(Rc<Loop>);

struct Loop {
    name: String,
    asked: Cell<bool>,
    /// Turns since the last round.
    turns: Cell<u32>,
    /// Whether something came of one of them.
    moved: Cell<bool>,
    /// Rounds in a row in which it spun.
    spun: Cell<u32>,
    waker: RefCell<Option<Waker>>,
    asker: Rc<Asker>,
}

/// Woken by every answer.
#[derive(Default)]
struct Asker(RefCell<Option<Waker>>);

/// What a round found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// Every loop turns.
    Alive,
    /// These turn without end, and nothing comes of it; not for long yet.
    Doubtful(String),
    /// These hang, and how; for the log.
    Hung(String),
}

impl Heartbeat {
    /// A heart without loops.
    pub fn new() -> Rc<Heartbeat> {
        Rc::default()
    }

    /// A new loop, which has to turn from now on. `name` is for the log.
    pub fn watch(&self, name: impl Into<String>) -> Pulse {
        let watched = Rc::new(Loop {
            name: name.into(),
            asked: Cell::new(false),
            turns: Cell::new(0),
            moved: Cell::new(true),
            spun: Cell::new(0),
            waker: RefCell::new(None),
            asker: Rc::clone(&self.asker),
        });
        let mut loops = self.loops.borrow_mut();
        loops.retain(|watched| watched.strong_count() > 0);
        loops.push(Rc::downgrade(&watched));
        Pulse(watched)
    }

    /// One round after the other, `every` so often, for ever; tells `found` of each. Returns at the first round in
    /// which a loop hangs, with which and how.
    pub async fn run(&self, every: Duration, mut found: impl FnMut(&Round)) -> String {
        let mut load = Load::now();
        loop {
            let busy = load.is_high();
            let round = self.round(busy).await;
            found(&round);
            if let Round::Hung(which) = round {
                return which;
            }
            sleep(every).await;
        }
    }

    /// One round. `busy`: the processor had little rest since the last one.
    async fn round(&self, busy: bool) -> Round {
        let mut doubtful = Vec::new();
        for watched in self.living() {
            let spun = watched.judge(busy);
            if spun >= SPIN_ROUNDS {
                return Round::Hung(format!(
                    "{} turns without end, and nothing comes of it",
                    watched.name
                ));
            }
            if spun > 0 {
                doubtful.push(watched.name.clone());
            }
            watched.ask();
        }
        for _ in 0..PIECES {
            let answered = timeout(HEARTBEAT_PATIENCE / PIECES, self.answered()).await;
            if answered.is_ok() {
                return if doubtful.is_empty() {
                    Round::Alive
                } else {
                    Round::Doubtful(doubtful.join(", "))
                };
            }
        }
        let late: Vec<String> = self.late().map(|watched| watched.name.clone()).collect();
        if late.is_empty() {
            return Round::Alive;
        }
        Round::Hung(format!(
            "{} did not turn for {} s",
            late.join(", "),
            HEARTBEAT_PATIENCE.as_secs()
        ))
    }

    fn living(&self) -> impl Iterator<Item = Rc<Loop>> {
        let loops: Vec<_> = self
            .loops
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        loops.into_iter()
    }

    fn late(&self) -> impl Iterator<Item = Rc<Loop>> {
        self.living().filter(|watched| watched.asked.get())
    }

    /// Until every loop has answered.
    async fn answered(&self) {
        poll_fn(|cx| {
            if self.late().next().is_none() {
                return Poll::Ready(());
            }
            self.asker.0.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Pulse {
    /// Runs a loop that is one future: each time it is polled it looks at everything it waits for, and has turned.
    pub async fn attend<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.0.register(cx);
            let polled = work.as_mut().poll(cx);
            self.turned();
            polled
        })
        .await
    }

    /// Ready when the loop is asked to turn. For a loop that says itself, by [`turned`](Pulse::turned), when it
    /// has. Safe to drop.
    pub async fn asked(&self) {
        poll_fn(|cx| {
            if self.0.asked.get() {
                return Poll::Ready(());
            }
            self.0.register(cx);
            Poll::Pending
        })
        .await;
    }

    /// The loop has turned.
    pub fn turned(&self) {
        let Loop { turns, asked, .. } = &*self.0;
        turns.set(turns.get().saturating_add(1));
        if asked.replace(false)
            && let Some(waker) = self.0.asker.0.take()
        {
            waker.wake();
        }
    }

    /// Something came of the turn: bytes moved, a packet was taken, a state was left.
    pub fn progress(&self) {
        self.0.moved.set(true);
    }
}

impl Loop {
    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// How many rounds in a row it spun, with the one that ends now.
    fn judge(&self, busy: bool) -> u32 {
        let (turns, moved) = (self.turns.replace(0), self.moved.replace(false));
        let spins = busy && !moved && turns > SPIN_TURNS;
        self.spun.set(if spins { self.spun.get() + 1 } else { 0 });
        self.spun.get()
    }

    fn ask(&self) {
        self.asked.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// How much of the time the process had the processor.
#[derive(Clone, Copy)]
struct Load {
    wall: Instant,
    used: Duration,
}

impl Load {
    fn now() -> Load {
        let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
        Load {
            wall: Instant::now(),
            used: used.unwrap_or_default(),
        }
    }

    /// Whether it was more than half since the last look.
    fn is_high(&mut self) -> bool {
        let now = Load::now();
        std::mem::replace(self, now).was_high(&now)
    }

    fn was_high(&self, now: &Load) -> bool {
        let wall = now.wall.saturating_duration_since(self.wall);
        now.used.saturating_sub(self.used) > wall / 2
    }
}

#[cfg(test)]
mod tests;
