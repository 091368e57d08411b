//! A fleet on a virtual clock: 100,000 gateways whose service is away for ten minutes, and all come back.
//!
//! What decides when a gateway knocks is the crate's own: `Backoff`, `Outcome`, `Refusal::verdict`, `Liveness`, and the
//! limits of a dialling. The network, the service and its quota are simulated here. Always the same dice, so that the
//! figures are those of docs/fleet.md; `FLEET_JSON` names a file for them.
//!
//! On paper: a wait is anything up to a cap C, C/2 on average, so N gateways knock N/(C/2) times a second; whoever looks
//! at a moment of the outage finds a gateway x before its next attempt with the density (2/C)(1 - x/C), so all but 5 %
//! have knocked after C(1 - √0.05) = 0.776 C.

mod agenda;
mod dice;
mod figures;
mod fleet;
mod gateway;
mod network;
mod service;

use std::time::Duration;

use cellgate::limits::{BACKOFF_FIRST, BACKOFF_MAX, MQTT_BACKOFF_MAX};

use crate::figures::Figures;
use crate::fleet::{GATEWAYS, Plan, run};
use crate::gateway::Client;
use crate::network::Away;
use cellgate::protocol::backoff::Backoff;

/// CONNECT requests a second that AWS IoT Core takes of an account by default; in some regions fewer. It can be raised.
/// Source: AWS general reference, "AWS IoT Core endpoints and quotas".
const ACCOUNT_QUOTA: u32 = 3_000;

/// The same in the regions with less, and everywhere until 2023.
const OLD_QUOTA: u32 = 500;

/// CONNECT requests a second of one client ID. It cannot be raised. Source: as above.
const CLIENT_QUOTA: f64 = 1.0;

/// The issue's: 95 % are back within this.
const BACK: f64 = 120.0;

fn broker(name: &'static str) -> Plan {
    Plan {
        name,
        client: Client::Broker,
        away: Away::Unreachable,
        quota: Some(ACCOUNT_QUOTA),
        backoff: Backoff::broker,
    }
}

fn tunnels(name: &'static str) -> Plan {
    Plan {
        name,
        client: Client::Tunnel,
        quota: None,
        backoff: Backoff::tunnel,
        ..broker(name)
    }
}

/// What holds for every plan: nobody is lost, and no client ID logs in twice within a second.
fn simulated(plan: &Plan) -> Figures {
    let figures = run(plan);
    println!("{figures}");
    figures.keep();
    assert_eq!(figures.back, GATEWAYS, "somebody never came back");
    if plan.client == Client::Broker
        && let Some(gap) = figures.closest
    {
        assert!(gap >= 1.0 / CLIENT_QUOTA, "a client came twice in {gap} s");
    }
    figures
}

#[test]
fn the_broker_is_away_for_ten_minutes() {
    let figures = simulated(&broker("broker, unreachable"));
    assert!(figures.peak() <= ACCOUNT_QUOTA, "{figures}");
    assert_eq!(figures.turned_away, 0);
    assert!(figures.within(0.95) <= BACK);
    // As on paper, with the second that is added to each wait, and what an attempt takes that gets no answer.
    let cap = MQTT_BACKOFF_MAX.as_secs_f64();
    let steady = f64::from(GATEWAYS) / (1.0 + cap / 2.0);
    let tried = figures.mean_tries(300, 600);
    assert!(tried < steady && tried > 0.9 * steady, "{tried}, {steady}");
    let on_paper = cap * (1.0 - 0.05f64.sqrt());
    let share = figures.within(0.95) / on_paper;
    assert!((0.95..1.1).contains(&share), "{share} of {on_paper} s");
}

/// The front door answers all the time, and each answer counts: the fleet must not run against it at any time.
#[test]
fn the_broker_is_busy_for_ten_minutes() {
    let figures = simulated(&Plan {
        away: Away::Busy,
        ..broker("broker, answers 0x88")
    });
    assert!(figures.peak() <= ACCOUNT_QUOTA, "{figures}");
    assert!(figures.within(0.95) <= BACK);
}

/// Nothing is away: every connection is cut in the same second.
#[test]
fn the_broker_cuts_everybody_at_once() {
    let figures = simulated(&Plan {
        away: Away::Cut,
        ..broker("broker, cuts all at once")
    });
    assert!(figures.peak() <= ACCOUNT_QUOTA, "{figures}");
    assert_eq!(figures.turned_away, 0);
    assert!(figures.within(0.95) <= BACK);
}

/// 500 a second cannot let 100,000 in within 120 s. What must hold: they are let in about as fast as the quota goes, and
/// those who are turned away make no rush of their own.
#[test]
fn a_region_with_a_small_quota() {
    let figures = simulated(&Plan {
        quota: Some(OLD_QUOTA),
        ..broker("broker, quota 500")
    });
    let least = 0.95 * f64::from(GATEWAYS) / f64::from(OLD_QUOTA);
    assert!(figures.within(0.95) >= least);
    assert!(figures.within(0.95) <= 1.25 * least, "{figures}");
    assert!(figures.peak() <= ACCOUNT_QUOTA, "{figures}");
    assert!(figures.turned_away < GATEWAYS);
}

/// Why the broker has a backoff of its own: with that of a tunnel the fleet breaks the quota.
#[test]
fn with_the_backoff_of_a_tunnel_the_broker_would_be_overrun() {
    let plan = Plan {
        backoff: || Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
        ..broker("broker, with a tunnel's backoff")
    };
    let figures = simulated(&plan);
    assert!(figures.peak() > ACCOUNT_QUOTA, "{figures}");
    assert!(figures.turned_away > 0);
}

/// A tunnel of each gateway. AWS publishes no quota for their handshakes.
#[test]
fn the_tunnelling_service_is_away_for_ten_minutes() {
    let figures = simulated(&tunnels("tunnels, unreachable"));
    assert!(figures.within(0.95) <= BACK);
    assert!(figures.within(0.95) <= BACKOFF_MAX.as_secs_f64());
    let steady = f64::from(GATEWAYS) / (BACKOFF_MAX.as_secs_f64() / 2.0);
    let tried = figures.mean_tries(300, 600);
    assert!(tried < steady && tried > 0.7 * steady, "{tried}, {steady}");
}

/// The same when the service takes no more than the broker does, and says 503, or 429 with Retry-After, to the others.
#[test]
fn the_tunnelling_service_lets_in_3000_a_second() {
    let figures = simulated(&Plan {
        quota: Some(ACCOUNT_QUOTA),
        ..tunnels("tunnels, 3,000 a second let in")
    });
    assert!(figures.turned_away > 0);
    assert!(figures.within(0.95) <= BACK, "{figures}");
    assert!(figures.within(1.0) <= 2.0 * BACK, "{figures}");
}

/// The dead links of a fleet are found by the crate's own clock.
#[test]
fn a_silent_link_is_found_in_time() {
    let mut dice = dice::Dice::new(3);
    for _ in 0..1000 {
        let found = network::silent_link_found(&mut dice);
        let limit = cellgate::limits::PONG_LIMIT + Duration::from_secs(1);
        assert!(found <= limit, "{found:?}");
        assert!(found >= limit - cellgate::limits::PING_EVERY - Duration::from_secs(2));
    }
}
