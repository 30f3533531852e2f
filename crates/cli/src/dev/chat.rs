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
use tidings_core::UserId;

use crate::clock_text::now;
use crate::parse::Cap;
use crate::token::Signer;

/// How long somebody stays signed in before the page asks again by itself.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// A name and braces around it.
const BODY_BYTES_MAX: usize = 1024;

/// The chat's routes.
pub(super) fn routes(signer: Signer) -> Router {
    Router::new()
        .route("/dev/token", post(give_token))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(signer))
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
        Ok(Json(asked)) => UserId::parse(&asked.user).map_err(|error| error.to_string()),
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
    match signer.sign(&user, &allowed(&user), now, TOKEN_TTL) {
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

/// Everything below `chat/`, and reading what is addressed to the user alone.
fn allowed(user: &UserId) -> Vec<Cap> {
    vec![
        Cap { filter: "chat/#".to_owned(), ops: vec!["pub", "sub", "hist", "pres"] },
        Cap { filter: format!("user/{user}/#"), ops: vec!["sub", "hist"] },
    ]
}
