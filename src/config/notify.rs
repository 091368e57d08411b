//! `[notify]`: the MQTT broker that tells of tunnels.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;

use super::document::Table;
use super::endpoint::Endpoint;
use super::fault::{Faults, Misfit, Place, Warning};
use super::identity::{self, Identity};
use super::roots;
use super::target::split_port;

/// Where notifications come from. `thing` of the configuration is then never missing.
#[derive(Debug)]
pub struct Notify {
    /// The broker. AWS has it on port 8883, and on 443 for those who offer the ALPN name `x-amzn-mqtt-ca`.
    pub endpoint: Endpoint,
    /// The device certificate and its key.
    pub identity: Identity,
    /// Certificates to trust beside the built-in roots, for the broker alone.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// What `[notify]` says. The files that it names are added to `beside`.
pub(super) fn read(
    mut table: Table<'_>,
    beside: &mut Vec<PathBuf>,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) -> Option<Notify> {
    let certain = table.is_certain();
    for (key, expected, advice) in REQUIRED {
        if certain && !table.has(key) {
            let misfit = Misfit::new("nothing", expected, advice);
            faults.add(misfit.at(table.place_of(key)));
        }
    }
    let endpoint = table
        .text("endpoint", "abc-ats.iot.eu-central-1.amazonaws.com", faults)
        .and_then(|(text, place)| {
            let parsed = Endpoint::parse_or(&text, MQTT_PORT);
            let endpoint = faults.keep(place.clone(), parsed)?;
            Some((endpoint, split_port(&text).is_some(), place))
        });
    let port = port(&mut table, faults, warnings);
    let mut file = |key, faults: &mut Faults| {
        let (text, place) = table.text(key, "/etc/cellgate/device.pem.crt", faults)?;
        beside.push(PathBuf::from(&text));
        Some((PathBuf::from(text), place))
    };
    let certificate = file("certificate", faults);
    let key = file("key", faults);
    let ca = file("ca", faults);
    let identity = identity::read(certificate, key, faults, warnings);
    let extra_roots = match ca {
        Some((path, place)) => roots::read(&path, &place, faults, warnings),
        None => Vec::new(),
    };
    table.finish(faults);
    let (mut endpoint, has_port, place) = endpoint?;
    match port {
        Some((_, second)) if has_port => {
            let misfit = Misfit::new(
                format!("a port ({second}) beside the one in the endpoint"),
                "one of them",
                "leave the port out of the endpoint",
            );
            faults.add(misfit.at(place));
        }
        Some((port, _)) => endpoint.port = port,
        None => {}
    }
    Some(Notify {
        endpoint,
        identity: identity?,
        extra_roots,
    })
}

/// The port of MQTT over TLS, and the one that most networks let out.
const MQTT_PORT: u16 = 8883;
const ALPN_PORT: u16 = 443;

const REQUIRED: [(&str, &str, &str); 3] = [
    (
        "endpoint",
        "the device data endpoint of the AWS account",
        "`aws iot describe-endpoint --endpoint-type iot:Data-ATS` shows it",
    ),
    (
        "certificate",
        "the device certificate, in PEM",
        "write certificate = \"/etc/cellgate/device.pem.crt\"",
    ),
    (
        "key",
        "the private key of the device certificate, in PEM",
        "write key = \"/etc/cellgate/device.pem.key\"",
    ),
];

/// Any port, for brokers that are not of AWS; a word about those that AWS has not.
fn port(
    table: &mut Table<'_>,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) -> Option<(u16, Place)> {
    let place = table.place_of_key("port");
    let port = table.number("port", 1..=u32::from(u16::MAX), MQTT_PORT.into(), faults);
    let port = port.and_then(|port| u16::try_from(port).ok());
    let (port, place) = port.zip(place)?;
    if port != MQTT_PORT && port != ALPN_PORT {
        warnings.push(Warning::new(format!(
            "{place}: AWS IoT speaks MQTT on {MQTT_PORT} and {ALPN_PORT} alone, and not on {port}"
        )));
    }
    Some((port, place))
}
