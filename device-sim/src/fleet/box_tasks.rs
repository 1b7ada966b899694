//! The running boxes of a fleet, each in a task of its own, and the controls applied to them.

use std::collections::VecDeque;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use wire::DeviceId;

use crate::report::Listener;
use crate::run::run_box;
use crate::session::{CONTROLS_MAX, Control, Options};
use crate::soundbox::counters::Counters;

use super::fleet_box::FleetBox;

/// The boxes of a fleet: those waiting to be started and those running.
pub struct BoxTasks {
    options: Options,
    waiting: VecDeque<FleetBox>,
    started: Vec<BoxTask>,
    sessions: JoinSet<anyhow::Result<Counters>>,
    stop: CancellationToken,
    ended: Ended,
}

/// A box that was started.
struct BoxTask {
    device_id: DeviceId,
    controls: mpsc::Sender<Control>,
}

/// The results of the boxes that have ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// The sum of their counters.
    pub counters: Counters,
    /// The errors with which boxes ended.
    pub problems: Vec<String>,
}

impl BoxTasks {
    /// Boxes that are to be started in this order.
    pub fn new(boxes: Vec<FleetBox>, options: Options, stop: CancellationToken) -> Self {
        raise_file_limit();
        Self {
            options,
            started: Vec::with_capacity(boxes.len()),
            waiting: boxes.into(),
            sessions: JoinSet::new(),
            stop,
            ended: Ended::default(),
        }
    }

    /// How many are not started yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many were started.
    pub fn started(&self) -> usize {
        self.started.len()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.sessions.len()
    }

    /// Starts the next box; `false` when all are started.
    pub fn start_next(&mut self, listener: Listener) -> bool {
        let Some(next) = self.waiting.pop_front() else {
            return false;
        };
        let options = Options {
            number: self.started.len(),
            ..self.options.clone()
        };
        let (controls, taken) = mpsc::channel(CONTROLS_MAX);
        self.started.push(BoxTask {
            device_id: next.device_id(),
            controls,
        });
        let stop = self.stop.clone();
        self.sessions
            .spawn(run_box(next, options, listener, taken, stop));
        true
    }

    /// Sends a control to a box and returns the box's id; `None` when its queue of controls is full.
    pub fn control(&self, number: usize, control: Control) -> Option<DeviceId> {
        let task = self.started.get(number)?;
        task.controls.try_send(control).ok()?;
        Some(task.device_id)
    }

    /// Waits until a box ends; `false` when none is running.
    pub async fn one_ended(&mut self) -> bool {
        match self.sessions.join_next().await {
            Some(ended) => {
                self.ended.add(ended);
                true
            }
            None => false,
        }
    }

    /// Waits until all boxes have ended.
    pub async fn all_ended(mut self) -> Ended {
        while self.one_ended().await {}
        self.ended
    }
}

impl Ended {
    fn add(&mut self, ended: Result<anyhow::Result<Counters>, JoinError>) {
        match ended {
            Ok(Ok(own)) => self.counters += own,
            Ok(Err(error)) => self.problems.push(format!("{error:#}")),
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    /// Fails when any box ended with an error.
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

/// Raises the limit of open files to the hard limit: every box has a socket and a journal open.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
