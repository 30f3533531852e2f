//! The trace that a publish by HTTP belongs to (W3C Trace Context).

use http::HeaderMap;
use tidings_core::{Headers, TRACEPARENT, TRACESTATE, TRACESTATE_BYTES_MAX, TraceId, limits};

/// What a request says of its trace.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    /// Checked; as it came.
    parent: Option<String>,
    state: Option<String>,
}

impl Trace {
    /// Of the headers of a request. Broken ones count as none: a publish is not refused for what
    /// something on its way added.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(parent), None) => parent.to_str().ok(),
            (_, _) => None,
        };
        let parent = parent.filter(|text| TraceId::of_traceparent(text).is_some());
        let Some(parent) = parent else { return Self::default() };
        // Several lines are one list (RFC 9110 §5.3). One that is too long is left out, which the
        // standard prefers to a part of it.
        let lines = headers.get_all(TRACESTATE).iter().map(|line| line.to_str().ok());
        let state = lines.collect::<Option<Vec<_>>>().map(|lines| lines.join(","));
        let state = state.filter(|text| (1..=TRACESTATE_BYTES_MAX).contains(&text.len()));
        Self { parent: Some(parent.to_owned()), state }
    }

    /// Adds it to the headers of a message that says nothing of a trace by itself, as far as a
    /// message has room for it.
    pub(super) fn add_to(&self, headers: &mut Headers) {
        if headers.contains_key(TRACEPARENT) || headers.contains_key(TRACESTATE) {
            return;
        }
        let Some(parent) = &self.parent else { return };
        if !add(headers, TRACEPARENT, parent) {
            return;
        }
        if let Some(state) = &self.state {
            add(headers, TRACESTATE, state);
        }
    }
}

fn add(headers: &mut Headers, name: &str, value: &str) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let fits = headers.len() < limits::HEADERS_MAX
        && bytes + name.len() + value.len() <= limits::HEADERS_BYTES_MAX;
    if fits {
        headers.insert(name.to_owned(), value.to_owned());
    }
    fits
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace(lines: &[(&'static str, &str)]) -> Trace {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Trace::of(&headers)
    }

    fn added(trace: &Trace, mut headers: Headers) -> Headers {
        trace.add_to(&mut headers);
        headers
    }

    fn headers<const N: usize>(pairs: [(&str, &str); N]) -> Headers {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn what_came_with_the_request_goes_with_the_message() {
        let with = trace(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        let expected = headers([("traceparent", PARENT), ("tracestate", "a=1,b=2")]);
        assert_eq!(added(&with, Headers::new()), expected);
        let own = headers([("traceparent", "mine")]);
        assert_eq!(added(&with, own.clone()), own, "the body's own counts");
        let long = "x".repeat(513);
        let cut = trace(&[("traceparent", PARENT), ("tracestate", &long)]);
        assert_eq!(added(&cut, Headers::new()), headers([("traceparent", PARENT)]));
    }

    #[test]
    fn what_is_broken_or_has_no_room_is_left_out() {
        for lines in [
            &[("traceparent", "00-0-0-0"), ("tracestate", "a=1")][..],
            &[("traceparent", PARENT), ("traceparent", PARENT)],
            &[("tracestate", "a=1")],
            &[],
        ] {
            assert_eq!(added(&trace(lines), Headers::new()), Headers::new(), "{lines:?}");
        }
        let with = trace(&[("traceparent", PARENT), ("tracestate", "a=1")]);
        let many = |count: usize| -> Headers {
            (0..count).map(|n| (n.to_string(), String::new())).collect()
        };
        assert_eq!(added(&with, many(32)), many(32));
        assert_eq!(added(&with, many(31)).len(), 32, "the parent alone");
        let full = headers([("h", &"x".repeat(4090))]);
        assert_eq!(added(&with, full.clone()), full);
    }
}
