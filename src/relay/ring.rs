//! What one controller did not take yet: bytes in order, in blocks of the pool, up to a share.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::pool::{Block, Pool};
use crate::limits::{BLOCK, SHARE_BLOCKS};

/// Slices offered to the kernel in one write.
const SLICES: usize = 4;

/// Bytes that wait for one controller. Empty, it holds no memory.
pub struct Ring {
    blocks: VecDeque<Block>,
    len: usize,
    pool: Rc<Pool>,
}

impl Ring {
    /// An empty ring that takes its blocks from `pool`.
    pub fn new(pool: Rc<Pool>) -> Ring {
        Ring {
            blocks: VecDeque::new(),
            len: 0,
            pool,
        }
    }

    /// Where its blocks come from.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies what fits from the front of `bytes` and takes it off them. What is left did not fit: the share
    /// of [`SHARE_BLOCKS`] is full, or the pool is empty.
    pub fn push(&mut self, bytes: &mut Bytes) {
        while !bytes.is_empty() {
            let count = self.blocks.back_mut().map_or(0, |block| block.fill(bytes));
            if count > 0 {
                bytes.advance(count);
                self.len += count;
                continue;
            }
            if self.blocks.len() == SHARE_BLOCKS {
                return;
            }
            let Some(block) = self.pool.take() else {
                return;
            };
            self.blocks.push_back(block);
        }
    }

    /// The first bytes that wait, at most `limit`, as slices for one write.
    pub fn slices(&self, limit: usize) -> heapless::Vec<IoSlice<'_>, SLICES> {
        let mut left = limit;
        let mut slices = heapless::Vec::new();
        for block in self.blocks.iter().take(SLICES) {
            let bytes = &block.bytes()[..block.bytes().len().min(left)];
            if bytes.is_empty() {
                break;
            }
            left -= bytes.len();
            // There are no more than SLICES blocks in this loop.
            let _ = slices.push(IoSlice::new(bytes));
        }
        slices
    }

    /// The first `count` bytes are written.
    pub fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(block) = self.blocks.front_mut() {
            let here = count.min(block.bytes().len());
            block.advance(here);
            count -= here;
            if !block.bytes().is_empty() {
                return;
            }
            self.blocks.pop_front();
        }
        // Not even the list itself stays when nothing waits.
        self.blocks = VecDeque::new();
    }

    /// Drops what waits; tells how many bytes that were.
    pub fn clear(&mut self) -> usize {
        self.blocks = VecDeque::new();
        std::mem::take(&mut self.len)
    }
}

const _: () = assert!(SHARE_BLOCKS * BLOCK >= crate::limits::WEBSOCKET_MESSAGE_MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_share_and_an_empty_pool_leave_the_rest() {
        let pool = Pool::new(SHARE_BLOCKS + 1);
        let mut one = Ring::new(Rc::clone(&pool));
        let mut bytes = Bytes::from(vec![1; SHARE_BLOCKS * BLOCK + 5]);
        one.push(&mut bytes);
        assert_eq!(
            (bytes.len(), one.len(), pool.free()),
            (5, SHARE_BLOCKS * BLOCK, 1)
        );

        let mut two = Ring::new(Rc::clone(&pool));
        let mut bytes = Bytes::from(vec![2; BLOCK + 7]);
        two.push(&mut bytes);
        assert_eq!((bytes.len(), pool.free()), (7, 0));

        one.advance(BLOCK);
        assert_eq!(pool.free(), 1, "a drained block goes back at once");
        drop(one);
        two.clear();
        assert_eq!(pool.free(), SHARE_BLOCKS + 1);
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            steps in prop::collection::vec((0usize..40_000, 0usize..50_000), 1..40),
        ) {
            let pool = Pool::new(64);
            let mut ring = Ring::new(Rc::clone(&pool));
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            let mut source = (0..=u8::MAX).cycle();
            for (push, pull) in steps {
                let chunk: Vec<u8> = source.by_ref().take(push).collect();
                let mut bytes = Bytes::from(chunk.clone());
                ring.push(&mut bytes);
                sent.extend_from_slice(&chunk[..push - bytes.len()]);
                let mut count = 0;
                for slice in ring.slices(pull) {
                    got.extend_from_slice(&slice);
                    count += slice.len();
                }
                ring.advance(count);
                prop_assert_eq!(ring.len(), sent.len() - got.len());
            }
            while !ring.is_empty() {
                let mut count = 0;
                for slice in ring.slices(usize::MAX) {
                    got.extend_from_slice(&slice);
                    count += slice.len();
                }
                ring.advance(count);
            }
            prop_assert_eq!(sent, got);
            prop_assert_eq!(pool.free(), 64);
        }
    }
}
