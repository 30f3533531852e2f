//! The Rust SDK of Tidings, a durable real-time messaging server.
//!
//! ```no_run
//! use tidings_client::{Client, Event, PublishRequest, SubscribeRequest};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("ws://127.0.0.1:8000/v1/ws").build()?;
//!
//! // Resolves when the message is durable.
//! let outcome = client.publish(PublishRequest::json("user/alice", &"hello")?).await?;
//! println!("stored as {}", outcome.id());
//!
//! // The server remembers the place of `phone`, also while it is away.
//! let request = SubscribeRequest::durable("user/alice", "phone")?;
//! let mut inbox = client.subscribe(request).await?;
//! while let Some(event) = inbox.next().await {
//!     match event {
//!         // Acked when the next one is asked for.
//!         Event::Message(delivery) => println!("{}", delivery.json::<String>()?),
//!         Event::Reset(reset) => println!("messages before {} are gone", reset.first),
//!         Event::Ended(reason) => println!("over: {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps one connection up. After a disconnect it comes back with backoff, or as the
//! server asks, and goes on where it was: what was published and not answered is sent again with
//! the same keys, so it is stored once; subscriptions are taken up from their places; a message
//! in the application's hands is not handed out a second time. What cannot be made good is told:
//! [`Event::Reset`] when messages are gone, [`State::Closed`] with the reason when coming back
//! would not help.
//!
//! Everything is bounded. Publishing waits while the outbox is full. When the application is slow
//! to take messages, the client stops reading, and the server's log is the queue.
//!
//! For whoever changes this crate: the task (`task.rs`) owns the socket and decides nothing;
//! what is to be said and done is in the agenda (`agenda.rs`), and the places where messages
//! could get lost or repeated are small structs without I/O: `Outbox`, `Ledger`, `SharedLedger`,
//! `LivePlace`, `Reconnect`, `Heartbeat`.

mod address;
mod agenda;
mod builder;
mod client;
mod clock;
mod delivery;
mod feedback;
mod gate;
mod heartbeat;
mod history;
mod ledger;
mod limits;
mod live_place;
mod outbox;
mod presence;
mod publish;
mod question;
mod reconnect;
mod shared_ledger;
mod socket;
mod state;
mod subscribe;
mod subscription;
mod task;
mod tls;
mod token;

pub use address::AddressError;
pub use builder::{BuildError, ClientBuilder};
pub use client::{Client, CloseError};
pub use delivery::Delivery;
pub use history::HistoryError;
pub use presence::PresenceError;
pub use publish::{PublishError, PublishRequest, PublishTicket, RequestError};
pub use state::{CloseReason, Disconnect, State};
pub use subscribe::{AckMode, SubscribeError, SubscribeRequest};
pub use subscription::{EndReason, Event, Subscription};
pub use tls::{TlsError, TlsFault};

pub use tidings_core::{
    ClientId, ContentType, Data, DataKind, DedupKey, Epoch, Filter, GroupName, Headers, MessageId,
    Offset, OrderKey, Position, ResetReason, Timestamp, Topic, UserId,
};
pub use tidings_protocol::http::PublishOutcome;
pub use tidings_protocol::{
    Codec, Connected, ErrorBody, ErrorCode, History, HistoryFrom, HistoryRequest, Member,
    PresenceChange, Present, Published, Reset, Scheduled, StartFrom, SubscribedPlace,
    UnsubscribeReason,
};
