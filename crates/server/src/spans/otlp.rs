//! Spans as a request to a collector: OTLP 1, in its JSON form (identifiers as hexadecimal digits,
//! 64-bit numbers as texts).
//!
//! Names follow the semantic conventions of OpenTelemetry for messaging, where they have one.

use serde_json::{Value, json};
use tidings_core::NodeId;

use super::{Attribute, Kind, Span};

/// The trace flags of W3C in the lowest byte: sampled. Then: known whether the parent is in another
/// process, and it is.
const FLAGS: u32 = 0x01 | 0x100 | 0x200;

const STATUS_ERROR: u32 = 2;

/// The body of a request with these spans.
pub(super) fn encode(node: &NodeId, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": [
            text("service.name", "tidings"),
            text("service.version", version),
            text("service.instance.id", node.as_str()),
        ]},
        "scopeSpans": [{
            "scope": {"name": "tidings", "version": version},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]});
    request.to_string().into_bytes()
}

fn span(span: &Span) -> Value {
    // The name is the same for every topic: a collector groups by it.
    let (name, kind) = match span.kind {
        Kind::Publish => ("publish", 2), // SERVER
        Kind::Deliver => ("deliver", 5), // CONSUMER
    };
    let mut attributes = vec![text("messaging.system", "tidings")];
    attributes.extend(span.attributes.iter().map(|(name, value)| attribute(name, value)));
    attributes.push(text("tidings.outcome", span.outcome.as_str()));
    let failure = span.outcome.failure();
    attributes.extend(failure.map(|failure| text("error.type", failure)));
    let mut encoded = json!({
        "traceId": span.origin.trace,
        // All zeros would be no identifier.
        "spanId": format!("{:016x}", span.id.max(1)),
        "parentSpanId": span.origin.parent,
        "flags": FLAGS,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": span.started_ns.to_string(),
        "endTimeUnixNano": span.ended_ns.to_string(),
        "attributes": attributes,
    });
    if let Some(state) = &span.origin.state {
        encoded["traceState"] = json!(state);
    }
    if failure.is_some() {
        encoded["status"] = json!({"code": STATUS_ERROR});
    }
    encoded
}

fn attribute(name: &str, value: &Attribute) -> Value {
    match value {
        Attribute::Word(word) => text(name, word),
        Attribute::Text(value) => text(name, value),
        Attribute::Number(number) => {
            json!({"key": name, "value": {"intValue": number.to_string()}})
        }
        Attribute::True => json!({"key": name, "value": {"boolValue": true}}),
    }
}

fn text(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

/// How many spans a collector that answered with success has rejected all the same, and why.
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    // 64-bit numbers are texts, and some write numbers all the same.
    let spans = match partial.get("rejectedSpans")? {
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => number.as_u64()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let why = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
    (spans > 0).then(|| (spans, why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::{Origin, Outcome};

    /// Drawn from the example of the specification, field by field.
    #[test]
    fn a_span_is_written_as_the_specification_says() {
        let spans = [Span {
            id: 0x00f0_67aa_0ba9_02b7,
            kind: Kind::Deliver,
            origin: Origin {
                trace: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
                parent: "53995c3f42cd8ad8".to_owned(),
                state: Some("a=\"1\"".to_owned()),
            },
            started_ns: 1_795_000_000_000_000_001,
            ended_ns: 1_795_000_000_000_000_002,
            attributes: vec![("tidings.attempt", Attribute::Number(2))],
            outcome: Outcome::Nacked,
        }];
        let body = encode(&NodeId::parse("n1").unwrap(), &spans);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let resource = &body["resourceSpans"][0];
        assert!(
            resource["resource"]["attributes"]
                .as_array()
                .unwrap()
                .contains(&json!({"key": "service.instance.id", "value": {"stringValue": "n1"}}))
        );
        assert_eq!(
            resource["scopeSpans"][0]["spans"],
            json!([{
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "spanId": "00f067aa0ba902b7",
                "parentSpanId": "53995c3f42cd8ad8",
                "traceState": "a=\"1\"",
                "flags": 769,
                "name": "deliver",
                "kind": 5,
                "startTimeUnixNano": "1795000000000000001",
                "endTimeUnixNano": "1795000000000000002",
                "attributes": [
                    {"key": "messaging.system", "value": {"stringValue": "tidings"}},
                    {"key": "tidings.attempt", "value": {"intValue": "2"}},
                    {"key": "tidings.outcome", "value": {"stringValue": "nacked"}},
                    {"key": "error.type", "value": {"stringValue": "nacked"}},
                ],
                "status": {"code": 2},
            }])
        );
    }

    #[test]
    fn a_partial_success_says_how_many_were_rejected() {
        for (answer, expected) in [
            ("{}", None),
            ("", None),
            ("no json", None),
            (r#"{"partialSuccess":{}}"#, None),
            (r#"{"partialSuccess":{"rejectedSpans":"0","errorMessage":"careful"}}"#, None),
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"old"}}"#, Some((3, "old"))),
            (r#"{"partialSuccess":{"rejectedSpans":3}}"#, Some((3, ""))),
        ] {
            let expected = expected.map(|(spans, why)| (spans, why.to_owned()));
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}
