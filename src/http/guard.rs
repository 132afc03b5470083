//! Who may ask over TCP: those who address this host by a loopback name and hold the token.
//!
//! The Host check keeps web pages from reaching the API by a name that suddenly resolves to 127.0.0.1 (DNS rebinding).

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::token::Token;

/// What is asked of a request that comes over TCP.
#[derive(Debug, Clone)]
pub struct Guard {
    token: Option<Token>,
    open_metrics: bool,
}

impl Guard {
    /// `None`: whoever can reach the address may ask. On a machine with several users that is all of them.
    pub fn new(token: Option<Token>) -> Self {
        Self { token, open_metrics: false }
    }

    /// Asks no token of who reads `/metrics`; the name must be a loopback one all the same.
    #[must_use]
    pub fn with_open_metrics(self, open_metrics: bool) -> Self {
        Self { open_metrics, ..self }
    }

    /// Puts the guard before every route but `/healthz` and `/readyz`, which tell nothing about mail.
    pub fn before(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, check))
    }

    fn admits(&self, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !is_loopback(host) {
            return Err(ApiError::WrongHost);
        }
        if self.open_metrics && path == "/metrics" {
            return Ok(());
        }
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match given.split_once(' ') {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim()) => Ok(()),
            _ => Err(ApiError::NoToken),
        }
    }
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if matches!(path, "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    match guard.admits(path, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// `localhost`, `127.0.0.1`, `[::1]`, each with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_names_pass() {
        for host in ["localhost", "LOCALHOST:8025", "127.0.0.1", "127.0.0.1:8025", "[::1]:8025", "127.9.9.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8025", "192.0.2.1:8025", "[2001:db8::1]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
