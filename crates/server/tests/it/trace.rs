//! Spans of sampled messages, at a collector that really takes them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidings_server::{Config, RunningServer, TopicSection};
use tokio::net::TcpListener;

use crate::collector::{Answer, Collector, attribute};
use crate::peer::{Peer, config, http, metric, start};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const JSON: (&str, &str) = ("content-type", "application/json");

fn sampled() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

fn traced(url: String) -> Config {
    let mut config = config();
    config.trace.otlp_url = Some(url);
    config
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn publish(topic: &str, headers: Value) -> Value {
    json!({"publish": {"topic": topic, "data": 1, "headers": headers}})
}

/// Publishes by HTTP with a `traceparent` of the request.
async fn post(server: &RunningServer, body: Value, parent: &str) -> Value {
    let headers = [JSON, ("traceparent", parent), ("tracestate", "vendor=1")];
    let (_, _, reply) =
        http(server.public_addr(), "POST", "/v1/publish", &headers, &body.to_string()).await;
    serde_json::from_str(&reply).unwrap()
}

fn outcomes(spans: &[Value]) -> Vec<&str> {
    spans.iter().map(|span| attribute(span, "tidings.outcome").as_str().unwrap()).collect()
}

/// Asserts what every span of these tests must have, and that it lies in the time since `began`.
fn assert_in_trace(span: &Value, began: u64) {
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(SPAN)), "{span}");
    let id = span["spanId"].as_str().unwrap();
    assert!(id.len() == 16 && id != SPAN && id.bytes().all(|b| b.is_ascii_hexdigit()), "{span}");
    let ns = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    let (start, end) = (ns("startTimeUnixNano"), ns("endTimeUnixNano"));
    assert!(began <= start && start < end && end <= now_ns(), "{began}: {span}");
    assert_eq!(attribute(span, "messaging.system"), "tidings", "{span}");
    assert_eq!(span["flags"], 769);
}

#[tokio::test]
async fn publishes_are_spans_within_the_trace_of_their_publisher() {
    let collector = Collector::start([]).await;
    let server = start(traced(collector.url())).await;
    let began = now_ns();
    let by_http = post(&server, json!({"topic": "room/1", "data": "four"}), &sampled()).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let by_socket = peer.ask(publish("room/1", json!({"traceparent": sampled()}))).await;
    let spans = collector.await_spans(2).await;
    for (span, (id, offset)) in
        spans.iter().zip([(&by_http["id"], 1), (&by_socket["published"]["id"], 2)])
    {
        assert_in_trace(span, began);
        assert_eq!((&span["name"], &span["kind"]), (&json!("publish"), &json!(2)), "{span}");
        assert!(span.get("status").is_none(), "{span}");
        for (name, expected) in [
            ("messaging.operation.name", "publish"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "room/1"),
            ("messaging.message.id", id.as_str().unwrap()),
            ("tidings.offset", &offset.to_string()),
            ("tidings.outcome", "published"),
        ] {
            assert_eq!(attribute(span, name), expected, "{name} of {span}");
        }
    }
    assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
    assert_eq!(attribute(&spans[0], "messaging.message.body.size"), "6");
    assert_eq!(spans[0]["traceState"], "vendor=1");
    assert!(spans[1].get("traceState").is_none());
    server.shutdown().await;
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn what_is_not_sampled_or_no_traceparent_has_no_span() {
    let collector = Collector::start([]).await;
    let server = start(traced(collector.url())).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for parent in [
        format!("00-{TRACE}-{SPAN}-00"),
        format!("00-{TRACE}-{SPAN}-02"),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        "rubbish".to_owned(),
    ] {
        let reply = peer.ask(publish("t", json!({"traceparent": parent}))).await;
        assert!(reply.get("published").is_some(), "{reply}");
        let reply = post(&server, json!({"topic": "t", "data": 1}), &parent).await;
        assert!(reply.get("id").is_some(), "{reply}");
    }
    peer.publish("t", json!(1)).await;
    peer.ask(json!({"subscribe": {"topic": "t", "durable": "d", "from": "first"}})).await;
    assert_eq!(peer.message().await["offset"], 1);
    // The only one that there is to be.
    peer.ask(publish("seen", json!({"traceparent": sampled()}))).await;
    server.shutdown().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(attribute(&spans[0], "messaging.destination.name"), "seen");
}

#[tokio::test]
async fn publishes_that_add_no_message_say_why() {
    let collector = Collector::start([]).await;
    let mut config = traced(collector.url());
    config.limits.message_bytes = "10B".parse().unwrap();
    let server = start(config).await;
    let parent = sampled();
    let keyed = json!({"topic": "t", "data": 1, "key": "k"});
    let first = post(&server, keyed.clone(), &parent).await;
    assert_eq!(post(&server, keyed, &parent).await["duplicate"], true);
    let later = now_ns() / 1_000_000 + 60_000;
    post(&server, json!({"topic": "t", "data": 1, "deliver_at": later}), &parent).await;
    post(&server, json!({"topic": "t", "data": "0123456789"}), &parent).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    let headers = json!({"traceparent": parent});
    let later = json!({"topic": "t", "data": 1, "headers": headers, "deliver_at": later});
    peer.ask(json!({"publish": later})).await;
    let large = json!({"topic": "t", "data": "0123456789", "headers": headers});
    peer.ask(json!({"publish": large})).await;
    server.shutdown().await;
    let spans = collector.spans();
    let expected = ["published", "duplicate", "scheduled", "refused", "scheduled", "refused"];
    assert_eq!(outcomes(&spans), expected);
    assert_eq!(attribute(&spans[1], "messaging.message.id"), &first["id"]);
    assert_eq!(attribute(&spans[2], "tidings.offset"), &Value::Null);
    for refused in [&spans[3], &spans[5]] {
        assert_eq!(attribute(refused, "error.type"), "too_large");
        assert_eq!(refused["status"], json!({"code": 2}));
    }
}

/// Takes the delivery spans out of all.
fn deliveries(spans: &[Value]) -> Vec<Value> {
    spans.iter().filter(|span| span["name"] == "deliver").cloned().collect()
}

#[tokio::test]
async fn a_durable_delivery_is_a_span_until_its_answer() {
    let collector = Collector::start([]).await;
    let mut config = traced(collector.url());
    config.topic = vec![TopicSection {
        ack_timeout: Duration::from_secs(1),
        attempts_max: 4,
        backoff_base: Duration::from_millis(20),
        ..TopicSection::new("jobs".parse().unwrap())
    }];
    let server = start(config).await;
    let began = now_ns();
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"topic": "jobs", "durable": "worker"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let published = publisher.ask(publish("jobs", json!({"traceparent": sampled()})));
    let id = published.await["published"]["id"].clone();
    // It is sent again for a nack, for silence, and until a refusal.
    let first = peer.message().await;
    assert_eq!(first["headers"]["traceparent"], sampled(), "unchanged");
    let offset = first["offset"].clone();
    let nack = json!({"nack": {"sub": "jobs", "offset": offset, "delay_ms": 1}});
    peer.ask(nack).await;
    assert_eq!(peer.message().await["attempt"], 2);
    assert_eq!(peer.message().await["attempt"], 3);
    peer.ask(json!({"nack": {"sub": "jobs", "offset": offset, "dead": true}})).await;
    // The next one is acked, and the one after has no answer when the connection ends.
    for _ in 0..2 {
        publisher.ask(publish("jobs", json!({"traceparent": sampled()}))).await;
    }
    let second = peer.message().await["offset"].clone();
    assert_eq!(peer.message().await["offset"].as_u64(), second.as_u64().map(|o| o + 1));
    peer.ask(json!({"ack": {"sub": "jobs", "offset": second}})).await;
    peer.close(1000).await;
    server.shutdown().await;

    let spans = deliveries(&collector.spans());
    let expected = ["nacked", "timed_out", "refused", "acked", "interrupted"];
    assert_eq!(outcomes(&spans), expected);
    for (span, (attempt, offset)) in
        spans.iter().zip([("1", "1"), ("2", "1"), ("3", "1"), ("1", "2"), ("1", "3")])
    {
        assert_in_trace(span, began);
        assert_eq!(span["kind"], 5);
        for (name, expected) in [
            ("messaging.operation.name", "deliver"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "jobs"),
            ("messaging.destination.subscription.name", "worker"),
            ("user.id", "dev"),
            ("tidings.attempt", attempt),
            ("tidings.offset", offset),
        ] {
            assert_eq!(attribute(span, name), expected, "{name} of {span}");
        }
    }
    assert_eq!(attribute(&spans[0], "messaging.message.id"), &id);
    let given_up = spans.iter().map(|span| attribute(span, "tidings.given_up") == true);
    assert_eq!(given_up.collect::<Vec<_>>(), [false, false, true, false, false]);
    let failed = spans.iter().map(|span| span.get("status").is_some());
    assert_eq!(failed.collect::<Vec<_>>(), [true, true, true, false, false]);
    let lasted = |span: &Value| {
        let ns = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        Duration::from_nanos(ns("endTimeUnixNano") - ns("startTimeUnixNano"))
    };
    assert!(lasted(&spans[1]) >= Duration::from_millis(900), "until the ack timeout");
}

/// Offset, attempt and outcome of the span of a delivery to a member, which must say whose it was.
fn told_of_member(span: &Value, began: u64) -> (String, String, String) {
    assert_in_trace(span, began);
    for (name, expected) in [
        ("messaging.consumer.group.name", "workers"),
        ("tidings.filter", "jobs/+"),
        ("user.id", "dev"),
    ] {
        assert_eq!(attribute(span, name), expected, "{name} of {span}");
    }
    assert!(attribute(span, "messaging.client.id").is_string(), "{span}");
    let text = |name: &str| attribute(span, name).as_str().unwrap().to_owned();
    (text("tidings.offset"), text("tidings.attempt"), text("tidings.outcome"))
}

#[tokio::test]
async fn a_delivery_to_a_member_of_a_group_is_a_span_until_its_answer() {
    let collector = Collector::start([]).await;
    let mut config = traced(collector.url());
    config.topic = vec![
        TopicSection {
            ack_timeout: Duration::from_secs(1),
            attempts_max: 4,
            backoff_base: Duration::from_millis(20),
            ..TopicSection::new("jobs/1".parse().unwrap())
        },
        TopicSection { attempts_max: 1, ..TopicSection::new("jobs/2".parse().unwrap()) },
    ];
    let server = start(config).await;
    let began = now_ns();
    let share = json!({"subscribe": {"filter": "jobs/+", "group": "workers", "window": 1}});
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(share.clone()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let traced = || publish("jobs/1", json!({"traceparent": sampled()}));
    // Nacked, not answered, refused; acked; and left behind by one for another to ack.
    publisher.ask(traced()).await;
    let nack = json!({"sub": "jobs/+", "topic": "jobs/1", "offset": 1, "delay_ms": 1});
    assert_eq!(peer.message().await["offset"], 1);
    peer.ask(json!({"nack": nack})).await;
    assert_eq!(peer.message().await["attempt"], 2);
    assert_eq!(peer.message().await["attempt"], 3);
    let refuse = json!({"sub": "jobs/+", "topic": "jobs/1", "offset": 1, "dead": true});
    assert_eq!(peer.ask(json!({"nack": refuse})).await["settled"]["count"], 1);
    for _ in 0..2 {
        publisher.ask(traced()).await;
    }
    assert_eq!(peer.message().await["offset"], 2);
    let ack = |offset| json!({"ack": {"sub": "jobs/+", "topic": "jobs/1", "offsets": [offset]}});
    peer.send(ack(2)).await;
    assert_eq!(peer.message().await["offset"], 3);
    let mut other = Peer::connect(server.public_addr()).await;
    other.ask(share).await;
    peer.close(1000).await;
    assert_eq!(other.message().await["offset"], 3);
    other.ask(ack(3)).await;
    // It dies of the only attempt there is.
    publisher.ask(publish("jobs/2", json!({"traceparent": sampled()}))).await;
    assert_eq!(other.message().await["topic"], "jobs/2");
    drop(other);
    while metric(&server, "tidings_groups_members").await > 0.0 {}
    server.shutdown().await;

    let spans = deliveries(&collector.spans());
    let mut told: Vec<_> = spans.iter().map(|span| told_of_member(span, began)).collect();
    told.sort();
    let expected = [
        ("1", "1", "interrupted"),
        ("1", "1", "nacked"),
        ("1", "2", "timed_out"),
        ("1", "3", "refused"),
        ("2", "1", "acked"),
        ("3", "1", "interrupted"),
        ("3", "2", "acked"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(told, expected);
    let given_up = spans.iter().filter(|span| attribute(span, "tidings.given_up") == true);
    let given_up: Vec<_> = given_up.map(|span| attribute(span, "tidings.attempt")).collect();
    assert_eq!(given_up, ["3", "1"]);
    assert_eq!(attribute(&spans[6], "messaging.destination.name"), "jobs/2");
}

#[tokio::test]
async fn a_message_that_is_read_from_the_log_has_a_span_too() {
    let collector = Collector::start([]).await;
    let server = start(traced(collector.url())).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for _ in 0..3 {
        peer.ask(publish("log", json!({"traceparent": sampled()}))).await;
    }
    peer.ask(json!({"subscribe": {"topic": "log", "durable": "d", "from": "first"}})).await;
    for _ in 0..3 {
        peer.message().await;
    }
    peer.ask(json!({"ack": {"sub": "log", "offset": 2}})).await;
    peer.ask(json!({"ack": {"sub": "log", "offsets": [3]}})).await;
    server.shutdown().await;
    assert_eq!(outcomes(&deliveries(&collector.spans())), ["acked"; 3]);
}

#[tokio::test]
async fn a_collector_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let busy = Answer { status: 503, retry_after: Some("2"), body: json!({}) };
    let collector = Collector::start([busy]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    std::fs::write(&file, "# ours\nAuthorization: Bearer canary\n").unwrap();
    let mut config = traced(collector.url());
    config.trace.otlp_headers_file = Some(file);
    let server = start(config).await;
    post(&server, json!({"topic": "t", "data": 1}), &sampled()).await;
    collector.await_spans(2).await;
    let requests = collector.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body, "the same spans");
    assert!(requests[1].at - requests[0].at >= Duration::from_millis(1900));
    for request in &requests {
        assert_eq!(request.headers["authorization"], "Bearer canary");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["host"], collector.address.to_string());
    }
    while metric(&server, "tidings_trace_spans_exported_total").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&server, "tidings_trace_spans_dropped_total").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_not_sent_again() {
    let refused = Answer { status: 400, retry_after: None, body: json!({}) };
    let some = json!({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}});
    let partial = Answer { status: 200, retry_after: None, body: some };
    let collector = Collector::start([refused, partial]).await;
    let server = start(traced(collector.url())).await;
    let body = json!({"topic": "t", "data": 1});
    post(&server, body.clone(), &sampled()).await;
    collector.await_spans(1).await;
    let both = json!({"messages": [body, body]}).to_string();
    let parent = sampled();
    let headers = [JSON, ("traceparent", parent.as_str())];
    http(server.public_addr(), "POST", "/v1/publish/batch", &headers, &both).await;
    collector.await_spans(3).await;
    while metric(&server, "tidings_trace_spans_exported_total").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&server, "tidings_trace_spans_exported_total").await, 1.0);
    assert_eq!(metric(&server, "tidings_trace_spans_dropped_total").await, 2.0);
    assert_eq!(collector.requests().len(), 2);
    server.shutdown().await;
}

/// Sooner than a batch would leave by itself.
#[tokio::test]
async fn a_drain_exports_what_is_left() {
    let collector = Collector::start([]).await;
    let server = start(traced(collector.url())).await;
    for _ in 0..3 {
        post(&server, json!({"topic": "t", "data": 1}), &sampled()).await;
    }
    server.shutdown().await;
    assert_eq!(outcomes(&collector.spans()), ["published"; 3]);
}

/// A collector that takes connections and never answers is the worst there is.
#[tokio::test]
async fn a_collector_that_hangs_holds_up_nothing_and_what_is_lost_is_counted() {
    const BATCHES: usize = 11;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = start(traced(format!("http://{}/", deaf.local_addr().unwrap()))).await;
    let messages = vec![json!({"topic": "t", "data": 1}); 1000];
    let body = json!({"messages": messages}).to_string();
    let parent = sampled();
    let headers = [JSON, ("traceparent", parent.as_str())];
    for _ in 0..BATCHES {
        let path = "/v1/publish/batch";
        let (status, _, reply) = http(server.public_addr(), "POST", path, &headers, &body).await;
        assert_eq!(status, 200, "{reply}");
    }
    // 8192 wait and 512 are on their way.
    let dropped = metric(&server, "tidings_trace_spans_dropped_total").await;
    assert_eq!(dropped, (BATCHES * 1000 - 8192 - 512) as f64);
    let mut peer = Peer::connect(server.public_addr()).await;
    assert_eq!(peer.publish("t", json!(1)).await["offset"], BATCHES * 1000 + 1);
    let began = Instant::now();
    server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_collector_everything_else_goes_on() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = start(traced(format!("http://{gone}/v1/traces"))).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.ask(json!({"subscribe": {"topic": "t", "durable": "d"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for offset in 1..=100 {
        publisher.ask(publish("t", json!({"traceparent": sampled()}))).await;
        assert_eq!(peer.message().await["offset"], offset);
        peer.ask(json!({"ack": {"sub": "t", "offset": offset}})).await;
    }
    let began = Instant::now();
    server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
