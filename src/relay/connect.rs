//! The TCP connection to a controller: bounded attempts beside the loop, never in it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::gate::{Admission, Gate};
use super::seat::{Seat, Seats};
use super::wire::Wire;
use crate::config::{Host, Route, Source, Target};
use crate::limits::{
    CONNECT_ATTEMPT, CONNECT_LIMIT, CONTROLLER_SEGMENT, REFUSED_LIMIT, SEATS_MAX,
    USER_TIMEOUT_MARGIN, USER_TIMEOUT_MAX,
};
use crate::resolve::{self, ResolveError};
use crate::socket;

/// The first wait after a refusal; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Why a controller could not be reached.
#[derive(Debug)]
pub enum ConnectError {
    /// The predecessor on an exclusive route did not end in time.
    Busy,
    /// No seat became free in time.
    Full,
    /// The name has no address.
    Resolve(ResolveError),
    /// Nobody answered.
    Timeout,
    /// The last attempt failed like this.
    Failed(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Busy => write!(
                f,
                "the connection before still writes out its last bytes, and the route's limit of connections allows no other"
            ),
            ConnectError::Full => write!(
                f,
                "the gateway has all the {SEATS_MAX} connections to controllers that it may have; those that still write out their last bytes count too"
            ),
            ConnectError::Resolve(error) => write!(f, "its name {error}; or use an address"),
            ConnectError::Timeout => write!(
                f,
                "no answer; is the controller switched on, its cable in, and the address right?"
            ),
            ConnectError::Failed(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                write!(
                    f,
                    "it refuses the connection; is the controller ready, the port right, and a terminal free?"
                )
            }
            ConnectError::Failed(error) => write!(f, "{error}; check route, cable and address"),
        }
    }
}

/// Reaches a route's target. Ends within [`CONNECT_LIMIT`], whatever the network does; a target that
/// refuses is tried again for [`REFUSED_LIMIT`].
///
/// # Errors
/// Why the last attempt failed.
pub async fn connect(
    route: Arc<Route>,
    gate: Rc<Gate>,
    seats: Rc<Seats>,
) -> Result<Wire, ConnectError> {
    let start = Instant::now();
    let passage = timeout_at(
        start + CONNECT_LIMIT,
        poll_fn(|cx| Admission::poll_enter(&gate, cx)),
    )
    .await
    .map_err(|_| ConnectError::Busy)?;
    let seat = timeout_at(start + CONNECT_LIMIT, poll_fn(|cx| seats.poll_take(cx)))
        .await
        .map_err(|_| ConnectError::Full)?;
    let mut wait = FIRST_WAIT;
    loop {
        let error = match timeout_at(start + CONNECT_LIMIT, attempt(&route, &seat)).await {
            Err(_) => return Err(ConnectError::Timeout),
            Ok(Ok(stream)) => return Ok(Wire::new(stream, seat, passage)),
            Ok(Err(error)) => error,
        };
        let limit = match error {
            ConnectError::Timeout => CONNECT_LIMIT,
            ConnectError::Busy
            | ConnectError::Full
            | ConnectError::Resolve(_)
            | ConnectError::Failed(_) => REFUSED_LIMIT,
        };
        if start.elapsed() + wait >= limit {
            return Err(error);
        }
        sleep(wait).await;
        wait *= 2;
    }
}

async fn attempt(route: &Route, seat: &Seat) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::Timeout;
    for address in addresses(&route.target).await? {
        last = match timeout(CONNECT_ATTEMPT, connect_to(route, seat, address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => ConnectError::Failed(error),
            Err(_) => ConnectError::Timeout,
        };
    }
    Err(last)
}

async fn connect_to(route: &Route, seat: &Seat, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let user_timeout = Some(route.stall + USER_TIMEOUT_MARGIN);
    socket::tune(
        &socket,
        user_timeout.filter(|time| *time <= USER_TIMEOUT_MAX),
    )?;
    seat.bound(&socket)?;
    socket::bound_segments(&socket, CONTROLLER_SEGMENT)?;
    match &route.source {
        None => {}
        Some(Source::Address(ip)) => socket.bind(SocketAddr::new(*ip, 0))?,
        Some(Source::Interface(name)) => socket.bind_device(Some(name.as_bytes()))?,
    }
    socket.connect(address).await
}

async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
    let port = target.port;
    let name = match &target.host {
        Host::V4(ip) => return Ok(vec![(*ip, port).into()]),
        Host::V6(ip) => return Ok(vec![(*ip, port).into()]),
        // RFC 6761: always the loopback; no resolver is asked.
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
            return Ok(vec![
                (IpAddr::from(Ipv4Addr::LOCALHOST), port).into(),
                (IpAddr::from(Ipv6Addr::LOCALHOST), port).into(),
            ]);
        }
        Host::Name(name) => name,
    };
    resolve::addresses(&resolve::CONTROLLERS, name, port)
        .await
        .map_err(ConnectError::Resolve)
}
