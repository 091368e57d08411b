//! A bounded queue whose items know when they were put in, so that a delay can be added without serialising them.
//!
//! Responsible for: order, the bound in bytes, and the pace of a limited bandwidth.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// What an item costs besides its bytes, so that many tiny ones are bounded too.
const OVERHEAD: usize = 64;

/// An item and when it was put in.
#[derive(Debug)]
pub(super) struct Timed<T> {
    pub(super) at: Instant,
    pub(super) item: T,
    /// Gives the room back when the item is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// The end that puts items in.
#[derive(Debug)]
pub(super) struct LineSender<T> {
    items: mpsc::UnboundedSender<Timed<T>>,
    room: Arc<Semaphore>,
    size: usize,
}

/// The end that takes items out.
#[derive(Debug)]
pub(super) struct LineReceiver<T> {
    items: mpsc::UnboundedReceiver<Timed<T>>,
    room: Arc<Semaphore>,
    /// Looked at, not taken.
    next: Option<Timed<T>>,
}

/// The other end is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// A line that holds about `size` bytes.
pub(super) fn line<T>(size: usize) -> (LineSender<T>, LineReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(size));
    (
        LineSender {
            items: sender,
            room: Arc::clone(&room),
            size,
        },
        LineReceiver {
            items: receiver,
            room,
            next: None,
        },
    )
}

impl<T> Clone for LineSender<T> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            room: Arc::clone(&self.room),
            size: self.size,
        }
    }
}

impl<T> LineSender<T> {
    /// Puts in an item of `bytes`; waits for room.
    pub(super) async fn send(&self, item: T, bytes: usize) -> Result<(), Gone> {
        let cost = u32::try_from((bytes + OVERHEAD).min(self.size)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(cost)
            .await
            .map_err(|_| Gone)?;
        self.put(item, Some(room))
    }

    /// Puts in an item beyond the bound: for the rare things the service says itself.
    pub(super) fn send_now(&self, item: T) -> Result<(), Gone> {
        self.put(item, None)
    }

    fn put(&self, item: T, room: Option<OwnedSemaphorePermit>) -> Result<(), Gone> {
        let timed = Timed {
            at: Instant::now(),
            item,
            _room: room,
        };
        self.items.send(timed).map_err(|_| Gone)
    }
}

impl<T> LineReceiver<T> {
    /// Takes out the next item.
    pub(super) async fn recv(&mut self) -> Option<Timed<T>> {
        match self.next.take() {
            Some(item) => Some(item),
            None => self.items.recv().await,
        }
    }

    /// Looks at the next item, if there is one now.
    pub(super) fn peek(&mut self) -> Option<&Timed<T>> {
        if self.next.is_none() {
            self.next = self.items.try_recv().ok();
        }
        self.next.as_ref()
    }

    /// Takes out the item that [`Self::peek`] showed.
    pub(super) fn take_peeked(&mut self) -> Option<Timed<T>> {
        self.next.take()
    }
}

impl<T> Drop for LineReceiver<T> {
    fn drop(&mut self) {
        // Whoever waits for room must learn that none will come.
        self.room.close();
    }
}

/// Waits for an instant. A timer would take a millisecond even for one that has passed.
pub(super) async fn due(at: Instant) {
    if at > Instant::now() {
        sleep_until(at).await;
    }
}

/// Spaces bytes out to a bandwidth.
#[derive(Debug)]
pub(super) struct Pacer {
    /// When the wire is free again.
    free: Instant,
}

impl Pacer {
    pub(super) fn new() -> Self {
        Self {
            free: Instant::now(),
        }
    }

    /// The most bytes to put on the wire at once: a fiftieth of a second, so that the pace is even.
    pub(super) fn piece(bandwidth: Option<u32>) -> usize {
        bandwidth.map_or(usize::MAX, |rate| (rate as usize / 50).max(1))
    }

    /// Waits until `bytes` have travelled.
    pub(super) async fn pass(&mut self, bytes: usize, bandwidth: Option<u32>) {
        let Some(rate) = bandwidth else { return };
        let takes = Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)));
        self.free = self.free.max(Instant::now()) + takes;
        due(self.free).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_bound_holds_the_sender_and_control_passes_it() {
        let (sender, mut receiver) = line(1_000);
        sender.send("first", 900).await.expect("there is room");
        sender.send_now("control").expect("the receiver is there");
        let waiting =
            tokio::time::timeout(Duration::from_secs(1), sender.send("second", 900)).await;
        assert!(waiting.is_err(), "there is no room for a second");
        let first = receiver.recv().await.expect("it was sent");
        assert_eq!(first.item, "first");
        drop(first);
        sender
            .send("second", 900)
            .await
            .expect("there is room again");
        drop(receiver);
        assert!(sender.send("third", 1).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_kept() {
        let start = Instant::now();
        let mut pacer = Pacer::new();
        for _ in 0..50 {
            pacer.pass(Pacer::piece(Some(1_000)), Some(1_000)).await;
        }
        assert_eq!(start.elapsed().as_millis(), 1_000);
    }
}
