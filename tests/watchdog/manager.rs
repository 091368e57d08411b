//! The service manager's end of the socket, and a gateway whose agent was started by it.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cell::agent::Gateway;
use cell::notification::payload;
use cell::service::{Service, ServiceOptions, Tunnel};
use cell::target::{Behaviour, Target};

use crate::stage::AGENT;

/// From the last sign of life to the restart: what the manager tells the agent.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// What stands there.
pub(crate) struct Managed {
    pub(crate) gateway: Gateway,
    _robot: Target,
    manager: UnixDatagram,
}

impl Managed {
    /// A gateway of a service that nobody needs.
    pub(crate) async fn new() -> Managed {
        Managed::with_service().await.0
    }

    pub(crate) async fn with_service() -> (Managed, Service) {
        let service = Service::start(ServiceOptions::default()).await;
        let service = service.expect("a service");
        let robot = Target::start(Behaviour::Echo).expect("a free port");
        let gateway = Gateway::new(AGENT, &service).expect("a folder");
        let gateway = gateway
            .configure(|file| file.route("robot1", robot.address(), ""))
            .expect("a file");
        let socket: PathBuf = gateway.runtime().join("manager");
        let manager = UnixDatagram::bind(&socket).expect("a socket");
        let micros = TIMEOUT.as_micros().to_string();
        let gateway = gateway.build(|agent| {
            agent
                .env("NOTIFY_SOCKET", &socket)
                .env("WATCHDOG_USEC", micros)
        });
        let managed = Managed {
            gateway,
            _robot: robot,
            manager,
        };
        (managed, service)
    }

    /// Hands a tunnel over to the agent.
    pub(crate) async fn open(&self, tunnel: &Tunnel) {
        let open = self.gateway.run(&["open"], &payload(tunnel)).await;
        let open = open.expect("runs");
        assert_eq!(open.code, Some(0), "{open:?}");
    }

    /// The next word, if one comes within `limit`.
    pub(crate) fn hear(&self, limit: Duration) -> Option<String> {
        self.manager
            .set_read_timeout(Some(limit.max(Duration::from_millis(1))))
            .expect("a socket");
        let mut word = [0; 1024];
        let by = Instant::now() + limit;
        let count = loop {
            match self.manager.recv(&mut word) {
                Ok(count) => break count,
                // A child that stops or goes on is a signal to the test.
                Err(error) if error.kind() == ErrorKind::Interrupted && Instant::now() < by => {}
                Err(_) => return None,
            }
        };
        Some(String::from_utf8_lossy(&word[..count]).into_owned())
    }

    /// What is heard until a word has this in it.
    pub(crate) fn hear_until(&self, wanted: &str, limit: Duration) -> Vec<String> {
        let by = Instant::now() + limit;
        let mut heard = Vec::new();
        while let Some(word) = self.hear(by.saturating_duration_since(Instant::now())) {
            let is_it = word.contains(wanted);
            heard.push(word);
            if is_it {
                return heard;
            }
        }
        panic!("the agent did not say {wanted} within {limit:?}, only {heard:?}");
    }

    /// How often within `time` it says that it works.
    pub(crate) fn signs_of_life(&self, time: Duration) -> usize {
        let by = Instant::now() + time;
        let mut signs = 0;
        while let Some(word) = self.hear(by.saturating_duration_since(Instant::now())) {
            signs += usize::from(word.contains("WATCHDOG=1"));
            if Instant::now() >= by {
                break;
            }
        }
        signs
    }

    /// Throws away what was not heard yet.
    pub(crate) fn forget(&self) {
        while self.hear(Duration::from_millis(1)).is_some() {}
    }
}
