//! How long a peer may leave what it was sent untaken.

use std::time::Duration;

/// Ends the connection of `socket` once bytes have waited for its peer for `longest`: unanswered,
/// or unsent since the peer reads nothing (TCP_USER_TIMEOUT, RFC 5482). The kernel counts, so a
/// task that waits to write needs no deadline of its own. Where the system does not offer this,
/// the connection goes on without a bound.
#[cfg(target_os = "linux")]
pub(super) fn bound<S: std::os::fd::AsFd>(socket: &S, longest: Duration) {
    let set = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(longest));
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT");
    }
}

/// Only Linux has the option.
#[cfg(not(target_os = "linux"))]
pub(super) fn bound<S>(_socket: &S, _longest: Duration) {}
