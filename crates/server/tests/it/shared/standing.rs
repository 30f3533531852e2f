//! What an operator sees of groups.

use serde_json::{Value, json};
use tidings_server::RunningServer;

use super::{member, settle};
use crate::peer::{Peer, config, http, metric, start};

async fn get(server: &RunningServer, path: &str) -> (u16, Value) {
    let (status, _, body) = http(server.operator_addr(), "GET", path, &[], "").await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn lag_and_unacked_are_told_by_group_topic_and_member() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut worker = member(address, "jobs/#", 2).await;
    let mut publisher = Peer::connect(address).await;
    for n in 0..5 {
        publisher.publish("jobs/1", json!(n)).await;
    }
    let first = worker.message().await;
    worker.message().await;
    settle(&mut worker, "jobs/#", &first).await;
    worker.message().await;

    let (status, body) = get(&server, "/v1/groups").await;
    assert_eq!((status, &body["total"]), (200, &json!(1)), "{body}");
    let group = &body["groups"][0];
    assert_eq!((&group["group"], &group["filter"]), (&json!("workers"), &json!("jobs/#")));
    assert_eq!(
        (&group["lag"], &group["unacked"], &group["members"]),
        (&json!(4), &json!(2), &json!(1))
    );
    assert!(group["oldest_unacked_ms"].is_u64(), "{group}");

    let (_, body) = get(&server, "/v1/groups/workers?filter=jobs/%23").await;
    let group = &body["groups"][0];
    let (worker_row, topic) = (&group["members"][0], &group["topics"][0]);
    assert_eq!((&worker_row["unacked"], &worker_row["window"]), (&json!(2), &json!(2)));
    assert!(worker_row["user"].is_string() && worker_row["client"].is_string(), "{worker_row}");
    assert_eq!(
        (&topic["topic"], &topic["cursor"], &topic["head"]),
        (&json!("jobs/1"), &json!(2), &json!(5))
    );
    assert_eq!(
        (&topic["lag"], &topic["unacked"], &topic["attempts_most"]),
        (&json!(4), &json!(2), &json!(1))
    );

    for (name, value) in
        [("groups", 1.0), ("groups_members", 1.0), ("groups_lag", 4.0), ("groups_unacked", 2.0)]
    {
        assert_eq!(metric(&server, &format!("tidings_{name}")).await, value, "{name}");
    }
    let labelled = "tidings_group_lag{group=\"workers\",filter=\"jobs/#\"}";
    assert_eq!(metric(&server, labelled).await, 4.0);
    server.shutdown().await;
}

#[tokio::test]
async fn what_waits_for_a_group_without_members_is_told_from_its_cursors() {
    let server = start(config()).await;
    let mut worker = member(server.public_addr(), "jobs", 8).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    publisher.publish("jobs", json!(0)).await;
    let message = worker.message().await;
    settle(&mut worker, "jobs", &message).await;
    worker.ask(json!({"unsubscribe": {"sub": "jobs"}})).await;
    for n in 1..4 {
        publisher.publish("jobs", json!(n)).await;
    }
    // The group ends a moment after its last member has left, once its cursor is saved.
    while metric(&server, "tidings_groups").await > 0.0 {}
    let (status, body) = get(&server, "/v1/groups/workers?filter=jobs").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["groups"][0]["lag"], 3, "{body}");
    assert_eq!(body["groups"][0]["members"], json!([]));
    let (_, body) = get(&server, "/v1/groups/workers").await;
    assert_eq!(body["groups"][0]["topics"][0]["lag"], 3, "without its topic too: {body}");
    let (status, body) = get(&server, "/v1/groups/nobody").await;
    assert_eq!((status, &body["code"]), (404, &json!("not_found")), "{body}");
    let (status, body) = get(&server, "/v1/groups/workers?filter=%23/a").await;
    assert_eq!((status, &body["code"]), (400, &json!("bad_field")), "{body}");
    server.shutdown().await;
}

#[tokio::test]
async fn what_waits_for_groups_without_members_is_the_signal_to_start_the_first_worker() {
    let server = start(config()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    for sub in ["jobs/#", "other"] {
        let mut worker = member(server.public_addr(), sub, 8).await;
        let topic = if sub == "other" { "other" } else { "jobs/1" };
        publisher.publish(topic, json!(0)).await;
        let message = worker.message().await;
        settle(&mut worker, sub, &message).await;
        worker.ask(json!({"unsubscribe": {"sub": sub}})).await;
    }
    while metric(&server, "tidings_groups").await > 0.0 {}
    let labelled = "tidings_group_lag{group=\"workers\",filter=\"jobs/#\"}";
    let members = "tidings_group_members{group=\"workers\",filter=\"jobs/#\"}";
    // Two in a topic that it knows, three in one that is new, and some in one that it does not read.
    for topic in ["jobs/1", "jobs/1", "jobs/2", "jobs/2", "jobs/2", "elsewhere"] {
        publisher.publish(topic, json!(1)).await;
    }
    // Counted once a second.
    while metric(&server, labelled).await < 5.0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(metric(&server, labelled).await, 5.0);
    assert_eq!(metric(&server, members).await, 0.0);
    assert_eq!(metric(&server, "tidings_groups_without_members").await, 2.0);
    assert_eq!(metric(&server, "tidings_groups_lag").await, 5.0);
    let (_, body) = get(&server, "/v1/groups").await;
    let group = |n: usize| (&body["groups"][n]["filter"], &body["groups"][n]["lag"]);
    assert_eq!(body["total"], 2, "{body}");
    assert_eq!(group(0), (&json!("jobs/#"), &json!(5)), "{body}");
    assert_eq!(group(1), (&json!("other"), &json!(0)), "{body}");
    assert_eq!(body["groups"][0]["members"], 0, "{body}");
    let (_, body) = get(&server, "/v1/groups/workers?filter=jobs/%23").await;
    let topics = body["groups"][0]["topics"].as_array().unwrap();
    let lags: Vec<_> = topics.iter().map(|topic| (&topic["topic"], &topic["lag"])).collect();
    assert_eq!(lags, [(&json!("jobs/1"), &json!(2)), (&json!("jobs/2"), &json!(3))], "{body}");

    // The worker that was started for it is told by its own group, and only once.
    let mut worker = member(server.public_addr(), "jobs/#", 8).await;
    assert_eq!(metric(&server, members).await, 1.0);
    assert_eq!(metric(&server, "tidings_groups_without_members").await, 1.0);
    for _ in 0..5 {
        let message = worker.message().await;
        settle(&mut worker, "jobs/#", &message).await;
    }
    assert_eq!(metric(&server, labelled).await, 0.0);
    server.shutdown().await;
}
