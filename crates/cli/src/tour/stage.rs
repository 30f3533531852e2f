//! Where the tour plays: a directory, free ports, and this very binary as every actor.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a server may take to listen.
const SERVER_PATIENCE: Duration = Duration::from_secs(20);

/// The running tour. Dropping it ends the server and removes the directory.
#[derive(Debug)]
pub(super) struct Stage {
    binary: PathBuf,
    directory: PathBuf,
    listen: SocketAddr,
    operator: SocketAddr,
    server: Option<Child>,
    acts: u32,
    pause: Duration,
    bold: bool,
}

impl Stage {
    pub(super) fn set(pause: Duration) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("tidings-tour-{}", std::process::id()));
        std::fs::create_dir(&directory)
            .with_context(|| format!("cannot make a directory at {}", directory.display()))?;
        Ok(Self {
            binary: std::env::current_exe().context("cannot find this program's own file")?,
            directory,
            listen: free_address()?,
            operator: free_address()?,
            server: None,
            acts: 0,
            pause,
            bold: std::io::stdout().is_terminal(),
        })
    }

    #[expect(clippy::print_stdout, reason = "the tour is there to be read")]
    pub(super) fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Begins the next act, once the reader had time for the last.
    pub(super) fn act(&mut self, text: &str) {
        std::thread::sleep(self.pause);
        self.acts += 1;
        let text = format!("{}. {text}", self.acts);
        self.say(&if self.bold { format!("\n\x1b[1m{text}\x1b[0m") } else { format!("\n{text}") });
    }

    pub(super) fn start_server(&mut self) -> Result<()> {
        let data = self.directory.join("data");
        let (listen, operator) = (self.listen.to_string(), self.operator.to_string());
        self.say(&format!("   $ tidings dev --listen {listen}"));
        let mut server = Command::new(&self.binary)
            .args(["dev", "--listen", &listen, "--operator", &operator, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let started = Instant::now();
        while TcpStream::connect(self.listen).is_err() {
            if let Some(status) = server.try_wait()? {
                let said = server.stderr.take().map(std::io::read_to_string).transpose()?;
                bail!("the server ended with {status}: {}", said.unwrap_or_default());
            }
            ensure!(started.elapsed() < SERVER_PATIENCE, "the server does not listen on {listen}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(server);
        Ok(())
    }

    /// `kill -9`: no farewell, no last write.
    pub(super) fn kill_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("no server runs")?;
        self.say(&format!("   $ kill -9 {}", server.id()));
        server.kill()?;
        server.wait()?;
        Ok(())
    }

    /// Starts a command without waiting for its end.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Child> {
        let shown = arguments
            .iter()
            .map(|a| if a.contains([' ', '"', '{']) { format!("'{a}'") } else { (*a).to_owned() });
        self.say(&format!("   $ tidings {}", shown.collect::<Vec<_>>().join(" ")));
        Command::new(&self.binary)
            .args(arguments)
            .env("TIDINGS_URL", format!("ws://{}/v1/ws", self.listen))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a command of the tour")
    }

    /// Shows what a started command prints, to its end; gives what it said.
    pub(super) fn watch(&self, mut command: Child) -> Result<String> {
        let mut said = String::new();
        if let Some(stdout) = command.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                self.say(&format!("   {line}"));
                said += &line;
                said.push('\n');
            }
        }
        let told = command.stderr.take().map(std::io::read_to_string).transpose()?;
        let told = told.unwrap_or_default();
        let status = command.wait()?;
        ensure!(status.success(), "a command of the tour ended with {status}: {told}");
        for line in told.lines() {
            self.say(&format!("   {line}"));
        }
        Ok(said)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        let command = self.start(arguments)?;
        self.watch(command)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // The directory goes with it, so there is nothing to save.
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A port of this machine that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind("127.0.0.1:0").context("no port is free on 127.0.0.1")?;
    Ok(probe.local_addr()?)
}
