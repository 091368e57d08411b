//! One connection to the broker, from CONNECT to its end.
//!
//! What the library does not give: a message is acknowledged only after it was taken, one that is too long is
//! passed over, and a broker that no longer answers is found out.

use std::num::NonZero;
use std::time::Duration;

use log::{info, warn};
use rust_mqtt::client::event::{Event, Publish};
use rust_mqtt::client::options::{
    AckOptions, ConnectOptions, DisconnectOptions, RetainHandling, SubscriptionOptions,
};
use rust_mqtt::client::{Client, MqttError};
use rust_mqtt::config::{KeepAlive, SessionExpiryInterval};
use rust_mqtt::header::{FixedHeader, PacketType};
use rust_mqtt::types::{IdentifiedQoS, MqttString, QoS, ReasonCode, TopicFilter};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroize;

use super::ended::{Ended, Stage};
use super::inbox::Inbox;
use super::packet::Budget;
use super::reason::Reason;
use super::wire::Wire;
use crate::limits::{
    CLOSE_LIMIT, MQTT_KEEP_ALIVE, MQTT_PACKET_MAX, MQTT_PING_EVERY, MQTT_PONG_LIMIT,
    MQTT_RECEIVE_MAX, MQTT_SESSION, MQTT_STAGE_LIMIT, MQTT_TAKEN_MAX,
};

/// One subscription at a time, nothing is published, no user properties, no topic aliases.
type Mqtt<'c, S> = Client<'static, 'c, Wire<S>, Budget, 1, MQTT_RECEIVE_MAX, 1, 0, 0, 0, 0>;

/// What the session tells whoever holds it.
pub(super) enum Progress {
    /// Logged in; whether the broker still knew us.
    LoggedIn(bool),
    /// Subscribed: notifications arrive from now on.
    Subscribed,
}

/// Logs in over `stream`, subscribes, and takes messages in until it is over. With `anew` the broker forgets what
/// it keeps for us.
pub(super) async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    thing: &str,
    anew: bool,
    inbox: &mut Inbox,
    tell: &dyn Fn(Progress),
) -> Ended {
    let mut budget = Budget::new();
    let wire = Wire::new(stream);
    let mut session = Session {
        mqtt: Client::new(&mut budget),
        wire,
        stage: Stage::Login,
        inbox,
        tell,
        judged: false,
    };
    session.mqtt.ack_manually_when(&acknowledged_by_hand);
    let ended = match session.log_in(thing, anew).await {
        Ok(()) => session.live().await,
        Err(ended) => ended,
    };
    session.say_goodbye(&ended).await;
    ended
}

/// Logs in over `stream` and leaves at once; tells whether the broker still knew us. Nothing changes there: what
/// it keeps for us it keeps on.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    thing: &str,
) -> Result<bool, Ended> {
    let mut budget = Budget::new();
    let wire = Wire::new(stream);
    let mut mqtt: Mqtt<'_, S> = Client::new(&mut budget);
    let client = MqttString::from_str(thing).map_err(|_| Ended::Thing)?;
    let options = connect_options(false);
    let connecting = mqtt.connect(wire.clone(), &options, Some(client));
    let connected = match timeout(MQTT_STAGE_LIMIT, connecting).await {
        Err(_) => return Err(Ended::Slow(Stage::Login)),
        Ok(connected) => connected.map(|connected| connected.session_present),
    };
    let present = match connected {
        Ok(present) => present,
        Err(error) => return Err(ended(error, &wire, Stage::Login)),
    };
    let _ = timeout(CLOSE_LIMIT, mqtt.disconnect(&DisconnectOptions::new())).await;
    Ok(present)
}

fn acknowledged_by_hand(message: &Publish<'_, 0, 0>) -> bool {
    matches!(message.identified_qos, IdentifiedQoS::AtLeastOnce(_))
}

struct Session<'c, 'i, S: AsyncRead + AsyncWrite + Unpin> {
    mqtt: Mqtt<'c, S>,
    wire: Wire<S>,
    stage: Stage,
    inbox: &'i mut Inbox,
    tell: &'i dyn Fn(Progress),
    /// It was us who found a broken rule, and not the library.
    judged: bool,
}

/// When the next ping is due, or the answer to the last.
struct Pulse {
    every: Duration,
    ping_at: Instant,
    pong_by: Option<Instant>,
}

impl Pulse {
    fn due(&self) -> Instant {
        self.pong_by.unwrap_or(self.ping_at)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, '_, S> {
    async fn log_in(&mut self, thing: &str, anew: bool) -> Result<(), Ended> {
        let client = MqttString::from_str(thing).map_err(|_| Ended::Thing)?;
        let filter = MqttString::from_str(self.inbox.topic()).map_err(|_| Ended::Thing)?;
        let filter = TopicFilter::new(filter)
            .filter(|filter| !filter.has_wildcard())
            .ok_or(Ended::Thing)?;
        let options = connect_options(anew);
        let connecting = self.mqtt.connect(self.wire.clone(), &options, Some(client));
        let connected = match timeout(MQTT_STAGE_LIMIT, connecting).await {
            Err(_) => return Err(Ended::Slow(Stage::Login)),
            Ok(connected) => connected.map(|connected| connected.session_present),
        };
        let present = match connected {
            Ok(present) => present,
            Err(error) => return Err(ended(error, &self.wire, self.stage)),
        };
        (self.tell)(Progress::LoggedIn(present));
        self.stage = Stage::Subscription;
        let options = SubscriptionOptions::new()
            .at_least_once()
            .retain_handling(RetainHandling::NeverSend);
        let subscribing = self.mqtt.subscribe(filter, &options);
        match timeout(MQTT_STAGE_LIMIT, subscribing).await {
            Err(_) => Err(Ended::Slow(Stage::Subscription)),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(ended(error, &self.wire, self.stage)),
        }
    }

    async fn live(&mut self) -> Ended {
        let every = match self.mqtt.shared_config().keep_alive {
            KeepAlive::Seconds(seconds) => Duration::from_secs(u64::from(seconds.get())) / 2,
            KeepAlive::Infinite => MQTT_PING_EVERY,
        };
        let mut pulse = Pulse {
            every: every.min(MQTT_PING_EVERY),
            ping_at: Instant::now() + every.min(MQTT_PING_EVERY),
            pong_by: None,
        };
        let subscribed_by = Instant::now() + MQTT_STAGE_LIMIT;
        self.wire.expect_header();
        loop {
            let now = Instant::now();
            if self.stage == Stage::Subscription && now >= subscribed_by {
                return Ended::Slow(Stage::Subscription);
            }
            // Before each packet, so that a broker that sends without a pause cannot keep the clock from its turn.
            if now >= pulse.due()
                && let Err(ended) = self.beat(&mut pulse).await
            {
                return ended;
            }
            self.inbox.turn();
            let mut until = pulse.due();
            if self.stage == Stage::Subscription {
                until = until.min(subscribed_by);
            }
            let turn = match timeout_at(until, self.mqtt.poll_header()).await {
                Err(_) => continue,
                Ok(Ok(header)) => timeout(self.patience(), self.receive(header, &mut pulse)).await,
                Ok(Err(error)) => return ended(error, &self.wire, self.stage),
            };
            match turn {
                Ok(Ok(())) => self.wire.expect_header(),
                Ok(Err(ended)) => return ended,
                Err(_) => return Ended::Slow(Stage::Packet),
            }
        }
    }

    /// For one packet: to read it, to have it taken, to acknowledge it.
    fn patience(&self) -> Duration {
        2 * MQTT_STAGE_LIMIT
    }

    async fn beat(&mut self, pulse: &mut Pulse) -> Result<(), Ended> {
        if pulse.pong_by.is_some() {
            return Err(Ended::Silent);
        }
        match timeout(MQTT_PONG_LIMIT, self.mqtt.ping()).await {
            Err(_) => return Err(Ended::Silent),
            Ok(Err(error)) => return Err(ended(error, &self.wire, self.stage)),
            Ok(Ok(())) => {}
        }
        let now = Instant::now();
        pulse.pong_by = Some(now + MQTT_PONG_LIMIT);
        pulse.ping_at = now + pulse.every;
        Ok(())
    }

    async fn receive(&mut self, header: FixedHeader, pulse: &mut Pulse) -> Result<(), Ended> {
        let is_message = matches!(header.packet_type(), Ok(PacketType::Publish));
        let bytes = self.wire.body_len();
        if is_message && bytes > MQTT_TAKEN_MAX {
            return self.pass_over(&header, bytes).await;
        }
        self.mqtt.buffer_mut().renew();
        let event = match self.mqtt.poll_body(header).await {
            Ok(event) => event,
            Err(error) => return Err(ended(error, &self.wire, self.stage)),
        };
        match event {
            Event::Publish(message) | Event::Duplicate(message) => self.take(message).await,
            Event::Suback(answer) => {
                let text = answer.reason_string.as_ref().map(MqttString::as_str);
                self.subscribed(answer.reason_code, text)
            }
            Event::Pingresp => {
                pulse.pong_by = None;
                Ok(())
            }
            Event::Unsuback(_)
            | Event::PublishRejected(_)
            | Event::PublishAborted(_)
            | Event::PublishAcknowledged(_)
            | Event::PublishReceived(_)
            | Event::PublishReleased(_)
            | Event::PublishComplete(_)
            | Event::Ignored
            | Event::Auth(_) => Ok(()),
        }
    }

    fn subscribed(&mut self, code: ReasonCode, text: Option<&str>) -> Result<(), Ended> {
        if code.is_erroneous() {
            return Err(Ended::Subscription(Reason::new(code.value(), text)));
        }
        if code.value() == QoS::AtMostOnce as u8 {
            warn!(
                "mqtt: the broker gave QoS 0, expected QoS 1: notifications that come while the link is down are lost"
            );
        }
        self.stage = Stage::Life;
        (self.tell)(Progress::Subscribed);
        Ok(())
    }

    async fn take(&mut self, message: Publish<'_, 0, 0>) -> Result<(), Ended> {
        let topic = message.topic.name();
        let topic = topic.map_or("", |name| name.as_ref().as_str());
        self.inbox.take(topic, &message.message).await;
        let mut payload: Box<[u8]> = message.message.into();
        payload.zeroize();
        let IdentifiedQoS::AtLeastOnce(id) = message.identified_qos else {
            return Ok(());
        };
        let options = AckOptions::new();
        match self
            .mqtt
            .manual_acknowledge(id, ReasonCode::Success, &options)
            .await
        {
            Ok(()) => Ok(()),
            Err(error) => Err(ended(error, &self.wire, self.stage)),
        }
    }

    /// A message that is not taken into memory: read past it, and acknowledge it, or it came again for ever. The
    /// library does not know of it.
    async fn pass_over(&mut self, header: &FixedHeader, bytes: usize) -> Result<(), Ended> {
        let qos = header.flags() >> 1 & 0b11;
        if qos > 1 {
            return Err(self.judge().await);
        }
        match self.read_past(bytes, qos == 1).await {
            Some(true) => {
                self.inbox.passed_over(bytes);
                Ok(())
            }
            Some(false) => Err(self.judge().await),
            None => Err(lost(&self.wire, self.stage)),
        }
    }

    /// The broker broke a rule that the library did not see: it must not be asked to say so.
    async fn judge(&mut self) -> Ended {
        self.judged = true;
        // DISCONNECT, malformed packet. Source: MQTT 5, 3.14.2.1.
        let _ = timeout(CLOSE_LIMIT, self.wire.send(&[0xe0, 1, 0x81])).await;
        Ended::Rules
    }

    /// Whether it was a message by its form; nothing if the connection was lost.
    async fn read_past(&mut self, bytes: usize, acknowledge: bool) -> Option<bool> {
        let mut two = [0; 2];
        self.wire.read_all(&mut two).await?;
        let topic = usize::from(u16::from_be_bytes(two));
        let head = 2 + topic + if acknowledge { 2 } else { 0 };
        let Some(rest) = bytes.checked_sub(head) else {
            return Some(false);
        };
        self.wire.skip(topic).await?;
        if acknowledge {
            self.wire.read_all(&mut two).await?;
        }
        self.wire.skip(rest).await?;
        if acknowledge {
            // PUBACK with the reason code left out, which means success.
            self.wire.send(&[0x40, 2, two[0], two[1]]).await?;
        }
        Some(true)
    }

    /// Leaves in order where the broker can still hear it. It keeps what comes for us: the session stays.
    async fn say_goodbye(&mut self, ended: &Ended) {
        let goodbye = async {
            if self.judged {
                return;
            }
            if let Ended::Rules = ended {
                // The library holds the reason code.
                if let Ok(mut wire) = self.mqtt.abort().await {
                    let _ = embedded_io_async::Write::flush(&mut wire).await;
                }
            } else if let Ended::Subscription(_) | Ended::Silent = ended {
                let _ = self.mqtt.disconnect(&DisconnectOptions::new()).await;
            }
        };
        if timeout(CLOSE_LIMIT, goodbye).await.is_err() {
            info!("mqtt: no goodbye to the broker, it takes no bytes");
        }
    }
}

fn connect_options(anew: bool) -> ConnectOptions<'static> {
    let packet = const { NonZero::new(MQTT_PACKET_MAX).expect("not 0") };
    let options = ConnectOptions::new()
        .keep_alive(KeepAlive::Seconds(const { seconds_u16(MQTT_KEEP_ALIVE) }))
        .session_expiry_interval(SessionExpiryInterval::Seconds(
            const { seconds_u32(MQTT_SESSION) },
        ))
        .maximum_packet_size(packet)
        .request_problem_information();
    if anew { options.clean_start() } else { options }
}

#[expect(clippy::cast_possible_truncation, reason = "asserted, at compile time")]
const fn seconds_u16(time: Duration) -> NonZero<u16> {
    assert!(time.as_secs() <= u16::MAX as u64);
    NonZero::new(time.as_secs() as u16).expect("not 0")
}

#[expect(clippy::cast_possible_truncation, reason = "asserted, at compile time")]
const fn seconds_u32(time: Duration) -> NonZero<u32> {
    assert!(time.as_secs() <= u32::MAX as u64);
    NonZero::new(time.as_secs() as u32).expect("not 0")
}

/// What an error of the library means.
fn ended<S>(error: MqttError<'_, 0>, wire: &Wire<S>, stage: Stage) -> Ended {
    if let MqttError::Disconnect {
        reason,
        reason_string,
        ..
    } = &error
    {
        let text = reason_string.as_ref().map(MqttString::as_str);
        let reason = Reason::new(reason.value(), text);
        return match stage {
            Stage::Login => Ended::Login(reason),
            Stage::Tls | Stage::Subscription | Stage::Packet | Stage::Life => Ended::Told(reason),
        };
    }
    if let MqttError::Network(_) = error {
        return lost(wire, stage);
    }
    if let MqttError::Server | MqttError::Alloc = error {
        return Ended::Rules;
    }
    Ended::Bug(format!("{error:?}"))
}

fn lost<S>(wire: &Wire<S>, stage: Stage) -> Ended {
    match wire.take_failure() {
        Some(error) => Ended::Broken(stage, error),
        None => Ended::Closed(stage),
    }
}
