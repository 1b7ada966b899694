//! The routes by their paths, so that no route can be forgotten where all of them are looked at.
//!
//! axum's router does not tell what it has. Each noun therefore names its routes to a [`Routes`], which keeps the
//! paths beside the router that it builds; [`super::paths`] is what the test of every route × role starts from.

use axum::Router;
use axum::routing::MethodRouter;

use crate::service::Context;

/// Routes, and the paths they have.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Context>,
    paths: Vec<&'static str>,
}

impl Routes {
    /// None.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// These and one more.
    pub(super) fn route(mut self, path: &'static str, methods: MethodRouter<Context>) -> Self {
        self.paths.push(path);
        self.router = self.router.route(path, methods);
        self
    }

    /// These and those.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        self.router = self.router.merge(other.router);
        self
    }

    /// The router that answers them.
    pub(super) fn into_router(self) -> Router<Context> {
        self.router
    }

    /// Their paths, as they were written.
    pub(super) fn into_paths(self) -> Vec<&'static str> {
        self.paths
    }
}
