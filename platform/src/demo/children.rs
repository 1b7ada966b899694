//! The simulator's processes.

use std::time::Duration;

use super::child::Child;
use super::output::Output;

const BOX_STOPS_WITHIN: Duration = Duration::from_secs(5);

/// The simulator's processes.
#[derive(Default)]
pub(super) struct Children {
    pub(super) boxes: Vec<Child>,
    pub(super) acquirer: Option<Child>,
    pub(super) bank: Option<Child>,
}

impl Children {
    pub(super) fn restart_ended(&mut self, output: &Output) {
        let others = self.acquirer.iter_mut().chain(&mut self.bank);
        for child in self.boxes.iter_mut().chain(others) {
            if let Some(problem) = child.restart_if_ended() {
                output.notice("problem", &problem);
            }
        }
    }

    /// Stops the boxes and the bank.
    pub(super) async fn stop_boxes(&mut self) {
        let stops = self
            .boxes
            .drain(..)
            .chain(self.bank.take())
            .map(|child| child.stop(BOX_STOPS_WITHIN));
        futures_util::future::join_all(stops).await;
    }
}
