//! Where spans go, as the configuration names it.

use std::path::Path;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::config::TraceSection;

/// Most header lines for a collector: a token, a tenant, and room.
const HEADERS_MAX: usize = 32;

/// Why a collector cannot be used, and what to change.
#[derive(Debug, thiserror::Error)]
#[error("{key} {what}")]
pub struct CollectorError {
    /// The key of the configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub what: String,
}

/// A collector that takes spans (OTLP over HTTP).
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    pub(super) authority: Authority,
    pub(super) path: PathAndQuery,
    /// Sent with every request. They do not show themselves.
    pub(super) headers: HeaderMap,
}

impl Collector {
    /// The one of this section, if it names one.
    pub(crate) fn of(section: &TraceSection) -> Result<Option<Self>, CollectorError> {
        let headers = section.otlp_headers_file.as_deref().map(read_headers).transpose();
        let headers =
            headers.map_err(|what| CollectorError { key: "trace.otlp_headers_file", what })?;
        let Some(url) = &section.otlp_url else { return Ok(None) };
        let (authority, path) =
            address(url).map_err(|what| CollectorError { key: "trace.otlp_url", what })?;
        Ok(Some(Self { authority, path, headers: headers.unwrap_or_default() }))
    }

    /// Where to connect to: an address or a name, and the port.
    pub(super) fn place(&self) -> (&str, u16) {
        let host = self.authority.host();
        let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        (unbracketed.unwrap_or(host), self.authority.port_u16().unwrap_or(80))
    }
}

/// The parts of a URL. What is wrong is said without the URL, which may hold a password.
fn address(url: &str) -> Result<(Authority, PathAndQuery), String> {
    let example = "write it like \"http://127.0.0.1:4318/v1/traces\"";
    let uri: Uri = url.parse().map_err(|error| format!("is not a URL ({error}): {example}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(
                "is an https URL, and the server sends spans without TLS only: run a collector \
                 on this machine or in a trusted network, and let that one send them on by TLS"
                    .to_owned(),
            );
        }
        Some(_) | None => return Err(format!("is not an http URL: {example}")),
    }
    let parts = uri.into_parts();
    let (Some(authority), Some(path)) = (parts.authority, parts.path_and_query) else {
        return Err(format!("names no host: {example}"));
    };
    if authority.as_str().contains('@') {
        return Err("has a user or password in it: put an `authorization` line into the file \
                    that trace.otlp_headers_file names"
            .to_owned());
    }
    if authority.host().is_empty() {
        return Err(format!("names no host: {example}"));
    }
    Ok((authority, path))
}

fn read_headers(file: &Path) -> Result<HeaderMap, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot be read ({}): {error}", file.display()))?;
    parse_headers(&text)
}

/// Lines of `name: value`; empty ones and those that start with `#` do not count. What is wrong is
/// said without the line, which may hold a secret.
fn parse_headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let header = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::try_from(name.trim()).ok()?;
            Some((name, HeaderValue::try_from(value.trim()).ok()?))
        });
        let Some((name, mut value)) = header else {
            return Err(format!(
                "has a line {at} that is no header: write each like `authorization: Bearer TOKEN`"
            ));
        };
        if [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING].contains(&name) {
            return Err(format!("has a line {at} with `{name}`, which the server sets itself"));
        }
        if headers.len() == HEADERS_MAX {
            return Err(format!("has more than {HEADERS_MAX} headers"));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url_are_where_to_connect_and_what_to_ask_for() {
        for (url, host, port, path) in [
            ("http://127.0.0.1:4318/v1/traces", "127.0.0.1", 4318, "/v1/traces"),
            ("http://[::1]:4318/v1/traces?a=b", "::1", 4318, "/v1/traces?a=b"),
            ("http://collector.internal", "collector.internal", 80, "/"),
        ] {
            let section =
                TraceSection { otlp_url: Some(url.to_owned()), ..TraceSection::default() };
            let collector = Collector::of(&section).unwrap().unwrap();
            assert_eq!(collector.place(), (host, port), "{url}");
            assert_eq!(collector.path, path, "{url}");
        }
        assert!(Collector::of(&TraceSection::default()).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do_and_shows_no_secret() {
        for (url, expected) in [
            ("https://collector/v1/traces", "run a collector on this machine"),
            ("ftp://collector", "is not an http URL"),
            ("127.0.0.1:4318", "is not an http URL"),
            ("/v1/traces", "is not an http URL"),
            ("http://me:canary@collector/", "put an `authorization` line"),
            ("http://a b/canary", "is not a URL"),
            ("", "is not a URL"),
        ] {
            let what = address(url).unwrap_err();
            assert!(what.contains(expected) && !what.contains("canary"), "{url}: {what}");
        }
        for (text, expected) in [
            ("authorization canary", "line 1 that is no header"),
            ("\n# token\nbad name: canary", "line 3 that is no header"),
            ("Host: canary", "line 1 with `host`"),
            (&"a: b\n".repeat(33), "more than 32"),
        ] {
            let what = parse_headers(text).unwrap_err();
            assert!(what.contains(expected) && !what.contains("canary"), "{text}: {what}");
        }
    }

    #[test]
    fn header_lines_are_read_and_hidden() {
        let headers = parse_headers("# for us\n\nAuthorization:  Bearer canary \nx-scope: a:b");
        let headers = headers.unwrap();
        assert_eq!(headers["authorization"], "Bearer canary");
        assert_eq!(headers["x-scope"], "a:b");
        assert!(!format!("{headers:?}").contains("canary"));
    }
}
