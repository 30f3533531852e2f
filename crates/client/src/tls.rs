//! Trust: which roots a server's certificate may hang on, and what is wrong with one.

mod fault;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

pub use fault::TlsFault;

/// Where systems keep their roots, in one file.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system's roots are not where they are expected.
    #[error(
        "found no root certificates on this system (looked for {}): install the ca-certificates \
         package, or name a file with ClientBuilder::root_certificates",
        SYSTEM_BUNDLES.join(", ")
    )]
    NoSystemRoots,
    /// A file of roots cannot be read.
    #[error("cannot read root certificates from {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file has no usable root.
    #[error("{} has no root certificate in PEM form that can be used", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// TLS that trusts the roots in `file`, or the system's.
pub(crate) fn client_config(file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let system = || SYSTEM_BUNDLES.into_iter().map(Path::new).find(|path| path.exists());
    let path = file.or_else(system).ok_or(TlsError::NoSystemRoots)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(path)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        certificates.push(certificate.map_err(unreadable)?);
    }
    let mut roots = RootCertStore::empty();
    // System bundles hold a few that are too old to parse; the others are enough.
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_file_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        let error = client_config(Some(&missing)).unwrap_err();
        assert!(matches!(error, TlsError::Unreadable { .. }), "{error}");
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "no certificate here").unwrap();
        let error = client_config(Some(&empty)).unwrap_err();
        assert!(error.to_string().contains("empty.pem"), "{error}");
    }
}
