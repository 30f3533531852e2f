//! Stories of a durable subscription.
//!
//! `hold` leaves effects untaken until `take`, to tell what happens when an input comes between.
//! `disconnect` takes the window's last state and goes on with a new window from it; `crash` does
//! so with the state that was saved last, and `saved` makes that one durable.
//!
//! Stories that are not about what is reserved begin with more of it than they use.

use std::time::Duration;

use tidings_core::{
    Backoff, CursorState, DeliveryEffect, DeliveryPolicy, DeliveryWindow, Departure, Epoch, GiveUp,
    Instant, Offset, SettleOutcome,
};

use crate::story::{Command, Machine, duration, moment, number, range};

#[derive(Debug, Default)]
pub(crate) struct Delivery {
    now: Instant,
    setup: Option<(DeliveryPolicy, u32)>,
    window: Option<DeliveryWindow>,
    holding: bool,
    /// The story is about what is reserved.
    tells_reserved: bool,
    /// The state on its way to the disk, and the one that is there.
    saving: Option<CursorState>,
    durable: Option<CursorState>,
}

impl Machine for Delivery {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        match command.name() {
            "resume" => self.resume(command)?,
            "advance" => self.advance(duration(command.word()?)?, observed)?,
            "disconnect" => self.disconnect(command, Departure::Broken, observed)?,
            "leave" => self.disconnect(command, Departure::Ended, observed)?,
            "saved" => self.saved()?,
            "crash" => self.crash(observed)?,
            "hold" => self.holding = true,
            "take" => self.holding = false,
            _ => {
                let now = self.now;
                tell(now, self.window()?, command, observed)?;
            }
        }
        self.take_effects(observed)
    }
}

impl Delivery {
    fn window(&mut self) -> Result<&mut DeliveryWindow, String> {
        self.window.as_mut().ok_or_else(|| "the story begins with `resume`".to_owned())
    }

    fn resume(&mut self, command: &Command) -> Result<(), String> {
        let cursor = Offset::new(number(command.needed("cursor")?)?);
        let window = number(command.needed("window")?)? as u32;
        let (base, cap) = command
            .value("backoff")
            .unwrap_or("1s..1m")
            .split_once("..")
            .ok_or("a backoff is `base..cap`, such as `1s..1m`")?;
        let policy = DeliveryPolicy {
            ack_timeout: duration(command.needed("ack_timeout")?)?,
            attempts_max: number(command.needed("attempts_max")?)? as u32,
            backoff: Backoff { base: duration(base)?, cap: duration(cap)? },
        };
        let tail = match command.value("tail") {
            Some(tail) => Offset::new(number(tail)?),
            None => Offset::ORIGIN,
        };
        let mut state = CursorState::at(Epoch::new(1), cursor);
        if let Some(ranges) = command.value("settled") {
            state.settled = ranges.split(',').map(range).collect::<Result<_, _>>()?;
        }
        if let Some(counts) = command.value("attempts") {
            for count in counts.split(',') {
                let (offset, attempts) = count.split_once(':').ok_or("attempts are `7:2,8:1`")?;
                state.attempts.push((Offset::new(number(offset)?), number(attempts)? as u32));
            }
        }
        self.setup = Some((policy, window));
        self.tells_reserved = command.value("reserved").is_some();
        state.reserved = Offset::new(command.value("reserved").map_or(Ok(1_000), number)?);
        self.durable = Some(state.clone());
        let reserved = state.reserved;
        let mut window = DeliveryWindow::new(policy, window, state, tail, 1);
        match command.value("begins") {
            None | Some("now") => window.begins(reserved),
            Some("anew") => window.begins_anew(),
            Some("before") => {}
            Some(_) => return Err("a story begins `now`, `anew` or `before`".to_owned()),
        }
        self.window = Some(window);
        Ok(())
    }

    fn saved(&mut self) -> Result<(), String> {
        let state = self.saving.take().ok_or("nothing is being saved")?;
        self.window()?.saved(state.reserved);
        self.durable = Some(state);
        Ok(())
    }

    fn crash(&mut self, observed: &mut Vec<String>) -> Result<(), String> {
        let state = self.durable.clone().ok_or("the story begins with `resume`")?;
        observed.push(format!("{} state {}", moment(self.now), self.written(&state)));
        let tail = self.window()?.tail();
        let (policy, window) = self.setup.ok_or("the story begins with `resume`")?;
        self.window = Some(DeliveryWindow::new(policy, window, state, tail, 3));
        self.saving = None;
        Ok(())
    }

    /// Lets time pass, stopping at each deadline on the way.
    fn advance(&mut self, by: Duration, observed: &mut Vec<String>) -> Result<(), String> {
        let end = self.now + by;
        while let Some(at) = self.window()?.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            self.window()?.deadline_passed(now);
            self.take_effects(observed)?;
        }
        self.now = end;
        Ok(())
    }

    /// The connection ends, and the subscription is taken up again.
    fn disconnect(
        &mut self,
        command: &Command,
        departure: Departure,
        observed: &mut Vec<String>,
    ) -> Result<(), String> {
        let state = self.window()?.last_state(departure);
        observed.push(format!("{} state {}", moment(self.now), self.written(&state)));
        let tail = self.window()?.tail();
        let (policy, mut window) = self.setup.ok_or("the story begins with `resume`")?;
        if let Some(other) = command.value("window") {
            window = number(other)? as u32;
        }
        self.durable = Some(state.clone());
        let mut window = DeliveryWindow::new(policy, window, state, tail, 2);
        if !self.tells_reserved {
            window.begins(Offset::new(1_000));
        }
        self.window = Some(window);
        Ok(())
    }

    fn take_effects(&mut self, observed: &mut Vec<String>) -> Result<(), String> {
        if self.holding {
            return Ok(());
        }
        let now = self.now;
        while let Some(effect) = self.window()?.next_effect(now) {
            let line = match effect {
                DeliveryEffect::Send { offset, attempt } => {
                    format!("send offset={offset} attempt={attempt}")
                }
                DeliveryEffect::DeadLetter { offset, attempts, reason } => {
                    let reason = match reason {
                        GiveUp::TimedOut => "timed_out",
                        GiveUp::ConnectionEnded => "connection_ended",
                        GiveUp::Nacked => "nacked",
                        GiveUp::Asked => "asked",
                    };
                    format!("dead_letter offset={offset} attempts={attempts} reason={reason}")
                }
                DeliveryEffect::SaveCursor => format!("save_cursor {}", self.saving()?),
                DeliveryEffect::Reserve => format!("reserve {}", self.saving()?),
            };
            observed.push(format!("{} {line}", moment(now)));
        }
        Ok(())
    }
}

impl Delivery {
    /// The state is on its way to the disk.
    fn saving(&mut self) -> Result<String, String> {
        let state = self.window()?.state();
        let text = self.written(&state);
        self.saving = Some(state);
        Ok(text)
    }

    fn written(&self, state: &CursorState) -> String {
        let text = written(state);
        if self.tells_reserved { format!("{text} reserved={}", state.reserved) } else { text }
    }
}

/// Tells the window what happened.
fn tell(
    now: Instant,
    window: &mut DeliveryWindow,
    command: &Command,
    observed: &mut Vec<String>,
) -> Result<(), String> {
    let outcome = match command.name() {
        "acked" => window.acked(command.offset()?),
        "acked_through" => window.acked_through(command.offset()?),
        "nacked" => {
            let delay = command.value("delay").map(duration).transpose()?;
            window.nacked(now, command.offset()?, delay)
        }
        "refused" => window.refused(command.offset()?),
        "extended" => window.extended(now, command.offset()?, duration(command.needed("by")?)?),
        name => {
            match name {
                "tail_advanced" => {
                    window.tail_advanced(Offset::new(number(command.needed("to")?)?));
                }
                "missing" => {
                    let (first, last) = range(command.word()?)?;
                    window.missing(first, last);
                }
                "not_sent" => {
                    let again = now + duration(command.value("again").unwrap_or("0s"))?;
                    window.not_sent(command.offset()?, again);
                }
                "dead_lettered" => window.dead_lettered(command.offset()?),
                "dead_letter_failed" => window.dead_letter_failed(now, command.offset()?),
                "deadline" => observed.push(match window.next_deadline() {
                    Some(at) => format!("{} deadline {}", moment(now), moment(at)),
                    None => format!("{} no deadline", moment(now)),
                }),
                "pending" => {
                    observed.push(format!("{} pending {}", moment(now), window.pending()));
                }
                _ => return Err(command.unknown()),
            }
            return Ok(());
        }
    };
    if outcome == SettleOutcome::Stale {
        observed.push(format!("{} stale", moment(now)));
    }
    Ok(())
}

fn written(state: &CursorState) -> String {
    let mut text = format!("next={}", state.next);
    if !state.settled.is_empty() {
        let ranges: Vec<_> = state.settled.iter().map(|(f, l)| format!("{f}..{l}")).collect();
        text += &format!(" settled={}", ranges.join(","));
    }
    if !state.attempts.is_empty() {
        let counts: Vec<_> = state.attempts.iter().map(|(o, n)| format!("{o}:{n}")).collect();
        text += &format!(" attempts={}", counts.join(","));
    }
    text
}
