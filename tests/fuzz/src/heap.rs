//! How much memory a piece of the agent takes while it works.

mod counting;

use self::counting::{Counting, forget_peak, heap};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does something, and tells the most bytes that it had beyond those of before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    forget_peak();
    let before = heap().live;
    let done = work();
    (done, heap().peak.saturating_sub(before))
}
