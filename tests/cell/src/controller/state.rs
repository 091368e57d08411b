//! What all terminals of a controller share: memory, channels, the transfer in progress, the records.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ControllerOptions;
use super::memory::Memory;
use super::record::{ConnectionRecord, End};
use super::switches::{Faults, Jam};

/// The controller behind its terminals.
pub(super) struct Shared {
    pub(super) options: ControllerOptions,
    /// When it was switched on; `TYPE clock` counts from here.
    pub(super) since: Instant,
    state: Mutex<State>,
    /// Turns with every change of a record.
    changes: watch::Sender<u64>,
    /// The last order to end all connections.
    hang_up: watch::Sender<Option<End>>,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) faults: Faults,
    pub(super) memory: Memory,
    pub(super) channels: Vec<bool>,
    pub(super) variables: BTreeMap<&'static str, f64>,
    records: Vec<ConnectionRecord>,
    transfer: TransferState,
}

/// Whether LOAD or SAVE is possible.
#[derive(Clone, Copy, Debug)]
enum TransferState {
    Free,
    /// One runs.
    Busy,
    /// One was cut off then; the controller believes that it still runs.
    Jammed(Instant),
}

impl Shared {
    pub(super) fn new(options: ControllerOptions) -> Self {
        let state = State {
            faults: options.faults.clone(),
            memory: Memory::new(options.robot_data),
            channels: vec![false; options.terminals],
            variables: BTreeMap::from([
                ("gripper.delay", 0.35),
                ("gripper.force", 42.0),
                ("part.count", 1187.0),
                ("sysdata", 0.0),
            ]),
            records: Vec::new(),
            transfer: TransferState::Free,
        };
        Self {
            options,
            since: Instant::now(),
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            hang_up: watch::Sender::new(None),
        }
    }

    /// The state. A panic of another terminal does not make it unusable: each change of it is a single step.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the record of a new connection and gives its number.
    pub(super) fn open_record(&self, peer: SocketAddr) -> usize {
        let mut state = self.lock();
        let number = state.records.len();
        state.records.push(ConnectionRecord::new(number, peer));
        drop(state);
        self.changes.send_modify(|turns| *turns += 1);
        number
    }

    /// Writes into the record of a connection.
    pub(super) fn note(&self, number: usize, change: impl FnOnce(&mut ConnectionRecord)) {
        change(&mut self.lock().records[number]);
        self.changes.send_modify(|turns| *turns += 1);
    }

    pub(super) fn records(&self) -> Vec<ConnectionRecord> {
        self.lock().records.clone()
    }

    pub(super) async fn wait_for(
        &self,
        limit: Duration,
        mut done: impl FnMut(&[ConnectionRecord]) -> bool,
    ) -> Result<Vec<ConnectionRecord>, Vec<ConnectionRecord>> {
        let mut changes = self.changes.subscribe();
        let found = tokio::time::timeout(limit, async {
            loop {
                changes.borrow_and_update();
                if done(&self.lock().records) {
                    return;
                }
                if changes.changed().await.is_err() {
                    // The sender is in `self`; this cannot be reached while we are borrowed.
                    std::future::pending::<()>().await;
                }
            }
        });
        match found.await {
            Ok(()) => Ok(self.records()),
            Err(_) => Err(self.records()),
        }
    }

    /// Tells every open connection to end.
    pub(super) fn hang_up(&self, end: End) {
        self.hang_up.send_replace(Some(end));
    }

    /// Where a connection learns that it is to end.
    pub(super) fn orders(&self) -> watch::Receiver<Option<End>> {
        self.hang_up.subscribe()
    }

    pub(super) fn in_progress(&self) -> bool {
        let mut state = self.lock();
        state.transfer = state.transfer.now(self.options.jam);
        !matches!(state.transfer, TransferState::Free)
    }

    pub(super) fn clear_jam(&self) {
        self.lock().transfer = TransferState::Free;
    }
}

impl TransferState {
    /// What the state has become by the passing of time.
    fn now(self, jam: Jam) -> Self {
        match (self, jam) {
            (Self::Jammed(since), Jam::For(time)) if since.elapsed() >= time => Self::Free,
            (Self::Free | Self::Busy | Self::Jammed(_), Jam::For(_) | Jam::UntilReboot) => self,
        }
    }
}

/// The one LOAD or SAVE that may run. Dropped before [`InProgress::finish`], it leaves the controller jammed: the
/// hazard that a lost connection leaves behind in the field.
pub(super) struct InProgress {
    shared: Arc<Shared>,
}

impl InProgress {
    /// Begins a transfer; none if one is in progress (P2076).
    pub(super) fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let mut state = shared.lock();
        state.transfer = state.transfer.now(shared.options.jam);
        match state.transfer {
            TransferState::Free => state.transfer = TransferState::Busy,
            TransferState::Busy | TransferState::Jammed(_) => return None,
        }
        Some(Self {
            shared: Arc::clone(shared),
        })
    }

    /// The transfer ended at its own end, well or with errors.
    pub(super) fn finish(self) {
        self.shared.lock().transfer = TransferState::Free;
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let TransferState::Busy = state.transfer {
            state.transfer = TransferState::Jammed(Instant::now());
        }
    }
}
