//! Sharing the executor's threads fairly among connections.

/// Lets other tasks run after a turn that did not wait for anything. A client that sends without a pause then costs
/// them the time for a few KiB, and not all that tokio's budget allows one task.
pub(crate) async fn yield_if_busy(waited: bool) {
    if !waited {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_turn_that_did_not_wait_lets_other_tasks_run() {
        assert!(yield_if_busy(false).now_or_never().is_none());
        assert!(yield_if_busy(true).now_or_never().is_some());
    }
}
