//! Starting the binary and looking at what it does.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, without the settings of whoever runs the tests.
pub(crate) fn tidings() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDINGS_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command line to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = tidings();
    command.args(arguments);
    finish(&mut command)
}

/// Runs a command to its end. One that does not end is killed, and the test fails.
pub(crate) fn finish(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = read_to_end(child.stdout.take().unwrap());
    let stderr = read_to_end(child.stderr.take().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} does not end: {}", text(&stderr.join().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Standard output of a command line that must succeed.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Standard error of a command line that must fail with `code`.
pub(crate) fn fail(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Numbers that differ from run to run. The seed is printed, and `TIDINGS_E2E_SEED` repeats it.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("TIDINGS_E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = seed.unwrap_or(since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32);
        println!("TIDINGS_E2E_SEED={seed}");
        Self(seed)
    }

    /// Others, for another thread.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.below(1 << 30) << 32 | self.below(1 << 30))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX constants; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// How often a server is started at most whose port is taken.
const PORTS_TRIED: usize = 5;

/// A port that is free, below those the system gives out by itself: a client that looks for a
/// server that is down must not be given the server's own port and meet itself.
pub(crate) fn free_port() -> u16 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut dice = Dice(since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32);
    loop {
        let port = 10_000 + dice.below(20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `found` finds something.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = found() {
            return result;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that is killed at the end of the test.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts it, with standard error into a file of `directory`.
    pub(crate) fn start(mut command: Command, directory: &Path, name: &str) -> Self {
        let stderr = directory.join(format!("{name}.stderr"));
        let file = OpenOptions::new().create(true).append(true).open(&stderr).unwrap();
        let child = command.stderr(file).spawn().unwrap();
        Self { child, stderr }
    }

    /// What it has written to standard error, earlier processes of the same name included.
    pub(crate) fn stderr(&self) -> String {
        text(&std::fs::read(&self.stderr).unwrap_or_default())
    }

    /// Standard output, if it is a pipe; once.
    pub(crate) fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Standard input, if it is a pipe; once.
    pub(crate) fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the end of a process", || child.try_wait().unwrap())
    }

    /// Waits for its end and gives its whole standard output.
    pub(crate) fn output(mut self) -> String {
        let mut output = String::new();
        self.stdout().read_to_string(&mut output).unwrap();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.stderr());
        output
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.stderr.display(), self.stderr());
        }
    }
}

/// A server on fixed ports and a directory of its own, so that it can be killed and come back.
#[derive(Debug)]
pub(crate) struct Server {
    /// First, so that it ends before its directory goes.
    process: Option<Process>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) operator_port: u16,
    /// Command and flags.
    arguments: Vec<String>,
}

impl Server {
    /// `tidings dev`.
    pub(crate) fn dev() -> Self {
        let mut server = Self::stopped();
        server.arguments = vec!["dev".to_owned()];
        server.start();
        server
    }

    /// `tidings serve` with `configuration`; `DIRECTORY` in it is the server's directory.
    pub(crate) fn serve(configuration: &str) -> Self {
        let mut server = Self::stopped();
        let file = server.path("tidings.toml");
        let directory = server.directory.path().display().to_string();
        std::fs::write(&file, configuration.replace("DIRECTORY", &directory)).unwrap();
        server.arguments = vec!["serve".to_owned(), "-c".to_owned(), file.display().to_string()];
        server
    }

    fn stopped() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
            operator_port: free_port(),
            arguments: Vec::new(),
            process: None,
        }
    }

    /// The whole command line.
    pub(crate) fn command(&self) -> Command {
        let mut command = tidings();
        command.args(&self.arguments);
        command.arg("--data").arg(self.path("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.arg("--operator").arg(format!("127.0.0.1:{}", self.operator_port));
        command
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&mut self) {
        // Who comes back looks for it where it was.
        let is_new = !self.path("data").exists();
        for _ in 0..PORTS_TRIED {
            match self.try_start() {
                Ok(process) => {
                    self.process = Some(process);
                    return;
                }
                // Another test has taken the port since, or looks whether it is free.
                Err(told) if told.contains("Address already in use") => {
                    if is_new {
                        (self.port, self.operator_port) = (free_port(), free_port());
                    } else {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
                Err(told) => panic!("the server ended: {told}"),
            }
        }
        panic!("no port was free in {PORTS_TRIED} tries");
    }

    /// Fails with what it wrote to standard error if it ends at once.
    fn try_start(&self) -> Result<Process, String> {
        let mut command = self.command();
        command.stdout(File::create(self.path("server.stdout")).unwrap());
        let earlier = std::fs::metadata(self.path("server.stderr"));
        let before = earlier.map_or(0, |file| file.len() as usize);
        let mut process = Process::start(command, self.directory.path(), "server");
        wait_for("the server", || {
            if process.child.try_wait().unwrap().is_some() {
                let told = process.stderr();
                return Some(Err(told.get(before..).unwrap_or(&told).to_owned()));
            }
            self.is_ready().then_some(Ok(()))
        })?;
        Ok(process)
    }

    /// Asks the operator port. That somebody listens is not enough: the server listens before it
    /// opens its store.
    fn is_ready(&self) -> bool {
        let ask = || {
            let mut socket = TcpStream::connect(("127.0.0.1", self.operator_port))?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            socket.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
            let mut answer = [0; 12];
            socket.read_exact(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| answer == *b"HTTP/1.1 200")
    }

    /// The value of a metric, named with its labels as the operator's port shows it; 0 if there is
    /// none yet.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut socket = TcpStream::connect(("127.0.0.1", self.operator_port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.take().unwrap().stop()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// What it has written to standard error.
    pub(crate) fn stderr(&self) -> String {
        text(&std::fs::read(self.path("server.stderr")).unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/v1/ws", self.port)
    }

    pub(crate) fn operator_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.operator_port)
    }

    /// The key that the server has made.
    pub(crate) fn operator_key(&self) -> String {
        std::fs::read_to_string(self.path("data/operator-key")).unwrap().trim_end().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a client command to its end, which must be a success; gives standard output.
    pub(crate) fn client(&self, arguments: &[&str]) -> String {
        let url = self.url();
        succeed(&[arguments, &["--url", &url]].concat())
    }

    /// Runs a client command to its end, which must be failure `code`; gives standard error.
    pub(crate) fn client_fails(&self, code: i32, arguments: &[&str]) -> String {
        let url = self.url();
        fail(code, &[arguments, &["--url", &url]].concat())
    }

    /// Starts a client command with standard output into a pipe.
    pub(crate) fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = tidings();
        command.args(arguments).args(["--url", &self.url()]).stdout(Stdio::piped());
        Process::start(command, self.directory.path(), name)
    }
}
