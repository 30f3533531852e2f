//! How this server is: where it listens, what it has taken, whether it is well.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tidings_core::Timestamp;
use tidings_storage::StoreStatus;

use super::page::look_up;
use super::{Operator, Readiness};
use crate::clock::Clock;
use crate::http::WEBSOCKET_PATH;
use crate::problem::HttpError;
use crate::process::Process;

/// What is known of a server from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) started_at: Timestamp,
    pub(crate) public: SocketAddr,
    pub(crate) operator: SocketAddr,
    pub(crate) has_tls: bool,
    /// Who shows no token may do everything.
    pub(crate) auth_open: bool,
    /// Where messages are kept, and how many bytes of them at most; nothing if in memory.
    pub(crate) kept_in: Option<(PathBuf, u64)>,
    /// What it was started with, without secrets.
    pub(crate) config: Value,
}

/// `GET /v1/node`.
pub(super) async fn show(State(operator): State<Operator>) -> Result<Response, HttpError> {
    let Operator { env, facts, .. } = &operator;
    let status = env.store.status();
    let Readiness { ready, draining, refusing } = Readiness::of(&operator, &status);
    let refusing = refusing.map(|error| error.to_string());
    let directory = facts.kept_in.as_ref().map(|(directory, _)| directory.clone());
    let (process, free) =
        look_up(move || (Process::this(), directory.and_then(|directory| free_bytes(&directory))))
            .await?;
    let body = json!({
        "node": env.settings.node.as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": facts.started_at.as_ms(),
        "now": Clock::wall().as_ms(),
        "ready": ready,
        "draining": draining,
        "public": {
            "address": facts.public.to_string(),
            "tls": facts.has_tls,
            "websocket_path": WEBSOCKET_PATH,
        },
        "operator": { "address": facts.operator.to_string() },
        "auth_open": facts.auth_open,
        "connections": env.seats.taken(),
        "connections_max": env.seats.max(),
        "store": store(facts, &status, refusing.as_deref(), free),
        "process": {
            "resident_bytes": process.resident_bytes,
            "threads": process.threads,
            "open_files": process.open_files,
            "open_files_max": process.open_files_max,
            "cpu_ms": u64::try_from(process.cpu.as_millis()).unwrap_or(u64::MAX),
        },
    });
    Ok(axum::Json(body).into_response())
}

fn store(facts: &Facts, status: &StoreStatus, refusing: Option<&str>, free: Option<u64>) -> Value {
    let kept_in = facts.kept_in.as_ref();
    json!({
        "writable": refusing.is_none(),
        "refusing": refusing,
        "directory": kept_in.map(|(directory, _)| directory.display().to_string()),
        "topics": status.topics,
        "messages": status.messages,
        "disk_bytes": status.disk_bytes,
        "disk_bytes_max": kept_in.map(|(_, bytes)| *bytes),
        "disk_free_bytes": free,
    })
}

/// What this process may still write to the disk that has the directory.
fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
