//! The owner's word: a file, or a command line. Whatever stands there, it becomes a configuration within the limits, or
//! faults of one line each; a token is never repeated.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cellgate::config::{Config, Faults, Start, Warning};
use cellgate::limits::{
    ACCESS_TOKEN_MAX, CONNECTIONS_MAX, EXCEPTS_MAX, FAULTS_SHOWN, IDLE_BOUNDS, ROUTES_MAX,
    SERVICE_ID_MAX, SESSION_BOUNDS, STALL_BOUNDS, TUNNELS_MAX, WINDOWS_MAX,
};

const TOKEN: &str = "AQGAAXhuQnV0bm90aGluZ2luaGVyZWlzcmVhbA";

/// The first byte says what the rest is: a file, a folder of maps, or flags, one a line.
pub fn run(input: &[u8]) {
    let Some((what, text)) = input.split_first() else {
        return;
    };
    let folder = folder();
    match what % 3 {
        0 => {
            let file = folder.join("cellgate.toml");
            std::fs::write(&file, text).expect("a writable temporary folder");
            load(vec!["--config".into(), file.into()]);
        }
        1 => {
            let map = folder.join("maps/map.ini");
            std::fs::write(&map, text).expect("a writable temporary folder");
            let maps = folder.join("maps").into();
            load(vec![
                "-r".into(),
                "eu-central-1".into(),
                "--config-dir".into(),
                maps,
            ]);
        }
        _ => {
            let flags = text.split(|byte| *byte == b'\n');
            let flags: Vec<OsString> = flags
                .map(|flag| OsString::from_vec(flag.to_vec()))
                .collect();
            // Not the files of this machine: what stands in them is no part of the input.
            if !flags
                .iter()
                .any(|flag| flag.as_encoded_bytes().contains(&b'/'))
            {
                load(flags);
            }
        }
    }
}

/// A folder of this process, in memory where there is such a file system.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = parent.join(format!("cellgate-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("maps")).expect("a writable temporary folder");
        folder
    })
}

fn load(args: Vec<OsString>) {
    let mut env = |name: &str| (name == "AWSIOT_TUNNEL_ACCESS_TOKEN").then(|| TOKEN.into());
    match Config::load(args.into_iter(), &mut env) {
        Ok(Start::Run {
            config,
            access_token,
            warnings,
        }) => {
            let length = access_token.map(|token| token.expose().len());
            assert!(length.is_none_or(|length| (1..=ACCESS_TOKEN_MAX).contains(&length)));
            warnings
                .iter()
                .for_each(|warning| line(&Warning::to_string(warning)));
            within(&config);
        }
        Ok(Start::Help(text) | Start::Version(text)) => assert!(!text.is_empty()),
        Err(faults) => told(&faults),
    }
}

fn told(faults: &Faults) {
    assert!(faults.iter().next().is_some());
    faults.iter().for_each(|fault| line(&fault.to_string()));
    assert!(faults.to_string().lines().count() <= FAULTS_SHOWN + 4);
}

fn line(said: &str) {
    assert!(
        !said.is_empty() && !said.chars().any(char::is_control),
        "{said:?}"
    );
    assert!(said.len() <= 4096 && !said.contains(TOKEN), "{said:?}");
}

fn within(config: &Config) {
    let routes: Vec<_> = config.routes.iter().chain(config.routes.any()).collect();
    for route in &routes {
        assert!(route.name.len() <= SERVICE_ID_MAX);
        assert!((1..=CONNECTIONS_MAX).contains(&usize::from(route.connections)));
        assert!(STALL_BOUNDS.contains(&route.stall));
        assert!(route.idle.is_none_or(|idle| IDLE_BOUNDS.contains(&idle)));
        assert!(
            route
                .session
                .is_none_or(|session| SESSION_BOUNDS.contains(&session))
        );
        assert_ne!(route.target.to_string(), "");
    }
    assert!((1..=ROUTES_MAX + 1).contains(&routes.len()));
    assert!((1..=TUNNELS_MAX).contains(&config.places.tunnels));
    assert!((1..=CONNECTIONS_MAX).contains(&config.places.connections));
    assert!(config.access.windows.len() <= WINDOWS_MAX);
    let excepts = config.proxy.as_ref().map_or(0, |proxy| proxy.except.len());
    assert!(excepts <= EXCEPTS_MAX);
    // Nothing has changed: the same routes come again.
    match config.reload() {
        Ok(routes) => assert_eq!(routes, config.routes),
        Err(faults) => panic!("taken once, refused the second time: {faults}"),
    }
    assert!(!format!("{config:?}").contains(TOKEN));
}
