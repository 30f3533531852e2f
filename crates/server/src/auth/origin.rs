//! Which web pages may talk to the server (RFC 6455 §10.2, RFC 6454).

use http::header::{HOST, HeaderMap, ORIGIN};

use crate::config::Config;

/// The rules of a server. A page that may open a WebSocket may not for that reason call the HTTP
/// interface, and the other way round.
#[derive(Clone, Debug)]
pub(crate) struct OriginRules {
    /// For the address of WebSockets (`server.allowed_origins`).
    pub(crate) websocket: OriginRule,
    /// For every other address (`http.cors_origins`).
    pub(crate) http: OriginRule,
}

impl OriginRules {
    pub(crate) fn new(config: &Config) -> Self {
        let rule = |allowed: &[String]| OriginRule::new(allowed.to_vec(), config.auth.open);
        Self {
            websocket: rule(&config.server.allowed_origins),
            http: rule(&config.http.cors_origins),
        }
    }
}

/// Which origins are allowed. A request without `Origin` does not come from a page.
#[derive(Clone, Debug)]
pub(crate) struct OriginRule {
    allowed: Vec<String>,
    /// The server is open to anybody who reaches it, so pages must be this machine's own.
    loopback_only: bool,
}

impl OriginRule {
    const fn new(allowed: Vec<String>, loopback_only: bool) -> Self {
        Self { allowed, loopback_only }
    }

    /// Whether the request may go on. Exact comparison: no prefix, no suffix, no `null`.
    ///
    /// An open server also refuses a `Host` that is not this machine's name, or a page could
    /// reach it by having its own name resolve to 127.0.0.1 (DNS rebinding).
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        if self.loopback_only
            && let Some(host) = text(headers, &HOST)
            && !is_loopback(host)
        {
            return false;
        }
        match (headers.contains_key(ORIGIN), text(headers, &ORIGIN)) {
            (false, _) => true,
            (true, None) => false,
            (true, Some(origin)) => {
                let listed = self.allowed.iter().any(|allowed| allowed == origin);
                let own = origin.split_once("://").is_some_and(|(_, rest)| is_loopback(rest));
                listed || (self.loopback_only && own)
            }
        }
    }

    /// The origin to name in CORS headers, if the request's is allowed.
    pub(crate) fn named<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        text(headers, &ORIGIN).filter(|_| self.allows(headers))
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `host[:port]` is this machine by name or address.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_page_must_be_on_the_list_to_the_letter() {
        let rule = OriginRule::new(vec!["https://chat.example".to_owned()], false);
        assert!(rule.allows(&headers("rt.example", None)));
        assert!(rule.allows(&headers("rt.example", Some("https://chat.example"))));
        for hostile in [
            "https://chat.example.evil.io",
            "https://evilchat.example",
            "http://chat.example",
            "https://chat.example:8443",
            "https://rt.example",
            "http://localhost:8000",
            "null",
        ] {
            assert!(!rule.allows(&headers("rt.example", Some(hostile))), "{hostile}");
        }
    }

    #[test]
    fn an_open_server_talks_to_this_machine_alone() {
        let rule = OriginRule::new(Vec::new(), true);
        assert!(rule.allows(&headers("127.0.0.1:8000", Some("http://localhost:5173"))));
        assert!(rule.allows(&headers("[::1]:8000", None)));
        assert!(!rule.allows(&headers("127.0.0.1:8000", Some("https://evil.io"))));
        assert!(!rule.allows(&headers("evil.io:8000", Some("http://evil.io:8000"))), "rebinding");
        assert!(!rule.allows(&headers("localhost.evil.io:8000", None)));
    }
}
