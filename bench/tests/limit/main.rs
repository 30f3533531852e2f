//! The generator against the bare servers: everything arrives, once, in order, and is durable
//! when it is acknowledged; and the generator notices when that is not so.

mod stage;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use stage::{Limit, run};

#[test]
fn fanout_loses_and_repeats_nothing() {
    for flags in [&[][..], &["--coalesce"]] {
        let limit = Limit::fanout(flags);
        let report = run(&["fanout", "--subscribers", "50", "--rate", "400"], &limit);
        report.assert_no_faults();
        let (published, deliveries) = (report.figure("published"), report.figure("deliveries"));
        // 0.2 s of warm-up and 0.5 s at 400 messages a second; a message on each edge may differ.
        assert!((279.0..=281.0).contains(&published), "{published}");
        assert_eq!(deliveries, published * 50.0);
        assert!(report.figure("latency_p50_ms") > 0.0);
        assert!(report.figure("server_cpu_s_per_million") >= 0.0);
    }
}

#[test]
fn fanout_at_full_load_loses_and_repeats_nothing() {
    for flags in [&[][..], &["--coalesce"]] {
        let limit = Limit::fanout(flags);
        let report = run(&["fanout-max", "--subscribers", "50"], &limit);
        report.assert_no_faults();
        assert_eq!(report.figure("deliveries"), report.figure("published") * 50.0);
        assert!(report.figure("deliveries_per_s") > 1000.0);
    }
}

#[test]
fn pairs_lose_and_mix_up_nothing() {
    let limit = Limit::pairs();
    let report = run(&["pairs", "--pairs", "20", "--rate", "2000"], &limit);
    report.assert_no_faults();
    // 0.2 s of warm-up and 0.5 s at 2000 a second, and the turn that was begun.
    let published = report.figure("published");
    assert!((1399.0..=1420.0).contains(&published), "{published}");
    assert_eq!(report.figure("deliveries"), published);
    assert!(report.figure("latency_p50_ms") > 0.0);
}

#[test]
fn publishes_are_acknowledged_once_and_in_order() {
    for extra in [&["--in-flight", "4"][..], &["--topics", "1"]] {
        let limit = Limit::log();
        let report = run(&[&["publish", "--publishers", "8"], extra].concat(), &limit);
        report.assert_no_faults();
        assert!(report.figure("acknowledged") > 100.0);
        assert_eq!(report.figure("acknowledged"), report.figure("published"));
        assert!(limit.log_has_records(), "acknowledged publishes are in the file");
    }
}

#[test]
fn idle_connections_stay_and_their_memory_is_told() {
    for flag in [None, Some("--durable")] {
        let mut arguments = vec!["idle", "--connections", "2000"];
        arguments.extend(flag);
        let each = || {
            let report = run(&arguments, &Limit::fanout(&[]));
            assert!(report.figure("open_s") > 0.0);
            report.figure("user_private_dirty_bytes_each")
        };
        // A bare connection takes so little that pages the server gives back meanwhile can
        // outweigh it on a busy machine: then it is measured again, by the same bound.
        let measured: Vec<f64> = (0..3).map(|_| each()).collect();
        let plausible = measured.iter().filter(|each| (0.0..4000.0).contains(*each)).count();
        assert!(plausible >= 2, "{measured:?} bytes a connection");
    }
}

#[test]
fn live_and_durable_subscribers_are_measured_in_turns() {
    // The bare server has one subscriber for each topic, and passes acks over.
    let report = run(&["mixed", "--subscribers", "1", "--turns", "2"], &Limit::pairs());
    report.assert_no_faults();
    // 0.7 s at 50 a second, to two kinds, twice; a message on each edge may differ.
    let published = report.figure("published");
    assert!((136.0..=144.0).contains(&published), "{published}");
    assert_eq!(report.figure("deliveries"), published);
    assert!(report.figure("live_p50_ms") > 0.0 && report.figure("durable_p50_ms") > 0.0);
}

#[test]
fn a_group_and_a_durable_subscriber_are_measured_in_turns() {
    // The bare server has one subscriber for each topic, and passes acks over.
    let report = run(&["group", "--members", "1", "--turns", "2"], &Limit::pairs());
    report.assert_no_faults();
    assert_eq!(report.figure("not_settled"), 0.0);
    assert_eq!(report.figure("deliveries"), report.figure("published"));
    assert!(report.figure("deliveries") > 1000.0);
    assert!(report.figure("group_to_durable_rate_ratio") > 0.0);
    assert!(report.figure("group_p50_ms") > 0.0 && report.figure("durable_p50_ms") > 0.0);
}

#[test]
fn readers_that_lag_behind_a_server_that_keeps_nothing_fail_the_run() {
    let limit = Limit::fanout(&["--coalesce"]);
    let arguments = ["--readers", "3", "--messages", "10", "--turns", "1", "--subscribers", "5"];
    let report = run(&[&["lagging"][..], &arguments].concat(), &limit);
    // The live ones get theirs all the same.
    assert_eq!(report.figure("lost"), 30.0);
    assert_eq!(report.figure("deliveries"), report.figure("published") * 5.0);
    assert!(report.figure("live_p99_alone_ms") > 0.0 && report.figure("live_p99_beside_ms") > 0.0);
    let output = stage::bench(&[&["lagging", "--url", limit.url()], &arguments[..]].concat());
    assert!(!output.status.success());
}

#[test]
fn heartbeats_are_answered_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound listener"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the generator connects");
        let mut said = |text: &[u8]| {
            stream.write_all(text).expect("the generator reads");
            let mut answer = [0; 1024];
            let read = stream.read(&mut answer).expect("the generator answers");
            answer[..read].to_vec()
        };
        let text = |json: &str| [&[0x81, json.len() as u8], json.as_bytes()].concat();
        said(b"");
        // What a server answers to the one key that the generator uses.
        said(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: XsnargKUsfJyNR7QzwMvXM/CYdM=\r\n\r\n",
        );
        said(&text(r#"{"id":1,"connected":{}}"#));
        stream.write_all(&text(r#"{"id":2,"subscribed":{}}"#)).expect("the generator reads");
        thread::sleep(Duration::from_millis(600));
        let pongs = ["{\"ping\":{}}", "{\"ping\":{}}"].map(|ping| {
            stream.write_all(&text(ping)).expect("the generator reads");
            let mut pong = [0; 64];
            let read = stream.read(&mut pong).expect("a pong");
            pong[..read].to_vec()
        });
        (stream, pongs)
    });
    let idle = ["idle", "--connections", "1", "--seconds", "2", "--url", &url];
    let report = stage::report_of(&idle);
    assert_eq!(report.figure("pings"), 2.0);
    let (_, pongs) = server.join().expect("the server saw all of it");
    // `{"pong":{}}`, masked.
    assert!(pongs.iter().all(|pong| pong[..2] == [0x81, 0x80 | 11] && pong.len() == 17));
}

#[test]
fn memory_is_told_after_traffic_that_everybody_got() {
    let arguments = [
        "settle",
        "--connections",
        "50",
        "--large-bytes",
        "20000",
        "--own",
        "3",
        "--silence",
        "0.3",
    ];
    let report = run(&arguments, &Limit::fanout(&["--coalesce"]));
    report.assert_no_faults();
    assert_eq!(report.figure("own_publishes"), 150.0);
    let (small, large) = (report.figure("small_deliveries"), report.figure("large_deliveries"));
    assert!(small > 1000.0 && large > 200.0, "{small} small and {large} large ones");
    assert_eq!(report.figure("deliveries"), small + large);
    assert!(report.figure("base_rss_mib") > 0.5);
    assert!(report.figure("process_after_traffic_ratio") > 0.0);
}

#[test]
fn growth_is_told_for_each_size_and_nobody_misses_anything() {
    let arguments = ["growth", "--sizes", "20,60,150", "--deliveries", "6000"];
    let report = run(&arguments, &Limit::fanout(&["--coalesce"]));
    report.assert_no_faults();
    // 0.7 s at 300, 100 and 40 messages a second, to 20, 60 and 150; one on each edge may differ.
    let (published, deliveries) = (report.figure("published"), report.figure("deliveries"));
    assert!((305.0..=311.0).contains(&published), "{published}");
    assert!((12_200.0..=13_000.0).contains(&deliveries), "{deliveries}");
    for size in ["small", "middle", "large"] {
        for figure in ["delivery_cpu_us", "open_cpu_us"] {
            assert!(report.figure(&format!("{figure}_{size}")) > 0.0, "{figure}_{size}");
        }
    }
    assert!(report.figure("delivery_cpu_growth_ratio") > 0.0);
    assert!(report.figure("open_cpu_growth_ratio") > 0.0);
    assert_eq!(report.figure("pings"), 0.0, "a bare server has no heartbeats");
}

#[test]
fn what_is_kept_grows_and_pairs_beside_it_lose_nothing() {
    for what in ["topics", "cursors"] {
        let arguments = ["kept", what, "--sizes", "5,100,2500", "--pairs", "20", "--rate", "2000"];
        let report = run(&arguments, &Limit::pairs());
        report.assert_no_faults();
        // 0.2 s of warm-up and 0.5 s, in which three bursts of 500 begin, three times.
        let published = report.figure("published");
        assert_eq!(published, 4500.0);
        assert_eq!(report.figure("deliveries"), published);
        for size in ["small", "middle", "large"] {
            assert!(report.figure(&format!("message_cpu_us_{size}")) > 0.0, "{size}");
            assert!(report.figure(&format!("make_cpu_us_{size}")) > 0.0, "{size}");
        }
        assert!(report.figure("message_cpu_growth_ratio") > 0.0);
    }
}

#[test]
fn overload_is_told_for_each_step_and_stays_in_order() {
    let report = run(&["overload", "--subscribers", "20"], &Limit::fanout(&["--coalesce"]));
    for fault in ["lost", "duplicates", "order_errors"] {
        assert_eq!(report.figure(fault), 0.0, "{fault}");
    }
    for step in ["closed_loop", "x2", "x4", "x8"] {
        assert!(report.figure(&format!("delivered_per_s_{step}")) > 1000.0, "{step}");
    }
    assert!(report.figure("delivered_least_ratio") > 0.0);
    // More was offered than delivered, or it was no overload.
    assert!(report.figure("offered_per_s_x8") > 2.0 * report.figure("offered_per_s_x2"));
}

#[test]
fn everybody_comes_back_from_a_storm() {
    let report = run(&["storm", "--clients", "300"], &Limit::fanout(&["--coalesce"]));
    for fault in ["not_resumed", "not_recovered", "lost", "duplicates"] {
        assert_eq!(report.figure(fault), 0.0, "{fault}");
    }
    assert!(report.figure("ready_99_ms") > 0.0);
    assert!(report.figure("ready_99_ms") <= report.figure("ready_all_ms"));
    assert!(report.figure("server_peak_rss_mib") > 0.5);
}

#[test]
fn all_of_it_works_over_tls() {
    let limit = Limit::fanout_with_tls();
    let report = run(&["fanout", "--subscribers", "50", "--rate", "200"], &limit);
    report.assert_no_faults();
    assert_eq!(report.figure("deliveries"), report.figure("published") * 50.0);
    // More than the kernel takes at once, in records that do not end where messages do.
    let arguments = ["fanout-max", "--subscribers", "20", "--data-bytes", "60000"];
    let report = run(&arguments, &limit);
    report.assert_no_faults();
    assert_eq!(report.figure("deliveries"), report.figure("published") * 20.0);
    let report = run(&["storm", "--clients", "100"], &limit);
    for fault in ["not_resumed", "not_recovered", "lost", "duplicates"] {
        assert_eq!(report.figure(fault), 0.0, "{fault}");
    }
    let report = run(&["idle", "--connections", "500"], &Limit::fanout_with_tls());
    // Keys and buffers, which a plain connection has none of.
    assert!(report.figure("user_private_dirty_bytes_each") > 1000.0);
}

#[test]
fn a_reader_that_pauses_gets_the_rest_over_tls_too() {
    const MESSAGES: usize = 300;
    let limit = Limit::fanout_with_tls();
    let mut client = stage::tls_client(&limit);
    let mut send = |json: &str| {
        // Not masked in effect: a mask of zeros.
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend_from_slice(&(json.len() as u64).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(json.as_bytes());
        client.write_all(&frame).expect("a bare server reads always");
    };
    send(r#"{"id":1,"connect":{}}"#);
    send(r#"{"id":2,"subscribe":{"topic":"bench"}}"#);
    let data = "x".repeat(60_000);
    for id in 3..MESSAGES + 3 {
        send(&format!(r#"{{"id":{id},"publish":{{"topic":"bench","data":"{data}"}}}}"#));
    }
    // All of it is more than sockets hold, so the end waits in the server for this to be read.
    thread::sleep(Duration::from_millis(300));
    client.sock.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let (mut messages, mut unread, mut buffer) = (0, Vec::new(), vec![0; 65_536]);
    while messages < MESSAGES {
        let read = client.read(&mut buffer).expect("all of it comes");
        unread.extend_from_slice(&buffer[..read]);
        while let Some((payload, end)) = stage::next_frame(&unread) {
            messages += usize::from(unread[payload..].starts_with(b"{\"message\""));
            unread.drain(..end);
        }
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_fails_the_run() {
    let (limit, other) = (Limit::fanout_with_tls(), Limit::fanout_with_tls());
    let certificate = other.certificate().expect("one of its own");
    for (arguments, told) in [
        (vec!["--certificate", &certificate], "invalid peer certificate"),
        (vec!["--certificate", "no/such/file"], "no certificate in no/such/file"),
        (vec![], "needs --certificate"),
    ] {
        let idle = ["idle", "--connections", "1", "--url", limit.url()];
        let output = stage::bench(&[&idle[..], &arguments].concat());
        assert!(!output.status.success());
        let found = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(found.contains(told), "{found}");
    }
}

#[test]
fn a_storm_on_a_server_that_forgets_sessions_fails() {
    // The log knows nobody's subscription, so nobody hears the roll-call.
    let limit = Limit::log();
    let output = stage::bench(&["storm", "--clients", "3", "--url", limit.url()]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("lost 3"), "{told}");
}

#[test]
fn a_server_that_hangs_up_fails_the_run_with_its_words() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound listener"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the generator connects");
        let read = stream.read(&mut [0; 1024]).expect("an upgrade request");
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 503 Full\r\nRetry-After: 1\r\n\r\n").expect("an answer");
        stream
    });
    let output = stage::bench(&["publish", "--url", &url, "--publishers", "1"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("refused the upgrade") && told.contains("503 Full"), "{told}");
    drop(server.join().expect("the server saw an upgrade request"));
}

#[test]
fn the_disk_is_measured_and_an_existing_file_is_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("fsync");
    let path = file.to_str().expect("a plain path");
    let arguments = ["fsync", "--file", path, "--writes", "20"];
    let report = stage::report_of(&arguments);
    assert!(report.figure("prewritten_p50_us") > 0.0);
    assert!(!file.exists(), "the file is removed");

    std::fs::write(&file, "precious").expect("a file");
    assert!(!stage::bench(&arguments).status.success());
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
}

#[test]
fn compare_measures_in_turns_and_writes_its_result() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("result.json");
    let path = file.to_str().expect("a plain path");
    let output =
        stage::bench(&["compare", "--quick", "--rounds", "2", "--only", "100 x", "--json", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("limit-direct") && table.contains("x 1.00"), "{table}");
    let page = std::fs::read_to_string(file.with_extension("html")).expect("a page");
    assert!(page.contains("<svg") && page.contains("limit-direct"), "{page}");
    let again = directory.path().join("again.html");
    let again_path = again.to_str().expect("a plain path");
    assert!(stage::bench(&["chart", path, "--out", again_path]).status.success());
    assert_eq!(std::fs::read_to_string(&again).expect("a page"), page);
    let text = std::fs::read_to_string(&file).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let runs = result["runs"].as_array().expect("runs");
    let order: Vec<&str> = runs.iter().filter_map(|run| run["server"].as_str()).collect();
    // Behind the bare servers come those that are installed here.
    let (first, second) = order.split_at(order.len() / 2);
    assert_eq!(first, second);
    assert_eq!(first[..2], ["limit-direct", "limit-coalesced"]);
}
