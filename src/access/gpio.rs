//! A key switch that is a line of a GPIO chip: on while the line is active.

use std::fs::File;
use std::future::pending;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;

use gpiocdev_uapi as uapi;
use gpiocdev_uapi::v2::{LineConfig, LineFlags, LineRequest, LineValues};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;

use super::switch::{Position, notices};

/// What the line is held by, as `gpioinfo` shows it.
const CONSUMER: &[u8] = b"cellgate key switch";

/// Events read at once; each has 48 bytes. What they say does not matter, since the line is looked at after them.
const EVENTS: usize = 16 * 48;

/// A line, requested anew when it is lost.
pub(super) struct GpioSwitch {
    port: Box<dyn Port>,
    held: Option<Held>,
}

/// A requested line.
struct Held {
    line: AsyncFd<File>,
    /// The kernel tells of its edges.
    edges: bool,
}

impl GpioSwitch {
    /// Line `line` of `/dev/<chip>`.
    pub(super) fn new(chip: &str, line: u32) -> GpioSwitch {
        let path = PathBuf::from("/dev").join(chip);
        GpioSwitch::on(Box::new(CharacterDevice { path, line }))
    }

    fn on(port: Box<dyn Port>) -> GpioSwitch {
        GpioSwitch { port, held: None }
    }

    /// Looks, after it has requested the line if it does not hold it. Inside a runtime.
    pub(super) fn read(&mut self) -> Position {
        match self.look() {
            Ok(true) => Position::On,
            Ok(false) => Position::Off,
            Err(error) => {
                // A chip that was unplugged comes back as another.
                self.held = None;
                Position::Unreadable(format!("{error}{}", hint(&error)))
            }
        }
    }

    fn look(&mut self) -> io::Result<bool> {
        let held = match &self.held {
            Some(held) => held,
            None => self.held.insert(request(&*self.port)?),
        };
        self.port.is_active(held.line.get_ref())
    }

    /// Whether the kernel tells of its edges; otherwise somebody has to look often.
    pub(super) fn tells(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.edges)
    }

    /// The line moved, or is lost. Safe to drop.
    pub(super) async fn moved(&mut self) {
        let Some(held) = self.held.as_ref().filter(|held| held.edges) else {
            return pending().await;
        };
        loop {
            // An error: the runtime is going down.
            let Ok(mut ready) = held.line.readable().await else {
                return pending().await;
            };
            match held.line.get_ref().read(&mut [0; EVENTS]) {
                Ok(1..) => return,
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The chip is gone.
                Ok(0) | Err(_) => {
                    self.held = None;
                    return;
                }
            }
        }
    }
}

/// Requests the line, with edges if the chip can tell of them.
fn request(port: &dyn Port) -> io::Result<Held> {
    let (line, edges) = match port.request(true) {
        Ok(line) => (line, true),
        // The chip has no interrupts. Source: `edge_detector_setup` of gpiolib-cdev.c.
        Err(error) if is(&error, Errno::ENXIO) || is(&error, Errno::EOPNOTSUPP) => {
            (port.request(false)?, false)
        }
        Err(error) => return Err(error),
    };
    fcntl(line.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let line = notices(line)?;
    Ok(Held { line, edges })
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(errno)
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY) => ", another program holds the line; `gpioinfo` names it",
        Some(Errno::EINVAL) => ", the chip has no such line, or the kernel is older than 5.10",
        Some(Errno::EACCES) => ", the agent's user may not open it; see its group and udev rule",
        _ => "",
    }
}

/// What the kernel does for one line. The tests have another, since few machines have a chip.
trait Port {
    /// Takes the line as an input. Reading what is given tells of edges, if they are asked for.
    fn request(&self, edges: bool) -> io::Result<File>;

    /// Whether the line is active.
    fn is_active(&self, line: &File) -> io::Result<bool>;
}

/// The character device of Linux, version 2 of its interface.
struct CharacterDevice {
    path: PathBuf,
    line: u32,
}

impl Port for CharacterDevice {
    fn request(&self, edges: bool) -> io::Result<File> {
        let chip = File::open(&self.path)?;
        let mut flags = LineFlags::INPUT;
        if edges {
            flags |= LineFlags::EDGE_RISING | LineFlags::EDGE_FALLING;
        }
        let request = LineRequest {
            offsets: uapi::v2::Offsets::from_slice(&[self.line]),
            consumer: uapi::Name::from_bytes(CONSUMER),
            config: LineConfig {
                flags,
                ..LineConfig::default()
            },
            num_lines: 1,
            ..LineRequest::default()
        };
        uapi::v2::get_line(&chip, request).map_err(from_uapi)
    }

    fn is_active(&self, line: &File) -> io::Result<bool> {
        let mut values = LineValues { bits: 0, mask: 1 };
        uapi::v2::get_line_values(line, &mut values).map_err(from_uapi)?;
        Ok(values.bits & 1 == 1)
    }
}

fn from_uapi(error: uapi::Error) -> io::Error {
    match error {
        uapi::Error::Os(errno) => io::Error::from_raw_os_error(errno.0),
        uapi::Error::UnderRead(error) => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::fs;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::process::Command;
    use std::rc::Rc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    /// A chip in memory: a socket stands for the line's descriptor.
    #[derive(Default)]
    struct Chip {
        active: Cell<bool>,
        error: Cell<Option<Errno>>,
        no_interrupts: bool,
        events: RefCell<Option<UnixStream>>,
        requests: Cell<u32>,
    }

    impl Chip {
        fn turn(&self, active: bool) {
            self.active.set(active);
            let mut events = self.events.borrow_mut();
            let line = events.as_mut().expect("the line is requested");
            line.write_all(&[0; 48]).expect("somebody holds the line");
        }

        fn check(&self) -> io::Result<()> {
            match self.error.get() {
                Some(error) => Err(error.into()),
                None => Ok(()),
            }
        }
    }

    impl Port for Rc<Chip> {
        fn request(&self, edges: bool) -> io::Result<File> {
            self.check()?;
            if edges && self.no_interrupts {
                return Err(Errno::ENXIO.into());
            }
            self.requests.set(self.requests.get() + 1);
            let (events, line) = UnixStream::pair()?;
            *self.events.borrow_mut() = Some(events);
            Ok(File::from(OwnedFd::from(line)))
        }

        fn is_active(&self, _: &File) -> io::Result<bool> {
            self.check()?;
            Ok(self.active.get())
        }
    }

    fn switch(chip: &Rc<Chip>) -> GpioSwitch {
        GpioSwitch::on(Box::new(Rc::clone(chip)))
    }

    fn unreadable(position: Position) -> String {
        match position {
            Position::Unreadable(error) => error,
            Position::On | Position::Off => panic!("{position:?}"),
        }
    }

    #[tokio::test]
    async fn the_kernel_tells_of_each_edge() {
        let chip = Rc::new(Chip::default());
        let mut switch = switch(&chip);
        assert_eq!(switch.read(), Position::Off);
        assert!(switch.tells());
        for active in [true, false, true] {
            assert!(switch.moved().now_or_never().is_none());
            chip.turn(active);
            switch.moved().await;
            let position = if active { Position::On } else { Position::Off };
            assert_eq!(switch.read(), position);
        }
        assert_eq!(chip.requests.get(), 1);
    }

    #[tokio::test]
    async fn many_edges_are_one_look() {
        let chip = Rc::new(Chip::default());
        let mut switch = switch(&chip);
        switch.read();
        for turn in 0..16 {
            chip.turn(turn % 2 == 0);
        }
        switch.moved().await;
        assert!(switch.moved().now_or_never().is_none());
        assert_eq!(switch.read(), Position::Off);
    }

    #[tokio::test]
    async fn a_chip_without_interrupts_is_looked_at() {
        let chip = Rc::new(Chip {
            no_interrupts: true,
            ..Chip::default()
        });
        let mut switch = switch(&chip);
        assert_eq!(switch.read(), Position::Off);
        assert!(!switch.tells());
        assert!(switch.moved().now_or_never().is_none());
        chip.active.set(true);
        assert_eq!(switch.read(), Position::On);
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_had_is_tried_again() {
        let chip = Rc::new(Chip::default());
        let mut switch = switch(&chip);
        for (error, words) in [
            (Errno::ENOENT, "No such file"),
            (Errno::EBUSY, "another program holds the line"),
            (Errno::EINVAL, "the chip has no such line"),
            (Errno::EACCES, "udev"),
        ] {
            chip.error.set(Some(error));
            let said = unreadable(switch.read());
            assert!(said.contains(words), "{said}");
            assert!(switch.moved().now_or_never().is_none());
        }
        chip.error.set(None);
        chip.active.set(true);
        assert_eq!(switch.read(), Position::On);
    }

    #[tokio::test]
    async fn a_chip_that_is_unplugged_is_seen_and_comes_back() {
        let chip = Rc::new(Chip::default());
        chip.active.set(true);
        let mut switch = switch(&chip);
        assert_eq!(switch.read(), Position::On);
        chip.error.set(Some(Errno::ENODEV));
        *chip.events.borrow_mut() = None;
        switch.moved().await;
        unreadable(switch.read());
        chip.error.set(None);
        assert_eq!(switch.read(), Position::On);
        assert_eq!(chip.requests.get(), 2);
    }

    #[tokio::test]
    async fn what_is_no_chip_is_unreadable() {
        for (chip, words) in [
            ("gpiochip4711", "No such file"),
            ("null", "Inappropriate ioctl"),
        ] {
            let said = unreadable(GpioSwitch::new(chip, 0).read());
            assert!(said.contains(words), "{chip}: {said}");
        }
    }

    /// A chip of the kernel's simulator. Source: Documentation/admin-guide/gpio/gpio-sim.rst.
    struct Simulated {
        name: String,
        pull: PathBuf,
    }

    const SIMULATOR: &str = "/sys/kernel/config/gpio-sim";

    impl Simulated {
        fn new() -> Option<Simulated> {
            let _ = Command::new("modprobe").arg("gpio-sim").output();
            let device = Path::new(SIMULATOR).join("cellgate-test");
            let bank = device.join("bank0");
            fs::create_dir(&device).ok()?;
            fs::create_dir(&bank).ok()?;
            fs::write(bank.join("num_lines"), "2").ok()?;
            fs::write(device.join("live"), "1").ok()?;
            let read = |path: PathBuf| Some(fs::read_to_string(path).ok()?.trim().to_owned());
            let name = read(bank.join("chip_name"))?;
            let pull = Path::new("/sys/devices/platform")
                .join(read(device.join("dev_name"))?)
                .join(&name)
                .join("sim_gpio1/pull");
            Some(Simulated { name, pull })
        }

        fn pull(&self, up: bool) {
            let word = if up { "pull-up" } else { "pull-down" };
            fs::write(&self.pull, word).expect("the simulator takes it");
        }
    }

    impl Drop for Simulated {
        fn drop(&mut self) {
            let device = Path::new(SIMULATOR).join("cellgate-test");
            let _ = fs::write(device.join("live"), "0");
            let _ = fs::remove_dir(device.join("bank0"));
            let _ = fs::remove_dir(device);
        }
    }

    #[tokio::test]
    async fn a_line_of_the_kernel_is_read_and_told_of() {
        let Some(chip) = Simulated::new() else {
            println!("SKIPPED: key switch on a real GPIO line: this kernel has no gpio-sim");
            return;
        };
        chip.pull(false);
        let mut switch = GpioSwitch::new(&chip.name, 1);
        assert_eq!(switch.read(), Position::Off);
        assert!(switch.tells());
        for (up, position) in [(true, Position::On), (false, Position::Off)] {
            chip.pull(up);
            let told = timeout(Duration::from_secs(5), switch.moved()).await;
            assert!(told.is_ok(), "no edge");
            assert_eq!(switch.read(), position);
        }
        let mut second = GpioSwitch::new(&chip.name, 1);
        assert!(unreadable(second.read()).contains("another program holds the line"));
        let mut third = GpioSwitch::new(&chip.name, 2);
        assert!(unreadable(third.read()).contains("the chip has no such line"));
    }
}
