//! Landlock: the kernel holds the agent to the files and the TCP ports that its configuration needs.
//!
//! What is granted can never be widened again in this process. So a folder is granted and not the file in it, which
//! editors and DHCP clients replace. Files that are only looked for, such as a key switch, need no grant: Landlock is
//! about opening.
//!
//! Routes that come by SIGHUP may have ports of their own. Where a service manager watches over the agent they are
//! refused until a restart ([`outside`]), which costs a second; one that was started by hand would not come back, so
//! its TCP is only confined if nothing can be read again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    path_beneath_rules,
};

use crate::config::{Config, KeySwitch, Routes, Source};

/// The rights that are known here; what a kernel does not know of them is left out.
const KNOWN: ABI = ABI::V6;

/// The first that confines TCP. Source: landlock(7).
const WITH_TCP: i32 = 4;

/// Of the service of every region, which a notification may name. Source: the protocol guides.
const SERVICE_PORT: u16 = 443;

/// An answer that is too long for UDP comes by TCP. Source: RFC 7766.
const DNS_PORT: u16 = 53;

/// What the C library and the time zones read, and what tells of other processes, of the boot and of the watchdog.
const READ: [&str; 8] = [
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run/systemd/resolve",
    "/sys/devices",
    "/usr/lib",
    "/usr/share/zoneinfo",
];

/// Of these the folder that their links lead to may be elsewhere.
const LINKS: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/localtime"];

/// What this process may still do. For itself alone; what others may is theirs.
struct Held {
    ports: BTreeSet<u16>,
    /// It may choose the address that its connections come from.
    sources: bool,
}

/// Set once the kernel confines TCP; no test and no other process sees it.
static HELD: OnceLock<Held> = OnceLock::new();

/// How the agent is held.
#[derive(Debug)]
pub enum Confined {
    /// The kernel does it.
    Yes {
        /// The version of its interface.
        abi: i32,
        /// TCP too, or why not.
        ports: Result<Vec<u16>, &'static str>,
        /// Where it may write.
        writes: Vec<PathBuf>,
        /// What it reads is confined too.
        reads: bool,
    },
    /// It has no Landlock, or one that is too old to be of use.
    No(String),
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (abi, ports, writes, reads) = match self {
            Confined::Yes {
                abi,
                ports,
                writes,
                reads,
            } => (abi, ports, writes, *reads),
            Confined::No(reason) => {
                return write!(
                    f,
                    "landlock: the kernel does not confine the agent ({reason}); expected Linux 5.19 or newer with \
                     CONFIG_SECURITY_LANDLOCK, and landlock in lsm="
                );
            }
        };
        write!(
            f,
            "landlock: the kernel confines the agent (ABI {abi}): starts no program, writes "
        )?;
        match writes.as_slice() {
            [] => f.write_str("nowhere")?,
            writes => {
                let shown: Vec<_> = writes
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                write!(f, "below {}", shown.join(", "))?;
            }
        }
        if !reads {
            f.write_str(", reads what the library in LD_PRELOAD may want, so anything")?;
        }
        match ports {
            Ok(ports) => {
                let shown: Vec<_> = ports.iter().map(u16::to_string).collect();
                write!(f, ", connects by TCP to port {} alone", shown.join(", "))
            }
            Err(reason) => write!(f, "; TCP is not confined: {reason}"),
        }
    }
}

/// Confines this process to what `config` needs; to be called while it has one thread. `variable` gives a variable of
/// the environment.
pub fn hold(config: &Config, variable: impl Fn(&str) -> Option<OsString>) -> Confined {
    // Only a service manager sets it, for a service that it watches. Source: sd_notify(3).
    let watched = variable("NOTIFY_SOCKET").is_some();
    let confines_tcp = watched || config.routes_source().is_none();
    // What such a library reads and when, nobody knows here; and who sets it has the process anyway.
    let preloaded = variable("LD_PRELOAD").is_some_and(|value| !value.is_empty());
    let zone = variable("TZ");
    match restrict(config, zone, confines_tcp, !preloaded) {
        Ok(confined) => confined,
        Err(error) => Confined::No(error.to_string()),
    }
}

/// Why routes that came later cannot be taken by this process, if so.
pub fn outside(routes: &Routes) -> Option<String> {
    let held = HELD.get()?;
    let strangers = routes.iter().filter_map(|route| {
        let port = route.target.port;
        if !held.ports.contains(&port) {
            return Some(format!("{} leads to port {port}", route.name));
        }
        (is_bound(&route.source) && !held.sources)
            .then(|| format!("{} has an address as its source", route.name))
    });
    let strangers: Vec<_> = strangers.collect();
    if strangers.is_empty() {
        return None;
    }
    Some(format!(
        "{}: landlock holds this process to what its routes needed at the start; restart the agent, which comes back to \
         its tunnels",
        strangers.join(", ")
    ))
}

fn restrict(
    config: &Config,
    zone: Option<OsString>,
    confines_tcp: bool,
    confines_reading: bool,
) -> Result<Confined, RulesetError> {
    let writes = written(config);
    let ports = ports(config);
    let sources = config.routes.iter().any(|route| is_bound(&route.source));
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut handled = AccessFs::from_all(KNOWN);
    if !confines_reading {
        handled &= !reading;
    }
    let mut rules = Ruleset::default()
        // The local socket is moved from one folder to another, which the first ABI can only forbid.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)?
        .scope(Scope::Signal)?;
    if confines_tcp {
        rules = rules.handle_access(AccessNet::from_all(KNOWN))?;
    }
    let mut rules = rules
        .create()?
        .add_rules(path_beneath_rules(&writes, files() & handled))?
        .add_rules(path_beneath_rules(devices(config), device() & handled))?;
    if confines_reading {
        rules = rules.add_rules(path_beneath_rules(read(config, zone), reading))?;
    }
    if confines_tcp {
        for port in &ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        if sources {
            rules = rules.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
        }
    }
    let status = rules.restrict_self()?;
    let Some(abi) = abi(&status) else {
        return Ok(Confined::No("it has none".to_owned()));
    };
    let shown = if abi < WITH_TCP {
        Err("this takes ABI 4 (Linux 6.7 or newer)")
    } else if !confines_tcp {
        Err(
            "SIGHUP may bring other ports, and no service manager is there to start the agent again",
        )
    } else {
        let shown = ports.iter().copied().collect();
        let _ = HELD.set(Held { ports, sources });
        Ok(shown)
    };
    Ok(Confined::Yes {
        abi,
        ports: shown,
        writes,
        reads: confines_reading,
    })
}

fn abi(status: &RestrictionStatus) -> Option<i32> {
    match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Some(kernel_abi.unwrap_or(effective_abi as i32)),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    }
}

fn is_bound(source: &Option<Source>) -> bool {
    match source {
        Some(Source::Address(_)) => true,
        Some(Source::Interface(_)) | None => false,
    }
}

// ---- what the configuration needs -----------------------------------------------------------

/// Every port that the agent may have to dial.
fn ports(config: &Config) -> BTreeSet<u16> {
    let mut ports = BTreeSet::from([SERVICE_PORT, DNS_PORT]);
    let endpoints = &config.endpoints;
    ports.extend(
        endpoints
            .fixed
            .iter()
            .chain(&endpoints.usual)
            .map(|e| e.port),
    );
    ports.extend(config.notify.iter().map(|notify| notify.endpoint.port));
    ports.extend(config.proxy.iter().map(|proxy| proxy.endpoint.port));
    ports.extend(config.routes.iter().map(|route| route.target.port));
    ports
}

/// What is read while the agent runs.
fn read(config: &Config, zone: Option<OsString>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = READ.map(PathBuf::from).into();
    paths.extend(
        LINKS
            .iter()
            .filter_map(|link| folder_behind(Path::new(link))),
    );
    // SIGHUP reads them again, and a file with all that it names: a certificate that cannot be read is a fault of it.
    let sources = config.file.as_deref().into_iter();
    let sources = sources.chain(config.routes_source());
    for source in sources.chain(config.beside.iter().map(PathBuf::as_path)) {
        if source.is_dir() {
            paths.push(source.to_owned());
        } else {
            paths.push(folder_of(source));
            paths.extend(folder_behind(source));
        }
    }
    // As tzset(3) has it, `TZ` may be a path, with a colon before it.
    if let Some(zone) = zone.and_then(|zone| zone.into_string().ok()) {
        let zone = Path::new(zone.trim_start_matches(':'));
        if zone.is_absolute() {
            paths.push(folder_of(zone));
            paths.extend(folder_behind(zone));
        }
    }
    paths
}

/// Where the agent writes; folders, since what is in them is replaced.
fn written(config: &Config) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(runtime) = &config.paths.runtime {
        // It must be there to be granted. If it cannot be made, whoever takes it says why.
        let _ = DirBuilder::new()
            .recursive(true)
            .mode(crate::config::paths::RUNTIME_MODE)
            .create(runtime);
        folders.push(runtime.clone());
    }
    if let Some(audit) = &config.paths.audit {
        // A folder that comes later, with a disk that is mounted, say, can be granted by what is above it alone.
        let folder = folder_of(audit);
        folders.extend(folder.ancestors().find(|f| f.is_dir()).map(Path::to_owned));
    }
    folders
}

/// Files in a folder, a socket and a folder to make it in; nothing that could be started.
fn files() -> BitFlags<AccessFs> {
    let known = AccessFs::from_all(KNOWN);
    let never = AccessFs::Execute
        | AccessFs::MakeBlock
        | AccessFs::MakeChar
        | AccessFs::MakeFifo
        | AccessFs::MakeSym
        | AccessFs::IoctlDev;
    known & !never
}

/// A chip that is unplugged, or a watchdog whose driver comes later, is another file then, so the folder is granted.
/// Its owner and mode, and the unit's list of devices, say which of the files in it the agent may open.
fn devices(config: &Config) -> Option<PathBuf> {
    let chip = matches!(config.access.key_switch, Some(KeySwitch::Gpio { .. }));
    let chip = chip.then(|| PathBuf::from("/dev"));
    chip.or_else(|| config.watchdog.device.as_deref().map(folder_of))
}

fn device() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev
}

/// The folder that a path is in; the one we are in for a bare name.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => path.to_owned(),
    }
}

/// The folder of the file that a path leads to in the end.
fn folder_behind(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().map(|file| folder_of(&file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_one_line() {
        for (confined, said) in [
            (
                Confined::Yes {
                    abi: 7,
                    ports: Ok(vec![23, 443]),
                    writes: vec!["/run/cellgate".into(), "/var/lib/cellgate".into()],
                    reads: true,
                },
                "landlock: the kernel confines the agent (ABI 7): starts no program, writes below /run/cellgate, \
                 /var/lib/cellgate, connects by TCP to port 23, 443 alone",
            ),
            (
                Confined::Yes {
                    abi: 2,
                    ports: Err("this takes ABI 4 (Linux 6.7 or newer)"),
                    writes: Vec::new(),
                    reads: false,
                },
                "landlock: the kernel confines the agent (ABI 2): starts no program, writes nowhere, reads \
                 what the library in LD_PRELOAD may want, so anything; TCP is not confined: this takes ABI 4 (Linux 6.7 or newer)",
            ),
            (
                Confined::No("it has none".to_owned()),
                "landlock: the kernel does not confine the agent (it has none); expected Linux 5.19 or newer with \
                 CONFIG_SECURITY_LANDLOCK, and landlock in lsm=",
            ),
        ] {
            assert_eq!(confined.to_string(), said);
        }
    }

    #[test]
    fn nothing_that_is_written_can_be_started() {
        assert!(!files().contains(AccessFs::Execute));
        assert!(files().contains(AccessFs::WriteFile | AccessFs::MakeSock | AccessFs::Refer));
        assert!(!device().intersects(AccessFs::Execute | AccessFs::MakeReg));
    }

    #[test]
    fn folders_of_names_and_roots() {
        for (path, folder) in [
            ("cellgate.toml", "."),
            ("/etc/cellgate/cellgate.toml", "/etc/cellgate"),
            ("/", "/"),
        ] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }
}
