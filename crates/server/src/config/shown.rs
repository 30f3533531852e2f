//! The configuration as it may be shown: every key with the value in force, and no secret.

use serde_json::Value;

use super::Config;

/// What stands for what must not be seen, as where a [`Secret`](super::Secret) is shown.
const HIDDEN: &str = "***";

impl Config {
    /// Every key with the value in force, `null` where it has none.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = serde_json::to_value(self).expect("a configuration is JSON");
        // A collector's URL is no secret, but some want their key in it.
        let url = self.trace.otlp_url.as_deref();
        if let Some((address, _query)) = url.and_then(|url| url.split_once('?')) {
            shown["trace"]["otlp_url"] = format!("{address}?{HIDDEN}").into();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{FULL, known_keys};
    use super::*;

    /// What stands at a dotted key, in the first element of each list.
    fn at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
        key.split('.').try_fold(value, |value, step| match value {
            Value::Array(list) => list.first()?.get(step),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => value.get(step),
        })
    }

    #[test]
    fn every_key_is_shown_and_no_secret() {
        let mut full: Config = FULL.clone().try_into().unwrap();
        full.trace.otlp_url = Some("http://127.0.0.1:4318/v1/traces?key=canary".to_owned());
        let shown = full.shown();
        for key in known_keys() {
            assert!(at(&shown, &key).is_some(), "{key}: {shown}");
        }
        for secret in ["auth.operator_key", "auth.keys.secret", "auth.api_keys.key"] {
            assert_eq!(at(&shown, secret), Some(&HIDDEN.into()), "{secret}");
        }
        assert_eq!(at(&shown, "trace.otlp_url").unwrap(), "http://127.0.0.1:4318/v1/traces?***");
        let text = shown.to_string();
        assert!(!text.contains("canary") && !text.contains("change-me"), "{text}");
    }

    #[test]
    fn values_are_as_in_the_file() {
        let shown = Config::default().shown();
        for (key, value) in [
            ("server.listen", Value::from("127.0.0.1:8000")),
            ("server.drain_timeout", "20s".into()),
            ("limits.outbound_bytes", "256KiB".into()),
            ("server.shards", 0.into()),
            ("auth.operator_key", Value::Null),
            ("tls", Value::Null),
            ("topic", Vec::<Value>::new().into()),
        ] {
            assert_eq!(at(&shown, key), Some(&value), "{key}");
        }
    }
}
