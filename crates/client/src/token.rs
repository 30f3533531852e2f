//! Where tokens come from. Never shown in logs or errors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::state::Disconnect;

/// Any error of the application.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A token on its way.
pub(crate) type TokenFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum TokenSource {
    /// The server asks for none.
    None,
    /// Always the same.
    Fixed(Arc<str>),
    /// A fresh one when it is needed.
    Asked(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

impl TokenSource {
    /// A token for the next connection.
    pub(crate) async fn token(&self) -> Result<Option<String>, Disconnect> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(token.to_string())),
            Self::Asked(ask) => match ask().await {
                Ok(token) => Ok(Some(token)),
                Err(source) => Err(Disconnect::Token { source: Arc::from(source) }),
            },
        }
    }

    pub(crate) const fn is_asked(&self) -> bool {
        match self {
            Self::None | Self::Fixed(_) => false,
            Self::Asked(_) => true,
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed(***)",
            Self::Asked(_) => "Asked",
        })
    }
}
