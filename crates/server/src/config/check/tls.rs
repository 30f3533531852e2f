//! The certificate and its key: both are loaded as the server would.

use std::path::Path;

use super::Problems;
use crate::config::TlsSection;
use crate::door::{TlsError, tls_config};

pub(super) fn check(tls: &TlsSection, found: &mut Problems) {
    let files = [
        ("tls.certificate_file", &tls.certificate_file, "certificate", "CERTIFICATE-----"),
        ("tls.key_file", &tls.key_file, "private key", "PRIVATE KEY-----"),
    ];
    let faults = files.map(|(key, file, kind, label)| {
        fault(file, kind, label).map(|what| found.add_value(key, &format!("{file:?}"), what))
    });
    if faults.iter().any(Option::is_some) {
        return;
    }
    match tls_config(tls) {
        Ok(_) => {}
        Err(TlsError::File { key, file, problem }) => {
            found.add_value(key, &format!("{file:?}"), format!("cannot be used: {problem}"));
        }
        Err(TlsError::Pair(rustls::Error::InconsistentKeys(_))) => {
            let what = "is not the key of the first certificate in tls.certificate_file: name the two files that were made together, the server's own certificate first";
            found.add_value("tls.key_file", &format!("{:?}", tls.key_file), what);
        }
        Err(error @ TlsError::Pair(_)) => found.add("tls", error.to_string()),
    }
}

/// What is wrong with a file by itself.
fn fault(file: &Path, kind: &str, label: &str) -> Option<String> {
    match std::fs::read(file) {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(bytes) if String::from_utf8_lossy(&bytes).contains(label) => None,
        Ok(_) => Some(format!("has no {kind} in PEM form (`-----BEGIN {label}`)")),
    }
}
