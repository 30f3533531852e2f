//! The chat that `tidings dev` serves, and the part of its backend that no server of messages is:
//! saying who somebody is. An application has its own sign-in there; a demo takes any name.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidings_core::{Durability, Filter, UserId};
use tidings_server::{ConnectsTo, Page, TopicSection, pages};

use crate::clock_text::now;
use crate::parse::{self, Cap};
use crate::token::Signer;

/// How long somebody stays signed in before the page asks again by itself.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A name and braces around it.
const BODY_BYTES_MAX: usize = 1024;

macro_rules! page {
    ($path:literal, $media_type:literal, $file:literal) => {
        Page {
            path: $path,
            media_type: $media_type,
            bytes: include_bytes!(concat!("../../../../examples/chat/dist/", $file)),
        }
    };
}

/// What `npm run build` makes of examples/chat.
const PAGES: &[Page] = &[
    page!("/", "text/html; charset=utf-8", "index.html"),
    page!("/app.js", "text/javascript; charset=utf-8", "app.js"),
    page!("/app.css", "text/css; charset=utf-8", "app.css"),
    page!("/icon.svg", "image/svg+xml", "icon.svg"),
];

/// The chat's routes.
pub(super) fn routes(signer: Signer) -> Router {
    Router::new()
        .route("/dev/token", post(give_token))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(signer))
        .merge(pages(PAGES, ConnectsTo::OwnAddress))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    user: String,
}

async fn give_token(
    State(signer): State<Arc<Signer>>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let user = match asked {
        Ok(Json(asked)) => name(&asked.user),
        Err(rejection) => Err(format!(
            "{}; write {{\"user\":\"alice\"}}, as application/json",
            rejection.body_text()
        )),
    };
    let user = match user {
        Ok(user) => user,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "bad_field", &message),
    };
    let now = now().as_ms() / 1000;
    match signer.sign(&user, &allowed(user.as_str()), now, TOKEN_TTL) {
        Ok(token) => {
            let expires_at = (now + TOKEN_TTL.as_secs()) * 1000;
            Json(json!({ "token": token, "expires_at": expires_at })).into_response()
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", &format!("{error:#}")),
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "code": code, "detail": message }))).into_response()
}

/// What somebody may do in the chat: as `examples/chat/README.md` says, which keeps others out of
/// what two people say to each other.
fn allowed(user: &str) -> Vec<Cap> {
    let cap = |filter: String, ops: &[&'static str]| Cap { filter, ops: ops.to_vec() };
    let all = ["pub", "sub", "hist", "pres"];
    vec![
        cap("chat/rooms".to_owned(), &["pub", "sub", "hist"]),
        cap("chat/room/#".to_owned(), &all),
        cap(format!("chat/direct/{user}/#"), &all),
        cap(format!("chat/direct/+/{user}/#"), &all),
        cap(format!("chat/people/{user}"), &["sub", "hist"]),
        cap("chat/people/+".to_owned(), &["pub"]),
    ]
}

/// The name, if it may stand as one level in what a token allows.
fn name(text: &str) -> Result<UserId, String> {
    let user = parse::user(text)?;
    if text.contains(['/', '+', '#']) {
        return Err("the chat takes no name with `/`, `+` or `#`".to_owned());
    }
    Ok(user)
}

/// The policies of the chat's topics, as in `examples/chat/tidings.toml`.
pub(super) fn topics() -> Vec<TopicSection> {
    let section = |filter| TopicSection::new(Filter::parse(filter).expect("a valid filter"));
    let messages = |filter| TopicSection {
        retention_age: YEAR,
        ack_timeout: DAY,
        attempts_max: 1000,
        backoff_base: Duration::from_millis(10),
        backoff_cap: Duration::from_secs(1),
        presence: true,
        ..section(filter)
    };
    let typing = |filter| TopicSection { durability: Durability::Memory, ..section(filter) };
    vec![
        messages("chat/room/+/messages"),
        messages("chat/direct/+/+/messages"),
        typing("chat/room/+/typing"),
        typing("chat/direct/+/+/typing"),
        TopicSection { retention_age: YEAR, retention_messages: Some(10_000), ..section("chat/#") },
    ]
}

#[cfg(test)]
mod tests {
    use tidings_server::{Config, ConfigSources};

    use super::*;

    #[test]
    fn the_policies_are_those_of_the_example() {
        let folder: std::path::PathBuf = std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into();
        let file = folder.join("../../examples/chat/tidings.toml");
        let environment = [("TIDINGS_TOKEN_SECRET".to_owned(), "x".repeat(32))].into();
        let sources = ConfigSources { file: Some(file), environment, flags: Vec::new() };
        assert_eq!(Config::load(&sources).unwrap().topic, topics());
    }

    #[test]
    fn a_name_cannot_widen_what_its_token_allows() {
        assert!(name("alice").is_ok());
        for hostile in ["+", "#", "bob/x", "a/#", "", "\n", "$operator"] {
            assert!(name(hostile).is_err(), "{hostile:?}");
        }
    }
}
