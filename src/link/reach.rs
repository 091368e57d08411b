//! TCP to the first of a name's addresses that answers (Happy Eyeballs, RFC 8305).
//!
//! Is responsible for: the order of the addresses, the attempts side by side, and for what all of them said when
//! none worked. An IPv6 address that leads nowhere costs [`ATTEMPT_DELAY`], not a time-out.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Timeout, timeout};

use super::room::Room;
use crate::limits::{ADDRESSES_MAX, ATTEMPT_DELAY, DIAL_ATTEMPT, LINK_UNSENT, PONG_LIMIT};
use crate::socket;

/// What every address said when none of them worked.
#[derive(Debug)]
pub struct Unreached(Vec<(SocketAddr, io::Error)>);

/// Connects to the first of the addresses that answers; the others are dropped. Ends within [`DIAL_ATTEMPT`] and
/// [`ATTEMPT_DELAY`] for each of the [`ADDRESSES_MAX`] addresses that are tried at most.
///
/// # Errors
/// What each address said.
pub async fn reach(
    addresses: Vec<SocketAddr>,
    room: &Room,
) -> Result<(TcpStream, SocketAddr), Unreached> {
    race(order(addresses), |address| connect(address, room)).await
}

async fn connect(address: SocketAddr, room: &Room) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket::tune(&socket, Some(PONG_LIMIT))?;
    room.bound(&socket)?;
    socket::bound_unsent(&socket, LINK_UNSENT)?;
    socket.connect(address).await
}

/// The families in turn, IPv6 first, each in the order of the resolver; at most [`ADDRESSES_MAX`].
/// Source: RFC 8305, 4.
fn order(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES_MAX {
        let turn: Vec<SocketAddr> = v6.next().into_iter().chain(v4.next()).collect();
        if turn.is_empty() {
            break;
        }
        for address in turn {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// Starts an attempt for each address in turn: the next one when one fails, or when [`ATTEMPT_DELAY`] has passed.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<(T, SocketAddr), Unreached>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter();
    let mut running: Vec<(SocketAddr, Pin<Box<Timeout<F>>>)> = Vec::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let started = timeout(DIAL_ATTEMPT, attempt(address));
            running.push((address, Box::pin(started)));
        } else if running.is_empty() {
            return Err(Unreached(failed));
        }
        let first = first_of(&mut running);
        let ended = match waiting.len() {
            0 => Some(first.await),
            _ => timeout(ATTEMPT_DELAY, first).await.ok(),
        };
        match ended {
            // None of them has ended: the next one runs beside them.
            None => {}
            Some((address, Ok(connected))) => return Ok((connected, address)),
            Some((address, Err(error))) => failed.push((address, error)),
        }
    }
}

/// Awaits the end of any attempt and takes it out.
async fn first_of<T, F>(
    running: &mut Vec<(SocketAddr, Pin<Box<Timeout<F>>>)>,
) -> (SocketAddr, io::Result<T>)
where
    F: Future<Output = io::Result<T>>,
{
    poll_fn(|cx| {
        for at in 0..running.len() {
            if let Poll::Ready(ended) = running[at].1.as_mut().poll(cx) {
                let (address, _) = running.remove(at);
                let ended = ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                return Poll::Ready((address, ended));
            }
        }
        Poll::Pending
    })
    .await
}

impl Unreached {
    fn any(&self, kinds: &[io::ErrorKind]) -> bool {
        self.0
            .iter()
            .any(|(_, error)| kinds.contains(&error.kind()))
    }

    fn advice(&self) -> &'static str {
        use io::ErrorKind as Kind;
        if self.any(&[Kind::ConnectionRefused, Kind::ConnectionReset]) {
            "the machine or a firewall there turns us away: check host, port and firewall"
        } else if self.any(&[Kind::TimedOut]) {
            "nobody answers: check the uplink and the firewall"
        } else if self.any(&[Kind::NetworkUnreachable, Kind::HostUnreachable]) {
            "this gateway has no route there: check the cable, the uplink and the default route"
        } else {
            "check the uplink and the firewall"
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.0.split_first() else {
            return write!(f, "no TCP connection: there is no address to try");
        };
        let said = |error: &io::Error| error.to_string();
        let alike = others
            .iter()
            .all(|(_, error)| said(error) == said(&first.1));
        if alike {
            write!(f, "no TCP connection to {}", first.0)?;
            for (address, _) in others {
                write!(f, " or {address}")?;
            }
            write!(f, " ({})", first.1)?;
        } else {
            write!(f, "no TCP connection to {} ({})", first.0, first.1)?;
            for (address, error) in others {
                write!(f, " or {address} ({error})")?;
            }
        }
        write!(f, "; {}", self.advice())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        let parse = |text: &&str| text.parse().expect("an address");
        texts.iter().map(parse).collect()
    }

    /// What an address of a simulated network does.
    enum Does {
        Answers(u64),
        Refuses(u64),
        Nothing,
    }

    struct Dropped<'a>(&'a RefCell<Vec<u16>>, u16);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }

    /// Races ports 1, 2, 3 …, of which each does what is told in milliseconds; gives which one won or what was
    /// said, the time, when each was tried, and who was dropped.
    async fn raced(network: &[Does]) -> (Result<u16, Unreached>, u128, Vec<u128>, Vec<u16>) {
        let start = Instant::now();
        let tried = RefCell::new(Vec::new());
        let dropped = RefCell::new(Vec::new());
        let ports = 1..=u16::try_from(network.len()).expect("few");
        let addresses = ports.map(|port| ([10, 0, 0, 1], port).into()).collect();
        let won = race(addresses, |address: SocketAddr| {
            tried.borrow_mut().push(start.elapsed().as_millis());
            let guard = Dropped(&dropped, address.port());
            async move {
                let guard = guard;
                match network[usize::from(guard.1) - 1] {
                    Does::Answers(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Ok(())
                    }
                    Does::Refuses(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Err(io::ErrorKind::ConnectionRefused.into())
                    }
                    Does::Nothing => std::future::pending().await,
                }
            }
        })
        .await
        .map(|((), address)| address.port());
        let took = start.elapsed().as_millis();
        let mut gone = dropped.take();
        gone.sort_unstable();
        (won, took, tried.take(), gone)
    }

    #[test]
    fn families_take_turns_and_ipv6_is_first() {
        let given = addresses(&[
            "10.0.0.1:1",
            "10.0.0.2:1",
            "10.0.0.2:1",
            "[fd00::1]:1",
            "10.0.0.3:1",
            "[fd00::2]:1",
        ]);
        let wanted = addresses(&[
            "[fd00::1]:1",
            "10.0.0.1:1",
            "[fd00::2]:1",
            "10.0.0.2:1",
            "10.0.0.3:1",
        ]);
        assert_eq!(order(given), wanted);
        let many = (1..=100).map(|port| ([10, 0, 0, 1], port).into()).collect();
        assert_eq!(order(many).len(), ADDRESSES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_first_address_costs_the_delay_and_no_more() {
        let (won, took, tried, dropped) = raced(&[Does::Nothing, Does::Answers(20)]).await;
        assert_eq!((won.expect("the second"), took), (2, 270));
        assert_eq!(tried, [0, 250]);
        assert_eq!(dropped, [1, 2], "the loser is let go");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_starts_at_once_when_one_fails() {
        let network = [
            Does::Refuses(10),
            Does::Refuses(10),
            Does::Answers(5),
            Does::Nothing,
        ];
        let (won, took, tried, _) = raced(&network).await;
        assert_eq!((won.expect("the third"), took), (3, 25));
        assert_eq!(tried, [0, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_one_still_wins() {
        let network = [Does::Answers(400), Does::Answers(300), Does::Nothing];
        let (won, took, tried, dropped) = raced(&network).await;
        assert_eq!((won.expect("the first"), took), (1, 400));
        assert_eq!(tried, [0, 250]);
        assert_eq!(dropped, [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_and_each_address_is_named_with_what_it_said() {
        let (failed, took, ..) = raced(&[Does::Nothing, Does::Refuses(1), Does::Nothing]).await;
        let limit = DIAL_ATTEMPT + ATTEMPT_DELAY * 3;
        assert!(took <= limit.as_millis(), "{took} ms");
        let said = failed.expect_err("none").to_string();
        for part in [
            "10.0.0.1:1 (timed out)",
            "10.0.0.1:2 (connection refused)",
            "10.0.0.1:3",
        ] {
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
        assert!(said.contains("firewall"), "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_say_is_said_once() {
        let (failed, ..) = raced(&[Does::Refuses(1), Does::Refuses(1)]).await;
        let said = failed.expect_err("none").to_string();
        let wanted = "no TCP connection to 10.0.0.1:1 or 10.0.0.1:2 (connection refused); ";
        assert!(said.starts_with(wanted), "{said:?}");
    }

    #[tokio::test]
    async fn real_sockets_race_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let there = listener.local_addr().expect("bound");
        // Nobody has the address of documentation (RFC 3849): no route, or no answer.
        let mut given = addresses(&["[2001:db8::1]:443"]);
        given.push(there);
        let (stream, address) = reach(given, &Room::link()).await.expect("the second");
        assert_eq!(
            (address, stream.peer_addr().expect("connected")),
            (there, there)
        );
    }
}
