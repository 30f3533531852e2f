//! Tokens of many users, signed here: a server under measurement verifies each of them.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Longer than any run takes.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest secret that the server takes.
const SECRET_BYTES_MIN: usize = 32;

/// Signs tokens (JWT, HS256).
#[derive(Debug)]
pub(crate) struct Signer {
    key: hmac::Key,
}

impl Signer {
    /// With the secret in `file`; a line break at its end is left out, as the server does.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the secret in {}", file.display()))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.len() < SECRET_BYTES_MIN {
            bail!("{} holds fewer than {SECRET_BYTES_MIN} bytes, no secret", file.display());
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) })
    }

    /// A token with which `user` may publish and subscribe to `topic`.
    pub(crate) fn token(&self, user: &str, topic: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "sub": user,
            "exp": (now + LIFE).as_secs(),
            "caps": [{"match": topic, "ops": ["pub", "sub"]}],
        });
        self.sign(&claims.to_string())
    }

    fn sign(&self, claims: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let tag = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_hs256() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("secret");
        fs::write(&file, "0123456789abcdef0123456789abcdef\n").expect("a file");
        let token = Signer::read(&file).expect("a secret").sign(r#"{"sub":"alice"}"#);
        // As `openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary` has it.
        assert_eq!(
            token,
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.lQV2NoL6MhOmaRPQnL1I8coOiKN_Y6_O1qUKyj8f9Ag"
        );

        fs::write(&file, "short").expect("a file");
        let error = Signer::read(&file).expect_err("too short").to_string();
        assert!(error.contains("fewer than 32 bytes"), "{error}");
    }
}
