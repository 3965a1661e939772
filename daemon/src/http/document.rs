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
    let failed = ResponseBuilder::new()
        .description("refused, with the reason")
        .content("application/json", json(refused.clone()));
    let mut operation = OperationBuilder::new()
        .summary(Some(route.about))
        .operation_id(Some(name(route)))
        .response("200", answered.build())
        .response("default", failed.build());
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

fn request_body(body: Shape, schemas: &mut Schemas) -> utoipa::openapi::request_body::RequestBody {
    let content = ContentBuilder::new().schema(Some(body(schemas))).build();
    RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build()
}

fn parameter(name: &str, place: ParameterIn, about: &str) -> utoipa::openapi::path::Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
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
    fn container_of_a_body_is_in_the_path() {
        let document = written();
        let topup = &document["components"]["schemas"]["TopupParams"];
        assert!(topup["properties"]["amount_msat"].is_object() && topup["properties"]["pubkey"].is_null());
        assert_eq!(topup["required"], serde_json::json!(["amount_msat"]));
    }
}
