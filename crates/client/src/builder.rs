//! Setting up a client.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tidings_core::{Backoff, ClientId};
use tidings_protocol::Codec;

use crate::address::{Address, AddressError};
use crate::client::Client;
use crate::limits::{
    BACKOFF_BASE, BACKOFF_CAP, CLOSE_TIMEOUT_DEFAULT, CONNECT_TIMEOUT_DEFAULT,
    OUTBOX_BYTES_DEFAULT, OUTBOX_MESSAGES_DEFAULT,
};
use crate::tls::{TlsError, client_config};
use crate::token::TokenSource;

/// Everything a client's task needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) token: TokenSource,
    pub(crate) client: Option<ClientId>,
    pub(crate) codec: Codec,
    pub(crate) backoff: Backoff,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
}

/// Sets up a [`Client`]; made by [`Client::builder`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    url: String,
    token: TokenSource,
    client: Option<ClientId>,
    codec: Codec,
    backoff: Backoff,
    connect_timeout: Duration,
    close_timeout: Duration,
    outbox_messages: usize,
    outbox_bytes: usize,
    root_certificates: Option<PathBuf>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The address is wrong.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no tokio runtime to run the client's task on.
    #[error("a client needs a tokio runtime: call build() inside one")]
    NoRuntime,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for the client's keys")]
    NoRandomness,
}

impl ClientBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: TokenSource::None,
            client: None,
            codec: Codec::Json,
            backoff: Backoff { base: BACKOFF_BASE, cap: BACKOFF_CAP },
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            close_timeout: CLOSE_TIMEOUT_DEFAULT,
            outbox_messages: OUTBOX_MESSAGES_DEFAULT,
            outbox_bytes: OUTBOX_BYTES_DEFAULT,
            root_certificates: None,
        }
    }

    /// The token that says who is there. Once it has expired, the client ends; a program that
    /// runs for longer gives a [`token_source`](Self::token_source).
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = TokenSource::Fixed(token.into().into());
        self
    }

    /// What gives a fresh token: asked before each connection, and again shortly before a token
    /// expires. If it fails the client tries again, with backoff.
    #[must_use]
    pub fn token_source<Source, Answer, Error>(mut self, source: Source) -> Self
    where
        Source: Fn() -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<String, Error>> + Send + 'static,
        Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.token = TokenSource::Asked(Arc::new(move || {
            let answer = source();
            Box::pin(async move { answer.await.map_err(Into::into) })
        }));
        self
    }

    /// The stable name of this device or process; the server makes one up if there is none.
    #[must_use]
    pub fn client_id(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// How frames look on the wire. JSON unless this says otherwise.
    #[must_use]
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The first wait before coming back and the longest. The wait doubles with each failure, and
    /// a random part of it is taken, so that many clients do not come back together.
    #[must_use]
    pub const fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.backoff = Backoff { base, cap };
        self
    }

    /// How long one attempt may take, from asking for a token to the server's welcome.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`Client::close`] waits for answers to what was published.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How much may be published without an answer; beyond it publishing waits.
    #[must_use]
    pub const fn outbox(mut self, messages_max: usize, bytes_max: usize) -> Self {
        self.outbox_messages = messages_max;
        self.outbox_bytes = bytes_max;
        self
    }

    /// A PEM file with the root certificates to trust for `wss://`, instead of the system's.
    #[must_use]
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    /// Checks everything and starts the client. It connects on its own; watch
    /// [`Client::state`] or wait with [`Client::ready`].
    pub fn build(self) -> Result<Client, BuildError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let address = Address::parse(&self.url)?;
        let tls = match address.tls {
            true => Some(client_config(self.root_certificates.as_deref())?),
            false => None,
        };
        let seed = getrandom::u64().map_err(|_| BuildError::NoRandomness)?;
        let settings = Settings {
            address,
            tls,
            token: self.token,
            client: self.client,
            codec: self.codec,
            backoff: self.backoff,
            connect_timeout: self.connect_timeout,
            close_timeout: self.close_timeout,
        };
        Ok(Client::start(&runtime, settings, seed, (self.outbox_messages, self.outbox_bytes)))
    }
}
