//! Who is at the other end: tokens, API keys and origins.

mod api_key;
mod operator_key;
mod origin;
mod revocations;
mod token;

use std::sync::Arc;

use tidings_core::{Capabilities, Principal, Timestamp, UserId};
use tidings_protocol::ErrorCode;

pub(crate) use operator_key::{KeySource, OperatorKey};
pub(crate) use origin::OriginRules;

use crate::config::AuthSection;
use api_key::ApiKeys;
pub(crate) use revocations::{REVOCATIONS_TOPIC, Revocations, RevokeError};
use token::Tokens;

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct KeyError {
    /// Which entry (`auth.keys[0]`), or which file.
    pub key: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl KeyError {
    pub(crate) const fn at(key: String, problem: String) -> Self {
        Self { key, problem }
    }
}

/// Why somebody is not let in. Says what to mend, never what a valid token would look like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error(
        "no token was shown: send one in `connect`, an `Authorization: Bearer` header or the subprotocol `tidings.bearer.<base64url>`"
    )]
    NoToken,
    #[error("the token has {bytes} bytes, at most {bytes_max} are read: give it fewer `caps`")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("the token is not a JWT: {0}")]
    Malformed(String),
    #[error(
        "no key of the server verifies a token with `alg` {algorithm} and `kid` {kid}: sign it with one of `auth.keys` in the server's configuration, or add its key there"
    )]
    NoKey { algorithm: String, kid: String },
    #[error(
        "the token's signature does not verify: it was signed with another key than the server's (`auth.keys` in its configuration), or changed since"
    )]
    Forged,
    #[error("the token has expired: get a fresh one")]
    Expired,
    #[error("the token is not valid yet: compare the clocks of issuer and server")]
    NotYetValid,
    #[error("the token's claim `{claim}` is missing or wrong: {problem}")]
    Claim { claim: &'static str, problem: String },
    #[error("the token was revoked: sign in again to get a fresh one")]
    Revoked,
    #[error("the API key is not known: take one of `auth.api_keys` in the server's configuration")]
    UnknownApiKey,
}

impl AuthError {
    /// The code that clients see.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::Expired | Self::NotYetValid => ErrorCode::TokenExpired,
            Self::Revoked => ErrorCode::TokenRevoked,
            Self::NoToken
            | Self::TooLong { .. }
            | Self::Malformed(_)
            | Self::NoKey { .. }
            | Self::Forged
            | Self::Claim { .. }
            | Self::UnknownApiKey => ErrorCode::Unauthenticated,
        }
    }
}

/// Knows every key; built from the configuration.
#[derive(Debug)]
pub(crate) struct Authenticator {
    tokens: Tokens,
    api_keys: ApiKeys,
    /// Who somebody without a token is, where that is allowed (`tidings dev`).
    anonymous: Option<Arc<Principal>>,
    revocations: Revocations,
}

impl Authenticator {
    pub(crate) fn new(auth: &AuthSection) -> Result<Self, KeyError> {
        let anonymous = auth.open.then(|| {
            Arc::new(Principal {
                user: UserId::parse("dev").expect("a valid user"),
                capabilities: Capabilities::unrestricted(),
                issued_at: None,
                expires_at: None,
            })
        });
        Ok(Self {
            tokens: Tokens::new(auth)?,
            api_keys: ApiKeys::new(auth)?,
            anonymous,
            revocations: Revocations::default(),
        })
    }

    /// Who shows this token.
    pub(crate) fn principal(
        &self,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        match (token, &self.anonymous) {
            (Some(token), _) => {
                let principal = self.tokens.principal(token, now)?;
                match self.revocations.of(&principal.user) {
                    Some(at) if principal.is_issued_by(at) => Err(AuthError::Revoked),
                    Some(_) | None => Ok(principal),
                }
            }
            (None, Some(anonymous)) => Ok(Arc::clone(anonymous)),
            (None, None) => Err(AuthError::NoToken),
        }
    }

    /// Which tokens no longer count.
    pub(crate) const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Who shows this API key.
    pub(crate) fn api_key(&self, key: &str) -> Result<Arc<Principal>, AuthError> {
        self.api_keys.principal(key)
    }
}
