use super::super::{Access, FORMAT, Memory, Places, Trouble};
use super::*;

/// A status with every field of text set to `text`, and every number to `number`.
fn full(text: &str, number: u64) -> Status {
    let small = u32::try_from(number.min(u64::from(u32::MAX))).expect("bounded");
    let stream = Stream {
        service: text.into(),
        stream: i32::MIN,
        connection: small,
        target: text.into(),
        state: text.into(),
        age_seconds: number,
        idle_seconds: number,
        down_bytes: number,
        up_bytes: number,
        down_rate: number,
        up_rate: number,
    };
    let tunnel = Tunnel {
        name: text.into(),
        came: text.into(),
        up: false,
        state: text.into(),
        since_seconds: number,
        age_seconds: number,
        lifetime_left_seconds: number,
        endpoint: text.into(),
        version: Some(text.into()),
        channel_id: Some(text.into()),
        failures: small,
        last_error: Some(text.into()),
        streams_ever: number,
        down_bytes: number,
        up_bytes: number,
        streams: vec![stream; 3],
    };
    Status {
        format: FORMAT,
        state: State::Trouble,
        version: text.into(),
        thing: Some(text.into()),
        pid: small,
        uptime_seconds: number,
        time: text.into(),
        clock_plausible: true,
        mqtt: Some(Mqtt {
            endpoint: text.into(),
            connected: false,
            state: text.into(),
            since_seconds: number,
            retry_in_seconds: Some(number),
            last_error: Some(text.into()),
            notifications: number,
            refused: number,
            last_notification_seconds: Some(number),
        }),
        access: Access {
            on: false,
            reason: text.into(),
        },
        places: Places {
            taken: usize::MAX,
            all: usize::MAX,
        },
        tunnels: vec![tunnel; 4],
        streams_left_out: usize::MAX,
        errors: vec![
            Trouble {
                time: text.into(),
                level: text.into(),
                text: text.into(),
                times: small,
            };
            8
        ],
        memory: Memory {
            rss_bytes: Some(number / 16),
            budget_bytes: number / 16,
            pool_free_blocks: usize::MAX,
            pool_blocks: usize::MAX,
        },
    }
}

#[test]
fn no_content_is_wider_than_a_terminal_or_moves_its_cursor() {
    let long = "x".repeat(4096);
    for content in [
        "",
        &long,
        "\u{1b}[2J\r\n机器人\u{202e}",
        "a b c d e f",
        &"é ".repeat(500),
    ] {
        for number in [0, 1, 999, 1000, 999_999, u64::MAX / 1_000, u64::MAX] {
            for state in [
                State::Connected,
                State::Ready,
                State::Closed,
                State::Trouble,
            ] {
                for clock in [true, false] {
                    let mut status = full(content, number);
                    status.state = state;
                    status.clock_plausible = clock;
                    for line in text(&status, false).lines() {
                        assert!(line.chars().count() <= 80, "{line}");
                        assert!(!line.contains(char::is_control), "{line:?}");
                        assert!(!line.contains('\u{202e}'), "{line:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_keep_to_their_columns() {
    for (number, shown) in [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (999_999, "999.9k"),
        (1_000_000, "1.0M"),
        (u64::MAX, "18.4E"),
    ] {
        assert_eq!(bytes(number), shown);
    }
    for (seconds, shown) in [
        (0, "0s"),
        (99, "99s"),
        (100, "1m"),
        (5_999, "99m"),
        (6_000, "1h"),
        (359_999, "99h"),
        (360_000, "4d"),
        (u64::MAX, "999d"),
    ] {
        assert_eq!(short(seconds), shown);
    }
    assert_eq!(span(59), "59 s");
    assert_eq!(span(61), "1 min 1 s");
    assert_eq!(span(3_661), "1 h 1 min");
    assert_eq!(span(90_000), "1 d 1 h");
}

fn plain() -> Status {
    let mut status = full("", 0);
    status.state = State::Connected;
    status.version = "0.1.0".into();
    status.thing = Some("cell-7".into());
    status.pid = 812;
    status.uptime_seconds = 90_061;
    status.time = "2026-11-23T22:40:03Z".into();
    status.access = Access {
        on: true,
        reason: "the key switch /run/cell/remote is on".into(),
    };
    status.mqtt = Some(Mqtt {
        endpoint: "abc-ats.iot.eu-central-1.amazonaws.com:443".into(),
        connected: true,
        state: "connected".into(),
        since_seconds: 86_400,
        retry_in_seconds: None,
        last_error: None,
        notifications: 1,
        refused: 0,
        last_notification_seconds: Some(240),
    });
    status.places = Places { taken: 1, all: 4 };
    status.streams_left_out = 0;
    status.memory = Memory {
        rss_bytes: Some(4_300_000),
        budget_bytes: 8 << 20,
        pool_free_blocks: 128,
        pool_blocks: 128,
    };
    status.errors = vec![Trouble {
        time: "2026-11-23T21:02:00Z".into(),
        level: "warning".into(),
        text: "mqtt: the network was away".into(),
        times: 3,
    }];
    status.tunnels.truncate(1);
    let tunnel = &mut status.tunnels[0];
    tunnel.name = "1a2b3c4d".into();
    tunnel.came = "notification".into();
    tunnel.up = true;
    tunnel.since_seconds = 239;
    tunnel.age_seconds = 240;
    tunnel.lifetime_left_seconds = 42_960;
    tunnel.endpoint = "data.tunneling.iot.eu-central-1.amazonaws.com:443".into();
    tunnel.version = Some("V3".into());
    tunnel.channel_id = Some("0242acfffe11".into());
    tunnel.last_error = None;
    tunnel.failures = 0;
    tunnel.streams_ever = 2;
    tunnel.down_bytes = 270_336;
    tunnel.up_bytes = 812;
    tunnel.streams.truncate(1);
    let stream = &mut tunnel.streams[0];
    stream.service = "robot1".into();
    stream.target = "192.168.0.2:23".into();
    stream.state = "open".into();
    stream.age_seconds = 230;
    stream.down_bytes = 270_336;
    stream.down_rate = 1_250;
    stream.up_bytes = 812;
    status
}

#[test]
fn a_technician_sees_at_a_glance_what_is_up() {
    let wanted = "\
cellgate 0.1.0, thing cell-7, running for 1 d 1 h, process 812
CONNECTED: 1 tunnel up, 1 stream open.

access    on: the key switch /run/cell/remote is on
broker    abc-ats.iot.eu-central-1.amazonaws.com:443: connected for 1 d 0 h; 1
          notification, the last 4 min 0 s ago
clock     2026-11-23T22:40:03Z
tunnels   1 of 4 places taken
memory    4.1 of 8.0 MiB; 128 of 128 blocks of the pool free

tunnel 1a2b3c4d  UP for 3 min 59 s, by notification
  service   data.tunneling.iot.eu-central-1.amazonaws.com:443, V3
  channel   0242acfffe11
  life      4 min 0 s old, AWS ends it in 11 h 56 min at the latest
  bytes     270.3k down, 812 up, 2 streams so far
  SERVICE      CONTROLLER           DOES    AGE IDLE   DOWN     /s     UP     /s
  robot1       192.168.0.2:23       open     3m   0s 270.3k   1.2k    812      0

last warnings and errors, in UTC
  11-23 21:02:00  warning: mqtt: the network was away (3 times)
";
    assert_eq!(text(&plain(), false), wanted);
}

#[test]
fn what_to_do_stands_at_the_top() {
    for (state, part) in [
        (State::Ready, "READY: waits for a tunnel"),
        (
            State::Closed,
            "CLOSED: the cell lets nobody in: the key switch",
        ),
        (State::Trouble, "TROUBLE: "),
    ] {
        let mut status = plain();
        status.state = state;
        let shown = text(&status, false);
        assert!(
            shown
                .lines()
                .nth(1)
                .is_some_and(|line| line.starts_with(part)),
            "{shown}"
        );
    }
    let mut status = plain();
    status.state = State::Trouble;
    status.clock_plausible = false;
    assert!(text(&status, false).contains("which cannot be; set it, or let"));
}

#[test]
fn colour_is_there_only_when_wanted() {
    assert!(text(&plain(), true).contains("\u{1b}[32mCONNECTED"));
    assert!(!text(&plain(), false).contains('\u{1b}'));
}

#[test]
fn the_form_survives_its_json() {
    let status = plain();
    let json = serde_json::to_string(&status).expect("JSON");
    assert!(json.contains("\"state\":\"connected\"") && json.contains("\"rss_bytes\":4300000"));
    assert_eq!(
        serde_json::from_str::<Status>(&json).expect("a status"),
        status
    );
}
