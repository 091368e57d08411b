//! What came of a fleet.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::fleet::{END, T0};

pub(crate) struct Figures {
    name: &'static str,
    /// When the service was back.
    returned: Duration,
    /// Attempts begun in each second.
    tries: Vec<u32>,
    /// Those of them that reached the service.
    knocks: Vec<u32>,
    /// When each gateway was back.
    times: Vec<Duration>,
    pub(crate) back: u32,
    /// By the quota.
    pub(crate) turned_away: u32,
    /// The least time between two knocks of one gateway, seconds.
    pub(crate) closest: Option<f64>,
}

impl Figures {
    pub(crate) fn new(name: &'static str, returned: Duration) -> Figures {
        let seconds = usize::try_from(END.as_secs()).expect("not so long") + 1;
        Figures {
            name,
            returned,
            tries: vec![0; seconds],
            knocks: vec![0; seconds],
            times: Vec::new(),
            back: 0,
            turned_away: 0,
            closest: None,
        }
    }

    pub(crate) fn tried(&mut self, now: Duration) {
        count(&mut self.tries, now);
    }

    pub(crate) fn knocked(&mut self, now: Duration, last: Option<Duration>) {
        count(&mut self.knocks, now);
        if let Some(last) = last {
            let gap = (now - last).as_secs_f64();
            self.closest = Some(self.closest.map_or(gap, |closest| closest.min(gap)));
        }
    }

    pub(crate) fn is_back(&mut self, now: Duration) {
        self.back += 1;
        self.times.push(now);
    }

    pub(crate) fn sort(&mut self) {
        self.times.sort_unstable();
    }

    /// The most requests that reached the service in a second.
    pub(crate) fn peak(&self) -> u32 {
        self.knocks.iter().copied().max().unwrap_or(0)
    }

    /// How long after the service this share of the fleet was back, seconds.
    pub(crate) fn within(&self, share: f64) -> f64 {
        let wanted = (share * f64::from(self.back)).ceil();
        let counted = self.times.iter().zip(1u32..);
        let mut enough = counted.filter(|(_, count)| f64::from(*count) >= wanted);
        let (time, _) = enough.next().expect("all of them are back");
        time.saturating_sub(self.returned).as_secs_f64()
    }

    /// Attempts a second between two seconds of the outage.
    pub(crate) fn mean_tries(&self, from: usize, to: usize) -> f64 {
        let seconds = &self.tries[from..to];
        seconds.iter().map(|&tries| f64::from(tries)).sum::<f64>() / (to - from) as f64
    }

    /// For the plot, a line of JSON, if somebody wants it.
    pub(crate) fn keep(&self) {
        let Some(path) = std::env::var_os("FLEET_JSON") else {
            return;
        };
        let mut back = vec![0; self.knocks.len()];
        for &time in &self.times {
            count(&mut back, time);
        }
        let within = [0.5, 0.95, 0.99, 1.0].map(|share| self.within(share));
        let figures = json!({
            "name": self.name,
            "began": T0.as_secs(),
            "returned": self.returned.as_secs(),
            "tries": self.tries,
            "knocks": self.knocks,
            "back": back,
            "turned_away": self.turned_away,
            "peak_tries": self.tries.iter().max(),
            "peak_knocks": self.peak(),
            "within": within,
            "closest": self.closest,
        });
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("a file"), "{figures}").expect("room");
    }
}

fn count(seconds: &mut [u32], now: Duration) {
    let second = usize::try_from(now.as_secs()).expect("not so late");
    if let Some(second) = seconds.get_mut(second) {
        *second += 1;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, nearly, all] = [0.5, 0.95, 0.99, 1.0].map(|share| self.within(share));
        let tried = self.tries.iter().max().expect("seconds");
        write!(
            f,
            "{}: at most {tried} attempts a second, at most {} at the service, {} turned away; back: 50 % within {half:.1} s, \
             95 % {most:.1} s, 99 % {nearly:.1} s, all {all:.1} s",
            self.name,
            self.peak(),
            self.turned_away,
        )?;
        match self.closest {
            Some(closest) => write!(f, "; no gateway twice within {closest:.2} s"),
            None => write!(f, "; no gateway had to come twice"),
        }
    }
}
