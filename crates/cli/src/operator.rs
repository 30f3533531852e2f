//! How commands talk to the operator's port: plain HTTP, one request on a connection.

use std::borrow::Cow;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::failure::UsageError;

/// Where the operator's port of a local server is.
const OPERATOR_DEFAULT: &str = "http://127.0.0.1:8001";

/// The largest answer that is read, bytes. A page of dead letters has far fewer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where the operator's port is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct OperatorPort {
    /// Where the server's operator port is: http://HOST:PORT, or HOST:PORT
    #[arg(
        long = "operator",
        value_name = "URL",
        env = "TIDINGS_OPERATOR",
        default_value = OPERATOR_DEFAULT
    )]
    url: String,
    /// The operator's key, where the port asks for it: from another machine, or if one is configured
    #[arg(
        long = "operator-key",
        value_name = "KEY",
        env = "TIDINGS_OPERATOR_KEY",
        hide_env_values = true
    )]
    key: Option<String>,
}

impl OperatorPort {
    /// Asks, and gives the answer as JSON; `null` for an empty one.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Value> {
        let (authority, prefix) = self.address()?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{prefix}{path}"))
            .header(HOST, authority.as_str())
            .header(CONTENT_TYPE, "application/json");
        if let Some(credentials) = self.credentials()? {
            request = request.header(AUTHORIZATION, credentials);
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .context("the request cannot be written")?;
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((host, port)).await.with_context(|| {
            format!("nobody answers at {}: is that the server's operator port?", self.url())
        })?;
        let not_http = || format!("{} does not speak HTTP", self.url());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .with_context(not_http)?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.with_context(not_http)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the answer broke off: {error}"))?.to_bytes();
        connection.abort();
        if status.is_success() && body.is_empty() {
            return Ok(Value::Null);
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match (status.is_success(), answer) {
            (true, Some(answer)) => Ok(answer),
            (false, Some(problem)) if problem["detail"].is_string() => {
                let hint = match status {
                    StatusCode::UNAUTHORIZED => {
                        "; here that is --operator-key or TIDINGS_OPERATOR_KEY"
                    }
                    _ => "",
                };
                bail!("{} ({}){hint}", text(&problem["detail"]), text(&problem["code"]))
            }
            (true | false, _) => bail!(
                "{} answers {status} and not as the operator port of a Tidings server would",
                self.url()
            ),
        }
    }

    /// The address; an empty one counts as none, since scripts empty variables to unset them.
    fn url(&self) -> &str {
        if self.url.is_empty() { OPERATOR_DEFAULT } else { &self.url }
    }

    /// The header that shows the key; an empty one counts as none, as an empty address does.
    fn credentials(&self) -> anyhow::Result<Option<HeaderValue>> {
        let Some(key) = self.key.as_deref().filter(|key| !key.is_empty()) else { return Ok(None) };
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
            UsageError::new(
                "--operator-key has a line break or another control character in it".to_owned(),
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn address(&self) -> anyhow::Result<(Authority, String)> {
        let wrong = |why: &str| {
            let example = "write HOST:PORT or http://HOST:PORT, such as 127.0.0.1:8001";
            UsageError::new(format!("--operator {}: {why}; {example}", self.url()))
        };
        // As the server takes and prints it: without a scheme too.
        let url = match self.url().contains("://") {
            true => Cow::Borrowed(self.url()),
            false => Cow::Owned(format!("http://{}", self.url())),
        };
        let uri: Uri = url.parse().map_err(|_| wrong("this is no address"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(wrong("the operator port speaks plain HTTP").into()),
            Some(_) | None => return Err(wrong("this is no address for HTTP").into()),
        }
        let authority = uri.authority().ok_or_else(|| wrong("there is no host in it"))?;
        let after_host = authority.as_str().rsplit_once(authority.host());
        if authority.port_u16().is_none() && after_host.is_some_and(|(_, rest)| !rest.is_empty()) {
            return Err(wrong("its port is no number up to 65535").into());
        }
        Ok((authority.clone(), uri.path().trim_end_matches('/').to_owned()))
    }
}

/// The query of an address: names, and values with all but plain letters escaped.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryText(String);

impl QueryText {
    /// Adds a parameter.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&escaped(value));
    }

    /// Whether there is no parameter.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With a `?` in front, if there is any parameter.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of an address, with all but plain letters escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A text of an answer as a terminal may be sent it; empty if it is none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace(char::is_control, "\u{fffd}"),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_escapes_what_would_mean_something() {
        let mut query = QueryText::default();
        assert!(query.is_empty());
        query.add("topic", "jobs/+/#");
        query.add("reason", "a&b é");
        assert_eq!(query.as_str(), "?topic=jobs%2F%2B%2F%23&reason=a%26b%20%C3%A9");
    }

    #[test]
    fn an_address_that_is_none_is_told_with_an_example() {
        for (url, told) in [
            ("127.0.0.1:port", "no number"),
            ("127.0.0.1:99999", "no number"),
            ("a b", "no address"),
            ("https://h:1", "plain HTTP"),
            ("ws://h:1/v1/ws", "no address for HTTP"),
        ] {
            let error =
                OperatorPort { url: url.to_owned(), key: None }.address().unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("http://HOST:PORT"), "{url}: {error}");
        }
    }

    #[test]
    fn an_address_may_have_a_scheme_and_a_path() {
        for (url, expected) in [
            ("127.0.0.1:8001", ("127.0.0.1:8001", "")),
            ("http://127.0.0.1:8001", ("127.0.0.1:8001", "")),
            ("localhost:8001/", ("localhost:8001", "")),
            ("[::1]:8001", ("[::1]:8001", "")),
            ("http://[::1]:8001/tidings/", ("[::1]:8001", "/tidings")),
            ("", ("127.0.0.1:8001", "")),
        ] {
            let (authority, prefix) =
                OperatorPort { url: url.to_owned(), key: None }.address().unwrap();
            assert_eq!((authority.as_str(), prefix.as_str()), expected, "{url}");
        }
    }
}
