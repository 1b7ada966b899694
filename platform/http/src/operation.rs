//! An operation of the OpenAPI document, derived from its handler's signature.
//!
//! Every extractor and every answer describes itself ([`Describe`]), and a handler is described by its arguments and by
//! what it returns ([`Handler`]). So the document and the code cannot differ. What no type expresses, the errors of the
//! use case, is listed where the route is declared ([`super::routes`]).

use std::collections::{BTreeMap, BTreeSet};

use domain::role::Role;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Response, Schema};

use super::error::ErrorCode;

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Everyone.
    Anyone,
    /// People and programs with one of these roles.
    Roles(&'static [Role]),
    /// Devices, with their token or their certificate.
    Devices,
    /// Partners, who sign.
    Partners,
    /// Partners, who sign as SNAP BI specifies.
    SnapPartners,
}

/// How an operation treats an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Not read.
    Ignored,
    /// Honoured.
    Honoured,
    /// Required.
    Required,
}

/// How a body is refused before the use case sees it.
pub(super) const BODY_ERRORS: [ErrorCode; 4] = [
    ErrorCode::MalformedRequest,
    ErrorCode::PayloadTooLarge,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::ValidationFailed,
];

/// Schemas by their names.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

/// An operation, as far as its types describe it.
#[derive(Clone)]
pub struct Operation {
    /// Who may call it.
    pub callers: Callers,
    /// What an `Idempotency-Key` does.
    pub idempotency: Idempotency,
    /// The errors that it may answer with.
    pub errors: BTreeSet<ErrorCode>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answer: Option<(u16, Response)>,
    /// Answers in another form than our envelope: that of its callers' standard.
    pub(super) foreign: BTreeMap<u16, RefOr<Schema>>,
    /// Another success that it may answer with instead.
    pub(super) other_answer: Option<(u16, Response)>,
    pub(super) schemas: Schemas,
}

impl Operation {
    /// An operation without parameters, with the errors that every request can have.
    fn new() -> Self {
        Self {
            callers: Callers::Anyone,
            idempotency: Idempotency::Ignored,
            errors: [
                ErrorCode::RateLimited,
                ErrorCode::Internal,
                ErrorCode::Unavailable,
            ]
            .into(),
            parameters: Vec::new(),
            body: None,
            answer: None,
            foreign: BTreeMap::new(),
            other_answer: None,
            schemas: Schemas::new(),
        }
    }

    /// It may answer with these errors.
    pub(super) fn fails(&mut self, codes: &[ErrorCode]) {
        self.errors.extend(codes);
    }

    /// With these statuses it may answer a `T` as it is, without our envelope.
    pub(super) fn answers_plainly<T: ToSchema>(&mut self, statuses: &[u16]) {
        let schema = self.writes::<T>();
        for status in statuses {
            self.foreign.insert(*status, schema.clone());
        }
    }

    /// It takes this parameter.
    pub(super) fn takes(&mut self, parameter: Parameter) {
        self.parameters.push(parameter);
    }

    /// It takes a header.
    pub(super) fn takes_header(
        &mut self,
        name: &str,
        required: Required,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
    ) {
        self.takes(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(required)
                .description(Some(description))
                .schema(Some(schema.into()))
                .build(),
        );
    }

    /// It takes a `T` as its JSON body.
    pub(super) fn takes_body<T: ToSchema>(&mut self, required: Required) {
        let schema = self.refer::<T>(|schema| schema);
        self.body = Some(
            RequestBodyBuilder::new()
                .required(Some(required))
                .content(
                    "application/json",
                    ContentBuilder::new().schema(Some(schema)).build(),
                )
                .build(),
        );
    }

    /// The schema of something that we write: every field is there.
    pub(super) fn writes<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.refer::<T>(|mut schema| {
            require_all(&mut schema);
            schema
        })
    }

    /// Names the schema of `T`, or gives it whole where it has no name of its own (a list).
    fn refer<T: ToSchema>(
        &mut self,
        finish: impl Fn(RefOr<Schema>) -> RefOr<Schema>,
    ) -> RefOr<Schema> {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let schema = match T::schema() {
            list @ RefOr::T(Schema::Array(_)) => finish(list),
            schema => {
                let name = T::name().into_owned();
                parts.push((name.clone(), schema));
                Ref::from_schema_name(name).into()
            }
        };
        for (name, part) in parts {
            add(&mut self.schemas, name, finish(part));
        }
        schema
    }
}

/// Adds a schema. Two of one name must be equal.
pub(super) fn add(schemas: &mut Schemas, name: String, schema: RefOr<Schema>) {
    debug_assert!(
        schemas.get(&name).is_none_or(|other| *other == schema),
        "two schemas are called {name}"
    );
    schemas.insert(name, schema);
}

/// Our answers have all of their fields always; those without a value are null.
fn require_all(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            object.required = object.properties.keys().cloned().collect();
            object.properties.values_mut().for_each(require_all);
            if let Some(AdditionalProperties::RefOr(values)) =
                object.additional_properties.as_deref_mut()
            {
                require_all(values);
            }
        }
        Schema::AllOf(all) => all.items.iter_mut().for_each(require_all),
        Schema::OneOf(one) => one.items.iter_mut().for_each(require_all),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(require_all),
        Schema::Array(_) => {}
        _ => {}
    }
}

/// An extractor or an answer that describes its part of an operation.
pub trait Describe {
    /// Adds its part.
    fn describe(operation: &mut Operation);
}

/// Extractors that a client does not see.
macro_rules! silent {
    ($($type:ty),+) => {
        $(impl Describe for $type {
            fn describe(_: &mut Operation) {}
        })+
    };
}

silent! {
    axum::extract::State<service::Context>,
    axum::Extension<super::rate::Origin>
}

impl<T: Describe, E> Describe for Result<T, E> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
    }
}

/// A handler; its arguments `A` distinguish the implementations.
pub trait Handler<A> {
    /// The operation of its signature.
    fn operation() -> Operation;
}

macro_rules! handlers {
    ($(($($argument:ident)*))+) => {
        $(impl<F, R, $($argument),*> Handler<($($argument,)*)> for F
        where
            F: AsyncFn($($argument),*) -> R,
            R: Describe,
            $($argument: Describe,)*
        {
            fn operation() -> Operation {
                let mut operation = Operation::new();
                $($argument::describe(&mut operation);)*
                R::describe(&mut operation);
                operation
            }
        })+
    };
}

handlers! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E G) }
