//! TLS over a non-blocking socket, and what both ends need for it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use crate::stream::Stream;

/// One connection with TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    connection: Connection,
    socket: TcpStream,
}

impl Tls {
    pub(super) const fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Sends what is ready for the socket, as much as the kernel takes.
    pub(super) fn push(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.connection.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let taken = self.connection.process_new_packets();
            // The handshake's next step, or what tells the peer that it failed.
            self.push()?;
            taken.map_err(io::Error::other)?;
        }
    }

    /// Before the handshake is over bytes wait for it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.connection.writer().write(bytes)?;
        self.push()?;
        if taken == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }
}

/// What all clients of a server share.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl ClientTls {
    /// For the server at `host`, a name or address with a port, whose certificate hangs on the one in
    /// `trusted`. Every connection has a full handshake.
    pub(crate) fn new(host: &str, trusted: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(trusted)? {
            roots.add(certificate).with_context(|| {
                format!("the certificate in {} cannot be trusted", trusted.display())
            })?;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = match name.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(name.to_owned())
                .with_context(|| format!("{name} cannot stand in a certificate"))?,
        };
        Ok(Self { config: Arc::new(config), name })
    }

    /// The handshake begins with the first bytes that are written.
    pub(crate) fn connect(&self, socket: TcpStream) -> anyhow::Result<Stream> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        Ok(Stream::Tls(Box::new(Tls { connection: connection.into(), socket })))
    }
}

/// The certificate of a bare server.
#[derive(Clone, Debug, Args)]
pub(crate) struct CertificateFiles {
    /// Speak TLS: the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
}

/// What all connections of a bare server share.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// `None` when no files are named.
    pub(crate) fn read(files: &CertificateFiles) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
            return Ok(None);
        };
        let private = PrivateKeyDer::from_pem_file(key)
            .with_context(|| format!("there is no private key in {}", key.display()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates(certificate)?, private)
            .context("the certificate and its key cannot be used")?;
        // Nobody comes back with one, and an idle connection would have to keep it.
        config.send_tls13_tickets = 0;
        Ok(Some(Self { config: Arc::new(config) }))
    }

    pub(crate) fn accept(&self, socket: TcpStream) -> anyhow::Result<Stream> {
        let connection = ServerConnection::new(Arc::clone(&self.config))?;
        Ok(Stream::Tls(Box::new(Tls { connection: connection.into(), socket })))
    }
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unreadable = || format!("there is no certificate in {}", file.display());
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(unreadable)?;
    if found.is_empty() {
        bail!(unreadable());
    }
    Ok(found)
}
