//! The blocks that keep what controllers do not take at once; a fixed number for the whole gateway.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::{Buf, BufMut, BytesMut};

use crate::limits::BLOCK;

/// Counts the blocks that are out. Blocks are allocated when needed and freed when drained, so that an
/// idle agent holds none.
pub struct Pool {
    free: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Pool {
    /// A pool of `blocks` blocks of [`BLOCK`] bytes.
    pub fn new(blocks: usize) -> Rc<Pool> {
        Rc::new(Pool {
            free: Cell::new(blocks),
            waiting: RefCell::default(),
        })
    }

    /// Blocks that can still be taken.
    pub fn free(&self) -> usize {
        self.free.get()
    }

    /// Wakes the task when a block comes back. There is one task a tunnel.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
    }

    /// One block; nothing when all are out.
    pub fn take(self: &Rc<Pool>) -> Option<Block> {
        let left = self.free.get().checked_sub(1)?;
        self.free.set(left);
        Some(Block {
            bytes: BytesMut::with_capacity(BLOCK),
            pool: Rc::clone(self),
        })
    }
}

/// Up to [`BLOCK`] bytes that wait. It goes back to its pool when dropped.
pub struct Block {
    bytes: BytesMut,
    pool: Rc<Pool>,
}

impl Block {
    /// Copies as much of `from` as fits; tells how much.
    pub fn fill(&mut self, from: &[u8]) -> usize {
        let room = self.bytes.capacity() - self.bytes.len();
        let count = room.min(from.len());
        self.bytes.put_slice(&from[..count]);
        count
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first `count` bytes are written.
    pub fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.free.set(self.pool.free.get() + 1);
        for waker in self.pool.waiting.take() {
            waker.wake();
        }
    }
}
