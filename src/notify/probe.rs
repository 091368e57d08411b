//! A login at the broker and nothing else, for `cellgate check`.
//!
//! Nothing is lost by it: the session is the same, nothing is subscribed, and what the broker sends at once is
//! not acknowledged, so that it comes again to the agent. Only while no agent runs: the broker throws the
//! first of two clients with one name out.

use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ended::{Ended, Stage};
use super::{alpn_of, session};
use crate::config::Notify;
use crate::limits::{MQTT_STAGE_LIMIT, MQTT_TLS_BUFFER};
use crate::link::room::Room;
use crate::link::tls;
use crate::link::way::Way;
use crate::resolve;

/// Logs in as the agent does, and leaves; tells whether the broker knew this gateway.
///
/// # Errors
/// Why there is no login, and what to do.
pub async fn log_in(thing: &str, notify: &Notify, way: &Way) -> Result<bool, String> {
    let login = Box::pin(greet(thing, notify, way)).await;
    login.map_err(|ended| ended.to_string())
}

async fn greet(thing: &str, notify: &Notify, way: &Way) -> Result<bool, Ended> {
    let endpoint = &notify.endpoint;
    let alpn = alpn_of(endpoint.port);
    let tls = tls::client_as(&notify.extra_roots, &notify.identity, alpn)
        .map_err(|error| Ended::Bug(error.to_string()))?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| Ended::Name)?;
    let reached = way
        .reach(&resolve::BROKER, endpoint, &Room::broker())
        .await
        .map_err(Ended::Reach)?;
    let shake = TlsConnector::from(tls).connect(name, reached.stream);
    let mut stream = match timeout(MQTT_STAGE_LIMIT, shake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Ended::Tls(error)),
        Err(_) => return Err(Ended::Slow(Stage::Tls)),
    };
    stream.get_mut().1.set_buffer_limit(Some(MQTT_TLS_BUFFER));
    session::greet(stream, thing).await
}
