//! One TCP connection, from its TLS to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::event::{Ending, Event, Violation, Way};
use super::packet::{self, Connect, Fault, Packet, Version};
use super::switches::Switches;
use super::{ALPN, Command, Hub};

/// For TLS and for CONNECT, each.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a client may take to read what it was sent.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Serves one TCP connection to its end.
pub(super) async fn serve(hub: Arc<Hub>, tcp: TcpStream, way: Way) {
    let _ = tcp.set_nodelay(true);
    if hub.switches.borrow().hang_tls {
        // Until the broker stops.
        return std::future::pending().await;
    }
    let accept = TlsAcceptor::from(Arc::clone(hub.tls(way))).accept(tcp);
    let stream = match timeout(HANDSHAKE_LIMIT, accept).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return hub.journal.record(Event::TlsFailed {
                way,
                why: error.to_string(),
            });
        }
        Err(_) => {
            let why = format!("no TLS within {HANDSHAKE_LIMIT:?}");
            return hub.journal.record(Event::TlsFailed { way, why });
        }
    };
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let thing = certificate.and_then(|certificate| hub.thing_of(certificate));
    let broken = if session.server_name().is_none() {
        Some(Violation::NoSni)
    } else if way == Way::Alpn && session.alpn_protocol() != Some(ALPN.as_bytes()) {
        Some(Violation::NoAlpn)
    } else {
        None
    };
    let mut connection = Connection {
        switches: hub.switches.subscribe(),
        hub,
        stream,
        buffer: BytesMut::new(),
        thing: String::new(),
        version: Version::V5,
    };
    match (broken, thing) {
        (Some(what), thing) => connection
            .hub
            .journal
            .record(Event::Violation { thing, what }),
        // Signed by the authority, but no device of this broker: AWS IoT ends the TLS of such a one.
        (None, None) => connection.hub.journal.record(Event::TlsFailed {
            way,
            why: "the certificate of no device".to_owned(),
        }),
        (None, Some(thing)) => {
            connection.thing = thing;
            connection.run(way).await;
        }
    }
}

struct Connection {
    hub: Arc<Hub>,
    switches: watch::Receiver<Switches>,
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
    thing: String,
    version: Version,
}

impl Connection {
    async fn run(mut self, way: Way) {
        let connect = match timeout(HANDSHAKE_LIMIT, self.connect()).await {
            Ok(Ok(Some(connect))) => connect,
            Ok(Ok(None)) => return,
            Ok(Err(what)) => return self.violated(what),
            Err(_) => return self.violated(Violation::NoConnect),
        };
        self.version = connect.version;
        let broken = if connect.client_id != self.thing {
            Some(Violation::ClientId(connect.client_id.clone()))
        } else if connect.will {
            Some(Violation::Will)
        } else {
            None
        };
        if let Some(what) = broken {
            self.violated(what);
            let _ = self
                .write(&packet::connack(self.version, 0x87, false, None))
                .await;
            return;
        }
        let switches = self.switches.borrow().clone();
        if switches.hang_connect {
            let mut rest = [0; 1_024];
            // Until the client has enough of it.
            while matches!(self.stream.read(&mut rest).await, Ok(length) if length > 0) {}
            return;
        }
        if let Some(reason) = switches.refuse_connect {
            self.hub.journal.record(Event::Refused {
                thing: self.thing.clone(),
                reason,
            });
            let _ = self
                .write(&packet::connack(self.version, reason, false, None))
                .await;
            let _ = self.stream.shutdown().await;
            return;
        }
        let keep_alive = switches.keep_alive.filter(|_| self.version == Version::V5);
        let (commands, mut given) = mpsc::unbounded_channel();
        let (number, session_present) = self.hub.enter(&self.thing, &connect, commands);
        let connack = packet::connack(self.version, 0, session_present, keep_alive);
        let ending = match self.write(&connack).await {
            Ok(()) => {
                self.hub.journal.record(Event::Connected {
                    thing: self.thing.clone(),
                    way,
                    version: self.version,
                    clean_start: connect.clean_start,
                    persistent: connect.persistent,
                    session_present,
                    keep_alive: connect.keep_alive,
                });
                let seconds = keep_alive.unwrap_or(connect.keep_alive);
                self.converse(&connect, seconds, &mut given).await
            }
            Err(error) => Ending::Lost(error.to_string()),
        };
        if matches!(ending, Ending::Killed) {
            let _ = self.stream.get_ref().0.set_zero_linger();
        } else if !matches!(ending, Ending::Lost(_)) {
            let _ = timeout(WRITE_LIMIT, self.stream.shutdown()).await;
        }
        self.hub.leave(&self.thing, number);
        self.hub.journal.record(Event::Disconnected {
            thing: self.thing.clone(),
            ending,
        });
    }

    /// The first packet; nothing if the client went without a word.
    async fn connect(&mut self) -> Result<Option<Connect>, Violation> {
        loop {
            match packet::next(&mut self.buffer, None) {
                Ok(Some(Packet::Connect(connect))) => return Ok(Some(connect)),
                Ok(Some(_)) => return Err(Violation::NotConnect),
                Ok(None) => {}
                Err(fault) => return Err(fault.into()),
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// From CONNACK to the end.
    async fn converse(
        &mut self,
        connect: &Connect,
        keep_alive: u16,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Ending {
        let patience = (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2);
        let mut heard = Instant::now();
        let mut ended = match self.resend().await {
            Ok(()) => self.deliver(connect).await.err(),
            Err(error) => Some(error),
        };
        loop {
            if let Some(error) = ended {
                return Ending::Lost(error.to_string());
            }
            let silent = self.switches.borrow_and_update().silence;
            let deadline = patience
                .filter(|_| !silent)
                .map(|patience| heard + patience);
            tokio::select! {
                read = self.stream.read_buf(&mut self.buffer), if !silent => match read {
                    Ok(0) => return Ending::Lost("end of stream".to_owned()),
                    Ok(_) => {
                        heard = Instant::now();
                        if let Some(ending) = self.obey(connect).await {
                            return ending;
                        }
                    }
                    Err(error) => return Ending::Lost(error.to_string()),
                },
                command = commands.recv() => match command {
                    Some(Command::Deliver) => ended = self.deliver(connect).await.err(),
                    Some(Command::Resend) => ended = self.resend().await.err(),
                    Some(Command::Bytes(bytes)) => ended = self.write(&bytes).await.err(),
                    Some(Command::Disconnect(reason)) => {
                        let _ = self.write(&packet::disconnect(self.version, reason)).await;
                        return Ending::Broker(reason);
                    }
                    Some(Command::TakenOver) => {
                        let _ = self.write(&packet::disconnect(self.version, 0x8e)).await;
                        return Ending::TakenOver;
                    }
                    Some(Command::Kill) | None => return Ending::Killed,
                },
                changed = self.switches.changed() => if changed.is_err() {
                    return Ending::Killed;
                },
                () = sleep_until(deadline.unwrap_or(heard)), if deadline.is_some() => {
                    let _ = self.write(&packet::disconnect(self.version, 0x8d)).await;
                    return Ending::Silent;
                }
            }
        }
    }

    /// Does what the packets that are there ask for.
    async fn obey(&mut self, connect: &Connect) -> Option<Ending> {
        loop {
            let (reply, broken) = match packet::next(&mut self.buffer, Some(self.version)) {
                Ok(None) => return None,
                Ok(Some(Packet::Disconnect { reason })) => return Some(Ending::Client(reason)),
                Ok(Some(Packet::Pingreq)) => {
                    self.hub.journal.record(Event::Ping {
                        thing: self.thing.clone(),
                    });
                    let answered = !self.switches.borrow().no_pingresp;
                    (answered.then(|| packet::PINGRESP.to_vec()), None)
                }
                Ok(Some(Packet::Puback { id, reason })) => {
                    let known = self
                        .hub
                        .session(&self.thing, |session| session.acknowledge(id));
                    let thing = self.thing.clone();
                    self.hub.journal.record(Event::Puback { thing, id, reason });
                    (None, (!known).then_some(Violation::Puback(id)))
                }
                Ok(Some(Packet::Subscribe { id, entries })) => self.subscribe(id, &entries),
                Ok(Some(Packet::Unsubscribe { id, filters })) => {
                    self.hub
                        .session(&self.thing, |session| session.subscription = None);
                    (
                        Some(packet::unsuback(self.version, id, filters.len())),
                        None,
                    )
                }
                Ok(Some(Packet::Connect(_))) => (None, Some(Violation::NotConnect)),
                Ok(Some(Packet::Other(kind))) => (None, Some(Violation::Packet(kind))),
                Err(fault) => (None, Some(fault.into())),
            };
            if let Some(reply) = reply
                && let Err(error) = self.write(&reply).await
            {
                return Some(Ending::Lost(error.to_string()));
            }
            if let Some(what) = broken {
                self.violated(what);
                let _ = self.write(&packet::disconnect(self.version, 0x87)).await;
                return Some(Ending::Violation);
            }
            // A PUBACK makes room for the next message, a SUBACK may be what they waited for.
            if let Err(error) = self.deliver(connect).await {
                return Some(Ending::Lost(error.to_string()));
            }
        }
    }

    fn subscribe(&self, id: u16, entries: &[(String, u8)]) -> (Option<Vec<u8>>, Option<Violation>) {
        let switches = self.switches.borrow().clone();
        let own = crate::notification::topic(&self.thing);
        let mut broken = None;
        let mut answers = Vec::new();
        for (filter, qos) in entries {
            let answer = if *filter != own {
                broken = Some(Violation::Filter(filter.clone()));
                0x87
            } else if *qos > 1 {
                broken = Some(Violation::Qos2);
                0x80
            } else if let Some(reason) = switches.refuse_subscribe {
                reason
            } else {
                self.hub.session(&self.thing, |session| {
                    session.subscription = Some((filter.clone(), *qos));
                });
                *qos
            };
            answers.push(answer);
            if !switches.hang_subscribe {
                self.hub.journal.record(Event::Subscribed {
                    thing: self.thing.clone(),
                    filter: filter.clone(),
                    qos: *qos,
                    answer,
                });
            }
        }
        let reply = packet::suback(self.version, id, &answers);
        ((!switches.hang_subscribe).then_some(reply), broken)
    }

    /// Sends what waits in the session.
    async fn deliver(&mut self, connect: &Connect) -> io::Result<()> {
        let maximum = connect.receive_maximum;
        while let Some((id, message)) = self
            .hub
            .session(&self.thing, |session| session.next(maximum))
        {
            let bytes = packet::publish(self.version, &message.topic, &message.payload, id, false);
            if bytes.len() > connect.maximum_packet {
                // MQTT 5, 3.1.2.11.4: such a message counts as delivered.
                if let Some(id) = id {
                    self.hub
                        .session(&self.thing, |session| session.acknowledge(id));
                }
                continue;
            }
            self.send(id.unwrap_or(0), false, message.payload.len(), &bytes)
                .await?;
        }
        Ok(())
    }

    /// Sends again what was not acknowledged.
    async fn resend(&mut self) -> io::Result<()> {
        let messages = self
            .hub
            .session(&self.thing, |session| session.unacknowledged());
        for (id, message) in messages {
            let bytes = packet::publish(
                self.version,
                &message.topic,
                &message.payload,
                Some(id),
                true,
            );
            self.send(id, true, message.payload.len(), &bytes).await?;
        }
        Ok(())
    }

    async fn send(&mut self, id: u16, dup: bool, payload: usize, bytes: &[u8]) -> io::Result<()> {
        let thing = self.thing.clone();
        self.hub.journal.record(Event::Sent {
            thing,
            id,
            dup,
            payload,
        });
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the client does not read");
        timeout(WRITE_LIMIT, write).await.map_err(late)?
    }

    fn violated(&self, what: Violation) {
        let thing = Some(self.thing.clone());
        self.hub.journal.record(Event::Violation { thing, what });
    }
}

impl From<Fault> for Violation {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge(bytes) => Self::TooLarge(bytes),
            Fault::Malformed(why) => Self::Malformed(why),
        }
    }
}
