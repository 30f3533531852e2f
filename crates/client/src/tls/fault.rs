//! Why there is no TLS session, and what to do about it.

use std::io;
use std::sync::Arc;

use rustls::{CertificateError, Error};

/// Why there is no TLS session.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server shows the certificate of an authority as its own.
    #[error("the certificate is a CA: make it with `-addext basicConstraints=critical,CA:FALSE`")]
    CertificateIsCa,
    /// The certificate is for other names.
    #[error("{detail}: use a name of the certificate in the address, or make it for this one")]
    WrongName {
        /// Which names.
        detail: String,
    },
    /// The certificate hangs on no root that is trusted.
    #[error(
        "no trusted root has signed the certificate: name the file of its root (--ca-file, \
         ClientBuilder::root_certificates)"
    )]
    UnknownRoot,
    /// Something else is wrong with the certificate.
    #[error("{detail}: give the server another certificate")]
    Certificate {
        /// What.
        detail: String,
    },
    /// The server's answer is no TLS.
    #[error("it does not speak TLS: use ws://, or set up TLS in the server")]
    NotTls,
    /// The host of the address is no name that a certificate can have.
    #[error("the host of the address is no name that a certificate can have")]
    NoName,
    /// The connection ended before the session stood.
    #[error("the connection ended; perhaps the server speaks no TLS: then use ws://")]
    Ended,
    /// Anything else.
    #[error("{source}")]
    Failed {
        /// What the TLS library or the system said.
        source: Arc<io::Error>,
    },
}

impl TlsFault {
    /// What an attempt at a session failed with.
    pub(crate) fn of(error: io::Error) -> Self {
        use io::ErrorKind::{ConnectionReset, UnexpectedEof};
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match cause {
            Some(Error::InvalidCertificate(wrong)) => Self::of_certificate(wrong),
            Some(Error::InvalidMessage(_)) => Self::NotTls,
            Some(_) => Self::Failed { source: Arc::new(error) },
            None if matches!(error.kind(), UnexpectedEof | ConnectionReset) => Self::Ended,
            None => Self::Failed { source: Arc::new(error) },
        }
    }

    fn of_certificate(wrong: &CertificateError) -> Self {
        let detail = wrong.to_string();
        match wrong {
            // A root of the same name with another key has not signed it either.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownRoot,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName { detail }
            }
            // The verifier's own error is behind a type that hides it.
            CertificateError::Other(other)
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                Self::CertificateIsCa
            }
            _ => Self::Certificate { detail },
        }
    }

    /// Whether another attempt would end the same way.
    pub(crate) const fn is_permanent(&self) -> bool {
        match self {
            Self::CertificateIsCa
            | Self::WrongName { .. }
            | Self::UnknownRoot
            | Self::Certificate { .. }
            | Self::NotTls
            | Self::NoName => true,
            Self::Ended | Self::Failed { .. } => false,
        }
    }
}
