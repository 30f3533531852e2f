//! Who may use the operator's port: whoever shows its key, and where the server made that key
//! itself, programs on its machine.
//!
//! A browser on that machine is such a program, and does what pages of strangers tell it. So what
//! comes from a page needs the key in any case, and a page of another origin has no business here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{FORWARDED, HOST, ORIGIN, VIA};
use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use tidings_protocol::ErrorCode;

use crate::auth::{KeySource, OperatorKey};
use crate::problem::HttpError;
use crate::websocket::bearer_header;

/// How a browser says for whom it asks (W3C Fetch Metadata); `none` is its user.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What proxies say of whom they ask for (RFC 7239, RFC 9110 §7.6.3, and the names from before). One that
/// says nothing cannot be told from a program of this machine: in front of that, a key is configured.
const OF_PROXIES: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

/// What every request for the operator alone goes through.
pub(super) async fn ask_for_key(
    State(key): State<Arc<OperatorKey>>,
    request: Request,
    next: Next,
) -> Response {
    match check(&key, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(key: &OperatorKey, request: &Request) -> Result<(), HttpError> {
    let headers = request.headers();
    let host = match headers.get(HOST).map(HeaderValue::to_str) {
        Some(Ok(host)) => Some(host),
        None => request.uri().authority().map(Authority::as_str),
        Some(Err(_)) => {
            let message = "the header `Host` has characters that no host has";
            return Err(HttpError::new(ErrorCode::BadField, message));
        }
    };
    if let Some(origin) = headers.get(ORIGIN)
        && !is_of(origin.to_str().unwrap_or_default(), host)
    {
        let message = "pages of other origins may not use the operator's port; behind a proxy, let \
                       it pass the header `Host` on";
        return Err(HttpError::new(ErrorCode::OriginDenied, message));
    }
    let missing = |why: &str| Err(HttpError::new(ErrorCode::Unauthenticated, why));
    match (bearer_header(headers), key.source()) {
        (Some(shown), _) if key.is(&shown) => Ok(()),
        (Some(_), KeySource::Configured) => missing(
            "this is not the operator's key: take `auth.operator_key` of the server's configuration",
        ),
        (Some(_), KeySource::Made) => missing(
            "this is not the operator's key: it is in the file `operator-key` of the server's data directory",
        ),
        (None, KeySource::Configured) => missing(
            "the operator's port asks for its key: send `Authorization: Bearer KEY` with `auth.operator_key` of the server's configuration",
        ),
        (None, KeySource::Made) => match stranger(request, host) {
            None => Ok(()),
            Some(who) => missing(&format!(
                "{who} has to show the operator's key: send `Authorization: Bearer KEY` with what is in the file `operator-key` of the server's data directory"
            )),
        },
    }
}

/// Who asks, if it is nobody who needs no key.
fn stranger(request: &Request, host: Option<&str>) -> Option<&'static str> {
    let headers = request.headers();
    let site = headers.get(SEC_FETCH_SITE);
    if headers.contains_key(ORIGIN) || site.is_some_and(|site| site != "none") {
        return Some("a web page");
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if !peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback()) {
        return Some("who comes from another machine");
    }
    if OF_PROXIES.iter().any(|name| headers.contains_key(name)) {
        return Some("who comes through a proxy");
    }
    // A page may have had its own name resolve to this machine (DNS rebinding); such a request can
    // be without the headers above.
    let is_elsewhere = host.is_some_and(|host| !is_here(host));
    is_elsewhere.then_some("who calls the server otherwise than by a loopback address")
}

/// Whether an origin (`SCHEME://HOST:PORT`) is that of the address the request came to.
fn is_of(origin: &str, host: Option<&str>) -> bool {
    let shown = origin.split_once("://").map(|(_, rest)| rest);
    shown.zip(host).is_some_and(|(shown, host)| shown.eq_ignore_ascii_case(host))
}

/// Whether `host[:port]` is this machine by a loopback address or as `localhost`. Browsers take pages to
/// some of the other addresses, such as 0.0.0.0, without the headers that tell a page.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::config::{AuthSection, Secret};

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn configured() -> OperatorKey {
        let operator_key = Some(Secret::new(KEY.to_owned()));
        let auth = AuthSection { operator_key, ..AuthSection::default() };
        OperatorKey::configured(&auth).unwrap().unwrap()
    }

    /// What the request of this peer with these headers gets; `*` is the key.
    fn answer(key: &OperatorKey, peer: &str, headers: &[(&str, &str)]) -> Option<ErrorCode> {
        let mut request = Request::get("/v1/groups");
        for (name, value) in headers {
            request = request.header(*name, value.replace('*', key.secret().expose()));
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        check(key, &request).err().map(|HttpError(error)| error.code)
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:8001");
    const SHOWN: (&str, &str) = ("authorization", "Bearer *");

    #[test]
    fn programs_of_this_machine_need_a_configured_key_and_not_a_made_one() {
        for (key, expected) in
            [(configured(), Some(ErrorCode::Unauthenticated)), (OperatorKey::for_this_run(), None)]
        {
            for host in ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "LOCALHOST", "127.1.2.3"]
            {
                assert_eq!(answer(&key, "127.0.0.1:5", &[("host", host)]), expected, "{host}");
            }
            assert_eq!(answer(&key, "[::ffff:127.0.0.1]:5", &[HERE]), expected);
            let typed = [HERE, ("sec-fetch-site", "none")];
            assert_eq!(answer(&key, "[::1]:5", &typed), expected);
            for peer in ["127.0.0.1:5", "10.1.2.3:5"] {
                assert_eq!(answer(&key, peer, &[HERE, SHOWN]), None);
            }
        }
    }

    #[test]
    fn strangers_need_the_key_that_the_server_made() {
        let key = OperatorKey::for_this_run();
        for (peer, header) in [
            ("10.1.2.3:5", HERE),
            ("127.0.0.1:5", ("host", "rebound.example:8001")),
            ("127.0.0.1:5", ("host", "localhost.example")),
            ("127.0.0.1:5", ("host", "a b")),
            ("127.0.0.1:5", ("host", "0.0.0.0:8001")),
            ("127.0.0.1:5", ("host", "[::]:8001")),
            ("127.0.0.1:5", ("host", "10.1.2.3:8001")),
            ("127.0.0.1:5", ("sec-fetch-site", "cross-site")),
            ("127.0.0.1:5", ("sec-fetch-site", "same-site")),
            ("127.0.0.1:5", ("sec-fetch-site", "same-origin")),
            ("127.0.0.1:5", ("forwarded", "for=10.1.2.3")),
            ("127.0.0.1:5", ("x-forwarded-for", "10.1.2.3")),
            ("127.0.0.1:5", ("x-forwarded-host", "tidings.example")),
            ("127.0.0.1:5", ("x-real-ip", "127.0.0.1")),
            ("127.0.0.1:5", ("via", "1.1 proxy")),
            ("127.0.0.1:5", ("authorization", "Bearer wrong")),
            ("127.0.0.1:5", ("authorization", "Bearer ")),
        ] {
            let headers = [HERE, header];
            let headers = if header.0 == "host" { &headers[1..] } else { &headers[..] };
            let refused = Some(ErrorCode::Unauthenticated);
            assert_eq!(answer(&key, peer, headers), refused, "{peer} {header:?}");
            if header.0 != "authorization" {
                assert_eq!(answer(&key, peer, &[headers, &[SHOWN]].concat()), None, "{header:?}");
            }
        }
    }

    #[test]
    fn a_host_that_is_no_text_is_refused() {
        let key = OperatorKey::for_this_run();
        for headers in [&[("host", "\u{e9}.example")][..], &[("host", "\u{e9}.example"), SHOWN]] {
            assert_eq!(answer(&key, "127.0.0.1:5", headers), Some(ErrorCode::BadField));
        }
    }

    #[test]
    fn a_page_must_be_of_the_port_itself_and_show_the_key() {
        for key in [configured(), OperatorKey::for_this_run()] {
            let own = ("origin", "http://127.0.0.1:8001");
            assert_eq!(answer(&key, "127.0.0.1:5", &[HERE, own, SHOWN]), None);
            let refused = answer(&key, "127.0.0.1:5", &[HERE, own]);
            assert_eq!(refused, Some(ErrorCode::Unauthenticated));
            for foreign in [
                "http://127.0.0.1:8000",
                "http://localhost:8001",
                "https://evil.example",
                "null",
                "",
            ] {
                let headers = [HERE, ("origin", foreign), SHOWN];
                let refused = answer(&key, "127.0.0.1:5", &headers);
                assert_eq!(refused, Some(ErrorCode::OriginDenied), "{foreign}");
            }
        }
    }
}
