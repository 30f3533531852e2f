//! Log lines of single messages, with the trace they belong to: for whoever follows one message.
//!
//! They are below `info`, since there may be millions: publishes at `debug`, deliveries at `trace`.
//! Where the level is not on, they cost a comparison.

use tidings_core::{Message, TRACEPARENT, TraceId, UserId};

/// A message has its place in the log.
pub(crate) fn published(message: &Message) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let Message { id, offset, content, .. } = message;
    let trace_id = trace_id(message);
    tracing::debug!(topic = %content.topic, %offset, id = %id, trace_id, "published");
}

/// A message is on its way to the socket of a subscriber.
pub(crate) fn delivered(message: &Message, attempt: u32, to: &UserId) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let Message { id, offset, content, .. } = message;
    let trace_id = trace_id(message);
    tracing::trace!(topic = %content.topic, %offset, id = %id, attempt, %to, trace_id, "delivered");
}

/// Only one that is well-formed: the header is the publisher's own text.
fn trace_id(message: &Message) -> Option<&str> {
    let parent = message.content.headers.get(TRACEPARENT)?;
    TraceId::of_traceparent(parent).map(TraceId::as_str)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tidings_core::{Data, Epoch, MessageId, NewMessage, Offset, Timestamp, Topic};
    use tracing::Level;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn message(traceparent: Option<&str>) -> Message {
        let topic = Topic::parse("room/1").unwrap();
        let mut content = NewMessage::new(topic, Data::json("\"secret\"".into()));
        if let Some(parent) = traceparent {
            content.headers.insert(TRACEPARENT.to_owned(), parent.to_owned());
        }
        Message {
            id: MessageId::new(5, 0, 0),
            epoch: Epoch::new(1),
            offset: Offset::new(7),
            published_at: Timestamp::from_ms(5),
            content,
        }
    }

    /// What is logged of a message, published and delivered, down to `level`.
    fn logged(level: Level, traceparent: Option<&str>) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone());
        let message = message(traceparent);
        tracing::subscriber::with_default(subscriber.finish(), || {
            published(&message);
            delivered(&message, 2, &UserId::parse("alice").unwrap());
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_carry_the_trace_and_never_the_data() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let all = logged(Level::TRACE, Some(&parent));
        let lines: Vec<_> = all.lines().collect();
        assert_eq!(lines.len(), 2, "{all}");
        for (line, words) in lines.iter().zip([
            ["published", "topic=room/1", "offset=7", trace],
            ["delivered", "attempt=2", "to=alice", trace],
        ]) {
            assert!(words.iter().all(|word| line.contains(word)), "{line}");
        }
        assert!(!all.contains("secret"));
        assert!(!logged(Level::TRACE, None).contains("trace_id"));
        let broken = logged(Level::TRACE, Some("x\ny"));
        assert!(!broken.contains("trace_id") && broken.lines().count() == 2, "{broken}");
        assert_eq!(logged(Level::DEBUG, None).lines().count(), 1, "publishes alone");
        assert_eq!(logged(Level::INFO, Some(&parent)), "");
    }
}
