//! What the server writes about itself: to standard error, for people or for machines.

use tidings_server::{LogFormat, LogLevel, LogSection};
use tracing::level_filters::LevelFilter;

/// Starts the log. Call once.
pub(crate) fn start(section: &LogSection) {
    let level = match section.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    match section.format {
        LogFormat::Text => {
            use std::io::IsTerminal;
            subscriber.with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
