//! Runs the program: a bare server for the length of a test, and loads against it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidings-bench");

const CERTIFICATE: &str = "certificate";

/// A bare server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Limit {
    child: Child,
    url: String,
    directory: TempDir,
}

impl Limit {
    pub(crate) fn fanout(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start(Command::new(PROGRAM).args(["limit", "fanout"]).args(flags), directory)
    }

    /// With TLS and a certificate of its own.
    pub(crate) fn fanout_with_tls() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a pair");
        let (certificate, key) = (directory.path().join(CERTIFICATE), directory.path().join("key"));
        std::fs::write(&certificate, pair.cert.pem()).expect("a file");
        std::fs::write(&key, pair.signing_key.serialize_pem()).expect("a file");
        let mut command = Command::new(PROGRAM);
        command.args(["limit", "fanout", "--coalesce"]);
        command.arg("--certificate").arg(certificate).arg("--key").arg(key);
        let mut limit = Self::start(&mut command, directory);
        limit.url = limit.url.replace("ws://", "wss://");
        limit
    }

    /// The certificate, if it has one.
    pub(crate) fn certificate(&self) -> Option<String> {
        let file = self.directory.path().join(CERTIFICATE);
        file.is_file().then(|| file.to_str().expect("a plain path").to_owned())
    }

    pub(crate) fn pairs() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start(Command::new(PROGRAM).args(["limit", "pairs"]), directory)
    }

    pub(crate) fn log() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(PROGRAM);
        command
            .args(["limit", "log", "--mebibytes", "2", "--file"])
            .arg(directory.path().join("log"));
        Self::start(&mut command, directory)
    }

    fn start(command: &mut Command, directory: TempDir) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, url: format!("ws://{address}"), directory }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the log starts with a record of the generator: length, offset, data.
    pub(crate) fn log_has_records(&self) -> bool {
        let path = self.directory.path().join("log");
        let bytes = std::fs::read(path).expect("the log is readable");
        bytes.len() == 2 << 20 && bytes.starts_with(&[128, 0, 0, 0]) && &bytes[12..14] == b"\"b"
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.child.kill().expect("the server runs until it is killed");
        self.child.wait().expect("a killed process ends");
    }
}

/// A client with TLS that is upgraded.
pub(crate) fn tls_client(limit: &Limit) -> StreamOwned<ClientConnection, TcpStream> {
    let file = limit.certificate().expect("one of its own");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).expect("a certificate")).expect("it is one");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address: SocketAddr = limit.url.trim_start_matches("wss://").parse().expect("an address");
    let connection =
        ClientConnection::new(Arc::new(config), address.ip().into()).expect("a configuration");
    let socket = TcpStream::connect(address).expect("it listens");
    let mut client = StreamOwned::new(connection, socket);
    let request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request).expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("the server answers");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    client
}

/// Where the payload of the first whole frame of a server begins and ends.
pub(crate) fn next_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, length) = match bytes.get(1)? {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        short => (2, usize::from(*short)),
    };
    (bytes.len() >= start + length).then_some((start, start + length))
}

/// What a run reported.
#[derive(Debug)]
pub(crate) struct Report(Value);

impl Report {
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let figures = self.0["figures"].as_array().expect("figures");
        let figure = figures.iter().find(|figure| figure["name"] == name);
        figure.and_then(|figure| figure["value"].as_f64()).unwrap_or_else(|| panic!("no {name}"))
    }

    pub(crate) fn assert_no_faults(&self) {
        for name in ["lost", "duplicates", "order_errors", "refused"] {
            assert_eq!(self.figure(name), 0.0, "{name} in {}", self.0);
        }
    }
}

/// Runs a load against `limit`, short, and returns its report.
pub(crate) fn run(arguments: &[&str], limit: &Limit) -> Report {
    let pid = limit.child.id().to_string();
    let mut all = arguments.to_vec();
    all.extend(["--url", &limit.url, "--server-pid", &pid]);
    let certificate = limit.certificate();
    all.extend(certificate.iter().flat_map(|file| ["--certificate", file]));
    match arguments[0] {
        "storm" => {}
        "idle" | "settle" => all.extend(["--seconds", "0.5"]),
        _ => all.extend(["--seconds", "0.5", "--warmup", "0.2"]),
    }
    report_of(&all)
}

/// Runs the program and returns the report it wrote.
pub(crate) fn report_of(arguments: &[&str]) -> Report {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("report.json");
    let output = bench(&[arguments, &["--json", file.to_str().expect("a plain path")]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {told}"));
    Report(serde_json::from_str(&text).expect("a report is JSON"))
}

/// Runs the program to its end.
pub(crate) fn bench(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program starts")
}
