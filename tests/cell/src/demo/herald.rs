//! The broker of the demo: who tells the agent of its tunnel.

use std::io;
use std::time::Duration;

use crate::broker::Broker;
use crate::certs::DeviceFiles;
use crate::journal::{Mark, WaitTimeout};
use crate::mosquitto::Mosquitto;
use crate::notification;
use crate::service::Tunnel;

/// The embedded broker, or a mosquitto if the caller wants one.
pub(super) enum Herald {
    Embedded(Box<Broker>),
    Mosquitto(Box<Mosquitto>),
}

impl Herald {
    pub(super) async fn start(mosquitto: bool) -> io::Result<Self> {
        if mosquitto {
            Ok(Self::Mosquitto(Box::new(Mosquitto::start().await?)))
        } else {
            Ok(Self::Embedded(Box::new(Broker::start()?)))
        }
    }

    /// Such as "embedded".
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Mosquitto(_) => "mosquitto",
        }
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Embedded(broker) => broker.port(),
            Self::Mosquitto(broker) => broker.port(),
        }
    }

    pub(super) fn device(&self, thing: &str) -> io::Result<DeviceFiles> {
        match self {
            Self::Embedded(broker) => broker.device(thing),
            Self::Mosquitto(broker) => broker.device(thing),
        }
    }

    /// Waits until a thing is subscribed.
    pub(super) async fn subscribed(&self, thing: &str, limit: Duration) -> Result<(), WaitTimeout> {
        match self {
            Self::Embedded(broker) => broker
                .wait_event(|event| event.is_subscribed(thing), limit)
                .await
                .map(|_| ()),
            Self::Mosquitto(broker) => broker
                .wait_subscribed(Mark::START, thing, limit)
                .await
                .map(|_| ()),
        }
    }

    /// Tells a thing of a tunnel.
    pub(super) async fn notify(&self, thing: &str, tunnel: &Tunnel) -> io::Result<()> {
        let payload = notification::payload(tunnel);
        match self {
            Self::Embedded(broker) => broker.notify(thing, &payload).map(|_| ()),
            Self::Mosquitto(broker) => {
                broker
                    .publish(&notification::topic(thing), &payload, 1)
                    .await
            }
        }
    }

    /// Rules that the agent broke, as the embedded broker saw them; a mosquitto tells of none.
    pub(super) fn broken(&self) -> Vec<String> {
        match self {
            Self::Embedded(broker) => {
                let broken = broker.violations();
                broken.iter().map(|event| format!("{event:?}")).collect()
            }
            Self::Mosquitto(_) => Vec::new(),
        }
    }
}
