//! Tunnels that come by MQTT: from a real mosquitto with mutual TLS, and from a broker as strict as that of AWS IoT for
//! what a mosquitto cannot be made to do.

#[path = "../stage/client.rs"]
mod client;
mod scene;
#[path = "../stage/mod.rs"]
mod stage;

mod away;
mod hostile;
mod places;
mod rotated;
mod strict;
mod ways;
