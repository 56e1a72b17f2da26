/**
 * GitHub's own OpenAPI description of gists: finds the operation of a request, checks request and answer against it, and hands out its
 * examples.
 */

import { Ajv, type ValidateFunction } from "ajv";
import type { Description } from "./github_excerpt.ts";

type Json = Record<string, unknown>;

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly schema: Json;
}

interface Media {
  readonly schema: Json;
  readonly examples?: Record<string, Json>;
}

interface OperationFields {
  readonly operationId: string;
  readonly externalDocs?: { readonly url: string };
  readonly parameters?: readonly Json[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Record<string, Media> };
  readonly responses: Record<string, Json>;
}

/** One thing that can be asked of the API. */
export interface Operation {
  /** As GitHub names it, for example `gists/create`. */
  readonly id: string;
  /** The page that documents it. */
  readonly docs: string;
  readonly method: string;
  /** The path as described, for example `/gists/{gist_id}`. */
  readonly path: string;
  readonly fields: OperationFields;
}

/** The description, ready to be asked. */
export class GithubDescription {
  readonly operations: readonly Operation[];
  readonly #document: Json;
  readonly #ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: Description) {
    this.#document = document as unknown as Json;
    const paths = document.paths as Record<string, Record<string, OperationFields>>;
    this.operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, fields]) => ({
        id: fields.operationId,
        docs: fields.externalDocs?.url ?? "https://docs.github.com/rest",
        method: method.toUpperCase(),
        path,
        fields,
      }))
    );
  }

  /** The operation of a request and what stands for its path's parameters; null for none that is described. */
  find(
    method: string,
    pathname: string,
  ): { operation: Operation; parameters: Record<string, string> } | null {
    for (const operation of this.operations) {
      if (operation.method !== method) continue;
      const names: string[] = [];
      const pattern = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
        names.push(name);
        return "([^/]+)";
      });
      const values = new RegExp(`^${pattern}$`).exec(pathname)?.slice(1);
      if (values === undefined) continue;
      const parameters = Object.fromEntries(
        names.map((name, index) => [name, decodeURIComponent(values[index])]),
      );
      return { operation, parameters };
    }
    return null;
  }

  /** What is wrong with a request's query and body; also a field that is not described, which GitHub would ignore in silence. */
  requestProblems(operation: Operation, query: URLSearchParams, body: unknown): string[] {
    const media = operation.fields.requestBody?.content["application/json"];
    const problems = this.#queryProblems(operation, query);
    if (media === undefined) return body === undefined ? problems : [...problems, "it has no body"];
    if (body === undefined) return [...problems, "its body is missing"];
    const schema = closed(media.schema) as Json;
    return [
      ...problems,
      ...this.#problems(`${operation.id} request`, schema, body).map((one) => `body${one}`),
    ];
  }

  /** What is wrong with an answer to it; a status that is not described has no rules. */
  answerProblems(operation: Operation, status: number, body: unknown): string[] {
    const media = this.#answer(operation, status);
    if (media === undefined) return [];
    return this.#problems(`${operation.id} ${status}`, media.schema, body);
  }

  /** An example of an answer, the caller's to change. */
  example<T>(id: string, status: number): T {
    const operation = this.operations.find((one) => one.id === id)!;
    const [example] = Object.values(this.#answer(operation, status)?.examples ?? {});
    return structuredClone(this.#resolve(example).value) as T;
  }

  #queryProblems(operation: Operation, query: URLSearchParams): string[] {
    const known = (operation.fields.parameters ?? []).map((one) => this.#resolve(one) as unknown as Parameter)
      .filter((one) => one.in === "query");
    return [...query].flatMap(([name, text]) => {
      const parameter = known.find((one) => one.name === name);
      if (parameter === undefined) return [`it has no parameter ${name}`];
      const value = parameter.schema.type === "integer" ? Number(text) : text;
      return this.#problems(`query ${name}`, parameter.schema, value).map((one) => `${name}${one}`);
    });
  }

  #answer(operation: Operation, status: number): Media | undefined {
    const response = operation.fields.responses[status];
    if (response === undefined) return undefined;
    const { content } = this.#resolve(response) as { content?: Record<string, Media> };
    return content?.["application/json"];
  }

  #problems(name: string, schema: Json, value: unknown): string[] {
    let validate = this.#validators.get(name);
    if (validate === undefined) {
      validate = this.#ajv.compile({ ...schema, components: this.#document.components });
      this.#validators.set(name, validate);
    }
    validate(value);
    return (validate.errors ?? []).map(({ instancePath, message, params }) => {
      const extra = params.additionalProperty === undefined ? "" : ` (${params.additionalProperty})`;
      return `${instancePath} ${message}${extra}`;
    });
  }

  #resolve(node: Json): Json {
    if (typeof node.$ref !== "string") return node;
    const keys = node.$ref.slice("#/".length).split("/");
    return this.#resolve(keys.reduce<unknown>((value, key) => (value as Json)[key], this.#document) as Json);
  }
}

/** The same schema, but an object has only the properties that it names. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== "object" || node === null) return node;
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]));
  const isObject = copy.type === "object" && copy.properties !== undefined;
  return isObject ? { additionalProperties: false, ...copy } : copy;
}
