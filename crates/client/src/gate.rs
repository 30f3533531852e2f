//! Lets publishes into the outbox while there is room, and makes the others wait.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::publish::PublishError;

/// Room in an outbox: the task gives back what an answer frees.
#[derive(Debug)]
pub(crate) struct Gate {
    messages: Semaphore,
    bytes: Semaphore,
    bytes_max: usize,
}

/// Room that was taken, or that has become free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Room for one message, given back unless it is kept.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    message: SemaphorePermit<'a>,
    bytes: SemaphorePermit<'a>,
}

impl Entry<'_> {
    /// The message is on its way: the task gives the room back.
    pub(crate) fn keep(self) {
        self.message.forget();
        self.bytes.forget();
    }
}

impl Gate {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        let messages_max = messages_max.clamp(1, Semaphore::MAX_PERMITS);
        // What a message counts for is asked for in one request of 32 bits.
        let bytes_max = bytes_max.clamp(1, u32::MAX as usize);
        Self { messages: Semaphore::new(messages_max), bytes: Semaphore::new(bytes_max), bytes_max }
    }

    /// Waits until a message of `weight` bytes fits. First come, first served; cancelling gives
    /// the place in the line up. `None` when the client has ended.
    pub(crate) async fn enter(&self, weight: usize) -> Option<Result<Entry<'_>, PublishError>> {
        let fits = u32::try_from(weight).ok().filter(|_| weight <= self.bytes_max);
        let Some(permits) = fits else {
            let bytes_max = self.bytes_max;
            return Some(Err(PublishError::OutboxTooSmall { bytes: weight, bytes_max }));
        };
        let message = self.messages.acquire().await.ok()?;
        let bytes = self.bytes.acquire_many(permits).await.ok()?;
        Some(Ok(Entry { message, bytes }))
    }

    /// Gives room back.
    pub(crate) fn release(&self, room: Room) {
        if room != Room::default() {
            self.messages.add_permits(room.messages);
            self.bytes.add_permits(room.bytes);
        }
    }

    /// Nobody gets in any more.
    pub(crate) fn close(&self) {
        self.messages.close();
        self.bytes.close();
    }
}
