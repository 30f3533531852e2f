//! W3C Trace Context: which trace a message belongs to.
//!
//! The header `traceparent` of a publish travels with the message as the message header of that
//! name, and `tracestate` with it. Nothing here makes or changes one.

/// The message header with the trace and the span that published.
pub const TRACEPARENT: &str = "traceparent";

/// The message header with what tracing systems add; goes with [`TRACEPARENT`] only.
pub const TRACESTATE: &str = "tracestate";

/// Longest `tracestate` that is passed on: what every system has to be able to (§3.3.1.5).
pub const TRACESTATE_BYTES_MAX: usize = 512;

/// The identity of a trace: 32 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId<'a>(&'a str);

impl<'a> TraceId<'a> {
    /// Reads it from a `traceparent`. `None` if that is not one.
    pub fn of_traceparent(text: &'a str) -> Option<Self> {
        TraceParent::parse(text).map(TraceParent::trace)
    }

    /// The digits.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// What a well-formed `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent<'a> {
    trace: TraceId<'a>,
    span: &'a str,
    sampling: Sampling,
}

/// Whether whoever began a trace records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The flag `sampled` is set (§3.2.2.5.1).
    Sampled,
    /// It is not.
    NotSampled,
}

impl<'a> TraceParent<'a> {
    /// Reads a `traceparent` (Trace Context, §3.2.2). `None` if it is not one: who receives a
    /// broken one goes on as if there were none.
    ///
    /// Of a version that is not known, what comes after the four fields is not looked at.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.split('-');
        let mut hex = |digits: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            fields.next().filter(|text| text.len() == digits && text.bytes().all(is_digit))
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        if version == "ff" || is_zero(trace) || is_zero(span) {
            return None;
        }
        if version == "00" && fields.next().is_some() {
            return None;
        }
        let is_sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        let sampling = if is_sampled { Sampling::Sampled } else { Sampling::NotSampled };
        Some(Self { trace: TraceId(trace), span, sampling })
    }

    /// Which trace.
    pub const fn trace(self) -> TraceId<'a> {
        self.trace
    }

    /// The span within it that caused what carries the header: 16 lower-case hexadecimal digits.
    pub const fn span(self) -> &'a str {
        self.span
    }

    /// Whether it is recorded.
    pub const fn sampling(self) -> Sampling {
        self.sampling
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

    #[test]
    fn only_the_last_bit_of_the_flags_says_that_a_trace_is_recorded() {
        for (flags, expected) in [
            ("00", Sampling::NotSampled),
            ("01", Sampling::Sampled),
            ("02", Sampling::NotSampled),
            ("03", Sampling::Sampled),
            ("fe", Sampling::NotSampled),
            ("ff", Sampling::Sampled),
        ] {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let parent = TraceParent::parse(&text).unwrap();
            assert_eq!(
                (parent.sampling(), parent.span()),
                (expected, "00f067aa0ba902b7"),
                "{text}"
            );
        }
    }
}
