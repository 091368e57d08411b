//! `[notify]`: the device certificate and its key, and what a service can do without.

use std::os::unix::fs::PermissionsExt;

use cell::certs::Authority;

use super::sections::{faults_of, service, service_with};
use super::*;

/// A device's two files, and another's.
struct Device {
    folder: Folder,
    certificate: String,
    key: String,
}

impl Device {
    fn new(test: &str) -> Device {
        let folder = Folder::new(test);
        let authority = Authority::new().expect("an authority");
        folder.write("ca.pem", authority.ca_pem());
        for name in ["device", "other"] {
            let identity = authority.device(name).expect("a device");
            folder.write(&format!("{name}.crt"), &identity.certificate);
            folder.write(&format!("{name}.key"), &identity.key);
            folder.close(&format!("{name}.key"), 0o600);
        }
        Device {
            certificate: folder.path("device.crt"),
            key: folder.path("device.key"),
            folder,
        }
    }

    fn notify(&self, lines: &str) -> String {
        let (certificate, key) = (&self.certificate, &self.key);
        format!("[notify]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n{lines}")
    }

    fn faults(&self, lines: &str) -> Vec<String> {
        let text = format!("thing = \"t\"\n{lines}\n[routes.r]\ntarget = \"h:1\"\n");
        let file = self.folder.write("cellgate.toml", text);
        let faults = wrong_with(&["--config", &file], &[]);
        faults
            .iter()
            .map(|fault| fault.replace(&file, "FILE"))
            .collect()
    }

    fn load(&self, lines: &str, variables: &[(&str, &str)]) -> (Config, Vec<String>) {
        let text = format!("thing = \"t\"\n{lines}\n[routes.r]\ntarget = \"h:1\"\n");
        let file = self.folder.write("cellgate.toml", text);
        match load(&["--config", &file], variables) {
            Ok(Start::Run {
                config, warnings, ..
            }) => {
                let said = warnings
                    .iter()
                    .map(|said| said.to_string().replace(&file, "FILE"));
                (*config, said.collect())
            }
            Ok(other) => panic!("{other:?}"),
            Err(faults) => panic!("{faults}"),
        }
    }
}

impl Folder {
    fn close(&self, name: &str, mode: u32) {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), mode).expect("its own file");
    }
}

const AWS: &str = "endpoint = \"abc-ats.iot.eu-central-1.amazonaws.com\"";

#[test]
fn the_broker_and_the_device() {
    let device = Device::new("notify");
    for (lines, endpoint, said) in [
        (AWS, "abc-ats.iot.eu-central-1.amazonaws.com:8883", 0),
        (
            &format!("{AWS}\nport = 443"),
            "abc-ats.iot.eu-central-1.amazonaws.com:443",
            0,
        ),
        (
            &format!("{AWS}\nport = 8883"),
            "abc-ats.iot.eu-central-1.amazonaws.com:8883",
            0,
        ),
        ("endpoint = \"localhost\"\nport = 1884", "localhost:1884", 1),
        ("endpoint = \"localhost:1884\"", "localhost:1884", 0),
        ("endpoint = \"[::1]\"", "[::1]:8883", 0),
    ] {
        let (config, warnings) = device.load(&device.notify(lines), &[]);
        let notify = config.notify.expect("a broker");
        assert_eq!(notify.endpoint.to_string(), endpoint);
        assert_eq!(notify.identity.certificates().len(), 1);
        assert!(notify.identity.certified().keys_match().is_ok());
        assert_eq!(format!("{:?}", notify.identity), "<identity>");
        assert_eq!(
            config.paths.runtime.as_deref(),
            Some(Path::new("/run/cellgate"))
        );
        assert_eq!(warnings.len(), said, "{warnings:?}");
    }
    let ca = format!("{AWS}\nca = \"{}\"", device.folder.path("ca.pem"));
    let (config, _) = device.load(&device.notify(&ca), &[]);
    assert_eq!(config.notify.expect("a broker").extra_roots.len(), 1);
    assert!(
        config.extra_roots.is_empty(),
        "they are for the broker alone"
    );
}

#[test]
fn what_is_wrong_with_the_broker() {
    let device = Device::new("notify-faults");
    for (lines, said) in [
        ("", "FILE:2: notify.endpoint: got nothing; "),
        (
            "endpoint = \"ssl://h\"",
            "FILE:5: notify.endpoint: got \"ssl://h\"; expected a host, and a port if it is not 8883; ",
        ),
        (
            "endpoint = \"h:1\"\nport = 443",
            "FILE:5: notify.endpoint: got a port (FILE:6: notify.port) beside the one in the endpoint; ",
        ),
        (
            "endpoint = \"h\"\nport = 0",
            "FILE:6: notify.port: got the number 0; expected a whole number from 1 to 65535; write for example port = 8883",
        ),
        (
            "endpoint = \"h\"\nport = \"443\"",
            "FILE:6: notify.port: got the text \"443\"; ",
        ),
        (
            "endpoint = \"h\"\nca = \"/nowhere\"",
            "FILE:6: notify.ca: got no content (",
        ),
        (
            "endpoint = \"h\"\nthing = \"t\"",
            "FILE:6: notify.thing: got an unknown key; expected one of: endpoint, port, certificate, key, ca; ",
        ),
    ] {
        let faults = device.faults(&device.notify(lines));
        assert!(faults[0].starts_with(said), "{lines}: {faults:#?}");
        assert_eq!(faults.len(), 1, "{lines}: {faults:#?}");
    }
    let faults = faults_of(&device.folder, &device.notify(AWS), &[]);
    assert!(
        faults[0].starts_with("FILE:3: notify: got no thing; "),
        "{faults:#?}"
    );
    assert_eq!(faults.len(), 1);
    let faults = device.faults("[notify]");
    let keys = ["endpoint", "certificate", "key"]
        .map(|key| format!("FILE:2: notify.{key}: got nothing; "));
    assert!(
        keys.iter()
            .all(|key| faults.iter().any(|fault| fault.starts_with(key))),
        "{faults:#?}"
    );
    assert_eq!(faults.len(), 3);
}

#[test]
fn the_two_files_belong_together() {
    let device = Device::new("identity");
    let folder = &device.folder;
    let read = |name: &str| std::fs::read_to_string(folder.path(name)).expect(name);
    let (certificate, key) = (read("device.crt"), read("device.key"));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let flipped = {
        let mut lines: Vec<&str> = key.lines().collect();
        lines.swap(1, 2);
        lines.join("\n")
    };
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const CRT: &str = "FILE:4: notify.certificate: got ";
    const KEY: &str = "FILE:5: notify.key: got ";
    for (crt, pem, place, said) in [
        (certificate.as_str(), read("other.key"), KEY, "the key "),
        ("", key.clone(), CRT, "no certificate from "),
        (&key, key.clone(), CRT, "no certificate from "),
        (junk, key.clone(), CRT, "a broken certificate, number 1 in "),
        (
            &format!("{certificate}{junk}"),
            key.clone(),
            CRT,
            "a broken certificate, number 2 in ",
        ),
        (
            &certificate.replace("-----END", ""),
            key.clone(),
            CRT,
            "a broken certificate, number 1 in ",
        ),
        (
            &certificate.repeat(9),
            key.clone(),
            CRT,
            "more than 8 certificates from ",
        ),
        (&certificate, String::new(), KEY, "no private key from "),
        (
            &certificate,
            certificate.clone(),
            KEY,
            "no private key from ",
        ),
        (
            &certificate,
            encrypted,
            KEY,
            "a key with a passphrase from ",
        ),
        (
            &certificate,
            key.replace("-----END", ""),
            KEY,
            "a broken key (its END line is missing) from ",
        ),
        (&certificate, key.repeat(2), KEY, "more than one key from "),
        (&certificate, flipped, KEY, "a key that TLS cannot use ("),
        (
            &certificate,
            "x".repeat(16 * 1024 + 1),
            KEY,
            "more than 16384 bytes from ",
        ),
    ] {
        let crt = folder.write("x.crt", crt);
        let pem = folder.write("x.key", pem);
        let faults = device.faults(&format!(
            "[notify]\n{AWS}\ncertificate = \"{crt}\"\nkey = \"{pem}\""
        ));
        assert!(
            faults[0].starts_with(&format!("{place}{said}")),
            "{said}: {faults:#?}"
        );
        assert_eq!(faults.len(), 1, "{faults:#?}");
        let lines = key.lines().filter(|line| !line.starts_with('-'));
        assert!(
            !lines.into_iter().any(|line| faults[0].contains(line)),
            "{faults:#?}"
        );
    }
    let faults = device.faults(&format!(
        "[notify]\n{AWS}\ncertificate = \"/nowhere/c\"\nkey = \"/nowhere/k\""
    ));
    assert!(
        faults[0].starts_with(&format!("{CRT}no content (")),
        "{faults:#?}"
    );
    assert!(
        faults[1].starts_with(&format!("{KEY}no content (")),
        "{faults:#?}"
    );
}

#[test]
fn a_chain_and_every_kind_of_key() {
    let device = Device::new("kinds");
    let folder = &device.folder;
    let read = |name: &str| std::fs::read_to_string(folder.path(name)).expect(name);
    folder.write(
        "device.crt",
        format!("{}{}", read("device.crt"), read("ca.pem")),
    );
    let (config, _) = device.load(&device.notify(AWS), &[]);
    let notify = config.notify.expect("a broker");
    assert_eq!(notify.identity.certificates().len(), 2);

    // SEC1 is what PKCS#8 of a curve wraps.
    let key = read("device.key");
    let base64: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = data_encoding::BASE64
        .decode(base64.as_bytes())
        .expect("a PEM");
    let inner = der
        .windows(4)
        .position(|bytes| bytes == [0x04, 0x6d, 0x30, 0x6b]);
    let sec1 = data_encoding::BASE64.encode(&der[inner.expect("a key of P-256") + 2..]);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{sec1}\n-----END EC PRIVATE KEY-----\n");
    folder.write("device.key", pem);
    let (config, _) = device.load(&device.notify(AWS), &[]);
    assert!(
        config
            .notify
            .expect("a broker")
            .identity
            .certified()
            .keys_match()
            .is_ok()
    );
}

#[test]
fn a_key_that_everybody_can_read_is_worth_a_word() {
    let device = Device::new("key-mode");
    for (mode, said) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        device.folder.close("device.key", mode);
        let (_, warnings) = device.load(&device.notify(AWS), &[]);
        assert_eq!(warnings.len(), said, "{warnings:?}");
        assert!(
            warnings
                .concat()
                .contains("every user of this machine can read the key")
                == (said == 1)
        );
    }
}

#[test]
fn a_service_needs_neither_token_nor_region() {
    let device = Device::new("service");
    let usual = "data.tunneling.iot.eu-central-1.amazonaws.com:443";
    let chosen = |config: &Config| {
        let endpoints = &config.endpoints;
        [&endpoints.fixed, &endpoints.usual].map(|found| found.as_ref().map(Endpoint::to_string))
    };
    let (config, _) = service(&device.folder, "");
    assert_eq!(chosen(&config), [None, None]);
    let (config, _) = device.load(&device.notify(AWS), &[]);
    assert_eq!(chosen(&config), [None, Some(usual.to_owned())]);
    let region = Region::new("us-east-1").expect("a region");
    let far = "data.tunneling.iot.us-east-1.amazonaws.com";
    assert_eq!(
        config.endpoints.choose(Some(&region)).expect("one").host,
        far
    );
    let (config, _) = device.load(&device.notify("endpoint = \"mqtt.example\""), &[]);
    assert_eq!(chosen(&config), [None, None]);
    // A region of the owner stands behind a notification's, an endpoint before it.
    let with = |lines: &str| format!("{lines}\n{}", device.notify(AWS));
    let (config, _) = device.load(&with("tunnel.region = \"eu-west-1\""), &[]);
    assert_eq!(
        config.endpoints.choose(Some(&region)).expect("one").host,
        far
    );
    assert!(
        config
            .endpoints
            .choose(None)
            .expect("one")
            .host
            .contains("eu-west-1")
    );
    let (config, _) = device.load(&with("tunnel.endpoint = \"localhost:8443\""), &[]);
    assert_eq!(
        config.endpoints.choose(Some(&region)).expect("one").host,
        "localhost"
    );
    // The variables are still before the broker's region; a token with [notify] is a service as well.
    let variables = [("AWSIOT_TUNNEL_REGION", "eu-west-2"), TOKEN];
    let (config, _) = device.load(&device.notify(AWS), &variables);
    assert!(
        config
            .endpoints
            .choose(None)
            .expect("one")
            .host
            .contains("eu-west-2")
    );
    assert!(config.paths.runtime.is_some());
    let (config, _) = device.load(&device.notify(AWS), &[TOKEN]);
    assert_eq!(chosen(&config), [None, Some(usual.to_owned())]);
}

#[test]
fn one_tunnel_alone_writes_nothing_unless_asked() {
    let folder = Folder::new("one-shot");
    let (config, _) = run(&["-d22", "-reu-1"]);
    assert_eq!(config.paths, Paths::default());
    let file = folder.write(
        "cellgate.toml",
        "routes.r.target = \"h:1\"\ntunnel.region = \"eu-1\"\n",
    );
    let (config, _) = run(&["--config", &file]);
    assert_eq!(config.paths, Paths::default());
    let file = folder.write(
        "paths.toml",
        "routes.r.target = \"h:1\"\ntunnel.region = \"eu-1\"\npaths.runtime = \"/x\"\n",
    );
    let (config, _) = run(&["--config", &file]);
    assert_eq!(config.paths.runtime.as_deref(), Some(Path::new("/x")));
    // A client token without its access token.
    let client = "c".repeat(32);
    let (_, warnings) = service_with(&folder, "", &[("AWSIOT_TUNNEL_CLIENT_TOKEN", &client)]);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("AWSIOT_TUNNEL_CLIENT_TOKEN is not used: "),
        "{warnings:?}"
    );
}

#[test]
fn regions_of_brokers() {
    for (host, region) in [
        (
            "abc-ats.iot.eu-central-1.amazonaws.com",
            Some("eu-central-1"),
        ),
        (
            "abc.ats.iot.cn-north-1.amazonaws.com.cn",
            Some("cn-north-1"),
        ),
        ("ABC-ATS.IOT.US-EAST-1.AMAZONAWS.COM", Some("us-east-1")),
        ("iot.eu-central-1.amazonaws.com", None),
        ("abc-ats.iot.amazonaws.com", None),
        ("abc.iotx.eu-1.amazonaws.com", None),
        ("abc.iot.eu-1.amazonaws.com.example", None),
        ("mqtt.example.com", None),
        ("10.0.0.1", None),
    ] {
        let endpoint = Endpoint::parse(host).expect(host);
        assert_eq!(
            endpoint.region().as_ref().map(Region::as_str),
            region,
            "{host}"
        );
    }
}
