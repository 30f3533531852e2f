//! An inbox that misses nothing: run it, stop it, publish to `user/alice`, run it again.
//!
//! ```text
//! tidings dev
//! cargo run -p tidings-client --example inbox
//! tidings pub user/alice '"hello"'
//! ```

use anyhow::Context;
use tidings_client::{AckMode, Client, Event, PublishRequest, State, SubscribeRequest};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:8000/v1/ws".to_owned());
    let client = Client::builder(&url).build()?;

    // The client comes back by itself; whoever is curious watches it.
    let mut state = client.state();
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            match &*state.borrow_and_update() {
                State::Ready(connected) => println!("connected to {}", connected.node),
                State::Reconnecting { cause, .. } => println!("{cause}"),
                _ => {}
            }
        }
    });

    let request = SubscribeRequest::durable("user/alice", "example")?.ack(AckMode::Manual);
    let mut inbox = client.subscribe(request).await?;
    // Durable when it returns: it will be read below even if the power fails now.
    client.publish(PublishRequest::text("user/alice", "the example is running")?).await?;

    while let Some(event) = inbox.next().await {
        match event {
            Event::Message(delivery) => {
                let text = String::from_utf8_lossy(delivery.data().bytes());
                println!("#{} {text}", delivery.offset());
                delivery.ack();
            }
            Event::Subscribed { place: Some(place), .. } => {
                println!("{} messages waited", place.pending);
            }
            Event::Reset(reset) => {
                println!("messages before #{} are gone: {}", reset.first, reset.reason.as_str());
            }
            Event::Ended(reason) => return Err(reason).context("the inbox ended"),
            _ => {}
        }
    }
    Ok(())
}
