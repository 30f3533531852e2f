//! How much the kernel keeps of what a peer is to be sent.

/// Bounds the bytes that wait in the kernel behind those on their way (TCP_NOTSENT_LOWAT).
///
/// Without it the kernel takes up to `net.ipv4.tcp_wmem`, 4 MiB, for a peer that reads nothing,
/// and a crowd of those takes the machine's memory though the server itself stays within its
/// bounds. What is on its way does not count, so a long fast link is not slowed.
#[cfg(target_os = "linux")]
pub(super) fn bound<S: std::os::fd::AsFd>(socket: &S, bytes: usize) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let set = socket2::SockRef::from(socket).set_tcp_notsent_lowat(bytes);
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
    }
}

/// Elsewhere the kernel's own bounds hold.
#[cfg(not(target_os = "linux"))]
pub(super) fn bound<S>(_socket: &S, _bytes: usize) {}
