//! Hearing that a lease was given back.
//!
//! One connection listens for all who wait, and only while somebody does. Without it, or where it may not
//! subscribe, whoever waits asks again from time to time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ::redis::{Client, RedisError, RedisResult};
use futures_util::StreamExt;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::timeout,
};

use crate::sync::{Mutex, lock};

#[derive(Default)]
pub(super) struct Ears {
    waiting: Mutex<Waiting>,
    /// Somebody came or left.
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    channels: HashMap<Arc<str>, watch::Sender<()>>,
    listening: bool,
}

/// One who waits. Dropping it ends that.
pub(super) struct Ear {
    ears: Arc<Ears>,
    channel: Arc<str>,
    heard: watch::Receiver<()>,
}

/// How long a connection and a subscription may take, and after how long a failed one is tried again.
const LIMIT: Duration = Duration::from_secs(2);

impl Ears {
    pub(super) fn hear(self: &Arc<Self>, client: &Client, channel: &str) -> Ear {
        let channel: Arc<str> = channel.into();
        let mut waiting = lock(&self.waiting);
        let others = waiting.channels.contains_key(&channel);
        let mut heard = waiting
            .channels
            .entry(channel.clone())
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        let first = !std::mem::replace(&mut waiting.listening, true);
        drop(waiting);
        if others {
            // What was told right before was for them alone.
            heard.mark_changed();
        }
        self.changed.notify_one();
        let ear = Ear { ears: self.clone(), channel, heard };
        if first {
            let listener = Listener { ears: self.clone(), on: true };
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(listener.run(client.clone()))),
                // They poll.
                Err(_) => drop(listener),
            }
        }
        ear
    }

    fn wanted(&self) -> HashSet<Arc<str>> {
        lock(&self.waiting).channels.keys().cloned().collect()
    }

    fn wake(&self, channel: &str) {
        if let Some(channel) = lock(&self.waiting).channels.get(channel) {
            channel.send_replace(());
        }
    }
}

impl Ear {
    /// Until it is worth asking again: the lease was given back, or it is listened for from now on.
    pub(super) async fn heard(&mut self) {
        if self.heard.changed().await.is_err() {
            // Its sender stays for as long as this does.
            std::future::pending().await
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut waiting = lock(&self.ears.waiting);
        let last = waiting
            .channels
            .get(&self.channel)
            .is_some_and(|channel| channel.receiver_count() <= 1);
        if last {
            waiting.channels.remove(&self.channel);
        }
        drop(waiting);
        self.ears.changed.notify_one();
    }
}

/// Somebody is listening, until this is dropped: at the end, by a panic, or with the runtime.
struct Listener {
    ears: Arc<Ears>,
    on: bool,
}

impl Listener {
    async fn run(mut self, client: Client) {
        while self.is_wanted() {
            if listen(&self.ears, &client).await.is_err() {
                // Whoever leaves meanwhile ends it too.
                let _ = timeout(LIMIT, self.ears.changed.notified()).await;
            }
        }
    }

    /// Under the lock that tells so, or one who comes could find a listener that is about to leave.
    fn is_wanted(&mut self) -> bool {
        let mut waiting = lock(&self.ears.waiting);
        self.on = !waiting.channels.is_empty();
        waiting.listening = self.on;
        self.on
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.on {
            lock(&self.ears.waiting).listening = false;
        }
    }
}

/// Listen until nobody waits.
async fn listen(ears: &Ears, client: &Client) -> RedisResult<()> {
    let listener = within(client.get_async_pubsub()).await?;
    let (mut sink, mut messages) = listener.split();
    let mut subscribed = HashSet::<Arc<str>>::new();
    loop {
        let wanted = ears.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        for channel in &wanted - &subscribed {
            within(sink.subscribe(&*channel)).await?;
            // It may have been given back just before.
            ears.wake(&channel);
            subscribed.insert(channel);
        }
        for channel in &subscribed - &wanted {
            within(sink.unsubscribe(&*channel)).await?;
            subscribed.remove(&channel);
        }
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => ears.wake(message.get_channel_name()),
                None => return Err(broken()),
            },
            () = ears.changed.notified() => {}
        }
    }
}

async fn within<T>(call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(LIMIT, call).await.unwrap_or_else(|_| Err(broken()))
}

fn broken() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// The lease may have been given back between their question and their coming.
    #[tokio::test]
    async fn who_comes_beside_others_asks_once_more() {
        let (ears, nowhere) = (Arc::new(Ears::default()), Client::open("unix:///nowhere").unwrap());
        let mut first = ears.hear(&nowhere, "channel");
        assert!(first.heard().now_or_never().is_none());
        let mut second = ears.hear(&nowhere, "channel");
        assert!(second.heard().now_or_never().is_some());
        assert!(second.heard().now_or_never().is_none());
        assert!(first.heard().now_or_never().is_none());
        ears.wake("channel");
        assert!(first.heard().now_or_never().is_some() && second.heard().now_or_never().is_some());
    }
}
