//! Every connection publishes, one message after the other, to a topic that nobody hears. All to the
//! same: what a server keeps of a topic is not what it keeps of a connection.

use std::time::Duration;

use anyhow::bail;

use crate::load::crowd::{Crowd, Traffic};
use crate::load::settle::SettleOptions;
use crate::websocket::{self, Opcode};
use crate::wire::{self, PublishForm, ServerFrame, Stamp, Stamps};

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that publish at once: the others begin when one of them is through.
const AT_ONCE: usize = 1000;
/// Request 1 and 2 are the greeting's. The one that published to all is left out.
const FIRST_ID: u32 = 3;
const FIRST: usize = 1;

/// Publishing under way.
#[derive(Debug)]
pub(super) struct Everybody {
    connections: usize,
    own: u32,
    form: PublishForm,
    /// The next one to begin, and how many may still.
    next: usize,
    may_begin: usize,
    answered: u32,
    stamps: Stamps,
    line: Vec<u8>,
    progress: Duration,
}

impl Everybody {
    /// Lets all but the first in `crowd` publish; says how many publishes were acknowledged.
    pub(super) fn publish(crowd: &mut Crowd, options: &SettleOptions) -> anyhow::Result<u32> {
        let mut everybody = Self::new(options, crowd.now());
        let all = options.connections * options.own;
        while everybody.answered < all {
            let wait = if everybody.may_begin > 0 { 0 } else { 10 };
            crowd.turn(Duration::from_millis(wait), &mut everybody)?;
            if crowd.now() > everybody.progress + PATIENCE {
                bail!("{} of {all} publishes were not answered", all - everybody.answered);
            }
        }
        Ok(everybody.answered)
    }

    fn new(options: &SettleOptions, now: Duration) -> Self {
        Self {
            connections: options.connections as usize,
            own: options.own,
            form: PublishForm::new(&format!("{}/own", options.topic)),
            next: FIRST,
            may_begin: AT_ONCE.min(options.connections as usize),
            answered: 0,
            stamps: Stamps::of_this_run(),
            line: Vec::new(),
            progress: now,
        }
    }

    fn put(&mut self, now: Duration, id: u32, out: &mut Vec<u8>) {
        self.line.clear();
        let stamp = Stamp { sequence: id, sent: now };
        self.form.put(&mut self.line, id, &self.stamps, stamp);
        websocket::put_masked_frame(out, Opcode::Text, &self.line);
    }
}

impl Traffic for Everybody {
    fn frame(
        &mut self,
        now: Duration,
        _: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let id = match wire::read_server_frame(frame)? {
            ServerFrame::Published { id, .. } => id,
            ServerFrame::Refused { message, .. } => bail!("a publish was refused: {message}"),
            // The last of the traffic before.
            ServerFrame::Message => return Ok(()),
            other @ (ServerFrame::Connected
            | ServerFrame::Subscribed
            | ServerFrame::Ping
            | ServerFrame::Other(_)) => bail!("a publisher got {other:?}"),
        };
        self.answered += 1;
        self.progress = now;
        if id + 1 < FIRST_ID + self.own {
            self.put(now, id + 1, out);
        } else {
            self.may_begin += 1;
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        if self.may_begin == 0 || self.next >= FIRST + self.connections {
            self.may_begin = 0;
            return Ok(None);
        }
        let from = self.next;
        self.next += 1;
        self.may_begin -= 1;
        self.put(now, FIRST_ID, out);
        Ok(Some(from))
    }
}
