//! The operator's listener: liveness, readiness, metrics, and what only an operator may do. Loopback
//! unless configured.

mod access;
mod around;
mod config;
mod console;
mod dead_letters;
mod disconnects;
mod groups;
mod node;
mod page;
mod scheduled;
mod story;
mod subscriptions;
mod topic;
mod topics;
mod users;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tidings_core::{NodeId, Pace, Topic};
use tidings_protocol::ErrorCode;
use tidings_storage::{StoreError, StoreStatus};
use tokio_util::sync::CancellationToken;

use crate::auth::OperatorKey;
use crate::dead_letters::DEAD_LETTERS_TOPIC;
use crate::env::Env;
use crate::http::{Port, within_time};
use crate::problem::{HttpError, store_error};
use crate::process::Process;
pub(crate) use node::Facts;

/// What OpenMetrics text is called.
const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Operator {
    env: Arc<Env>,
    draining: CancellationToken,
    /// How fast many dead letters are published again, whoever asks for it.
    replays: Arc<Mutex<Pace>>,
    facts: Arc<Facts>,
}

/// Whether this server can take publishes. What one topic or client does never matters.
struct Readiness {
    ready: bool,
    draining: bool,
    /// Why the store takes no writes, if it takes none.
    refusing: Option<StoreError>,
}

impl Readiness {
    fn of(operator: &Operator, status: &StoreStatus) -> Self {
        let draining = operator.draining.is_cancelled();
        let refusing = status.refusing.clone();
        Self { ready: !draining && refusing.is_none(), draining, refusing }
    }

    /// What everybody is told. Why the store refuses is the code that publishers get: the whole text has
    /// paths, and is for the operator (`/v1/node`).
    fn told(&self, node: &NodeId, connections: usize) -> Value {
        let refusing = self.refusing.as_ref().map(|error| store_error(error).code.as_str());
        json!({
            "ready": self.ready,
            "draining": self.draining,
            "node": node.as_str(),
            "store": { "writable": refusing.is_none(), "refusing": refusing },
            "connections": connections,
        })
    }
}

/// Every route of the operator's port.
pub(crate) fn router(
    env: Arc<Env>,
    draining: CancellationToken,
    key: Arc<OperatorKey>,
    facts: Facts,
) -> Router {
    let replays = Arc::new(Mutex::new(Pace::new(env.settings.replays_per_second)));
    let (topics, around) = (topics(&env), around::Around::new(&env));
    let console = console::routes(facts.public.port());
    let operator = Operator { env, draining, replays, facts: Arc::new(facts) };
    let asking = asking().with_state(operator.clone()).merge(topics);
    for_everybody()
        .with_state(operator)
        .merge(console)
        .merge(asking.route_layer(from_fn_with_state(key, access::ask_for_key)))
        .fallback(async || HttpError::new(ErrorCode::NotFound, "the operator has no such route"))
        .layer(from_fn_with_state(around, around::around))
}

/// What needs no key: probes, which say nothing of what is in the server.
fn for_everybody() -> Router<Operator> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready))
}

/// What the public port has for topics, as somebody who may do everything.
fn topics(env: &Arc<Env>) -> Router {
    crate::http::topics()
        .layer(from_fn_with_state(Arc::clone(env), within_time))
        .with_state(Port::operators(Arc::clone(env)))
}

/// What is for the operator alone.
fn asking() -> Router<Operator> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/node", get(node::show))
        .route("/v1/config", get(config::show))
        .route("/v1/topics", get(topics::list))
        .route("/v1/topic", get(topic::show))
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{group}", get(groups::show))
        .route("/v1/users", get(users::list::list))
        .route("/v1/users/{user}", get(users::describe))
        .route("/v1/users/{user}/disconnect", post(users::disconnect))
        .route("/v1/users/{user}/revoke", post(users::revoke))
        .route("/v1/disconnects", get(disconnects::list))
        .route("/v1/subscriptions", get(subscriptions::list))
        .route("/v1/scheduled", get(scheduled::list))
        .route("/v1/scheduled/{id}", delete(scheduled::remove))
        .merge(dead_letters::routes())
        .route("/v1/messages/{id}", get(story::story))
}

async fn ready(State(operator): State<Operator>) -> Response {
    let status = operator.env.store.status();
    let readiness = Readiness::of(&operator, &status);
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = readiness.told(&operator.env.settings.node, operator.env.seats.taken());
    (code, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let env = &operator.env;
    env.metrics.groups.set(&groups::all(env).await);
    env.metrics.set_presence(env.roster.counts());
    if let Ok(process) = page::look_up(Process::this).await {
        env.metrics.set_process(&process);
    }
    let dead_letters = Topic::parse(DEAD_LETTERS_TOPIC).expect("a valid topic");
    env.metrics.dead_letters_kept.set(env.store.count_messages(&dead_letters) as i64);
    let text = env.metrics.encode(env.seats.taken(), env.schedule.len(), &env.store.status());
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_a_code_and_no_path() {
        let node = NodeId::parse("n1").unwrap();
        for (error, code) in [
            (StoreError::Full { directory: "/srv/kept".to_owned() }, "storage_full"),
            (
                StoreError::Poisoned { operation: "write", reason: "/srv/kept/1.log".to_owned() },
                "storage_unavailable",
            ),
        ] {
            let refusing = Some(error);
            let told = Readiness { ready: false, draining: false, refusing }.told(&node, 3);
            let store = json!({ "writable": false, "refusing": code });
            let expected = json!({
                "ready": false, "draining": false, "node": "n1", "store": store, "connections": 3
            });
            assert_eq!(told, expected);
        }
    }
}
