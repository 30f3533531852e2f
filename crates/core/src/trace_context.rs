//! W3C Trace Context: which trace a message belongs to.
//!
//! The header `traceparent` of a publish travels with the message as the message header of that
//! name, and `tracestate` with it. Nothing here makes or changes one.

/// The message header with the trace and the span that published.
pub const TRACEPARENT: &str = "traceparent";

/// The message header with what tracing systems add; goes with [`TRACEPARENT`] only.
pub const TRACESTATE: &str = "tracestate";

/// The identity of a trace: 32 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId<'a>(&'a str);

impl<'a> TraceId<'a> {
    /// Reads it from a `traceparent` (Trace Context, §3.2.2). `None` if that is not one: who
    /// receives a broken one goes on as if there were none.
    ///
    /// Of a version that is not known, what comes after the four fields is not looked at.
    pub fn of_traceparent(text: &'a str) -> Option<Self> {
        let mut fields = text.split('-');
        let mut hex = |digits: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            fields.next().filter(|text| text.len() == digits && text.bytes().all(is_digit))
        };
        let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        if version == "ff" || is_zero(trace) || is_zero(parent) {
            return None;
        }
        if version == "00" && fields.next().is_some() {
            return None;
        }
        Some(Self(trace))
    }

    /// The digits.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_standard_allows_and_nothing_else() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, is_one) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", false),
            ("", false),
            ("é", false),
        ] {
            let found = TraceId::of_traceparent(text).map(TraceId::as_str);
            assert_eq!(found, is_one.then_some(trace), "{text}");
        }
    }
}
