//! Which connections of a tunnel have something to do.
//!
//! Each has a waker of its own, which marks its place and wakes the tunnel's task. A turn of the loop then looks at
//! the marked ones alone: what a byte costs does not grow with the connections that are open and idle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use crate::limits::CONNECTIONS_MAX;

/// A mark for each place, and the wakers that set them.
pub(super) struct Readiness {
    shared: Arc<Shared>,
    /// Made when a place is used first.
    wakers: [Option<Waker>; CONNECTIONS_MAX],
}

struct Shared {
    marks: AtomicU64,
    task: Mutex<Option<Waker>>,
}

/// What wakes one connection.
struct Place {
    shared: Arc<Shared>,
    mark: u64,
}

impl Readiness {
    /// Nothing has anything to do.
    pub(super) fn new() -> Readiness {
        Readiness {
            shared: Arc::new(Shared {
                marks: AtomicU64::new(0),
                task: Mutex::new(None),
            }),
            wakers: [const { None }; CONNECTIONS_MAX],
        }
    }

    /// From now on this task is woken.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        let mut task = self.shared.task();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// What the connection in this place is to be polled with.
    pub(super) fn waker(&mut self, place: usize) -> Waker {
        let shared = &self.shared;
        let waker = self.wakers[place].get_or_insert_with(|| {
            Waker::from(Arc::new(Place {
                shared: Arc::clone(shared),
                mark: 1 << place,
            }))
        });
        waker.clone()
    }

    /// The marks, one a bit.
    pub(super) fn marks(&self) -> u64 {
        self.shared.marks.load(Ordering::Acquire)
    }

    /// There is something to do in this place, whenever the task turns next.
    pub(super) fn mark(&self, place: usize) {
        self.shared.marks.fetch_or(1 << place, Ordering::AcqRel);
    }

    /// This place is looked at now.
    pub(super) fn clear(&self, place: usize) {
        self.shared.marks.fetch_and(!(1 << place), Ordering::AcqRel);
    }
}

impl Shared {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Place {
    fn wake(self: Arc<Place>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Place>) {
        self.shared.marks.fetch_or(self.mark, Ordering::AcqRel);
        // Also if it was marked: what waits for the link may have got something else to do.
        if let Some(task) = &*self.shared.task() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Task>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_connection_marks_its_place_and_wakes_the_task() {
        let mut readiness = Readiness::new();
        let last = CONNECTIONS_MAX - 1;
        let wakers = [readiness.waker(0), readiness.waker(last)];
        // Nobody listens yet; the mark stays.
        wakers[0].wake_by_ref();
        assert_eq!(readiness.marks(), 1);
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        readiness.listen(&Context::from_waker(&waker));
        wakers[1].wake_by_ref();
        wakers[1].wake_by_ref();
        assert_eq!(task.0.load(Ordering::SeqCst), 2);
        assert_eq!(readiness.marks(), 1 | 1 << last);
        readiness.clear(0);
        assert_eq!(readiness.marks(), 1 << last);
        readiness.mark(3);
        assert_eq!(readiness.marks(), 1 << 3 | 1 << last);
        assert_eq!(task.0.load(Ordering::SeqCst), 2, "a mark wakes nobody");
        assert!(readiness.waker(last).will_wake(&wakers[1]));
    }
}
