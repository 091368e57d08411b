//! `[proxy]`: the HTTP proxy between the gateway and the internet.

use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::document::Table;
use super::endpoint::Endpoint;
use super::except::{Except, plain};
use super::fault::{Faults, Misfit, Place, quoted};
use crate::limits::{EXCEPTS_MAX, PROXY_LOGIN_MAX};
use crate::secret::Secret;

/// The port of a proxy whose URL names none. Source: RFC 9110, 4.2.1 and 4.2.2.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

const SHAPE: &str = "http://user:password@host:port, or https";
const ADVICE: &str = "write for example \"http://proxy.example:3128\"";
const EXAMPLE: &str = "write url = \"http://proxy.example:3128\"";

/// An HTTP proxy that is asked to CONNECT.
#[derive(Debug)]
pub struct Proxy {
    /// The proxy itself.
    pub endpoint: Endpoint,
    /// It is reached by TLS (`https://`).
    pub tls: bool,
    /// The value of `Proxy-Authorization`, with its scheme.
    pub login: Option<Secret>,
    /// What is reached without it.
    pub except: Vec<Except>,
}

impl Proxy {
    /// Whether `host`, a name or an address as it would be dialled, is reached through the proxy. No name is
    /// resolved for it: an excepted network covers addresses alone.
    pub fn applies(&self, host: &str) -> bool {
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = plain(inner.unwrap_or(host));
        let address = host
            .parse::<IpAddr>()
            .ok()
            .map(|address| address.to_canonical());
        !self.except.iter().any(|except| except.has(&host, address))
    }

    /// The proxy of a URL. Whatever is wrong with it, its text may hold a password and is never repeated.
    pub(super) fn parse(url: &str) -> Result<Proxy, Misfit> {
        let (tls, rest) = match url.split_once("://") {
            // A slash is a slip in the scheme.
            None if url.contains('/') => return Err(unusable("a broken scheme", ADVICE)),
            None => (false, url),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => {
                return Err(unusable(
                    "another scheme",
                    "cellgate speaks to HTTP proxies alone, and not to SOCKS",
                ));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A password with an "@" of its own is common, and the host has none.
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(self::login(login)?), host),
            None => (None, rest),
        };
        let port = if tls { HTTPS_PORT } else { HTTP_PORT };
        // Its own reason would repeat the text.
        let endpoint = Endpoint::parse_or(host, port).map_err(|_| {
            unusable(
                "no host and port behind the scheme and the credentials",
                ADVICE,
            )
        })?;
        Ok(Proxy {
            endpoint,
            tls,
            login,
            except: Vec::new(),
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.endpoint)
    }
}

fn unusable(what: &str, advice: &str) -> Misfit {
    Misfit::new(format!("a URL (not shown) with {what}"), SHAPE, advice)
}

/// `user:password`, percent-encoded, as the value of `Proxy-Authorization`. Source: RFC 7617, 2.
fn login(text: &str) -> Result<Secret, Misfit> {
    let broken = |what: &str| {
        let advice = "write \"%40\" for \"@\", \"%3A\" for \":\" and \"%25\" for \"%\"";
        unusable(what, advice)
    };
    if text.len() > PROXY_LOGIN_MAX {
        return Err(broken(&format!(
            "credentials of more than {PROXY_LOGIN_MAX} bytes"
        )));
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let mut both = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    decode(user, &mut both).ok_or_else(|| broken("a user name that is broken"))?;
    if both.contains(&b':') {
        return Err(broken("a colon in the user name"));
    }
    both.push(b':');
    decode(password, &mut both).ok_or_else(|| broken("a password that is broken"))?;
    const SCHEME: &str = "Basic ";
    // With room for all of it: growing would leave copies behind.
    let mut value = String::with_capacity(SCHEME.len() + BASE64.encode_len(both.len()));
    value.push_str(SCHEME);
    BASE64.encode_append(&both, &mut value);
    Ok(Secret::new(value))
}

/// Appends the bytes of a percent-encoded text; nothing if a sequence is broken or a control character comes out.
fn decode(text: &str, into: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(high << 4 | low).ok()?
        } else {
            byte
        };
        if byte.is_ascii_control() {
            return None;
        }
        into.push(byte);
    }
    Some(())
}

/// What `[proxy]` says.
pub(super) fn read(mut table: Table<'_>, faults: &mut Faults) -> Option<Proxy> {
    if !table.has("url") && table.is_certain() {
        let misfit = Misfit::new("nothing", "the URL of the proxy", EXAMPLE);
        faults.add(misfit.at(table.place_of("url")));
    }
    let url = table.text("url", "http://proxy.example:3128", faults);
    let proxy = url.and_then(|(url, place)| {
        let url = Zeroizing::new(url);
        faults.keep(place, Proxy::parse(&url))
    });
    let mut except = Vec::new();
    for (text, place) in table.texts("except", "localhost", EXCEPTS_MAX, faults) {
        let parsed = Except::parse(&text).ok_or_else(|| {
            // A URL at the wrong key, perhaps.
            let got = match text.contains('@') {
                true => "a text (not shown) with \"@\"".to_owned(),
                false => quoted(&text),
            };
            no_except(got)
        });
        except.extend(faults.keep(place, parsed));
    }
    table.finish(faults);
    Some(Proxy { except, ..proxy? })
}

/// The proxy of the environment: the values of `HTTPS_PROXY` and `NO_PROXY`.
pub(super) fn of_variables(
    (url, place): (Zeroizing<String>, Place),
    except: Option<(String, Place)>,
    faults: &mut Faults,
) -> Option<Proxy> {
    let mut proxy = faults.keep(place, Proxy::parse(&url));
    let (text, place) = except.unwrap_or((String::new(), Place::Whole));
    let items = text.split([',', ' ']).filter(|item| !item.is_empty());
    for (index, item) in items.enumerate() {
        let parsed = match Except::parse(item) {
            _ if index == EXCEPTS_MAX => Err(no_except(format!("more than {EXCEPTS_MAX} entries"))),
            Some(except) => Ok(except),
            None => Err(no_except(format!("entry {} (not shown)", index + 1))),
        };
        let parsed = faults.keep(place.clone(), parsed);
        if index == EXCEPTS_MAX {
            break;
        }
        if let (Some(proxy), Some(except)) = (&mut proxy, parsed) {
            proxy.except.push(except);
        }
    }
    proxy
}

fn no_except(got: impl Into<String>) -> Misfit {
    Misfit::new(
        got,
        "a name, an address, a network or *",
        "write for example \"localhost\", \"example.com\" or \"10.0.0.0/8\"",
    )
}
