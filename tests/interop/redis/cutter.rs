//! Something between a store and its Redis that loses an answer when it is told to.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
};

/// It ends when this is dropped.
pub(super) struct Cutter {
    armed: Arc<AtomicBool>,
    port: u16,
    task: JoinHandle<()>,
}

impl Cutter {
    pub(super) async fn before(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let armed = Arc::new(AtomicBool::new(false));
        let told = armed.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let redis = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(pass_on(client, redis, told.clone()));
            }
        });
        Self { armed, port, task }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The answer to the next script is lost, and the connection with it.
    pub(super) fn lose_an_answer(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_lost_it(&self) -> bool {
        !self.armed.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut client: TcpStream, mut redis: UnixStream, armed: Arc<AtomicBool>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut scripted = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                scripted = asked[..read].windows(7).any(|word| word == b"EVALSHA");
                redis.write_all(&asked[..read]).await.unwrap();
            }
            read = redis.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                // A script that is not known yet has done nothing.
                let done = scripted && !answered.starts_with(b"-NOSCRIPT");
                if done && armed.swap(false, Ordering::SeqCst) {
                    return;
                }
                let _ = client.write_all(&answered[..read]).await;
            }
        }
    }
}
