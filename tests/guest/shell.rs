//! A root shell in the guest.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// The shell that `tests/qemu/image` puts on a virtio port: commands go in, what they say comes out.
pub(crate) struct Shell {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// How many commands there were: each ends with its number, so that the rest of one that was given up is told from
    /// the answer to the next.
    commands: u32,
}

/// What a command said, on both outputs.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Shell {
    pub(crate) async fn connect(socket: &Path) -> io::Result<Shell> {
        let (reader, writer) = UnixStream::connect(socket).await?.into_split();
        Ok(Shell {
            reader: BufReader::new(reader),
            writer,
            commands: 0,
        })
    }

    /// Runs a script. While the guest boots, it waits there to be read.
    pub(crate) async fn run(&mut self, script: &str, limit: Duration) -> io::Result<Said> {
        self.commands += 1;
        let end = format!("END-{} ", self.commands);
        let script =
            format!("{{ {script}\n}} </dev/null 2>&1; code=$?; echo; echo \"{end}$code\"\n");
        self.writer.write_all(script.as_bytes()).await?;
        let late = || io::Error::other(format!("no answer within {limit:?} to: {script}"));
        let said = timeout(limit, self.until(&end)).await;
        said.map_err(|_| late())?
    }

    async fn until(&mut self, end: &str) -> io::Result<Said> {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::Error::other("the guest is gone"));
            }
            let line = String::from_utf8_lossy(&line);
            if let Some(code) = line.strip_prefix(end) {
                return Ok(Said {
                    code: code.trim().parse().map_err(io::Error::other)?,
                    text: text.trim().to_owned(),
                });
            }
            if line.starts_with("END-") {
                text.clear();
            } else {
                text.push_str(&line);
            }
        }
    }
}
