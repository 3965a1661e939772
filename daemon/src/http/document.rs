//! The OpenAPI document, written from the table of routes.

use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required, ResponseBuilder, Schema,
    ServerBuilder,
};

use super::routes::{ROUTES, Route, Schemas, Shape, Verb, Way};
use super::status::Refused;

/// The name of the way to authenticate.
const SCHEME: &str = "nip98";
const ABOUT_AUTH: &str = "NIP-98: `Nostr ` and the base64 of a signed event of kind 27235 with the tags \
    `u` (the whole URL), `method` and, if there is a body, `payload` (its SHA-256 in hex), made within a \
    minute. Each event is taken once; a command that is repeated in another one carries the same \
    key in the tag `idempotency-key`.";

/// The document of a server whose addresses begin with `url`.
pub(super) fn document(url: &str) -> OpenApi {
    let mut schemas: Schemas = Vec::new();
    let refused = refused(&mut schemas);
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        let verb = match route.verb {
            Verb::Get => HttpMethod::Get,
            Verb::Post => HttpMethod::Post,
        };
        paths = paths.path(route.path, PathItem::new(verb, operation(route, &refused, &mut schemas)));
    }
    let header = ApiKey::Header(ApiKeyValue::with_description("Authorization", ABOUT_AUTH));
    let components = schemas
        .into_iter()
        .fold(ComponentsBuilder::new(), |components, (name, schema)| components.schema(name, schema))
        .security_scheme(SCHEME, SecurityScheme::ApiKey(header))
        .build();
    let info = InfoBuilder::new()
        .title("enclaved")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Containers in an enclave, paid over Lightning, commanded by Nostr keys."));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url(url).build()]))
        .paths(paths.build())
        .components(Some(components))
        .build()
}

fn refused(schemas: &mut Schemas) -> RefOr<Schema> {
    use utoipa::{PartialSchema, ToSchema};
    Refused::schemas(schemas);
    schemas.push((Refused::name().into_owned(), Refused::schema()));
    utoipa::openapi::Ref::from_schema_name(Refused::name()).into()
}

fn operation(route: &Route, refused: &RefOr<Schema>, schemas: &mut Schemas) -> OperationBuilder {
    let json = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).build();
    let is_stream = matches!(route.way, Way::Output | Way::States);
    let media = if is_stream { "text/event-stream" } else { "application/json" };
    let answered = ResponseBuilder::new().description("done").content(media, json((route.answer)(schemas)));
    let failed = |about: &str| {
        let content = json(refused.clone());
        ResponseBuilder::new().description(about).content("application/json", content).build()
    };
    let mut operation = OperationBuilder::new()
        .summary(Some(route.about))
        .operation_id(Some(name(route)))
        .response("200", answered.build())
        .response("default", failed("refused, with the reason"));
    for (status, about) in refusals(route) {
        operation = operation.response(status, failed(about));
    }
    if !matches!(route.way, Way::Open(_)) {
        operation = operation.security(SecurityRequirement::new(SCHEME, Vec::<String>::new()));
    }
    if route.path.contains("{pubkey}") {
        operation =
            operation.parameter(parameter("pubkey", ParameterIn::Path, "The container's key, npub or hex"));
    }
    for name in route.query {
        operation = operation.parameter(parameter(name, ParameterIn::Query, "See the method's parameters"));
    }
    if route.verb == Verb::Post {
        let about = "Makes a command that is sent again have one effect. What counts is the event's tag \
                     `idempotency-key`; a header that is not the same is refused";
        operation = operation.parameter(parameter("Idempotency-Key", ParameterIn::Header, about));
    }
    if let Some(body) = route.body {
        operation = operation.request_body(Some(request_body(body, schemas)));
    }
    operation
}

/// The statuses that a client must be ready for; any other is in `default`.
fn refusals(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("400", "something in the request is not as it must be")];
    if !matches!(route.way, Way::Open(_)) {
        all.push(("401", "it is not signed as NIP-98 wants, or not for the first time"));
    }
    if route.path.contains("{pubkey}") {
        if !matches!(route.way, Way::Open(_)) {
            all.push(("403", "the container is another's, or its launch did not ask for this"));
        }
        all.push(("404", "there is no such container here"));
    }
    if route.verb == Verb::Post {
        all.push((
            "409",
            "it does not fit the state that the container is in, or the key of another command",
        ));
        all.push(("422", "it was understood, and cannot be done"));
    }
    all.push(("429", "too many requests, or too many that cost nothing; wait"));
    all.push(("503", "not now: the server is busy, full, ending, or may not act; ask again"));
    all
}

fn request_body(body: Shape, schemas: &mut Schemas) -> utoipa::openapi::request_body::RequestBody {
    let content = ContentBuilder::new().schema(Some(body(schemas))).build();
    RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build()
}

/// What is written with digits.
const NUMBERS: [&str; 3] = ["lines", "limit", "from"];

fn parameter(name: &str, place: ParameterIn, about: &str) -> utoipa::openapi::path::Parameter {
    let kind =
        if place == ParameterIn::Query && NUMBERS.contains(&name) { Type::Integer } else { Type::String };
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(kind).build()))
        .build()
}

/// The method's name, unique in the document.
fn name(route: &Route) -> &'static str {
    match route.way {
        Way::Open(method) | Way::Signed(method) => method,
        Way::Output => "follow",
        Way::States => "watch",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn written() -> Value {
        serde_json::to_value(document("https://x.example")).unwrap()
    }

    #[test]
    fn document_has_every_route_and_no_other() {
        let document = written();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let paths = document["paths"].as_object().unwrap();
        let operations: usize = paths.values().map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len());
        for route in ROUTES {
            let operation = &paths[route.path][route.verb.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], name(route), "{}", route.path);
            let open = matches!(route.way, Way::Open(_));
            assert_eq!(operation["security"].is_null(), open, "{}", route.path);
            assert_eq!(operation["requestBody"].is_null(), route.body.is_none(), "{}", route.path);
        }
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        let document = written();
        let mut found = Vec::new();
        collect(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("$ref", Value::String(reference)) => found.push(reference.clone()),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn numbers_are_numbers_and_refusals_have_their_statuses() {
        let document = written();
        let of = |path: &str, verb: &str| document["paths"][path][verb].clone();
        let logs = of("/v1/containers/{pubkey}/logs", "get");
        let kind = |name: &str| {
            let all = logs["parameters"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap()["schema"]["type"].clone()
        };
        assert_eq!(
            (kind("lines"), kind("after"), kind("pubkey")),
            ("integer".into(), "string".into(), "string".into())
        );
        let statuses = |operation: Value| {
            let all = operation["responses"].as_object().unwrap().keys().cloned();
            all.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(statuses(logs.clone()), "200 400 401 403 404 429 503 default");
        assert_eq!(statuses(of("/v1/price", "get")), "200 400 429 503 default");
        let pause = of("/v1/containers/{pubkey}/pause", "post");
        assert_eq!(statuses(pause), "200 400 401 403 404 409 422 429 503 default");
    }

    #[test]
    fn container_of_a_body_is_in_the_path() {
        let document = written();
        let topup = &document["components"]["schemas"]["TopupParams"];
        assert!(topup["properties"]["amount_msat"].is_object() && topup["properties"]["pubkey"].is_null());
        assert_eq!(topup["required"], serde_json::json!(["amount_msat"]));
    }
}
