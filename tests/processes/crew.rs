//! Workers: started, killed, replaced, and listened to.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    account::{marking, spending},
    report::Report,
    worker::Task,
};

/// How long a worker that should say or do something is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// How a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// At a moment that had nothing to do with it.
    Random,
    /// Soon after it said that it was sending a token request.
    Aimed,
}

/// What is known of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) id: String,
    pub(crate) reports: Vec<Report>,
    pub(crate) death: Option<Death>,
    pub(crate) stops: Vec<Stop>,
}

/// Where a process was when it was stopped, as far as it had said so by then.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// The refresh token that it had sent and had not saved the answer to.
    pub(crate) sent: Option<String>,
    /// The one that it had marked, or was about to.
    pub(crate) marked: Option<String>,
}

/// All processes that there were, in the order in which they were started.
type Lives = Arc<Mutex<Vec<Life>>>;

struct Worker {
    /// Its place among all lives.
    number: usize,
    child: Child,
    input: ChildStdin,
    listener: JoinHandle<()>,
}

pub(crate) struct Crew {
    tasks: Vec<Task>,
    workers: Vec<Worker>,
    lives: Lives,
    senders: mpsc::UnboundedSender<usize>,
    sending: mpsc::UnboundedReceiver<usize>,
}

impl Crew {
    /// A worker for each task.
    pub(crate) fn new(tasks: Vec<Task>) -> Self {
        let (senders, sending) = mpsc::unbounded_channel();
        let mut crew =
            Self { tasks, workers: Vec::new(), lives: Lives::default(), senders, sending };
        for place in 0..crew.tasks.len() {
            let worker = crew.start(place);
            crew.workers.push(worker);
        }
        crew
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Kill a worker, hear its last words, and start another in its place.
    pub(crate) async fn kill(&mut self, place: usize, death: Death) {
        let next = self.start(place);
        let mut dead = std::mem::replace(&mut self.workers[place], next);
        // Marked first: what it says from now on it may say after its death.
        self.lives()[dead.number].death = Some(death);
        dead.child.kill().await.unwrap();
        dead.listener.await.unwrap();
    }

    /// Let it stand still, whatever it is doing.
    pub(crate) async fn stop(&self, place: usize) {
        self.signal(place, "STOP").await;
    }

    /// Let it go on, and note where it had been.
    pub(crate) async fn resume(&self, place: usize) {
        // Whatever it had said before it stopped has been heard for long.
        {
            let mut lives = self.lives();
            let life = &mut lives[self.workers[place].number];
            let [sent, marked] = [spending(life), marking(life)].map(|it| it.map(str::to_owned));
            life.stops.push(Stop { sent, marked });
        }
        self.signal(place, "CONT").await;
    }

    async fn signal(&self, place: usize, signal: &str) {
        let id = self.workers[place].child.id().expect("it was not waited for");
        let script = format!("kill -{signal} {id}");
        let status = Command::new("sh").args(["-c", &script]).status().await.unwrap();
        assert!(status.success());
    }

    /// The place of a worker that just said that it is sending a token request.
    pub(crate) async fn sending(&mut self) -> usize {
        loop {
            let number = self.sending.recv().await.expect("this holds a sender too");
            // Another one may be in its place by now.
            if let Some(place) = self.workers.iter().position(|it| it.number == number) {
                return place;
            }
        }
    }

    /// Wait until each worker of now was served, counted from now.
    pub(crate) async fn all_are_served(&self) {
        let served = |number: usize| {
            let lives = self.lives();
            lives[number].reports.iter().filter(|it| **it == Report::Served).count()
        };
        let before: Vec<_> = self.workers.iter().map(|it| (it.number, served(it.number))).collect();
        for (number, count) in before {
            let wait = async {
                while served(number) == count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let in_time = timeout(LIMIT, wait).await.is_ok();
            assert!(in_time, "nothing is served any more: {:?}", self.lives()[number]);
        }
    }

    /// How often this was said so far.
    pub(crate) fn count(&self, wanted: &Report) -> usize {
        let lives = self.lives();
        lives.iter().flat_map(|life| &life.reports).filter(|report| *report == wanted).count()
    }

    /// Let everybody finish, and tell what each of all the processes did.
    pub(crate) async fn dismiss(self) -> Vec<Life> {
        for Worker { mut child, input, listener, number } in self.workers {
            drop(input);
            let status = timeout(LIMIT, child.wait()).await;
            let status = status.expect("a worker ends when its input does").unwrap();
            listener.await.unwrap();
            assert!(status.success(), "worker {number}: {status}");
        }
        std::mem::take(&mut *self.lives.lock().unwrap())
    }

    fn start(&self, place: usize) -> Worker {
        let number = {
            let mut lives = self.lives();
            let number = lives.len();
            lives.push(Life { id: format!("{place}.{number}"), ..Life::default() });
            number
        };
        let id = format!("{place}.{number}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(self.tasks[place].arguments(&id))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listener =
            tokio::spawn(listen(lines, number, self.lives.clone(), self.senders.clone()));
        Worker { number, child, input, listener }
    }

    fn lives(&self) -> MutexGuard<'_, Vec<Life>> {
        self.lives.lock().unwrap()
    }
}

async fn listen(
    mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    number: usize,
    lives: Lives,
    senders: mpsc::UnboundedSender<usize>,
) {
    while let Some(line) = lines.next_line().await.unwrap() {
        let report: Report = line.parse().unwrap();
        if report == Report::Sending {
            let _ = senders.send(number);
        }
        lives.lock().unwrap()[number].reports.push(report);
    }
}
