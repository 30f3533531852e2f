//! Where the tour plays: a directory, free ports, and this very binary as every actor.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::runtime::Runtime;

use super::cast::{Cast, Entered};
use crate::standard_output;

/// How long a server may take to listen.
const SERVER_PATIENCE: Duration = Duration::from_secs(20);

/// The running tour. Dropping it ends the server and removes the directory.
#[derive(Debug)]
pub(super) struct Stage {
    binary: PathBuf,
    directory: PathBuf,
    listen: SocketAddr,
    operator: SocketAddr,
    cast: Cast,
    server: Option<u32>,
    acts: u32,
    pause: Duration,
    bold: bool,
}

impl Stage {
    /// Sets it up, and listens for requests to stop as long as the runtime lives.
    pub(super) fn set(pause: Duration) -> Result<(Self, Runtime)> {
        let directory = std::env::temp_dir().join(format!("tidings-tour-{}", std::process::id()));
        let binary = std::env::current_exe().context("cannot find this program's own file")?;
        let (listen, operator) = (free_address()?, free_address()?);
        let cast = Cast::new(directory.clone());
        // Before there is anything to clear.
        let signals = cast.leave_when_asked()?;
        std::fs::create_dir(&directory)
            .with_context(|| format!("cannot make a directory at {}", directory.display()))?;
        let bold = std::io::stdout().is_terminal();
        let stage =
            Self { binary, directory, listen, operator, cast, server: None, acts: 0, pause, bold };
        Ok((stage, signals))
    }

    pub(super) fn say(&self, text: &str) -> Result<()> {
        standard_output::write(format!("{text}\n").as_bytes())
    }

    /// Begins the next act, once the reader had time for the last.
    pub(super) fn act(&mut self, text: &str) -> Result<()> {
        std::thread::sleep(self.pause);
        self.acts += 1;
        let text = format!("{}. {text}", self.acts);
        self.say(&if self.bold { format!("\n\x1b[1m{text}\x1b[0m") } else { format!("\n{text}") })
    }

    pub(super) fn start_server(&mut self) -> Result<()> {
        let data = self.directory.join("data");
        let (listen, operator) = (self.listen.to_string(), self.operator.to_string());
        self.say(&format!(
            "   $ tidings dev --listen {listen} --operator {operator} --data {}",
            data.display()
        ))?;
        let mut command = Command::new(&self.binary);
        command.args(["dev", "--listen", &listen, "--operator", &operator, "--data"]).arg(data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let server = self.cast.enter(&mut command)?;
        let started = Instant::now();
        while TcpStream::connect(self.listen).is_err() {
            if let Some(status) = self.cast.ended(server.id)? {
                let said = server.stderr.map(std::io::read_to_string).transpose()?;
                bail!("the server ended with {status}: {}", said.unwrap_or_default());
            }
            ensure!(started.elapsed() < SERVER_PATIENCE, "the server does not listen on {listen}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(server.id);
        if self.acts == 1 {
            self.say(&format!("   $ export TIDINGS_URL={}", self.url()))?;
            self.say(&format!("   $ export TIDINGS_OPERATOR={}", self.operator_url()))?;
        }
        Ok(())
    }

    /// `kill -9`: no farewell, no last write.
    pub(super) fn kill_server(&mut self) -> Result<()> {
        let server = self.server.take().context("no server runs")?;
        self.say(&format!("   $ kill -9 {server}"))?;
        self.cast.kill(server)
    }

    /// Starts a command without waiting for its end.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Entered> {
        let shown = arguments
            .iter()
            .map(|a| if a.contains([' ', '"', '{']) { format!("'{a}'") } else { (*a).to_owned() });
        self.say(&format!("   $ tidings {}", shown.collect::<Vec<_>>().join(" ")))?;
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        command.env("TIDINGS_URL", self.url()).env("TIDINGS_OPERATOR", self.operator_url());
        // One that is set is another server's.
        command.env_remove("TIDINGS_OPERATOR_KEY");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.cast.enter(&mut command)
    }

    /// Shows what a started command prints, to its end; gives what it said.
    pub(super) fn watch(&self, command: Entered) -> Result<String> {
        let mut said = String::new();
        if let Some(stdout) = command.stdout {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                self.say(&format!("   {line}"))?;
                said += &line;
                said.push('\n');
            }
        }
        let told = command.stderr.map(std::io::read_to_string).transpose()?;
        let told = told.unwrap_or_default();
        let status = self.cast.wait(command.id)?;
        ensure!(status.success(), "a command of the tour ended with {status}: {told}");
        for line in told.lines() {
            self.say(&format!("   {line}"))?;
        }
        Ok(said)
    }

    fn url(&self) -> String {
        format!("ws://{}/v1/ws", self.listen)
    }

    fn operator_url(&self) -> String {
        format!("http://{}", self.operator)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        let command = self.start(arguments)?;
        self.watch(command)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cast.clear();
    }
}

/// A port of this machine that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind("127.0.0.1:0").context("no port is free on 127.0.0.1")?;
    Ok(probe.local_addr()?)
}
