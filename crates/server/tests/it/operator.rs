//! The operator's port: who may use it, and what it tells.

use serde_json::Value;
use tidings_server::RunningServer;

use crate::peer::http;

mod access;
mod acting;
mod config;
mod disconnects;
mod listening;
mod metrics;
mod node;
mod topics;
mod users;

/// What an operator on the server's machine is answered.
pub(crate) async fn ask(server: &RunningServer, method: &str, path: &str) -> (u16, Value) {
    tell(server, method, path, "").await
}

/// The same with a body.
pub(crate) async fn tell(
    server: &RunningServer,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let (status, _, body) = http(server.operator_addr(), method, path, &[], body).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// What must be there to be read.
pub(crate) async fn read(server: &RunningServer, path: &str) -> Value {
    let (status, body) = ask(server, "GET", path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Each address is refused as a bad request, with a text that names what is wrong.
pub(crate) async fn refuses(server: &RunningServer, bad: &[(&str, &str)]) {
    for (path, told) in bad {
        let (status, body) = ask(server, "GET", path).await;
        assert_eq!(status, 400, "{path}: {body}");
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(told), "{path}: {body}");
    }
}
