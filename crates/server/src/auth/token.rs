//! JSON Web Tokens (RFC 7519): verified against pinned keys, remembered by hash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tidings_core::{
    Capabilities, Capability, Filter, Operation, Principal, Timestamp, UserId, limits,
};

use super::{AuthError, KeyError};
use crate::config::{AuthSection, KeyMaterial, TokenAlgorithm, TokenKey};

/// Tokens remembered as verified; forgotten together when there are more. A reconnecting client
/// shows the same token, and checking a signature costs up to 100 µs.
const REMEMBERED_MAX: usize = 16 * 1024;

type Hash = [u8; 32];

/// The keys that tokens are checked with.
pub(super) struct Tokens {
    keys: Vec<Key>,
    verified: Mutex<BTreeMap<Hash, Arc<Principal>>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// One key and the one algorithm it is for: a token cannot choose (RFC 8725 §3.1).
struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    iat: Option<u64>,
    caps: Option<Vec<CapsClaim>>,
}

#[derive(Deserialize)]
struct CapsClaim {
    #[serde(rename = "match")]
    filter: String,
    ops: Vec<String>,
}

impl Tokens {
    pub(super) fn new(auth: &AuthSection) -> Result<Self, KeyError> {
        let keys = auth.keys.iter().enumerate().map(|(at, key)| {
            Key::new(key, auth).map_err(|problem| KeyError::at(format!("auth.keys[{at}]"), problem))
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, verified: Mutex::default() })
    }

    /// Who shows this token.
    pub(super) fn principal(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            let (bytes, bytes_max) = (token.len(), limits::TOKEN_BYTES_MAX);
            return Err(AuthError::TooLong { bytes, bytes_max });
        }
        let hash = hash(token);
        let remembered = self.verified().get(&hash).cloned();
        if let Some(principal) = remembered
            && principal.expires_at.is_none_or(|at| at > now)
        {
            return Ok(principal);
        }
        let principal = Arc::new(self.verify(token)?);
        let mut verified = self.verified();
        if verified.len() >= REMEMBERED_MAX {
            verified.clear();
        }
        verified.insert(hash, Arc::clone(&principal));
        Ok(principal)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, BTreeMap<Hash, Arc<Principal>>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        // What such an error says may quote the token, so it is told in other words.
        let header = decode_header(token).map_err(|_| AuthError::Malformed(misshapen(token)))?;
        let fits = |key: &&Key| {
            key.algorithm == header.alg && (key.kid.is_none() || key.kid == header.kid)
        };
        let mut refused = AuthError::NoKey {
            algorithm: format!("{:?}", header.alg),
            kid: header.kid.clone().unwrap_or_else(|| "(none)".to_owned()),
        };
        for key in self.keys.iter().filter(fits) {
            match decode::<Claims>(token, &key.decoding, &key.validation) {
                Ok(data) => return principal(data.claims, &key.validation),
                // Another key without a name may be the one that signed it.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                    refused = AuthError::Forged;
                }
                Err(error) => return Err(auth_error(&error)),
            }
        }
        Err(refused)
    }
}

impl Key {
    fn new(key: &TokenKey, auth: &AuthSection) -> Result<Self, String> {
        let material = key.material()?;
        let (algorithm, decoding) = match (key.algorithm, &material) {
            (TokenAlgorithm::Hs256, KeyMaterial::Shared(secret)) => {
                (Algorithm::HS256, DecodingKey::from_secret(secret.expose().as_bytes()))
            }
            (TokenAlgorithm::Rs256, KeyMaterial::PublicPem(pem)) => {
                (Algorithm::RS256, public_key(DecodingKey::from_rsa_pem(pem.as_bytes()))?)
            }
            (TokenAlgorithm::Es256, KeyMaterial::PublicPem(pem)) => {
                (Algorithm::ES256, public_key(DecodingKey::from_ec_pem(pem.as_bytes()))?)
            }
            (TokenAlgorithm::EdDsa, KeyMaterial::PublicPem(pem)) => {
                (Algorithm::EdDSA, public_key(DecodingKey::from_ed_pem(pem.as_bytes()))?)
            }
            (
                TokenAlgorithm::Hs256
                | TokenAlgorithm::Rs256
                | TokenAlgorithm::Es256
                | TokenAlgorithm::EdDsa,
                KeyMaterial::Shared(_) | KeyMaterial::PublicPem(_),
            ) => return Err("the key does not fit its algorithm".to_owned()),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = auth.leeway.as_secs();
        validation.validate_nbf = true;
        // A claim is compared only if the token has it, so what is compared must be required too.
        let mut required = vec!["exp", "sub"];
        match &auth.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &auth.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { kid: key.kid.clone(), algorithm, decoding, validation })
    }
}

fn public_key(parsed: Result<DecodingKey, Error>) -> Result<DecodingKey, String> {
    parsed.map_err(|error| format!("the public key is no PEM of this algorithm: {error}"))
}

fn hash(token: &str) -> Hash {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn auth_error(error: &Error) -> AuthError {
    match error.kind() {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotYetValid,
        ErrorKind::InvalidSignature => AuthError::Forged,
        ErrorKind::InvalidAudience => claim(
            "aud",
            "it is not this server's: compare it with `auth.audience` in the server's configuration",
        ),
        ErrorKind::InvalidIssuer => claim(
            "iss",
            "it is not the configured issuer: compare it with `auth.issuer` in the server's configuration",
        ),
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
            match name.as_str() {
                "sub" => claim("sub", "every token needs it, a text that names the user"),
                "exp" => claim("exp", "every token needs it, in whole seconds since 1970"),
                "nbf" => claim("nbf", "it is a number of seconds since 1970"),
                "aud" => claim("aud", "the server's configuration asks for it (`auth.audience`)"),
                "iss" => claim("iss", "the server's configuration asks for it (`auth.issuer`)"),
                _ => AuthError::Malformed(CLAIMS.to_owned()),
            }
        }
        ErrorKind::Json(error) => match missing_claim(&error.to_string()) {
            Some(name @ "sub") => claim(name, "every token needs it, a text that names the user"),
            Some(name) => claim(name, "every token needs it, in whole seconds since 1970"),
            None => AuthError::Malformed(CLAIMS.to_owned()),
        },
        ErrorKind::Base64(_) => AuthError::Malformed(
            "its second or third part is not base64url: a piece of the token is missing or changed"
                .to_owned(),
        ),
        _ => AuthError::Malformed(CLAIMS.to_owned()),
    }
}

/// What is wrong with claims that are not those of a token of ours.
const CLAIMS: &str = "its claims are not JSON with `sub` (a text), `exp` and perhaps `iat` (whole \
    seconds since 1970) and `caps` (a list of `match` and `ops`)";

/// Which claim is missing, if it is one that every token needs.
fn missing_claim(error: &str) -> Option<&'static str> {
    let is_missing = |name: &&str| error.starts_with(&format!("missing field `{name}`"));
    ["sub", "exp"].into_iter().find(is_missing)
}

/// What is wrong with a token that does not begin as one.
fn misshapen(token: &str) -> String {
    if token.is_empty() {
        return "it is empty".to_owned();
    }
    if token.contains(char::is_whitespace) {
        return "it has white space in it: give the token alone, without `Bearer`".to_owned();
    }
    match token.split('.').count() {
        3 => {
            "its first part is not base64url of a JSON header with an `alg` that the server knows \
              (HS256, RS256, ES256 or EdDSA)"
                .to_owned()
        }
        1 => "it has no dot in it, and a JWT has 3 parts with dots between them".to_owned(),
        parts => format!("it has {parts} parts with dots between them, and a JWT has 3"),
    }
}

fn claim(claim: &'static str, problem: impl Into<String>) -> AuthError {
    AuthError::Claim { claim, problem: problem.into() }
}

/// What verified claims say.
fn principal(claims: Claims, validation: &Validation) -> Result<Principal, AuthError> {
    let user = UserId::parse(&claims.sub).map_err(|error| claim("sub", error.to_string()))?;
    if user.is_reserved() {
        return Err(claim("sub", "users that start with `$` are the server's: name somebody else"));
    }
    let capabilities = match claims.caps {
        None => Capabilities::own_inbox(&user),
        Some(caps) if caps.len() > limits::CAPABILITIES_MAX => {
            return Err(claim("caps", format!("at most {} entries", limits::CAPABILITIES_MAX)));
        }
        Some(caps) => {
            let caps = caps.iter().map(capability).collect::<Result<_, _>>()?;
            Capabilities::new(caps)
        }
    };
    let seconds = |seconds: u64| Timestamp::from_ms(seconds.saturating_mul(1000));
    Ok(Principal {
        user,
        capabilities,
        issued_at: claims.iat.map(seconds),
        expires_at: Some(seconds(claims.exp.saturating_add(validation.leeway))),
    })
}

/// An operation this server does not know allows nothing.
fn capability(caps: &CapsClaim) -> Result<Capability, AuthError> {
    let filter = Filter::parse(&caps.filter)
        .map_err(|error| claim("caps", format!("`{}`: {error}", caps.filter)))?;
    let operations = caps.ops.iter().filter_map(|word| Operation::from_word(word)).collect();
    Ok(Capability { filter, operations })
}
