//! The servers that are compared, and their processes.

mod certificate;
mod mosquitto;
mod nats;
mod ws;

use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::compare::peer::certificate::Certificate;
use crate::load::ServerOptions;

/// How long a server may take to listen.
const READY_MAX: Duration = Duration::from_secs(15);
/// How much of what a failed server said is shown.
const TOLD_BYTES_MAX: usize = 2000;

/// The policy of the topics of work that keeps nothing; the others have the default, which is
/// to be on the disk.
const MEMORY_TOPICS: &str = r#"[{match = "memory/#", durability = "memory"}]"#;

/// A server that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Bare, one write per message and subscriber.
    LimitDirect,
    /// Bare, one write per turn and subscriber.
    LimitCoalesced,
    /// Bare, one write to the one subscriber of a topic.
    LimitPairs,
    /// Bare, group commit on a prewritten file.
    LimitLog,
    /// Bare, one write per turn and subscriber, with TLS.
    LimitTls,
    /// What all this is about.
    Tidings { program: PathBuf, arguments: Vec<String> },
    /// The same with TLS.
    TidingsTls { program: PathBuf, arguments: Vec<String> },
    /// `appendfsync always`, so that it too answers only what is on the disk.
    Redis,
    /// Keeps nothing.
    NatsCore { program: PathBuf },
    /// `sync_interval: always`, so that it too answers only what is on the disk.
    JetStream { program: PathBuf },
    /// QoS 0, keeps nothing.
    Mosquitto { program: PathBuf },
    /// The npm package on Node.js, keeps nothing.
    Ws { node: PathBuf, node_modules: PathBuf },
}

/// Where a program is that is installed: on the path, or where those of an administrator are.
fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// All servers there are on this machine; adds a notice for each that is missing.
pub(crate) fn available(
    tidings: Option<&Path>,
    tidings_arguments: &[String],
    node_modules: Option<&Path>,
    notices: &mut Vec<String>,
) -> anyhow::Result<Vec<Peer>> {
    let mut peers = vec![
        Peer::LimitDirect,
        Peer::LimitCoalesced,
        Peer::LimitTls,
        Peer::LimitPairs,
        Peer::LimitLog,
    ];
    match tidings {
        Some(path) => {
            let program = fs::canonicalize(path)
                .with_context(|| format!("there is no tidings at {}", path.display()))?;
            let arguments = tidings_arguments.to_vec();
            peers.push(Peer::Tidings { program: program.clone(), arguments: arguments.clone() });
            peers.push(Peer::TidingsTls { program, arguments });
        }
        None => notices.push("tidings is not measured: no --tidings was given".to_owned()),
    }
    let redis = Command::new("redis-server").arg("--version").output();
    match redis {
        Ok(output) if output.status.success() => peers.push(Peer::Redis),
        Ok(_) | Err(_) => {
            notices.push("redis is not measured: there is no redis-server here".to_owned());
        }
    }
    peers.extend(nats::available(notices));
    peers.extend(mosquitto::available(notices));
    peers.extend(ws::available(node_modules, notices)?);
    Ok(peers)
}

impl Peer {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::LimitDirect => "limit-direct",
            Self::LimitCoalesced => "limit-coalesced",
            Self::LimitTls => "limit-tls",
            Self::LimitPairs => "limit-pairs",
            Self::LimitLog => "limit-log",
            Self::Tidings { .. } => "tidings",
            Self::TidingsTls { .. } => "tidings-tls",
            Self::Redis => "redis-aof-always",
            Self::NatsCore { .. } => "nats-core",
            Self::JetStream { .. } => "jetstream-sync-always",
            Self::Mosquitto { .. } => "mosquitto",
            Self::Ws { .. } => "node-ws",
        }
    }

    const fn scheme(&self) -> &'static str {
        match self {
            Self::LimitDirect
            | Self::LimitCoalesced
            | Self::LimitPairs
            | Self::LimitLog
            | Self::Tidings { .. }
            | Self::Ws { .. } => "ws",
            Self::LimitTls | Self::TidingsTls { .. } => "wss",
            Self::Redis => "redis",
            Self::NatsCore { .. } | Self::JetStream { .. } => "nats",
            Self::Mosquitto { .. } => "mqtt",
        }
    }

    /// Made by `tidings dev` at its first start, for tokens to be signed with.
    fn secret_file(&self, data: &Path) -> Option<PathBuf> {
        let verifies = matches!(self, Self::Tidings { .. } | Self::TidingsTls { .. });
        verifies.then(|| data.join("tidings").join("dev-secret"))
    }

    /// With a certificate where the server speaks TLS.
    fn command(
        &self,
        listen: SocketAddr,
        data: &Path,
        certificate: Option<&Certificate>,
    ) -> anyhow::Result<Command> {
        let (address, port) = (listen.to_string(), listen.port().to_string());
        let own = || env::current_exe().context("cannot find this program itself");
        let mut command;
        match self {
            Self::LimitDirect => {
                command = Command::new(own()?);
                command.args(["limit", "fanout", "--listen", &address]);
            }
            Self::LimitCoalesced => {
                command = Command::new(own()?);
                command.args(["limit", "fanout", "--coalesce", "--listen", &address]);
            }
            Self::LimitPairs => {
                command = Command::new(own()?);
                command.args(["limit", "pairs", "--listen", &address]);
            }
            Self::LimitLog => {
                command = Command::new(own()?);
                command.args(["limit", "log", "--listen", &address, "--file"]);
                command.arg(data.join("log"));
            }
            Self::LimitTls => {
                command = Command::new(own()?);
                command.args(["limit", "fanout", "--coalesce", "--listen", &address]);
                if let Some(Certificate { certificate, key }) = certificate {
                    command.arg("--certificate").arg(certificate).arg("--key").arg(key);
                }
            }
            Self::Tidings { program, arguments } | Self::TidingsTls { program, arguments } => {
                command = tidings(program, arguments, listen, data)?;
                if let Some(Certificate { certificate, key }) = certificate {
                    command.env("TIDINGS_TLS__CERTIFICATE_FILE", certificate);
                    command.env("TIDINGS_TLS__KEY_FILE", key);
                }
            }
            Self::Redis => {
                command = Command::new("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
                command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]);
                command.arg(data);
            }
            Self::NatsCore { program } => command = nats::core(program, listen),
            Self::JetStream { program } => command = nats::jetstream(program, listen, data)?,
            Self::Mosquitto { program } => command = mosquitto::command(program, listen, data)?,
            Self::Ws { node, node_modules } => {
                command = ws::command(node, node_modules, listen, data)?;
            }
        }
        Ok(command)
    }
}

fn tidings(
    program: &Path,
    arguments: &[String],
    listen: SocketAddr,
    data: &Path,
) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command.args(["dev", "--listen", &listen.to_string(), "--data"]).arg(data.join("tidings"));
    // In `dev` everybody is one user, who may not have so many cursors by default.
    command.env("TIDINGS_LIMITS__CURSORS_PER_USER", "100000");
    // One more than the largest crowd has subscribers, for the publisher.
    command.env("TIDINGS_SERVER__CONNECTIONS_MAX", "15001");
    command.env("TIDINGS_TOPIC", MEMORY_TOPICS);
    command.args(["--operator", &free_address()?.to_string()]).args(arguments);
    Ok(command)
}

/// A running server. It ends, and its data goes, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    listen: SocketAddr,
    scheme: &'static str,
    told: PathBuf,
    secret_file: Option<PathBuf>,
    certificate: Option<Certificate>,
    _data: TempDir,
}

impl Server {
    /// Starts `peer` with fresh data in a directory of its own inside `data`.
    pub(crate) fn start(peer: &Peer, data: &Path) -> anyhow::Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("tidings-bench-")
            .tempdir_in(data)
            .with_context(|| format!("cannot create a directory in {}", data.display()))?;
        let listen = free_address()?;
        let told = data.path().join("told");
        let out = File::create(&told).context("cannot keep what the server says")?;
        let err = out.try_clone().context("cannot keep what the server says")?;
        let with_tls = peer.scheme() == "wss";
        let certificate = with_tls.then(|| Certificate::make(data.path())).transpose()?;
        let mut command = peer.command(listen, data.path(), certificate.as_ref())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("cannot start {}", peer.name()))?;
        let (scheme, secret_file) = (peer.scheme(), peer.secret_file(data.path()));
        Ok(Self { child, listen, scheme, told, secret_file, certificate, _data: data })
    }

    /// Waits until the server takes connections.
    pub(crate) fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while TcpStream::connect_timeout(&self.listen, Duration::from_secs(1)).is_err() {
            if let Some(status) = self.child.try_wait().context("cannot watch the server")? {
                bail!("the server ended at once with {status}: {}", self.told());
            }
            if Instant::now() > deadline {
                bail!("the server does not listen after {READY_MAX:?}: {}", self.told());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// How loads reach it.
    pub(crate) fn options(&self) -> anyhow::Result<ServerOptions> {
        Ok(ServerOptions {
            url: format!("{}://{}", self.scheme, self.listen).parse()?,
            token: None,
            certificate: self.certificate.as_ref().map(|files| files.certificate.clone()),
            server_pid: Some(self.child.id()),
        })
    }

    /// What the server verifies tokens with, if it does.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    /// Adds to `error` what the server said, if anything.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let told = self.told();
        if told.is_empty() { error } else { error.context(format!("the server said: {told}")) }
    }

    /// The end of what the server wrote.
    fn told(&self) -> String {
        let told = fs::read(&self.told).unwrap_or_default();
        let start = told.len().saturating_sub(TOLD_BYTES_MAX);
        String::from_utf8_lossy(&told[start..]).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that nobody listens on now.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    listener.local_addr().context("there is no free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tidings_is_an_error_and_not_a_gap() {
        let error = available(Some(Path::new("no/such/tidings")), &[], None, &mut Vec::new());
        let error = error.expect_err("there is no such file").to_string();
        assert_eq!(error, "there is no tidings at no/such/tidings");
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_words() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let peer = Peer::Tidings {
            program: PathBuf::from("sh"),
            arguments: vec!["unreachable".to_owned()],
        };
        let mut server = Server::start(&peer, directory.path()).expect("sh starts");
        let error = server.wait_until_ready().expect_err("sh knows no dev").to_string();
        assert!(error.contains("ended at once") && error.contains("dev"), "{error}");
    }
}
