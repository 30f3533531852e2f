//! `[auth]`: who may connect, what API keys may do, and the operator's key.
//!
//! What a token allows is in the token (`caps`); one without `caps` allows to read the user's own
//! inbox and nothing else ([`Capabilities::own_inbox`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_core::{Capabilities, Capability, Filter, Operation, UserId};

use super::secret::Secret;
use super::text;

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSection {
    /// Whether those who show no token may do everything. Only on loopback.
    pub open: bool,
    /// What a token's `aud` must contain, if anything.
    pub audience: Option<String>,
    /// What a token's `iss` must be, if anything.
    pub issuer: Option<String>,
    /// How far the clocks of token issuers may be off.
    #[serde(with = "text::duration")]
    pub leeway: Duration,
    /// Whether a token may stand in the URL's query, where proxies log it.
    pub token_in_query: bool,
    /// What the operator's port asks for. Without one the server makes its own.
    pub operator_key: Option<Secret>,
    /// Where that key is.
    pub operator_key_file: Option<PathBuf>,
    /// Keys that tokens are verified with.
    pub keys: Vec<TokenKey>,
    /// Keys for services that publish by HTTP.
    pub api_keys: Vec<ApiKey>,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            open: false,
            audience: None,
            issuer: None,
            leeway: Duration::from_secs(30),
            token_in_query: false,
            operator_key: None,
            operator_key_file: None,
            keys: Vec::new(),
            api_keys: Vec::new(),
        }
    }
}

impl AuthSection {
    /// The operator's key, if one is configured, read from its file if it is in one. The error says
    /// what to do.
    pub fn operator_secret(&self) -> Result<Option<Secret>, String> {
        let secret = match (&self.operator_key, &self.operator_key_file) {
            (None, None) => return Ok(None),
            (Some(key), None) => key.clone(),
            (None, Some(file)) => read_secret(file)?,
            (Some(_), Some(_)) => {
                return Err("give `operator_key` or `operator_key_file`, and not both".to_owned());
            }
        };
        match secret.is_showable() {
            true => Ok(Some(secret)),
            false => Err(NOT_SHOWABLE.to_owned()),
        }
    }
}

/// What is wrong with a key that no request could show.
const NOT_SHOWABLE: &str = "the key has characters that no header can carry: use visible ASCII without \
    blanks and line breaks, such as `openssl rand -base64 32` prints";

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// A shared secret, HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl TokenAlgorithm {
    /// The word in tokens and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// One `[[auth.keys]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// Which tokens it is for: those whose header names this `kid`. Without it, all of the
    /// algorithm.
    #[serde(default)]
    pub kid: Option<String>,
    /// How those tokens are signed. A token that says otherwise is refused.
    pub algorithm: TokenAlgorithm,
    /// The shared secret of `HS256`.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Where the shared secret is.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Where the public key of the other algorithms is, PEM.
    #[serde(default)]
    pub public_key_file: Option<PathBuf>,
}

/// What a token is verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A shared secret.
    Shared(Secret),
    /// A public key, PEM.
    PublicPem(String),
}

impl TokenKey {
    /// The key itself, read from its file if it is in one. The error says what to do.
    pub fn material(&self) -> Result<KeyMaterial, String> {
        match (self.algorithm, &self.secret, &self.secret_file, &self.public_key_file) {
            (TokenAlgorithm::Hs256, Some(secret), None, None) => {
                Ok(KeyMaterial::Shared(secret.clone()))
            }
            (TokenAlgorithm::Hs256, None, Some(file), None) => {
                read_secret(file).map(KeyMaterial::Shared)
            }
            (TokenAlgorithm::Hs256, _, _, _) => {
                Err("HS256 needs either `secret` or `secret_file`, and no other key".to_owned())
            }
            (_, None, None, Some(file)) => read_text(file).map(KeyMaterial::PublicPem),
            (other, _, _, _) => Err(format!(
                "{} needs `public_key_file`, and no secret: the server only verifies tokens",
                other.as_str()
            )),
        }
    }
}

/// One `[[auth.api_keys]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Who uses it: the sender of what is published with it.
    #[serde(with = "text::plain")]
    pub name: UserId,
    /// The key itself.
    #[serde(default)]
    pub key: Option<Secret>,
    /// Where the key is.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// What it allows.
    #[serde(default)]
    pub caps: Vec<CapsEntry>,
}

impl ApiKey {
    /// The key itself, read from its file if it is in one. The error says what to do.
    pub fn secret(&self) -> Result<Secret, String> {
        match (&self.key, &self.key_file) {
            (Some(key), None) => Ok(key.clone()),
            (None, Some(file)) => read_secret(file),
            (Some(_), Some(_)) | (None, None) => {
                Err("an API key needs either `key` or `key_file`".to_owned())
            }
        }
    }

    /// What it allows.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.caps.iter().map(CapsEntry::capability).collect())
    }
}

/// One entry of `caps`, in the configuration as in tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapsEntry {
    /// Where.
    #[serde(rename = "match", with = "text::plain")]
    pub filter: Filter,
    /// What.
    #[serde(with = "text::operations")]
    pub ops: Vec<Operation>,
}

impl CapsEntry {
    /// The capability it describes.
    pub fn capability(&self) -> Capability {
        Capability { filter: self.filter.clone(), operations: self.ops.iter().copied().collect() }
    }
}

/// A secret from a file, without the line break that editors leave at the end.
fn read_secret(file: &Path) -> Result<Secret, String> {
    let text = read_text(file)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read_text(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(toml: &str) -> TokenKey {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn a_secret_file_is_read_without_its_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "s3cret with a blank \n").unwrap();
        let key = key(&format!("algorithm = \"HS256\"\nsecret_file = {file:?}"));
        let expected = KeyMaterial::Shared(Secret::new("s3cret with a blank ".to_owned()));
        assert_eq!(key.material(), Ok(expected));
    }

    #[test]
    fn an_operators_key_in_a_file_is_one_line_that_a_header_can_carry() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let auth = AuthSection { operator_key_file: Some(file.clone()), ..AuthSection::default() };
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\r\n").unwrap();
        let expected = Secret::new("0123456789abcdef0123456789abcdef".to_owned());
        assert_eq!(auth.operator_secret(), Ok(Some(expected)));
        std::fs::write(&file, "0123456789abcdef\n0123456789abcdef\n").unwrap();
        let message = auth.operator_secret().unwrap_err();
        assert!(message.contains("no header can carry"), "{message}");
    }

    #[test]
    fn a_key_must_fit_its_algorithm() {
        let message = |toml: &str| key(toml).material().unwrap_err();
        assert!(message("algorithm = \"HS256\"").contains("either `secret` or `secret_file`"));
        let both = "algorithm = \"HS256\"\nsecret = \"a\"\nsecret_file = \"b\"";
        assert!(message(both).contains("either `secret` or `secret_file`"));
        let confused = "algorithm = \"ES256\"\nsecret = \"a\"";
        assert!(message(confused).contains("needs `public_key_file`, and no secret"));
        let missing = "algorithm = \"EdDSA\"\npublic_key_file = \"/does/not/exist.pem\"";
        assert!(message(missing).contains("cannot read /does/not/exist.pem"));
    }

    #[test]
    fn caps_become_capabilities() {
        let key: ApiKey = toml::from_str(
            "name = \"billing\"\nkey = \"x\"\ncaps = [{ match = \"jobs/#\", ops = [\"pub\"] }]",
        )
        .unwrap();
        let topic = |text| tidings_core::Topic::parse(text).unwrap();
        assert!(key.capabilities().allow(Operation::Publish, &topic("jobs/1")));
        assert!(!key.capabilities().allow(Operation::Subscribe, &topic("jobs/1")));
        assert!(!key.capabilities().allow(Operation::Publish, &topic("room/1")));
    }
}
