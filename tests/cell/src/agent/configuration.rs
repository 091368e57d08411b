//! The text of a configuration file, put together table by table.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use crate::certs::DeviceFiles;
use crate::service::Service;

/// A configuration file that is not written yet. A later table takes the place of an earlier one of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    top: String,
    tables: Vec<(String, String)>,
}

impl Configuration {
    /// An empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds lines before the first table, such as `default = "robot1"`.
    #[must_use]
    pub fn top(mut self, lines: &str) -> Self {
        self.top.push_str(lines);
        self.top.push('\n');
        self
    }

    /// A table with these lines: `.table("access", "key-switch = \"/run/on\"")`.
    #[must_use]
    pub fn table(mut self, name: &str, lines: &str) -> Self {
        let earlier = self.tables.iter_mut().find(|(known, _)| known == name);
        match earlier {
            Some((_, text)) => lines.clone_into(text),
            None => self.tables.push((name.to_owned(), lines.to_owned())),
        }
        self
    }

    /// Leaves a table out again.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.tables.retain(|(known, _)| known != name);
        self
    }

    /// `[tunnel]` for this service, whose authority stands in the file `ca`.
    #[must_use]
    pub fn tunnel(self, service: &Service, ca: &Path) -> Self {
        self.tunnel_at(&service.endpoint(), ca)
    }

    /// The same for a service at `endpoint`.
    #[must_use]
    pub fn tunnel_at(self, endpoint: &str, ca: &Path) -> Self {
        self.table(
            "tunnel",
            &format!("endpoint = \"{endpoint}\"\nca = \"{}\"", ca.display()),
        )
    }

    /// `[routes.NAME]` with a target and further lines, such as `stall = "2s"`.
    #[must_use]
    pub fn route(self, name: &str, target: SocketAddr, lines: &str) -> Self {
        self.table(
            &format!("routes.{name}"),
            &format!("target = \"{target}\"\n{lines}"),
        )
    }

    /// `thing` and `[notify]` for a broker on this machine. The agent offers the ALPN name on port 443 alone.
    #[must_use]
    pub fn notify(self, port: u16, device: &DeviceFiles) -> Self {
        self.notify_at(&format!("localhost:{port}"), device)
    }

    /// The same for a broker at `host:port`.
    #[must_use]
    pub fn notify_at(self, endpoint: &str, device: &DeviceFiles) -> Self {
        let lines = format!(
            "endpoint = \"{endpoint}\"\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"",
            device.certificate.display(),
            device.key.display(),
            device.ca.display()
        );
        self.top(&format!("thing = \"{}\"", device.thing))
            .table("notify", &lines)
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.top)?;
        for (name, lines) in &self.tables {
            write!(f, "\n[{name}]\n{}\n", lines.trim_end())?;
        }
        f.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_behind_the_top_and_are_replaced() {
        let device = DeviceFiles {
            thing: "cell-7".into(),
            ca: "/ca.pem".into(),
            certificate: "/d.crt".into(),
            key: "/d.key".into(),
        };
        let text = Configuration::new()
            .route("robot1", ([127, 0, 0, 1], 23).into(), "stall = \"2s\"")
            .table("access", "windows = []")
            .notify(8883, &device)
            .table("access", "key-switch = \"/on\"")
            .table("places", "tunnels = 1")
            .without("places")
            .to_string();
        assert_eq!(
            text,
            "thing = \"cell-7\"\n\n[routes.robot1]\ntarget = \"127.0.0.1:23\"\nstall = \"2s\"\n\n[access]\n\
             key-switch = \"/on\"\n\n[notify]\nendpoint = \"localhost:8883\"\ncertificate = \"/d.crt\"\n\
             key = \"/d.key\"\nca = \"/ca.pem\"\n\n"
        );
    }
}
