// The API's description, made from /openapi.json: works without any other server.

const METHODS = ["get", "post", "put", "delete"];
const DEEPEST = 3;
let api;

function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...inside.filter((part) => part !== null));
  return element;
}

function operations() {
  const all = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, ...item[method] })));
  return Map.groupBy(all, (operation) => operation.tags?.[0] ?? "other");
}

function section([tag, entries]) {
  const title = make("h2", { id: tag }, tag[0].toUpperCase() + tag.slice(1));
  return make("section", { "aria-labelledby": tag }, title, ...entries.map(shown));
}

function shown(operation) {
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  return make("details", { class: "operation" },
    make("summary", {},
      make("span", { class: `method ${operation.method}` }, operation.method.toUpperCase()),
      make("code", {}, operation.path),
      make("span", {}, operation.summary)),
    make("div", { class: "inside" },
      make("p", {}, operation.description ?? ""),
      ...parameters(operation.parameters ?? []),
      ...(body ? request(body) : []),
      make("h4", {}, "Try it"), make("pre", {}, make("code", {}, curl(operation, body))),
      make("h4", {}, "Answers"), answers(operation.responses)));
}

function parameters(given) {
  if (!given.length) return [];
  const rows = given.map((one) => [one.name, one.in, typeOf(one.schema), one.description ?? ""]);
  return [make("h4", {}, "Parameters"), table(["Name", "In", "Type", ""], rows)];
}

function request(schema) {
  const rows = Object.entries(schema.properties).map(([name, one]) => [make("code", {}, name), one.description]);
  return [make("h4", {}, "Body"), make("p", {}, schema.description ?? ""), table(["Field", "What it is"], rows)];
}

function answers(responses) {
  const rows = Object.entries(responses).map(([status, one]) => {
    const [kind, media] = Object.entries(one.content ?? {})[0] ?? ["", {}];
    return [status, one.description, media.schema ? make("code", {}, typeOf(media.schema)) : kind];
  });
  return table(["Status", "Meaning", "Body"], rows);
}

function table(heads, rows) {
  const cells = (tag, row) => make("tr", {}, ...row.map((cell) => make(tag, {}, cell)));
  const whole = make("table", {},
    make("thead", {}, cells("th", heads)), make("tbody", {}, ...rows.map((row) => cells("td", row))));
  return make("div", { class: "scroll" }, whole);
}

function typeOf(schema, depth = 0) {
  if (!schema) return "any";
  if (schema.$ref) return typeOf(api.components.schemas[schema.$ref.split("/").at(-1)], depth);
  if (schema.anyOf) return [...new Set(schema.anyOf.map((one) => typeOf(one, depth)))].join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (schema.type === "array") return `[${typeOf(schema.items, depth)}]`;
  if (schema.type === "object" && schema.properties && depth < DEEPEST) {
    const fields = Object.entries(schema.properties).map(([name, one]) => `${name}: ${typeOf(one, depth + 1)}`);
    return `{ ${fields.join(", ")} }`;
  }
  return schema.type ?? "any";
}

function curl({ path, method }, body) {
  const address = location.origin + path.replace("{job_id}", "JOB").replace("{name}", "NAME");
  const verb = method === "get" ? "" : `-X ${method.toUpperCase()} `;
  if (!body?.example) return `curl ${verb}${address}`;
  return `curl ${address} -H 'Content-Type: application/json' -d '${JSON.stringify(body.example, null, 2)}'`;
}

api = await (await fetch("/openapi.json")).json();
document.querySelector("#about").textContent = api.info.description;
document.querySelector("#operations").append(...[...operations()].map(section));
document.querySelector(".operation").open = true;
