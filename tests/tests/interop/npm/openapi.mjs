// Judges a server's OpenAPI document, and its answers by that document.
//
//   node openapi.mjs DIRECTORY_OF_NODE_MODULES < {"document", "answers": [{"method", "path", "status", "body"}]}
//
// Writes {"valid", "errors", "version", "answers": [null | errors]}: a path is written as the document has it.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const dir = process.argv[2];
const load = (path) => import(pathToFileURL(`${dir}/node_modules/${path}`).href);
const { Validator } = await load("@seriousme/openapi-schema-validator/index.js");
const { default: ajv } = await load("ajv/dist/2020.js");
const { default: formats } = await load("ajv-formats/dist/index.js");

const { document, answers } = JSON.parse(readFileSync(0, "utf8"));
const validator = new Validator();
const { valid, errors } = await validator.validate(structuredClone(document));

const Ajv = ajv.default ?? ajv;
const checks = new Ajv({ strict: false, allErrors: true });
(formats.default ?? formats)(checks);

const judged = answers.map(({ method, path, status, body }) => {
  const responses = document.paths[path]?.[method]?.responses;
  const schema = (responses?.[String(status)] ?? responses?.default)?.content?.["application/json"]?.schema;
  if (!schema) return `${method} ${path} has no schema for ${status}`;
  // References lead to `#/components`, which must be there.
  const check = checks.compile({ ...schema, components: document.components });
  return check(body) ? null : check.errors;
});
console.log(JSON.stringify({ valid, errors, version: validator.version, answers: judged }));
