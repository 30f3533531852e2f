//! The console's pages. They need no key: they ask for it, and show it with each request.

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

use crate::pages::{ConnectsTo, Page, pages};

/// Where the console is.
const CONSOLE_PATH: &str = "/console/";

macro_rules! page {
    ($path:literal, $media_type:literal, $file:literal) => {
        Page {
            path: concat!("/console/", $path),
            media_type: $media_type,
            bytes: include_bytes!(concat!("../../../../console/dist/", $file)),
        }
    };
}

/// What `npm run build` makes of `console`.
const PAGES: &[Page] = &[
    page!("", "text/html; charset=utf-8", "index.html"),
    page!("app.js", "text/javascript; charset=utf-8", "app.js"),
    page!("app.css", "text/css; charset=utf-8", "app.css"),
    page!("icon.svg", "image/svg+xml", "icon.svg"),
];

/// The console, which tries out the public port of the same host.
pub(super) fn routes(public_port: u16) -> Router {
    let to_console = async || Redirect::to(CONSOLE_PATH);
    Router::new()
        .route("/", get(to_console))
        .route("/console", get(to_console))
        .merge(pages(PAGES, ConnectsTo::OwnHostAndPort(public_port)))
}
