//! A collector that takes spans by OTLP over HTTP, and keeps them for the test to look at.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Longest wait for spans; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// What the collector answers instead of success.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<&'static str>,
    pub(crate) body: Value,
}

#[derive(Clone, Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    answers: Mutex<VecDeque<Answer>>,
    news: Notify,
}

impl Collector {
    /// One that gives these answers first, and then takes everything.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Mutex::new(answers.into_iter().collect());
        let seen = Arc::new(Seen { answers, ..Seen::default() });
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Every span that came so far.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let spans = |request: &Request| -> Vec<Value> {
            let scopes = &request.body["resourceSpans"][0]["scopeSpans"];
            scopes[0]["spans"].as_array().unwrap().clone()
        };
        self.requests().iter().flat_map(spans).collect()
    }

    /// The same, as soon as there are `count` at least.
    pub(crate) async fn await_spans(&self, count: usize) -> Vec<Value> {
        let enough = async {
            loop {
                let news = self.seen.news.notified();
                let spans = self.spans();
                if spans.len() >= count {
                    return spans;
                }
                news.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, enough).await;
        waited.unwrap_or_else(|_| panic!("expected {count} spans: {:#?}", self.spans()))
    }
}

async fn take(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = serde_json::from_slice(&body).unwrap();
    seen.requests.lock().unwrap().push(Request { at: Instant::now(), headers, body });
    seen.news.notify_waiters();
    seen.news.notify_one();
    let answer = seen.answers.lock().unwrap().pop_front();
    let Some(Answer { status, retry_after, body }) = answer else {
        return json!({}).to_string().into_response();
    };
    let status = StatusCode::from_u16(status).unwrap();
    let mut response = (status, body.to_string()).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.parse().unwrap());
    }
    response
}

/// The value of a span's attribute; null if it has none of that name.
pub(crate) fn attribute<'s>(span: &'s Value, name: &str) -> &'s Value {
    const NULL: &Value = &Value::Null;
    let mut attributes = span["attributes"].as_array().unwrap().iter();
    let Some(found) = attributes.find(|attribute| attribute["key"] == name) else { return NULL };
    found["value"].as_object().unwrap().values().next().unwrap()
}
