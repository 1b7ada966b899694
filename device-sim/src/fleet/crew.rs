//! Many boxes that run, each in a task of its own, and what can be done to them.

use std::collections::VecDeque;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use wire::DeviceId;

use crate::credentials::Credentials;
use crate::link::Transport;
use crate::report::Listener;
use crate::session::{self, CONTROLS_MAX, Control, Options};
use crate::soundbox::counters::Counters;

/// The boxes of a fleet: some wait to be started, some run.
pub struct Crew {
    options: Options,
    waiting: VecDeque<(Credentials, Transport)>,
    running: Vec<Member>,
    sessions: JoinSet<anyhow::Result<Counters>>,
    stop: CancellationToken,
    ended: Ended,
}

/// A box that was started.
struct Member {
    device_id: DeviceId,
    controls: mpsc::Sender<Control>,
}

/// What the boxes that ended have left.
#[derive(Debug, Default)]
pub struct Ended {
    /// What all of them saw.
    pub counters: Counters,
    /// Why some ended by themselves.
    pub problems: Vec<String>,
}

impl Crew {
    /// Boxes that wait to be started, in this order.
    pub fn new(
        boxes: Vec<(Credentials, Transport)>,
        options: Options,
        stop: CancellationToken,
    ) -> Self {
        raise_file_limit();
        Self {
            options,
            running: Vec::with_capacity(boxes.len()),
            waiting: boxes.into(),
            sessions: JoinSet::new(),
            stop,
            ended: Ended::default(),
        }
    }

    /// How many wait to be started.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many were started.
    pub fn started(&self) -> usize {
        self.running.len()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.sessions.len()
    }

    /// Starts the next box; `false` when all are started.
    pub fn start_next(&mut self, listener: Listener) -> bool {
        let Some((credentials, transport)) = self.waiting.pop_front() else {
            return false;
        };
        let options = Options {
            number: self.running.len(),
            transport,
            ..self.options.clone()
        };
        let (controls, taken) = mpsc::channel(CONTROLS_MAX);
        self.running.push(Member {
            device_id: credentials.device.device_id,
            controls,
        });
        let stop = self.stop.clone();
        self.sessions
            .spawn(session::run(credentials, options, listener, taken, stop));
        true
    }

    /// Does this to a box; one that has not taken the last few is spared. Its id.
    pub fn control(&self, number: usize, control: Control) -> Option<DeviceId> {
        let member = self.running.get(number)?;
        member.controls.try_send(control).ok()?;
        Some(member.device_id)
    }

    /// Waits until one of them ends; `false` when none runs.
    pub async fn one_ended(&mut self) -> bool {
        match self.sessions.join_next().await {
            Some(ended) => {
                self.ended.take(ended);
                true
            }
            None => false,
        }
    }

    /// Waits for the end of all.
    pub async fn all_ended(mut self) -> Ended {
        while self.one_ended().await {}
        self.ended
    }
}

impl Ended {
    fn take(&mut self, ended: Result<anyhow::Result<Counters>, JoinError>) {
        match ended {
            Ok(Ok(own)) => self.counters += own,
            Ok(Err(error)) => self.problems.push(format!("{error:#}")),
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    /// An error when any box ended by itself.
    ///
    /// # Errors
    /// The first reason, and how many there are.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.problems.first() {
            None => Ok(()),
            Some(first) => anyhow::bail!(
                "{} boxes ended with an error, the first: {first}",
                self.problems.len()
            ),
        }
    }
}

/// Every box holds a socket and a journal: takes as many open files as this process may have.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
