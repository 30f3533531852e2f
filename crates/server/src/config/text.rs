//! How values that are text in the file become types of their own, with messages that say what
//! to write instead.

use std::fmt::Display;

use serde::{Deserialize, Deserializer};

/// Anything that is written as it is displayed.
pub(super) mod plain {
    use std::str::FromStr;

    use serde::Serializer;
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Display};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// `127.0.0.1:8000`.
pub(super) mod address {
    use std::net::SocketAddr;

    use serde::de::Error as _;

    use super::{Deserialize, Deserializer};

    pub(crate) use super::plain::serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SocketAddr, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| {
            D::Error::custom(
                "not an address: write IP:PORT, such as \"127.0.0.1:8000\", \"0.0.0.0:8000\" or \"[::]:8000\"",
            )
        })
    }
}

/// `25s`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::Serializer;

    use super::super::quantity::{duration_to_text, parse_duration};
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration_to_text(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// `sync`, `async`, `memory`.
pub(super) mod durability {
    use serde::Serializer;
    use serde::de::Error as _;
    use tidings_core::Durability;

    use super::{Deserialize, Deserializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Durability,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match value {
            Durability::Sync => "sync",
            Durability::Async => "async",
            Durability::Memory => "memory",
        })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Durability, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "sync" => Ok(Durability::Sync),
            "async" => Ok(Durability::Async),
            "memory" => Ok(Durability::Memory),
            _ => Err(D::Error::custom("not a durability: write \"sync\", \"async\" or \"memory\"")),
        }
    }
}

/// `urgent`, `normal`, `bulk`.
pub(super) mod priority {
    use serde::Serializer;
    use serde::de::Error as _;
    use tidings_core::Priority;

    use super::{Deserialize, Deserializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Priority,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Priority, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.ok_or_else(|| {
            D::Error::custom("not a priority: write \"urgent\", \"normal\" or \"bulk\"")
        })
    }
}

/// `["pub", "sub"]`.
pub(super) mod operations {
    use serde::de::Error as _;
    use serde::{Serialize, Serializer};
    use tidings_core::Operation;

    use super::{Deserialize, Deserializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &[Operation],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.iter().map(|o| o.as_str()).collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Operation>, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let parse = |word: &String| {
            Operation::from_word(word).ok_or_else(|| {
                let known = Operation::ALL.map(Operation::as_str).join(", ");
                D::Error::custom(format!("{word:?} is not an operation: write some of {known}"))
            })
        };
        words.iter().map(parse).collect()
    }
}
