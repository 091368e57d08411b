//! The status in words, for a terminal of 80 columns.

use super::{Mqtt, State, Status, Stream, Tunnel};
use crate::control::columns::{Colour, WIDTH, cut, labelled};

/// Columns of the labels.
const ROOM: usize = 10;

/// The status as text, each line at most 80 columns wide; in colour if that is wanted.
pub fn text(status: &Status, colour: bool) -> String {
    let mut text = head(status);
    let (shade, verdict) = verdict(status);
    for line in labelled("", 0, &verdict).lines() {
        text.push_str(&shade.paint(line, colour));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&parts(status));
    for tunnel in &status.tunnels {
        text.push('\n');
        text.push_str(&of_tunnel(tunnel));
    }
    if status.streams_left_out > 0 {
        text.push_str(&format!("  and {} streams more\n", status.streams_left_out));
    }
    text.push_str(&errors(status));
    text
}

fn head(status: &Status) -> String {
    let thing = match &status.thing {
        Some(thing) => format!(", thing {}", cut(thing, 32)),
        None => String::new(),
    };
    let line = format!(
        "cellgate {}{thing}, running for {}, process {}",
        cut(&status.version, 12),
        span(status.uptime_seconds),
        status.pid
    );
    format!("{}\n", cut(&line, WIDTH))
}

/// What it comes to, and what to do.
fn verdict(status: &Status) -> (Colour, String) {
    let up = status.tunnels.iter().filter(|tunnel| tunnel.up).count();
    let streams: usize = status
        .tunnels
        .iter()
        .map(|tunnel| tunnel.streams.len())
        .sum();
    match status.state {
        State::Connected => (
            Colour::Green,
            format!(
                "CONNECTED: {} up, {} open.",
                count(up, "tunnel"),
                count(streams.saturating_add(status.streams_left_out), "stream")
            ),
        ),
        State::Ready => (
            Colour::Green,
            match status.mqtt {
                Some(_) => {
                    "READY: waits for a tunnel; open one in AWS IoT, or with `cellgate open`."
                }
                None => "READY: waits for a tunnel; hand one over with `cellgate open`.",
            }
            .to_owned(),
        ),
        State::Closed => (
            Colour::Yellow,
            format!("CLOSED: the cell lets nobody in: {}.", status.access.reason),
        ),
        State::Trouble => (Colour::Red, format!("TROUBLE: {}", trouble(status))),
    }
}

/// The one thing that is to be put right first.
fn trouble(status: &Status) -> String {
    if !status.clock_plausible {
        return format!(
            "the clock says {}, which cannot be; set it, or let the gateway reach a time server.",
            status.time
        );
    }
    let failing = status.tunnels.iter().find(|tunnel| tunnel.failures > 0);
    match (failing, &status.mqtt) {
        (Some(tunnel), _) => format!(
            "tunnel {} cannot reach its service; see below, and try `cellgate check`.",
            tunnel.name
        ),
        (None, Some(mqtt)) if !mqtt.connected => {
            "no connection to the broker, so no notification arrives; see below, and try `cellgate check`."
                .to_owned()
        }
        (None, _) => "see below, and try `cellgate check`.".to_owned(),
    }
}

fn parts(status: &Status) -> String {
    let mut text = String::new();
    let access = if status.access.on { "on" } else { "OFF" };
    text.push_str(&labelled(
        "access",
        ROOM,
        &format!("{access}: {}", status.access.reason),
    ));
    text.push_str(&labelled("broker", ROOM, &broker(status.mqtt.as_ref())));
    let doubt = if status.clock_plausible {
        ""
    } else {
        ", which cannot be: older than this program"
    };
    text.push_str(&labelled("clock", ROOM, &format!("{}{doubt}", status.time)));
    let places = format!(
        "{} of {} places taken",
        status.places.taken, status.places.all
    );
    text.push_str(&labelled("tunnels", ROOM, &places));
    let memory = &status.memory;
    let used = memory.rss_bytes.map_or("?".to_owned(), mebibytes);
    let memory = format!(
        "{used} of {} MiB; {} of {} blocks of the pool free",
        mebibytes(memory.budget_bytes),
        memory.pool_free_blocks,
        memory.pool_blocks
    );
    text.push_str(&labelled("memory", ROOM, &memory));
    text
}

fn broker(mqtt: Option<&Mqtt>) -> String {
    let Some(mqtt) = mqtt else {
        return "none configured ([notify]); tunnels come by `cellgate open` or the command line"
            .to_owned();
    };
    let mut text = format!(
        "{}: {} for {}",
        mqtt.endpoint,
        mqtt.state,
        span(mqtt.since_seconds)
    );
    if let Some(seconds) = mqtt.retry_in_seconds {
        text.push_str(&format!(", next attempt in {}", span(seconds)));
    }
    text.push_str(&format!(
        "; {}",
        count_u64(mqtt.notifications, "notification")
    ));
    if let Some(seconds) = mqtt.last_notification_seconds {
        text.push_str(&format!(", the last {} ago", span(seconds)));
    }
    if mqtt.refused > 0 {
        text.push_str(&format!("; {} refused", count_u64(mqtt.refused, "message")));
    }
    match &mqtt.last_error {
        Some(error) if mqtt.connected => text.push_str(&format!("; last trouble: {error}")),
        Some(error) => text.push_str(&format!("; {error}")),
        None => {}
    }
    text
}

fn of_tunnel(tunnel: &Tunnel) -> String {
    let title = format!(
        "tunnel {}  {} for {}, by {}",
        tunnel.name,
        if tunnel.up {
            "UP"
        } else {
            tunnel.state.as_str()
        },
        span(tunnel.since_seconds),
        tunnel.came
    );
    let mut text = format!("{}\n", cut(&title, WIDTH));
    let mut part = |label: &str, said: &str| {
        text.push_str(&labelled(&format!("  {label}"), ROOM + 2, said));
    };
    let version = tunnel.version.as_deref().unwrap_or("not yet up");
    part("service", &format!("{}, {version}", tunnel.endpoint));
    if let Some(channel) = &tunnel.channel_id {
        part("channel", channel);
    }
    part(
        "life",
        &format!(
            "{} old, AWS ends it in {} at the latest",
            span(tunnel.age_seconds),
            span(tunnel.lifetime_left_seconds)
        ),
    );
    part(
        "bytes",
        &format!(
            "{} down, {} up, {} so far",
            bytes(tunnel.down_bytes),
            bytes(tunnel.up_bytes),
            count_u64(tunnel.streams_ever, "stream")
        ),
    );
    if let Some(error) = &tunnel.last_error {
        let times = match tunnel.failures {
            0 => "earlier".to_owned(),
            failures => format!("{} failed", count_u64(failures.into(), "attempt")),
        };
        part("trouble", &format!("{times}: {error}"));
    }
    if !tunnel.streams.is_empty() {
        text.push_str(&row([
            "SERVICE",
            "CONTROLLER",
            "DOES",
            "AGE",
            "IDLE",
            "DOWN",
            "/s",
            "UP",
            "/s",
        ]
        .map(str::to_owned)));
    }
    for stream in &tunnel.streams {
        text.push_str(&of_stream(stream));
    }
    text
}

fn of_stream(stream: &Stream) -> String {
    let service = if stream.service.is_empty() {
        "-"
    } else {
        &stream.service
    };
    row([
        service.to_owned(),
        stream.target.clone(),
        stream.state.clone(),
        short(stream.age_seconds),
        short(stream.idle_seconds),
        bytes(stream.down_bytes),
        bytes(stream.down_rate),
        bytes(stream.up_bytes),
        bytes(stream.up_rate),
    ])
}

/// Texts to the left, numbers to the right: 79 columns.
fn row(cells: [String; 9]) -> String {
    const WIDTHS: [usize; 9] = [12, 20, 6, 4, 4, 6, 6, 6, 6];
    let mut line = " ".to_owned();
    for (column, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        line.push(' ');
        let cell = cut(cell, width);
        let room = " ".repeat(width - cell.chars().count());
        if column < 3 {
            line.push_str(&cell);
            line.push_str(&room);
        } else {
            line.push_str(&room);
            line.push_str(&cell);
        }
    }
    format!("{}\n", line.trim_end())
}

fn errors(status: &Status) -> String {
    if status.errors.is_empty() {
        return "\nno warning and no error in the log\n".to_owned();
    }
    let mut text = "\nlast warnings and errors, in UTC\n".to_owned();
    for trouble in &status.errors {
        // Date and time without the year, the seconds' zone and the separator.
        let time = trouble
            .time
            .get(5..19)
            .unwrap_or(&trouble.time)
            .replace('T', " ");
        let times = match trouble.times {
            0 | 1 => String::new(),
            times => format!(" ({times} times)"),
        };
        let said = format!("{}: {}{times}", trouble.level, trouble.text);
        text.push_str(&labelled(&format!("  {}", cut(&time, 14)), 18, &said));
    }
    text
}

/// A number and what it counts: "1 tunnel", "2 tunnels".
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn count_u64(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Time as people say it: its two greatest parts.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Time in at most four columns.
fn short(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=359_999 => format!("{}h", seconds / 3600),
        _ => format!("{}d", (seconds / 86_400).min(999)),
    }
}

/// Bytes in at most six columns, in powers of 1000.
fn bytes(number: u64) -> String {
    if number < 1000 {
        return number.to_string();
    }
    let mut unit = 1000;
    let mut units = "kMGTPE".chars();
    let mut letter = units.next();
    while number / unit >= 1000 {
        match units.next() {
            Some(next) => letter = Some(next),
            None => break,
        }
        unit *= 1000;
    }
    let tenths = number / (unit / 10);
    format!("{}.{}{}", tenths / 10, tenths % 10, letter.unwrap_or(' '))
}

fn mebibytes(number: u64) -> String {
    let tenths = number.saturating_mul(10) / (1024 * 1024);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
