//! A TCP proxy that does to connections what networks do: cuts them at a byte, swallows what is
//! sent, slices, slows, and flips bits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What happens to the bytes of one direction of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    /// So many bytes pass, then both sides lose the connection.
    CutAfter(u64, Cut),
    /// So many bytes pass, then a bit of the next one is another.
    FlipAfter(u64),
    /// Each byte behind the upgrade is a packet of its own.
    Slices,
    /// Every read waits so long.
    Delay(Duration),
    /// At most so many bytes in a millisecond.
    Rate(u64),
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Both sides see an orderly end.
    Fin,
    /// Both sides see a reset.
    Reset,
}

/// The two directions of a connection: `up` is from the client to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) up: Fault,
    pub(crate) down: Fault,
}

impl Link {
    pub(crate) const CLEAN: Self = Self { up: Fault::None, down: Fault::None };
}

/// What the proxy shares with its connections.
#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    cuts: AtomicU64,
    flips: AtomicU64,
    hole_up: AtomicBool,
    hole_down: AtomicBool,
}

/// A proxy in front of a port of this machine. Ends, with its connections, when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

impl Proxy {
    /// `plan` says what happens to the first, second, … connection, from 0.
    pub(crate) fn start(
        server_port: u16,
        plan: impl Fn(u64) -> Link + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        runtime.spawn(accept(listener, server_port, Arc::clone(&shared), plan));
        Self { port, shared, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/v1/ws", self.port)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections that were cut as planned.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// Bits that were flipped as planned.
    pub(crate) fn flips(&self) -> u64 {
        self.shared.flips.load(Ordering::Relaxed)
    }

    /// From now on what clients send is lost, without their being told.
    pub(crate) fn swallow_up(&self) {
        self.shared.hole_up.store(true, Ordering::Relaxed);
    }

    /// From now on what the server sends is lost, without its being told.
    pub(crate) fn swallow_down(&self) {
        self.shared.hole_down.store(true, Ordering::Relaxed);
    }
}

async fn accept(
    listener: TcpListener,
    server_port: u16,
    shared: Arc<Shared>,
    plan: impl Fn(u64) -> Link + Send + Sync + 'static,
) {
    while let Ok((client, _)) = listener.accept().await {
        let link = plan(shared.connections.fetch_add(1, Ordering::Relaxed));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A server that is down refuses, and so does the proxy.
            let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else { return };
            // An error here is an end like any other.
            let _ = carry(client, server, link, &shared).await;
        });
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    link: Link,
    shared: &Shared,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let up = pump(client_read, server_write, link.up, &shared.hole_up, shared);
        let down = pump(server_read, client_write, link.down, &shared.hole_down, shared);
        tokio::try_join!(up, down)
    };
    if let Err(Ended::Cut(how)) = ended {
        shared.cuts.fetch_add(1, Ordering::Relaxed);
        match how {
            Cut::Fin => {}
            Cut::Reset => {
                client.set_zero_linger()?;
                server.set_zero_linger()?;
            }
        }
    }
    Ok(())
}

/// Why a direction came to an early end.
enum Ended {
    Cut(Cut),
    Failed,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    fault: Fault,
    hole: &AtomicBool,
    shared: &Shared,
) -> Result<(), Ended> {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0u64;
    loop {
        let bytes = from.read(&mut buffer).await?;
        if hole.load(Ordering::Relaxed) {
            if bytes == 0 {
                // The end is lost as well: the other side waits for ever.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if bytes == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let chunk = &mut buffer[..bytes];
        match fault {
            Fault::None => to.write_all(chunk).await?,
            Fault::CutAfter(after, how) => {
                let left = (after - passed) as usize;
                if chunk.len() >= left {
                    to.write_all(&chunk[..left]).await?;
                    return Err(Ended::Cut(how));
                }
                to.write_all(chunk).await?;
            }
            Fault::FlipAfter(after) => {
                let at = after.checked_sub(passed).and_then(|at| chunk.get_mut(at as usize));
                if let Some(byte) = at {
                    *byte ^= 1 << (after % 8);
                    shared.flips.fetch_add(1, Ordering::Relaxed);
                }
                to.write_all(chunk).await?;
            }
            // The upgrade stays whole: the SDK's parser takes an answer in crumbs for an attack,
            // and would have to try again until they happen to arrive together.
            Fault::Slices if passed == 0 => to.write_all(chunk).await?,
            Fault::Slices => {
                for byte in chunk.iter() {
                    to.write_all(&[*byte]).await?;
                }
            }
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                to.write_all(chunk).await?;
            }
            Fault::Rate(bytes_per_ms) => {
                for piece in chunk.chunks(10 * bytes_per_ms as usize) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    to.write_all(piece).await?;
                }
            }
        }
        passed += bytes as u64;
    }
}
