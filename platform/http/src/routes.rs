//! The routes: path, method, handler, and their description in the OpenAPI document.
//!
//! axum's router cannot list its routes. Each noun therefore declares them to a [`Routes`], which keeps their descriptions
//! beside the router that it builds; the document and the tests read those.

use axum::handler::Handler as AxumHandler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, patch, post};
use axum::{Extension, Router};
use service::Context;
use utoipa::openapi::HttpMethod;

use super::error::ErrorCode;
use super::operation::{Callers, Handler, Operation};
use super::query::{self, KnownParameters};

/// A method of a path.
#[derive(Clone)]
pub struct Endpoint {
    /// The path, as the contract writes it.
    pub path: &'static str,
    /// The method.
    pub method: HttpMethod,
    /// Its group in the document.
    pub tag: &'static str,
    /// Its name among all operations.
    pub id: String,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The operation of its handler's signature, with the errors of its use case.
    pub operation: Operation,
}

/// Routes and their descriptions.
pub(super) struct Routes {
    tag: &'static str,
    router: Router<Context>,
    endpoints: Vec<Endpoint>,
}

impl Routes {
    /// No routes yet, in this group.
    pub(super) fn of(tag: &'static str) -> Self {
        Self {
            tag,
            router: Router::new(),
            endpoints: Vec::new(),
        }
    }

    /// These, and GET.
    pub(super) fn get<H, T, A>(
        self,
        path: &'static str,
        handler: H,
        summary: &'static str,
        errors: &[ErrorCode],
    ) -> Self
    where
        H: AxumHandler<T, Context> + Handler<A>,
        T: 'static,
    {
        self.add::<H, A>(HttpMethod::Get, path, get(handler), summary, errors)
    }

    /// These, and POST. `errors` are those of the use case; the signature adds its own.
    pub(super) fn post<H, T, A>(
        self,
        path: &'static str,
        handler: H,
        summary: &'static str,
        errors: &[ErrorCode],
    ) -> Self
    where
        H: AxumHandler<T, Context> + Handler<A>,
        T: 'static,
    {
        self.add::<H, A>(HttpMethod::Post, path, post(handler), summary, errors)
    }

    /// These, and PATCH.
    pub(super) fn patch<H, T, A>(
        self,
        path: &'static str,
        handler: H,
        summary: &'static str,
        errors: &[ErrorCode],
    ) -> Self
    where
        H: AxumHandler<T, Context> + Handler<A>,
        T: 'static,
    {
        self.add::<H, A>(HttpMethod::Patch, path, patch(handler), summary, errors)
    }

    /// These, and DELETE.
    pub(super) fn delete<H, T, A>(
        self,
        path: &'static str,
        handler: H,
        summary: &'static str,
        errors: &[ErrorCode],
    ) -> Self
    where
        H: AxumHandler<T, Context> + Handler<A>,
        T: 'static,
    {
        self.add::<H, A>(HttpMethod::Delete, path, delete(handler), summary, errors)
    }

    fn add<H: Handler<A>, A>(
        mut self,
        method: HttpMethod,
        path: &'static str,
        methods: MethodRouter<Context>,
        summary: &'static str,
        errors: &[ErrorCode],
    ) -> Self {
        let mut operation = H::operation();
        operation.fails(errors);
        let methods = match operation.callers {
            // Checked once it is known who asks (`Staff`).
            Callers::Roles(_) => methods.route_layer(Extension(KnownParameters::of(&operation))),
            Callers::Anyone if !is_of_boxes(path) => {
                operation.fails(&[ErrorCode::ValidationFailed]);
                let known = KnownParameters::of(&operation);
                methods.route_layer(from_fn_with_state(known, query::only_known))
            }
            _ => methods,
        };
        self.endpoints.push(Endpoint {
            path,
            method,
            tag: self.tag,
            id: id_of(std::any::type_name::<H>()),
            summary,
            operation,
        });
        self.router = self.router.route(path, methods);
        self
    }

    /// These and those.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.endpoints.extend(other.endpoints);
        self.router = self.router.merge(other.router);
        self
    }

    /// The router that answers them.
    pub(super) fn into_router(self) -> Router<Context> {
        self.router
    }

    /// What is known of them.
    pub(super) fn into_endpoints(self) -> Vec<Endpoint> {
        self.endpoints
    }
}

/// Whether boxes call this path. What they send beside the contract is ignored, because what is in the field cannot be
/// changed by us.
fn is_of_boxes(path: &str) -> bool {
    path.starts_with("/device/") || path.starts_with("/speaker/")
}

/// `merchant_create` for the handler `platform::http::shop::merchant::create`.
fn id_of(handler: &str) -> String {
    let mut names = handler.rsplit("::");
    let (name, noun) = (names.next().unwrap_or_default(), names.next());
    noun.map_or_else(|| name.to_owned(), |noun| format!("{noun}_{name}"))
}
