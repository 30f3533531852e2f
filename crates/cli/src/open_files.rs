//! The limit of open files: each connection needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: the log's segments, listeners, epoll and the runtime's own.
const FILES_BESIDE: u64 = 256;

/// Raises the limit as far as the system lets this process, and warns if that is too little.
pub(crate) fn raise(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If it fails the limit is what it was, and the warning below tells.
    let _ = setrlimit(Resource::Nofile, wanted);
    let needed = connections_max as u64 + FILES_BESIDE;
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < needed) {
        tracing::warn!(
            files,
            needed,
            "the process may open fewer files than server.connections_max needs; raise `ulimit -n` (LimitNOFILE) or lower server.connections_max"
        );
    }
}
