//! Fetches a domain's policy over HTTPS (RFC 8461 3.3): verified TLS, no redirects, bounded in size and time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::policy::PolicyError;
use super::{Options, Policy};
use crate::net::connect::{ConnectError, connect};
use crate::net::resolve::{ResolveError, Resolver, not_global};
use crate::net::tls::{ClientTls, HandshakeError};

/// RFC 8461 3.3 leaves the limit to the sender, and suggests 64 KB.
const MOST_OCTETS: usize = 64 << 10;

/// Why there is no policy to be had where one was announced.
#[derive(Debug, Error)]
pub enum FetchError {
    #[error("{0}")]
    Resolve(#[from] ResolveError),
    #[error("{host} has the address {address}, which is {why}")]
    NotGlobal { host: String, address: IpAddr, why: String },
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("TLS with {host} failed: {source}")]
    Tls { host: String, source: HandshakeError },
    #[error("{host} broke HTTP: {source}")]
    Http { host: String, source: hyper::Error },
    #[error("{host} redirects to {to:?}; a policy must be where it belongs (RFC 8461 3.3)")]
    Redirect { host: String, to: String },
    #[error("{host} answered {status}")]
    Status { host: String, status: StatusCode },
    #[error("{host} sent {found:?}, not text/plain")]
    ContentType { host: String, found: String },
    #[error("{host} sent more than {MOST_OCTETS} octets")]
    TooLong { host: String },
    #[error("{host} sent something that isn't text")]
    NotText { host: String },
    #[error("the policy doesn't parse: {0}")]
    Parse(#[from] PolicyError),
    #[error("{host} took longer than {} s", .after.as_secs_f64())]
    TimedOut { host: String, after: Duration },
}

/// The policy that `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` has now.
pub(super) async fn fetch(resolver: &Resolver, tls: &ClientTls, options: &Options, domain: &str, id: &str) -> Result<Policy, FetchError> {
    let host = format!("mta-sts.{domain}");
    let whole = fetched(resolver, tls, options, &host);
    let timed_out = |_| FetchError::TimedOut { host: host.clone(), after: options.timeout };
    let text = tokio::time::timeout(options.timeout, whole).await.map_err(timed_out)??;
    Ok(Policy::parse(id, &text)?)
}

async fn fetched(resolver: &Resolver, tls: &ClientTls, options: &Options, host: &str) -> Result<String, FetchError> {
    let stream = reach(resolver, options, host).await?;
    let (stream, _) = tls.handshake(stream, host, false).await.map_err(|source| FetchError::Tls { host: host.to_owned(), source })?;
    get(stream, host).await
}

/// A connection to the first address that takes one.
async fn reach(resolver: &Resolver, options: &Options, host: &str) -> Result<TcpStream, FetchError> {
    let found = resolver.host_addresses(host, options.timeout).await;
    let mut failed = found.failure.map(FetchError::from);
    let limit = part_of(options.timeout, found.addresses.len());
    for address in found.addresses {
        let allowed = options.allowed_networks.iter().any(|network| network.contains(&address));
        let attempt = match not_global(address) {
            Some(why) if !allowed => Err(FetchError::NotGlobal { host: host.to_owned(), address, why }),
            _ => connect(SocketAddr::new(address, options.port), limit).await.map_err(FetchError::from),
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    Err(failed.unwrap_or_else(|| ResolveError::NoAddress { host: host.to_owned() }.into()))
}

/// How long one address may take of the fetch's time: the next one, TLS and the policy need theirs.
fn part_of(whole: Duration, addresses: usize) -> Duration {
    if addresses > 1 { whole / 4 } else { whole }
}

async fn get(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, host: &str) -> Result<String, FetchError> {
    let broken = |source| FetchError::Http { host: host.to_owned(), source };
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
    let mut driver = JoinSet::new(); // ends with this function
    driver.spawn(connection);
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = hyper::Uri::from_static("/.well-known/mta-sts.txt");
    let headers = request.headers_mut();
    if let Ok(value) = host.parse() {
        headers.insert(HOST, value);
    }
    headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
    let response = sender.send_request(request).await.map_err(broken)?;
    accept(response.status(), response.headers(), host)?;
    let body = Limited::new(response.into_body(), MOST_OCTETS).collect().await;
    let octets = match body {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(FetchError::TooLong { host: host.to_owned() }),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => return Err(broken(*source)),
            Err(_) => return Err(FetchError::NotText { host: host.to_owned() }),
        },
    };
    String::from_utf8(octets.into()).map_err(|_| FetchError::NotText { host: host.to_owned() })
}

fn accept(status: StatusCode, headers: &HeaderMap, host: &str) -> Result<(), FetchError> {
    let host = || host.to_owned();
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(256).collect::<String>());
    if status.is_redirection() {
        return Err(FetchError::Redirect { host: host(), to: text(LOCATION).unwrap_or_default() });
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status { host: host(), status });
    }
    // RFC 8461 3.2 wants text/plain; servers that name no type, or none of their own, are meant well.
    let found = text(CONTENT_TYPE).unwrap_or_default();
    let kind = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = matches!(kind.as_str(), "" | "text/plain" | "application/octet-stream");
    if fits { Ok(()) } else { Err(FetchError::ContentType { host: host(), found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_swallows_connections_leaves_time_for_the_others() {
        let whole = Duration::from_secs(10);
        assert_eq!(part_of(whole, 1), whole);
        assert!(part_of(whole, 2) * 3 < whole);
    }
}
