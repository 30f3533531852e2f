//! One request to a collector, over a connection that is kept for the next.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::collector::Collector;
use super::otlp::rejected;

/// Longest time from connecting to the end of the answer: as exporters of OpenTelemetry have it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer that is read: it says how many spans were rejected, and no more.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The collector has the spans, but for so many that it rejected, for this reason.
    Taken { rejected: u64, why: String },
    /// It has none, and the same request will never do.
    Refused { why: String },
    /// It has none, and may take them later: not before that time, if it says so.
    Later { after: Option<Duration>, why: String },
}

/// The way to a collector.
#[derive(Debug)]
pub(super) struct Post {
    collector: Collector,
    /// Kept while it is of use.
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with this.
    _driver: AbortOnDropHandle<()>,
}

impl Post {
    pub(super) const fn new(collector: Collector) -> Self {
        Self { collector, line: None }
    }

    /// Sends `body` once.
    pub(super) async fn send(&mut self, body: Bytes) -> Answer {
        // Kept only if the exchange comes to its end.
        let line = self.line.take();
        match tokio::time::timeout(PATIENCE, self.exchange(line, body)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Later { after: None, why: error.to_string() },
            Err(_) => {
                let why = format!("the collector did not answer within {PATIENCE:?}");
                Answer::Later { after: None, why }
            }
        }
    }

    async fn exchange(&mut self, line: Option<Line>, body: Bytes) -> Result<Answer, PostError> {
        let mut kept = line;
        if let Some(line) = &mut kept
            && line.sender.ready().await.is_err()
        {
            // The collector has closed it meanwhile.
            kept = None;
        }
        let mut line = match kept {
            Some(line) => line,
            None => self.connect().await?,
        };
        let response = line.sender.send_request(self.request(body)).await?;
        let (status, after) = (response.status(), retry_after(&response));
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let answer = match answer {
            Ok(answer) => {
                self.line = Some(line);
                answer.to_bytes()
            }
            // The status has said what matters.
            Err(_) => Bytes::new(),
        };
        Ok(judge(status, after, &answer))
    }

    async fn connect(&self) -> Result<Line, PostError> {
        let socket = TcpStream::connect(self.collector.place()).await?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(async move {
            // A failure shows at the request.
            let _ = connection.await;
        });
        Ok(Line { sender, _driver: AbortOnDropHandle::new(driver) })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let Collector { authority, path, headers } = &self.collector;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.clone().into();
        let agent = concat!("tidings/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        request.headers_mut().extend(headers.clone());
        let host = HeaderValue::from_str(authority.as_str());
        request.headers_mut().insert(HOST, host.expect("an authority is visible ASCII"));
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        request
    }
}

#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("the collector cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection to the collector broke: {0}")]
    Http(#[from] hyper::Error),
}

/// What a status means (OTLP specification, "Failures"): only these are worth another try.
fn judge(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Answer {
    let why = || format!("the collector answered {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Later { after, why: why() },
        status if status.is_success() => {
            let (rejected, why) = rejected(body).unwrap_or_default();
            Answer::Taken { rejected, why }
        }
        _ => Answer::Refused { why: why() },
    }
}

/// How long the collector wants to be left alone. A date instead of seconds counts as nothing said.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [429, 502, 503, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            let after = Some(Duration::from_secs(7));
            let why = format!("the collector answered {status}");
            assert_eq!(judge(status, after, b""), Answer::Later { after, why });
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let status = StatusCode::from_u16(status).unwrap();
            let why = format!("the collector answered {status}");
            assert_eq!(judge(status, None, b""), Answer::Refused { why });
        }
        let partial = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}"#;
        let taken = Answer::Taken { rejected: 2, why: "old".to_owned() };
        assert_eq!(judge(StatusCode::OK, None, partial), taken);
        let taken = Answer::Taken { rejected: 0, why: String::new() };
        assert_eq!(judge(StatusCode::ACCEPTED, None, b"{}"), taken);
    }
}
