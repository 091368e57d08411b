//! What is printed of a scene, and what it is held to.

use cellgate::limits::{HEAP_BESIDE_BUFFERS, TUNNEL_BUFFERS};

/// What may be left behind when as much has ended as has begun, bytes: lists that keep their room, whose longest are the
/// tokens seen last and the warnings kept for the status. A leak of two bytes a connection would show.
const LEFT: usize = 16 * 1024;

/// What a first use leaves behind, and a second does not add to. Most of it is one list of the runtime, of the tasks that
/// used up their turn: its room doubles up to 128 KiB, and it keeps it. The rest are the log's buffer, TLS sessions to be
/// resumed, tokens seen and warnings kept.
const FIRST_USE: usize = (128 + 48) * 1024;

/// Where at most one tunnel at a time has something in its buffers, and no controller is slow: those of one tunnel, and
/// everything else that there is.
pub(crate) const ONE_TUNNEL: usize = TUNNEL_BUFFERS + HEAP_BESIDE_BUFFERS;

/// The most that was out at once stays within its bound.
pub(crate) fn hold(scene: &str, peak: usize, bound: usize) {
    println!("heap: {scene}: peak {peak} of {bound} bytes");
    assert!(
        peak <= bound,
        "{scene}: {peak} bytes, where {bound} were promised"
    );
}

/// What is out now is what was out before.
pub(crate) fn hold_back(scene: &str, before: usize, after: usize) {
    hold_back_within(scene, before, after, LEFT);
}

/// The same for an agent that did nothing before.
pub(crate) fn hold_back_after_use(scene: &str, before: usize, after: usize) {
    hold_back_within(scene, before, after, FIRST_USE);
}

fn hold_back_within(scene: &str, before: usize, after: usize, most: usize) {
    println!("heap: {scene}: live {before} bytes before, {after} after");
    assert!(
        after <= before + most,
        "{scene}: {} bytes are left behind",
        after - before
    );
}
