//! The flags of the reference, each form of each.

use super::*;

use log::LevelFilter;

const REGION: [&str; 2] = ["-r", "eu-central-1"];

fn run_plus(flags: &[&str]) -> (Config, Vec<String>) {
    run(&[&REGION, flags].concat())
}

fn wrong_plus(flags: &[&str]) -> Vec<String> {
    wrong(&[&REGION, flags].concat())
}

#[test]
fn services_and_targets() {
    for (map, routes) in [
        ("ssh=10.0.0.1:22", "ssh>10.0.0.1:22"),
        ("ssh=22", "ssh>localhost:22"),
        (
            "ssh=localhost:22,vnc=5900",
            "ssh>localhost:22 vnc>localhost:5900",
        ),
        ("ssh=[::1]:22", "ssh>[::1]:22"),
        (" ssh = 22 , , vnc=h:1 ,", "ssh>localhost:22 vnc>h:1"),
        ("a:b_c-9=22", "a:b_c-9>localhost:22"),
        ("22", ">localhost:22"),
        ("robot.lan:23", ">robot.lan:23"),
        ("[::1]:22", ">[::1]:22"),
        (" 22, ", ">localhost:22"),
    ] {
        let (config, warnings) = run_plus(&["-d", map]);
        let shown: Vec<String> = config
            .routes
            .iter()
            .map(|route| format!("{}>{}", route.name, route.target))
            .collect();
        assert_eq!(shown.join(" "), routes, "{map}");
        assert_eq!(warnings, [""; 0]);
        assert!(config.file.is_none());
        assert_eq!(config.routes.any().is_some(), routes.starts_with('>'));
        let single = shown.len() == 1;
        assert_eq!(config.routes.default_route().is_some(), single, "{map}");
        assert_eq!(config.reload().expect("nothing to read"), config.routes);
        assert_eq!(config.routes_source(), None);
    }
}

#[test]
fn wrong_services_and_targets() {
    for (map, said) in [
        ("", "got \"\"; expected service=host:port"),
        (",", "got \",\"; expected service=host:port"),
        ("0", "got the port \"0\"; "),
        ("ssh", "got \"ssh\" (there is no port); "),
        ("22,23", "got \"22\"; expected service=host:port"),
        ("ssh=22,23", "got \"23\"; expected service=host:port"),
        ("=22", "got \"\"; expected a service ID"),
        ("ssh=", "got \"\" (there is no port); "),
        ("ssh==22", "got \"=22\" (there is no port); "),
        ("ssh=22,ssh=23", "got the service \"ssh\" a second time; "),
        ("ssh=::1:22", "got \"::1:22\" (there is no port); "),
        (
            "ssh=/run/ssh.sock",
            "got \"/run/ssh.sock\"; expected a host and a TCP port; cellgate dials no Unix",
        ),
        (
            "./local.sock",
            "got \"./local.sock\"; expected a host and a TCP port; cellgate dials no Unix",
        ),
        ("s h=22", "got \"s h\"; expected a service ID"),
    ] {
        let faults = wrong_plus(&["-d", map]);
        let said = format!("-d/--destination-app: {said}");
        assert!(faults[0].starts_with(&said), "{map}: {faults:#?}");
    }
    let long = format!("{}=22", "s".repeat(129));
    assert!(wrong_plus(&["-d", &long])[0].contains("expected a service ID of 1 to 128"));
    let many: Vec<String> = (1..=65).map(|n| format!("s{n}={n}")).collect();
    assert!(wrong_plus(&["-d", &many.join(",")])[0].contains("got 65 routes; expected at most 64"));
    // Every wrong item, not the first alone.
    assert_eq!(wrong_plus(&["-d", "a=0,b=22,c=/x,d=65536"]).len(), 3);
}

#[test]
fn every_spelling_of_a_flag() {
    for flags in [
        ["-d", "ssh=22"].as_slice(),
        &["-dssh=22"],
        &["--destination-app", "ssh=22"],
        &["--destination-app=ssh=22"],
    ] {
        let (config, _) = run_plus(flags);
        assert_eq!(route(&config, "ssh").target.port, 22, "{flags:?}");
    }
}

#[test]
fn verbosity() {
    for (value, level) in [
        ("0", LevelFilter::Off),
        ("1", LevelFilter::Error),
        ("2", LevelFilter::Error),
        ("3", LevelFilter::Warn),
        ("4", LevelFilter::Info),
        ("5", LevelFilter::Debug),
        ("6", LevelFilter::Trace),
        ("255", LevelFilter::Trace),
    ] {
        let (config, _) = run_plus(&["-d22", "-v", value]);
        assert_eq!(config.log_level, level, "{value}");
    }
    for value in ["256", "x", "=", "+ 4", "4 "] {
        let flag = format!("--verbose={value}");
        let faults = wrong_plus(&["-d22", &flag]);
        assert!(faults[0].starts_with("-v/--verbose: got "), "{faults:#?}");
    }
}

#[test]
fn modes() {
    for mode in ["dst", "destination"] {
        run_plus(&["-d22", "-m", mode]);
    }
    for mode in ["src", "source", "DST", ""] {
        let flag = format!("--mode={mode}");
        let faults = wrong_plus(&["-d22", &flag]);
        let said = format!("-m/--mode: got \"{mode}\"; expected dst or destination; ");
        assert!(faults[0].starts_with(&said), "{faults:#?}");
    }
}

#[test]
fn bind_address_is_the_source_of_all_routes() {
    for address in ["192.168.0.1", "fd00::1"] {
        for map in ["22", "a=1,b=2"] {
            let (config, _) = run_plus(&["-d", map, "-b", address]);
            let parsed = Source::Address(address.parse().expect("an address"));
            assert!(
                config
                    .routes
                    .iter()
                    .all(|route| route.source.as_ref() == Some(&parsed))
            );
        }
    }
    for address in ["localhost", "eth1", "[::1]", "192.168.0.1:0", ""] {
        let flag = format!("--local-bind-address={address}");
        let faults = wrong_plus(&["-d22", &flag]);
        assert!(
            faults[0].starts_with("-b/--local-bind-address: got "),
            "{faults:#?}"
        );
    }
}

#[test]
fn refused_flags_say_why() {
    for (flags, said) in [
        (
            ["-k"].as_slice(),
            "-k/--no-ssl-host-verify: got a flag that is refused; expected a verified",
        ),
        (&["--no-ssl-host-verify"], "-k/--no-ssl-host-verify: "),
        (&["--no-ssl-host-verify=true"], "-k/--no-ssl-host-verify: "),
        (&["-s", "22"], "-s/--source-listen-port: "),
        (&["-s22"], "-s/--source-listen-port: "),
        (&["-y", "V1"], "-y/--destination-client-type: "),
        (&["--settings-json", "x.json"], "--settings-json: "),
        (
            &["--export-default-settings=x.json"],
            "--export-default-settings: ",
        ),
        (&["--destination"], "--destination: got an unknown flag; "),
        (&["--colour=blue"], "--colour: got an unknown flag; "),
        (&["-x"], "-x: got an unknown flag; "),
        (&["--\n"], "--\\n: got an unknown flag; "),
        (&["--client-token"], "-i/--client-token: got no value; "),
        (&["-i", "-v4"], "-i/--client-token: got no value; "),
        (
            &["-d22"],
            "-d/--destination-app: got this flag a second time; ",
        ),
        (
            &["open"],
            "command line: got a word of 4 bytes that belongs to no flag; ",
        ),
        (
            &["--", "-d"],
            "command line: got a word of 2 bytes that belongs to no flag; ",
        ),
    ] {
        let faults = wrong_plus(&[&["-d22"], flags].concat());
        assert!(faults[0].starts_with(said), "{flags:?}: {faults:#?}");
        assert_eq!(faults.len(), 1, "{flags:?}: {faults:#?}");
    }
}

#[test]
fn help_and_version_come_before_any_fault() {
    for flags in [["-k", "-h"].as_slice(), &["--help"], &["-v4", "-h", "-h"]] {
        assert!(matches!(load(flags, &[]), Ok(Start::Help(text)) if text.contains("--config-dir")));
    }
    for flags in [["-V"].as_slice(), &["--version", "-k"]] {
        let version = format!("cellgate {}", env!("CARGO_PKG_VERSION"));
        assert!(matches!(load(flags, &[]), Ok(Start::Version(text)) if text == version));
    }
}

#[test]
fn text_that_is_no_utf8_is_a_fault_without_its_value() {
    use std::os::unix::ffi::OsStringExt;
    let token = OsString::from_vec(b"AQGAAX\xff".into());
    let args = ["-d22".into(), "-reu-1".into(), "-t".into(), token];
    let faults = Config::load(args.into_iter(), &mut |_| None).expect_err("no text");
    let said = faults.to_string();
    assert!(
        said.contains("-t/--access-token: got a value that is no UTF-8; "),
        "{said}"
    );
    assert!(!said.contains("AQGAAX") && faults.len() == 1, "{said}");
}
