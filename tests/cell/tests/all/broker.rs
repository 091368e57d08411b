//! The embedded broker: each of its rules and switches, by bytes that are written here and by mosquitto's own client.

use std::sync::Arc;
use std::time::Duration;

use cell::broker::{ALPN, Broker, Ending, Event, Version, Violation, Way};
use cell::certs::DeviceFiles;
use cell::notification::topic;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mosquitto::{output, subscriber};
use crate::{LIMIT, skipped};

const THING: &str = "cell-1";

fn broker() -> (Broker, DeviceFiles) {
    let broker = Broker::start().expect("free ports");
    let device = broker.device(THING).expect("a device");
    (broker, device)
}

/// A client of MQTT 5 that does what a test says and nothing else.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn tls(port: u16, device: &DeviceFiles, alpn: Option<&str>, name: &str) -> Self {
        let read = |path| std::fs::read_to_string(path).expect("a file of the device");
        let identity = cell::certs::Identity {
            certificate: read(&device.certificate),
            key: read(&device.key),
        };
        let mut config = identity.client_config(&read(&device.ca)).expect("PEM");
        config.alpn_protocols = alpn
            .map(|name| name.as_bytes().to_vec())
            .into_iter()
            .collect();
        let tcp = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        Self(connector.connect(name, tcp).await.expect("TLS"))
    }

    /// With a session that stays for an hour.
    async fn connected(broker: &Broker, device: &DeviceFiles, keep_alive: u16) -> (Self, Vec<u8>) {
        let mut client = Self::tls(broker.port(), device, None, "localhost").await;
        client
            .send(&connect(&device.thing, false, keep_alive))
            .await;
        let connack = client.packet().await.expect("a CONNACK");
        (client, connack)
    }

    async fn subscribed(broker: &Broker, device: &DeviceFiles) -> Self {
        let (mut client, connack) = Self::connected(broker, device, 60).await;
        assert_eq!(connack[3], 0, "accepted");
        client.send(&subscribe(&topic(&device.thing), 1)).await;
        let suback = client.packet().await.expect("a SUBACK");
        assert_eq!((suback[0], suback.last()), (0x90, Some(&1)));
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the broker reads");
        self.0.flush().await.expect("the broker reads");
    }

    /// The next packet; nothing at the end of the connection.
    async fn packet(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut packet = vec![self.0.read_u8().await.ok()?];
            let mut length = 0;
            for shift in [0, 7, 14, 21] {
                let byte = self.0.read_u8().await.ok()?;
                packet.push(byte);
                length |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let header = packet.len();
            packet.resize(header + length, 0);
            self.0.read_exact(&mut packet[header..]).await.ok()?;
            Some(packet)
        };
        timeout(LIMIT, read)
            .await
            .expect("a packet or the end in time")
    }
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short").to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("short");
    assert!(length < 128);
    [&[first, length], body].concat()
}

fn connect(client_id: &str, clean: bool, keep_alive: u16) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([5, if clean { 2 } else { 0 }]);
    body.extend(keep_alive.to_be_bytes());
    // Session expiry: an hour.
    body.extend([5, 17, 0, 0, 0x0e, 0x10]);
    body.extend(text(client_id));
    packet(0x10, &body)
}

fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1, 0];
    body.extend(text(filter));
    body.push(qos);
    packet(0x82, &body)
}

/// The packet id of a QoS 1 PUBLISH with a short payload.
fn publish_id(packet: &[u8]) -> [u8; 2] {
    let at = 4 + usize::from(packet[3]);
    [packet[at], packet[at + 1]]
}

async fn violation(broker: &Broker, wanted: Violation) {
    let fits = |event: &Event| matches!(event, Event::Violation { what, .. } if *what == wanted);
    broker.wait_event(fits, LIMIT).await.expect("a violation");
}

async fn ended(broker: &Broker, wanted: Ending) {
    let fits =
        |event: &Event| matches!(event, Event::Disconnected { ending, .. } if *ending == wanted);
    broker.wait_event(fits, LIMIT).await.expect("an end");
}

#[tokio::test]
async fn mosquittos_client_keeps_the_rules_on_both_ports_in_both_versions() {
    if let Err(missing) = cell::mosquitto::Mosquitto::available() {
        return skipped(&missing.to_string());
    }
    // Any port will do for ALPN, not only a free one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port();
    let broker = Broker::start_on(port).expect("it is free");
    assert_eq!(broker.alpn_port(), port);
    let device = broker.device(THING).expect("a device");
    for (port, way, more) in [
        (broker.port(), Way::Plain, &[][..]),
        (broker.alpn_port(), Way::Alpn, &["--tls-alpn", ALPN][..]),
    ] {
        for (name, version) in [("5", Version::V5), ("311", Version::V3)] {
            let mark = broker.mark();
            // Without the expiry, which 3.1.1 has not.
            let arguments = [&["-V", name], more].concat();
            let heard = subscriber(port, &device, &topic(THING), 1, &arguments);
            let came = broker
                .wait_event_after(mark, |event| event.is_connected(THING), LIMIT)
                .await;
            let (came, _) = came.expect("it connects");
            assert!(
                matches!(came, Event::Connected { way: w, version: v, persistent: true, .. } if w == way && v == version),
                "{came:?}"
            );
            broker
                .wait_event_after(mark, |event| event.is_subscribed(THING), LIMIT)
                .await
                .expect("subscribed");
            assert_eq!(broker.notify(THING, b"{}").expect("small"), 1);
            broker
                .wait_event_after(mark, |event| event.is_puback(THING), LIMIT)
                .await
                .expect("acknowledged");
            assert_eq!(output(heard).await, (Some(0), "{}".into(), String::new()));
            let fits = |event: &Event| {
                matches!(
                    event,
                    Event::Disconnected {
                        ending: Ending::Client(0),
                        ..
                    }
                )
            };
            broker
                .wait_event_after(mark, fits, LIMIT)
                .await
                .expect("it says good bye");
        }
    }
    assert_eq!(broker.violations(), []);
}

#[tokio::test]
async fn a_session_outlives_connection_and_broker_and_sends_again_with_dup() {
    let (mut broker, device) = broker();
    let mut client = Raw::subscribed(&broker, &device).await;
    broker.notify(THING, b"one").expect("small");
    let first = client.packet().await.expect("a PUBLISH");
    assert_eq!(first[0], 0x32);
    broker.kill(THING).expect("connected");
    broker
        .wait_event(|event| event.is_disconnected(THING), LIMIT)
        .await
        .expect("killed");
    assert_eq!(broker.notify(THING, b"two").expect("small"), 1);
    broker.restart().await.expect("the same ports");

    let (mut client, connack) = Raw::connected(&broker, &device, 60).await;
    assert_eq!(connack[2], 1, "session present");
    let again = client.packet().await.expect("a PUBLISH");
    assert_eq!((again[0], publish_id(&again)), (0x3a, publish_id(&first)));
    let second = client.packet().await.expect("a PUBLISH");
    assert_eq!((second[0], second.ends_with(b"two")), (0x32, true));
    broker.resend(THING).expect("connected");
    assert_eq!(client.packet().await.map(|packet| packet[0]), Some(0x3a));
    assert_eq!(client.packet().await.map(|packet| packet[0]), Some(0x3a));
    for publish in [&again, &second] {
        client.send(&packet(0x40, &publish_id(publish))).await;
    }
    for id in 1..=2 {
        let acknowledged =
            |event: &Event| matches!(event, Event::Puback { id: of, reason: 0, .. } if *of == id);
        broker
            .wait_event(acknowledged, LIMIT)
            .await
            .expect("acknowledged");
    }
    drop(client);
    let (mut client, _) = Raw::connected(&broker, &device, 60).await;
    broker.notify(THING, b"three").expect("small");
    let third = client.packet().await.expect("a PUBLISH");
    assert!(
        third[0] == 0x32 && third.ends_with(b"three"),
        "nothing is sent again: {third:?}"
    );
    assert_eq!(broker.violations(), []);

    // A new session has nothing.
    client.send(&connect(THING, true, 60)).await;
    violation(&broker, Violation::NotConnect).await;
    let mut client = Raw::tls(broker.port(), &device, None, "localhost").await;
    client.send(&connect(THING, true, 60)).await;
    assert_eq!(client.packet().await.expect("a CONNACK")[2], 0);
    assert_eq!(broker.notify(THING, b"four").expect("small"), 0);
}

#[tokio::test]
async fn the_second_of_a_client_id_throws_out_the_first() {
    let (broker, device) = broker();
    let mut first = Raw::subscribed(&broker, &device).await;
    let (mut second, connack) = Raw::connected(&broker, &device, 60).await;
    assert_eq!(connack[2], 1, "it takes the session");
    assert_eq!(first.packet().await, Some(vec![0xe0, 1, 0x8e]));
    assert_eq!(first.packet().await, None);
    ended(&broker, Ending::TakenOver).await;
    broker.notify(THING, b"one").expect("small");
    assert_eq!(second.packet().await.map(|packet| packet[0]), Some(0x32));
}

#[tokio::test]
async fn who_breaks_a_rule_is_out() {
    let (broker, device) = broker();
    let first_packet = async |bytes: &[u8], wanted| {
        let mut client = Raw::tls(broker.port(), &device, None, "localhost").await;
        client.send(bytes).await;
        let answer = client.packet().await;
        violation(&broker, wanted).await;
        assert_eq!(client.packet().await, None);
        answer
    };
    let wrong_id = connect("cell-2", false, 60);
    let wrong_id = first_packet(&wrong_id, Violation::ClientId("cell-2".into()));
    assert_eq!(wrong_id.await.expect("a CONNACK")[3], 0x87);
    assert_eq!(first_packet(&[0xc0, 0], Violation::NotConnect).await, None);
    assert_eq!(
        first_packet(
            &[0x10, 0xff, 0xff, 0xff, 0x7f],
            Violation::TooLarge(268_435_460)
        )
        .await,
        None
    );

    let later_packet = async |bytes: &[u8], wanted| {
        let (mut client, _) = Raw::connected(&broker, &device, 60).await;
        client.send(bytes).await;
        violation(&broker, wanted).await;
        let mut last = None;
        while let Some(packet) = client.packet().await {
            last = Some(packet);
        }
        assert_eq!(last, Some(vec![0xe0, 1, 0x87]));
    };
    for filter in [
        "$aws/things/cell-2/tunnels/notify",
        "$aws/things/+/tunnels/notify",
        "#",
    ] {
        later_packet(&subscribe(filter, 1), Violation::Filter(filter.into())).await;
    }
    later_packet(&subscribe(&topic(THING), 2), Violation::Qos2).await;
    later_packet(&packet(0x30, b"\0\x01t\0"), Violation::Packet(3)).await;
    later_packet(&packet(0x40, &[0, 9]), Violation::Puback(9)).await;
    later_packet(
        &packet(0x80, &[0, 9]),
        Violation::Malformed("flags 0 of packet type 8".into()),
    )
    .await;

    let mut client = Raw::tls(broker.alpn_port(), &device, None, "localhost").await;
    assert_eq!(client.packet().await, None);
    violation(&broker, Violation::NoAlpn).await;
    let mut client = Raw::tls(broker.port(), &device, None, "127.0.0.1").await;
    assert_eq!(client.packet().await, None);
    violation(&broker, Violation::NoSni).await;
}

#[tokio::test]
async fn who_is_silent_for_one_and_a_half_times_the_keep_alive_is_out() {
    let (broker, device) = broker();
    let (mut client, _) = Raw::connected(&broker, &device, 1).await;
    client.send(&[0xc0, 0]).await;
    assert_eq!(client.packet().await, Some(vec![0xd0, 0]));
    assert_eq!(client.packet().await, Some(vec![0xe0, 1, 0x8d]));
    ended(&broker, Ending::Silent).await;
    let at = |fits: fn(&Event) -> bool| {
        let events = broker.events();
        events
            .iter()
            .rev()
            .find(|entry| fits(&entry.what))
            .expect("it happened")
            .at
    };
    let silent =
        at(|event| event.is_disconnected(THING)) - at(|event| matches!(event, Event::Ping { .. }));
    assert!(silent >= Duration::from_millis(1_490), "{silent:?}");

    broker.switch(|switches| switches.keep_alive = Some(7));
    let (_client, connack) = Raw::connected(&broker, &device, 60).await;
    assert!(
        connack.windows(3).any(|bytes| bytes == [19, 0, 7]),
        "{connack:?}"
    );
}

#[tokio::test]
async fn every_switch_does_what_it_says() {
    let (broker, device) = broker();
    let silent = async |client: &mut Raw| {
        let packet = timeout(Duration::from_millis(100), client.packet()).await;
        packet.map(|_| ()).expect_err("nothing comes");
    };
    broker.switch(|switches| switches.refuse_connect = Some(0x9f));
    let (mut client, connack) = Raw::connected(&broker, &device, 60).await;
    assert_eq!(connack[3], 0x9f);
    assert_eq!(client.packet().await, None);
    let refused = |event: &Event| matches!(event, Event::Refused { reason: 0x9f, .. });
    broker.wait_event(refused, LIMIT).await.expect("recorded");

    broker.switch(|switches| {
        switches.refuse_connect = None;
        switches.refuse_subscribe = Some(0x97);
        switches.no_pingresp = true;
    });
    let (mut client, _) = Raw::connected(&broker, &device, 60).await;
    client.send(&subscribe(&topic(THING), 1)).await;
    assert_eq!(
        client
            .packet()
            .await
            .and_then(|packet| packet.last().copied()),
        Some(0x97)
    );
    client.send(&[0xc0, 0]).await;
    silent(&mut client).await;
    broker
        .wait_event(|event| matches!(event, Event::Ping { .. }), LIMIT)
        .await
        .expect("recorded");

    broker.switch(|switches| {
        switches.refuse_subscribe = None;
        switches.no_pingresp = false;
        switches.hang_subscribe = true;
    });
    client.send(&subscribe(&topic(THING), 1)).await;
    silent(&mut client).await;
    broker.switch(|switches| switches.silence = true);
    client.send(&[0xc0, 0]).await;
    silent(&mut client).await;
    broker.switch(|switches| switches.silence = false);
    assert_eq!(client.packet().await, Some(vec![0xd0, 0]));

    broker
        .send_bytes(THING, b"\xff\x00garbage")
        .expect("connected");
    let mut garbage = [0; 9];
    client.0.read_exact(&mut garbage).await.expect("as it is");
    assert_eq!(&garbage, b"\xff\x00garbage");
    broker.disconnect(THING, 0x8b).expect("connected");
    assert_eq!(client.packet().await, Some(vec![0xe0, 1, 0x8b]));
    ended(&broker, Ending::Broker(0x8b)).await;
    broker.disconnect(THING, 0x8b).expect_err("gone");

    broker.switch(|switches| switches.hang_connect = true);
    let mut client = Raw::tls(broker.port(), &device, None, "localhost").await;
    client.send(&connect(THING, false, 60)).await;
    silent(&mut client).await;
    assert_eq!(broker.violations(), []);
}

#[tokio::test]
async fn a_stranger_does_not_come_in() {
    let (broker, device) = broker();
    let (other, stranger) = self::broker();
    let stranger = DeviceFiles {
        ca: device.ca.clone(),
        ..stranger
    };
    let mut client = Raw::tls(broker.port(), &stranger, None, "localhost").await;
    assert_eq!(client.packet().await, None);
    broker
        .wait_event(|event| matches!(event, Event::TlsFailed { .. }), LIMIT)
        .await
        .expect("recorded");
    drop(other);
    assert!(broker.publish("t", &vec![0; 131_073]).is_err());
}

#[tokio::test]
async fn a_client_gets_no_more_than_it_takes() {
    let (broker, device) = broker();
    let mut client = Raw::tls(broker.port(), &device, None, "localhost").await;
    // Receive maximum 1, maximum packet size 200.
    let mut body = text("MQTT");
    body.extend([5, 2, 0, 60, 8, 33, 0, 1, 39, 0, 0, 0, 200]);
    body.extend(text(THING));
    client.send(&packet(0x10, &body)).await;
    client.packet().await.expect("a CONNACK");
    client.send(&subscribe(&topic(THING), 1)).await;
    client.packet().await.expect("a SUBACK");
    broker
        .notify(THING, &[b'x'; 300])
        .expect("published, and for nobody");
    broker.notify(THING, b"one").expect("small");
    broker.notify(THING, b"two").expect("small");
    let first = client.packet().await.expect("a PUBLISH");
    assert!(first.ends_with(b"one"));
    assert_eq!(
        broker.count_events(cell::journal::Mark::START, |event| matches!(
            event,
            Event::Sent { .. }
        )),
        1
    );
    client.send(&packet(0x40, &publish_id(&first))).await;
    assert!(client.packet().await.expect("a PUBLISH").ends_with(b"two"));
}
