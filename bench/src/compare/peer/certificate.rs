//! A certificate for one server, which nobody else trusts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where its parts are.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one for loopback in `directory`.
    pub(crate) fn make(directory: &Path) -> anyhow::Result<Self> {
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .context("cannot make a certificate")?;
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        for (file, text) in
            [(&certificate, pair.cert.pem()), (&key, pair.signing_key.serialize_pem())]
        {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Self { certificate, key })
    }
}
