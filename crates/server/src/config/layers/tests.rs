//! Layers over one another, and what is said when a layer is wrong.

use std::time::Duration;

use super::*;
use crate::config::ConfigFlag;

fn sources(toml: &str, environment: &[(&str, &str)]) -> (ConfigSources, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidings.toml");
    std::fs::write(&file, toml).unwrap();
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let sources =
        ConfigSources { file: Some(file), environment: environment.collect(), flags: Vec::new() };
    (sources, directory)
}

fn check(toml: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let (sources, directory) = sources(toml, environment);
    let prefix = format!("{}/", directory.path().display());
    Config::load(&sources).map_err(|error| {
        let text = |problem: &ConfigProblem| problem.to_string().replace(&prefix, "");
        assert!(!error.problems().is_empty(), "{error}");
        error.problems().iter().map(text).collect()
    })
}

fn problem(toml: &str, environment: &[(&str, &str)]) -> String {
    let mut problems = check(toml, environment).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

#[test]
fn nothing_at_all_is_the_default() {
    assert_eq!(Config::load(&ConfigSources::default()).unwrap(), Config::default());
    assert_eq!(check("", &[]).unwrap(), Config::default());
}

#[test]
fn later_layers_win() {
    let toml = "[server]\nlisten = \"127.0.0.1:1\"\noperator = \"127.0.0.1:2\"\nnode = \"file\"";
    let variables =
        [("TIDINGS_SERVER__LISTEN", "127.0.0.1:3"), ("TIDINGS_SERVER__OPERATOR", "127.0.0.1:4")];
    let (mut sources, _directory) = sources(toml, &variables);
    sources.flags = vec![ConfigFlag {
        flag: "--listen",
        key: "server.listen",
        value: "127.0.0.1:5".to_owned(),
    }];
    let server = Config::load(&sources).unwrap().server;
    assert_eq!(server.listen.port(), 5);
    assert_eq!(server.operator.port(), 4);
    assert_eq!(server.node.as_str(), "file");
    assert_eq!(server.connections_max, 15_000);
}

#[test]
fn variables_take_the_type_of_their_key() {
    let config = check(
        "",
        &[
            ("TIDINGS_SERVER__SHARDS", "3"),
            ("TIDINGS_AUTH__OPEN", "true"),
            ("TIDINGS_LIMITS__PING_INTERVAL", "5s"),
            ("TIDINGS_HTTP__CORS_ORIGINS", "https://a.example, https://b.example"),
            ("TIDINGS_TOPIC", "[{ match = \"room/#\", attempts_max = 9 }]"),
            ("TIDINGS_URL", "not a key of the configuration"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.shards, 3);
    assert!(config.auth.open);
    assert_eq!(config.limits.ping_interval, Duration::from_secs(5));
    assert_eq!(config.http.cors_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.topic[0].attempts_max, 9);
}

#[test]
fn texts_of_the_file_take_variables_of_any_type() {
    let toml = "[server]\nnode = \"${HOST}-a\"\nshards = \"${SHARDS:-4}\"";
    let config = check(toml, &[("HOST", "db1")]).unwrap();
    assert_eq!(config.server.node.as_str(), "db1-a");
    assert_eq!(config.server.shards, 4);
}

#[test]
fn all_unset_variables_are_told() {
    let toml = "[server]\nnode = \"${NODE}\"\n[auth]\nissuer = \"${ISSUER}\"";
    let problems = check(toml, &[]).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().any(|p| p.contains("server.node") && p.contains("NODE is not set")));
    assert!(problems.iter().any(|p| p.contains("auth.issuer") && p.contains("ISSUER is not set")));
}

#[test]
fn an_unknown_key_names_the_nearest() {
    for (toml, expected) in [
        (
            "[server]\nlisen = 1",
            "tidings.toml:2: server.lisen: unknown key; did you mean `listen`?",
        ),
        ("[sever]\nlisten = \"\"", "tidings.toml:1: sever: unknown key; did you mean `server`?"),
        (
            "[server]\n\nsegment_bytes = \"1MiB\"",
            "tidings.toml:3: server.segment_bytes: unknown key; did you mean `storage.segment_bytes`?",
        ),
        (
            "[[topic]]\nmatch = \"a\"\natempts_max = 3",
            "tidings.toml:3: topic[0].atempts_max: unknown key; did you mean `attempts_max`?",
        ),
        (
            "bananas = true",
            "tidings.toml:1: bananas: unknown key; `tidings config default` shows all",
        ),
    ] {
        assert_eq!(problem(toml, &[]), expected);
    }
    let unknown = problem("", &[("TIDINGS_SERVER__LISEN", "x")]);
    let expected =
        "TIDINGS_SERVER__LISEN: unknown variable; did you mean `TIDINGS_SERVER__LISTEN`?";
    assert_eq!(unknown, expected);
}

#[test]
fn a_wrong_value_is_told_with_its_place_and_what_to_write() {
    for (toml, expected) in [
        (
            "server.listen = \"localhost:80\"",
            "tidings.toml:1: server.listen = \"localhost:80\": not an address: write IP:PORT",
        ),
        (
            "[server]\nshards = \"many\"",
            "tidings.toml:2: server.shards = \"many\": expected a whole number, such as 0",
        ),
        (
            "[server]\ndrain_timeout = 20",
            "tidings.toml:2: server.drain_timeout = 20: expected a text, such as \"20s\"",
        ),
        (
            "[server]\ndrain_timeout = \"20\"",
            "tidings.toml:2: server.drain_timeout = \"20\": not a duration: write",
        ),
        (
            "[server]\nshards = -1",
            "tidings.toml:2: server.shards = -1: invalid value: integer `-1`",
        ),
        (
            "[storage]\nsegment_bytes = \"64\"",
            "tidings.toml:2: storage.segment_bytes = \"64\": not a size: write",
        ),
        ("[auth]\nopen = 1", "tidings.toml:2: auth.open = 1: expected true or false"),
        ("server = 1", "tidings.toml:1: server = 1: expected a section with keys"),
        (
            "[log]\nlevel = \"loud\"",
            "tidings.toml:2: log.level = \"loud\": unknown variant `loud`, expected one of",
        ),
        (
            "[[topic]]\nmatch = \"a\"\n[[topic]]\nmatch = \"b#\"",
            "tidings.toml:4: topic[1].match = \"b#\": `+` and `#` stand alone",
        ),
        (
            "[[topic]]\nmatch = \"a\"\n[[topic]]\ndurability = \"sync\"",
            "tidings.toml:3: topic[1]: missing field `match`",
        ),
        ("[tls]\nkey_file = \"k\"", "tidings.toml:1: tls: missing field `certificate_file`"),
        (
            "[[auth.api_keys]]\nname = \"a\"\ncaps = [{ match = \"a\", ops = [\"fly\"] }]",
            "tidings.toml:3: auth.api_keys[0].caps[0].ops: \"fly\" is not an operation",
        ),
    ] {
        let found = problem(toml, &[]);
        assert!(found.starts_with(expected), "{toml}\n{found}");
    }
    let found = problem("", &[("TIDINGS_SERVER__SHARDS", "many")]);
    let expected = "TIDINGS_SERVER__SHARDS: server.shards = \"many\": expected a whole number";
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let toml =
        "[server]\nlisten = \"x\"\n[limits]\nping_interval = \"fast\"\n[log]\nlevel = \"loud\"";
    assert_eq!(check(toml, &[]).unwrap_err().len(), 3);
}

#[test]
fn a_missing_key_is_told_once_and_every_one_is() {
    let sound = "key = \"x\"\ncaps = [{ match = \"a\", ops = [\"pub\"] }]";
    for (toml, expected) in [
        (
            format!(
                "[tls]\ncertificate_file = \"c\"\n[[auth.api_keys]]\nname = \"a\"\n{sound}"
            ),
            vec!["tidings.toml:1: tls: missing field `key_file`"],
        ),
        (
            format!("[[auth.api_keys]]\n{sound}"),
            vec!["tidings.toml:1: auth.api_keys[0]: missing field `name`"],
        ),
        (
            "[[auth.api_keys]]\nname = \"a\"\ncaps = [\n{ match = \"a\", ops = [] },\n{ ops = [] }]".to_owned(),
            vec!["tidings.toml:5: auth.api_keys[0].caps[1]: missing field `match`"],
        ),
        (
            "[[auth.keys]]\nsecret = \"x\"\n[[topic]]\nattempts_max = 3\n[tls]".to_owned(),
            vec![
                "tidings.toml:1: auth.keys[0]: missing field `algorithm`",
                "tidings.toml:5: tls: missing field `certificate_file`",
                "tidings.toml:5: tls: missing field `key_file`",
                "tidings.toml:3: topic[0]: missing field `match`",
            ],
        ),
        // What stands there, but wrong or mistyped, is not missing as well.
        (
            "[[topic]]\nmatch = 5".to_owned(),
            vec!["tidings.toml:2: topic[0].match = 5: expected a text, such as \"room/#\""],
        ),
        (
            "[[topic]]\nmacth = \"a\"".to_owned(),
            vec!["tidings.toml:2: topic[0].macth: unknown key; did you mean `match`?"],
        ),
    ] {
        let mut found = check(&toml, &[]).unwrap_err();
        found.sort_by_key(|problem| expected.iter().position(|e| problem.starts_with(e)));
        assert_eq!(found, expected, "{toml}");
    }
}

#[test]
fn unknown_keys_types_values_and_missing_keys_are_told_at_once() {
    let toml = "[server]\nlisen = 1\nshards = \"many\"\nlisten = \"x\"\n[[topic]]";
    let variables = [("TIDINGS_SERVER__LISEN", "x"), ("TIDINGS_AUTH__OPEN", "maybe")];
    let found = check(toml, &variables).unwrap_err().join("\n");
    for part in [
        "tidings.toml:2: server.lisen: unknown key",
        "tidings.toml:3: server.shards = \"many\": expected a whole number",
        "tidings.toml:4: server.listen = \"x\": not an address",
        "tidings.toml:5: topic[0]: missing field `match`",
        "TIDINGS_SERVER__LISEN: unknown variable",
        "TIDINGS_AUTH__OPEN: auth.open = \"maybe\": expected true or false",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert_eq!(found.lines().count(), 6, "{found}");
    let (sources, _directory) = sources(toml, &[]);
    let message = Config::load(&sources).unwrap_err().to_string();
    assert!(message.ends_with("how the keys go together are checked next"), "{message}");
}

#[test]
fn an_element_after_a_wrong_one_keeps_its_number() {
    let toml = "topic = [\n5,\n{ match = \"b#\" }]";
    let found = check(toml, &[]).unwrap_err();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("tidings.toml:2: topic[0] = 5: expected a section"), "{found:?}");
    assert!(found[1].starts_with("tidings.toml:3: topic[1].match = \"b#\": "), "{found:?}");
}

#[test]
fn a_secret_is_not_shown_in_a_problem() {
    let toml = "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"canary-${UNSET}\"";
    let found = problem(toml, &[]);
    assert!(found.contains("auth.keys[0].secret = ***: the environment variable UNSET"), "{found}");
    assert!(!found.contains("canary"), "{found}");
    let toml = "[[auth.keys]]\nalgorithm = \"none\"\nsecret = \"canary-4711\"";
    assert!(!problem(toml, &[]).contains("canary"));
    let toml = "[auth]\noperator_key = \"canary-${UNSET}\"";
    assert!(!problem(toml, &[]).contains("canary"));
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_place() {
    let (sources, _directory) = sources("[server]\nlisten = oops\n", &[]);
    let message = Config::load(&sources).unwrap_err().to_string();
    assert!(message.contains("tidings.toml:2:10: not TOML: "), "{message}");
    let missing = ConfigSources { file: Some("/no/such.toml".into()), ..Default::default() };
    let message = Config::load(&missing).unwrap_err().to_string();
    assert!(message.starts_with("cannot read the configuration /no/such.toml"), "{message}");
}
