//! The agent on the allocator that counts, as a gateway with four routes, and the far end of its tunnels.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use cell::agent::{Agent, Configuration, Gateway};
use cell::bench::service::{Service, Tunnel};
use cell::notification::REGION;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::meter::{self, Meter, Waiting};

/// Far above what anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A link whose far end reads nothing is dead after 45 s; whatever a scene waits for meanwhile must come sooner.
const SOON: Duration = Duration::from_secs(20);

/// Behind the time between two looks of the status at its streams.
const LOOK: Duration = Duration::from_millis(1_100);

/// The services, one for each place of a tunnel.
pub(crate) const SERVICES: [&str; 4] = ["robot1", "robot2", "robot3", "robot4"];

/// As many more, to the same targets.
pub(crate) const SPARES: [&str; 4] = ["spare1", "spare2", "spare3", "spare4"];

/// A gateway and its service.
pub(crate) struct Site {
    pub(crate) service: Service,
    pub(crate) meter: Meter,
    pub(crate) agent: Agent,
    gateway: Gateway,
    opened: u32,
}

/// What the kernel counts of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handles {
    pub(crate) descriptors: usize,
    pub(crate) threads: u64,
}

impl Site {
    /// With routes to these targets, and what `change` adds to the configuration; it takes requests.
    pub(crate) async fn start(
        targets: [SocketAddr; 4],
        change: impl FnOnce(Configuration) -> Configuration,
    ) -> Site {
        let service = Service::start().await.expect("a service");
        let endpoint = service.endpoint().expect("it listens");
        let program = std::env::current_exe().expect("the system knows");
        let ca = service.authority().ca_pem();
        let gateway = Gateway::at(program, &endpoint, &ca).expect("a folder");
        let waiting = Waiting::at(gateway.folder()).expect("a socket");
        let gateway = gateway
            .build(|agent| agent.env(meter::VARIABLE, waiting.path()))
            .configure(|file| {
                let names = SERVICES.into_iter().chain(SPARES);
                let routes = names.zip(targets.into_iter().cycle());
                let lines = "stall = \"1h\"";
                change(routes.fold(file, |file, (name, target)| file.route(name, target, lines)))
            })
            .expect("a file");
        let agent = gateway.start().expect("an agent");
        let meter = waiting.met().await.expect("the agent comes to its meter");
        let ready = agent.wait_line(|line| line.contains("takes requests"), LIMIT);
        ready.await.expect("the agent takes requests");
        let site = Site {
            service,
            meter,
            agent,
            gateway,
            opened: 0,
        };
        // It answers when everything that a start makes is made.
        site.status().await;
        site
    }

    /// What the agent's heap holds when nothing comes or goes any more. The rates of the status keep a record of each stream
    /// until they look again, which is no sooner than a second after their last look.
    pub(crate) async fn settled(&self) -> usize {
        sleep(LOOK).await;
        self.status().await;
        self.meter.settled().await
    }

    /// Hands a tunnel over; its name, and the far end of it.
    pub(crate) async fn open(&mut self) -> (String, Tunnel) {
        self.opened += 1;
        let name = self.hand_over(self.opened).await;
        (name, self.accept().await)
    }

    /// The next tunnel that comes to the service. A dialling that was given up meanwhile is none.
    pub(crate) async fn accept(&self) -> Tunnel {
        let accepted = async {
            loop {
                let services = [SERVICES, SPARES].concat();
                if let Ok(tunnel) = self.service.accept_with(&services).await {
                    return tunnel;
                }
            }
        };
        timeout(LIMIT, accepted).await.expect("a tunnel comes")
    }

    /// Waits until it has a subscription at the broker.
    pub(crate) async fn subscribed(&self) {
        let fits = |line: &str| line.contains("mqtt: connected to ") && line.contains("subscribed");
        let line = self.agent.wait_line(fits, LIMIT).await;
        line.expect("the broker lets it in");
    }

    /// Hands over the tunnel of this number; its name.
    pub(crate) async fn hand_over(&self, number: u32) -> String {
        let open = json!({"open": {
            "clientAccessToken": format!("{number:0>700}"),
            "clientMode": "destination",
            "region": REGION,
            "services": ([SERVICES, SPARES].concat()),
        }});
        let told = self.asked(&open.to_string()).await;
        let told = told["done"].as_str().expect("the agent takes it");
        let name = told.split(' ').nth(1).expect("tunnel NAME …");
        name.to_owned()
    }

    /// Ends a tunnel.
    pub(crate) async fn close(&self, name: &str) {
        let told = self.asked(&json!({ "close": name }).to_string()).await;
        assert!(told["done"].is_string(), "{told}");
    }

    /// What goes on, as `cellgate status --json` has it.
    pub(crate) async fn status(&self) -> Value {
        self.asked("\"status\"").await["status"].take()
    }

    /// Waits until the agent has no tunnel any more.
    pub(crate) async fn empty(&self) {
        let none = async {
            while self.status().await["tunnels"] != json!([]) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, none).await.expect("every tunnel ends");
    }

    /// Waits until the agent has so many connections, and so many of them finish.
    pub(crate) async fn streams(&self, all: usize, finish: usize) {
        let mut found = (0, 0);
        let fits = async {
            while found != (all, finish) {
                sleep(Duration::from_millis(20)).await;
                found = streams(&self.status().await);
            }
        };
        let late = timeout(SOON, fits).await.is_err();
        assert!(
            !late,
            "(streams, finishing) are {found:?}, not {all}, {finish}"
        );
    }

    /// Asks at the local socket.
    pub(crate) async fn asked(&self, line: &str) -> Value {
        let answer = timeout(LIMIT, exchange(&self.gateway, line)).await;
        let answer = answer.expect("the agent answers").expect("the socket");
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// Asks for more than the agent reads: it hangs up.
    pub(crate) async fn asked_too_much(&self, line: &str) {
        let answer = timeout(LIMIT, exchange(&self.gateway, line)).await;
        let answer = answer.expect("the agent hangs up");
        assert!(answer.is_err(), "the agent has read all of it");
    }

    /// File descriptors and threads of the agent.
    pub(crate) fn handles(&self) -> Handles {
        Handles {
            descriptors: self.agent.fds().expect("it runs"),
            threads: self.agent.threads().expect("it runs"),
        }
    }

    /// Waits until the agent has no more of them than before, and tells what it has.
    pub(crate) async fn handles_back_to(&self, before: Handles) -> Handles {
        let mut now = self.handles();
        for _ in 0..200 {
            if now.descriptors <= before.descriptors && now.threads <= before.threads {
                break;
            }
            sleep(Duration::from_millis(20)).await;
            now = self.handles();
        }
        now
    }

    /// What holds at the end of every scene: the agent runs, and it had no trouble.
    pub(crate) fn end(mut self) {
        assert!(self.agent.is_running().expect("the system knows"));
        for line in self.agent.log() {
            assert!(!line.contains("panicked"), "{line}");
        }
    }
}

/// How many streams there are, and how many of those that are listed finish.
pub(crate) fn streams(status: &Value) -> (usize, usize) {
    let tunnels = status["tunnels"].as_array().into_iter().flatten();
    let listed = tunnels.filter_map(|tunnel| tunnel["streams"].as_array());
    let listed: Vec<&Value> = listed.flatten().collect();
    let left_out = status["streams_left_out"].as_u64();
    let left_out = usize::try_from(left_out.unwrap_or(0)).unwrap_or(0);
    let finish = listed.iter().filter(|one| one["state"] == "finishing");
    (listed.len() + left_out, finish.count())
}

async fn exchange(gateway: &Gateway, line: &str) -> io::Result<Vec<u8>> {
    let mut socket = UnixStream::connect(gateway.socket()).await?;
    // An agent that refuses answers without reading all of it.
    let written = socket.write_all(format!("{line}\n").as_bytes()).await;
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer).await;
    if answer.ends_with(b"\n") {
        return Ok(answer);
    }
    written?;
    read?;
    Err(io::ErrorKind::UnexpectedEof.into())
}
