//! Who may ask: by the name that the server was called by, by the site that asks, by a token.

use std::io;
use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, StatusCode};
use walden::storage::{Clock as _, SystemClock};

use super::query::quoted;
use super::reply::{Reply, refusal};

/// What a request must show.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) token: Option<String>,
    hosts: Vec<String>,
    /// The cookie of a browser that has shown the token. Browsers share cookies between all ports of a host, so it is
    /// named after ours, and what another server there may read opens nothing but this one, until it ends.
    cookie: String,
    session: String,
}

impl Guard {
    /// # Errors
    /// There is no chance to be had.
    pub(super) fn new(token: Option<String>, hosts: Vec<String>, port: u16) -> io::Result<Self> {
        let session = SystemClock::default().random_id()?;
        let (cookie, session) = (format!("walden_session_{port}"), format!("{session:032x}"));
        Ok(Self { token, hosts, cookie, session })
    }

    /// What makes a browser one that has shown the token, for as long as this server lives.
    pub(super) fn set_cookie(&self) -> String {
        format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie, self.session)
    }

    /// Whether a request may be answered at all, whoever sends it.
    ///
    /// A page elsewhere whose name is made to point at this machine (DNS rebinding) would call it by that name;
    /// so no names are taken but those that nobody else can own. A page elsewhere that merely asks is told by what
    /// browsers say of it: its scripts could not read the answer, but the work would be done.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Box<Reply>> {
        let forbidden = |why: String| Box::new(refusal(StatusCode::FORBIDDEN, "Forbidden", &why));
        let mut hosts = headers.get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        let host = host.filter(|_| more.is_none()).and_then(|host| host.to_str().ok());
        let Some(host) = host else {
            return Err(forbidden("the header Host is missing, or is there twice".to_owned()));
        };
        if !self.is_ours(host) {
            let why = format!(
                "this server is not called {}: call it by an address or as localhost, or start it with \
                 --allow-host",
                quoted(host)
            );
            return Err(forbidden(why));
        }
        let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
        let visits = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if matches!(site, Some(b"cross-site" | b"same-site")) && !(visits && method == Method::GET)
        {
            return Err(forbidden("another site's page asks".to_owned()));
        }
        let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        let own = |origin: &str| {
            origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
        };
        match origin {
            Some(origin) if !own(origin) => Err(forbidden("another site's page asks".to_owned())),
            _ => Ok(()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = bare(host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(name).parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    /// Whether the request has the token, if one is needed.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        bearer.is_some_and(|given| same(given, token))
            || pairs.any(|(name, value)| name == self.cookie && same(value, &self.session))
    }

    /// Whether this is the token.
    pub(super) fn opens(&self, given: &str) -> bool {
        self.token.as_deref().is_some_and(|token| same(given, token))
    }
}

/// A host without its port.
fn bare(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Compares in a time that tells nothing of where they differ.
fn same(given: &str, token: &str) -> bool {
    let differs = given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn admits(pairs: &[(&'static str, &'static str)]) -> bool {
        let guard = Guard::new(None, vec!["logs.example".to_owned()], 7400).unwrap();
        guard.admit(&Method::GET, &headers(pairs)).is_ok()
    }

    #[test]
    fn names_that_only_this_machine_has() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:7400",
            "127.0.0.1",
            "[::1]:7400",
            "[::1]",
            "10.0.0.7",
            "logs.example:443",
            "LOGS.example",
        ] {
            assert!(admits(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "localhost:x",
            "logs.example.evil",
            "[::1",
            "1",
            "0x7f.1",
        ] {
            assert!(!admits(&[("host", host)]), "{host}");
        }
        assert!(!admits(&[]));
        assert!(!admits(&[("host", "localhost"), ("host", "localhost")]));
    }

    #[test]
    fn pages_elsewhere_may_not_ask() {
        let host = ("host", "localhost:7400");
        assert!(admits(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(admits(&[host, ("sec-fetch-site", "none")]));
        assert!(!admits(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!admits(&[host, ("sec-fetch-site", "same-site")]));
        // A link to here may be followed.
        assert!(admits(&[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
        assert!(admits(&[host, ("origin", "http://localhost:7400")]));
        assert!(!admits(&[host, ("origin", "http://localhost:7401")]));
        assert!(!admits(&[host, ("origin", "http://evil.example")]));
        assert!(!admits(&[host, ("origin", "null")]));
    }

    #[test]
    fn tokens() {
        let guard = Guard::new(Some("secret".to_owned()), Vec::new(), 7400).unwrap();
        let known = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_str(value).unwrap());
            guard.knows(&headers)
        };
        let session = guard.set_cookie().split(';').next().unwrap().to_owned();
        assert!(session.starts_with("walden_session_7400=") && !session.contains("secret"));
        assert!(known(AUTHORIZATION, "Bearer secret"));
        assert!(known(COOKIE, &format!("a=b; {session}; c=d")));
        assert!(!guard.knows(&headers(&[])));
        for bad in ["Bearer secre", "Bearer secrets", "secret"] {
            assert!(!known(AUTHORIZATION, bad), "{bad}");
        }
        // What another server on this machine was given opens nothing here.
        let other = Guard::new(Some("secret".to_owned()), Vec::new(), 7401).unwrap();
        let again = Guard::new(Some("secret".to_owned()), Vec::new(), 7400).unwrap();
        for bad in [
            "walden_session_7400=",
            "walden_session_7400=secret",
            "walden_token=secret",
            &other.set_cookie(),
            &again.set_cookie(),
        ] {
            assert!(!known(COOKIE, bad), "{bad}");
        }
        assert!(Guard::new(None, Vec::new(), 1).unwrap().knows(&headers(&[])));
    }
}
