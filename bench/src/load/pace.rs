//! When a fan-out publishes its next message.

use anyhow::bail;

/// When the next message is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At this many a second, whatever the server does. Latency counts from when a message was
    /// to be sent, so a server that stalls pays for all that should have been sent meanwhile.
    Rate(f64),
    /// At this many a second as far as the server answers, which is too many for it on purpose.
    Offered(f64),
    /// As soon as fewer than this many are on their way to some subscriber.
    InFlight(usize),
}

impl Pace {
    pub(crate) fn rate(rate: f64) -> anyhow::Result<Self> {
        if !(0.1..=1e6).contains(&rate) {
            bail!("a rate is from 0.1 to 1000000 messages a second");
        }
        Ok(Self::Rate(rate))
    }

    pub(crate) fn in_flight(messages: u32) -> anyhow::Result<Self> {
        if !(1..=100_000).contains(&messages) {
            bail!("from 1 to 100000 messages can be in flight");
        }
        Ok(Self::InFlight(messages as usize))
    }
}
