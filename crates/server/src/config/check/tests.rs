//! Each check has a configuration that fails it.

use super::*;

/// A configuration in which everything is right.
fn sound() -> Config {
    toml::from_str(&format!(
        "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"{}\"",
        "0123456789abcdef0123456789abcdef"
    ))
    .unwrap()
}

/// What is wrong after `toml` has been put over a sound configuration.
fn check(toml: &str) -> Vec<String> {
    let mut table: toml::Table =
        "auth.keys = [{ algorithm = \"HS256\", secret = \"0123456789abcdef0123456789abcdef\" }]"
            .parse()
            .unwrap();
    for (key, value) in toml.parse::<toml::Table>().unwrap() {
        table.insert(key, value);
    }
    let config: Config = table.try_into().unwrap();
    problems(&config).iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_configuration_passes() {
    assert_eq!(problems(&sound()), []);
}

/// Each configuration has the problem that begins so.
fn each(faults: &[(&str, &str)]) {
    for (toml, expected) in faults {
        let found = check(toml);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{toml}: {found:#?}");
    }
}

#[test]
fn faults_of_server_and_storage_are_named() {
    each(&[
        ("server.shards = 1000", "server.shards = 1000: must be from 0 to 256"),
        ("server.connections_max = 0", "server.connections_max = 0: must be from 1"),
        (
            "server.drain_timeout = \"1h\"",
            "server.drain_timeout = \"1h\": must be from \"0s\" to \"10m\"",
        ),
        (
            "server.operator = \"127.0.0.1:8000\"",
            "server.operator = 127.0.0.1:8000: is the address of server.listen",
        ),
        (
            "server.allowed_origins = [\"example.org/x\"]",
            "server.allowed_origins[0] = \"example.org/x\": not an origin",
        ),
        (
            "tls = { certificate_file = \"/no/such\", key_file = \"/no/such\" }",
            "tls.certificate_file = \"/no/such\": cannot be read",
        ),
        ("storage.directory = \"\"", "storage.directory: is empty"),
        (
            "storage.segment_bytes = \"1kB\"",
            "storage.segment_bytes = \"1000B\": must be from \"1MiB\" to \"1GiB\"",
        ),
        (
            "storage.disk_bytes_max = \"64MiB\"",
            "storage.disk_bytes_max = \"64MiB\": must be at least four times",
        ),
        (
            "storage.async_sync_interval = \"0s\"",
            "storage.async_sync_interval = \"0s\": must be from \"1ms\"",
        ),
        ("storage.dedup_window = \"31d\"", "storage.dedup_window = \"744h\""),
        ("storage.cursor_expiry = \"59m\"", "storage.cursor_expiry = \"59m\": must be from \"1h\""),
        (
            "storage.cursor_expiry = \"2h\"",
            "storage.cursor_expiry = \"2h\": is shorter than limits.session_expiry",
        ),
    ]);
}

#[test]
fn faults_of_who_may_connect_are_named() {
    each(&[
        ("auth.keys = []", "auth: nobody could connect: add an [[auth.keys]]"),
        (
            "auth = { open = true }\nserver.listen = \"0.0.0.0:8000\"",
            "server.listen = 0.0.0.0:8000: auth.open lets everybody in",
        ),
        (
            "auth = { open = true }\nserver.operator = \"[::]:9\"",
            "server.operator = [::]:9: auth.open lets everybody in",
        ),
        (
            "auth.keys = [{ algorithm = \"HS256\", secret = \"short\" }]",
            "auth.keys[0]: the secret has 5 bytes",
        ),
        ("auth.keys = [{ algorithm = \"ES256\" }]", "auth.keys[0]: ES256 needs `public_key_file`"),
        (
            "auth.operator_key = \"short\"",
            "auth.operator_key: the secret has 5 bytes and could be guessed",
        ),
        (
            "auth.operator_key = \"0123456789abcdef0123456789abcdef\"\nauth.operator_key_file = \"k\"",
            "auth.operator_key: give `operator_key` or `operator_key_file`, and not both",
        ),
        (
            "auth.operator_key = \"schlüssel-von-zweiunddreißig-bytes\"",
            "auth.operator_key: the key has characters that no header can carry",
        ),
        (
            "auth.operator_key = \"0123456789abcdef 0123456789abcdef\"",
            "auth.operator_key: the key has characters that no header can carry",
        ),
        ("auth.operator_key_file = \"/no/such\"", "auth.operator_key: cannot read /no/such"),
        (
            "auth.api_keys = [{ name = \"a\", key = \"0123456789abcdef0123456789abcdef\" }]",
            "auth.api_keys[0].caps: it could do nothing",
        ),
        (
            "auth.api_keys = [{ name = \"$billing\", key = \"0123456789abcdef0123456789abcdef\" }]",
            "auth.api_keys[0].name = $billing: users that start with `$` are the server's",
        ),
    ]);
}

#[test]
fn faults_of_limits_http_and_topics_are_named() {
    each(&[
        (
            "limits.message_bytes = \"5MiB\"",
            "limits.message_bytes = \"5MiB\": must be from \"1B\" to \"4MiB\"",
        ),
        (
            "limits.message_bytes = \"1MiB\"",
            "limits.frame_bytes = \"1MiB\": must be at least twice limits.message_bytes",
        ),
        (
            "limits.pong_timeout = \"26s\"",
            "limits.pong_timeout = \"26s\": is longer than limits.ping_interval",
        ),
        ("limits.window_default = 2000", "limits.window_default = 2000: must be from 1 to 1024"),
        (
            "limits.presence_grace = \"1h\"",
            "limits.presence_grace = \"1h\": must be from \"0s\" to \"5m\"",
        ),
        ("limits.presence_members = 0", "limits.presence_members = 0: must be from 1"),
        (
            "limits.presence_members_per_topic = 0",
            "limits.presence_members_per_topic = 0: must be from 1",
        ),
        ("limits.window_max = 2000", "limits.window_max = 2000: must be from 1 to 1024"),
        (
            "limits.subscriptions_per_connection = 0",
            "limits.subscriptions_per_connection = 0: must be from 1 to 256",
        ),
        ("limits.cursors_per_user = 0", "limits.cursors_per_user = 0: must be from 1 to 100000"),
        ("http.cors_origins = [\"ftp://x\"]", "http.cors_origins[0] = \"ftp://x\": not an origin"),
        ("http.body_bytes = \"100KiB\"", "http.body_bytes = \"100KiB\": must be at least twice"),
        (
            "topic = [{ match = \"a\", attempts_max = 0 }]",
            "topic[0].attempts_max = 0: must be from 1",
        ),
        (
            "topic = [{ match = \"a\", backoff_base = \"2s\", backoff_cap = \"1s\" }]",
            "topic[0].backoff_base = \"2s\": is longer than backoff_cap",
        ),
        (
            "topic = [{ match = \"a\", backoff_base = \"9ms\" }]",
            "topic[0].backoff_base = \"9ms\": must be from \"10ms\"",
        ),
        (
            "topic = [{ match = \"a\", retention_bytes = \"1kB\" }]",
            "topic[0].retention_bytes = \"1000B\": is less than limits.message_bytes",
        ),
        (
            "topic = [{ match = \"a\", retention_messages = 0 }]",
            "topic[0].retention_messages = 0: nothing would be kept",
        ),
        (
            "topic = [{ match = \"a/#\" }, { match = \"a/b\" }]",
            "topic[1].match = \"a/b\": never applies: topic[0]",
        ),
    ]);
}

#[test]
fn all_faults_are_told_at_once() {
    let config: Config = toml::from_str(
        "server.shards = 999\nlimits.pong_timeout = \"1h\"\nhttp.body_bytes = \"2kB\"",
    )
    .unwrap();
    let message = config.validate().unwrap_err().to_string();
    assert!(message.starts_with("the configuration has "), "{message}");
    assert!(!message.contains("checked next"), "{message}");
    for part in ["server.shards", "nobody could connect", "limits.pong_timeout", "http.body_bytes"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn two_keys_with_one_name_are_refused() {
    let secret = "0123456789abcdef0123456789abcdef";
    let found = check(&format!(
        "auth.keys = [{{ kid = \"a\", algorithm = \"HS256\", secret = \"{secret}\" }}, {{ kid = \"a\", algorithm = \"HS256\", secret = \"{secret}\" }}]"
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("auth.keys[1].kid: an earlier key has the same"), "{found:?}");
}

#[test]
fn a_private_key_is_not_taken_for_a_public_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let pem = format!("-----BEGIN {} KEY-----\n", "PRIVATE");
    std::fs::write(&file, pem).unwrap();
    let found =
        check(&format!("auth.keys = [{{ algorithm = \"ES256\", public_key_file = {file:?} }}]"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("holds a private key"), "{found:?}");
}

#[test]
fn a_public_key_must_be_one_of_its_algorithm() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("public.pem");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(&file, pair.public_key_pem()).unwrap();
    let keys = |algorithms: &[&str]| {
        let entry = |a: &&str| format!("{{ algorithm = \"{a}\", public_key_file = {file:?} }}");
        let entries: Vec<String> = algorithms.iter().map(entry).collect();
        check(&format!("auth.keys = [{}]", entries.join(", ")))
    };
    assert_eq!(keys(&["ES256"]), [""; 0]);
    let found = keys(&["EdDSA", "ES256", "RS256"]);
    assert_eq!(found.len(), 2, "{found:?}");
    for (problem, at) in found.iter().zip([0, 2]) {
        let expected = format!("auth.keys[{at}].public_key_file: the public key is no PEM");
        assert!(problem.starts_with(&expected), "{found:?}");
    }
    std::fs::write(&file, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
    assert_eq!(keys(&["ES256"]).len(), 1);
}

#[test]
fn certificate_and_key_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (pair(), pair());
    let tls = |certificate: &str, key: &str| {
        let files = [("cert.pem", certificate), ("key.pem", key)];
        let [certificate, key] = files.map(|(name, text)| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        });
        check(&format!("tls = {{ certificate_file = {certificate:?}, key_file = {key:?} }}"))
    };
    let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    assert_eq!(tls(&certificate, &key), [""; 0]);
    let swapped = tls(&key, &certificate);
    assert_eq!(swapped.len(), 2, "{swapped:?}");
    assert!(swapped[0].starts_with("tls.certificate_file = "), "{swapped:?}");
    assert!(swapped[0].contains("has no certificate in PEM form"), "{swapped:?}");
    assert!(swapped[1].starts_with("tls.key_file = "), "{swapped:?}");
    assert!(swapped[1].contains("has no private key in PEM form"), "{swapped:?}");
    let others = tls(&certificate, &other.signing_key.serialize_pem());
    assert_eq!(others.len(), 1, "{others:?}");
    assert!(others[0].contains("is not the key of the first certificate"), "{others:?}");
    let cut = tls(&certificate, &key[..key.len() / 2]);
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert!(cut[0].contains("key.pem\": cannot be used: "), "{cut:?}");
    let garbled = tls("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key);
    assert_eq!(garbled.len(), 1, "{garbled:?}");
    assert!(
        garbled[0].starts_with("tls: the certificate and its key cannot be used"),
        "{garbled:?}"
    );
}

#[test]
fn faults_of_trace_are_named_without_their_secrets() {
    each(&[
        (
            "trace = { otlp_url = \"https://collector/v1/traces\" }",
            "trace.otlp_url: is an https URL",
        ),
        ("trace = { otlp_url = \"collector:4318\" }", "trace.otlp_url: is not an http URL"),
        (
            "trace = { otlp_url = \"http://c/\", otlp_headers_file = \"/no/such\" }",
            "trace.otlp_headers_file: cannot be read (/no/such)",
        ),
        (
            "trace = { otlp_headers_file = \"/dev/null\" }",
            "trace.otlp_headers_file: has no use without trace.otlp_url",
        ),
    ]);
    let found = check("trace = { otlp_url = \"http://me:canary@collector/\" }");
    assert!(found[0].contains("authorization") && !found[0].contains("canary"), "{found:?}");
}
