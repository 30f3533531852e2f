//! Few handshakes at a time. Each takes some kilobytes that its connection does not need once it is
//! made, and the process keeps what the busiest moment took: when thousands come back at once, this
//! is what decides how much memory they leave behind.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::env::Seat;

/// Handshakes at once for each core: enough to keep all of them busy.
const PER_CORE: usize = 8;

/// A handshake that takes longer waits for its peer, so the next one need not wait for it.
const OWN_TIME: Duration = Duration::from_millis(20);

/// A socket that was accepted and has a seat: there are no more of them than seats.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
}

/// Where arrivals wait for their turn.
#[derive(Debug)]
pub(super) struct Turnstile {
    arrivals: Receiver<Arrival>,
    places: Arc<Semaphore>,
}

/// Leave to make a connection, until its last holder is gone or it is [over](Self::over).
#[derive(Clone, Debug)]
pub(super) struct Turn(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Turnstile {
    /// A turnstile, and the way to it, on which as many find room as there are seats.
    pub(super) fn new(seats: usize) -> (Sender<Arrival>, Self) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (way, arrivals) = channel(seats.max(1));
        (way, Self { arrivals, places: Arc::new(Semaphore::new(PER_CORE * cores)) })
    }

    /// The next arrival when it is its turn; none once the way to here is closed.
    pub(super) async fn next(&mut self) -> Option<(Arrival, Turn)> {
        let arrival = self.arrivals.recv().await?;
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some((arrival, Turn(Arc::new(Mutex::new(Some(place))))))
    }
}

impl Turn {
    /// Runs what makes a connection to its end. After its own time the next need not wait for it.
    pub(super) async fn take(self, work: impl Future<Output = ()>) {
        let mut work = std::pin::pin!(work);
        if tokio::time::timeout(OWN_TIME, work.as_mut()).await.is_err() {
            self.over();
            work.await;
        }
    }

    /// The next may begin.
    fn over(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::env::Seats;

    /// Arrivals that all want to begin.
    async fn crowd(count: usize) -> Turnstile {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seats = Arc::new(Seats::new(count));
        let (way, turnstile) = Turnstile::new(count);
        for _ in 0..count {
            let peer = listener.local_addr().unwrap();
            let (socket, _) = tokio::join!(TcpStream::connect(peer), listener.accept());
            let socket = socket.unwrap();
            way.try_send(Arrival { socket, peer, seat: seats.take().unwrap() }).unwrap();
        }
        turnstile
    }

    #[tokio::test]
    async fn so_many_begin_and_the_next_when_one_has_ended() {
        let mut turnstile = crowd(200).await;
        let at_once = turnstile.places.available_permits();
        let mut turns = Vec::new();
        for _ in 0..at_once {
            turns.push(turnstile.next().await.unwrap());
        }
        let too_many = tokio::time::timeout(Duration::from_millis(50), turnstile.next()).await;
        assert!(too_many.is_err(), "more than {at_once} have begun");
        let (_, turn) = turns.pop().unwrap();
        let held = turn.clone();
        turn.take(async {}).await;
        let too_early = tokio::time::timeout(Duration::from_millis(50), turnstile.next()).await;
        assert!(too_early.is_err(), "the connection is not where it belongs yet");
        drop(held);
        assert!(turnstile.next().await.is_some());
    }

    #[tokio::test]
    async fn who_is_slow_holds_nobody_up() {
        let mut turnstile = crowd(200).await;
        let at_once = turnstile.places.available_permits();
        let begun = Instant::now();
        for _ in 0..at_once + 1 {
            let (_, turn) = turnstile.next().await.unwrap();
            tokio::spawn(turn.take(std::future::pending()));
        }
        assert!(begun.elapsed() >= OWN_TIME);
        let mut served = at_once + 1;
        while turnstile.next().await.is_some() {
            served += 1;
        }
        assert_eq!(served, 200);
    }
}
