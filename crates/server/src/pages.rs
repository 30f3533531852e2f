//! Pages that a program carries in its binary, served as files: the console, and what a program
//! that embeds the server adds.
//!
//! They may load nothing from anywhere else and run no script that stands in the page itself
//! (Content Security Policy Level 3).

use std::net::Ipv6Addr;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode};

/// One file of a page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Where it is: `/`, `/app.js`.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// Where the scripts of a page may connect to besides the address that the page is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectsTo {
    /// Nowhere.
    OwnAddress,
    /// Also to this port of the same host, for a page on one port that tries out another.
    OwnHostAndPort(u16),
}

/// Routes that serve these pages, to be merged into others.
///
/// Browsers ask each time whether a page has changed, so that a new version of the program is seen
/// at once, and are answered without the page if it has not.
pub fn pages<S: Clone + Send + Sync + 'static>(pages: &[Page], connects: ConnectsTo) -> Router<S> {
    let serve = |router: Router<S>, page: &Page| {
        let served = Arc::new(Served { page: *page, tag: OnceLock::new(), connects });
        router.route(page.path, get(async move |headers: HeaderMap| served.answer(&headers)))
    };
    pages.iter().fold(Router::new(), serve)
}

struct Served {
    page: Page,
    /// Made when somebody asks: until then the page's bytes are not even in memory.
    tag: OnceLock<HeaderValue>,
    connects: ConnectsTo,
}

impl Served {
    fn answer(&self, request: &HeaderMap) -> Response {
        let own = self.tag.get_or_init(|| tag(self.page.bytes));
        let is_known = request.get(IF_NONE_MATCH).is_some_and(|tag| tag == own);
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(CONTENT_TYPE, self.page.media_type)], self.page.bytes).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, own.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy(request));
        response
    }

    fn policy(&self, request: &HeaderMap) -> HeaderValue {
        let further = match self.connects {
            ConnectsTo::OwnAddress => String::new(),
            ConnectsTo::OwnHostAndPort(port) => further_sources(request, port),
        };
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'{further}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).expect("an authority is ASCII without control characters")
    }
}

/// The same host under another port, as sources of a policy; nothing if the host is not known, and any
/// host under that port if a policy cannot name it.
fn further_sources(request: &HeaderMap, port: u16) -> String {
    let host = request.get(HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    // Commas and semicolons, which an authority may have, would end a source or a policy.
    let is_plain =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    match authority.as_ref().map(Authority::host) {
        Some(host) if is_plain(host) => format!(" ws://{host}:{port} wss://{host}:{port}"),
        // A policy has no way to write such an address: browsers drop the source.
        Some(host) if is_ipv6(host) => format!(" ws://*:{port} wss://*:{port}"),
        Some(_) | None => String::new(),
    }
}

fn is_ipv6(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn tag(bytes: &[u8]) -> HeaderValue {
    let text = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest(&SHA256, bytes).as_ref()[..16]));
    HeaderValue::try_from(text).expect("base64url is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(connects: ConnectsTo) -> Served {
        let page = Page { path: "/", media_type: "text/html", bytes: b"<!doctype html>" };
        Served { page, tag: OnceLock::new(), connects }
    }

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_page_that_the_browser_has_is_not_sent_again() {
        let served = served(ConnectsTo::OwnAddress);
        let first = served.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(served.answer(&headers(IF_NONE_MATCH, &tag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(served.answer(&headers(IF_NONE_MATCH, "\"old\"")).status(), StatusCode::OK);
    }

    #[test]
    fn a_page_loads_nothing_from_elsewhere_and_runs_no_script_of_its_own_text() {
        let response = served(ConnectsTo::OwnAddress).answer(&HeaderMap::new());
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(policy.contains("connect-src 'self'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn another_port_of_the_same_host_is_named_if_a_policy_can_name_it() {
        let served = served(ConnectsTo::OwnHostAndPort(8000));
        for (host, expected) in [
            ("127.0.0.1:8001", "connect-src 'self' ws://127.0.0.1:8000 wss://127.0.0.1:8000;"),
            ("[::1]:8001", "connect-src 'self' ws://*:8000 wss://*:8000;"),
            ("[::1;x]:8001", "connect-src 'self';"),
            ("[v1.a]:8001", "connect-src 'self';"),
            ("a;script-src", "connect-src 'self';"),
            ("a,b:1", "connect-src 'self';"),
        ] {
            let response = served.answer(&headers(HOST, host));
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains(expected), "{host}: {policy}");
        }
    }
}
