//! What goes on, in numbers: the tunnels that live, and their streams. What begins and ends here becomes an
//! audit line; what is here is what `cellgate status` shows.
//!
//! Everything is shared within the one thread of the agent (`Rc`, `Cell`): who shows it asks nobody, and who
//! counts bytes waits for nobody.

pub mod stream;
pub mod tally;
pub mod tunnel;

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::tunnel::{Came, TunnelEntry};
use crate::audit::{Audit, Event};
use crate::secret::Secret;

/// The tunnels that live.
pub struct Ledger {
    tunnels: RefCell<Vec<Rc<TunnelEntry>>>,
    audit: Rc<Audit>,
    news: Rc<Notify>,
}

impl Ledger {
    /// Without a tunnel yet.
    pub fn new(audit: Rc<Audit>) -> Rc<Ledger> {
        Rc::new(Ledger {
            tunnels: RefCell::default(),
            audit,
            news: Rc::default(),
        })
    }

    /// A tunnel takes its place `now`; it is as old as `age`, for it may have had one before a restart.
    pub fn open_tunnel(
        &self,
        name: String,
        came: Came,
        region: Option<String>,
        age: Duration,
        now: Instant,
    ) -> Rc<TunnelEntry> {
        self.audit.write(&Event::TunnelOpened {
            tunnel: &name,
            by: came.as_str(),
            region: region.as_deref(),
        });
        let entry = Rc::new(TunnelEntry::new(
            name,
            came,
            Rc::clone(&self.audit),
            Rc::clone(&self.news),
            age,
            now,
        ));
        self.tunnels.borrow_mut().push(Rc::clone(&entry));
        self.news.notify_one();
        entry
    }

    /// A tunnel gives its place back.
    pub fn end_tunnel(&self, entry: &Rc<TunnelEntry>, reason: &str, now: Instant) {
        self.tunnels
            .borrow_mut()
            .retain(|tunnel| !Rc::ptr_eq(tunnel, entry));
        self.news.notify_one();
        let (down, up) = entry.bytes();
        self.audit.write(&Event::TunnelEnded {
            tunnel: &entry.name,
            seconds: now.saturating_duration_since(entry.opened).as_secs(),
            streams: entry.streams_ever(),
            down,
            up,
            reason,
        });
    }

    /// The tunnels that live, the oldest first.
    pub fn tunnels(&self) -> Ref<'_, Vec<Rc<TunnelEntry>>> {
        self.tunnels.borrow()
    }

    /// Ready when a tunnel or a stream began, ended or changed its state since the last time.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Where who did what is written.
    pub fn audit(&self) -> &Rc<Audit> {
        &self.audit
    }
}

/// The name of a tunnel: a hash of its access token, for the protocol has no other name for it and the token
/// itself is a secret.
pub fn name_of(access_token: &Secret) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, access_token.expose().as_bytes());
    let first = digest.as_ref().iter().take(4);
    first.map(|byte| format!("{byte:02x}")).collect()
}
