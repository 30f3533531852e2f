//! Members of a group divide messages: programs and commands, over kills of both.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use std::time::Duration;

use tidings_client::{
    AckMode, Client, Delivery, Event, OrderKey, PublishRequest, StartFrom, SubscribeRequest,
    Subscription,
};

use crate::program::{PATIENCE, Server, wait_for};

const JOBS: u64 = 600;
const ACCOUNTS: u64 = 10;

fn client(server: &Server) -> Client {
    Client::builder(&server.url())
        .backoff(Duration::from_millis(20), Duration::from_millis(200))
        .build()
        .unwrap()
}

async fn join(client: &Client) -> Subscription {
    let request = SubscribeRequest::shared("jobs/#", "workers").unwrap();
    let request = request.from(StartFrom::First).ack(AckMode::Manual).window(16);
    client.subscribe(request).await.unwrap()
}

async fn next(member: &mut Subscription) -> Delivery {
    loop {
        let event = tokio::time::timeout(PATIENCE, member.next()).await;
        match event.expect("a message in time").expect("the group goes on") {
            Event::Message(delivery) => return delivery,
            Event::Subscribed { .. } => {}
            other => panic!("a message, not {other:?}"),
        }
    }
}

/// Publishes numbered jobs of several accounts to several topics.
async fn publish(client: &Client, numbers: std::ops::Range<u64>) {
    let mut tickets = Vec::new();
    for number in numbers {
        let account = number % ACCOUNTS;
        // All jobs of an account go to one topic: an order key is one of its topic.
        let topic = format!("jobs/{}", account % 3);
        let key = OrderKey::parse(&format!("account-{account}")).unwrap();
        let request = PublishRequest::json(&topic, &number).unwrap().order_key(key);
        tickets.push(client.enqueue(request).await);
    }
    for ticket in tickets {
        ticket.await.unwrap();
    }
}

/// Works until it is told to stop; tells of every job that it did.
async fn work(client: Client, done: mpsc::Sender<(u64, u32)>) {
    let mut member = join(&client).await;
    loop {
        let delivery = next(&mut member).await;
        let told = done.send((delivery.json().unwrap(), delivery.attempt()));
        delivery.ack();
        if told.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_do_every_job_in_the_order_of_its_account_over_a_kill_of_the_server() {
    let mut server = Server::dev();
    let shop = client(&server);
    let (done, jobs) = mpsc::channel();
    let workers: Vec<_> =
        (0..3).map(|_| tokio::spawn(work(client(&server), done.clone()))).collect();
    publish(&shop, 0..JOBS / 2).await;
    server.kill();
    server.start();
    publish(&shop, JOBS / 2..JOBS).await;
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    while seen.len() < JOBS as usize {
        let (number, attempt) = jobs.recv_timeout(PATIENCE).expect("every job is done");
        if !seen.insert(number) {
            // Acked, but the server was killed before it kept that.
            assert!(attempt > 1, "{number} came again and did not say so");
            continue;
        }
        let before = last.insert(number % ACCOUNTS, number);
        assert!(before.is_none_or(|before| before < number), "{number} after {before:?}");
    }
    for worker in workers {
        worker.abort();
    }
}

#[tokio::test]
async fn what_a_member_had_comes_to_another_when_it_leaves() {
    let server = Server::dev();
    let shop = client(&server);
    let (one, other) = (client(&server), client(&server));
    let mut leaving = join(&one).await;
    publish(&shop, 0..4).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&mut leaving).await);
    }
    let mut staying = join(&other).await;
    let done = held.pop().unwrap();
    let mut wanted = BTreeSet::from([0, 1, 2, 3]);
    wanted.remove(&done.json::<u64>().unwrap());
    done.ack();
    drop(leaving);
    one.close().await.unwrap();
    let mut again = BTreeSet::new();
    for _ in 0..3 {
        let delivery = next(&mut staying).await;
        assert_eq!(delivery.attempt(), 2);
        again.insert(delivery.json::<u64>().unwrap());
        delivery.ack();
    }
    assert_eq!(again, wanted, "all but the one that was acked");
    let quiet = tokio::time::timeout(Duration::from_millis(200), staying.next()).await;
    assert!(matches!(quiet, Err(_) | Ok(Some(Event::Subscribed { .. }))), "{quiet:?}");
}

#[test]
fn commands_of_a_group_divide_the_lines() {
    let server = Server::dev();
    let sub = ["sub", "jobs/#", "--group", "g", "--raw", "--window", "4"];
    let (send, lines) = mpsc::channel();
    let mut members = Vec::new();
    for name in ["one", "two"] {
        let mut member = server.spawn(name, &sub);
        let (stdout, send) = (member.stdout(), send.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let _ = send.send((name, line.unwrap()));
            }
        });
        members.push(member);
    }
    let mut by_member: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    // Until both have joined one does everything.
    wait_for("both members to get lines", || {
        for _ in 0..20 {
            count += 1;
            server.client(&["pub", "jobs/a", &count.to_string()]);
        }
        for (name, line) in lines.try_iter() {
            assert!(by_member.entry(name).or_default().insert(line), "each line once");
        }
        (by_member.len() == 2).then_some(())
    });
    let wanted: BTreeSet<_> = (1..=count).map(|number: u32| number.to_string()).collect();
    let mut got: BTreeSet<String> = by_member.into_values().flatten().collect();
    while got.len() < wanted.len() {
        let (name, line) = lines.recv_timeout(PATIENCE).expect("every line");
        assert!(got.insert(line.clone()), "{line} for {name} as well");
    }
    assert_eq!(got, wanted);
    for member in members {
        assert!(member.stop().success());
    }
}
