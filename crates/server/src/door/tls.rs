//! The certificate of the public listener.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsSection;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of its kind.
    #[error("{key} {}: {problem}", file.display())]
    File {
        /// The configuration key.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Certificate and key do not go together, or are not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// Reads certificate and key.
pub(crate) fn tls_config(tls: &TlsSection) -> Result<Arc<ServerConfig>, TlsError> {
    let file_error =
        |key, file: &Path, problem: String| TlsError::File { key, file: file.to_owned(), problem };
    let certificates = CertificateDer::pem_file_iter(&tls.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| file_error("tls.certificate_file", &tls.certificate_file, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file)
        .map_err(|e| file_error("tls.key_file", &tls.key_file, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    // Tickets more than double the memory of an idle connection, and a client that comes back
    // pays far more for its round trips than for the handshake they save.
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
