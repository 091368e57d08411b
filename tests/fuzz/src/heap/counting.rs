//! The allocator of the system, which also counts: what is out now, the most that was out, how often it was asked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Counts what is asked for, in bytes as asked: what the system's allocator adds is its own.
pub(crate) struct Counting;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heap {
    /// Bytes that are out now.
    pub(crate) live: usize,
    /// The most bytes that were out since the last [`forget_peak`].
    pub(crate) peak: usize,
    /// How often memory was asked for, growth of a block included.
    pub(crate) asked: u64,
}

/// What is counted so far.
pub(crate) fn heap() -> Heap {
    Heap {
        live: LIVE.load(Relaxed),
        peak: PEAK.load(Relaxed),
        asked: ASKED.load(Relaxed),
    }
}

/// The peak begins anew with what is out now.
pub(crate) fn forget_peak() {
    PEAK.store(LIVE.load(Relaxed), Relaxed);
}

fn out(bytes: usize) {
    ASKED.fetch_add(1, Relaxed);
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: each call goes to the allocator of the system as it came; what stands around it only counts.
#[expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait, and there is no other way to count"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        out(layout.size());
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        out(layout.size());
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: see above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As if each growth were a copy: both blocks are out at once.
        out(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: see above.
        unsafe { System.realloc(block, layout, size) }
    }
}
