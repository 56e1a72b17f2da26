/** Errors on their way through a wall: what is left of them is text, a known code and plain facts. */

import { AronaError, isErrorCode } from "../proto/base/mod.ts";

const MAX_TEXT_CHARACTERS = 4_000;
const MAX_CAUSES = 4;

/** An error as a message. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly details?: unknown;
  readonly stack?: string;
  readonly cause?: PlainError;
}

/** An error that came through a wall and is none of Arona's own. Its name is the one that it had there. */
export class RemoteError extends Error {
  constructor(name: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = name;
  }
}

/** Whatever was thrown, as a message. */
export function toPlainError(error: unknown, depth = 0): PlainError {
  if (!(error instanceof Error)) return { name: "Error", message: text(error) };
  const { code, hint, details, cause } = error as Error & Record<string, unknown>;
  return {
    name: text(error.name),
    message: text(error.message),
    stack: text(error.stack ?? ""),
    ...(typeof code === "string" && { code }),
    ...(typeof hint === "string" && { hint: text(hint) }),
    ...(details !== undefined && { details: cloned(details) }),
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: toPlainError(cause, depth + 1) }),
  };
}

/** The error of a message. The other side is not trusted to keep to the type. */
export function fromPlainError(plain: unknown, depth = 0): Error {
  const { name, message, code, hint, details, stack, cause } = (plain ?? {}) as Record<string, unknown>;
  const options = cause !== undefined && depth < MAX_CAUSES
    ? { cause: fromPlainError(cause, depth + 1) }
    : undefined;
  const error = name === "AronaError" && isErrorCode(code)
    ? new AronaError(code, text(message), {
      ...options,
      hint: typeof hint === "string" ? text(hint) : undefined,
      details: details as Record<string, unknown> | undefined,
    })
    : name === "AbortError" || name === "TimeoutError"
    ? new DOMException(text(message), name)
    : new RemoteError(text(name), text(message), options);
  if (typeof stack === "string" && stack !== "") {
    Object.defineProperty(error, "stack", { value: text(stack), configurable: true, writable: true });
  }
  return error;
}

function text(value: unknown): string {
  return String(value).slice(0, MAX_TEXT_CHARACTERS);
}

function cloned(details: unknown): unknown {
  try {
    return structuredClone(details);
  } catch {
    return undefined; // something that stays where it is
  }
}
