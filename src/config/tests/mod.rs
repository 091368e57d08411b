//! The whole configuration, from flags, files and variables.

mod environment;
mod faults;
mod flags;
mod folders;
mod hostile;
mod notify;
mod proxy;
mod sections;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// The file of the handbook.
const GOOD: &str = r#"thing = "cell-0042"
default = "robot1"                     # for a source that names no service
[tunnel]
endpoint = "localhost:8443"            # or region = "eu-central-1"
[routes.robot1]
target = "192.168.0.2:23"
connections = 1                        # exclusive; default: the tunnel's 64
stall = "10s"
idle = "8h"                            # default: none
pace = 4000                            # bytes a second towards the controller
source = "eth1"                        # interface or address; default: none
[routes.robot2]
target = "[fd00::2]:9105"
"#;

const TOKEN: (&str, &str) = ("AWSIOT_TUNNEL_ACCESS_TOKEN", "AQGAAXh-token");

/// A folder that is there for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let name = format!("cellgate-config-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a writable temporary folder");
        Folder(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        let folder = path.parent().expect("a name below the folder");
        std::fs::create_dir_all(folder).expect("a writable temporary folder");
        std::fs::write(&path, content).expect("a writable temporary folder");
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str().expect("a temporary folder in UTF-8").into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(args: &[&str], variables: &[(&str, &str)]) -> Result<Start, Faults> {
    let mut env = |name: &str| {
        assert!(VARIABLES.contains(&name), "{name}");
        let mut found = variables.iter().filter(|(variable, _)| *variable == name);
        found.next().map(|(_, value)| OsString::from(value))
    };
    Config::load(args.iter().map(OsString::from), &mut env)
}

/// What runs with these flags, and a token from the environment.
fn run(args: &[&str]) -> (Config, Vec<String>) {
    run_with(args, &[TOKEN])
}

fn run_with(args: &[&str], variables: &[(&str, &str)]) -> (Config, Vec<String>) {
    let (config, _, warnings) = run_by(args, variables);
    (config, warnings)
}

/// The same with the access token.
fn run_by(args: &[&str], variables: &[(&str, &str)]) -> (Config, Secret, Vec<String>) {
    match load(args, variables) {
        Ok(Start::Run {
            config,
            access_token,
            warnings,
        }) => {
            let warnings = warnings.iter().map(Warning::to_string).collect();
            (*config, access_token.expect("a token"), warnings)
        }
        Ok(other) => panic!("{args:?}: {other:?}"),
        Err(faults) => panic!("{args:?}: {faults}"),
    }
}

/// What is wrong with these flags, given a token from the environment; one line a fault.
fn wrong(args: &[&str]) -> Vec<String> {
    wrong_with(args, &[TOKEN])
}

fn wrong_with(args: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    match load(args, variables) {
        Ok(start) => panic!("{args:?}: {start:?}"),
        Err(faults) => faults.iter().map(Fault::to_string).collect(),
    }
}

fn route<'c>(config: &'c Config, name: &str) -> &'c Route {
    config.routes.by_name(name).expect("the route is there")
}

#[test]
fn the_file_of_the_handbook() {
    let folder = Folder::new("handbook");
    let file = folder.write("cellgate.toml", GOOD);
    let (config, warnings) = run(&["--config", &file]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.thing.as_deref(), Some("cell-0042"));
    assert_eq!(
        config
            .endpoints
            .choose(None)
            .expect("an endpoint")
            .to_string(),
        "localhost:8443"
    );
    assert_eq!(config.file.as_deref(), Some(Path::new(&file)));
    assert_eq!(config.log_level, log::LevelFilter::Info);
    assert!(config.extra_roots.is_empty() && config.client_token.is_none());
    let robot1 = route(&config, "robot1");
    assert_eq!(robot1.target.to_string(), "192.168.0.2:23");
    assert_eq!(robot1.connections, 1);
    assert_eq!(robot1.stall, Duration::from_secs(10));
    assert_eq!(robot1.idle, Some(Duration::from_secs(8 * 3600)));
    assert_eq!(robot1.pace.map(u32::from), Some(4000));
    assert_eq!(robot1.source, Some(Source::Interface("eth1".into())));
    let robot2 = route(&config, "robot2");
    assert_eq!(robot2.target.to_string(), "[fd00::2]:9105");
    assert_eq!(
        (robot2.connections, robot2.stall),
        (64, Duration::from_secs(10))
    );
    assert_eq!(
        (robot2.idle, robot2.pace, &robot2.source),
        (None, None, &None)
    );
    let default = config.routes.default_route().expect("a default");
    assert_eq!(default.name, "robot1");
    assert!(config.routes.any().is_none() && config.routes.by_name("").is_none());
    let names: Vec<&str> = config
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["robot1", "robot2"]);
}

#[test]
fn a_single_route_is_the_default_and_several_have_none() {
    let folder = Folder::new("single");
    for (routes, default) in [
        ("[routes.a]\ntarget = \"a:1\"", Some("a")),
        (
            "[routes.a]\ntarget = \"a:1\"\n[routes.b]\ntarget = \"b:1\"",
            None,
        ),
    ] {
        let text = format!("tunnel.region = \"eu-central-1\"\n{routes}\n");
        let file = folder.write("cellgate.toml", text);
        let (config, _) = run(&["--config", &file]);
        let found = config
            .routes
            .default_route()
            .map(|route| route.name.as_str());
        assert_eq!(found, default);
    }
}

#[test]
fn reload_takes_new_routes_and_keeps_the_old_ones_equal() {
    let folder = Folder::new("reload");
    let file = folder.write("cellgate.toml", GOOD);
    let (config, _) = run(&["--config", &file, "-b", "192.168.0.1"]);
    assert_eq!(config.reload().expect("the same file"), config.routes);
    assert_eq!(config.routes_source(), Some(Path::new(&file)));

    let more = format!("{GOOD}[routes.robot3]\ntarget = \"192.168.0.4:23\"\n");
    folder.write(
        "cellgate.toml",
        more.replace("connections = 1 ", "connections = 2 "),
    );
    let routes = config.reload().expect("a good file");
    assert_ne!(routes.by_name("robot1"), config.routes.by_name("robot1"));
    assert_eq!(routes.by_name("robot2"), config.routes.by_name("robot2"));
    let robot3 = routes.by_name("robot3").expect("the new route");
    assert_eq!(
        robot3.source,
        Source::parse("192.168.0.1").ok(),
        "-b holds on"
    );

    folder.write("cellgate.toml", "colour = 1\n");
    let faults = config.reload().expect_err("a bad file");
    assert_eq!(faults.iter().count(), 2, "{faults}");
    drop(folder);
    assert!(config.reload().is_err(), "no file");
}

#[test]
fn secrets_are_in_no_debug_output() {
    let flags = ["-d", "22", "-r", "eu-central-1", "-i", &"c".repeat(32)];
    let start = load(&flags, &[TOKEN]).expect("a good command line");
    let shown = format!("{start:?}");
    assert!(
        !shown.contains("AQGAAXh") && !shown.contains("cccc"),
        "{shown}"
    );
    let (config, access_token, _) = run_by(&flags, &[TOKEN]);
    assert_eq!(access_token.expose(), TOKEN.1);
    assert_eq!(
        config.client_token.expect("a token").expose(),
        "c".repeat(32)
    );
}
