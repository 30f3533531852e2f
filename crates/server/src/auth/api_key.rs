//! API keys: what services show to the HTTP interface.

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use tidings_core::Principal;

use super::{AuthError, KeyError};
use crate::config::AuthSection;

/// The keys, as hashes: a dump of the memory does not hold them.
pub(super) struct ApiKeys(Vec<(digest::Digest, Arc<Principal>)>);

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

impl ApiKeys {
    pub(super) fn new(auth: &AuthSection) -> Result<Self, KeyError> {
        let keys = auth.api_keys.iter().enumerate().map(|(at, key)| {
            let secret = key
                .secret()
                .map_err(|problem| KeyError::at(format!("auth.api_keys[{at}]"), problem))?;
            let principal = Principal {
                issued_at: None,
                user: key.name.clone(),
                capabilities: key.capabilities(),
                expires_at: None,
            };
            let hash = digest::digest(&digest::SHA256, secret.expose().as_bytes());
            Ok((hash, Arc::new(principal)))
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// Who shows this key. Every key is compared, each in constant time.
    pub(super) fn principal(&self, shown: &str) -> Result<Arc<Principal>, AuthError> {
        let shown = digest::digest(&digest::SHA256, shown.as_bytes());
        let mut found = Err(AuthError::UnknownApiKey);
        for (hash, principal) in &self.0 {
            let same = constant_time::verify_slices_are_equal(hash.as_ref(), shown.as_ref());
            if same.is_ok() {
                found = Ok(Arc::clone(principal));
            }
        }
        found
    }
}
