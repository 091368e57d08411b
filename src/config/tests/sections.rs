//! `[proxy]`, `[access]`, `[places]` and `[paths]`: what they give, and what is wrong with them.

use super::*;

const ROUTE: &str = "[routes.r]\ntarget = \"h:1\"\n";

/// What runs with these lines behind a route, as a service.
pub(super) fn service(folder: &Folder, lines: &str) -> (Config, Vec<String>) {
    service_with(folder, lines, &[])
}

pub(super) fn service_with(
    folder: &Folder,
    lines: &str,
    variables: &[(&str, &str)],
) -> (Config, Vec<String>) {
    let file = folder.write("cellgate.toml", format!("{ROUTE}{lines}\n"));
    match load(&["--config", &file], variables) {
        Ok(Start::Run {
            config,
            access_token: None,
            warnings,
        }) => {
            let said = warnings
                .iter()
                .map(|said| said.to_string().replace(&file, "FILE"));
            (*config, said.collect())
        }
        Ok(other) => panic!("{lines}: {other:?}"),
        Err(faults) => panic!("{lines}: {faults}"),
    }
}

/// What is wrong with these lines, the first of which is the third of the file.
pub(super) fn faults_of(folder: &Folder, lines: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let file = folder.write("cellgate.toml", format!("{ROUTE}{lines}\n"));
    let faults = wrong_with(&["--config", &file], variables);
    faults
        .iter()
        .map(|fault| fault.replace(&file, "FILE"))
        .collect()
}

#[test]
fn without_sections_there_are_their_defaults() {
    let folder = Folder::new("defaults");
    let (config, warnings) = service(&folder, "");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(config.notify.is_none() && config.proxy.is_none());
    assert_eq!(config.access, Access::default());
    assert!(config.access.fail_closed);
    assert_eq!((config.places.tunnels, config.places.connections), (4, 64));
    assert_eq!(
        config.paths.runtime.as_deref(),
        Some(Path::new("/run/cellgate"))
    );
    assert_eq!(config.paths.audit, None);
    assert_eq!(route(&config, "r").session, None);
}

#[test]
fn every_key_of_the_sections() {
    let folder = Folder::new("sections");
    let (config, warnings) = service(
        &folder,
        "session = \"30m\"\n[routes.s]\ntarget = \"h:2\"\n[access]\nkey-switch = \"/run/cell/on\"\n\
         fail-closed = false\nwindows = [\"mon-fri 07:00-19:00\",\n  \"sat 08:00-12:00\"]\nsession = \"4h\"\n\
         [places]\ntunnels = 2\nconnections = 8\n[paths]\nruntime = \"/tmp/x\"\naudit = \"/var/log/a.jsonl\"\n",
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(
        config.access.key_switch,
        Some(KeySwitch::File("/run/cell/on".into()))
    );
    assert!(!config.access.fail_closed);
    assert_eq!(config.access.windows.len(), 2);
    let session = |name| route(&config, name).session;
    assert_eq!(
        session("r"),
        Some(Duration::from_secs(1800)),
        "its own goes before"
    );
    assert_eq!(session("s"), Some(Duration::from_secs(4 * 3600)));
    assert_eq!(config.reload().expect("the same file"), config.routes);
    assert_eq!((config.places.tunnels, config.places.connections), (2, 8));
    assert_eq!(config.paths.runtime, Some("/tmp/x".into()));
    assert_eq!(config.paths.audit, Some("/var/log/a.jsonl".into()));
    let (config, _) = service(&folder, "[access]\nkey-switch = \"gpiochip0:17\"");
    let gpio = KeySwitch::Gpio {
        chip: "gpiochip0".into(),
        line: 17,
    };
    assert_eq!(config.access.key_switch, Some(gpio));
    // A session of all routes holds for those of -d as well.
    let file = folder.write("head.toml", "access.session = \"2h\"\n");
    for map in ["22", "a=1,b=2"] {
        let (config, _) = run(&["-reu-1", "--config", &file, "-d", map]);
        let sessions = config.routes.iter().map(|route| route.session);
        assert!(
            sessions.eq(config
                .routes
                .iter()
                .map(|_| Some(Duration::from_secs(7200))))
        );
    }
}

#[test]
fn each_fault_of_the_sections_has_its_line() {
    let folder = Folder::new("section-faults");
    for (lines, said) in [
        ("access = 3", ":3: routes.r.access: got an unknown key; "),
        (
            "[access]\nkey-switch = true",
            ":4: access.key-switch: got true; expected text",
        ),
        (
            "[access]\nkey-switch = \"\"",
            ":4: access.key-switch: got \"\"; expected an absolute path; ",
        ),
        (
            "[access]\nkey-switch = \"on\"",
            ":4: access.key-switch: got \"on\"; expected an absolute",
        ),
        (
            "[access]\nkey-switch = \"/a\\u0000b\"",
            ":4: access.key-switch: got \"/a\\0b\"; ",
        ),
        (
            "[access]\nkey-switch = \"gpiochip0\"",
            ":4: access.key-switch: got \"gpiochip0\"; expected a GPIO",
        ),
        (
            "[access]\nkey-switch = \"gpiochip0:\"",
            ":4: access.key-switch: got \"gpiochip0:\"; ",
        ),
        (
            "[access]\nkey-switch = \"gpiochip:1\"",
            ":4: access.key-switch: got \"gpiochip:1\"; ",
        ),
        (
            "[access]\nkey-switch = \"gpiochip0:-1\"",
            ":4: access.key-switch: got \"gpiochip0:-1\"; ",
        ),
        (
            "[access]\nkey-switch = \"gpiochip0:65536\"",
            ":4: access.key-switch: got \"gpiochip0:65536\"; ",
        ),
        (
            "[access]\nkey-switch = \"gpiochip0/../x:1\"",
            ":4: access.key-switch: got \"gpiochip0/../x:1\"; ",
        ),
        (
            "[access]\nkey-switch = \"/dev/gpiochip0:1\"",
            ":4: access.key-switch: got \"/dev/gpiochip0:1\"; ",
        ),
        (
            "[access]\nfail-closed = \"yes\"",
            ":4: access.fail-closed: got the text \"yes\"; expected true or false; ",
        ),
        (
            "[access]\nfail-closed = 1",
            ":4: access.fail-closed: got the number 1; ",
        ),
        (
            "[access]\nwindows = \"mon 07:00-19:00\"",
            ":4: access.windows: got the text \"mon 07:00-19:00\"; expected a list of texts; ",
        ),
        (
            "[access]\nwindows = [\n7,\n]",
            ":5: access.windows: got the number 7; expected text",
        ),
        (
            "[access]\nwindows = [\"daily 00:00-24:00\",\n\"mo 1\"]",
            ":5: access.windows: got \"mo 1\"; expected days and times",
        ),
        (
            "[access]\nwindows = [\"mon 07:00-07:00\"]",
            ":4: access.windows: got \"mon 07:00-07:00\", which ends as it begins; ",
        ),
        (
            "[access]\nsession = \"0s\"",
            ":4: access.session: got \"0s\"; expected a duration from 1s to 1day; ",
        ),
        (
            "[access]\nsessions = \"1h\"",
            ":4: access.sessions: got an unknown key; expected one of: key-switch, fail-closed, windows, session; ",
        ),
        (
            "[places]\ntunnels = 0",
            ":4: places.tunnels: got the number 0; expected a whole number from 1 to 4; ",
        ),
        (
            "[places]\ntunnels = 5",
            ":4: places.tunnels: got the number 5; ",
        ),
        (
            "[places]\nconnections = 65",
            ":4: places.connections: got the number 65; ",
        ),
        (
            "[places]\nconnections = \"8\"",
            ":4: places.connections: got the text \"8\"; ",
        ),
        (
            "[paths]\nruntime = \"run\"",
            ":4: paths.runtime: got \"run\"; expected an absolute path; ",
        ),
        (
            "[paths]\naudit = \"\"",
            ":4: paths.audit: got \"\"; expected an absolute path; ",
        ),
        ("[paths]\naudit = 1", ":4: paths.audit: got the number 1; "),
        (
            "[paths]\nlog = \"/x\"",
            ":4: paths.log: got an unknown key; expected one of: runtime, audit; ",
        ),
        ("[proxy]\nexcept = []", ":3: proxy.url: got nothing; "),
        (
            "[proxy]\nurl = 3128",
            ":4: proxy.url: got the number 3128; ",
        ),
        (
            "[proxy]\nurl = \"p\"\nexcept = \"x\"",
            ":5: proxy.except: got the text \"x\"; expected a list",
        ),
        (
            "[proxy]\nurl = \"p\"\nexcept = [\"a b\"]",
            ":5: proxy.except: got \"a b\"; expected a name, an address",
        ),
        (
            "[proxy]\nurl = \"p\"\nuser = \"x\"",
            ":5: proxy.user: got an unknown key; expected one of: url, except; ",
        ),
    ] {
        let faults = faults_of(&folder, lines, &[]);
        assert!(
            faults[0].starts_with(&format!("FILE{said}")),
            "{lines}: {faults:#?}"
        );
        assert_eq!(faults.len(), 1, "{lines}: {faults:#?}");
    }
    let many = format!(
        "[access]\nwindows = [{}]",
        "\"mon 00:00-01:00\",".repeat(33)
    );
    assert!(faults_of(&folder, &many, &[])[0].contains("got a list of 33; expected at most 32; "));
    let long = format!("[paths]\nruntime = \"/{}\"", "r".repeat(93));
    assert!(faults_of(&folder, &long, &[])[0].contains("; expected a path of at most 93 bytes; "));
    service(&folder, &long.replacen('r', "", 0).replace("rrr\"", "rr\""));
}

#[test]
fn the_runtime_folder_is_found_in_a_broken_file() {
    let folder = Folder::new("runtime");
    let good =
        "colour = 1\n[notify]\nkey = 3\n[paths]\nruntime = \"/tmp/here\"\naudit = 7\nwrong = = 3\n";
    for (text, expected) in [
        (good, "/tmp/here"),
        ("", "/run/cellgate"),
        ("paths = 3\n", "/run/cellgate"),
        ("[paths]\nruntime = \"relative\"\n", "/run/cellgate"),
        ("[paths\nruntime = \"/tmp/x\"\n", "/run/cellgate"),
        ("\u{0}", "/run/cellgate"),
    ] {
        let file = folder.write("cellgate.toml", text);
        let found = runtime_folder(Some(Path::new(&file)));
        assert_eq!(found, Path::new(expected), "{text}");
    }
    let nowhere = runtime_folder(Some(Path::new("/nowhere.toml")));
    assert_eq!(nowhere, Path::new("/run/cellgate"));
}
